// What waits must not touch the session afterwards, which may be gone: so the transaction is held by
// reference, by its session and by the handler under way, and EXEC takes the queue with it. Whatever
// concerns the session (rights, CLIENT TRACKING, commands on no keys) is done before the first wait.

#include "node/optimistic.h"

#include <forebay/transaction.h>

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/command_stats.h"
#include "node/command_table.h"
#include "node/session_user.h"

struct fb_optimistic {
    fb_transaction *transaction;
    uint32_t holders;
    bool broken;  // a WATCH failed: not all is watched that was to be
};

static void give(fb_optimistic *one) {
    if (one != NULL && --one->holders == 0) {
        fb_transaction_free(one->transaction);
        fb_mem_free(one);
    }
}

void fb_optimistic_forget(fb_session *session) {
    give(session->optimistic);
    session->optimistic = NULL;
}

bool fb_optimistic_waits(const fb_command_call *call) {
    fb_command_fn run = call->command->run;
    return call->node->waits && ((run == fb_multi_watch && !call->session->queued.open) ||
                                 (run == fb_multi_exec && call->session->optimistic != NULL));
}

void fb_optimistic_not_begun(fb_command_call *call) {
    fb_session *session = call->session;
    if (call->command->run == fb_multi_watch) {
        session->watch_failed = true;
    } else if (call->command->run == fb_multi_exec) {
        fb_queued_close(&session->queued);
        fb_session_unwatch(session);
    }
}

// ---- WATCH

// The session's, made if there is none, with a reference for the handler. NULL: no memory.
static fb_optimistic *take(fb_session *session) {
    if (session->optimistic == NULL) {
        fb_optimistic *made = fb_mem_zero(1, sizeof *made);
        if (made == NULL || fb_transaction_new(session->node->engine, &made->transaction) < 0) {
            fb_mem_free(made);
            return NULL;
        }
        made->holders = 1;
        session->optimistic = made;
    }
    session->optimistic->holders++;
    return session->optimistic;
}

