// Work on the store as a whole: sweeping, changing the limit, clearing, statistics.
//
// A sweep goes round the shards, and in each round its segments, where it was left the last time. A
// segment knows when the first of its records may expire, so only those that are due are looked
// into; where the layer above can say that an item is not worth keeping (which no due time tells)
// every segment has its turn too, by a cursor of its own. Locks are held for a bounded number of
// items and of looks at segments. (A list by due time would spare the looks, which cost an eighth
// of an item each, and would be one more thing to keep right at every put.)

#include "store/upkeep.h"

#include "store/bucket.h"
#include "store/budget.h"
#include "store/evict.h"
#include "store/ghost.h"
#include "store/mapping.h"
#include "store/segment.h"

enum {
    HOLD_ITEMS = 4096,      // swept under one lock
    HOLD_LOOKS = 1024,      // segments whose dates are looked at before the budget is asked again
    SEGMENTS_PER_ITEM = 8,  // looking at a segment's dates costs an eighth of looking at an item
    TURN_EVERY = 4,         // segments swept, one of them not for being due
    TRIM_MIN = 128,         // overflow buckets, below which they are not worth moving
    CROWDED_MORE = 6        // items a bucket at which the index is worth evicting for
};

// The index must grow even if the limit is reached: chains would get longer without end.
static bool grow_by_force(fb_store *store, fb_shard *shard) {
    uint64_t buckets = fb_shard_buckets(shard);
    if (shard->items < buckets * CROWDED_MORE) {
        return false;
    }
    // As large as both zones could need for one bucket more.
    return fb_evict_grow(store, shard, &shard->buckets, (buckets + 1) * FB_LINE) &&
           fb_evict_grow(store, shard, &shard->ghosts, fb_ghost_bytes(buckets + 1)) &&
           fb_bucket_split(store, shard);
}

void fb_upkeep_index(fb_store *store, fb_shard *shard, uint64_t steps) {
    for (uint64_t i = 0; i < steps; i++) {
        if (fb_bucket_crowded(shard)) {
            if (!fb_bucket_split(store, shard) && !grow_by_force(store, shard)) {
                break;
            }
        } else if (!fb_bucket_sparse(shard) || !fb_bucket_merge(store, shard)) {
            break;
        }
    }
    if (shard->overflow_high >= TRIM_MIN && shard->overflow_live < shard->overflow_high / 4) {
        fb_bucket_trim(store, shard);
    }
}

static uint64_t index_bytes(const fb_shard *shard) {
    return shard->buckets.committed + shard->overflow.committed + shard->ghosts.committed;
}

bool fb_upkeep_settle(fb_store *store, fb_shard *shard) {
    uint64_t before = index_bytes(shard);
    uint64_t buckets = fb_shard_buckets(shard);
    fb_budget_shrink(store, &shard->buckets, buckets * FB_LINE);
    fb_budget_shrink(store, &shard->overflow, (shard->overflow_high + UINT64_C(1)) * FB_LINE);
    fb_budget_shrink(store, &shard->ghosts, fb_ghost_bytes(buckets));
    return index_bytes(shard) < before;
}

// What a sweep has left to do, and how far it is with the shard it is at.
typedef struct broom {
    int64_t now_ns;
    uint64_t budget, removed;
    unsigned picks;
    bool due_done, turn_done;
} broom;

static void spend(broom *work, uint64_t cost) {
    work->budget -= cost < work->budget ? cost : work->budget;
}

// The next segment that is due, if the next few have one.
static uint32_t pick_due(const fb_store *store, fb_shard *shard, broom *work) {
    uint64_t looks = 0;
    uint32_t id;
    do {
        id = fb_segment_step(store, shard, &shard->due);
        work->due_done = id == 0;
        looks++;
    } while (id != 0 && fb_segment_at(store, id)->due_ns > work->now_ns && looks < HOLD_LOOKS);
    spend(work, looks / SEGMENTS_PER_ITEM + 1);
    return id != 0 && fb_segment_at(store, id)->due_ns <= work->now_ns ? id : 0;
}

