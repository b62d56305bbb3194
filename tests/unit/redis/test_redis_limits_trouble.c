// Limits where the server loses its scripts, hangs, dies, is full, is a replica, or says nonsense: every
// question has one answer, and what may have been done is never said to be not done.

#include "fake_redis.h"
#include "limits_rig.h"

enum { SHORT_MS = 50, MANY = 8 };
#define MS INT64_C(1000000)

static test_redis *server;
static fb_limit_plan wide, slots;

typedef struct question {
    fb_limit_part part;
    fb_limit_request request;
} question;

static const fb_limit_request *make(question *q, fb_limit_verb verb, fb_limit_act act) {
    bool is_decision = verb == FB_LIMIT_DECIDE || verb == FB_LIMIT_FORGET;
    q->part = (fb_limit_part){.plan = is_decision ? &wide : &slots,
                              .rule = FB_STR("r"),
                              .step = {.act = act, .cost = 1},
                              .override = verb == FB_LIMIT_OVERRIDE_PUT ? FB_STR("\3\0\0\0\0\0")
                                                                        : FB_STR(""),
                              .token = 7,
                              .ttl_us = 60000000};
    q->request = (fb_limit_request){.verb = verb,
                                    .key = FB_STR("u"),
                                    .parts = &q->part,
                                    .part_count = 1};
    return &q->request;
}

static const limits_answer *take(limits_rig *rig) {
    question q;
    return limits_ask(rig, 0, make(&q, FB_LIMIT_DECIDE, FB_LIMIT_TAKE));
}

static const limits_answer *look(limits_rig *rig) {
    question q;
    return limits_ask(rig, 0, make(&q, FB_LIMIT_DECIDE, FB_LIMIT_LOOK));
}

static const limits_answer *lease(limits_rig *rig, fb_limit_verb verb) {
    question q;
    return limits_ask(rig, 0, make(&q, verb, FB_LIMIT_LOOK));
}

static uint32_t used(limits_rig *rig) {
    fb_verdict verdict = {0};
    question q;
    const limits_answer *answer = LIMITS_IS(look(rig), FB_LIMIT_DONE);
    (void)make(&q, FB_LIMIT_DECIDE, FB_LIMIT_LOOK);
    q.part.step.now_us = answer->reply.now_us;
    fb_limit_explain(&wide, &q.part.step, &answer->reply.parts[0].state, true, &verdict);
    return wide.limit - verdict.remaining;
}

static int setup(void **state) {
    limits_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    (void)test_redis_ask(server, "FLUSHALL");
    limits_open_at(rig, server, 1);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    limits_rig *rig = *state;
    limits_close(rig);
    free(rig);
    return 0;
}

// ---- the server forgets, hangs, dies

static void test_limits__lost_scripts_are_sent_again(void **state) {
    limits_rig *rig = *state;

    for (uint32_t i = 0; i < 3; i++) {
        (void)test_redis_ask(server, "SCRIPT FLUSH");
        assert_true(LIMITS_IS(take(rig), FB_LIMIT_DONE)->reply.parts[0].allowed);
        assert_int_equal(used(rig), i + 1);  // once each
        assert_true(LIMITS_IS(lease(rig, FB_LIMIT_ACQUIRE), FB_LIMIT_DONE)->reply.found);
    }
}

static void test_limits__a_stopped_server_is_not_waited_for(void **state) {
    static limits_answer answers[MANY];
    limits_rig *rig = *state;
    uint32_t taken = 1;
    question q;

    LIMITS_IS(take(rig), FB_LIMIT_DONE);
    test_redis_stop(server);
    for (size_t i = 0; i < MANY; i++) {
        (void)make(&q, FB_LIMIT_DECIDE, i % 2 == 0 ? FB_LIMIT_TAKE : FB_LIMIT_LOOK);
        q.request.timeout_ns = SHORT_MS * MS;
        assert_ok(limits_send(rig, 0, &q.request, &answers[i]));
    }
    for (size_t i = 0; i < MANY; i++) {
        LIMITS_UNTIL(rig, answers[i].replies > 0);
        assert_true(answers[i].reply.result >= FB_LIMIT_FAILED);
        assert_true(answers[i].text[0] != '\0');
        taken += i % 2 == 0 && answers[i].reply.result == FB_LIMIT_UNKNOWN;
    }
    test_redis_continue(server);
    LIMITS_UNTIL(rig, look(rig)->reply.result == FB_LIMIT_DONE);
    assert_in_range(used(rig), 1, taken);  // each at most once
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(answers[i].replies, 1);
    }
}

