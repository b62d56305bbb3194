// RESERVE that waits: what wakes it, who gets what, and how it ends.

#include "engine/queues_inside.h"
#include "queues_rig.h"

// Somebody who waits, on a thread of his own.
typedef struct waiter {
    fb_engine *engine;
    fb_str names[FB_QUEUE_NAMES_MAX];
    size_t name_count;
    uint32_t count;
    int64_t wait_ms;
    int64_t lease_ms;
    int result;
    queues_answer answer;
    pthread_t thread;
} waiter;

static const int64_t LONG_MS = 100000;

static void *wait_for_jobs(void *arg) {
    waiter *one = arg;
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE,
                          .queues = one->names,
                          .queue_count = one->name_count,
                          .count = one->count,
                          .lease_ms = one->lease_ms,
                          .wait_ms = one->wait_ms};
    one->result = queues_ask(one->engine, &call, &one->answer);
    return NULL;
}

static void begin(waiter *one, fb_engine *engine, const char *queue) {
    *one = (waiter){.engine = engine, .count = 1, .wait_ms = LONG_MS, .name_count = 1};
    one->names[0] = fb_str_of(queue);
    assert_int_equal(pthread_create(&one->thread, NULL, wait_for_jobs, one), 0);
}

static void end(waiter *one) {
    assert_int_equal(pthread_join(one->thread, NULL), 0);
}

// Until so many wait in its line, and have been told that there is nothing yet.
static void await_lines(fb_engine *engine, const char *queue, uint32_t waiting) {
    const fb_queue_terms *terms = fb_queues_find(engine->queues, fb_str_of(queue));
    rig_until(atomic_load(&terms->queue->waiting) == waiting);
}

static void test_queue_waits__a_job_wakes_who_waits(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    waiter one;
    begin(&one, engine, "default");
    await_lines(engine, "default", 1);
    (void)queues_put(engine, "default", "wake");
    end(&one);
    assert_ok(one.result);
    assert_int_equal(one.answer.job_count, 1);
    assert_string_equal(one.answer.jobs[0].payload, "wake");
    fb_close(engine, 1000);
}

static void test_queue_waits__each_of_many_gets_one(void **state) {
    (void)state;
    enum { MANY = 24 };
    fb_engine *engine = queues_open("");
    static waiter many[MANY];
    bool seen[MANY] = {false};
    for (int i = 0; i < MANY; i++) {
        begin(&many[i], engine, "default");
    }
    await_lines(engine, "default", MANY);
    for (int i = 0; i < MANY; i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%d", i);
        (void)queues_put(engine, "default", text);
    }
    for (int i = 0; i < MANY; i++) {
        end(&many[i]);
        assert_ok(many[i].result);
        assert_int_equal(many[i].answer.job_count, 1);
        int which = atoi(many[i].answer.jobs[0].payload);
        assert_false(seen[which]);
        seen[which] = true;
    }
    assert_int_equal(queues_figures(engine, "default").reserved, MANY);
    assert_int_equal(queues_figures(engine, "default").released, 0);
    fb_close(engine, 1000);
}

static void test_queue_waits__who_came_first_is_served_first(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    waiter first, second;
    begin(&first, engine, "default");
    await_lines(engine, "default", 1);
    begin(&second, engine, "default");
    await_lines(engine, "default", 2);
    (void)queues_put(engine, "default", "1");
    end(&first);
    assert_ok(first.result);
    assert_string_equal(first.answer.jobs[0].payload, "1");
    (void)queues_put(engine, "default", "2");
    end(&second);
    assert_string_equal(second.answer.jobs[0].payload, "2");
    fb_close(engine, 1000);
}

static void test_queue_waits__a_job_that_becomes_due_wakes(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    fb_job_spec spec = queues_spec("default", "later");
    fb_enqueued job;
    waiter one;
    spec.delay_ms = 50;
    assert_ok(fb_queue_enqueue(engine, &spec, 1, &job, NULL));
    begin(&one, engine, "default");
    end(&one);
    assert_ok(one.result);
    assert_int_equal(one.answer.job_count, 1);
    assert_true(one.answer.jobs[0].job.claimed_ms >= one.answer.jobs[0].job.due_ms);
    fb_close(engine, 1000);
}

