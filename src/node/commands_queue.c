// Queues: jobs in, jobs out, and how a queue stands (forebay/queue.h).
//
//     FB.ENQUEUE q payload [KIND k] [PRI p] [DELAY ms | AT unix-ms] [UNIQ key] [ATTEMPTS n]
//                [LEASE ms] [EXPIRES ms] [WITHNEW]            -> an id; WITHNEW: and 1, or 0: it was there
//     FB.MENQUEUE q [options] PAYLOADS payload [payload ...]  -> ids
//     FB.RESERVE q [q ...] [COUNT n] [BLOCK ms] [LEASE ms] [WORKER name]
//                                                  -> rows of id, token, attempt, kind, payload
//     FB.QUEUE q                                              -> a map
//     FB.QUEUE q PAUSE | RESUME                               -> 1, or 0: it was so
//     FB.QUEUE q PURGE state                                  -> how many
//     FB.QUEUE q LIST state [AFTER n] [COUNT n]               -> maps
//     FB.QUEUE q MOVE                                         -> how many
//     FB.QUEUES                                               -> maps
//     FB.DEAD q [AFTER n] [COUNT n]                           -> maps
//
// A queue may have the name of an option word: the first name after RESERVE is a queue whatever it is.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/jobs.h"
#include "node/job_words.h"
#include "node/ask.h"
#include "node/roll.h"
#include "node/session_state.h"

enum { LIST_COUNT = 100, SHOWN = 64 };

static fb_ask about(fb_str queue) {
    fb_ask ask = {.number = 0};
    (void)snprintf(ask.queue, sizeof ask.queue, "%.*s",
                   (int)(queue.len < sizeof ask.queue ? queue.len : sizeof ask.queue - 1), queue.ptr);
    return ask;
}

// ---- FB.ENQUEUE, FB.MENQUEUE

static void say_id(fb_reply *reply, const fb_ask *ask, uint64_t number) {
    char id[FB_JOB_ID_SIZE];
    fb_reply_text(reply, fb_job_id_write(fb_str_of(ask->queue), number, id));
}

static void say_enqueued(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    if (ask->flag) {
        fb_reply_array(reply, 2);
    }
    say_id(reply, ask, answer->numbers[0]);
    if (ask->flag) {
        fb_reply_integer(reply, answer->results[0] == FB_OK);
    }
}

void fb_verb_enqueue(fb_command_call *call) {
    fb_job_words words;
    unsigned allowed = FB_JOB_WORD_FRESH | FB_JOB_WORD_UNIQ | FB_JOB_WORD_WITHNEW;
    if (!fb_job_words_all(call, allowed, 3, &words)) {
        return;
    }
    words.spec.queue = call->args[1];
    words.spec.payload = call->args[2];
    fb_queue_call what = {.verb = FB_QUEUE_ENQUEUE,
                          .queue = call->args[1],
                          .specs = &words.spec,
                          .item_count = 1};
    fb_ask ask = about(call->args[1]);
    ask.flag = (words.given & FB_JOB_WORD_WITHNEW) != 0;
    fb_ask_start(call, &what, &ask, say_enqueued);
}

// As many ids as payloads, which the call's numbers are as many as.
static void say_all_enqueued(const fb_ask *ask, fb_reply *reply,
                             const fb_queue_answer *answer) {
    fb_reply_array(reply, ask->number);
    for (uint64_t i = 0; i < ask->number; i++) {
        say_id(reply, ask, answer->numbers[i]);
    }
}

