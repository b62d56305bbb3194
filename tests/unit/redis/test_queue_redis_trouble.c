// Queues where the server loses its scripts, hangs, dies, is full, holds something else under our
// keys, or says nonsense: every request has one answer, what was accepted is there, and what may
// have been done is never said to be not done.

#include "fake_redis.h"
#include "queue_redis_rig.h"

enum { SHORT_MS = 50, MANY = 8 };

static test_redis *server;

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

// A request of any verb, of one job.
typedef struct question {
    fb_store_job spec;
    fb_job_claim claim;
    fb_store_request request;
} question;

static const fb_store_request *make(question *q, fb_store_verb verb) {
    bool has_job = verb == FB_STORE_ENQUEUE || verb == FB_STORE_IMPORT;
    bool has_claim = (verb >= FB_STORE_ACK && verb <= FB_STORE_KICK);

    q->spec = queue_spec("x");
    q->spec.job.number = 6400;
    q->spec.job.state = FB_JOB_READY;
    q->claim = (fb_job_claim){64, 5};
    q->request = (fb_store_request){.verb = verb,
                                    .jobs = has_job ? &q->spec : NULL,
                                    .claims = has_claim ? &q->claim : NULL,
                                    .item_count = has_job || has_claim,
                                    .count = verb == FB_STORE_ACK ? 0 : 1,
                                    .token = 5,
                                    .state = verb == FB_STORE_LIST ? -1 : FB_JOB_READY};
    if (verb >= FB_STORE_MARK_SET) {
        q->request.mark = FB_STR("m");
        q->request.mark_value = 7;
    }
    return &q->request;
}

static const fb_store_reply *ask(limits_rig *rig, fb_store_verb verb) {
    question q;
    return queue_ask(rig, 0, make(&q, verb));
}

static uint64_t count_of(limits_rig *rig, fb_job_state state) {
    return QUEUE_IS(ask(rig, FB_STORE_LOOK), FB_STORE_DONE)->look.counts[state];
}

// ---- the server forgets, hangs, dies

static void test_queue_trouble__lost_scripts_are_sent_again(void **state) {
    limits_rig *rig = *state;

    for (uint64_t i = 0; i < 3; i++) {
        for (fb_store_verb verb = FB_STORE_ENQUEUE; verb <= FB_STORE_MARK_LIST; verb++) {
            (void)test_redis_ask(server, "SCRIPT FLUSH");
            const fb_store_reply *reply = ask(rig, verb);
            assert_true(reply->result == FB_STORE_DONE || verb == FB_STORE_MARK_GET);
        }
        (void)test_redis_ask(server, "FLUSHALL");
    }
}

static void test_queue_trouble__a_stopped_server_is_not_waited_for(void **state) {
    static queue_answer answers[MANY];
    limits_rig *rig = *state;
    uint64_t most = 1;
    question q;

    QUEUE_IS(ask(rig, FB_STORE_ENQUEUE), FB_STORE_DONE);
    test_redis_stop(server);
    for (size_t i = 0; i < MANY; i++) {
        (void)make(&q, i % 2 == 0 ? FB_STORE_ENQUEUE : FB_STORE_LOOK);
        q.request.timeout_ns = SHORT_MS * MS;
        assert_ok(queue_send(rig, 0, &q.request, &answers[i]));
    }
    for (size_t i = 0; i < MANY; i++) {
        LIMITS_UNTIL(rig, answers[i].replies > 0);
        assert_true(answers[i].reply.result >= FB_STORE_FAILED);
        assert_true(answers[i].text[0] != '\0');
        most += i % 2 == 0 && answers[i].reply.result == FB_STORE_UNKNOWN;
    }
    test_redis_continue(server);
    LIMITS_UNTIL(rig, ask(rig, FB_STORE_LOOK)->result == FB_STORE_DONE);
    assert_in_range(count_of(rig, FB_JOB_READY), 1, most);  // each at most once
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(answers[i].replies, 1);
        queue_forget(&answers[i]);
    }
}

