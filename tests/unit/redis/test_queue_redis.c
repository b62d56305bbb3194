// The queue's port over one real server: what each verb does and tells.

#include "queue_redis_rig.h"

static test_redis *server;

static int setup(void **state) {
    limits_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    (void)test_redis_ask(server, "FLUSHALL");
    limits_open_at(rig, server, 2);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    limits_rig *rig = *state;
    limits_close(rig);
    free(rig);
    return 0;
}

static void test_queue_redis__a_job_goes_all_the_way(void **state) {
    limits_rig *rig = *state;
    fb_store_job spec = queue_spec("do it");
    spec.job.unique = FB_STR("once");
    spec.life_ms = 5000;
    uint64_t number = queue_put(rig, spec, 1000);

    assert_int_equal(number, 64);
    const fb_store_reply *reply = queue_reserve(rig, 10, 77, 1500);
    assert_int_equal(reply->job_count, 1);
    assert_int_equal(reply->now_ms, 1500);
    assert_int_equal(reply->look.next_ms, 301500);
    const fb_job *job = &reply->jobs[0];
    assert_true(fb_str_equal(job->queue, FB_STR("work")));
    assert_true(fb_str_equal(job->kind, FB_STR("k")));
    assert_true(fb_str_equal(job->payload, FB_STR("do it")));
    assert_true(fb_str_equal(job->unique, FB_STR("once")));
    assert_int_equal(job->number, 64);
    assert_int_equal(job->token, 77);
    assert_int_equal(job->state, FB_JOB_LEASED);
    assert_int_equal(job->attempt, 1);
    assert_int_equal(job->attempts, 3);
    assert_int_equal(job->priority, 5);
    assert_int_equal(job->enqueued_ms, 1000);
    assert_int_equal(job->due_ms, 1000);
    assert_int_equal(job->claimed_ms, 1500);
    assert_int_equal(job->until_ms, 301500);
    assert_int_equal(job->expires_ms, 6000);
    assert_int_equal(queue_do(rig, FB_STORE_ACK, 64, 76, 1600), FB_LOST);
    assert_int_equal(queue_do(rig, FB_STORE_ACK, 64, 77, 1600), FB_OK);
    assert_int_equal(queue_do(rig, FB_STORE_ACK, 64, 77, 1600), FB_LOST);
    // Nothing is left but the state.
    assert_string_equal(test_redis_ask(server, "KEYS forebay:{q:*"), "forebay:{q:work:0}:q");
}

// ---- payloads

