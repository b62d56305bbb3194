// store/budget.h -- memory counted against the limit: segments from a pool shared by all shards,
// and the zones of the index.
//
// Every call is all or nothing and evicts nothing (store/evict.h does). Threads: each call takes
// the pool lock; the zone given to a call belongs to the caller.

#ifndef FB_STORE_BUDGET_H
#define FB_STORE_BUDGET_H

#include "store/region.h"

// A resident, zero-length segment, or 0: no room within the limit.
uint32_t fb_budget_take(fb_store *store);
// Consecutive segments for one record of `bytes`; the first one's id, or 0.
uint32_t fb_budget_take_run(fb_store *store, uint64_t bytes);
// Gives back a segment or a whole run, by its first.
void fb_budget_give(fb_store *store, uint32_t id);
// Gives back a list, by `next`, of segments and runs that have `bytes` resident; not counting them
// makes its cost independent of their number.
void fb_budget_give_list(fb_store *store, uint32_t first, uint32_t last, uint64_t bytes);
// Makes the first `bytes` of the zone usable; fresh pages are zero. False: no room.
bool fb_budget_grow(fb_store *store, fb_zone *zone, uint64_t bytes);
// Gives back whole pages beyond the first `bytes`, a bounded number; the last ones first.
void fb_budget_shrink(fb_store *store, fb_zone *zone, uint64_t bytes);
// Gives free memory back to the system until the limit holds. Whether it does.
bool fb_budget_settle(fb_store *store);
// Now and then: makes a bounded part of what clear() left free.
void fb_budget_ease(fb_store *store);
// Bytes that could be taken now.
uint64_t fb_budget_free(fb_store *store);

#endif