static void test_queue_trouble__what_was_accepted_survives_a_kill(void **state) {
    limits_rig *rig = *state;
    static queue_answer answers[400];
    static uint64_t accepted[400];
    fb_store_job spec = queue_spec("keep me");
    size_t count = 0, unknown = 0;

    const fb_store_request put = {.verb = FB_STORE_ENQUEUE, .jobs = &spec, .item_count = 1};
    for (size_t i = 0; i < 400; i++) {
        assert_ok(queue_send(rig, 0, &put, &answers[i]));
    }
    LIMITS_UNTIL(rig, answers[100].replies > 0);
    test_redis_kill(server);
    for (size_t i = 0; i < 400; i++) {
        LIMITS_UNTIL(rig, answers[i].replies > 0);
        if (answers[i].reply.result == FB_STORE_DONE) {
            accepted[count++] = answers[i].reply.numbers[0];
        }
        unknown += answers[i].reply.result == FB_STORE_UNKNOWN;
        queue_forget(&answers[i]);
    }
    assert_true(count > 100);
    LIMITS_UNTIL(rig, !rig->up[0]);
    question q;
    for (fb_store_verb verb = FB_STORE_ENQUEUE; verb <= FB_STORE_MARK_LIST; verb++) {
        assert_result(queue_send(rig, 0, make(&q, verb), &answers[0]), FB_EIO);
    }
    test_redis_start(server);
    LIMITS_UNTIL(rig, rig->up[0]);
    assert_in_range(count_of(rig, FB_JOB_READY), count, count + unknown);
    for (size_t i = 0; i < count; i++) {
        fb_job_claim claim = {accepted[i], 0};
        const fb_store_request get = {.verb = FB_STORE_GET, .claims = &claim, .item_count = 1};
        const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 0, &get), FB_STORE_DONE);
        assert_int_equal(reply->results[0], FB_OK);
        assert_true(fb_str_equal(reply->jobs[0].payload, FB_STR("keep me")));
    }
}

// Claims and acknowledgements, killed again and again: no job that was acknowledged comes back,
// none that was not is gone, and none is claimed more often than it may be.
static void test_queue_trouble__kills_lose_no_job(void **state) {
    limits_rig *rig = *state;
    static queue_answer answer;
    static uint8_t done[201];
    size_t left = 200;
    uint64_t token = 1;
    int64_t now_ms = 1000000;

    memset(done, 0, sizeof done);
    for (size_t i = 0; i < 200; i++) {
        fb_store_job spec = queue_spec("k");
        spec.job.attempts = 1000;
        (void)queue_put(rig, spec, now_ms);
    }
    fb_job_claim claims[10];
    size_t held = 0;
    for (size_t round = 0; left > 0; round++, token += 10, now_ms += 1000000) {
        assert_true(round < 1000);
        if (round % 5 == 4) {
            test_redis_kill(server);
            test_redis_start(server);
        }
        const fb_store_request request = {.verb = held > 0 ? FB_STORE_ACK : FB_STORE_RESERVE,
                                          .claims = claims, .item_count = held, .count = 10,
                                          .token = token, .now_ms = now_ms};
        int result = queue_send(rig, 0, &request, &answer);
        if (result == FB_OK) {
            if (round % 7 == 3) {
                limits_turn(rig, 1);
                test_redis_kill(server);
                LIMITS_UNTIL(rig, answer.replies > 0);
                test_redis_start(server);
            }
            LIMITS_UNTIL(rig, answer.replies > 0);
        }
        bool heard = result == FB_OK && answer.reply.result == FB_STORE_DONE;
        for (size_t i = 0; i < held; i++) {
            uint8_t *of = &done[claims[i].number / 64];
            // Not heard: perhaps. Heard as lost: it was taken back meanwhile, or was done unheard.
            *of = heard && answer.reply.results[i] == FB_OK ? 2 : *of == 0 ? 1 : *of;
        }
        held = heard ? answer.reply.job_count : 0;
        for (size_t i = 0; i < held; i++) {
            const fb_job *job = &answer.reply.jobs[i];
            assert_true(done[job->number / 64] != 2);
            claims[i] = (fb_job_claim){job->number, job->token};
        }
        if (result == FB_OK) {
            queue_forget(&answer);
        }
        LIMITS_UNTIL(rig, rig->up[0]);
        fb_queue_look look = queue_look(rig, now_ms);
        left = look.counts[FB_JOB_READY] + look.counts[FB_JOB_LEASED];
        assert_int_equal(look.counts[FB_JOB_DEAD], 0);
    }
    for (size_t i = 1; i <= 200; i++) {
        assert_true(done[i] != 0);  // none is gone that nobody acknowledged
    }
}

