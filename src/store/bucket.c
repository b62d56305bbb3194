// The index: linear hashing over one-line buckets.
//
// A shard starts with one page of buckets and grows with its items, one bucket at a time, so that a
// put never pays for more than one split and memory for the index follows what is stored. The price
// is that, half way through a round, the buckets not yet split are twice as full: with five items
// to a bucket on average about one key in twenty lies in an overflow bucket. Doubling at once has
// the same average and a pause; sizing the index for the smallest items from the start would cost a
// fifth of the limit.
//
// Chains are dense: only the last bucket of a chain has empty slots, and an overflow bucket is
// never empty. Splitting therefore never needs more overflow buckets than it frees.
//
// Readers without the lock (store/read.c, which has the whole argument) read the geometry, then the
// head's version, search, and check both again. So: what is in a chain changes only between begin
// and end of its head; an overflow bucket leaves its chain before it can come into another; the
// geometry's upper half changes with every split, merge and reset, before a page of the index can
// be given back; and while the shard is being reset it says that there are no buckets at all.

#include "store/bucket.h"

#include "store/budget.h"
#include "store/ghost.h"
#include "store/race.h"
#include "store/record.h"

enum {
    LOAD_MAX = 5,     // items a bucket, above it the index grows
    LOAD_MIN = 2,     // below it the index shrinks
    RECORD_LINES = 3  // that most records have
};

static uint64_t load(const fb_bucket *bucket, unsigned slot) {
    return atomic_load_explicit(&bucket->slots[slot], memory_order_relaxed);
}

static void set(fb_bucket *bucket, unsigned slot, uint64_t word) {
    atomic_store_explicit(&bucket->slots[slot], word, memory_order_relaxed);
}

static uint32_t next_of(const fb_bucket *bucket) {
    return atomic_load_explicit(&bucket->next, memory_order_relaxed);
}

static void set_next(fb_bucket *bucket, uint32_t number) {
    atomic_store_explicit(&bucket->next, number, memory_order_relaxed);
}

static void empty(fb_bucket *bucket) {
    set_next(bucket, 0);
    for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
        set(bucket, slot, 0);
    }
}

static fb_bucket *overflow_at(const fb_store *store, const fb_shard *shard, uint32_t number) {
    return (fb_bucket *)(void *)(store->base + shard->overflow.offset) + (number - 1);
}

fb_bucket *fb_bucket_at(const fb_store *store, const fb_shard *shard, uint64_t number) {
    return (fb_bucket *)(void *)(store->base + shard->buckets.offset) + number;
}

fb_bucket *fb_bucket_next(const fb_store *store, const fb_shard *shard, const fb_bucket *bucket) {
    uint32_t next = next_of(bucket);
    return next != 0 ? overflow_at(store, shard, next) : NULL;
}

static fb_bucket *head_of(const fb_store *store, const fb_shard *shard, uint64_t hash) {
    return fb_bucket_at(store, shard, fb_split_address(hash, fb_shard_buckets(shard)));
}

void fb_bucket_begin(fb_bucket *head) {
    uint32_t version = atomic_load_explicit(&head->version, memory_order_relaxed);
    FB_ASSERT(version % 2 == 0);
    atomic_store_explicit(&head->version, version + 1, memory_order_relaxed);
    fb_race_before_writes();
}

void fb_bucket_end(fb_bucket *head) {
    uint32_t version = atomic_load_explicit(&head->version, memory_order_relaxed);
    FB_ASSERT(version % 2 == 1);
    atomic_store_explicit(&head->version, version + 1, memory_order_release);
}

static void set_geometry(fb_shard *shard, uint64_t buckets) {
    uint64_t changes = atomic_load_explicit(&shard->geometry, memory_order_relaxed) >> 32;
    atomic_store_explicit(&shard->geometry, (changes + 1) << 32 | buckets, memory_order_release);
}

