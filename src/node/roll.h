// node/roll.h -- all queues with their figures, and how long they are now.
//
// Threads: a loop of the engine, which also gets the answer.

#ifndef FB_NODE_ROLL_H
#define FB_NODE_ROLL_H

#include <forebay/queue.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// `queues` is good until it returns. result < 0: FB_ENOMEM, and there are none.
typedef void (*fb_roll_fn)(void *arg, int result, const fb_queue_figures *queues, size_t count);

// Calls `fn` once, perhaps before this returns. What was not looked at lately is asked for: so it may
// come as late as the store's deadline.
void fb_roll_read(fb_engine *engine, fb_roll_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
