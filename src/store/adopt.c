// Adopting: a region whose writer is gone, perhaps killed at any instruction, gets a new one.
//
// What a shard holds (its index, its lists of segments, their records) is changed only between
// setting and clearing `busy`, under the shard's lock. So a shard that is not busy is as its writer
// left it between two calls; one that is busy is not looked at and is dropped: emptied. What all
// shards share (the pool: which segments are free, what is committed) is never believed; it follows
// from what the shards hold, and is made anew. A call that works on two shards at once (making
// room, store/evict.c) is busy in both. A resize that was cut off has not happened; the limit is
// that of the options. Clearing has been done in some shards.
//
// Beside that nothing is taken for granted: every number that writing relies on is checked before
// anything is changed, for a mistake of an older program, or of memory, must not bring this one
// down. What does not add up drops its shard. For each shard:
//
//   1. its zones lie where the layout has them, and reach as far as what is used of them;
//   2. its segments are linked both ways, no other shard has them, their records end where they
//      should, and what is counted is right;
//   3. chains are dense and have no overflow bucket twice, and every slot leads into its segments;
//   4. every live record has a slot in its own chain, under its own tag, and no slot before it has
//      its key; there are as many slots as live records. So the slots are the live records.
//
// Then the shards to be dropped say so to readers of other processes, who may be reading all the
// while, before their memory goes; the rest of the region follows. If this process is killed here,
// too, the next one finds shards that are whole, or not.
//
// Looking a record's slot up is a wait for memory; those of a group overlap, which is most of what
// adopting costs.

#include "store/attach.h"
#include "store/bucket.h"
#include "store/budget.h"
#include "store/ghost.h"
#include "store/record.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    GROUP = 16,           // records looked up together
    VERSIONS_LOST = 1024  // more than a writer can have given out unseen by its count
};

// What is found out about the region, and about the shard at hand.
typedef struct audit {
    fb_store *store;
    const fb_shard *shard;
    uint32_t number;
    uint32_t known;    // segments that are described
    uint32_t highest;  // segment that is held
    uint16_t *owner;   // of each segment: its shard, from 1
    uint8_t *whole;    // of each shard
    uint8_t *seen;     // overflow buckets of the shard
    uint64_t slots, records, live_bytes, bytes;
} audit;

static bool sound_zone(const audit *work, const fb_zone *zone, uint64_t at, uint64_t size,
                       uint64_t needed) {
    uint64_t page = work->store->region->page_size;
    return zone->offset == at && zone->size == size && zone->committed <= size &&
           zone->committed % page == 0 && zone->committed >= needed;
}

static bool sound_zones(const audit *work) {
    const fb_store *store = work->store;
    const fb_shard *shard = work->shard;
    uint64_t buckets = fb_shard_buckets(shard);
    uint64_t overflow_at = fb_shard_overflow_at(store, work->number);
    uint64_t ghosts_at = overflow_at + store->overflow_size;
    uint64_t ghosts_size = store->zones_stride - store->buckets_size - store->overflow_size;
    return buckets >= FB_BUCKETS_MIN && buckets <= store->buckets_size / FB_LINE &&
           sound_zone(work, &shard->buckets, fb_shard_buckets_at(store, work->number),
                      store->buckets_size, buckets * FB_LINE) &&
           sound_zone(work, &shard->overflow, overflow_at, store->overflow_size,
                      (uint64_t)shard->overflow_high * FB_LINE) &&
           sound_zone(work, &shard->ghosts, ghosts_at, ghosts_size, fb_ghost_bytes(buckets));
}

// Whether nobody else holds them; from then on the shard at hand does.
static bool claim(audit *work, uint32_t id, uint32_t length) {
    if (id == 0 || id >= work->known || length > work->known - id) {
        return false;
    }
    for (uint32_t i = id; i < id + length; i++) {
        uint32_t owner = work->owner[i];
        if (owner == work->number + 1 || (owner != 0 && work->whole[owner - 1] != 0)) {
            return false;
        }
        work->owner[i] = (uint16_t)(work->number + 1);
    }
    return true;
}