bool fb_bucket_reset(fb_store *store, fb_shard *shard) {
    uint64_t ghost_bytes = fb_ghost_bytes(FB_BUCKETS_MIN);
    uint64_t bucket_bytes = FB_BUCKETS_MIN * FB_LINE;
    set_geometry(shard, 0);
    fb_race_before_writes();
    fb_budget_shrink(store, &shard->buckets, bucket_bytes);
    fb_budget_shrink(store, &shard->overflow, 0);
    fb_budget_shrink(store, &shard->ghosts, ghost_bytes);
    if (!fb_budget_grow(store, &shard->buckets, bucket_bytes) ||
        !fb_budget_grow(store, &shard->ghosts, ghost_bytes)) {
        return false;
    }
    for (unsigned i = 0; i < FB_BUCKETS_MIN; i++) {
        fb_bucket *bucket = fb_bucket_at(store, shard, i);
        fb_bucket_begin(bucket);
        empty(bucket);
        fb_bucket_end(bucket);
    }
    fb_ghost_reset(store, shard);
    shard->items = 0;
    shard->overflow_free = 0;
    shard->overflow_high = 0;
    shard->overflow_live = 0;
    set_geometry(shard, FB_BUCKETS_MIN);
    return true;
}

bool fb_bucket_find(const fb_store *store, const fb_shard *shard, uint64_t hash, fb_str key,
                    fb_place *place) {
    uint64_t tag = fb_slot_make(hash, 0, 0);
    fb_bucket *head = head_of(store, shard, hash);
    for (fb_bucket *bucket = head; bucket != NULL; bucket = fb_bucket_next(store, shard, bucket)) {
        for (uint32_t match = fb_bucket_match(bucket, tag); match != 0; match &= match - 1) {
            unsigned slot = fb_bucket_slot(match);
            uint64_t word = load(bucket, slot);
            if (word == 0) {
                continue;
            }
            const fb_record *record = fb_record_at(store, fb_slot_offset(word));
            if (record->key_len == key.len &&
                fb_race_equal(fb_record_bytes(record), key.ptr, key.len)) {
                *place = (fb_place){head, bucket, slot};
                return true;
            }
        }
    }
    return false;
}

bool fb_bucket_find_offset(const fb_store *store, const fb_shard *shard, uint64_t hash,
                           uint64_t offset, fb_place *place) {
    uint64_t tag = fb_slot_make(hash, 0, 0);
    fb_bucket *head = head_of(store, shard, hash);
    for (fb_bucket *bucket = head; bucket != NULL; bucket = fb_bucket_next(store, shard, bucket)) {
        for (uint32_t match = fb_bucket_match(bucket, tag); match != 0; match &= match - 1) {
            unsigned slot = fb_bucket_slot(match);
            if (fb_slot_offset(load(bucket, slot)) == offset) {
                *place = (fb_place){head, bucket, slot};
                return true;
            }
        }
    }
    return false;
}

void fb_bucket_fetch(const fb_store *store, const fb_shard *shard, uint64_t hash) {
    __builtin_prefetch(head_of(store, shard, hash));
}

void fb_bucket_approach(const fb_store *store, const fb_shard *shard, uint64_t hash) {
    uint64_t count = fb_shard_buckets(shard);
    if (count == 0) {  // being reset
        return;
    }
    const fb_bucket *bucket = fb_bucket_at(store, shard, fb_split_address(hash, count));
    for (uint32_t match = fb_bucket_match(bucket, fb_slot_make(hash, 0, 0)); match != 0;
         match &= match - 1) {
        uint64_t offset = fb_slot_offset(load(bucket, fb_bucket_slot(match)));
        const char *record = (const char *)fb_record_at(store, offset);
        for (unsigned line = 0; line < RECORD_LINES; line++) {
            __builtin_prefetch(record + line * FB_LINE, 1);
        }
    }
}

bool fb_bucket_least(const fb_store *store, const fb_shard *shard, uint64_t hash, fb_place *place) {
    fb_bucket *head = head_of(store, shard, hash);
    unsigned least = UINT32_MAX;
    for (fb_bucket *bucket = head; bucket != NULL; bucket = fb_bucket_next(store, shard, bucket)) {
        for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
            uint64_t word = load(bucket, slot);
            if (word != 0 && fb_slot_frequency(word) < least) {
                least = fb_slot_frequency(word);
                *place = (fb_place){head, bucket, slot};
            }
        }
    }
    return least != UINT32_MAX;
}

void fb_bucket_set(const fb_place *place, uint64_t word) {
    fb_bucket_begin(place->head);
    set(place->bucket, place->slot, word);
    fb_bucket_end(place->head);
}