static void test_queue_redis__a_large_payload_stays_with_its_job(void **state) {
    limits_rig *rig = *state;
    static char bytes[100001];
    static const size_t LENS[] = {0, 1, 255, 256, 257, 258, 100000};
    fb_store_job specs[7];
    fb_job_claim claims[7];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7);
    }
    for (size_t i = 0; i < 7; i++) {
        specs[i] = queue_spec("");
        specs[i].job.payload = fb_str_make(bytes, LENS[i]);
    }
    specs[5].job.unique = FB_STR("taken");  // in the middle of those that lie apart
    (void)queue_put(rig, (fb_store_job){.job = {.unique = FB_STR("taken"), .priority = 9,
                                                .attempts = 1, .lease_ms = 1000},
                                        .delay_ms = 1000000}, 1000);
    const fb_store_request enqueue = {.verb = FB_STORE_ENQUEUE, .jobs = specs, .item_count = 7,
                                      .now_ms = 1000};
    const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 0, &enqueue), FB_STORE_DONE);
    assert_int_equal(reply->results[5], FB_REFUSED);
    assert_int_equal(reply->numbers[5], 64);
    reply = queue_reserve(rig, 10, 1, 1000);
    assert_int_equal(reply->job_count, 6);
    for (size_t i = 0; i < 6; i++) {
        size_t which = i < 5 ? i : 6;
        assert_true(fb_str_equal(reply->jobs[i].payload, specs[which].job.payload));
        claims[i] = (fb_job_claim){reply->jobs[i].number, reply->jobs[i].token};
    }
    const fb_store_request fail = {.verb = FB_STORE_FAIL, .claims = claims, .item_count = 6,
                                   .text = FB_STR("not yet"), .now_ms = 1000};
    QUEUE_IS(queue_ask(rig, 0, &fail), FB_STORE_DONE);
    const fb_store_request get = {.verb = FB_STORE_GET, .claims = claims, .item_count = 6};
    const fb_store_request list = {.verb = FB_STORE_LIST, .state = -1, .after = 64, .count = 10,
                                   .flag = true};
    for (size_t round = 0; round < 2; round++) {
        reply = QUEUE_IS(queue_ask(rig, 0, round == 0 ? &get : &list), FB_STORE_DONE);
        assert_int_equal(reply->job_count, 6);
        for (size_t i = 0; i < 6; i++) {
            size_t which = i < 5 ? i : 6;
            assert_true(fb_str_equal(reply->jobs[i].payload, specs[which].job.payload));
            assert_true(fb_str_equal(reply->jobs[i].error, FB_STR("not yet")));
        }
    }
    assert_string_equal(test_redis_ask(server, "HLEN forebay:{q:work:0}:p"), "2");
    reply = queue_reserve(rig, 10, 100, 1000);
    assert_int_equal(reply->job_count, 6);
    for (size_t i = 0; i < 6; i++) {
        claims[i].token = reply->jobs[i].token;
    }
    const fb_store_request ack = {.verb = FB_STORE_ACK, .claims = claims, .item_count = 6};
    QUEUE_IS(queue_ask(rig, 0, &ack), FB_STORE_DONE);
    assert_string_equal(test_redis_ask(server, "EXISTS forebay:{q:work:0}:p"), "0");
}

// ---- many

enum { MANY = 3000 };

static void put_many(limits_rig *rig, size_t count, const fb_queue_policy *policy) {
    static fb_store_job specs[1000];

    for (size_t done = 0; done < count;) {
        size_t some = count - done < 1000 ? count - done : 1000;
        for (size_t i = 0; i < some; i++) {
            specs[i] = queue_spec("many");
            specs[i].job.priority = (uint8_t)(i % 2 == 0 ? 3 : 5);
            specs[i].delay_ms = i % 10 == 9 ? 1000000 : 0;
        }
        const fb_store_request request = {.verb = FB_STORE_ENQUEUE, .jobs = specs,
                                          .item_count = some, .policy = policy, .now_ms = 5000};
        QUEUE_IS(queue_ask(rig, 0, &request), FB_STORE_DONE);
        done += some;
    }
}

// Every number of the state, by pages.
static size_t count_listed(limits_rig *rig, int state, uint32_t page,
                           const fb_queue_policy *policy) {
    fb_store_request list = {.verb = FB_STORE_LIST, .state = state, .count = page,
                             .policy = policy, .now_ms = 5000};
    size_t count = 0;

    for (;;) {
        const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 1, &list), FB_STORE_DONE);
        for (size_t i = 0; i < reply->job_count; i++) {
            assert_true(reply->jobs[i].number > list.after);
            assert_true(state < 0 || (int)reply->jobs[i].state == state);
            assert_int_equal(reply->jobs[i].payload.len, 0);
            list.after = reply->jobs[i].number;
        }
        count += reply->job_count;
        if (reply->job_count < page) {
            return count;
        }
    }
}

static void test_queue_redis__a_list_goes_through_any_number(void **state) {
    limits_rig *rig = *state;
    fb_queue_policy policy = QUEUE_POLICY;

    put_many(rig, MANY, &policy);
    assert_int_equal(count_listed(rig, -1, 700, &policy), MANY);
    assert_int_equal(count_listed(rig, FB_JOB_READY, 1000, &policy), MANY - MANY / 10);
    assert_int_equal(count_listed(rig, FB_JOB_SCHEDULED, 100, &policy), MANY / 10);
    const fb_store_request purge = {.verb = FB_STORE_PURGE, .state = FB_JOB_READY, .count = 2500,
                                    .now_ms = 5000};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &purge), FB_STORE_DONE)->value, 2500);
    assert_int_equal(count_listed(rig, -1, 1000, &policy), MANY - 2500);
    fb_queue_look look = queue_look(rig, 5000);
    assert_int_equal(look.counts[FB_JOB_READY], MANY - MANY / 10 - 2500);
    assert_int_equal(look.ready[3], 0);
    const fb_store_request kick = {.verb = FB_STORE_KICK, .state = FB_JOB_SCHEDULED, .count = 1000,
                                   .now_ms = 5000};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &kick), FB_STORE_DONE)->value, MANY / 10);
}

