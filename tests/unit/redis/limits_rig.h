// limits_rig.h -- remotes at real servers, asked about limits, on one event loop that the test turns.
//
// Header-only. A question is asked and its answer waited for (limits_ask()), or several are under way
// at once (limits_send()).

#ifndef FB_TESTS_LIMITS_RIG_H
#define FB_TESTS_LIMITS_RIG_H

#include <event2/event.h>

#include "base/mem.h"
#include "os/clock.h"
#include "redis/limits.h"
#include "redis/remote_state.h"
#include "redis_server.h"
#include "support.h"

enum { LIMITS_PATIENCE_MS = 120000, LIMITS_REMOTES_MAX = 3 };
#define LIMITS_TIMEOUT_NS (LIMITS_PATIENCE_MS * INT64_C(1000000))

typedef struct limits_rig {
    struct event_base *base;
    fb_redis *redis;
    fb_remote *remote[LIMITS_REMOTES_MAX];
    size_t remote_count;
    bool up[LIMITS_REMOTES_MAX];
} limits_rig;

typedef struct limits_answer {
    size_t replies;        // calls of the reply function
    fb_limit_reply reply;  // what it points to is copied
    char override[16], text[256];
} limits_answer;

static inline void limits_turn(limits_rig *rig, int wait_ms) {
    struct timeval wait = {wait_ms / 1000, wait_ms % 1000 * 1000};
    event_base_loopexit(rig->base, &wait);
    (void)event_base_loop(rig->base, EVLOOP_ONCE);
}

#define LIMITS_UNTIL(rig, holds)                                                          \
    for (int64_t end_ms_ = test_redis_now_ms() + LIMITS_PATIENCE_MS; !(holds);) {         \
        assert_true(test_redis_now_ms() < end_ms_);                                       \
        limits_turn((rig), 20);                                                           \
    }

static inline void limits_on_link(void *arg, bool up, const char *why) {
    (void)why;
    *(bool *)arg = up;
}

static inline void limits_on_reply(void *arg, fb_sync_reply *reply) {
    (void)arg;
    fb_loaded_release(&reply->loaded);
}

static inline void limits_on_record(void *arg, uint32_t log, uint64_t epoch, const fb_record *record) {
    (void)arg;
    (void)log;
    (void)epoch;
    (void)record;
}

static inline void limits_on_ack(void *arg, uint64_t nonce, uint64_t node) {
    (void)arg;
    (void)nonce;
    (void)node;
}

static inline void limits_on_bypass(void *arg, fb_str key) {
    (void)arg;
    (void)key;
}

// Remotes at `url`, not waited for, on a loop that the rig owns from now on.
static inline void limits_open_on(limits_rig *rig, struct event_base *base, const char *url,
                                  const char *name_space, size_t remote_count) {
    fb_redis_options options = {.cluster = FB_CLUSTER_AUTO,
                                .name_space = name_space,
                                .partitions = 2,
                                .pool = 10,
                                .log_max = 100,
                                .connect_timeout_ns = INT64_C(2000000000),
                                .node = 77,
                                .seed = 1};
    fb_error error;

    *rig = (limits_rig){.base = base, .remote_count = remote_count};
    assert_non_null(rig->base);
    assert_ok(fb_redis_url_read(fb_str_of(url), &options.url, &error));
    assert_ok(fb_redis_new(&options, &rig->redis, &error));
    for (size_t i = 0; i < remote_count; i++) {
        fb_sync_events events = {.on_reply = limits_on_reply,
                                 .on_link = limits_on_link,
                                 .on_record = limits_on_record,
                                 .on_ack = limits_on_ack,
                                 .on_bypass = limits_on_bypass,
                                 .arg = &rig->up[i]};
        assert_ok(fb_remote_new(rig->redis, rig->base, false, &events, &rig->remote[i]));
        fb_remote_open(rig->remote[i]);
    }
}

static inline void limits_open(limits_rig *rig, const char *url, const char *name_space,
                               size_t remote_count) {
    limits_open_on(rig, event_base_new(), url, name_space, remote_count);
}

static inline void limits_await_up(limits_rig *rig) {
    for (size_t i = 0; i < rig->remote_count; i++) {
        LIMITS_UNTIL(rig, rig->up[i]);
    }
}

static inline void limits_open_at(limits_rig *rig, const test_redis *server, size_t remote_count) {
    char url[64];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", server->port);
    limits_open(rig, url, "forebay", remote_count);
    limits_await_up(rig);
}

static inline void limits_close(limits_rig *rig) {
    for (size_t i = 0; i < rig->remote_count; i++) {
        fb_remote_free(rig->remote[i]);
    }
    fb_redis_free(rig->redis);
    event_base_loop(rig->base, EVLOOP_NONBLOCK);
    event_base_free(rig->base);
}

