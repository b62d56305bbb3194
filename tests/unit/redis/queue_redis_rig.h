// queue_redis_rig.h -- remotes at real servers, asked about queues, on one event loop that the test
// turns.
//
// Header-only. A request is sent and its reply waited for (queue_ask()), or several are under way
// at once (queue_send()). Replies are copied.

#ifndef FB_TESTS_QUEUE_REDIS_RIG_H
#define FB_TESTS_QUEUE_REDIS_RIG_H

#include "limits_rig.h"
#include "redis/queue.h"

enum { QUEUE_JOBS_MAX = 1200 };
#define MS INT64_C(1000000)

typedef struct queue_answer {
    size_t replies;        // calls of the reply function
    fb_store_reply reply;  // what it points to is copied
    void **pieces;         // of malloc(): a test may have the memory of fb_mem_*() end
    size_t piece_count;
    char text[256];
} queue_answer;

static inline void *queue_piece(queue_answer *answer, const void *from, size_t size) {
    void *piece = malloc(size + 1);
    void **pieces = realloc(answer->pieces, (answer->piece_count + 1) * sizeof *pieces);

    assert_non_null(piece);
    assert_non_null(pieces);
    answer->pieces = pieces;
    pieces[answer->piece_count++] = piece;
    if (size > 0) {
        memcpy(piece, from, size);
    }
    return piece;
}

static inline fb_str queue_copy(queue_answer *answer, fb_str from) {
    return from.len > 0 ? fb_str_make(queue_piece(answer, from.ptr, from.len), from.len) : from;
}

static inline void *queue_copy_array(queue_answer *answer, const void *from, size_t size) {
    return from != NULL ? queue_piece(answer, from, size) : NULL;
}

static inline void queue_copy_jobs(queue_answer *answer, const fb_store_reply *reply) {
    fb_job *jobs = queue_copy_array(answer, reply->jobs, reply->job_count * sizeof *jobs);

    for (size_t i = 0; i < reply->job_count; i++) {
        fb_str *const texts[] = {&jobs[i].queue,  &jobs[i].kind,  &jobs[i].payload,
                                 &jobs[i].unique, &jobs[i].error, &jobs[i].progress};
        for (size_t j = 0; j < 6; j++) {
            *texts[j] = queue_copy(answer, *texts[j]);
        }
    }
    answer->reply.jobs = jobs;
}

static inline void queue_copy_marks(queue_answer *answer, const fb_store_reply *reply) {
    fb_store_mark *marks =
        queue_copy_array(answer, reply->marks, reply->mark_count * sizeof *marks);

    for (size_t i = 0; i < reply->mark_count; i++) {
        marks[i].name = queue_copy(answer, marks[i].name);
    }
    answer->reply.marks = marks;
}

typedef struct queue_question {
    queue_answer *answer;
    size_t item_count;
} queue_question;

static inline void queue_take(void *arg, const fb_store_reply *reply) {
    queue_question *question = arg;
    queue_answer *answer = question->answer;
    size_t count = question->item_count;

    assert_non_null(reply->text);
    answer->reply = *reply;
    queue_copy_jobs(answer, reply);
    queue_copy_marks(answer, reply);
    answer->reply.results =
        queue_copy_array(answer, reply->results, count * sizeof *reply->results);
    answer->reply.numbers =
        queue_copy_array(answer, reply->numbers, count * sizeof *reply->numbers);
    answer->reply.ran_ms = queue_copy_array(answer, reply->ran_ms, count * sizeof *reply->ran_ms);
    answer->reply.ends = queue_copy_array(answer, reply->ends, count * sizeof *reply->ends);
    snprintf(answer->text, sizeof answer->text, "%s", reply->text);
    answer->reply.text = answer->text;
    answer->replies++;
    free(question);
}

static inline void queue_forget(queue_answer *answer) {
    for (size_t i = 0; i < answer->piece_count; i++) {
        free(answer->pieces[i]);
    }
    free(answer->pieces);
    memset(answer, 0, sizeof *answer);
}

