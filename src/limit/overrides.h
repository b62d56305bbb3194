// limit/overrides.h -- which keys have another limit for a time, as far as this process knows: all
// of them where there is no shared tier, else those it was told of; also that a key has none (kind
// NONE), for a moment.
//
// Bounded. Where there are none a look costs one load. Threads: any.

#ifndef FB_LIMIT_OVERRIDES_H
#define FB_LIMIT_OVERRIDES_H

#include <forebay/limit.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_limit_overrides fb_limit_overrides;

// About so many keys at most.
FB_CHECK_RESULT int fb_limit_overrides_new(uint32_t keys_max, fb_limit_overrides **overrides);
void fb_limit_overrides_free(fb_limit_overrides *overrides);

// `hash` is of rule and key. FB_OK; FB_EOVERLOAD: so many are in force already; FB_ENOMEM.
FB_CHECK_RESULT int fb_limit_overrides_put(fb_limit_overrides *overrides, uint64_t hash,
                                           const fb_limit_override *override, int64_t until_us,
                                           int64_t now_us);
// Whether there may be one: asked without a lock, and in most processes there is none of any key.
bool fb_limit_overrides_any(const fb_limit_overrides *overrides, uint64_t hash);
// Whether there is one; *override: its kind and limit (for_ms is 0).
bool fb_limit_overrides_get(fb_limit_overrides *overrides, uint64_t hash, int64_t now_us,
                            fb_limit_override *override);
void fb_limit_overrides_forget(fb_limit_overrides *overrides, uint64_t hash);

#ifdef __cplusplus
}
#endif

#endif
