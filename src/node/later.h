// node/later.h -- a response that may come while the handler runs, or later: where it is written to, and
// who frees what. Put it first into what the answer gets.
//
// Threads: the loop that handled the request.

#ifndef FB_NODE_LATER_H
#define FB_NODE_LATER_H

#include "node/roll.h"
#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_later {
    fb_http_response *target;  // to write to
    // private
    fb_http_response own;
    void (*respond)(void *arg, fb_http_response *response);
    void *arg;
    bool running;  // the handler has not returned yet
    bool answered;
} fb_later;

// In the handler, before anything is asked.
void fb_later_begin(fb_later *later, const fb_http_call *call);
// The response is written. True: the handler has returned, and *later is the caller's to free now; else
// the handler sees to that.
FB_CHECK_RESULT bool fb_later_answered(fb_later *later);
// The last of the handler, what it returns. FB_OK: answered, *later is the handler's to free.
// FB_PENDING: it is not.
FB_CHECK_RESULT int fb_later_end(fb_later *later);

// All of a handler whose answer needs the queues (roll.h) and nothing else: `fn` gets the fb_later, writes
// to its target, and frees it (fb_mem_free()) where fb_later_answered() says so.
FB_CHECK_RESULT int fb_later_roll(fb_http_call *call, fb_roll_fn fn);

#ifdef __cplusplus
}
#endif

#endif
