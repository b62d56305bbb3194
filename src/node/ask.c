// An answer that brings jobs for somebody who has gone, or who is not to wait any more, gives them
// back: their leases would keep them from others for minutes.
//
// Only what does not mind order may begin while replies before it are still to come (OVERLAP in the
// command table): one connection can so have many jobs on their way to the disk at a time, which is
// what group commit is for. Behind all others of these commands nothing begins before they are
// answered, nor within a transaction behind any.

#include "node/ask.h"

#include "base/mem.h"
#include "base/str.h"
#include "node/jobs.h"
#include "node/session_state.h"

typedef struct asking {
    fb_ask ask;
    fb_ask_fn write;
    bool blocks;  // counted among those that wait for jobs
} asking;

static void write_reply(const asking *one, const fb_queue_answer *answer) {
    fb_slot *slot = one->ask.slot;
    const char *text = answer->error;
    if (answer->result < 0) {
        fb_reply_error(slot->target, "%s %s", fb_command_code(answer->result),
                       text != NULL && text[0] != '\0' ? text : fb_result_text(answer->result));
    } else {
        one->write(&one->ask, slot->target, answer);
    }
}

static void leave(asking *one) {
    if (one->blocks) {
        atomic_fetch_sub_explicit(&one->ask.node->blocked, 1, memory_order_relaxed);
        one->blocks = false;
    }
    one->ask.slot->wait = NULL;
}

static void answer(void *arg, const fb_queue_answer *is) {
    asking *one = arg;
    fb_slot *slot = one->ask.slot;
    fb_queue_answer seen = *is;
    leave(one);
    if (seen.job_count > 0 && (slot->session == NULL || slot->stopped)) {
        if (one->ask.may_stop) {
            fb_jobs_hand_back(one->ask.node->engine, seen.jobs, seen.job_count);
            seen.job_count = 0;
        }
    }
    if (slot->session != NULL && slot->by_error) {
        fb_reply_error(slot->target, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else if (slot->session != NULL) {
        write_reply(one, &seen);
    }
    fb_mem_free(one);
    fb_slot_finish(slot);
}

static asking *new_asking(const fb_ask *ask, fb_node *node, fb_slot *slot,
                          fb_ask_fn write) {
    asking *one = slot != NULL ? fb_mem_new(sizeof *one) : NULL;
    if (one != NULL) {
        *one = (asking){.ask = *ask, .write = write};
        one->ask.slot = slot;
        one->ask.node = node;
    }
    return one;
}

void fb_ask_start(fb_command_call *call, const fb_queue_call *what, const fb_ask *ask,
                        fb_ask_fn write) {
    fb_error error = {.code = FB_OK};
    fb_queue_wait *wait = NULL;
    fb_slot *slot = fb_session_slot(call);
    asking *one = new_asking(ask, call->node, slot, write);
    if (one == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    slot->alone = (call->command->flags & FB_COMMAND_OVERLAP) == 0 ||
                  call->session->exec != FB_EXEC_NONE;
    int result = fb_queue_start(call->node->engine, what, answer, one, &wait, &error);
    if (result < 0) {
        fb_mem_free(one);
        fb_command_failed(call, result, &error);
    } else if (!slot->done) {
        slot->wait = wait;
        one->blocks = wait != NULL;
        atomic_fetch_add_explicit(&call->node->blocked, one->blocks, memory_order_relaxed);
        call->outcome = FB_PENDING;
    }
}
