// limit/top.h -- the keys that are denied most, in bounded memory: Space-Saving (Metwally, Agrawal,
// El Abbadi, "Efficient computation of frequent and top-k elements in data streams", ICDT 2005).
// Threads: any; those that add do so beside each other, and reading adds up.

#ifndef FB_LIMIT_TOP_H
#define FB_LIMIT_TOP_H

#include <forebay/limit.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_LIMIT_TOP_ROOM = 64 };  // counted; FB_LIMIT_TOP of them are shown

typedef struct fb_limit_top fb_limit_top;
FB_CHECK_RESULT int fb_limit_top_new(fb_limit_top **top);
void fb_limit_top_free(fb_limit_top *top);
// `text` is what is shown of it: the key, or (empty) its hash in hex. Waits for nobody but who reads.
void fb_limit_top_add(fb_limit_top *top, uint64_t hash, fb_str text);
// The most, in descending order, into figures->top.
void fb_limit_top_read(fb_limit_top *top, fb_limit_figures *figures);
void fb_limit_top_reset(fb_limit_top *top);

#ifdef __cplusplus
}
#endif

#endif
