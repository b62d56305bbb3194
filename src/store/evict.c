// Making room: S3-FIFO (Yang et al., SOSP '23) by the segment.
//
// New items go to probation, a small share of the log. When room is needed, the oldest segment of
// probation (if that has its share) or of main is taken through: what was used in probation moves
// to main, what was used in main moves to main's newest end with one use less, the rest leaves.
// What leaves is remembered as a ghost. What comes back while it is, and had left probation, may go
// to main, if main's hand, which goes on for its sake, has found as many bytes that nobody used.
// How large the share is, how fast the hand goes on, and what is enough use is learnt
// (store/tune.c). Moving goes into the shard's spare segment; the segment taken through then
// becomes the spare, or is free.
//
// While a shard fills for the first time main gets its share of what comes, or a loop would find it
// empty and run through probation alone. What left main is no candidate when it comes back: in a
// loop main would be turned over for its own victims, for ever.
//
// Where every record is used, a round frees nothing; after some such rounds more is asked of a
// record to stay, so that making room ends.
//
// Before anything live is evicted, neighbours in a queue that are mostly dead are moved together:
// k segments whose live records fit into k - 1. Order in the queue stays.
//
// All shards share the budget. A shard makes its own room if it holds its share or more; otherwise
// the one that holds most does, if its lock is free (waiting for a second lock could deadlock). So
// large records, which overcharge their shard, even out.

#include "store/evict.h"

#include "store/budget.h"
#include "store/ghost.h"
#include "store/segment.h"
#include "store/tune.h"

enum {
    GROUP = 16,          // records looked up together
    PATIENCE = 32,       // rounds without gain before more is asked of a record
    SPARSE_LOOKS = 128,  // segments among which the sparse are looked for at a time
    COMPACT_MAX = 4,     // segments moved together
    LOOKS_MAX = 16,      // segments of main looked through for one record, of one record each
    SWEEP_LOOKS = 16,    // segments asked whether they are due, each time room is made
};

// Uses a record must show to stay.
static unsigned uses_asked(unsigned rounds) {
    return rounds >= FB_EVICT_ALL ? FB_SLOT_FREQUENCY_MAX + 1 : 1 + rounds / PATIENCE;
}

void fb_evict_drop(fb_store *store, fb_shard *shard, const fb_place *place, uint64_t hash,
                   bool aged) {
    uint64_t word = fb_place_word(place);
    uint64_t offset = fb_slot_offset(word);
    const fb_segment *segment = fb_segment_at(store, fb_segment_of(store, offset));
    if (!aged) {
        fb_ghost_kind kind = segment->queue == FB_MAIN ? FB_GHOST_MAIN : FB_GHOST_FRESH;
        fb_tune_left(&shard->tuning, fb_ghost_add(store, shard, hash, kind));
    } else if (segment->queue == FB_MAIN || fb_slot_frequency(word) > 0) {
        (void)fb_ghost_add(store, shard, hash, FB_GHOST_AGED);
    }
    fb_bucket_remove(store, shard, place);
    if (store->left != NULL) {
        store->left(store->left_arg, fb_record_key(fb_record_at(store, offset)));
    }
    fb_segment_kill(store, shard, offset);
    if (aged) {
        shard->expirations++;
    } else {
        shard->evictions++;
    }
}

// Moves a record to the end of segment `to`.
static void move(fb_store *store, fb_shard *shard, const fb_place *place, uint32_t to,
                 unsigned frequency) {
    uint64_t word = fb_place_word(place);
    uint64_t from = fb_slot_offset(word);
    fb_record *record = fb_record_at(store, from);
    uint64_t offset = fb_segment_offset(store, to) + fb_segment_at(store, to)->used;
    fb_record_copy(fb_record_at(store, offset), record);
    fb_segment_settle(store, shard, offset);
    uint64_t tag = word >> FB_SLOT_TAG_SHIFT << FB_SLOT_TAG_SHIFT;
    fb_bucket_set(place, tag | fb_slot_make(0, frequency, offset));
    fb_segment_kill(store, shard, from);
}