static bool sound_segment(audit *work, uint32_t id, unsigned queue, bool open) {
    const fb_store *store = work->store;
    if (id == 0 || id >= work->known) {
        return false;
    }
    const fb_segment *segment = fb_segment_at(store, id);
    uint64_t resident = segment->resident;
    bool run = segment->state == FB_SEGMENT_RUN;
    bool sealed = segment->state == FB_SEGMENT_SEALED;
    uint64_t length = (resident + store->segment_size - 1) >> store->segment_shift;
    return (open ? segment->state == FB_SEGMENT_OPEN : run || sealed) &&
           segment->shard == work->number && segment->queue == queue && segment->run == length &&
           (run ? length > 0 && resident % store->region->page_size == 0
                : resident == store->segment_size) &&
           segment->used <= resident && segment->live <= segment->used &&
           (open || segment->live > 0) && claim(work, id, segment->run);
}

// A slot leads to where a record could be, in a segment that the shard holds in a queue.
static bool sound_slot(const audit *work, uint64_t word) {
    const fb_store *store = work->store;
    uint64_t offset = fb_slot_offset(word);
    if (offset < store->log_at || offset >= store->app_at) {
        return false;
    }
    uint32_t id = fb_segment_of(store, offset);
    if (id >= work->known || work->owner[id] != work->number + 1) {
        return false;
    }
    const fb_segment *segment = fb_segment_at(store, id);
    uint64_t at = offset - fb_segment_offset(store, id);
    return at + sizeof(fb_record) <= segment->used && segment->state != FB_SEGMENT_SPARE &&
           segment->state != FB_SEGMENT_TAIL;
}

static bool see_overflow(const audit *work, uint32_t number) {
    if (number == 0 || number > work->shard->overflow_high) {
        return false;
    }
    uint8_t bit = (uint8_t)(1U << number % 8);
    bool seen = (work->seen[number / 8] & bit) != 0;
    work->seen[number / 8] |= bit;
    return !seen;
}

static uint64_t slot_of(const fb_bucket *bucket, unsigned slot) {
    return atomic_load_explicit(&bucket->slots[slot], memory_order_relaxed);
}

// Counts the slots of one chain; false: it is not sound.
static bool sound_chain(audit *work, const fb_bucket *bucket, uint32_t *overflow) {
    bool empty = false;
    if (atomic_load_explicit(&bucket->version, memory_order_relaxed) % 2 != 0) {
        return false;
    }
    for (;;) {
        for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
            uint64_t word = slot_of(bucket, slot);
            if (word != 0 && (empty || !sound_slot(work, word))) {
                return false;
            }
            empty = word == 0;
            work->slots += !empty;
        }
        uint32_t next = atomic_load_explicit(&bucket->next, memory_order_relaxed);
        if (next == 0) {
            return true;
        }
        if (empty || !see_overflow(work, next)) {
            return false;
        }
        bucket = fb_bucket_next(work->store, work->shard, bucket);
        empty = slot_of(bucket, 0) == 0;
        if (empty) {
            return false;
        }
        (*overflow)++;
    }
}

static bool sound_index(audit *work) {
    const fb_store *store = work->store;
    const fb_shard *shard = work->shard;
    uint64_t buckets = fb_shard_buckets(shard);
    uint32_t live = 0;
    uint32_t free = 0;
    memset(work->seen, 0, shard->overflow_high / 8 + 1);
    for (uint64_t number = 0; number < buckets; number++) {
        if (!sound_chain(work, fb_bucket_at(store, shard, number), &live)) {
            return false;
        }
    }
    const fb_bucket *overflow =
        (const fb_bucket *)(const void *)(store->base + shard->overflow.offset);
    for (uint32_t number = shard->overflow_free; number != 0; free++) {
        const fb_bucket *bucket = overflow + (number - 1);
        if (!see_overflow(work, number) || slot_of(bucket, 0) != 0) {
            return false;
        }
        number = atomic_load_explicit(&bucket->next, memory_order_relaxed);
    }
    return live == shard->overflow_live && live + free == shard->overflow_high &&
           work->slots == shard->items;
}

