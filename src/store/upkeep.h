// store/upkeep.h -- what keeps a shard in shape beside its items.

#ifndef FB_STORE_UPKEEP_H
#define FB_STORE_UPKEEP_H

#include "store/region.h"

// Under the shard's lock: up to `steps` buckets more or less, as the items ask for.
void fb_upkeep_index(fb_store *store, fb_shard *shard, uint64_t steps);
// Under the shard's lock: gives back a bounded part of what the index has more than it needs, which
// is much only after clearing. False: it had nothing more.
bool fb_upkeep_settle(fb_store *store, fb_shard *shard);

#endif