// Whether main has room for a record that stays, in its open segment or by opening the spare one.
static bool main_has_room(fb_store *store, fb_shard *shard, uint32_t size) {
    if (fb_segment_reserve(store, shard, FB_MAIN, size) != 0) {
        return true;
    }
    uint32_t id = shard->spare;
    if (id == 0) {
        return false;
    }
    shard->spare = 0;
    fb_segment_open(store, shard, FB_MAIN, id);
    return true;
}

// A live record of the segment that is taken through.
typedef struct candidate {
    uint64_t offset, hash;
} candidate;

static void decide(fb_store *store, fb_shard *shard, const candidate *who, unsigned rounds) {
    fb_place place;
    bool found = fb_bucket_find_offset(store, shard, who->hash, who->offset, &place);
    FB_ASSERT(found);
    const fb_record *record = fb_record_at(store, who->offset);
    uint32_t id = fb_segment_of(store, who->offset);
    fb_queue_id queue = (fb_queue_id)fb_segment_at(store, id)->queue;
    bool wanted = fb_record_wanted(store, record, shard->now_ns);
    unsigned frequency = fb_slot_frequency(fb_place_word(&place));
    unsigned left = queue == FB_MAIN && frequency > 0 ? frequency - 1 : 0;
    bool stays = frequency >= uses_asked(rounds);
    if (queue == FB_MAIN) {
        fb_tune_pass(&shard->tuning, shard->items, who->hash, frequency > 0);
    } else if (stays && wanted) {
        stays = fb_tune_promotes(&shard->tuning, shard->items, who->hash, frequency);
        if (stays && frequency == 1) {
            fb_tune_enter(&shard->tuning, shard->items, who->hash, FB_WAY_ONCE);
        }
    }
    if (!wanted || !stays) {
        fb_evict_drop(store, shard, &place, who->hash, !wanted);
    } else if (fb_segment_at(store, id)->state == FB_SEGMENT_RUN) {
        fb_bucket_set(&place, fb_slot_make(who->hash, left, who->offset));
        fb_segment_promote(store, shard, id);
    } else if (main_has_room(store, shard, fb_record_size(record))) {
        move(store, shard, &place, shard->queues[FB_MAIN].open, left);
    } else {
        fb_evict_drop(store, shard, &place, who->hash, false);
    }
}

// Takes every live record of a segment through `decide`, a group at a time so that the index lines
// of a group are fetched together.
static void take_through(fb_store *store, fb_shard *shard, uint32_t id, unsigned rounds) {
    candidate group[GROUP];
    uint32_t at = 0;
    unsigned count;
    do {
        uint64_t offset;
        count = 0;
        while (count < GROUP && (offset = fb_segment_walk(store, id, &at)) != 0) {
            uint64_t hash = fb_record_hash(store, fb_record_at(store, offset));
            fb_bucket_fetch(store, shard, hash);
            group[count++] = (candidate){offset, hash};
        }
        for (unsigned i = 0; i < count; i++) {
            decide(store, shard, &group[i], rounds);
        }
    } while (count == GROUP);
}

static uint32_t oldest_free_to_go(const fb_store *store, const fb_shard *shard, fb_queue_id queue) {
    uint32_t id = shard->queues[queue].oldest;
    return id != 0 && id == shard->pinned ? fb_segment_at(store, id)->next : id;
}

static bool probation_full(const fb_shard *shard) {
    uint64_t bytes = shard->queues[FB_PROBATION].bytes;
    return fb_tune_probation_full(&shard->tuning, bytes, bytes + shard->queues[FB_MAIN].bytes);
}