static void test_queue_trouble__what_waits_is_answered_at_the_end(void **state) {
    (void)state;
    static queue_answer answers[FB_STORE_MARK_LIST + 1];
    limits_rig rig;
    question q;

    limits_open_at(&rig, server, 1);
    test_redis_stop(server);
    for (fb_store_verb verb = FB_STORE_ENQUEUE; verb <= FB_STORE_MARK_LIST; verb++) {
        assert_ok(queue_send(&rig, 0, make(&q, verb), &answers[verb]));
    }
    limits_turn(&rig, 5);
    limits_close(&rig);
    for (fb_store_verb verb = FB_STORE_ENQUEUE; verb <= FB_STORE_MARK_LIST; verb++) {
        assert_int_equal(answers[verb].replies, 1);
        assert_true(answers[verb].reply.result >= FB_STORE_FAILED);
        queue_forget(&answers[verb]);
    }
    test_redis_continue(server);
}

// ---- the server refuses

static void test_queue_trouble__a_full_server_takes_none_and_gives_all(void **state) {
    limits_rig *rig = *state;

    for (size_t i = 0; i < 4; i++) {
        (void)queue_put(rig, queue_spec("x"), 1000);
    }
    assert_int_equal(queue_reserve(rig, 1, 5, 1000)->job_count, 1);
    (void)test_redis_ask(server, "CONFIG SET maxmemory 1");
    const fb_store_reply *reply = QUEUE_IS(ask(rig, FB_STORE_ENQUEUE), FB_STORE_FULL);
    assert_non_null(strstr(reply->text, "OOM"));
    QUEUE_IS(ask(rig, FB_STORE_IMPORT), FB_STORE_FULL);
    QUEUE_IS(ask(rig, FB_STORE_MARK_SET), FB_STORE_FULL);
    assert_int_equal(queue_do(rig, FB_STORE_EXTEND, 64, 5, 1000), FB_OK);
    assert_int_equal(queue_do(rig, FB_STORE_ACK, 64, 5, 1000), FB_OK);
    assert_int_equal(queue_reserve(rig, 2, 10, 1000)->job_count, 2);
    assert_int_equal(queue_do(rig, FB_STORE_RELEASE, 128, 10, 1000), FB_OK);
    assert_int_equal(queue_do(rig, FB_STORE_FAIL, 192, 11, 1000), FB_OK);
    assert_int_equal(queue_do(rig, FB_STORE_CANCEL, 256, 0, 1000), FB_OK);
    assert_int_equal(queue_do(rig, FB_STORE_KICK, 192, 0, 1000), FB_OK);
    (void)test_redis_ask(server, "CONFIG SET maxmemory 0");
    assert_int_equal(count_of(rig, FB_JOB_READY), 2);
    assert_int_equal(queue_put(rig, queue_spec("x"), 1000), 64 * 5);
}

static void test_queue_trouble__jobs_max_refuses_all_or_none(void **state) {
    limits_rig *rig = *state;
    fb_queue_policy policy = QUEUE_POLICY;
    fb_store_job specs[3] = {queue_spec("a"), queue_spec("b"), queue_spec("c")};
    fb_store_request put = {.verb = FB_STORE_ENQUEUE, .jobs = specs, .item_count = 3,
                            .policy = &policy};

    policy.jobs_max = 5;
    QUEUE_IS(queue_ask(rig, 0, &put), FB_STORE_DONE);
    assert_true(QUEUE_IS(queue_ask(rig, 0, &put), FB_STORE_FULL)->text[0] != '\0');
    assert_int_equal(count_of(rig, FB_JOB_READY), 3);
    put.item_count = 2;
    QUEUE_IS(queue_ask(rig, 0, &put), FB_STORE_DONE);
    assert_int_equal(count_of(rig, FB_JOB_READY), 5);
}

