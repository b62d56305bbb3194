// The response of the handler's own call is gone once it has returned: what comes later goes into one of
// ours.

#include "node/later.h"

#include "base/check.h"
#include "base/mem.h"

void fb_later_begin(fb_later *later, const fb_http_call *call) {
    *later = (fb_later){.target = call->response,
                        .own = {.status = 500},
                        .respond = call->request->respond,
                        .arg = call->request->arg,
                        .running = true};
}

bool fb_later_answered(fb_later *later) {
    FB_ASSERT(!later->answered);
    later->answered = true;
    if (later->running) {
        return false;
    }
    later->respond(later->arg, &later->own);
    fb_http_response_release(&later->own);
    return true;
}

int fb_later_end(fb_later *later) {
    FB_ASSERT(later->running);
    if (later->answered) {
        return FB_OK;
    }
    later->running = false;
    later->target = &later->own;
    return FB_PENDING;
}

int fb_later_roll(fb_http_call *call, fb_roll_fn fn) {
    fb_later *later = fb_mem_new(sizeof *later);
    if (later == NULL) {
        return FB_ENOMEM;
    }
    fb_later_begin(later, call);
    fb_roll_read(call->node->engine, fn, later);
    int result = fb_later_end(later);
    if (result == FB_OK) {
        fb_mem_free(later);
    }
    return result;
}