static uint32_t choose_victim(fb_store *store, fb_shard *shard, bool also_open) {
    const fb_queue *queues = shard->queues;
    fb_queue_id first = probation_full(shard) ? FB_PROBATION : FB_MAIN;
    fb_queue_id order[] = {first, first == FB_MAIN ? FB_PROBATION : FB_MAIN};
    for (unsigned i = 0; i < FB_QUEUES; i++) {
        uint32_t id = oldest_free_to_go(store, shard, order[i]);
        if (id != 0) {
            return id;
        }
    }
    for (unsigned i = 0; also_open && i < FB_QUEUES; i++) {
        uint32_t id = queues[order[i]].open;
        if (id != 0 && id != shard->pinned) {
            return id;
        }
    }
    return 0;
}

bool fb_evict_one(fb_store *store, fb_shard *shard, unsigned rounds) {
    bool all = rounds >= FB_EVICT_ALL;
    uint32_t id = choose_victim(store, shard, all);
    if (id == 0) {
        return false;
    }
    shard->tuning.filled = 1;
    fb_tune_step(&shard->tuning, shard->items,
                 shard->queues[FB_PROBATION].bytes + shard->queues[FB_MAIN].bytes,
                 fb_segment_at(store, id)->resident);
    if (fb_segment_at(store, id)->state == FB_SEGMENT_OPEN) {
        // Records must not be moved into the segment that is being emptied.
        shard->queues[fb_segment_at(store, id)->queue].open = 0;
        fb_segment_at(store, id)->state = FB_SEGMENT_SEALED;
        fb_queue_id queue = (fb_queue_id)fb_segment_at(store, id)->queue;
        fb_segment_link(store, shard, id, shard->queues[queue].newest);
    }
    take_through(store, shard, id, rounds);
    if (fb_segment_at(store, id)->live == 0) {
        fb_segment_free(store, shard, id);
    }
    return true;
}

// Fills `ids` with neighbours from `id` on that fit into one segment less; 0: they do not.
static unsigned fitting(const fb_store *store, const fb_shard *shard, uint32_t id, uint32_t *ids) {
    uint64_t live = 0;
    uint64_t largest = 0;
    unsigned count = 0;
    for (; id != 0 && count < COMPACT_MAX; id = fb_segment_at(store, id)->next) {
        const fb_segment *segment = fb_segment_at(store, id);
        if (segment->state != FB_SEGMENT_SEALED || id == shard->pinned) {
            return 0;
        }
        ids[count++] = id;
        live += segment->live;
        largest = segment->largest > largest ? segment->largest : largest;
        // Each segment that is filled may waste less than the largest record at its end.
        if (count > 1 &&
            live + (count - 1) * largest <= (count - 1) * (uint64_t)store->segment_size) {
            return count;
        }
    }
    return 0;
}

// Finds the fewest neighbours that give a segment when moved together, among the next few.
static unsigned find_sparse(const fb_store *store, fb_shard *shard, uint32_t *best) {
    unsigned least = 0;
    unsigned rounds = 0;
    for (unsigned i = 0; i < SPARSE_LOOKS && least != 2 && rounds < 2; i++) {
        uint32_t ids[COMPACT_MAX];
        uint32_t id = fb_segment_step(store, shard, &shard->sparse);
        unsigned count = fitting(store, shard, id, ids);
        rounds += id == 0;
        if (count > 0 && (least == 0 || count < least)) {
            least = count;
            memcpy(best, ids, sizeof(ids));
        }
    }
    return least;
}

// The next segment to fill: takes the shard's spare into the queue, after `after`.
static uint32_t next_target(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t after) {
    uint32_t id = shard->spare;
    FB_ASSERT(id != 0);
    shard->spare = 0;
    // Opened and sealed at once: bytes are counted, and its place in the queue is ours to choose.
    uint32_t open = shard->queues[queue].open;
    shard->queues[queue].open = 0;
    fb_segment_open(store, shard, queue, id);
    fb_segment_at(store, id)->state = FB_SEGMENT_SEALED;
    shard->queues[queue].open = open;
    fb_segment_link(store, shard, id, after);
    return id;
}