// Sparse numbers: each in a block of its own.
static void test_queue_redis__a_list_passes_over_what_is_gone(void **state) {
    limits_rig *rig = *state;
    static fb_store_job jobs[90];

    for (size_t i = 0; i < 90; i++) {
        jobs[i] = queue_spec("far apart");
        jobs[i].job.number = 64 * (1 + 5000 * (uint64_t)i);
        jobs[i].job.state = i % 2 == 0 ? FB_JOB_READY : FB_JOB_SCHEDULED;
    }
    const fb_store_request import = {.verb = FB_STORE_IMPORT, .jobs = jobs, .item_count = 90,
                                     .now_ms = 5000};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &import), FB_STORE_DONE)->value, 90);
    assert_int_equal(count_listed(rig, -1, 7, &QUEUE_POLICY), 90);
    assert_int_equal(count_listed(rig, FB_JOB_SCHEDULED, 7, &QUEUE_POLICY), 45);
    assert_int_equal(queue_put(rig, queue_spec("after them"), 5000), 64 * (2 + 5000 * 89));
}

static void test_queue_redis__an_expired_line_is_thrown_out_in_steps(void **state) {
    limits_rig *rig = *state;
    static fb_store_job specs[1000];
    const fb_store_request request = {.verb = FB_STORE_ENQUEUE, .jobs = specs, .item_count = 1000,
                                      .now_ms = 1000};

    for (size_t i = 0; i < 1000; i++) {
        specs[i] = queue_spec("late");
        specs[i].life_ms = 10;
    }
    QUEUE_IS(queue_ask(rig, 0, &request), FB_STORE_DONE);
    uint64_t good = queue_put(rig, queue_spec("good"), 1000);
    const fb_store_reply *reply = queue_reserve(rig, 5, 1, 2000);
    assert_int_equal(reply->job_count, 0);
    assert_int_equal(reply->look.next_ms, 2000);  // ask again
    reply = queue_reserve(rig, 5, 1, 2000);
    assert_int_equal(reply->job_count, 1);
    assert_int_equal(reply->jobs[0].number, good);
    assert_int_equal(queue_look(rig, 2000).counts[FB_JOB_DEAD], 1000);
}

// ---- the keys

static void test_queue_redis__no_key_ends_by_itself(void **state) {
    limits_rig *rig = *state;
    fb_store_job spec = queue_spec("x");
    char keys[4096];
    size_t count = 0;

    spec.job.unique = FB_STR("u");
    spec.life_ms = 100000;
    (void)queue_put(rig, spec, 0);
    put_many(rig, 20, &QUEUE_POLICY);
    (void)queue_reserve(rig, 2, 1, 0);
    const fb_store_request mark = {.verb = FB_STORE_MARK_SET, .mark = FB_STR("m"), .mark_value = 3,
                                   .life_ms = 100000};
    QUEUE_IS(queue_ask(rig, 0, &mark), FB_STORE_DONE);
    snprintf(keys, sizeof keys, "%s", test_redis_ask(server, "KEYS forebay:{q:*"));
    char *rest = NULL;
    for (char *key = strtok_r(keys, " ", &rest); key != NULL; key = strtok_r(NULL, " ", &rest)) {
        assert_string_equal(test_redis_ask(server, "TTL %s", key), "-1");
        count++;
    }
    assert_true(count >= 10);
}

