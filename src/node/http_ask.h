// node/http_ask.h -- a request about queues: asked with fb_queue_start(), answered when the answer comes.
//
// Threads: the loop that handled the request.

#ifndef FB_NODE_HTTP_ASK_H
#define FB_NODE_HTTP_ASK_H

#include <forebay/queue.h>

#include "node/later.h"

#ifdef __cplusplus
extern "C" {
#endif

// What the answer needs of the request, which is gone by then.
typedef struct fb_http_ask {
    // private
    fb_later later;
    fb_queue_wait *wait;
    bool stopped;
    // the request's
    fb_node *node;
    char queue[FB_QUEUE_NAME_MAX + 1];
    char id[FB_JOB_ID_SIZE];  // of the one job that it is about
    size_t count;             // of items
    bool several;             // a list is answered
    bool may_stop;            // answers without jobs where the client has gone (reserve)
    const char *name;         // of the value that is answered
} fb_http_ask;

// Writes the response to an answer that is no error. FB_OK or an error, which becomes the response.
typedef int (*fb_http_ask_fn)(const fb_http_ask *ask, fb_http_response *response,
                              const fb_queue_answer *answer);

// Asks; what the handler returns. `ask` is copied.
FB_CHECK_RESULT int fb_http_ask_start(fb_http_call *call, const fb_queue_call *what,
                                      const fb_http_ask *ask, fb_http_ask_fn write);

#ifdef __cplusplus
}
#endif

#endif
