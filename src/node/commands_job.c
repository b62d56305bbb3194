// What a worker says of the jobs it has, and what people do with single ones.
//
//     FB.ACK q id token [id token ...]                 -> 1; of several, 1 or 0 for each
//     FB.ACK q id token [id token ...] RESERVE n [LEASE ms] [WORKER name]
//                                                      -> how many were, and the next jobs
//     FB.FAIL q id token [DELAY ms] [PERMANENT] [ERROR text]                         -> OK
//     FB.RELEASE q id token [DELAY ms]                                               -> OK
//     FB.EXTEND q id token [LEASE ms] [PROGRESS text]                                -> OK
//     FB.PROGRESS q id token text                                                    -> OK
//     FB.JOB id                                                          -> a map, or nil
//     FB.CANCEL id [id ...]                                              -> how many
//     FB.KICK id [id ...], or q state [COUNT n]                          -> how many
//     FB.RETRY id [id ...], or q [COUNT n]                               -> how many
//
// Whose lease is over is told LEASELOST; where several jobs were acknowledged, or others reserved in
// the same step, it is 0, or one less: an error would lose the rest of the answer.

#include "node/command_table.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/jobs.h"
#include "node/job_words.h"
#include "node/ask.h"

// ---- results

static void say_lost(fb_reply *reply) {
    fb_reply_error(reply, "LEASELOST %s", fb_result_text(FB_LOST));
}

static void say_done(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    (void)ask;
    if (answer->results[0] == FB_OK) {
        fb_reply_status(reply, "OK");
    } else {
        say_lost(reply);
    }
}

static size_t count_done(const fb_queue_answer *answer, size_t count) {
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        done += answer->results[i] == FB_OK;
    }
    return done;
}

static void say_acknowledged(const fb_ask *ask, fb_reply *reply,
                             const fb_queue_answer *answer) {
    size_t count = (size_t)ask->number;
    if (count == 1 && answer->results[0] != FB_OK) {
        say_lost(reply);
        return;
    }
    if (count > 1) {
        fb_reply_array(reply, count);
    }
    for (size_t i = 0; i < count; i++) {
        fb_reply_integer(reply, answer->results[i] == FB_OK);
    }
}

static void say_acknowledged_and_next(const fb_ask *ask, fb_reply *reply,
                                      const fb_queue_answer *answer) {
    fb_reply_array(reply, 2);
    fb_reply_integer(reply, (int64_t)count_done(answer, (size_t)ask->number));
    fb_reply_array(reply, answer->job_count);
    for (size_t i = 0; i < answer->job_count; i++) {
        fb_jobs_row(reply, ask->node->engine, &answer->jobs[i]);
    }
}

// ---- who has them

static bool read_claim(fb_command_call *call, size_t at, fb_job_claim *claim) {
    fb_str queue = call->args[1];
    return fb_job_words_id(call, at, &queue, &claim->number) &&
           fb_job_words_token(call, at + 1, &claim->token);
}

enum { ACK_WORDS = FB_JOB_WORD_RESERVE | FB_JOB_WORD_LEASE | FB_JOB_WORD_WORKER };

// Pairs up to the first option word. 0: said why not.
static size_t count_pairs(fb_command_call *call) {
    size_t at = 2;
    while (at < call->arg_count && !fb_job_words_is(call, ACK_WORDS, at)) {
        at++;
    }
    size_t words = at - 2;
    if (words < 2 || words % 2 != 0 || words / 2 > FB_JOB_BATCH_MAX) {
        fb_reply_error(call->reply, "ERR after the queue come 1 to %d ids, each with its token",
                       FB_JOB_BATCH_MAX);
        return 0;
    }
    return words / 2;
}