static void test_queue_trouble__something_else_under_our_keys_is_an_error(void **state) {
    limits_rig *rig = *state;
    static const char *const NAMES[] = {"q", "h", "p", "n",  "b", "u", "s",
                                        "l", "d", "r", "m", "mn", "mu"};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t failed = 0;
        (void)test_redis_ask(server, "FLUSHALL");
        (void)queue_put(rig, queue_spec("x"), 0);
        (void)queue_reserve(rig, 1, 5, 0);
        (void)test_redis_ask(server, "DEL forebay:{q:work:0}:%s", NAMES[i]);
        (void)test_redis_ask(server, "XADD forebay:{q:work:0}:%s * a b", NAMES[i]);
        for (fb_store_verb verb = FB_STORE_ENQUEUE; verb <= FB_STORE_MARK_LIST; verb++) {
            const fb_store_reply *reply = ask(rig, verb);
            assert_true(reply->result == FB_STORE_FAILED || reply->result == FB_STORE_DONE ||
                        reply->result == FB_STORE_MISS);
            failed += reply->result == FB_STORE_FAILED && reply->text[0] != '\0';
        }
        assert_true(failed > 0 || strcmp(NAMES[i], "p") == 0 || strcmp(NAMES[i], "u") == 0);
        (void)test_redis_ask(server, "FLUSHALL");
        QUEUE_IS(ask(rig, FB_STORE_ENQUEUE), FB_STORE_DONE);
    }
}

static void test_queue_trouble__damaged_jobs_are_no_jobs(void **state) {
    limits_rig *rig = *state;
    static const char *const HEADS[] = {"", "x", "\xff", "\1", "\2"};
    static char text[200];

    for (size_t i = 0; i < 2 * sizeof HEADS / sizeof *HEADS; i++) {
        const char *head = HEADS[i / 2];
        (void)test_redis_ask(server, "FLUSHALL");
        uint64_t number = queue_put(rig, queue_spec("x"), 0);
        if (i % 2 == 0) {
            (void)queue_reserve(rig, 1, 5, 0);
        }
        // Its first byte as said, and then too short, or lengths beyond its end.
        memset(text, 0xff, sizeof text);
        memcpy(text, head, strlen(head));
        const char key[8] = {0, 0, 0, 0, 0, 0, 0, (char)number};
        const fb_str set[] = {FB_STR("HSET"), FB_STR("forebay:{q:work:0}:h"),
                              fb_str_make(key, 8),
                              fb_str_make(text, i < 4 ? strlen(head) : sizeof text)};
        assert_int_equal(limits_command(rig, set, 4)->type, FB_RESP_INTEGER);
        for (fb_store_verb verb = FB_STORE_ACK; verb <= FB_STORE_MARK_LIST; verb++) {
            const fb_store_reply *reply = ask(rig, verb);
            assert_int_equal(reply->job_count > 0 && verb != FB_STORE_IMPORT, false);
            if (verb == FB_STORE_ACK) {
                ask(rig, FB_STORE_RESERVE);
            }
        }
    }
}

// Whose number is beyond those that there are: a journal could not keep it.
static void test_queue_trouble__a_number_beyond_all_is_no_job(void **state) {
    limits_rig *rig = *state;
    static const char script[] =
        "local number = string.rep('\\255', 8) "
        "redis.call('HSET', KEYS[1], number, redis.call('HVALS', KEYS[1])[1]) "
        "return redis.call('ZADD', KEYS[2], 1, number)";
    const fb_str eval[] = {FB_STR("EVAL"), fb_str_of(script), FB_STR("2"),
                           FB_STR("forebay:{q:work:0}:h"), FB_STR("forebay:{q:work:0}:r")};

    (void)queue_put(rig, queue_spec("x"), 0);
    assert_int_equal(limits_command(rig, eval, 5)->integer, 1);
    const fb_store_reply *reply = ask(rig, FB_STORE_RESERVE);
    assert_int_equal(reply->result, FB_STORE_UNKNOWN);
    assert_int_equal(reply->job_count, 0);
}