// The next segment to be swept, or 0. Those that are due come first, but one in some is one whose
// turn it is, so that items that never expire are asked about, too.
static uint32_t pick(const fb_store *store, fb_shard *shard, broom *work) {
    work->picks++;
    if (!work->due_done && (work->turn_done || work->picks % TURN_EVERY != 0)) {
        return pick_due(store, shard, work);
    }
    uint32_t id = fb_segment_step(store, shard, &shard->turn);
    work->turn_done = id == 0;
    return id;
}

static uint64_t count_live(const fb_store *store, uint32_t id) {
    uint64_t count = 0;
    uint32_t at = 0;
    while (fb_segment_walk(store, id, &at) != 0) {
        count++;
    }
    return count;
}

static void sweep_hold(fb_store *store, fb_shard *shard, broom *work) {
    uint64_t items = 0;
    uint64_t removed = 0;
    fb_shard_lock(shard);
    fb_shard_see(shard, work->now_ns);
    while (!(work->due_done && work->turn_done) && items < HOLD_ITEMS && work->budget > 0) {
        uint32_t id = pick(store, shard, work);
        if (id != 0) {
            uint64_t count = count_live(store, id) + 1;
            removed += fb_evict_sweep(store, shard, id, work->now_ns);
            items += count;
            spend(work, count);
        } else {
            items += HOLD_LOOKS / SEGMENTS_PER_ITEM;
        }
    }
    fb_upkeep_index(store, shard, removed);
    (void)fb_upkeep_settle(store, shard);
    fb_shard_unlock(shard);
    work->removed += removed;
}

// One round of the shard, or what the last sweep left of one; whether that is done.
static bool sweep_shard(fb_store *store, fb_shard *shard, broom *work) {
    work->due_done = false;
    work->turn_done = store->alive == NULL;
    while (!(work->due_done && work->turn_done) && work->budget > 0) {
        sweep_hold(store, shard, work);
    }
    return work->due_done && work->turn_done;
}

static bool begun(fb_shard *shard) {
    fb_shard_lock(shard);
    bool begun = shard->due.listed || shard->turn.listed;
    fb_shard_unlock(shard);
    return begun;
}

uint64_t fb_store_sweep(fb_store *store, int64_t now_ns, uint64_t item_budget) {
    fb_region *region = store->region;
    broom work = {.now_ns = now_ns, .budget = item_budget};
    uint32_t start = atomic_load_explicit(&region->sweep_shard, memory_order_relaxed);
    uint32_t mask = region->shard_count - 1;
    // A shard that was left in the middle of its round has the part before that at the end.
    uint32_t visits = region->shard_count + begun(&store->shards[start & mask]);
    uint32_t visited = 0;
    fb_budget_ease(store);
    while (visited < visits && work.budget > 0) {
        visited += sweep_shard(store, &store->shards[(start + visited) & mask], &work);
        spend(&work, 1);
    }
    atomic_store_explicit(&region->sweep_shard, start + visited, memory_order_relaxed);
    return work.removed;
}

static fb_shard *fullest(fb_store *store) {
    fb_shard *fullest = &store->shards[0];
    for (uint32_t i = 1; i < store->region->shard_count; i++) {
        fb_shard *shard = &store->shards[i];
        if (atomic_load_explicit(&shard->bytes, memory_order_relaxed) >
            atomic_load_explicit(&fullest->bytes, memory_order_relaxed)) {
            fullest = shard;
        }
    }
    return fullest;
}

// Makes the index as small as its items allow, and gives back what that leaves.
static void shrink_index(fb_store *store, fb_shard *shard) {
    // One that is crowded has to grow, but not just now.
    if (!fb_bucket_crowded(shard)) {
        fb_upkeep_index(store, shard, UINT64_MAX);
    }
    while (fb_upkeep_settle(store, shard)) {
    }
}