static void test_limits__a_dead_server_is_known_at_once(void **state) {
    limits_rig *rig = *state;
    static limits_answer answer;
    question q;

    LIMITS_IS(take(rig), FB_LIMIT_DONE);
    test_redis_stop(server);
    assert_ok(limits_send(rig, 0, make(&q, FB_LIMIT_DECIDE, FB_LIMIT_TAKE), &answer));
    for (int i = 0; i < 3; i++) {
        limits_turn(rig, 5);  // it goes out
    }
    test_redis_kill(server);
    LIMITS_UNTIL(rig, answer.replies > 0);
    LIMITS_IS(&answer, FB_LIMIT_UNKNOWN);
    LIMITS_UNTIL(rig, !rig->up[0]);
    for (fb_limit_verb verb = FB_LIMIT_DECIDE; verb <= FB_LIMIT_COUNT; verb++) {
        assert_result(limits_send(rig, 0, make(&q, verb, FB_LIMIT_TAKE), &answer), FB_EIO);
    }
    test_redis_start(server);
    LIMITS_UNTIL(rig, rig->up[0]);
    assert_int_equal(used(rig), 0);  // it starts empty
    assert_true(LIMITS_IS(take(rig), FB_LIMIT_DONE)->reply.parts[0].allowed);
    assert_int_equal(answer.replies, 0);
}

// A port that nobody listens at, and that nobody else gets.
static int take_port(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void test_limits__a_server_that_never_was_is_not_waited_for(void **state) {
    (void)state;
    limits_rig rig;
    static limits_answer answer;
    question q;
    char url[64];
    int port, result, fd = take_port(&port);

    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    limits_open(&rig, url, "forebay", 1);
    (void)make(&q, FB_LIMIT_DECIDE, FB_LIMIT_TAKE);
    q.request.timeout_ns = SHORT_MS * MS;
    int64_t end_ms = test_redis_now_ms() + LIMITS_PATIENCE_MS;
    while ((result = limits_send(&rig, 0, &q.request, &answer)) == FB_OK) {
        assert_true(test_redis_now_ms() < end_ms);
        LIMITS_UNTIL(&rig, answer.replies > 0);
        LIMITS_IS(&answer, FB_LIMIT_FAILED);
    }
    assert_result(result, FB_EIO);  // since the first attempt has failed
    limits_close(&rig);
    (void)close(fd);
}

static void test_limits__what_waits_is_answered_at_the_end(void **state) {
    (void)state;
    static limits_answer answers[MANY];
    limits_rig rig;
    question q;

    limits_open_at(&rig, server, 1);
    test_redis_stop(server);
    for (size_t i = 0; i < MANY; i++) {
        fb_limit_verb verb = (fb_limit_verb)(i % (FB_LIMIT_COUNT + 1));
        assert_ok(limits_send(&rig, 0, make(&q, verb, FB_LIMIT_TAKE), &answers[i]));
        limits_turn(&rig, 2);
    }
    limits_close(&rig);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(answers[i].replies, 1);
        assert_true(answers[i].reply.result == FB_LIMIT_UNKNOWN ||
                    answers[i].reply.result == FB_LIMIT_FAILED);
    }
    test_redis_continue(server);
}

// ---- the server refuses

static void test_limits__a_full_server_still_denies_and_releases(void **state) {
    limits_rig *rig = *state;
    question q;

    LIMITS_IS(take(rig), FB_LIMIT_DONE);
    assert_true(LIMITS_IS(lease(rig, FB_LIMIT_ACQUIRE), FB_LIMIT_DONE)->reply.found);
    (void)test_redis_ask(server, "CONFIG SET maxmemory 1");
    const limits_answer *answer = LIMITS_IS(take(rig), FB_LIMIT_FAILED);
    assert_non_null(strstr(answer->text, "OOM"));
    (void)make(&q, FB_LIMIT_DECIDE, FB_LIMIT_TAKE);
    q.part.step.cost = wide.limit;
    assert_false(LIMITS_IS(limits_ask(rig, 0, &q.request), FB_LIMIT_DONE)->reply.parts[0].allowed);
    assert_int_equal(used(rig), 1);
    LIMITS_IS(lease(rig, FB_LIMIT_RENEW), FB_LIMIT_FAILED);
    assert_true(LIMITS_IS(lease(rig, FB_LIMIT_RELEASE), FB_LIMIT_DONE)->reply.found);
    LIMITS_IS(lease(rig, FB_LIMIT_OVERRIDE_PUT), FB_LIMIT_FAILED);
    LIMITS_IS(limits_ask(rig, 0, make(&q, FB_LIMIT_FORGET, FB_LIMIT_TAKE)), FB_LIMIT_DONE);
    (void)test_redis_ask(server, "CONFIG SET maxmemory 0");
    assert_int_equal(used(rig), 0);
}