static void test_queue_trouble__a_refusal_is_told_in_its_words(void **state) {
    limits_rig *rig = *state;

    (void)test_redis_ask(server, "ACL SETUSER default -evalsha");
    const fb_store_reply *reply = QUEUE_IS(ask(rig, FB_STORE_RESERVE), FB_STORE_FAILED);
    assert_non_null(strstr(reply->text, "NOPERM"));
    (void)test_redis_ask(server, "ACL SETUSER default +evalsha");
    QUEUE_IS(ask(rig, FB_STORE_RESERVE), FB_STORE_DONE);
}

// Who may not publish (an ACL without the channel) is not told that nothing was done.
static void test_queue_trouble__who_may_not_publish_may_enqueue(void **state) {
    limits_rig *rig = *state;

    (void)test_redis_ask(server, "ACL SETUSER default resetchannels");
    assert_int_equal(queue_put(rig, queue_spec("x"), 0), 64);
    assert_int_equal(queue_reserve(rig, 1, 5, 0)->job_count, 1);
    assert_int_equal(queue_do(rig, FB_STORE_RELEASE, 64, 5, 0), FB_OK);
    assert_int_equal(count_of(rig, FB_JOB_READY), 1);
    (void)test_redis_ask(server, "ACL SETUSER default allchannels");
}

// ---- the server says nonsense, or nothing

typedef struct stage {
    limits_rig rig;
    fake_redis fake;
    const char *says;    // to scripts; NULL: hangs up
    const char *config;  // to CONFIG
    int scripts;
} stage;

static void answer_command(fake_peer *peer, const fb_str *args, size_t arg_count) {
    stage *s = peer->fake->arg;
    (void)arg_count;
    if (fb_str_equal(args[0], FB_STR("CONFIG")) || fb_str_equal(args[0], FB_STR("INFO"))) {
        fake_redis_say(peer, s->config);
    } else if (!fb_str_equal(args[0], FB_STR("EVALSHA")) &&
               !fb_str_equal(args[0], FB_STR("EVAL"))) {
        fake_redis_say(peer, "+OK\r\n");
    } else if (s->says != NULL) {
        s->scripts++;
        fake_redis_say(peer, s->says);
    } else {
        s->scripts++;
        peer->ending = true;
    }
}

static void open_stage(stage *s) {
    char url[64];
    struct event_base *base = event_base_new();

    memset(s, 0, sizeof *s);
    assert_non_null(base);
    s->config = "%2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n$10\r\nappendonly\r\n"
                "$3\r\nyes\r\n";
    fake_redis_init(&s->fake, base);
    s->fake.answer = answer_command;
    s->fake.arg = s;
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", s->fake.port);
    limits_open_on(&s->rig, base, url, "forebay", 1);
    limits_await_up(&s->rig);
}

static void close_stage(stage *s) {
    fake_redis_release(&s->fake);
    limits_close(&s->rig);
}

static void test_queue_trouble__an_answer_that_makes_no_sense_is_none(void **state) {
    (void)state;
    static stage s;
    static const char *const ANSWERS[] = {
        "+OK\r\n",
        ":1\r\n",
        "_\r\n",
        "*0\r\n",
        "*1\r\n$4\r\nDONE\r\n",
        "*3\r\n$4\r\nDONE\r\n:5\r\n$0\r\n\r\n",
        "*4\r\n$4\r\nNONE\r\n:5\r\n$0\r\n\r\n:0\r\n",
        "*4\r\n$4\r\nDONE\r\n:-5\r\n$0\r\n\r\n:0\r\n",
        "*4\r\n$4\r\nDONE\r\n:5\r\n$0\r\n\r\n:-2\r\n",
        "*4\r\n$4\r\nDONE\r\n$1\r\n5\r\n$0\r\n\r\n:0\r\n",
        "*4\r\n$4\r\nDONE\r\n:5\r\n_\r\n:0\r\n",
        "*5\r\n$4\r\nDONE\r\n:5\r\n$0\r\n\r\n:0\r\n$1\r\nx\r\n",
        "*7\r\n$4\r\nDONE\r\n:5\r\n$0\r\n\r\n:1\r\n$8\r\n12345678\r\n$1\r\nx\r\n$0\r\n\r\n",
        "*7\r\n$4\r\nDONE\r\n:5\r\n$0\r\n\r\n:1\r\n:9\r\n_\r\n*0\r\n",
        "*4\r\n$4\r\nDONE\r\n:5\r\n$10\r\n\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\r\n:1\r\n",
        "*4\r\n$4\r\nDONE\r\n:5\r\n$20\r\n00000000000000000000\r\n:1\r\n",
    };

    open_stage(&s);
    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        s.says = ANSWERS[i];
        for (fb_store_verb verb = FB_STORE_ENQUEUE; verb <= FB_STORE_MARK_LIST; verb++) {
            const fb_store_reply *reply = ask(&s.rig, verb);
            assert_int_equal(reply->job_count, 0);
            assert_int_equal(reply->mark_count, 0);
            assert_true(reply->result == FB_STORE_UNKNOWN || reply->result == FB_STORE_DONE);
            if (i < 11) {
                QUEUE_IS(reply, FB_STORE_UNKNOWN);
                assert_non_null(strstr(reply->text, "not understood"));
            }
        }
    }
    s.says = "*4\r\n$4\r\nDONE\r\n:5\r\n$10\r\n\0\0\0\0\0\0\0\0\0\0\r\n:1\r\n";
    close_stage(&s);
}

