// store/evict.h -- making room: S3-FIFO over the log, compaction, and room across shards.

#ifndef FB_STORE_EVICT_H
#define FB_STORE_EVICT_H

#include "store/bucket.h"
#include "store/region.h"

// Under the shard's lock. Where a new item belongs, of `size` bytes: its ghost is asked, and
// forgotten (or kept as one that was denied).
fb_queue_id fb_evict_admit(fb_store *store, fb_shard *shard, uint64_t hash, uint32_t size);
// Under the shard's lock. Room for a record of `size` bytes in the queue; 0: there is none to be
// had without waiting for the locks of other shards (fb_evict_relieve() does).
uint64_t fb_evict_reserve(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t size);
// Under the shard's lock. As fb_budget_grow().
bool fb_evict_grow(fb_store *store, fb_shard *shard, fb_zone *zone, uint64_t bytes);
// Under the shard's lock. Takes one segment through its queue. False: there is none. `rounds` that
// freed nothing so far make it stricter; above all bounds it keeps nothing.
bool fb_evict_one(fb_store *store, fb_shard *shard, unsigned rounds);
enum { FB_EVICT_ALL = 128 };
// Without any lock. Evicts wherever there is most until `bytes` are free.
void fb_evict_relieve(fb_store *store, uint64_t bytes, int64_t now_ns);

// The item in the slot leaves; `aged`: as expired, else as evicted. Its segment stays.
void fb_evict_drop(fb_store *store, fb_shard *shard, const fb_place *place, uint64_t hash,
                   bool aged);
// Drops what is expired or not wanted in one segment. Returns how many.
uint64_t fb_evict_sweep(fb_store *store, fb_shard *shard, uint32_t id, int64_t now_ns);

#endif