// ---- asking

static inline void limits_take(void *arg, const fb_limit_reply *reply) {
    limits_answer *answer = arg;

    answer->replies++;
    answer->reply = *reply;
    assert_non_null(reply->text);
    snprintf(answer->text, sizeof answer->text, "%s", reply->text);
    answer->reply.text = answer->text;
    assert_true(reply->override.len <= sizeof answer->override);
    if (reply->override.len > 0) {
        memcpy(answer->override, reply->override.ptr, reply->override.len);
    }
    answer->reply.override = fb_str_make(answer->override, reply->override.len);
}

static inline int limits_send(limits_rig *rig, size_t remote, const fb_limit_request *request,
                              limits_answer *answer) {
    fb_limit_port *port = fb_remote_limit_port(rig->remote[remote]);
    fb_limit_request timed = *request;

    memset(answer, 0, sizeof *answer);
    timed.timeout_ns = request->timeout_ns > 0 ? request->timeout_ns : LIMITS_TIMEOUT_NS;
    int result = port->send(port, &timed, limits_take, answer);
    assert_int_equal(answer->replies, 0);  // never within
    return result;
}

// The answer, good until the next question.
static inline const limits_answer *limits_ask(limits_rig *rig, size_t remote,
                                              const fb_limit_request *request) {
    static limits_answer answer;

    assert_ok(limits_send(rig, remote, request, &answer));
    LIMITS_UNTIL(rig, answer.replies > 0);
    assert_int_equal(answer.replies, 1);
    return &answer;
}

#define LIMITS_IS(answer, expected) limits_result_is((answer), (expected), __FILE__, __LINE__)

static inline const limits_answer *limits_result_is(const limits_answer *answer,
                                                    fb_limit_result expected, const char *file,
                                                    int line) {
    if (answer->reply.result != expected) {
        print_error("result %d (%s), not %d\n", (int)answer->reply.result, answer->text,
                    (int)expected);
        _fail(file, line);
    }
    return answer;
}

// ---- any command of the server, with any bytes

typedef struct limits_said {
    bool replied;
    fb_resp_type type;
    int64_t integer;
    char bytes[1024];
    size_t len;
} limits_said;

static inline void limits_on_said(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                                  const char *why) {
    limits_said *said = arg;
    (void)why;

    assert_int_equal(outcome, FB_CONN_REPLIED);
    said->replied = true;
    said->type = value->type;
    said->integer = value->integer;
    bool has_text = value->type == FB_RESP_STRING || value->type == FB_RESP_SIMPLE ||
                    value->type == FB_RESP_ERROR;
    said->len = has_text ? value->text.len : 0;
    assert_true(said->len <= sizeof said->bytes);
    if (said->len > 0) {
        memcpy(said->bytes, value->text.ptr, said->len);
    }
}

// args[0] is its name, args[1] the key.
static inline const limits_said *limits_command(limits_rig *rig, const fb_str *args, size_t arg_count) {
    static limits_said said;
    fb_remote_command command = {.args = args,
                                 .arg_count = arg_count,
                                 .slot = arg_count > 1 ? fb_slot_of(args[1]) : FB_SLOT_ANY,
                                 .deadline_ns = fb_clock_now_ns() + LIMITS_TIMEOUT_NS,
                                 .fn = limits_on_said,
                                 .arg = &said};

    said = (limits_said){0};
    assert_ok(fb_remote_send(rig->remote[0], &command));
    LIMITS_UNTIL(rig, said.replied);
    return &said;
}

// The name of a key: of the state where `plan` is given, else what follows the rule ("!", "s").
static inline fb_str limits_key(fb_str key, fb_str rule, fb_str tier, const fb_limit_plan *plan,
                                const char *rest, char *text) {
    int len = snprintf(text, 4096, "forebay:{l:%.*s}:%.*s:%.*s%s%s", FB_STR_ARG(key),
                       FB_STR_ARG(rule), FB_STR_ARG(tier), plan != NULL ? ":" : "",
                       plan != NULL ? plan->tag : rest);
    return fb_str_make(text, (size_t)len);
}

// ---- plans

static inline fb_limit_plan limits_plan(fb_limit_algorithm algorithm, uint32_t limit,
                                        int64_t window_ms) {
    fb_limit_options options = {.enabled = true,
                                .algorithm = algorithm,
                                .limit = limit,
                                .window_ns = window_ms * 1000000,
                                .parts = 16};
    fb_limit_plan plan;
    fb_limit_plan_make(&plan, &options, NULL, 0);
    return plan;
}

#endif