static void test_queue_trouble__strange_settings_count_as_fit(void **state) {
    (void)state;
    static stage s;
    static const char *const ANSWERS[] = {"*0\r\n", "+OK\r\n", "%1\r\n:1\r\n:2\r\n", "_\r\n",
                                          "-ERR unknown command\r\n",
                                          "*1\r\n$16\r\nmaxmemory-policy\r\n"};

    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        open_stage(&s);
        s.config = ANSWERS[i];
        s.says = "-ERR as it was asked\r\n";
        assert_non_null(strstr(QUEUE_IS(ask(&s.rig, FB_STORE_ENQUEUE), FB_STORE_FAILED)->text,
                               "as it was asked"));
        assert_int_equal(s.scripts, 1);
        close_stage(&s);
    }
}

static void test_queue_trouble__what_may_be_done_is_sent_once(void **state) {
    (void)state;
    static stage s;

    open_stage(&s);
    for (fb_store_verb verb = FB_STORE_ENQUEUE; verb <= FB_STORE_MARK_DROP; verb++) {
        bool reads = verb == FB_STORE_GET || verb == FB_STORE_LIST || verb == FB_STORE_LOOK ||
                     verb == FB_STORE_MARK_GET;
        if (reads) {
            continue;
        }
        LIMITS_UNTIL(&s.rig, s.rig.up[0]);
        s.scripts = 0;
        QUEUE_IS(ask(&s.rig, verb), FB_STORE_UNKNOWN);
        assert_int_equal(s.scripts, 1);
        LIMITS_UNTIL(&s.rig, !s.rig.up[0]);
    }
    close_stage(&s);
}

static void test_queue_trouble__what_reads_is_sent_again(void **state) {
    (void)state;
    static stage s;
    static const fb_store_verb VERBS[] = {FB_STORE_LIST, FB_STORE_MARK_LIST};
    question q;

    open_stage(&s);
    for (size_t i = 0; i < 2; i++) {
        static queue_answer answer;
        LIMITS_UNTIL(&s.rig, s.rig.up[0]);
        s.scripts = 0;
        s.says = NULL;
        assert_ok(queue_send(&s.rig, 0, make(&q, VERBS[i]), &answer));
        LIMITS_UNTIL(&s.rig, s.scripts > 0);
        s.says = "*4\r\n$4\r\nDONE\r\n:5\r\n$0\r\n\r\n:0\r\n";
        LIMITS_UNTIL(&s.rig, answer.replies > 0);
        QUEUE_IS(&answer.reply, FB_STORE_DONE);
        assert_true(s.scripts > 1);
        queue_forget(&answer);
    }
    close_stage(&s);
}

