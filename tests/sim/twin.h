// twin.h -- the shared tier, in memory: what Redis will do in one script each, for tests.
//
// A key has a value, a lease, or both (a lease that was asked for beside a value). A lease is a
// placeholder with a token and a lifetime; a fill is stored only by the holder of the token, an
// invalidation deletes value and lease. One thread; time is a parameter.

#ifndef FB_TESTS_TWIN_H
#define FB_TESTS_TWIN_H

#include "base/map.h"
#include "cache/flight.h"

typedef struct twin {
    fb_map cells;
    uint64_t last_token;
} twin;

void twin_init(twin *tier, uint64_t seed);
void twin_release(twin *tier);
// VALUE, LEASE or HELD.
void twin_get(twin *tier, fb_str key, bool refresh, int64_t lease_ns, int64_t now_ns,
              fb_remote_reply *reply);
// DONE or REFUSED. ttl_ns 0: only gives the lease back.
fb_remote_result twin_fill(twin *tier, fb_str key, uint64_t token, const fb_loaded *loaded,
                           int64_t ttl_ns, int64_t now_ns);
void twin_invalidate(twin *tier, fb_str key);
// Copies value, tags and outcome.
void twin_copy(const fb_loaded *from, fb_loaded *to);

#endif