static uint32_t overflow_take(fb_store *store, fb_shard *shard) {
    uint32_t number = shard->overflow_free;
    if (number != 0) {
        shard->overflow_free = next_of(overflow_at(store, shard, number));
    } else if ((shard->overflow_high + UINT64_C(1)) * FB_LINE <= shard->overflow.committed) {
        number = ++shard->overflow_high;
    } else {
        return 0;
    }
    empty(overflow_at(store, shard, number));
    shard->overflow_live++;
    return number;
}

static void overflow_give(fb_store *store, fb_shard *shard, uint32_t number) {
    fb_bucket *bucket = overflow_at(store, shard, number);
    set(bucket, 0, 0);
    set_next(bucket, shard->overflow_free);
    shard->overflow_free = number;
    shard->overflow_live--;
}

uint64_t fb_bucket_overflow_bytes(const fb_shard *shard) {
    if (shard->overflow_free != 0 || shard->overflow_high >= fb_shard_buckets(shard) / 2 + 8) {
        return 0;
    }
    return (shard->overflow_high + UINT64_C(1)) * FB_LINE;
}

// Into the first empty slot, which is in the last bucket of the chain or in a new one.
static bool append(fb_store *store, fb_shard *shard, fb_bucket *head, uint64_t word) {
    fb_bucket *bucket = head;
    for (fb_bucket *next = bucket; next != NULL; next = fb_bucket_next(store, shard, next)) {
        bucket = next;
    }
    for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
        if (load(bucket, slot) == 0) {
            set(bucket, slot, word);
            return true;
        }
    }
    uint32_t number = overflow_take(store, shard);
    if (number == 0) {
        return false;
    }
    set(overflow_at(store, shard, number), 0, word);
    set_next(bucket, number);
    return true;
}

bool fb_bucket_insert(fb_store *store, fb_shard *shard, uint64_t hash, uint64_t word) {
    fb_bucket *head = head_of(store, shard, hash);
    fb_bucket_begin(head);
    bool inserted = append(store, shard, head, word);
    fb_bucket_end(head);
    shard->items += inserted;
    return inserted;
}

static unsigned fill(const fb_bucket *bucket) {
    unsigned count = 0;
    while (count < FB_BUCKET_SLOTS && load(bucket, count) != 0) {
        count++;
    }
    return count;
}

void fb_bucket_remove(fb_store *store, fb_shard *shard, const fb_place *place) {
    fb_bucket *before = NULL;
    fb_bucket *last = place->head;
    for (fb_bucket *next; (next = fb_bucket_next(store, shard, last)) != NULL; last = next) {
        before = last;
    }
    unsigned count = fill(last);
    FB_ASSERT(count > 0);
    fb_bucket_begin(place->head);
    set(place->bucket, place->slot, load(last, count - 1));
    set(last, count - 1, 0);
    if (count == 1 && before != NULL) {
        uint32_t number = next_of(before);
        set_next(before, 0);
        overflow_give(store, shard, number);
    }
    fb_bucket_end(place->head);
    shard->items--;
}

bool fb_bucket_crowded(const fb_shard *shard) {
    return shard->items > fb_shard_buckets(shard) * LOAD_MAX;
}

bool fb_bucket_sparse(const fb_shard *shard) {
    uint64_t buckets = fb_shard_buckets(shard);
    return buckets > FB_BUCKETS_MIN && shard->items < buckets * LOAD_MIN;
}

// Takes a chain apart and puts every slot where it belongs with the present geometry. Each overflow
// bucket is free before its slots are placed again, so that placing cannot fail.
static void redistribute(fb_store *store, fb_shard *shard, fb_bucket *head, bool all_to_one,
                         fb_bucket *one) {
    uint64_t words[FB_BUCKET_SLOTS];
    uint32_t next = next_of(head);
    for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
        words[slot] = load(head, slot);
        set(head, slot, 0);
    }
    set_next(head, 0);
    for (;;) {
        for (unsigned slot = 0; slot < FB_BUCKET_SLOTS && words[slot] != 0; slot++) {
            fb_bucket *target = one;
            if (!all_to_one) {
                uint64_t offset = fb_slot_offset(words[slot]);
                target = head_of(store, shard, fb_record_hash(store, fb_record_at(store, offset)));
            }
            bool placed = append(store, shard, target, words[slot]);
            FB_ASSERT(placed);
        }
        if (next == 0) {
            return;
        }
        fb_bucket *bucket = overflow_at(store, shard, next);
        for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
            words[slot] = load(bucket, slot);
        }
        uint32_t number = next;
        next = next_of(bucket);
        overflow_give(store, shard, number);
    }
}