// A state that is gone (somebody deleted it) is made anew from what is there: no number comes
// twice.
static void test_queue_redis__a_lost_state_gives_no_number_twice(void **state) {
    limits_rig *rig = *state;

    put_many(rig, 30, &QUEUE_POLICY);
    (void)test_redis_ask(server, "DEL forebay:{q:work:0}:q");
    uint64_t number = queue_put(rig, queue_spec("next"), 5000);
    assert_true(number > 64 * 30);
    const fb_store_reply *reply = queue_reserve(rig, 40, 1, 5000);
    assert_int_equal(reply->job_count, 28);
    assert_int_equal(reply->jobs[0].number, 64);
}

// ---- two at once

static void test_queue_redis__no_job_is_claimed_twice(void **state) {
    limits_rig *rig = *state;
    static queue_answer answers[16];
    static bool claimed[2 * MANY];
    size_t total = 0, got = 1;

    memset(claimed, 0, sizeof claimed);
    put_many(rig, MANY, &QUEUE_POLICY);
    for (uint64_t token = 1; got > 0;) {
        got = 0;
        for (size_t i = 0; i < 16; i++, token += 7) {
            const fb_store_request request = {.verb = FB_STORE_RESERVE, .count = 7, .token = token,
                                              .now_ms = 5000};
            assert_ok(queue_send(rig, i % 2, &request, &answers[i]));
        }
        for (size_t i = 0; i < 16; i++) {
            LIMITS_UNTIL(rig, answers[i].replies > 0);
            const fb_store_reply *reply = QUEUE_IS(&answers[i].reply, FB_STORE_DONE);
            for (size_t j = 0; j < reply->job_count; j++) {
                uint64_t index = reply->jobs[j].number / 64;
                assert_true(index < 2 * MANY && !claimed[index]);
                claimed[index] = true;
            }
            got += reply->job_count;
            queue_forget(&answers[i]);
        }
        total += got;
    }
    assert_int_equal(total, MANY - MANY / 10);
}

// ---- being told

typedef struct bell {
    size_t rung, all;
    char queue[65];
} bell;

static void on_ready(void *arg, fb_str queue) {
    bell *b = arg;
    b->all += queue.len == 0;
    b->rung += queue.len > 0;
    snprintf(b->queue, sizeof b->queue, "%.*s", FB_STR_ARG(queue));
}

static void test_queue_redis__who_listens_is_told(void **state) {
    limits_rig *rig = *state;
    fb_queue_port *port = fb_remote_queue_port(rig->remote[1]);
    bell b = {0};

    port->on_ready_arg = &b;
    port->on_ready = on_ready;
    assert_ok(fb_remote_queue_listen(rig->remote[1]));
    LIMITS_UNTIL(rig, b.all > 0);
    uint64_t number = queue_put(rig, queue_spec("x"), 0);
    LIMITS_UNTIL(rig, b.rung > 0);
    assert_string_equal(b.queue, "work");
    // Handed back, and put off: others may have it, now or then.
    for (int round = 0; round < 2; round++) {
        size_t before = b.rung;
        assert_int_equal(queue_reserve(rig, 1, 5, 0)->job_count, 1);
        const fb_job_claim claim = {number, 5};
        const fb_store_request request = {.verb = round == 0 ? FB_STORE_RELEASE : FB_STORE_FAIL,
                                          .claims = &claim, .item_count = 1, .delay_ms = 0};
        QUEUE_IS(queue_ask(rig, 0, &request), FB_STORE_DONE);
        LIMITS_UNTIL(rig, b.rung > before);
    }
    // After a new connection anything may have come.
    size_t before = b.all;
    (void)test_redis_ask(server, "CLIENT KILL TYPE pubsub");
    LIMITS_UNTIL(rig, b.all > before);
    before = b.rung;
    (void)queue_put(rig, queue_spec("y"), 0);
    LIMITS_UNTIL(rig, b.rung > before);
}

// ---- a server that may lose jobs

static fb_store_result put_result(limits_rig *rig) {
    fb_store_job spec = queue_spec("x");
    const fb_store_request request = {.verb = FB_STORE_ENQUEUE, .jobs = &spec, .item_count = 1};
    return queue_ask(rig, 0, &request)->result;
}