void fb_optimistic_watch(fb_command_call *call) {
    fb_error error = {0};
    fb_optimistic *one = take(call->session);
    if (one == NULL) {
        call->session->watch_failed = true;
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    int result = FB_OK;
    for (size_t i = 1; i < call->arg_count && result == FB_OK; i++) {
        result = fb_transaction_watch(one->transaction, call->args[i], &error);
    }
    if (result < 0) {
        one->broken = true;
        fb_command_failed(call, result, &error);
    } else {
        fb_reply_status(call->reply, "OK");
    }
    give(one);
}

// ---- what may be queued

static bool is_harmless(fb_command_fn run) {
    return run == fb_connection_ping || run == fb_connection_echo || run == fb_server_time;
}

bool fb_optimistic_fits(fb_command_call *call) {
    const fb_command *command = call->command;
    char name[FB_COMMAND_NAME_SIZE];
    bool is_sub = fb_command_find(call->args[0]) != command;
    bool on_keys = (command->flags & (FB_COMMAND_READONLY | FB_COMMAND_WRITE)) != 0 &&
                   command->first_key > 0 && !is_sub && strcmp(command->group, "forebay") != 0;
    if (on_keys || is_harmless(command->run)) {
        return true;
    }
    fb_reply_error(call->reply,
                   "ERR '%s' is not supported between WATCH and EXEC with a shared tier: it could "
                   "not be done again, nor undone",
                   fb_command_full_name(command, name));
    return false;
}

// ---- EXEC

typedef struct execution {
    fb_command_call *call;
    fb_queued queued;
    fb_buf ready;        // replies that are known before: of commands on no keys, of what is denied now
    size_t *ready_ends;  // of each command's reply in it
    size_t start;        // of the reply
    bool too_long;       // the reply was
} execution;

static void begin_reply(execution *one) {
    fb_reply *reply = one->call->reply;
    reply->out->len = one->start;
    fb_reply_init(reply, reply->encoding, reply->out);
}

// false: no memory.
static bool ask_one(execution *one, fb_command_call *call) {
    fb_reply reply;
    fb_reply_init(&reply, one->call->reply->encoding, &one->ready);
    call->reply = &reply;
    if (!fb_command_prepare(call, fb_command_find(call->args[0])) || !fb_session_may(call)) {
        fb_command_stats_refuse(call);
    } else {
        (void)fb_command_stats_begin(call);  // once, however often it is run
        if (is_harmless(call->command->run)) {
            call->command->run(call);
        } else {
            fb_session_track(call, call->session->current);
        }
    }
    if (call->outcome == FB_ECLOSED) {
        one->call->outcome = FB_ECLOSED;  // the user is gone
    }
    return !fb_reply_failed(&reply);
}

// What is asked of the session, in advance. FB_OK; FB_ENOMEM; FB_ECLOSED: it ends.
static int ask_session(execution *one) {
    fb_session *session = one->call->session;
    fb_command_call call = *one->call;
    size_t count = session->queued.count;
    one->ready_ends = fb_mem_zero(count + 1, sizeof *one->ready_ends);
    bool fine = one->ready_ends != NULL;
    session->exec = FB_EXEC_RUNS;
    for (size_t i = 0; fine && fb_queued_next(&session->queued, &call.args, &call.arg_count); i++) {
        fine = ask_one(one, &call);
        one->ready_ends[i] = one->ready.len;
    }
    session->exec = FB_EXEC_NONE;
    session->run_count += count;
    return one->call->outcome == FB_ECLOSED ? FB_ECLOSED : fine ? FB_OK : FB_ENOMEM;
}

static void run_one(execution *one, fb_command_call *call, size_t index) {
    size_t from = index > 0 ? one->ready_ends[index - 1] : 0;
    size_t to = one->ready_ends[index];
    if (to > from) {
        fb_reply_raw(call->reply, fb_str_make(one->ready.ptr + from, to - from));
    } else if (fb_command_prepare(call, fb_command_find(call->args[0]))) {
        call->command->run(call);
    }
}

static void run_all(void *arg) {
    execution *one = arg;
    fb_command_call call = *one->call;
    call.session = NULL;  // it may be gone
    one->too_long = false;
    begin_reply(one);
    fb_queued_rewind(&one->queued);
    fb_reply_array(call.reply, one->queued.count);
    for (size_t i = 0; fb_queued_next(&one->queued, &call.args, &call.arg_count); i++) {
        run_one(one, &call, i);
        if (call.reply->out->len - one->start > FB_SESSION_REPLY_LEN_MAX) {
            one->too_long = true;  // the others are done all the same
            begin_reply(one);
        }
    }
}

static void end(execution *one, int result, const fb_error *error) {
    fb_command_call *call = one->call;
    if (result == FB_OK) {
        call->outcome = one->too_long ? FB_ECLOSED : FB_OK;
        return;
    }
    begin_reply(one);
    if (result == FB_REFUSED) {
        fb_reply_null_array(call->reply);
    } else if (result == FB_ECONFLICT) {
        fb_reply_error(call->reply, "CROSSSLOT %s", error->text);
    } else {
        fb_command_failed(call, result, error);
    }
}

static void execute(execution *one, fb_optimistic *watched, int asked) {
    if (asked == FB_ECLOSED) {
        return;
    }
    if (asked < 0) {
        fb_command_failed(one->call, asked, NULL);
    } else if (watched->broken) {
        fb_reply_error(one->call->reply, "EXECABORT Transaction discarded because WATCH failed");
    } else {
        fb_error error = {0};
        int result = fb_transaction_run(watched->transaction, run_all, one, &error);
        end(one, result, &error);
    }
}

void fb_optimistic_exec(fb_command_call *call) {
    fb_session *session = call->session;
    execution one = {.call = call, .start = call->reply->out->len};
    int asked = ask_session(&one);
    fb_optimistic *watched = session->optimistic;  // with the session's reference
    one.queued = session->queued;
    session->optimistic = NULL;
    session->queued = (fb_queued){.count = 0};
    execute(&one, watched, asked);
    give(watched);
    fb_mem_free(one.ready_ends);
    fb_buf_release(&one.ready);
    fb_queued_release(&one.queued);
}
