// cache/misses.h -- why keys were missed, for explain: the last few thousand keys, in fixed memory.
// For people only: nothing is decided by it, and two keys may share a place.
//
// Threads: any, without a lock.

#ifndef FB_CACHE_MISSES_H
#define FB_CACHE_MISSES_H

#include "cache/cache.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_misses fb_misses;

FB_CHECK_RESULT int fb_misses_new(uint64_t seed, fb_misses **misses);
void fb_misses_free(fb_misses *misses);
// The key was stored, and goes by age at `gone_ns` (INT64_MAX: never).
void fb_misses_stored(fb_misses *misses, fb_str key, int64_t gone_ns);
// The key went, or cannot be used any more.
void fb_misses_gone(fb_misses *misses, fb_str key, fb_miss_reason reason);
// All that were stored went.
void fb_misses_all_gone(fb_misses *misses, fb_miss_reason reason);
// A read of it missed; UNKNOWN: for what the two calls above said.
// Returns what is remembered as its reason.
fb_miss_reason fb_misses_note(fb_misses *misses, fb_str key, fb_miss_reason reason, int64_t now_ns);
// Why the last read that missed did; UNKNOWN: not remembered.
fb_miss_reason fb_misses_last(const fb_misses *misses, fb_str key);
// "expired", "its tag was invalidated", …; "" for UNKNOWN.
const char *fb_misses_text(fb_miss_reason reason);

#ifdef __cplusplus
}
#endif

#endif