static void test_queue_waits__a_lease_that_ends_wakes(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    static queues_answer answer;
    fb_job_spec spec = queues_spec("default", "left behind");
    fb_enqueued job;
    waiter one;
    spec.lease_ms = 50;
    assert_ok(fb_queue_enqueue(engine, &spec, 1, &job, NULL));
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    begin(&one, engine, "default");
    end(&one);
    assert_ok(one.result);
    assert_int_equal(one.answer.job_count, 1);
    assert_int_equal(one.answer.jobs[0].job.attempt, 2);
    assert_true(one.answer.jobs[0].job.token != answer.jobs[0].job.token);
    fb_close(engine, 1000);
}

static void test_queue_waits__time_is_over_with_nothing(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {other: {}}\n");
    static queues_answer answer;
    assert_ok(queues_take(engine, "default", 1, 20, &answer));
    assert_int_equal(answer.job_count, 0);
    fb_str names[2] = {FB_STR("default"), FB_STR("other")};
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE, .queues = names, .queue_count = 2, .count = 1,
                          .wait_ms = 20};
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.job_count, 0);
    fb_close(engine, 1000);
}

static void test_queue_waits__queues_are_looked_at_in_order(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {one: {}, two: {}, three: {}}\n");
    static queues_answer answer;
    fb_str names[3] = {FB_STR("two"), FB_STR("one"), FB_STR("three")};
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE, .queues = names, .queue_count = 3, .count = 3,
                          .wait_ms = LONG_MS};
    (void)queues_put(engine, "three", "c");
    (void)queues_put(engine, "one", "b");
    (void)queues_put(engine, "two", "a");

    call.count = 1;
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.job_count, 1);
    assert_string_equal(answer.jobs[0].payload, "a");
    (void)queues_put(engine, "two", "d");
    call.count = 10;
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.job_count, 3);
    assert_string_equal(answer.jobs[0].payload, "d");
    assert_string_equal(answer.jobs[0].queue, "two");
    assert_string_equal(answer.jobs[1].payload, "b");
    assert_string_equal(answer.jobs[2].payload, "c");
    assert_string_equal(answer.jobs[2].queue, "three");
    fb_close(engine, 1000);
}

static void test_queue_waits__any_of_several_queues_wakes(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {one: {}, two: {}, three: {}}\n");
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        waiter one = {.engine = engine, .count = 5, .wait_ms = LONG_MS, .name_count = 3};
        for (int j = 0; j < 3; j++) {
            one.names[j] = fb_str_of(names[j]);
        }
        assert_int_equal(pthread_create(&one.thread, NULL, wait_for_jobs, &one), 0);
        for (int j = 0; j < 3; j++) {
            await_lines(engine, names[j], 1);
        }
        (void)queues_put(engine, names[i], "x");
        end(&one);
        assert_ok(one.result);
        assert_int_equal(one.answer.job_count, 1);
        assert_string_equal(one.answer.jobs[0].queue, names[i]);
    }
    fb_close(engine, 1000);
}

// ---- leaving

typedef struct leaver {
    fb_engine *engine;
    fb_queue_wait *wait;
    queues_answer answer;
    int started;
    atomic_bool waits, stop;
} leaver;

static void start_waiting(void *arg) {
    leaver *one = arg;
    fb_str name = FB_STR("default");
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE, .queues = &name, .queue_count = 1, .count = 1,
                          .wait_ms = LONG_MS};
    one->started = fb_queue_start(one->engine, &call, queues_keep, &one->answer, &one->wait, NULL);
    atomic_store(&one->waits, true);
}

static void stop_waiting(void *arg) {
    leaver *one = arg;
    fb_queue_stop(one->engine, one->wait);
    fb_queue_stop(one->engine, one->wait);  // once more changes nothing
    atomic_store(&one->stop, true);
}

static void test_queue_waits__who_stops_is_answered_with_nothing(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    leaver one = {.engine = engine};
    assert_ok(fb_loop_post(engine, 1, start_waiting, &one));
    rig_until(atomic_load(&one.waits));
    assert_ok(one.started);
    assert_non_null(one.wait);
    await_lines(engine, "default", 1);
    assert_ok(fb_loop_post(engine, 1, stop_waiting, &one));
    rig_until(atomic_load(&one.answer.calls) == 1);
    assert_ok(one.answer.result);
    assert_int_equal(one.answer.job_count, 0);
    // And what comes now is not for him.
    (void)queues_put(engine, "default", "x");
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), 1);
    assert_int_equal(atomic_load(&one.answer.calls), 1);
    fb_close(engine, 1000);
}

