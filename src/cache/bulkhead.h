// cache/bulkhead.h -- how many loads a source gets at once, and who goes first. Pure; the caller
// locks. Of one priority the first come goes first.

#ifndef FB_CACHE_BULKHEAD_H
#define FB_CACHE_BULKHEAD_H

#include <forebay/base.h>

#include "base/list.h"
#include "cache/flight.h"

#ifdef __cplusplus
extern "C" {
#endif

// A member of what is to be run; in use from enter() until leave() or refusal hands it back.
typedef struct fb_bulkhead_node {
    fb_list list;
    fb_priority priority;
} fb_bulkhead_node;

typedef struct fb_bulkhead {
    uint32_t running_max;
    uint32_t queue_max;
    uint32_t running;
    uint32_t queued;
    fb_list queues[FB_PRIORITY_COUNT];
} fb_bulkhead;

// running_max >= 1; queue_max 0: nothing waits. The struct must stay where it is.
void fb_bulkhead_init(fb_bulkhead *bulkhead, uint32_t running_max, uint32_t queue_max);

// FB_OK: run it now. FB_PENDING: it waits. FB_EOVERLOAD: refused, there is no room for it. Where it
// outranks something that waits in a full queue it is FB_PENDING, and *displaced is the least
// important of those (the newest of them), which is out and must be refused instead; else
// *displaced is NULL.
FB_CHECK_RESULT int fb_bulkhead_enter(fb_bulkhead *bulkhead, fb_bulkhead_node *node,
                                      fb_priority priority, fb_bulkhead_node **displaced);
// One that ran is done. The next to run, which counts as running from now on, or NULL.
fb_bulkhead_node *fb_bulkhead_leave(fb_bulkhead *bulkhead);

#ifdef __cplusplus
}
#endif

#endif
