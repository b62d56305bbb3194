// node/ask.h -- a command about queues: asked with fb_queue_start(), answered in a slot.
//
// Threads: the session's own loop.

#ifndef FB_NODE_ASK_H
#define FB_NODE_ASK_H

#include <forebay/queue.h>

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

// What the answer needs of the command, which is gone by then.
typedef struct fb_ask {
    // private
    struct fb_slot *slot;
    fb_node *node;
    // the command's
    char queue[FB_QUEUE_NAME_MAX + 1];
    uint64_t number;  // of a job, where there is one
    bool one;         // a single job is meant, and its result is the reply
    bool flag;        // WITHNEW, …
    bool may_stop;    // answers without jobs where it is told to (RESERVE)
} fb_ask;

// Writes the reply to an answer that is no error.
typedef void (*fb_ask_fn)(const fb_ask *ask, fb_reply *reply,
                                const fb_queue_answer *answer);

// Asks, and says call->outcome. `ask` is copied. Says so where it cannot be asked.
void fb_ask_start(fb_command_call *call, const fb_queue_call *what, const fb_ask *ask,
                        fb_ask_fn write);

#ifdef __cplusplus
}
#endif

#endif