// The bucket that `number` was split from, or will be merged with.
static uint64_t parent_of(uint64_t number) {
    return number & ~(UINT64_C(1) << (63 - __builtin_clzll(number)));
}

bool fb_bucket_split(fb_store *store, fb_shard *shard) {
    uint64_t count = fb_shard_buckets(shard);
    if (!fb_budget_grow(store, &shard->buckets, (count + 1) * FB_LINE) ||
        !fb_budget_grow(store, &shard->ghosts, fb_ghost_bytes(count + 1))) {
        return false;
    }
    fb_bucket *old = fb_bucket_at(store, shard, parent_of(count));
    fb_bucket *new = fb_bucket_at(store, shard, count);
    empty(new);
    for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
        uint64_t word = load(old, slot);
        if (word != 0) {
            __builtin_prefetch(fb_record_at(store, fb_slot_offset(word)));
        }
    }
    fb_bucket_begin(old);
    fb_bucket_begin(new);
    set_geometry(shard, count + 1);
    redistribute(store, shard, old, false, NULL);
    fb_bucket_end(new);
    fb_bucket_end(old);
    fb_ghost_split(store, shard);
    return true;
}

bool fb_bucket_merge(fb_store *store, fb_shard *shard) {
    uint64_t count = fb_shard_buckets(shard);
    bool spare = shard->overflow_free != 0 ||
                 (shard->overflow_high + UINT64_C(1)) * FB_LINE <= shard->overflow.committed;
    fb_bucket *last = fb_bucket_at(store, shard, count - 1);
    fb_bucket *into = fb_bucket_at(store, shard, parent_of(count - 1));
    bool fits = next_of(last) == 0 && next_of(into) == 0 &&
                fill(last) + fill(into) <= FB_BUCKET_SLOTS;
    if (count <= FB_BUCKETS_MIN || (!spare && !fits)) {
        return false;
    }
    fb_bucket_begin(into);
    fb_bucket_begin(last);
    set_geometry(shard, count - 1);
    redistribute(store, shard, last, true, into);
    fb_bucket_end(last);
    fb_bucket_end(into);
    fb_budget_shrink(store, &shard->buckets, (count - 1) * FB_LINE);
    fb_budget_shrink(store, &shard->ghosts, fb_ghost_bytes(count - 1));
    return true;
}

// Moves the overflow bucket `from` to `to`, which is free.
static void move_overflow(fb_store *store, fb_shard *shard, uint32_t from, uint32_t to) {
    fb_bucket *bucket = overflow_at(store, shard, from);
    uint64_t offset = fb_slot_offset(load(bucket, 0));
    fb_bucket *head = head_of(store, shard, fb_record_hash(store, fb_record_at(store, offset)));
    fb_bucket *before = head;
    while (next_of(before) != from) {
        before = fb_bucket_next(store, shard, before);
        FB_ASSERT(before != NULL);
    }
    fb_bucket_begin(head);
    fb_bucket *target = overflow_at(store, shard, to);
    for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
        set(target, slot, load(bucket, slot));
    }
    set_next(target, next_of(bucket));
    set_next(before, to);
    set(bucket, 0, 0);
    fb_bucket_end(head);
}

void fb_bucket_trim(fb_store *store, fb_shard *shard) {
    uint32_t low = 1;
    // A free overflow bucket is one whose first slot is empty.
    for (uint32_t high = shard->overflow_high; high > shard->overflow_live; high--) {
        if (load(overflow_at(store, shard, high), 0) == 0) {
            continue;
        }
        while (load(overflow_at(store, shard, low), 0) != 0) {
            low++;
        }
        move_overflow(store, shard, high, low);
    }
    shard->overflow_high = shard->overflow_live;
    shard->overflow_free = 0;
    fb_budget_shrink(store, &shard->overflow, (uint64_t)shard->overflow_high * FB_LINE);
}
