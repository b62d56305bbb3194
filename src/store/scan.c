// Scanning: a cursor is a place in one shard's index (upper bits) and the shard (lower bits).
//
// Places are counted with the highest bit first (as Redis does since 2.8, by Pieter Noordhuis):
// what a bucket was split into, or will be merged into, comes at the same place of that order. With
// linear hashing a step covers a bucket as of the last full round, with the one it was split into,
// if any. Reclaiming moves records, not slots, and a chain is visited under the lock as a whole, so
// nothing that stays can be passed over; after merging, something may be seen twice.

#include "store/bucket.h"
#include "store/evict.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/upkeep.h"

enum {
    SHARD_BITS = 16,  // of the cursor
    HOLD_STEPS = 32   // steps under one lock
};

// Either `fn` sees the items or `pick` says which go.
typedef struct visitor {
    int64_t now_ns;
    fb_item_fn fn;
    fb_item_pick_fn pick;
    void *arg;
    uint64_t removed;
} visitor;

static uint64_t reverse(uint64_t bits) {
    bits = __builtin_bswap64(bits);
    bits = (bits >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (bits & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    bits = (bits >> 2 & UINT64_C(0x3333333333333333)) | (bits & UINT64_C(0x3333333333333333)) << 2;
    return (bits >> 1 & UINT64_C(0x5555555555555555)) | (bits & UINT64_C(0x5555555555555555)) << 1;
}

static void remove_picked(fb_store *store, fb_shard *shard, const fb_place *place, visitor *visit) {
    uint64_t offset = fb_slot_offset(fb_place_word(place));
    fb_bucket_remove(store, shard, place);
    fb_segment_kill(store, shard, offset);
    fb_segment_tidy(store, shard, fb_segment_of(store, offset));
    shard->dels++;
    visit->removed++;
}

// Visits one slot; whether it is gone.
static bool visit_slot(fb_store *store, fb_shard *shard, const fb_place *place, visitor *visit) {
    const fb_record *record = fb_record_at(store, fb_slot_offset(fb_place_word(place)));
    if (fb_record_expired(record, visit->now_ns)) {
        return false;
    }
    fb_item item;
    fb_record_read(record, &item);
    if (visit->fn != NULL) {
        visit->fn(visit->arg, &item);
    } else if (visit->pick(visit->arg, &item)) {
        remove_picked(store, shard, place, visit);
        return true;
    }
    return false;
}

// Removing puts the chain's last slot in the place of the one that goes (and may free the bucket it
// was in), so slots are visited from the end: what is moved has been visited already.
static uint64_t visit_chain(fb_store *store, fb_shard *shard, uint64_t number, visitor *visit) {
    fb_bucket *head = fb_bucket_at(store, shard, number);
    unsigned length = 1;
    for (fb_bucket *at = head; at->next != 0; at = fb_bucket_next(store, shard, at)) {
        length++;
    }
    for (unsigned left = length; left > 0; left--) {
        fb_bucket *bucket = head;
        for (unsigned i = 1; i < left; i++) {
            bucket = fb_bucket_next(store, shard, bucket);
        }
        for (unsigned slot = FB_BUCKET_SLOTS; slot-- > 0;) {
            fb_place place = {head, bucket, slot};
            if (fb_place_word(&place) != 0) {
                (void)visit_slot(store, shard, &place, visit);
            }
        }
    }
    return length * FB_BUCKET_SLOTS;
}

// One step at *place, which moves on; 0 again at the end. Returns the index places visited.
static uint64_t step(fb_store *store, fb_shard *shard, uint64_t *place, visitor *visit) {
    uint64_t count = fb_shard_buckets(shard);
    uint64_t round = UINT64_C(1) << (63 - __builtin_clzll(count));
    uint64_t number = *place & (round - 1);
    uint64_t places = visit_chain(store, shard, number, visit);
    if (number + round < count) {
        places += visit_chain(store, shard, number + round, visit);
    }
    *place = reverse(reverse(*place | ~(round - 1)) + 1);
    return places;
}

// As many steps as one hold of the lock allows.
static uint64_t walk_shard(fb_store *store, uint32_t number, uint64_t *place, uint64_t places_max,
                           visitor *visit) {
    fb_shard *shard = &store->shards[number];
    uint64_t removed = visit->removed;
    uint64_t places = 0;
    fb_shard_lock(shard);
    for (unsigned i = 0; i < HOLD_STEPS; i++) {
        places += step(store, shard, place, visit);
        if (*place == 0 || places >= places_max) {
            break;
        }
    }
    fb_upkeep_index(store, shard, visit->removed - removed);
    fb_shard_unlock(shard);
    return places;
}

uint64_t fb_store_scan(fb_store *store, uint64_t cursor, uint64_t count, int64_t now_ns,
                       fb_item_fn fn, void *arg) {
    visitor visit = {.now_ns = now_ns, .fn = fn, .arg = arg};
    uint64_t shard = cursor & ((1U << SHARD_BITS) - 1);
    uint64_t place = cursor >> SHARD_BITS;
    uint64_t places = 0;
    while (shard < store->region->shard_count) {
        uint64_t more = count > places ? count - places : 1;
        places += walk_shard(store, (uint32_t)shard, &place, more, &visit);
        shard += place == 0;
        if (places >= count) {
            break;
        }
    }
    return shard < store->region->shard_count ? place << SHARD_BITS | shard : 0;
}

uint64_t fb_store_remove_if(fb_store *store, int64_t now_ns, fb_item_pick_fn fn, void *arg) {
    visitor visit = {.now_ns = now_ns, .pick = fn, .arg = arg};
    for (uint32_t shard = 0; shard < store->region->shard_count; shard++) {
        uint64_t place = 0;
        do {
            walk_shard(store, shard, &place, UINT64_MAX, &visit);
        } while (place != 0);
    }
    return visit.removed;
}