static bool same_key(const fb_store *store, uint64_t offset, const fb_record *record) {
    const fb_record *other = fb_record_at(store, offset);
    uint64_t end = offset + fb_record_head(other) + other->key_len;
    return other->key_len == record->key_len && end <= store->size &&
           memcmp(fb_record_bytes(other), fb_record_bytes(record), record->key_len) == 0;
}

// Whether a lookup of the record's key finds its slot.
static bool has_slot(const audit *work, uint64_t offset, uint64_t hash) {
    const fb_store *store = work->store;
    const fb_record *record = fb_record_at(store, offset);
    uint64_t tag = fb_slot_make(hash, 0, 0);
    uint64_t place = fb_split_address(hash, fb_shard_buckets(work->shard));
    const fb_bucket *bucket = fb_bucket_at(store, work->shard, place);
    for (; bucket != NULL; bucket = fb_bucket_next(store, work->shard, bucket)) {
        for (uint32_t match = fb_bucket_match(bucket, tag); match != 0; match &= match - 1) {
            uint64_t word = slot_of(bucket, fb_bucket_slot(match));
            if (word != 0 && fb_slot_offset(word) == offset) {
                return true;
            }
            if (word != 0 && same_key(store, fb_slot_offset(word), record)) {
                return false;
            }
        }
    }
    return false;
}

// A live record that is looked up with others.
typedef struct candidate {
    uint64_t offset, hash;
} candidate;

// The next few records of a segment from *at on. False: they do not lie as records do.
static bool gather(const audit *work, uint32_t id, uint32_t *at, candidate *group,
                   unsigned *count) {
    const fb_store *store = work->store;
    const fb_segment *segment = fb_segment_at(store, id);
    *count = 0;
    while (*count < GROUP && *at < segment->used) {
        uint64_t offset = fb_segment_offset(store, id) + *at;
        uint32_t left = segment->used - *at;
        const fb_record *record = fb_record_at(store, offset);
        if (left < sizeof(*record) || fb_record_size(record) > left) {
            return false;
        }
        *at += fb_record_size(record);
        if (!fb_record_dead(record)) {
            uint64_t hash = fb_record_hash(store, record);
            fb_bucket_fetch(store, work->shard, hash);
            group[(*count)++] = (candidate){offset, hash};
        }
    }
    return true;
}

static bool sound_record(const audit *work, const candidate *who, const fb_segment *segment) {
    const fb_store *store = work->store;
    const fb_record *record = fb_record_at(store, who->offset);
    int64_t expires_ns = fb_record_expires(record);
    return fb_shard_of(store, who->hash) == work->shard &&
           fb_record_version(record) <= work->shard->version &&
           fb_record_size(record) <= segment->largest &&
           (expires_ns == 0 || segment->due_ns <= expires_ns) &&
           has_slot(work, who->offset, who->hash);
}

static bool sound_records(audit *work, uint32_t id) {
    const fb_segment *segment = fb_segment_at(work->store, id);
    candidate group[GROUP];
    unsigned count;
    uint32_t at = 0;
    uint64_t live = 0;
    uint64_t records = 0;
    do {
        if (!gather(work, id, &at, group, &count)) {
            return false;
        }
        for (unsigned i = 0; i < count; i++) {
            if (!sound_record(work, &group[i], segment)) {
                return false;
            }
            live += fb_record_size(fb_record_at(work->store, group[i].offset));
        }
        records += count;
    } while (count == GROUP);
    bool run = segment->state == FB_SEGMENT_RUN;
    work->records += records;
    work->live_bytes += run ? segment->resident : live;
    return live == segment->live && (!run || records == 1);
}

// The segments of one queue: claims them, or looks at their records.
static bool sound_queue(audit *work, unsigned number, bool records) {
    const fb_store *store = work->store;
    const fb_queue *queue = &work->shard->queues[number];
    uint64_t bytes = 0;
    uint32_t before = 0;
    if (queue->open != 0) {
        if (!(records ? sound_records(work, queue->open)
                      : sound_segment(work, queue->open, number, true))) {
            return false;
        }
        bytes += store->segment_size;
    }
    for (uint32_t id = queue->oldest; id != 0; id = fb_segment_at(store, id)->next) {
        if (!(records ? sound_records(work, id) : sound_segment(work, id, number, false)) ||
            fb_segment_at(store, id)->prev != before) {
            return false;
        }
        bytes += fb_segment_at(store, id)->resident;
        before = id;
    }
    work->bytes += bytes;
    return queue->newest == before && queue->bytes == bytes;
}

