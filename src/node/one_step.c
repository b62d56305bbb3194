// A transaction that cannot be has changed nothing, so the command is done as it would be without one.

#include "node/one_step.h"

#include <forebay/transaction.h>

typedef struct attempt {
    fb_command_call *call;
    fb_command_fn fn;
    fb_reply before;  // the reply as it was
    size_t start;
} attempt;

static void begin_reply(attempt *one) {
    *one->call->reply = one->before;
    one->before.out->len = one->start;
}

static void run(void *arg) {
    attempt *one = arg;
    begin_reply(one);
    one->fn(one->call);
}

static bool is_refused(int result, bool repeatable) {
    return result == FB_EIO || result == FB_ECONFLICT || result == FB_EINVAL ||
           result == FB_ETOOBIG || (repeatable && result == FB_ETIMEDOUT);
}

static void run_alone(fb_command_call *call, fb_command_fn fn) {
    bool claims = fb_session_claim_for(call);
    fn(call);
    if (claims) {
        fb_session_release(call->session);
    }
}

void fb_command_in_one_step(fb_command_call *call, fb_command_fn fn, bool repeatable) {
    attempt one = {call, fn, *call->reply, call->reply->out->len};
    fb_transaction *transaction = NULL;
    fb_error error = {0};
    if (!call->node->waits) {
        run_alone(call, fn);
        return;
    }
    int result = fb_transaction_new(call->node->engine, &transaction);
    if (result == FB_OK) {
        result = fb_transaction_run(transaction, run, &one, &error);
    }
    fb_transaction_free(transaction);
    if (is_refused(result, repeatable)) {
        run(&one);
    } else if (result < 0) {
        begin_reply(&one);
        fb_command_failed(call, result, &error);
    }
}
