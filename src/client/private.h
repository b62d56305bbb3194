// client/private.h -- the small cache that a process has of its own while the daemon is away.
// Bounded in bytes and in time. Made at the first store.
//
// Threads: one at a time. Results as of the functions of the same names in forebay/client.h.

#ifndef FB_CLIENT_PRIVATE_H
#define FB_CLIENT_PRIVATE_H

#include <forebay/cache.h>
#include <forebay/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_private {
    uint64_t limit_bytes;
    int64_t ttl_max_ms;
    fb_store *store;
} fb_private;

void fb_private_release(fb_private *own);
void fb_private_clear(fb_private *own);
// The value's bytes are a copy: release it.
FB_CHECK_RESULT int fb_private_get(fb_private *own, fb_str key, int64_t now_ns, fb_value *value);
// What is too large for it is forgotten at once, as anything may be; so FB_OK.
FB_CHECK_RESULT int fb_private_set(fb_private *own, fb_str key, fb_str value, int64_t ttl_ms,
                                   int64_t now_ns);
FB_CHECK_RESULT int fb_private_del(fb_private *own, fb_str key, int64_t now_ns);
FB_CHECK_RESULT int fb_private_incr(fb_private *own, fb_str key, int64_t delta, int64_t now_ns,
                                    int64_t *result);
FB_CHECK_RESULT int fb_private_expire(fb_private *own, fb_str key, int64_t ttl_ms, int64_t now_ns);
FB_CHECK_RESULT int fb_private_ttl(fb_private *own, fb_str key, int64_t now_ns, int64_t *ttl_ms);

#ifdef __cplusplus
}
#endif

#endif