static bool sound_spare(audit *work) {
    uint32_t id = work->shard->spare;
    if (id == 0) {
        return true;
    }
    if (!claim(work, id, 1)) {
        return false;
    }
    const fb_segment *segment = fb_segment_at(work->store, id);
    return segment->state == FB_SEGMENT_SPARE && segment->run == 1 &&
           segment->resident == work->store->segment_size;
}

static bool sound_shard(audit *work) {
    const fb_shard *shard = work->shard;
    work->slots = work->records = work->live_bytes = work->bytes = 0;
    if (atomic_load_explicit(&shard->busy, memory_order_relaxed) != 0 || shard->pinned != 0 ||
        !sound_zones(work) || !sound_spare(work)) {
        return false;
    }
    for (unsigned queue = 0; queue < FB_QUEUES; queue++) {
        if (!sound_queue(work, queue, false)) {
            return false;
        }
    }
    bool same = work->bytes == atomic_load_explicit(&shard->bytes, memory_order_relaxed);
    if (!same || !sound_index(work)) {
        return false;
    }
    for (unsigned queue = 0; queue < FB_QUEUES; queue++) {
        if (!sound_queue(work, queue, true)) {
            return false;
        }
    }
    return work->records == shard->items && work->live_bytes == shard->live_bytes;
}

// ---- after the audit: the region is changed

static bool held(const audit *work, uint32_t id) {
    return work->owner[id] != 0 && work->whole[work->owner[id] - 1] != 0;
}

// Memory that is counted, for certain; the rest of the zone is given back.
static int settle_zone(fb_store *store, fb_zone *zone, uint64_t bytes) {
    fb_region *region = store->region;
    uint64_t needed = fb_round_up(bytes, region->page_size);
    zone->committed = needed;
    region->committed += needed;
    fb_mapping_release(store, zone->offset + needed, zone->size - needed);
    return fb_mapping_reserve(store, zone->offset, needed);
}

// The shards to be dropped have no buckets any more, before what was in them goes.
static void announce(const audit *work) {
    const fb_region *region = work->store->region;
    for (uint32_t i = 0; i < region->shard_count; i++) {
        fb_shard *shard = &work->store->shards[i];
        if (work->whole[i] == 0) {
            uint64_t changes = atomic_load_explicit(&shard->geometry, memory_order_relaxed) >> 32;
            atomic_store_explicit(&shard->geometry, (changes + 1) << 32, memory_order_relaxed);
        }
    }
    fb_race_before_writes();
}

// From `from` up to `to` is held or is not; both in bytes of the log.
static int settle_log(fb_store *store, uint64_t from, uint64_t to, bool keep) {
    if (from == to) {
        return FB_OK;
    }
    if (keep) {
        store->region->committed += to - from;
        return fb_mapping_reserve(store, store->log_at + from, to - from);
    }
    fb_mapping_release(store, store->log_at + from, to - from);
    return FB_OK;
}

// The map of segments, their descriptions, and the log, from what is held.
static int settle_segments(const audit *work) {
    fb_store *store = work->store;
    fb_region *region = store->region;
    uint8_t *map = store->base + region->used_map.offset;
    uint64_t from = 0;
    uint64_t end = 0;
    int result =
        settle_zone(store, &region->segments, (work->highest + UINT64_C(1)) * sizeof(fb_segment));
    if (result == FB_OK) {
        result = settle_zone(store, &region->used_map, work->highest / 8 + UINT64_C(1));
    }
    if (result != FB_OK) {
        return result;
    }
    memset(map, 0, region->used_map.committed);
    uint64_t described = (work->highest + UINT64_C(1)) * sizeof(fb_segment);
    memset(store->base + region->segments.offset + described, 0,
           region->segments.committed - described);
    // `end` is where what is held at last ends; what lies from there to the next is not held.
    for (uint32_t id = 1; id <= work->highest && result == FB_OK;) {
        if (!held(work, id)) {
            *fb_segment_at(store, id++) = (fb_segment){.run = 0};
            continue;
        }
        const fb_segment *segment = fb_segment_at(store, id);
        uint64_t start = (uint64_t)(id - 1) << store->segment_shift;
        if (start != end) {
            result = settle_log(store, from, end, true);
            result = result == FB_OK ? settle_log(store, end, start, false) : result;
            from = start;
        }
        end = start + segment->resident;
        for (uint32_t last = id + segment->run; id < last; id++) {
            map[id / 8] |= (uint8_t)(1U << id % 8);
        }
    }
    result = result == FB_OK ? settle_log(store, from, end, true) : result;
    return result == FB_OK ? settle_log(store, end, store->app_at - store->log_at, false) : result;
}