static void test_limits__something_else_under_the_key_fails(void **state) {
    limits_rig *rig = *state;
    static const char *const RESTS[] = {"", "!", "s"};
    char name[4096];
    question q;

    for (size_t i = 0; i < 3; i++) {
        fb_str key = limits_key(FB_STR("u"), FB_STR("r"), fb_str_of(RESTS[i]),
                                i == 0 ? &wide : NULL, "", name);
        const fb_str push[] = {FB_STR("LPUSH"), key, FB_STR("x")};
        (void)limits_command(rig, push, 3);
        const limits_answer *answer =
            LIMITS_IS(i == 2 ? lease(rig, FB_LIMIT_ACQUIRE) : take(rig), FB_LIMIT_FAILED);
        assert_non_null(strstr(answer->text, "WRONGTYPE"));
        LIMITS_IS(limits_ask(rig, 0, make(&q, FB_LIMIT_FORGET, FB_LIMIT_TAKE)), FB_LIMIT_DONE);
        LIMITS_IS(i == 2 ? lease(rig, FB_LIMIT_ACQUIRE) : take(rig), FB_LIMIT_DONE);
    }
}

static void test_limits__a_refusal_is_told_in_its_words(void **state) {
    limits_rig *rig = *state;

    (void)test_redis_ask(server, "ACL SETUSER default -evalsha");
    const limits_answer *answer = LIMITS_IS(take(rig), FB_LIMIT_FAILED);
    assert_non_null(strstr(answer->text, "NOPERM"));
    (void)test_redis_ask(server, "ACL SETUSER default +evalsha");
    LIMITS_IS(take(rig), FB_LIMIT_DONE);
}

static void test_limits__a_replica_takes_no_charge(void **state) {
    limits_rig *rig = *state;
    test_redis *master = test_redis_new("save \"\"");
    static limits_answer answer;
    question q;

    LIMITS_IS(take(rig), FB_LIMIT_DONE);
    (void)test_redis_ask(server, "REPLICAOF 127.0.0.1 %d", master->port);
    test_redis_await(server, "INFO replication", "master_link_status:up");
    (void)make(&q, FB_LIMIT_DECIDE, FB_LIMIT_TAKE);
    int result = limits_send(rig, 0, &q.request, &answer);
    if (result == FB_OK) {
        LIMITS_UNTIL(rig, answer.replies > 0);
        LIMITS_IS(&answer, FB_LIMIT_FAILED);
        assert_true(answer.text[0] != '\0');
    } else {
        assert_result(result, FB_EIO);  // it noticed before
    }
    (void)test_redis_ask(server, "REPLICAOF NO ONE");
    // It may take it for a replica for a while longer.
    int64_t end_ms = test_redis_now_ms() + LIMITS_PATIENCE_MS;
    do {
        assert_true(test_redis_now_ms() < end_ms);
        limits_turn(rig, 20);
        result = limits_send(rig, 0, &q.request, &answer);
        LIMITS_UNTIL(rig, result != FB_OK || answer.replies > 0);
    } while (result != FB_OK || answer.reply.result != FB_LIMIT_DONE);
    test_redis_free(master);
}

// ---- the server says nonsense, or nothing

typedef struct stage {
    limits_rig rig;
    fake_redis fake;
    const char *says;  // to scripts; NULL: hangs up
    int scripts;
} stage;

static void answer_script(fake_peer *peer, const fb_str *args, size_t arg_count) {
    stage *s = peer->fake->arg;
    (void)arg_count;
    if (!fb_str_equal(args[0], FB_STR("EVALSHA")) && !fb_str_equal(args[0], FB_STR("EVAL"))) {
        fake_redis_say(peer, "+OK\r\n");
        return;
    }
    s->scripts++;
    if (s->says != NULL) {
        fake_redis_say(peer, s->says);
    } else {
        peer->ending = true;
    }
}

static void open_stage(stage *s) {
    char url[64];
    struct event_base *base = event_base_new();

    memset(s, 0, sizeof *s);
    assert_non_null(base);
    fake_redis_init(&s->fake, base);
    s->fake.answer = answer_script;
    s->fake.arg = s;
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", s->fake.port);
    limits_open_on(&s->rig, base, url, "forebay", 1);
    limits_await_up(&s->rig);
}