// Moves together `count` neighbours; the first target is the spare, the next each the source that
// was emptied last (a source is empty before a second target is needed).
static void compact(fb_store *store, fb_shard *shard, const uint32_t *ids, unsigned count) {
    fb_queue_id queue = (fb_queue_id)fb_segment_at(store, ids[0])->queue;
    uint32_t target = next_target(store, shard, queue, fb_segment_at(store, ids[0])->prev);
    for (unsigned i = 0; i < count; i++) {
        uint32_t at = 0;
        uint64_t offset;
        while ((offset = fb_segment_walk(store, ids[i], &at)) != 0) {
            const fb_record *record = fb_record_at(store, offset);
            uint64_t hash = fb_record_hash(store, record);
            fb_place place;
            bool found = fb_bucket_find_offset(store, shard, hash, offset, &place);
            FB_ASSERT(found);
            if (!fb_record_wanted(store, record, shard->now_ns)) {
                fb_evict_drop(store, shard, &place, hash, true);
                continue;
            }
            if (fb_segment_at(store, target)->used + fb_record_size(record) > store->segment_size) {
                target = next_target(store, shard, queue, target);
            }
            move(store, shard, &place, target, fb_slot_frequency(fb_place_word(&place)));
        }
        fb_segment_free(store, shard, ids[i]);
    }
    fb_segment_tidy(store, shard, target);
}

static bool compact_some(fb_store *store, fb_shard *shard) {
    uint64_t bytes = shard->queues[FB_PROBATION].bytes + shard->queues[FB_MAIN].bytes;
    // Looking at every segment is not worth it while little is dead.
    if (shard->spare == 0 || shard->live_bytes + bytes / 8 > bytes) {
        return false;
    }
    uint32_t ids[COMPACT_MAX];
    unsigned count = find_sparse(store, shard, ids);
    if (count > 0) {
        compact(store, shard, ids, count);
    }
    return count > 0;
}

// Bytes of main's open segment that hold nothing yet.
static uint64_t room_in_open(const fb_store *store, const fb_shard *shard) {
    uint32_t id = shard->queues[FB_MAIN].open;
    return id != 0 ? store->segment_size - fb_segment_at(store, id)->used : 0;
}

// Looks through main's oldest segment for the sake of what came back. False: not paid for yet.
static bool look_through_main(fb_store *store, fb_shard *shard) {
    uint32_t id = oldest_free_to_go(store, shard, FB_MAIN);
    // Without a spare segment what is used would have to go, for want of a place.
    if (id == 0 || (shard->spare == 0 && fb_segment_at(store, id)->state != FB_SEGMENT_RUN) ||
        !fb_tune_spend(&shard->tuning, fb_segment_at(store, id)->resident)) {
        return false;
    }
    uint64_t bytes = shard->queues[FB_MAIN].bytes - room_in_open(store, shard);
    take_through(store, shard, id, 0);
    if (fb_segment_at(store, id)->live == 0) {
        fb_segment_free(store, shard, id);
    }
    uint64_t left = shard->queues[FB_MAIN].bytes - room_in_open(store, shard);
    fb_tune_freed(&shard->tuning, bytes > left ? bytes - left : 0, store->segment_size);
    return true;
}

// Whether main is so far below its share that it may take a record for nothing: else it could never
// grow where it lets nothing go.
static bool main_is_short(const fb_store *store, const fb_shard *shard, uint32_t size) {
    uint64_t margin = 2 * (uint64_t)(size > store->segment_size ? size : store->segment_size);
    uint64_t probation = shard->queues[FB_PROBATION].bytes;
    return probation > margin && fb_tune_probation_full(&shard->tuning, probation - margin,
                                                        probation + shard->queues[FB_MAIN].bytes);
}