static const fb_queue_policy QUEUE_POLICY = {.retry_delay_ms = 10000,
                                             .retry_max_ms = 600000,
                                             .dead_keep_ms = 604800000,
                                             .dead_max = 10000,
                                             .partitions = 1};

// `request` without its time, queue and policy gets these of the rig's. What is sent by nobody
// must leave `answer` forgotten afterwards.
static inline int queue_send(limits_rig *rig, size_t remote, const fb_store_request *request,
                             queue_answer *answer) {
    fb_queue_port *port = fb_remote_queue_port(rig->remote[remote]);
    fb_store_request timed = *request;
    queue_question *question = malloc(sizeof *question);

    assert_non_null(question);
    *question = (queue_question){answer, request->item_count};
    memset(answer, 0, sizeof *answer);
    timed.timeout_ns = request->timeout_ns > 0 ? request->timeout_ns : LIMITS_TIMEOUT_NS;
    timed.queue = request->queue.len > 0 ? request->queue : FB_STR("work");
    timed.policy = request->policy != NULL ? request->policy : &QUEUE_POLICY;
    int result = port->send(port, &timed, queue_take, question);
    assert_int_equal(answer->replies, 0);  // never within
    if (result < 0) {
        free(question);
    }
    return result;
}

// The answer, good until the next question.
static inline const fb_store_reply *queue_ask(limits_rig *rig, size_t remote,
                                              const fb_store_request *request) {
    static queue_answer answer;

    queue_forget(&answer);
    assert_ok(queue_send(rig, remote, request, &answer));
    LIMITS_UNTIL(rig, answer.replies > 0);
    assert_int_equal(answer.replies, 1);
    return &answer.reply;
}

#define QUEUE_IS(reply, expected) queue_result_is((reply), (expected), __FILE__, __LINE__)

static inline const fb_store_reply *queue_result_is(const fb_store_reply *reply,
                                                    fb_store_result expected, const char *file,
                                                    int line) {
    if (reply->result != expected) {
        print_error("result %d (%s), not %d\n", (int)reply->result, reply->text, (int)expected);
        _fail(file, line);
    }
    return reply;
}

// ---- short forms

static inline fb_store_job queue_spec(const char *payload) {
    return (fb_store_job){.job = {.kind = FB_STR("k"),
                                  .payload = fb_str_of(payload),
                                  .priority = 5,
                                  .attempts = 3,
                                  .lease_ms = 300000}};
}

// Its number.
static inline uint64_t queue_put(limits_rig *rig, fb_store_job spec, int64_t now_ms) {
    const fb_store_request request = {
        .verb = FB_STORE_ENQUEUE, .jobs = &spec, .item_count = 1, .now_ms = now_ms};
    const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 0, &request), FB_STORE_DONE);
    assert_int_equal(reply->results[0], FB_OK);
    return reply->numbers[0];
}

static inline const fb_store_reply *queue_reserve(limits_rig *rig, uint32_t count, uint64_t token,
                                                  int64_t now_ms) {
    const fb_store_request request = {
        .verb = FB_STORE_RESERVE, .count = count, .token = token, .now_ms = now_ms};
    return QUEUE_IS(queue_ask(rig, 0, &request), FB_STORE_DONE);
}

// The result of one claim.
static inline int queue_do(limits_rig *rig, fb_store_verb verb, uint64_t number, uint64_t token,
                           int64_t now_ms) {
    const fb_job_claim claim = {number, token};
    const fb_store_request request = {
        .verb = verb, .claims = &claim, .item_count = 1, .now_ms = now_ms};
    return QUEUE_IS(queue_ask(rig, 0, &request), FB_STORE_DONE)->results[0];
}

static inline fb_queue_look queue_look(limits_rig *rig, int64_t now_ms) {
    const fb_store_request request = {.verb = FB_STORE_LOOK, .now_ms = now_ms};
    return QUEUE_IS(queue_ask(rig, 0, &request), FB_STORE_DONE)->look;
}

#endif