// Evicts from whoever has most until what is committed is within the limit.
static bool shrink(fb_store *store) {
    uint64_t before = UINT64_MAX;
    unsigned rounds = 0;
    // A shard that was cleared may have much of an index, and nothing to evict.
    for (uint32_t i = 0; i < store->region->shard_count && !fb_budget_settle(store); i++) {
        fb_shard_lock(&store->shards[i]);
        shrink_index(store, &store->shards[i]);
        fb_shard_unlock(&store->shards[i]);
    }
    while (!fb_budget_settle(store)) {
        uint64_t now = atomic_load_explicit(&store->region->committed, memory_order_relaxed);
        rounds = now < before ? 0 : rounds + 1;
        before = now;
        if (rounds > 4 * FB_EVICT_ALL) {
            return false;
        }
        fb_shard *shard = fullest(store);
        fb_shard_lock(shard);
        (void)fb_evict_one(store, shard, rounds);
        shrink_index(store, shard);
        fb_shard_unlock(shard);
    }
    return true;
}

static void set_limit(fb_region *region, uint64_t limit_bytes, bool resizing) {
    pthread_mutex_lock(&region->pool_lock);
    atomic_store_explicit(&region->limit, limit_bytes, memory_order_relaxed);
    region->resizing = resizing;
    pthread_mutex_unlock(&region->pool_lock);
}

int fb_store_resize(fb_store *store, uint64_t limit_bytes) {
    fb_region *region = store->region;
    if (limit_bytes > region->limit_max) {
        return FB_ENOMEM;
    }
    if (limit_bytes < FB_STORE_LIMIT_MIN || limit_bytes < fb_mapping_floor(store)) {
        return FB_EINVAL;
    }
    pthread_mutex_lock(&region->resize_lock);
    uint64_t old = atomic_load_explicit(&region->limit, memory_order_relaxed);
    set_limit(region, limit_bytes, true);
    bool fits = shrink(store);
    set_limit(region, fits ? limit_bytes : old, false);
    pthread_mutex_unlock(&region->resize_lock);
    return fits ? FB_OK : FB_ENOMEM;
}

// The segments go to the budget as one list, whatever is in them, and the index starts anew without
// being looked at: readers see by its geometry that what they read is no more.
static uint64_t clear_shard(fb_store *store, fb_shard *shard) {
    uint64_t items = shard->items;
    bool room = fb_bucket_reset(store, shard);
    FB_ASSERT(room);
    fb_segment_clear(store, shard);
    return items;
}

uint64_t fb_store_clear(fb_store *store) {
    uint64_t items = 0;
    for (uint32_t i = 0; i < store->region->shard_count; i++) {
        fb_shard *shard = &store->shards[i];
        fb_shard_lock(shard);
        items += clear_shard(store, shard);
        fb_shard_unlock(shard);
    }
    return items;
}

void fb_store_stats_read(fb_store *store, fb_store_stats *stats) {
    fb_region *region = store->region;
    *stats =
        (fb_store_stats){.limit_bytes = atomic_load_explicit(&region->limit, memory_order_relaxed)};
    if (store->read_only) {
        return;
    }
    pthread_mutex_lock(&region->pool_lock);
    stats->used_bytes =
        region->segments.offset + region->segments.committed + region->used_map.committed;
    pthread_mutex_unlock(&region->pool_lock);
    for (uint32_t i = 0; i < region->shard_count; i++) {
        fb_shard *shard = &store->shards[i];
        fb_shard_lock(shard);
        stats->items += shard->items;
        stats->used_bytes += shard->buckets.committed + shard->overflow.committed +
                             shard->ghosts.committed + shard->live_bytes;
        stats->evictions += shard->evictions;
        stats->expirations += shard->expirations;
        stats->index_evictions += shard->index_evictions;
        stats->puts += shard->puts;
        stats->dels += shard->dels;
        fb_shard_unlock(shard);
    }
    // Shards are read one after another, so what moved meanwhile may be counted twice. Never is more
    // used than is committed.
    uint64_t committed = atomic_load_explicit(&region->committed, memory_order_relaxed);
    stats->used_bytes = stats->used_bytes < committed ? stats->used_bytes : committed;
}