fb_queue_id fb_evict_admit(fb_store *store, fb_shard *shard, uint64_t hash, uint32_t size) {
    fb_tuning *tuning = &shard->tuning;
    fb_ghost_kind kind;
    bool soon;
    bool known = fb_ghost_take(store, shard, hash, &kind, &soon);
    if (known && kind == FB_GHOST_AGED) {
        return FB_MAIN;
    }
    if (known) {
        fb_tune_back(tuning, kind, soon);
    }
    if (tuning->filled == 0) {
        // As it fills for the first time main takes its share, or a loop would find it empty.
        return known || probation_full(shard) ? FB_MAIN : FB_PROBATION;
    }
    if (!known || kind == FB_GHOST_MAIN) {
        return FB_PROBATION;
    }
    fb_tune_ask(tuning, size, store->segment_size);
    bool tried = fb_tune_denies(tuning, shard->items);
    bool taken = !tried && (main_is_short(store, shard, size) || fb_tune_take(tuning, size));
    for (unsigned i = 0; !tried && !taken && i < LOOKS_MAX && look_through_main(store, shard);
         i++) {
        taken = fb_tune_take(tuning, size);
    }
    if (taken) {
        fb_tune_enter(tuning, shard->items, hash, FB_WAY_BACK);
    } else {
        (void)fb_ghost_add(store, shard, hash, FB_GHOST_DENIED);
    }
    return taken ? FB_MAIN : FB_PROBATION;
}

// Drops what has expired in a few segments, so that dead bytes are known before live ones are
// evicted: much of main is not taken through for long.
static void sweep_some(fb_store *store, fb_shard *shard) {
    for (unsigned i = 0; i < SWEEP_LOOKS; i++) {
        uint32_t id = fb_segment_step(store, shard, &shard->stale);
        if (id != 0 && id != shard->pinned && fb_segment_at(store, id)->due_ns <= shard->now_ns) {
            (void)fb_evict_sweep(store, shard, id, shard->now_ns);
        }
    }
}

static bool make_own_room(fb_store *store, fb_shard *shard, unsigned rounds) {
    sweep_some(store, shard);
    return compact_some(store, shard) || fb_evict_one(store, shard, rounds);
}

static uint64_t bytes_of(fb_shard *shard) {
    return atomic_load_explicit(&shard->bytes, memory_order_relaxed);
}

static fb_shard *largest_shard(fb_store *store, const fb_shard *but) {
    fb_shard *largest = NULL;
    for (uint32_t i = 0; i < store->region->shard_count; i++) {
        fb_shard *shard = &store->shards[i];
        if (shard != but && (largest == NULL || bytes_of(shard) > bytes_of(largest))) {
            largest = shard;
        }
    }
    return largest;
}

static bool make_others_room(fb_store *store, fb_shard *shard, fb_shard *other, unsigned rounds) {
    if (other == NULL || other == shard || bytes_of(other) == 0 || !fb_shard_trylock(other)) {
        return false;
    }
    fb_shard_see(other, shard->now_ns);
    bool made = make_own_room(store, other, rounds);
    fb_shard_unlock(other);
    return made;
}

// One step towards room. False: nothing can be done from here.
static bool make_room(fb_store *store, fb_shard *shard, unsigned rounds) {
    fb_region *region = store->region;
    // A quarter less than its share counts as its share: the index is in what is committed, too.
    bool overcharged = bytes_of(shard) >= region->committed / region->shard_count / 4 * 3;
    if (!overcharged && make_others_room(store, shard, largest_shard(store, shard), rounds)) {
        return true;
    }
    if (make_own_room(store, shard, rounds)) {
        return true;
    }
    bool any = bytes_of(shard) > 0;
    for (uint32_t i = 0; i < region->shard_count; i++) {
        if (make_others_room(store, shard, &store->shards[i], rounds)) {
            return true;
        }
        any = any || bytes_of(&store->shards[i]) > 0;
    }
    return any && rounds < FB_EVICT_ALL;  // where nothing is stored, no round will find anything
}