// New connections, so that the server is looked at again.
static void reconnect(limits_rig *rig) {
    limits_close(rig);
    limits_open_at(rig, server, 2);
}

static void test_queue_redis__what_loses_jobs_takes_none(void **state) {
    limits_rig *rig = *state;
    static const struct {
        const char *command;
        fb_store_result result;
    } STEPS[] = {
        {"CONFIG SET appendonly no", FB_STORE_VOLATILE},
        {"CONFIG SET appendonly yes", FB_STORE_DONE},
        {"CONFIG SET maxmemory-policy allkeys-lru", FB_STORE_VOLATILE},
        {"CONFIG SET maxmemory-policy volatile-lru", FB_STORE_DONE},
        {"CONFIG SET maxmemory-policy allkeys-random", FB_STORE_VOLATILE},
        {"ACL SETUSER default -config", FB_STORE_VOLATILE},   // INFO says it, too
        {"ACL SETUSER default -info", FB_STORE_DONE},         // nobody does
        {"ACL SETUSER default +config +info", FB_STORE_VOLATILE},
        {"CONFIG SET maxmemory-policy noeviction", FB_STORE_DONE},
    };

    for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
        (void)test_redis_ask(server, "%s", STEPS[i].command);
        reconnect(rig);
        if (put_result(rig) != STEPS[i].result) {
            fail_msg("after %s", STEPS[i].command);
        }
    }
    (void)test_redis_ask(server, "CONFIG SET maxmemory-policy allkeys-lru");
    // What it was looked at for counts while the connection lasts; and it may be allowed.
    assert_int_equal(put_result(rig), FB_STORE_DONE);
    reconnect(rig);
    assert_int_equal(put_result(rig), FB_STORE_VOLATILE);
    fb_remote_queue_allow_volatile(rig->remote[0], true);
    assert_int_equal(put_result(rig), FB_STORE_DONE);
    (void)test_redis_ask(server, "CONFIG SET maxmemory-policy noeviction");
}

// ---- partitions

static const fb_queue_policy PARTED = {.retry_delay_ms = 10,
                                       .retry_max_ms = 100,
                                       .dead_keep_ms = 1000000,
                                       .dead_max = 100,
                                       .partitions = 8};

static void test_queue_redis__partitions_are_one_queue(void **state) {
    limits_rig *rig = *state;
    static bool seen[64];
    fb_job_claim claims[64];

    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 40; i++) {
        fb_store_job spec = queue_spec("p");
        const fb_store_request put = {.verb = FB_STORE_ENQUEUE, .jobs = &spec, .item_count = 1,
                                      .policy = &PARTED, .now_ms = 1000};
        claims[i].number = QUEUE_IS(queue_ask(rig, i % 2, &put), FB_STORE_DONE)->numbers[0];
        seen[claims[i].number % 64] = true;
    }
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(seen[i], i < 8);
    }
    const fb_store_request look = {.verb = FB_STORE_LOOK, .policy = &PARTED, .now_ms = 3000};
    fb_queue_look figures = QUEUE_IS(queue_ask(rig, 0, &look), FB_STORE_DONE)->look;
    assert_int_equal(figures.counts[FB_JOB_READY], 40);
    assert_int_equal(figures.ready[5], 40);
    assert_int_equal(figures.oldest_ms, 2000);
    assert_int_equal(count_listed(rig, -1, 7, &PARTED), 40);
    // GET in the order of the question.
    claims[40] = (fb_job_claim){640000, 0};
    const fb_store_request get = {.verb = FB_STORE_GET, .claims = claims, .item_count = 41,
                                  .policy = &PARTED};
    const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 1, &get), FB_STORE_DONE);
    assert_int_equal(reply->job_count, 40);
    assert_int_equal(reply->results[40], FB_MISS);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(reply->jobs[i].number, claims[i].number);
        assert_true(fb_str_equal(reply->jobs[i].payload, FB_STR("p")));
    }
    // One RESERVE collects from all of them, with tokens in turn.
    const fb_store_request reserve = {.verb = FB_STORE_RESERVE, .policy = &PARTED, .count = 39,
                                      .token = 500, .now_ms = 3000};
    reply = QUEUE_IS(queue_ask(rig, 0, &reserve), FB_STORE_DONE);
    assert_int_equal(reply->job_count, 39);
    for (size_t i = 0; i < 39; i++) {
        assert_int_equal(reply->jobs[i].token, 500 + i);
        claims[i] = (fb_job_claim){reply->jobs[i].number, reply->jobs[i].token};
    }
    claims[10].token++;
    // One ACK of all, which reserves the last one.
    const fb_store_request ack = {.verb = FB_STORE_ACK, .policy = &PARTED, .claims = claims,
                                  .item_count = 39, .count = 5, .token = 1000, .now_ms = 3100};
    reply = QUEUE_IS(queue_ask(rig, 1, &ack), FB_STORE_DONE);
    assert_int_equal(reply->job_count, 1);
    assert_int_equal(reply->jobs[0].token, 1000);
    for (size_t i = 0; i < 39; i++) {
        assert_int_equal(reply->results[i], i == 10 ? FB_LOST : FB_OK);
        assert_int_equal(reply->ran_ms[i], i == 10 ? 0 : 100);
    }
    figures = QUEUE_IS(queue_ask(rig, 0, &look), FB_STORE_DONE)->look;
    assert_int_equal(figures.counts[FB_JOB_LEASED], 2);
    assert_int_equal(figures.counts[FB_JOB_READY], 0);
    const fb_store_request purge = {.verb = FB_STORE_PURGE, .policy = &PARTED,
                                    .state = FB_JOB_LEASED, .count = 100};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &purge), FB_STORE_DONE)->value, 2);
}