static int settle_shard(const audit *work, uint32_t number) {
    fb_store *store = work->store;
    fb_shard *shard = &store->shards[number];
    if (work->whole[number] == 0) {
        fb_mapping_release(store, fb_shard_buckets_at(store, number), store->zones_stride);
        shard->version += VERSIONS_LOST;
        return fb_mapping_start_shard(store, number) ? FB_OK : FB_ENOMEM;
    }
    memset(&shard->lock, 0, sizeof(shard->lock));
    pthread_mutex_init(&shard->lock, NULL);
    shard->due = shard->turn = shard->stale = shard->sparse = (fb_cursor){0};
    fb_zone *zones[] = {&shard->buckets, &shard->overflow, &shard->ghosts};
    int result = FB_OK;
    for (unsigned i = 0; i < 3 && result == FB_OK; i++) {
        result = settle_zone(store, zones[i], zones[i]->committed);
    }
    return result;
}

// The pool as of a region in which nothing is free; the rest adds to `committed`.
static void start_pool(fb_store *store) {
    fb_region *region = store->region;
    memset(&region->resize_lock, 0, sizeof(region->resize_lock));
    memset(&region->pool_lock, 0, sizeof(region->pool_lock));
    fb_mapping_start_locks(region);
    region->committed = region->segments.offset;
    region->limit = UINT64_MAX;
    region->ceiling = UINT64_MAX;
    region->resizing = true;
    region->warm = region->cleared = 0;
    region->warm_bytes = region->cleared_bytes = 0;
    region->low = region->huge_low = 1;
    region->sweep_shard = 0;
}

// Down to the limit that is asked for.
static int settle_limit(fb_store *store, uint64_t limit_bytes) {
    fb_region *region = store->region;
    uint64_t committed = region->committed;
    region->resizing = false;
    region->limit = committed > limit_bytes ? committed : limit_bytes;
    return committed > limit_bytes ? fb_store_resize(store, limit_bytes) : FB_OK;
}

static int rebuild(const audit *work, const fb_store_options *options) {
    fb_store *store = work->store;
    fb_region *region = store->region;
    announce(work);
    start_pool(store);
    int result = fb_mapping_reserve(store, 0, region->segments.offset);
    if (result == FB_OK) {
        result = fb_mapping_reserve(store, store->app_at, store->size - store->app_at);
    }
    if (result == FB_OK) {
        result = settle_segments(work);
    }
    for (uint32_t i = 0; i < region->shard_count && result == FB_OK; i++) {
        result = settle_shard(work, i);
    }
    if (result == FB_OK) {
        result = settle_limit(store, options->limit_bytes);
    }
    if (result == FB_OK) {
        atomic_store_explicit(&region->retired, 0, memory_order_release);
    }
    return result;
}

static void run_audit(audit *work) {
    fb_store *store = work->store;
    const fb_region *region = store->region;
    uint64_t known = region->segments.committed / sizeof(fb_segment);
    work->known = known <= region->segment_count ? (uint32_t)known : region->segment_count + 1;
    for (work->number = 0; work->number < region->shard_count; work->number++) {
        work->shard = &store->shards[work->number];
        work->whole[work->number] = sound_shard(work);
    }
    for (uint32_t id = 1; id < work->known; id++) {
        if (held(work, id)) {
            work->highest = id;
        }
    }
}

