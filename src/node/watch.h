// node/watch.h -- the targets, looked at all the time: which are missed, and since when.
//
// What is looked at is the last minute. A target counts as missed when it was so in FB_WATCH_BEGIN looks
// in a row, and as met again after FB_WATCH_END looks that it was met in: so a figure that goes back and
// forth over its bound is told of once, not at each crossing. Where there is nothing to judge by for
// FB_WATCH_FORGET looks, it is neither.
//
// Threads: one looks; any read.

#ifndef FB_NODE_WATCH_H
#define FB_NODE_WATCH_H

#include <stdatomic.h>

#include "node/advice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_WATCH_EVERY_S = 5, FB_WATCH_BEGIN = 3, FB_WATCH_END = 6, FB_WATCH_FORGET = 12 };

// To be zeroed; its members are private.
typedef struct fb_watch {
    struct {
        _Atomic int met;           // fb_met
        _Atomic int64_t since_ns;  // that it is
        fb_met seen;               // the last look's
        uint32_t looks;            // in a row that saw this
    } targets[FB_TARGET_COUNT];
} fb_watch;

// Every FB_WATCH_EVERY_S. A target that begins or ceases to be missed is logged ("target_missed",
// "target_met", "target_not_judged").
void fb_watch_look(fb_watch *watch, const fb_stats *minute, int64_t now_ns);

typedef struct fb_watched {
    fb_met met;
    int64_t for_ms;  // for how long it has been so; 0: from the start
} fb_watched;
fb_watched fb_watch_read(const fb_watch *watch, size_t target, int64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
