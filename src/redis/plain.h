// redis/plain.h -- what a plain layout lacks: versions of values, and how to know one's own writes.
//
// A plain value is the key's bytes alone. Its version is made from them. And the server, which
// tells of every write of a tracked key, cannot say whose it was: so the newest stores of this node
// are remembered (in a table where a later one may take the place of an earlier one: then the key
// counts as written by somebody else, and costs a miss).
//
// Threads: any.

#ifndef FB_REDIS_PLAIN_H
#define FB_REDIS_PLAIN_H

#include "redis/remote_state.h"

// The first 64 bits of their SHA-1, as the scripts make it too. False: there is none (no memory).
bool fb_plain_version(fb_str bytes, uint64_t *version);

// Something is about to be stored under the key. What says which, for fb_plain_not_stored().
uint64_t fb_plain_stores(fb_redis *redis, fb_str key, fb_str bytes);
void fb_plain_not_stored(fb_redis *redis, uint64_t which);
// The version of what this node stored last under the key. False: it is not known to have.
bool fb_plain_stored(fb_redis *redis, fb_str key, uint64_t *version);

#endif