// What there is in the end.
static void report(const audit *work, fb_store_adopted *adopted) {
    *adopted = (fb_store_adopted){0, 0};
    for (uint32_t i = 0; i < work->store->region->shard_count; i++) {
        adopted->items += work->store->shards[i].items;
        adopted->shards_dropped += work->whole[i] == 0;
    }
}

static bool sound_pool(const fb_store *store) {
    const fb_region *region = store->region;
    uint64_t segments = region->segment_count + UINT64_C(1);
    uint64_t page = region->page_size;
    uint64_t shards_end = region->shards_at + region->shard_count * sizeof(fb_shard);
    uint64_t segments_at = fb_round_up(shards_end, page);
    uint64_t segments_size = fb_round_up(segments * sizeof(fb_segment), page);
    return region->segments.offset == segments_at && region->segments.size == segments_size &&
           region->segments.committed <= segments_size &&
           region->used_map.offset == segments_at + segments_size &&
           region->used_map.size == fb_round_up(region->segment_count / 8 + UINT64_C(16), page);
}

static int judge(const fb_store *store, const fb_store_options *options, fb_error *error) {
    const fb_region *region = store->region;
    uint64_t limit = options->limit_bytes;
    if (options->shard_count != 0 && options->shard_count != region->shard_count) {
        return fb_error_set(error, FB_EINVAL, "the region has %u shards, not %u",
                            region->shard_count, options->shard_count);
    }
    if (options->app_bytes != store->app_bytes) {
        return fb_error_set(error, FB_EINVAL,
                            "the region has room of another size beside its items");
    }
    if (!sound_pool(store)) {
        return fb_error_set(error, FB_EINVAL, "the region's pool of segments is damaged");
    }
    if (limit < FB_STORE_LIMIT_MIN || limit > region->limit_max ||
        limit < fb_mapping_floor_of(store)) {
        char text[48];
        return fb_error_set(error, FB_EINVAL, "the region was made for limits that are far from %s",
                            fb_units_show_bytes(limit, text, sizeof text));
    }
    return FB_OK;
}

static int adopt(fb_store *store, const fb_store_options *options, fb_store_adopted *adopted,
                 fb_error *error) {
    const fb_region *region = store->region;
    int result = judge(store, options, error);
    if (result != FB_OK) {
        return result;
    }
    audit work = {.store = store};
    work.owner = fb_mem_zero(region->segment_count + UINT64_C(1), sizeof(*work.owner));
    work.whole = fb_mem_zero(region->shard_count, 1);
    work.seen = fb_mem_new(store->overflow_size / FB_LINE / 8 + 1);
    if (work.owner == NULL || work.whole == NULL || work.seen == NULL) {
        result = fb_error_set(error, FB_ENOMEM, "out of memory");
    } else {
        run_audit(&work);
        result = rebuild(&work, options);
        if (result == FB_OK) {
            report(&work, adopted);
        } else {
            fb_error_set(error, result, "there is no memory for the region");
        }
    }
    fb_mem_free(work.owner);
    fb_mem_free(work.whole);
    fb_mem_free(work.seen);
    return result;
}

int fb_store_adopt(const fb_store_options *options, fb_store **store, fb_store_adopted *adopted,
                   fb_error *error) {
    *store = NULL;
    if (!options->in_file) {
        return fb_error_set(error, FB_EINVAL, "only a region in a file can be adopted");
    }
    fb_store *made = fb_mem_zero(1, sizeof(*made));
    if (made == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int fd = fcntl(options->fd, F_DUPFD_CLOEXEC, 0);
    int result = fd >= 0 ? fb_attach_map(made, fd, false, options, error)
                         : fb_error_set(error, FB_EIO, "the file cannot be kept (errno %d)", errno);
    if (result != FB_OK) {
        if (fd >= 0) {
            (void)close(fd);
        }
        fb_mem_free(made);
        return result;
    }
    made->alive = options->alive;
    made->alive_arg = options->alive_arg;
    made->left = options->left;
    made->left_arg = options->left_arg;
    result = adopt(made, options, adopted, error);
    if (result != FB_OK) {
        fb_store_free(made);
        return result;
    }
    *store = made;
    return FB_OK;
}