// Evicts until `take` has what it asks for. Counts rounds that left no more free than before.
static uint32_t take_or_evict(fb_store *store, fb_shard *shard, uint64_t run_bytes) {
    unsigned rounds = 0;
    uint64_t free_before = 0;
    for (;;) {
        uint32_t id = run_bytes > 0 ? fb_budget_take_run(store, run_bytes) : fb_budget_take(store);
        if (id != 0) {
            return id;
        }
        if (!make_room(store, shard, rounds)) {
            return 0;
        }
        uint64_t free_now = fb_budget_free(store);
        rounds = free_now > free_before ? 0 : rounds + 1;
        free_before = free_now;
    }
}

static void take_spare(fb_store *store, fb_shard *shard) {
    uint32_t id = take_or_evict(store, shard, 0);
    if (id != 0 && shard->spare != 0) {
        // Making room has left one meanwhile.
        fb_budget_give(store, id);
    } else if (id != 0) {
        shard->spare = id;
        fb_segment_at(store, id)->state = FB_SEGMENT_SPARE;
    }
}

uint64_t fb_evict_reserve(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t size) {
    if (size > fb_record_small_max(store)) {
        uint32_t run = take_or_evict(store, shard, size);
        if (run == 0) {
            return 0;
        }
        fb_segment_add_run(store, shard, queue, run);
        return fb_segment_offset(store, run);
    }
    uint64_t offset = fb_segment_reserve(store, shard, queue, size);
    if (offset != 0) {
        return offset;
    }
    if (shard->spare == 0) {
        take_spare(store, shard);
    }
    uint32_t id = take_or_evict(store, shard, 0);
    if (id == 0) {
        return 0;
    }
    // Making room may have opened a segment of this queue that has room by now.
    offset = fb_segment_reserve(store, shard, queue, size);
    if (offset != 0) {
        fb_budget_give(store, id);
        return offset;
    }
    fb_segment_open(store, shard, queue, id);
    return fb_segment_offset(store, id);
}

bool fb_evict_grow(fb_store *store, fb_shard *shard, fb_zone *zone, uint64_t bytes) {
    unsigned rounds = 0;
    if (bytes > zone->size) {
        return false;
    }
    while (!fb_budget_grow(store, zone, bytes)) {
        if (!make_room(store, shard, rounds++)) {
            return false;
        }
    }
    return true;
}

void fb_evict_relieve(fb_store *store, uint64_t bytes, int64_t now_ns) {
    unsigned rounds = 0;
    uint64_t free_before = 0;
    while (rounds < 2 * FB_EVICT_ALL) {
        uint64_t free_now = fb_budget_free(store);
        if (free_now >= bytes) {
            return;
        }
        rounds = free_now > free_before ? 0 : rounds + 1;
        free_before = free_now;
        fb_shard *shard = largest_shard(store, NULL);
        fb_shard_lock(shard);
        fb_shard_see(shard, now_ns);
        (void)make_own_room(store, shard, rounds);
        fb_shard_unlock(shard);
    }
}

uint64_t fb_evict_sweep(fb_store *store, fb_shard *shard, uint32_t id, int64_t now_ns) {
    fb_segment *segment = fb_segment_at(store, id);
    uint64_t dropped = 0;
    int64_t due_ns = INT64_MAX;
    uint32_t at = 0;
    uint64_t offset;
    while ((offset = fb_segment_walk(store, id, &at)) != 0) {
        const fb_record *record = fb_record_at(store, offset);
        if (fb_record_wanted(store, record, now_ns)) {
            int64_t expires_ns = fb_record_expires(record);
            due_ns = expires_ns != 0 && expires_ns < due_ns ? expires_ns : due_ns;
            continue;
        }
        uint64_t hash = fb_record_hash(store, record);
        fb_place place;
        bool found = fb_bucket_find_offset(store, shard, hash, offset, &place);
        FB_ASSERT(found);
        fb_evict_drop(store, shard, &place, hash, true);
        dropped++;
    }
    segment->due_ns = due_ns;
    fb_segment_tidy(store, shard, id);
    return dropped;
}