static void close_stage(stage *s) {
    fake_redis_release(&s->fake);
    limits_close(&s->rig);
}

static void test_limits__an_answer_that_makes_no_sense_is_none(void **state) {
    (void)state;
    static stage s;
    static const char *const ANSWERS[] = {
        "+OK\r\n",
        ":1\r\n",
        "_\r\n",
        "*0\r\n",
        "*1\r\n$4\r\nDONE\r\n",
        "*2\r\n$4\r\nDONE\r\n:5\r\n",
        "*3\r\n$4\r\nDONE\r\n:5\r\n:1\r\n",
        "*4\r\n$4\r\nDONE\r\n:5\r\n:2\r\n$0\r\n\r\n",
        "*4\r\n$4\r\nDONE\r\n:-5\r\n:1\r\n$0\r\n\r\n",
        "*4\r\n$4\r\nDONE\r\n$1\r\n5\r\n:1\r\n$0\r\n\r\n",
        "*4\r\n$4\r\nDONE\r\n:5\r\n:1\r\n:9\r\n",
        "*5\r\n$8\r\nOVERRIDE\r\n:5\r\n:2\r\n$0\r\n\r\n:0\r\n",
        "*5\r\n$8\r\nOVERRIDE\r\n:5\r\n:0\r\n$0\r\n\r\n:0\r\n",
        "*5\r\n$8\r\nOVERRIDE\r\n:5\r\n:1\r\n:7\r\n:0\r\n",
        "*4\r\n$8\r\nOVERRIDE\r\n:5\r\n:1\r\n$0\r\n\r\n",
        "*2\r\n$5\r\nCLOCK\r\n$1\r\n5\r\n",
        "*2\r\n$4\r\nNONE\r\n:5\r\n",
    };

    open_stage(&s);
    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        s.says = ANSWERS[i];
        const limits_answer *answer = LIMITS_IS(take(&s.rig), FB_LIMIT_UNKNOWN);
        assert_non_null(strstr(answer->text, "not understood"));
        LIMITS_IS(lease(&s.rig, FB_LIMIT_ACQUIRE), FB_LIMIT_UNKNOWN);
    }
    s.says = "*4\r\n$4\r\nDONE\r\n:5\r\n:1\r\n$0\r\n\r\n";
    assert_true(LIMITS_IS(take(&s.rig), FB_LIMIT_DONE)->reply.parts[0].allowed);
    close_stage(&s);
}

static void test_limits__what_may_be_done_is_sent_once(void **state) {
    (void)state;
    static stage s;
    static const fb_limit_act ACTS[] = {FB_LIMIT_TAKE, FB_LIMIT_GIVE};
    question q;

    open_stage(&s);
    for (size_t i = 0; i < 2; i++) {
        LIMITS_UNTIL(&s.rig, s.rig.up[0]);
        s.scripts = 0;
        LIMITS_IS(limits_ask(&s.rig, 0, make(&q, FB_LIMIT_DECIDE, ACTS[i])), FB_LIMIT_UNKNOWN);
        assert_int_equal(s.scripts, 1);
        LIMITS_UNTIL(&s.rig, !s.rig.up[0]);
    }
    LIMITS_UNTIL(&s.rig, s.rig.up[0]);
    s.scripts = 0;
    LIMITS_IS(lease(&s.rig, FB_LIMIT_RELEASE), FB_LIMIT_UNKNOWN);
    assert_int_equal(s.scripts, 1);
    close_stage(&s);
}

static void test_limits__what_may_be_done_twice_is_sent_again(void **state) {
    (void)state;
    static stage s;
    static const fb_limit_verb VERBS[] = {FB_LIMIT_DECIDE, FB_LIMIT_ACQUIRE, FB_LIMIT_RENEW,
                                          FB_LIMIT_COUNT};
    question q;

    open_stage(&s);
    for (size_t i = 0; i < 4; i++) {
        static limits_answer answer;
        LIMITS_UNTIL(&s.rig, s.rig.up[0]);
        s.scripts = 0;
        s.says = NULL;
        assert_ok(limits_send(&s.rig, 0, make(&q, VERBS[i], FB_LIMIT_LOOK), &answer));
        LIMITS_UNTIL(&s.rig, s.scripts > 0);
        s.says = i == 0 ? "*4\r\n$4\r\nDONE\r\n:5\r\n:1\r\n$0\r\n\r\n"
                        : "*6\r\n$4\r\nDONE\r\n:5\r\n:1\r\n:1\r\n:9\r\n:9\r\n";
        LIMITS_UNTIL(&s.rig, answer.replies > 0);
        LIMITS_IS(&answer, FB_LIMIT_DONE);
        assert_true(s.scripts > 1);
    }
    close_stage(&s);
}

