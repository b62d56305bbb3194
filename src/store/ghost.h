// store/ghost.h -- what a shard remembers of items that left: fingerprints of 14 bits with 2 that
// tell how they left, in lines that grow and shrink with its buckets. Any bytes in the lines are
// coped with. Threads: under the shard's lock.

#ifndef FB_STORE_GHOST_H
#define FB_STORE_GHOST_H

#include "store/region.h"

// Bytes of the ghost zone beside so many buckets.
uint64_t fb_ghost_bytes(uint64_t buckets);
// Forgets all; the zone has room for FB_BUCKETS_MIN buckets' ghosts.
void fb_ghost_reset(fb_store *store, fb_shard *shard);
// The shard has a bucket more than before, and the zone has room for its ghosts.
void fb_ghost_split(fb_store *store, fb_shard *shard);

// Remembers what leaves as `kind`; as FB_GHOST_DENIED if it was left so. Returns what it is counted
// as. The shard remembers about as many as it holds.
fb_ghost_kind fb_ghost_add(fb_store *store, fb_shard *shard, uint64_t hash, fb_ghost_kind kind);
// Whether it is remembered; forgets it. *soon: it left not long ago.
bool fb_ghost_take(fb_store *store, fb_shard *shard, uint64_t hash, fb_ghost_kind *kind,
                   bool *soon);

#endif
