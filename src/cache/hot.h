// cache/hot.h -- the most-read keys of each class, in bounded memory: Space-Saving (Metwally,
// Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data streams",
// 2005), fed with a sample of the reads, with ageing.
//
// Threads: any. A note that would have to wait is dropped: it is a sample anyway.

#ifndef FB_CACHE_HOT_H
#define FB_CACHE_HOT_H

#include "cache/cache.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_hot fb_hot;

enum { FB_HOT_KEY_MAX = 1024 };  // longer keys are not watched

// Watches up to `capacity` keys. FB_OK or FB_ENOMEM. Memory is taken as keys come.
FB_CHECK_RESULT int fb_hot_new(uint32_t capacity, uint64_t seed, fb_hot **hot);
void fb_hot_free(fb_hot *hot);
// Watches more from now on; never fewer.
void fb_hot_grow(fb_hot *hot, uint32_t capacity);
void fb_hot_reset(fb_hot *hot);
void fb_hot_note(fb_hot *hot, fb_str key);
// Calls `fn` for up to `count` keys (0: all), the most read first, without a lock held. Nothing
// happens where there is no memory for that.
void fb_hot_top(fb_hot *hot, uint32_t count, fb_hot_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
