// Every invariant of the store, asserted, one shard after the other. What the shards add up to is
// compared with the budget if nobody took or gave memory meanwhile.

#include "store/bucket.h"
#include "store/budget.h"
#include "store/ghost.h"
#include "store/record.h"
#include "store/segment.h"

// What the shards add up to.
typedef struct sums {
    uint64_t resident, zones;
} sums;

static void check_slot(const fb_store *store, const fb_shard *shard, uint64_t number,
                       uint64_t word) {
    uint64_t offset = fb_slot_offset(word);
    const fb_record *record = fb_record_at(store, offset);
    const fb_segment *segment = fb_segment_at(store, fb_segment_of(store, offset));
    uint64_t hash = fb_record_hash(store, record);
    fb_place place;
    FB_ASSERT(!fb_record_dead(record));
    FB_ASSERT(fb_split_address(hash, fb_shard_buckets(shard)) == number);
    FB_ASSERT(fb_shard_of(store, hash) == shard);
    FB_ASSERT(&store->shards[segment->shard] == shard);
    FB_ASSERT(segment->state == FB_SEGMENT_OPEN || segment->state == FB_SEGMENT_SEALED ||
              segment->state == FB_SEGMENT_RUN);
    // Another slot for the same key would be found before this one, or this one before it.
    bool found = fb_bucket_find(store, shard, hash, fb_record_key(record), &place);
    // But for its frequency, which readers raise meanwhile.
    uint64_t frequency = (uint64_t)FB_SLOT_FREQUENCY_MAX << FB_SLOT_FREQUENCY_SHIFT;
    FB_ASSERT(found && ((fb_place_word(&place) ^ word) & ~frequency) == 0);
}

static void check_index(const fb_store *store, const fb_shard *shard) {
    uint64_t buckets = fb_shard_buckets(shard);
    uint64_t items = 0;
    uint32_t overflow = 0;
    for (uint64_t number = 0; number < buckets; number++) {
        const fb_bucket *bucket = fb_bucket_at(store, shard, number);
        bool empty = false;
        FB_ASSERT(bucket->version % 2 == 0);
        for (; bucket != NULL; bucket = fb_bucket_next(store, shard, bucket)) {
            FB_ASSERT(!empty);
            for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
                FB_ASSERT(bucket->slots[slot] == 0 || !empty);
                empty = bucket->slots[slot] == 0;
                items += !empty;
                if (!empty) {
                    check_slot(store, shard, number, bucket->slots[slot]);
                }
            }
            overflow += bucket->next != 0;
        }
    }
    FB_ASSERT(items == shard->items);
    FB_ASSERT(overflow == shard->overflow_live && overflow <= shard->overflow_high);
    FB_ASSERT(shard->buckets.committed >= buckets * FB_LINE);
    FB_ASSERT(shard->ghosts.committed >= fb_ghost_bytes(buckets));
}

static uint64_t check_segment(const fb_store *store, const fb_shard *shard, uint32_t id,
                              uint64_t *live_bytes) {
    const fb_segment *segment = fb_segment_at(store, id);
    uint64_t live = 0;
    uint64_t items = 0;
    uint64_t offset;
    uint32_t at = 0;
    FB_ASSERT(&store->shards[segment->shard] == shard);
    while ((offset = fb_segment_walk(store, id, &at)) != 0) {
        const fb_record *record = fb_record_at(store, offset);
        fb_place place;
        live += fb_record_size(record);
        items++;
        int64_t expires_ns = fb_record_expires(record);
        FB_ASSERT(expires_ns == 0 || segment->due_ns <= expires_ns);
        FB_ASSERT(segment->largest >= fb_record_size(record));
        bool found =
            fb_bucket_find_offset(store, shard, fb_record_hash(store, record), offset, &place);
        FB_ASSERT(found);
    }
    FB_ASSERT(at == segment->used && live == segment->live);
    FB_ASSERT(live > 0 || segment->state == FB_SEGMENT_OPEN);
    bool run = segment->state == FB_SEGMENT_RUN;
    FB_ASSERT(run || (segment->run == 1 && segment->resident == store->segment_size));
    FB_ASSERT(segment->used <= segment->resident && (!run || items == 1));
    *live_bytes += run ? segment->resident : live;
    return items;
}