void fb_verb_menqueue(fb_command_call *call) {
    fb_job_words words;
    size_t at = 2;
    if (!fb_job_words_read(call, FB_JOB_WORD_FRESH, &at, &words)) {
        return;
    }
    size_t count = call->arg_count - at - 1;
    if (at >= call->arg_count || !fb_command_word(call, at, "PAYLOADS") || count < 1 ||
        count > FB_JOB_BATCH_MAX) {
        fb_reply_error(call->reply, "ERR options end with PAYLOADS, and 1 to %d of these follow",
                       FB_JOB_BATCH_MAX);
        return;
    }
    fb_job_spec *specs = fb_mem_zero(count, sizeof *specs);
    if (specs == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    words.spec.queue = call->args[1];
    for (size_t i = 0; i < count; i++) {
        specs[i] = words.spec;
        specs[i].payload = call->args[at + 1 + i];
    }
    fb_queue_call what = {.verb = FB_QUEUE_ENQUEUE,
                          .queue = call->args[1],
                          .specs = specs,
                          .item_count = count};
    fb_ask ask = about(call->args[1]);
    ask.number = count;
    fb_ask_start(call, &what, &ask, say_all_enqueued);
    fb_mem_free(specs);
}

// ---- FB.RESERVE

enum {
    RESERVE_WORDS = FB_JOB_WORD_COUNT | FB_JOB_WORD_BLOCK | FB_JOB_WORD_LEASE | FB_JOB_WORD_WORKER
};

static void say_reserved(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    fb_reply_array(reply, answer->job_count);
    for (size_t i = 0; i < answer->job_count; i++) {
        fb_jobs_row(reply, ask->node->engine, &answer->jobs[i]);
    }
}

void fb_verb_reserve(fb_command_call *call) {
    fb_job_words words;
    size_t at = 2;
    while (at < call->arg_count && !fb_job_words_is(call, RESERVE_WORDS, at)) {
        at++;
    }
    size_t count = at - 1;
    if (count > FB_QUEUE_NAMES_MAX) {
        fb_reply_error(call->reply, "ERR at most %d queues", FB_QUEUE_NAMES_MAX);
        return;
    }
    if (!fb_job_words_all(call, RESERVE_WORDS, at, &words)) {
        return;
    }
    // Nobody may wait in a transaction, nor for a server that stops.
    bool waits = call->session->exec == FB_EXEC_NONE && !atomic_load(&call->node->draining);
    fb_queue_call what = {.verb = FB_QUEUE_RESERVE,
                          .queues = call->args + 1,
                          .queue_count = count,
                          .count = words.count > 0 ? words.count : 1,
                          .wait_ms = waits ? words.block_ms : 0,
                          .lease_ms = words.spec.lease_ms,
                          .worker = words.worker};
    fb_ask ask = {.may_stop = true};
    fb_ask_start(call, &what, &ask, say_reserved);
}

// ---- FB.QUEUE, FB.QUEUES, FB.DEAD

static void say_value(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    (void)ask;
    fb_reply_integer(reply, (int64_t)answer->value);
}

static void say_list(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    fb_reply_array(reply, answer->job_count);
    for (size_t i = 0; i < answer->job_count; i++) {
        fb_jobs_say(reply, ask->node->engine, &answer->jobs[i], false);
    }
}

static void say_look(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    fb_queue_figures figures;
    int result = fb_jobs_queue_find(ask->node->engine, fb_str_of(ask->queue), &figures);
    if (result == FB_OK) {
        fb_jobs_queue_say(reply, &figures, &answer->look);
    } else {
        fb_reply_error(reply, "%s %s", fb_command_code(result < 0 ? result : FB_ENOQUEUE),
                       fb_result_text(result < 0 ? result : FB_ENOQUEUE));
    }
}

static void look(fb_command_call *call) {
    fb_queue_call what = {.verb = FB_QUEUE_LOOK, .queue = call->args[1]};
    fb_ask ask = about(call->args[1]);
    fb_ask_start(call, &what, &ask, say_look);
}

static void change(fb_command_call *call, fb_queue_verb verb, bool flag) {
    fb_queue_call what = {.verb = verb, .queue = call->args[1], .flag = flag};
    fb_ask ask = about(call->args[1]);
    if (call->arg_count > 3) {
        fb_command_syntax_error(call);
        return;
    }
    fb_ask_start(call, &what, &ask, say_value);
}

static bool read_state(fb_command_call *call, fb_job_state *state) {
    if (call->arg_count > 3 && fb_jobs_state(call->args[3], state)) {
        return true;
    }
    fb_reply_error(call->reply, "ERR a state is %s", fb_jobs_state_names());
    return false;
}

static void purge(fb_command_call *call) {
    fb_queue_call what = {.verb = FB_QUEUE_PURGE, .queue = call->args[1]};
    fb_ask ask = about(call->args[1]);
    if (!read_state(call, &what.state)) {
        return;
    }
    if (call->arg_count > 4) {
        fb_command_syntax_error(call);
        return;
    }
    fb_ask_start(call, &what, &ask, say_value);
}

static void list_from(fb_command_call *call, fb_job_state state, size_t at) {
    fb_job_words words;
    fb_queue_call what = {.verb = FB_QUEUE_LIST, .queue = call->args[1], .state = state};
    fb_ask ask = about(call->args[1]);
    if (fb_job_words_all(call, FB_JOB_WORD_AFTER | FB_JOB_WORD_COUNT, at, &words)) {
        what.after = words.after;
        what.count = words.count > 0 ? words.count : LIST_COUNT;
        fb_ask_start(call, &what, &ask, say_list);
    }
}

static void list(fb_command_call *call) {
    fb_job_state state;
    if (read_state(call, &state)) {
        list_from(call, state, 4);
    }
}

void fb_verb_queue(fb_command_call *call) {
    if (call->arg_count == 2) {
        look(call);
    } else if (fb_command_word(call, 2, "PAUSE")) {
        change(call, FB_QUEUE_PAUSE, true);
    } else if (fb_command_word(call, 2, "RESUME")) {
        change(call, FB_QUEUE_PAUSE, false);
    } else if (fb_command_word(call, 2, "MOVE")) {
        change(call, FB_QUEUE_MOVE, false);
    } else if (fb_command_word(call, 2, "PURGE")) {
        purge(call);
    } else if (fb_command_word(call, 2, "LIST")) {
        list(call);
    } else {
        fb_str word = call->args[2];
        fb_reply_error(call->reply,
                       "ERR '%.*s' cannot be done with a queue: there are PAUSE, RESUME, PURGE, LIST "
                       "and MOVE",
                       (int)(word.len < SHOWN ? word.len : SHOWN), word.ptr);
    }
}

void fb_verb_dead(fb_command_call *call) {
    list_from(call, FB_JOB_DEAD, 2);
}

static void say_queues(void *arg, int result, const fb_queue_figures *queues, size_t count) {
    fb_slot *slot = arg;
    if (slot->session != NULL && result < 0) {
        fb_reply_error(slot->target, "%s %s", fb_command_code(result), fb_result_text(result));
    } else if (slot->session != NULL) {
        fb_reply_array(slot->target, count);
        for (size_t i = 0; i < count; i++) {
            fb_jobs_queue_say(slot->target, &queues[i], NULL);
        }
    }
    fb_slot_finish(slot);
}

void fb_verb_queues(fb_command_call *call) {
    fb_slot *slot = fb_session_slot(call);
    if (slot == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    slot->alone = true;
    fb_roll_read(call->node->engine, say_queues, slot);
    call->outcome = slot->done ? FB_OK : FB_PENDING;
}
