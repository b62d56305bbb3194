// Jobs that begin by the clock, which the test moves: schedules of a year, so that no minute that passes
// meanwhile counts.

#include "engine/queues_inside.h"
#include "queues_rig.h"
#include "shared_rig.h"

#define YEARLY "schedules: {feast: {cron: '@yearly', payload: hello}}\n"

static queues_answer answer;
static const int64_t YEAR_MS = INT64_C(366) * 24 * 3600 * 1000;

static void pass(fb_engine *engine, int64_t ms) {
    atomic_fetch_add(&((fb_queues *)engine->queues)->shift_ms, ms);
}

typedef struct mark {
    int result;
    int64_t value;
} mark;

static void keep_mark(void *arg, const fb_queue_marked *marked) {
    *(mark *)arg = (mark){marked->result, marked->value};
}

static mark ask_mark(fb_engine *engine, fb_store_verb verb, int64_t value) {
    fb_queue_mark_call call = {.verb = verb, .queue = FB_STR("default"),
                               .mark = FB_STR("schedule:feast"), .value = value};
    mark one = {0};
    int result = fb_queues_mark_ask(engine->queues, &call, keep_mark, &one, NULL);
    assert_int_equal(result, one.result);
    return one;
}

// Its mark says that it has begun.
static void await_begun(fb_engine *engine) {
    rig_until(ask_mark(engine, FB_STORE_MARK_GET, 0).result == FB_OK);
}

static uint64_t jobs(fb_engine *engine) {
    return queues_count(engine, "default", FB_JOB_READY);
}

static void test_schedules__begin_with_nothing_and_go_by_the_clock(void **state) {
    (void)state;
    fb_engine *engine = queues_open(YEARLY);
    await_begun(engine);
    int64_t begun_ms = ask_mark(engine, FB_STORE_MARK_GET, 0).value;
    assert_int_equal(jobs(engine), 0);

    pass(engine, YEAR_MS);
    rig_until(jobs(engine) == 1);
    int64_t done_ms = ask_mark(engine, FB_STORE_MARK_GET, 0).value;
    assert_true(done_ms > begun_ms);
    assert_int_equal(done_ms % (24 * 3600 * 1000), 0);  // midnight, UTC
    pass(engine, YEAR_MS);
    rig_until(jobs(engine) == 2);
    assert_ok(queues_take(engine, "default", 5, 0, &answer));
    assert_int_equal(answer.job_count, 2);
    assert_string_equal(answer.jobs[0].payload, "hello");
    assert_string_equal(answer.jobs[0].kind, "feast");
    fb_close(engine, 1000);
}

static void test_schedules__a_time_that_was_missed_is_made_up_for_once(void **state) {
    (void)state;
    fb_engine *engine = queues_open(YEARLY);
    await_begun(engine);
    int64_t now_ms = ask_mark(engine, FB_STORE_MARK_GET, 0).value;
    assert_ok(ask_mark(engine, FB_STORE_MARK_SET, now_ms - 5 * YEAR_MS).result);
    fb_close(engine, 1000);

    engine = queues_open(YEARLY);
    rig_until(jobs(engine) == 1);
    rig_until(ask_mark(engine, FB_STORE_MARK_GET, 0).value > now_ms - YEAR_MS);
    assert_true(ask_mark(engine, FB_STORE_MARK_GET, 0).value <= now_ms);
    fb_close(engine, 1000);
    engine = queues_open("");  // nobody makes another one
    assert_int_equal(jobs(engine), 1);
    fb_close(engine, 1000);
}

// Whether a node has done all that was due, by its own clock.
typedef struct visit {
    fb_engine *engine;
    bool ahead;
    atomic_bool done;
} visit;

static void look_ahead(void *arg) {
    visit *one = arg;
    fb_queues *queues = one->engine->queues;
    one->ahead = fb_schedules_are_ahead(queues, atomic_load(&queues->catalog));
    atomic_store(&one->done, true);
}

static bool is_ahead(fb_engine *engine) {
    visit one = {.engine = engine};
    assert_ok(fb_loop_post(engine, 0, look_ahead, &one));
    rig_until(atomic_load(&one.done));
    return one.ahead;
}

static void test_schedules__are_done_once_over_all_nodes(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    enum { NODES = 3 };
    char text[1024];
    test_redis *server = test_redis_new("appendonly yes\nsave ''\n");
    fb_engine *nodes[NODES];
    (void)snprintf(text, sizeof text,
                   "memory: 4MiB\nloops: 1\nworkers: 2\nredis: {url: 'redis://127.0.0.1:%d', "
                   "partitions: 2}\nqueue: {timeout: 60s}\n" YEARLY,
                   server->port);
    for (int i = 0; i < NODES; i++) {
        nodes[i] = rig_open(text);
        shared_await(nodes[i], FB_SHARED_CONNECTED);
        rig_until(is_ahead(nodes[i]));
    }
    for (int year = 1; year <= 3; year++) {
        for (int i = 0; i < NODES; i++) {
            pass(nodes[i], YEAR_MS);
        }
        for (int i = 0; i < NODES; i++) {
            rig_until(is_ahead(nodes[i]));
        }
        assert_int_equal(jobs(nodes[0]), year);
    }
    for (int i = 0; i < NODES; i++) {
        fb_close(nodes[i], 1000);
    }
    test_redis_free(server);
}

static void test_schedules__come_and_go_with_a_reload(void **state) {
    (void)state;
    fb_error error = {0};
    fb_engine *engine = queues_open("");
    assert_ok(rig_reload(engine, QUEUES_YAML YEARLY, &error));
    await_begun(engine);
    assert_ok(rig_reload(engine, QUEUES_YAML, &error));
    pass(engine, YEAR_MS);
    assert_ok(rig_reload(engine, QUEUES_YAML "queues: {other: {}}\n" YEARLY, &error));
    rig_until(jobs(engine) == 1);  // what it missed while it was not there
    fb_close(engine, 1000);
}

static void test_schedules__say_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
        int result;
    } wrong[] = {
        {"schedules: {a: {cron: '61 * * * *'}}\n", "schedules.a.cron", FB_ERANGE},
        {"schedules: {a: {}}\n", "schedules.a.cron: required", FB_EINVAL},
        {"schedules: {a: {cron: '@daily', queue: defualt}}\n", "did you mean \"default\"?",
         FB_ENOQUEUE},
        {"schedules: {a: {cron: '@daily', time_zone: Nowhere/At_All}}\n",
         "schedules.a.time_zone: this machine knows no time zone", FB_EINVAL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fb_config *config = rig_config(wrong[i].text);
        fb_error error = {0};
        assert_result(fb_check(config, &error), wrong[i].result);
        if (strstr(error.text, wrong[i].part) == NULL) {
            fail_msg("%s", error.text);
        }
        assert_int_equal(error.line, 1);
        fb_config_free(config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        queues_test(test_schedules__begin_with_nothing_and_go_by_the_clock),
        queues_test(test_schedules__a_time_that_was_missed_is_made_up_for_once),
        queues_test(test_schedules__are_done_once_over_all_nodes),
        queues_test(test_schedules__come_and_go_with_a_reload),
        queues_test(test_schedules__say_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