// What goes round the segments stands at one that is in the list it is in.
static void check_cursor(const fb_store *store, const fb_shard *shard, const fb_cursor *cursor) {
    FB_ASSERT(cursor->queue < FB_QUEUES);
    if (cursor->id != 0) {
        const fb_segment *segment = fb_segment_at(store, cursor->id);
        FB_ASSERT(cursor->listed && &store->shards[segment->shard] == shard);
        FB_ASSERT(segment->queue == cursor->queue);
        FB_ASSERT(segment->state == FB_SEGMENT_SEALED || segment->state == FB_SEGMENT_RUN);
    }
}

static void check_log(const fb_store *store, const fb_shard *shard, sums *parts) {
    uint64_t items = 0;
    uint64_t live_bytes = 0;
    uint64_t total = 0;
    for (unsigned queue = 0; queue < FB_QUEUES; queue++) {
        uint64_t bytes = 0;
        uint32_t before = 0;
        uint32_t open = shard->queues[queue].open;
        if (open != 0) {
            FB_ASSERT(fb_segment_at(store, open)->state == FB_SEGMENT_OPEN);
            items += check_segment(store, shard, open, &live_bytes);
            bytes += fb_segment_at(store, open)->resident;
        }
        for (uint32_t id = shard->queues[queue].oldest; id != 0;
             id = fb_segment_at(store, id)->next) {
            FB_ASSERT(fb_segment_at(store, id)->queue == queue);
            FB_ASSERT(fb_segment_at(store, id)->prev == before);
            items += check_segment(store, shard, id, &live_bytes);
            bytes += fb_segment_at(store, id)->resident;
            before = id;
        }
        FB_ASSERT(shard->queues[queue].newest == before);
        FB_ASSERT(shard->queues[queue].bytes == bytes);
        total += bytes;
    }
    FB_ASSERT(items == shard->items && live_bytes == shard->live_bytes);
    FB_ASSERT(total == shard->bytes && shard->pinned == 0);
    parts->resident += total + (shard->spare != 0 ? store->segment_size : 0);
}

static void check_budget(const fb_store *store, const sums *parts) {
    const fb_region *region = store->region;
    uint64_t fixed =
        region->segments.offset + region->segments.committed + region->used_map.committed;
    uint64_t warm = 0;
    for (uint32_t id = region->warm; id != 0; id = fb_segment_at(store, id)->next) {
        FB_ASSERT(fb_segment_at(store, id)->state == FB_SEGMENT_FREE);
        FB_ASSERT(fb_segment_at(store, id)->resident <= store->segment_size);
        warm += fb_segment_at(store, id)->resident;
    }
    uint64_t cleared = 0;
    for (uint32_t id = region->cleared; id != 0; id = fb_segment_at(store, id)->next) {
        FB_ASSERT(fb_segment_at(store, id)->run > 0 && fb_segment_at(store, id)->resident > 0);
        cleared += fb_segment_at(store, id)->resident;
    }
    FB_ASSERT(warm == region->warm_bytes && cleared == region->cleared_bytes);
    FB_ASSERT(region->committed == fixed + parts->zones + parts->resident + warm + cleared);
    FB_ASSERT(region->committed <= region->limit || region->resizing);
}

static uint64_t pool_changes(fb_region *region) {
    pthread_mutex_lock(&region->pool_lock);
    uint64_t changes = region->pool_changes;
    pthread_mutex_unlock(&region->pool_lock);
    return changes;
}

void fb_store_check(fb_store *store) {
    fb_region *region = store->region;
    sums parts = {0, 0};
    uint64_t before = pool_changes(region);
    for (uint32_t i = 0; i < region->shard_count; i++) {
        fb_shard *shard = &store->shards[i];
        fb_shard_lock(shard);
        check_index(store, shard);
        check_log(store, shard, &parts);
        check_cursor(store, shard, &shard->due);
        check_cursor(store, shard, &shard->turn);
        check_cursor(store, shard, &shard->stale);
        check_cursor(store, shard, &shard->sparse);
        parts.zones +=
            shard->buckets.committed + shard->overflow.committed + shard->ghosts.committed;
        fb_shard_unlock(shard);
    }
    pthread_mutex_lock(&region->pool_lock);
    if (region->pool_changes == before) {
        check_budget(store, &parts);
    }
    pthread_mutex_unlock(&region->pool_lock);
}