static void test_queue_redis__a_unique_key_is_one_over_partitions(void **state) {
    limits_rig *rig = *state;
    fb_store_job specs[12];
    uint64_t numbers[12];
    char keys[12][8];

    for (size_t i = 0; i < 12; i++) {
        specs[i] = queue_spec("u");
        snprintf(keys[i], sizeof keys[i], "key%zu", i % 10);
        specs[i].job.unique = fb_str_of(keys[i]);
    }
    const fb_store_request put = {.verb = FB_STORE_ENQUEUE, .jobs = specs, .item_count = 12,
                                  .policy = &PARTED, .now_ms = 1000};
    const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 0, &put), FB_STORE_DONE);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(reply->results[i], i < 10 ? FB_OK : FB_REFUSED);
        numbers[i] = reply->numbers[i];
        assert_true(i < 10 || numbers[i] == numbers[i - 10]);
    }
    reply = QUEUE_IS(queue_ask(rig, 1, &put), FB_STORE_DONE);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(reply->results[i], FB_REFUSED);
        assert_int_equal(reply->numbers[i], numbers[i]);
    }
    // Paused, all of it is.
    fb_store_request pause = {.verb = FB_STORE_PAUSE, .policy = &PARTED, .flag = true};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &pause), FB_STORE_DONE)->value, 1);
    assert_int_equal(QUEUE_IS(queue_ask(rig, 1, &pause), FB_STORE_DONE)->value, 0);
    const fb_store_request reserve = {.verb = FB_STORE_RESERVE, .policy = &PARTED, .count = 100,
                                      .token = 1, .now_ms = 1000};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 1, &reserve), FB_STORE_DONE)->job_count, 0);
    pause.flag = false;
    assert_int_equal(QUEUE_IS(queue_ask(rig, 1, &pause), FB_STORE_DONE)->value, 1);
    assert_int_equal(QUEUE_IS(queue_ask(rig, 1, &reserve), FB_STORE_DONE)->job_count, 10);
}

