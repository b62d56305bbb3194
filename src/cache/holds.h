// cache/holds.h -- keys of which nothing may be stored for a while (a hold: somebody is about to
// change them), or nothing as old as that (a fence: a least source version).
//
// Bounded: what finds no room holds, or fences, all keys of its partition.
// Threads: any. Its lock is the last one taken but for the store's.

#ifndef FB_CACHE_HOLDS_H
#define FB_CACHE_HOLDS_H

#include "cache/coherent.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_HOLDS_MAX = 8192 };                     // keys with a hold, a fence, or both
#define FB_FENCE_NS (INT64_C(3600) * 1000000000)  // how long a fence stands

typedef struct fb_holds fb_holds;

FB_CHECK_RESULT int fb_holds_new(uint64_t seed, uint32_t partitions, fb_holds **holds);
void fb_holds_free(fb_holds *holds);

// Until `until_ns`, at least as long as one that is there.
void fb_holds_hold(fb_holds *holds, fb_str key, int64_t until_ns, int64_t now_ns);
// Ends the hold of `key`, if it has one of its own.
void fb_holds_lift(fb_holds *holds, fb_str key);
// For FB_FENCE_NS from now; the highest counts.
void fb_holds_fence(fb_holds *holds, fb_str key, uint64_t fence, int64_t now_ns);
// Whether a value of this source version (0: it has none, and no fence concerns it) may be stored.
bool fb_holds_admit(fb_holds *holds, fb_str key, uint64_t source_version, int64_t now_ns);
// Whether `key` itself is held. Of what found no room only admit() knows.
bool fb_holds_held(fb_holds *holds, fb_str key, int64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