// A job that was claimed for somebody who left goes back, and the attempt does not count. Both races
// are run: whoever wins, the job is either his, or there again.
static void test_queue_waits__a_job_for_who_has_left_goes_back(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    for (int i = 0; i < 50; i++) {
        leaver *one = calloc(1, sizeof *one);
        static queues_answer answer;
        assert_non_null(one);
        one->engine = engine;
        assert_ok(fb_loop_post(engine, 1, start_waiting, one));
        rig_until(atomic_load(&one->waits));
        assert_ok(fb_loop_post(engine, 1, stop_waiting, one));
        (void)queues_put(engine, "default", "x");
        rig_until(atomic_load(&one->answer.calls) == 1 && atomic_load(&one->stop));
        if (one->answer.job_count == 0) {
            assert_ok(queues_take(engine, "default", 1, LONG_MS, &answer));
            assert_int_equal(answer.job_count, 1);
            assert_int_equal(answer.jobs[0].job.attempt, 1);
        } else {
            answer = one->answer;
        }
        fb_job job = answer.jobs[0].job;
        assert_ok(queues_finish(engine, FB_QUEUE_ACK, "default", &job, &answer));
        free(one);
    }
    fb_close(engine, 1000);
}

static void test_queue_waits__a_close_ends_them(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {other: {}}\n");
    enum { MANY = 5 };
    static waiter many[MANY];
    leaver one = {.engine = engine};
    for (int i = 0; i < MANY; i++) {
        begin(&many[i], engine, i % 2 == 0 ? "default" : "other");
    }
    assert_ok(fb_loop_post(engine, 1, start_waiting, &one));
    rig_until(atomic_load(&one.waits));
    await_lines(engine, "other", 2);
    await_lines(engine, "default", 4);
    fb_close(engine, LONG_MS);
    for (int i = 0; i < MANY; i++) {
        end(&many[i]);
        assert_result(many[i].result, FB_ECLOSED);
    }
    assert_int_equal(atomic_load(&one.answer.calls), 1);
    assert_result(one.answer.result, FB_ECLOSED);
}

static void test_queue_waits__leases_of_different_lengths(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    waiter own, longer;
    begin(&own, engine, "default");
    await_lines(engine, "default", 1);
    longer = (waiter){.engine = engine, .count = 1, .wait_ms = LONG_MS, .name_count = 1,
                      .lease_ms = 777000};
    longer.names[0] = FB_STR("default");
    assert_int_equal(pthread_create(&longer.thread, NULL, wait_for_jobs, &longer), 0);
    await_lines(engine, "default", 2);
    (void)queues_put(engine, "default", "1");
    (void)queues_put(engine, "default", "2");
    end(&own);
    end(&longer);
    const fb_job *job = &own.answer.jobs[0].job;
    assert_int_equal(job->until_ms - job->claimed_ms, 300000);
    job = &longer.answer.jobs[0].job;
    assert_int_equal(job->until_ms - job->claimed_ms, 777000);
    fb_close(engine, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        queues_test(test_queue_waits__a_job_wakes_who_waits),
        queues_test(test_queue_waits__each_of_many_gets_one),
        queues_test(test_queue_waits__who_came_first_is_served_first),
        queues_test(test_queue_waits__a_job_that_becomes_due_wakes),
        queues_test(test_queue_waits__a_lease_that_ends_wakes),
        queues_test(test_queue_waits__time_is_over_with_nothing),
        queues_test(test_queue_waits__queues_are_looked_at_in_order),
        queues_test(test_queue_waits__any_of_several_queues_wakes),
        queues_test(test_queue_waits__who_stops_is_answered_with_nothing),
        queues_test(test_queue_waits__a_job_for_who_has_left_goes_back),
        queues_test(test_queue_waits__a_close_ends_them),
        queues_test(test_queue_waits__leases_of_different_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