static void acknowledge(fb_command_call *call, const fb_job_claim *claims, size_t count) {
    fb_job_words words;
    if (!fb_job_words_all(call, ACK_WORDS, 2 + 2 * count, &words)) {
        return;
    }
    bool next = words.reserve > 0;
    if (!next && words.given != 0) {
        fb_reply_error(call->reply, "ERR LEASE and WORKER are of RESERVE n, which is not there");
        return;
    }
    fb_queue_call what = {.verb = FB_QUEUE_ACK,
                          .queue = call->args[1],
                          .claims = claims,
                          .item_count = count,
                          .count = words.reserve,
                          .lease_ms = words.spec.lease_ms,
                          .worker = words.worker};
    fb_ask ask = {.number = count, .may_stop = next};
    fb_ask_start(call, &what, &ask, next ? say_acknowledged_and_next : say_acknowledged);
}

void fb_verb_ack(fb_command_call *call) {
    size_t count = count_pairs(call);
    if (count == 0) {
        return;
    }
    fb_job_claim *claims = fb_mem_zero(count, sizeof *claims);
    if (claims == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    size_t read = 0;
    while (read < count && read_claim(call, 2 + 2 * read, &claims[read])) {
        read++;
    }
    if (read == count) {
        acknowledge(call, claims, count);
    }
    fb_mem_free(claims);
}

// One claim, and words behind it.
static bool read_one(fb_command_call *call, unsigned allowed, fb_job_claim *claim,
                     fb_job_words *words) {
    return read_claim(call, 2, claim) && fb_job_words_all(call, allowed, 4, words);
}

static void ask_of_one(fb_command_call *call, const fb_queue_call *what) {
    fb_ask ask = {.one = true};
    fb_ask_start(call, what, &ask, say_done);
}

void fb_verb_fail(fb_command_call *call) {
    fb_job_claim claim;
    fb_job_words words;
    unsigned allowed = FB_JOB_WORD_DELAY | FB_JOB_WORD_PERMANENT | FB_JOB_WORD_ERROR;
    if (!read_one(call, allowed, &claim, &words)) {
        return;
    }
    fb_queue_call what = {.verb = FB_QUEUE_FAIL,
                          .queue = call->args[1],
                          .claims = &claim,
                          .item_count = 1,
                          .permanent = (words.given & FB_JOB_WORD_PERMANENT) != 0,
                          .text = words.error};
    what.delay_ms = (words.given & FB_JOB_WORD_DELAY) != 0 ? words.spec.delay_ms : -1;
    ask_of_one(call, &what);
}

void fb_verb_release(fb_command_call *call) {
    fb_job_claim claim;
    fb_job_words words;
    if (!read_one(call, FB_JOB_WORD_DELAY, &claim, &words)) {
        return;
    }
    fb_queue_call what = {.verb = FB_QUEUE_RELEASE,
                          .queue = call->args[1],
                          .claims = &claim,
                          .item_count = 1,
                          .delay_ms = words.spec.delay_ms};
    ask_of_one(call, &what);
}

// An empty text is one, too: it takes the place of the one before.
static fb_str present(fb_str text) {
    return text.ptr != NULL ? text : FB_STR("");
}

void fb_verb_extend(fb_command_call *call) {
    fb_job_claim claim;
    fb_job_words words;
    if (!read_one(call, FB_JOB_WORD_LEASE | FB_JOB_WORD_PROGRESS, &claim, &words)) {
        return;
    }
    fb_queue_call what = {.verb = FB_QUEUE_EXTEND,
                          .queue = call->args[1],
                          .claims = &claim,
                          .item_count = 1,
                          .lease_ms = words.spec.lease_ms};
    if ((words.given & FB_JOB_WORD_PROGRESS) != 0) {
        what.text = present(words.progress);
    }
    ask_of_one(call, &what);
}

void fb_verb_progress(fb_command_call *call) {
    fb_job_claim claim;
    if (!read_claim(call, 2, &claim)) {
        return;
    }
    fb_queue_call what = {.verb = FB_QUEUE_EXTEND,
                          .queue = call->args[1],
                          .claims = &claim,
                          .item_count = 1,
                          .text = present(call->args[4])};
    ask_of_one(call, &what);
}

// ---- single jobs

static void say_job(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    if (answer->results[0] == FB_OK && answer->job_count > 0) {
        fb_jobs_say(reply, ask->node->engine, &answer->jobs[0], true);
    } else {
        fb_reply_null(reply);
    }
}

void fb_verb_job(fb_command_call *call) {
    fb_str queue = {"", 0};
    fb_job_claim claim = {0, 0};
    if (!fb_job_words_id(call, 1, &queue, &claim.number)) {
        return;
    }
    fb_queue_call what = {
        .verb = FB_QUEUE_GET, .queue = queue, .claims = &claim, .item_count = 1};
    fb_ask ask = {.one = true};
    fb_ask_start(call, &what, &ask, say_job);
}

static void say_count(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    if (ask->one && answer->results[0] == FB_REFUSED) {
        fb_reply_error(reply, "DUPLICATE its unique key has another job");
        return;
    }
    fb_reply_integer(reply, (int64_t)count_done(answer, (size_t)ask->number));
}

// Ids from `at` on to the end, all of one queue.
static void ask_of_many(fb_command_call *call, fb_queue_verb verb, size_t at) {
    size_t count = call->arg_count - at;
    fb_str queue = {"", 0};
    if (count > FB_JOB_BATCH_MAX) {
        fb_reply_error(call->reply, "ERR at most %d jobs", FB_JOB_BATCH_MAX);
        return;
    }
    fb_job_claim *claims = fb_mem_zero(count, sizeof *claims);
    if (claims == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    size_t read = 0;
    while (read < count && fb_job_words_id(call, at + read, &queue, &claims[read].number)) {
        read++;
    }
    if (read == count) {
        fb_queue_call what = {
            .verb = verb, .queue = queue, .claims = claims, .item_count = count};
        fb_ask ask = {.number = count, .one = count == 1};
        fb_ask_start(call, &what, &ask, say_count);
    }
    fb_mem_free(claims);
}

void fb_verb_cancel(fb_command_call *call) {
    ask_of_many(call, FB_QUEUE_CANCEL, 1);
}

static void say_kicked(const fb_ask *ask, fb_reply *reply, const fb_queue_answer *answer) {
    (void)ask;
    fb_reply_integer(reply, (int64_t)answer->value);
}

static void kick_state(fb_command_call *call, fb_job_state state, size_t at) {
    fb_job_words words;
    fb_queue_call what = {.verb = FB_QUEUE_KICK, .queue = call->args[1], .state = state};
    fb_ask ask = {.one = false};
    if (fb_job_words_all(call, FB_JOB_WORD_COUNT, at, &words)) {
        what.count = words.count > 0 ? words.count : FB_JOB_BATCH_MAX;
        fb_ask_start(call, &what, &ask, say_kicked);
    }
}

// An id has a dot, which no queue's name has.
static bool names_jobs(const fb_command_call *call) {
    return fb_str_find(call->args[1], '.') < call->args[1].len;
}

void fb_verb_kick(fb_command_call *call) {
    fb_job_state state;
    if (names_jobs(call)) {
        ask_of_many(call, FB_QUEUE_KICK, 1);
    } else if (call->arg_count > 2 && fb_jobs_state(call->args[2], &state) &&
               (state == FB_JOB_SCHEDULED || state == FB_JOB_DEAD)) {
        kick_state(call, state, 3);
    } else {
        fb_reply_error(call->reply, "ERR expected ids of jobs, or a queue and scheduled or dead");
    }
}

void fb_verb_retry(fb_command_call *call) {
    if (names_jobs(call)) {
        ask_of_many(call, FB_QUEUE_KICK, 1);
    } else {
        kick_state(call, FB_JOB_DEAD, 2);
    }
}