static void test_limits__a_server_that_cannot_yet_is_asked_again(void **state) {
    (void)state;
    static stage s;
    static limits_answer answer;
    question q;

    open_stage(&s);
    s.says = "-LOADING Redis is loading the dataset in memory\r\n";
    (void)make(&q, FB_LIMIT_DECIDE, FB_LIMIT_TAKE);
    q.request.timeout_ns = SHORT_MS * MS;
    do {  // UNKNOWN: the last try's answer came too late
        assert_ok(limits_send(&s.rig, 0, &q.request, &answer));
        LIMITS_UNTIL(&s.rig, answer.replies > 0);
    } while (answer.reply.result == FB_LIMIT_UNKNOWN);
    LIMITS_IS(&answer, FB_LIMIT_FAILED);
    assert_ok(limits_send(&s.rig, 0, make(&q, FB_LIMIT_DECIDE, FB_LIMIT_TAKE), &answer));
    s.scripts = 0;
    LIMITS_UNTIL(&s.rig, s.scripts > 1);
    s.says = "*4\r\n$4\r\nDONE\r\n:5\r\n:1\r\n$0\r\n\r\n";
    LIMITS_UNTIL(&s.rig, answer.replies > 0);
    LIMITS_IS(&answer, FB_LIMIT_DONE);
    close_stage(&s);
}

// ---- memory

// Whatever allocation fails: a call that says so, or one answer; and the next question works again.
static void test_limits__without_memory_nothing_is_lost(void **state) {
    limits_rig *rig = *state;
    static limits_answer answer;
    question q;

    for (size_t n = 1; n < 25; n++) {
        for (fb_limit_verb verb = FB_LIMIT_DECIDE; verb <= FB_LIMIT_COUNT; verb++) {
            (void)make(&q, verb, FB_LIMIT_LOOK);
            q.request.timeout_ns = 300 * MS;
            (void)test_redis_ask(server, verb == FB_LIMIT_DECIDE ? "SCRIPT FLUSH" : "FLUSHALL");
            test_memory_fail(n);
            int result = limits_send(rig, 0, &q.request, &answer);
            if (result == FB_OK) {
                LIMITS_UNTIL(rig, answer.replies > 0);
            }
            test_memory_fail(0);
            assert_true(result == FB_OK || result == FB_ENOMEM);
            LIMITS_UNTIL(rig, rig->up[0]);
            q.request.timeout_ns = 0;
            LIMITS_IS(limits_ask(rig, 0, &q.request), FB_LIMIT_DONE);
        }
    }
}

// ---- all of them

static int start(void **state) {
    (void)state;
    wide = limits_plan(FB_LIMIT_SLIDING, 60, 3600000);
    slots = limits_plan(FB_LIMIT_SLOTS, 3, 3600000);
    server = test_redis_new("save \"\"");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_redis_free(server);
    return 0;
}

#define TROUBLE(name) cmocka_unit_test_setup_teardown(test_limits__##name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TROUBLE(lost_scripts_are_sent_again),
        TROUBLE(a_stopped_server_is_not_waited_for),
        TROUBLE(a_dead_server_is_known_at_once),
        cmocka_unit_test(test_limits__a_server_that_never_was_is_not_waited_for),
        cmocka_unit_test(test_limits__what_waits_is_answered_at_the_end),
        TROUBLE(a_full_server_still_denies_and_releases),
        TROUBLE(something_else_under_the_key_fails),
        TROUBLE(a_refusal_is_told_in_its_words),
        TROUBLE(a_replica_takes_no_charge),
        cmocka_unit_test(test_limits__an_answer_that_makes_no_sense_is_none),
        cmocka_unit_test(test_limits__what_may_be_done_is_sent_once),
        cmocka_unit_test(test_limits__what_may_be_done_twice_is_sent_again),
        cmocka_unit_test(test_limits__a_server_that_cannot_yet_is_asked_again),
        TROUBLE(without_memory_nothing_is_lost),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    (void)test_memory_get();
    return cmocka_run_group_tests(tests, start, stop);
}