static void test_queue_trouble__a_server_that_cannot_yet_is_asked_again(void **state) {
    (void)state;
    static stage s;
    static queue_answer answer;
    question q;

    open_stage(&s);
    s.says = "-LOADING Redis is loading the dataset in memory\r\n";
    (void)make(&q, FB_STORE_RESERVE);
    q.request.timeout_ns = SHORT_MS * MS;
    do {  // UNKNOWN: the last try's answer came too late
        queue_forget(&answer);
        assert_ok(queue_send(&s.rig, 0, &q.request, &answer));
        LIMITS_UNTIL(&s.rig, answer.replies > 0);
    } while (answer.reply.result == FB_STORE_UNKNOWN);
    QUEUE_IS(&answer.reply, FB_STORE_FAILED);
    queue_forget(&answer);
    assert_ok(queue_send(&s.rig, 0, make(&q, FB_STORE_RESERVE), &answer));
    s.scripts = 0;
    LIMITS_UNTIL(&s.rig, s.scripts > 1);
    s.says = "*4\r\n$4\r\nDONE\r\n:5\r\n$0\r\n\r\n:-1\r\n";
    LIMITS_UNTIL(&s.rig, answer.replies > 0);
    QUEUE_IS(&answer.reply, FB_STORE_DONE);
    assert_true(answer.reply.look.next_ms == INT64_MAX);
    queue_forget(&answer);
    close_stage(&s);
}

// ---- memory

// Whatever allocation fails: a call that says so, or one answer; and the next request works again.
static void test_queue_trouble__without_memory_nothing_is_lost(void **state) {
    limits_rig *rig = *state;
    static queue_answer answer;
    question q;

    for (size_t n = 1; n < 40; n++) {
        for (fb_store_verb verb = FB_STORE_ENQUEUE; verb <= FB_STORE_MARK_LIST; verb++) {
            (void)make(&q, verb);
            fb_queue_policy policy = QUEUE_POLICY;
            policy.partitions = 1 + (uint32_t)(n % 3);
            q.request.policy = &policy;
            q.request.timeout_ns = 300 * MS;
            (void)test_redis_ask(server, n % 4 == 0 ? "SCRIPT FLUSH" : "FLUSHALL");
            test_memory_fail(n);
            int result = queue_send(rig, 0, &q.request, &answer);
            if (result == FB_OK) {
                while (answer.replies == 0) {
                    limits_turn(rig, 20);
                }
            }
            test_memory_fail(0);
            assert_true(result == FB_OK || result == FB_ENOMEM || result == FB_EIO);
            queue_forget(&answer);
            LIMITS_UNTIL(rig, rig->up[0]);
            q.request.timeout_ns = 0;
            const fb_store_reply *reply = queue_ask(rig, 0, &q.request);
            assert_true(reply->result == FB_STORE_DONE || verb == FB_STORE_MARK_GET);
        }
    }
}

// ---- all of them

static int start(void **state) {
    (void)state;
    // What it answers is in its file, also after it was killed and started again.
    server = test_redis_new("appendonly yes\nappendfsync always");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_redis_free(server);
    return 0;
}

#define TROUBLE(name) cmocka_unit_test_setup_teardown(test_queue_trouble__##name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TROUBLE(lost_scripts_are_sent_again),
        TROUBLE(a_stopped_server_is_not_waited_for),
        TROUBLE(what_was_accepted_survives_a_kill),
        TROUBLE(kills_lose_no_job),
        cmocka_unit_test(test_queue_trouble__what_waits_is_answered_at_the_end),
        TROUBLE(a_full_server_takes_none_and_gives_all),
        TROUBLE(jobs_max_refuses_all_or_none),
        TROUBLE(something_else_under_our_keys_is_an_error),
        TROUBLE(damaged_jobs_are_no_jobs),
        TROUBLE(a_number_beyond_all_is_no_job),
        TROUBLE(a_refusal_is_told_in_its_words),
        TROUBLE(who_may_not_publish_may_enqueue),
        cmocka_unit_test(test_queue_trouble__an_answer_that_makes_no_sense_is_none),
        cmocka_unit_test(test_queue_trouble__strange_settings_count_as_fit),
        cmocka_unit_test(test_queue_trouble__what_may_be_done_is_sent_once),
        cmocka_unit_test(test_queue_trouble__what_reads_is_sent_again),
        cmocka_unit_test(test_queue_trouble__a_server_that_cannot_yet_is_asked_again),
        TROUBLE(without_memory_nothing_is_lost),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    (void)test_memory_get();
    return cmocka_run_group_tests(tests, start, stop);
}
