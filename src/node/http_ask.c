// A client that goes while it waits for jobs is told of by the door (watch): then the wait is ended, and
// what it brings all the same is given back (see ask.c).

#include "node/http_ask.h"

#include "base/mem.h"
#include "base/str.h"
#include "node/jobs.h"

typedef struct asking {
    fb_http_ask ask;
    fb_http_ask_fn write;
    bool blocks;  // counted among those that wait for jobs
} asking;

static void fail(fb_http_response *response, int result, const char *text) {
    fb_error error = {.code = result};
    fb_str from = fb_str_of(text != NULL ? text : "");
    size_t len = from.len < sizeof error.text ? from.len : sizeof error.text - 1;
    if (len > 0) {
        memcpy(error.text, from.ptr, len);
    }
    fb_http_failure(response, result, &error);
}

static void leave(asking *one) {
    if (one->blocks) {
        atomic_fetch_sub_explicit(&one->ask.node->blocked, 1, memory_order_relaxed);
        one->blocks = false;
    }
    one->ask.wait = NULL;
}

static void answer(void *arg, const fb_queue_answer *is) {
    asking *one = arg;
    fb_queue_answer seen = *is;
    leave(one);
    if (one->ask.stopped && one->ask.may_stop) {
        fb_jobs_hand_back(one->ask.node->engine, seen.jobs, seen.job_count);
        seen.job_count = 0;
    }
    fb_http_response *target = one->ask.later.target;
    int result = seen.result;
    if (result < 0) {
        fail(target, result, seen.error);
    } else if ((result = one->write(&one->ask, target, &seen)) < 0) {
        fail(target, result, NULL);
    }
    if (fb_later_answered(&one->ask.later)) {
        fb_mem_free(one);
    }
}

static void client_gone(void *arg) {
    asking *one = arg;
    fb_queue_wait *wait = one->ask.wait;
    one->ask.wait = NULL;
    one->ask.stopped = true;
    if (wait != NULL) {
        fb_queue_stop(one->ask.node->engine, wait);
    }
}

int fb_http_ask_start(fb_http_call *call, const fb_queue_call *what, const fb_http_ask *ask,
                      fb_http_ask_fn write) {
    fb_error error = {.code = FB_OK};
    fb_queue_wait *wait = NULL;
    asking *one = fb_mem_new(sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    *one = (asking){.ask = *ask, .write = write};
    one->ask.node = call->node;
    fb_later_begin(&one->ask.later, call);
    int result = fb_queue_start(call->node->engine, what, answer, one, &wait, &error);
    if (result < 0) {
        fb_mem_free(one);
        fb_http_failure(call->response, result, &error);
        return FB_OK;
    }
    const fb_http_request *request = call->request;
    result = fb_later_end(&one->ask.later);
    if (result == FB_OK) {
        fb_mem_free(one);
    } else {
        one->ask.wait = wait;
        one->blocks = wait != NULL;
        atomic_fetch_add_explicit(&call->node->blocked, one->blocks, memory_order_relaxed);
        if (wait != NULL && request->watch != NULL) {
            request->watch(request->arg, client_gone, one);
        }
    }
    return result;
}