static void test_queue_redis__a_repeated_move_brings_nothing_twice(void **state) {
    limits_rig *rig = *state;
    fb_store_job jobs[30];
    char keys[30][8];

    for (size_t i = 0; i < 30; i++) {
        jobs[i] = queue_spec("moved");
        jobs[i].job.number = 64 * (1 + i);
        jobs[i].job.state = FB_JOB_READY;
        snprintf(keys[i], sizeof keys[i], "key%zu", i);
        jobs[i].job.unique = i % 3 == 0 ? FB_STR("") : fb_str_of(keys[i]);
    }
    fb_store_request import = {.verb = FB_STORE_IMPORT, .jobs = jobs, .item_count = 20,
                               .policy = &PARTED, .mark = FB_STR("move"), .now_ms = 5000};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &import), FB_STORE_DONE)->value, 20);
    assert_int_equal(QUEUE_IS(queue_ask(rig, 1, &import), FB_STORE_DONE)->value, 0);
    const fb_store_request get = {.verb = FB_STORE_MARK_GET, .mark = FB_STR("move"),
                                  .policy = &PARTED};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 1, &get), FB_STORE_DONE)->value, 64 * 20);
    // A part of it that was done before it was interrupted is not done again.
    import.item_count = 30;
    assert_int_equal(QUEUE_IS(queue_ask(rig, 1, &import), FB_STORE_DONE)->value, 10);
    (void)test_redis_ask(server, "DEL forebay:{q:work:0}:m");
    import.jobs = jobs + 20;
    import.item_count = 10;
    uint64_t again = QUEUE_IS(queue_ask(rig, 1, &import), FB_STORE_DONE)->value;
    assert_true(again >= 3 && again < 10);  // partition 0's, which take the place of their like
    assert_int_equal(count_listed(rig, -1, 100, &PARTED), 30);
    // Who drops the mark may move once more.
    const fb_store_request drop = {.verb = FB_STORE_MARK_DROP, .mark = FB_STR("move"),
                                   .policy = &PARTED};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &drop), FB_STORE_DONE)->value, 1);
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &drop), FB_STORE_DONE)->value, 0);
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &get), FB_STORE_MISS)->value, 0);
    assert_int_equal(QUEUE_IS(queue_ask(rig, 1, &import), FB_STORE_DONE)->value, 10);
}

static void test_queue_redis__a_mark_lets_jobs_pass_once(void **state) {
    limits_rig *rig = *state;
    fb_store_job spec = queue_spec("tick");
    fb_store_request put = {.verb = FB_STORE_ENQUEUE, .jobs = &spec, .item_count = 1,
                            .policy = &PARTED, .mark = FB_STR("cron"), .mark_value = 100};

    for (size_t round = 0; round < 2; round++) {
        spec.job.unique = round == 0 ? FB_STR("") : FB_STR("its key");
        put.mark_value += 100;
        assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &put), FB_STORE_DONE)->value, 1);
        for (size_t i = 0; i < 2; i++) {
            const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, i, &put), FB_STORE_DONE);
            assert_int_equal(reply->value, 0);
            assert_null(reply->results);
        }
    }
    const fb_store_request look = {.verb = FB_STORE_LOOK, .policy = &PARTED};
    assert_int_equal(QUEUE_IS(queue_ask(rig, 0, &look), FB_STORE_DONE)->look.counts[FB_JOB_READY],
                     2);
}

static int start(void **state) {
    (void)state;
    server = test_redis_new("appendonly yes\nappendfsync everysec");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_redis_free(server);
    return 0;
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(test_queue_redis__##name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CLAIM(a_job_goes_all_the_way),
        CLAIM(a_large_payload_stays_with_its_job),
        CLAIM(a_list_goes_through_any_number),
        CLAIM(a_list_passes_over_what_is_gone),
        CLAIM(an_expired_line_is_thrown_out_in_steps),
        CLAIM(no_key_ends_by_itself),
        CLAIM(a_lost_state_gives_no_number_twice),
        CLAIM(no_job_is_claimed_twice),
        CLAIM(who_listens_is_told),
        CLAIM(what_loses_jobs_takes_none),
        CLAIM(partitions_are_one_queue),
        CLAIM(a_unique_key_is_one_over_partitions),
        CLAIM(a_repeated_move_brings_nothing_twice),
        CLAIM(a_mark_lets_jobs_pass_once),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, start, stop);
}
