// The way down: nothing is lost, nothing hangs, nobody is left without an answer.

#include "engine_rig.h"

static const char *const YAML =
    "memory: 8MiB\n"
    "loops: 2\n"
    "workers: 2\n"
    "sources: {base: {sqlite: a.db, concurrency: 2}}\n"
    "classes:\n"
    "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, hard_timeout: 50s,\n"
    "         query: 'SELECT gate(version) AS version FROM item WHERE id = :id'}\n"
    // Counts until it is interrupted.
    "  long: {key: 'long:{id}', source: base, hard_timeout: 50s, query:\n"
    "         'WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) AS "
    "n\n"
    "          FROM t WHERE n <> :id'}\n"
    "  slow: {key: 'slow:{id}', source: base, one: true, hard_timeout: 50s,\n"
    "         query: 'SELECT version FROM item WHERE id = :id',\n"
    "         batch: {query: 'SELECT j.value AS id, version FROM json_each(:id) j JOIN item i\n"
    "                 ON i.id = j.value', by: id, wait: 1s}}\n"
    "  many: {key: 'many:{id}', source: base, one: true, hard_timeout: 50s,\n"
    "         query: 'SELECT version FROM item WHERE id = :id',\n"
    "         batch: {query: 'SELECT j.value AS id, version FROM json_each(:id) j JOIN item i\n"
    "                 ON i.id = j.value', by: id, wait: 1ms}}\n";

static int64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void ask_class(asker *one, fb_engine *engine, const char *class_name, const char *id) {
    asker_init(one, engine, NULL, id);
    one->request.class_name = fb_str_of(class_name);
    ask_apart(one);
}

static void expect_closed(asker *one) {
    await_answer(one);
    assert_result(one->result, FB_ECLOSED);
}

typedef struct closing {
    fb_engine *engine;
    int64_t drain_ms;
    pthread_t thread;
} closing;

static void *close_engine(void *arg) {
    closing *one = arg;
    fb_close(one->engine, one->drain_ms);
    return NULL;
}

static void close_apart(closing *one, fb_engine *engine, int64_t drain_ms) {
    *one = (closing){.engine = engine, .drain_ms = drain_ms};
    assert_int_equal(pthread_create(&one->thread, NULL, close_engine, one), 0);
}

static void test_close__gives_what_is_under_way_its_time(void **state) {
    (void)state;
    asker one, two, more;
    closing down;
    gate_set(&rig_gate, false);
    fb_engine *engine = rig_open(YAML);
    ask_class(&one, engine, "item", "1");
    ask_class(&two, engine, "slow", "2");  // its batch is still open
    gate_await(&rig_gate, 1);
    rig_until(rig_explain(engine, "slow:2").loading);
    close_apart(&down, engine, RIG_PATIENCE_S * 1000);
    asker_init(&more, engine, NULL, "3");
    more.request.timeout_ms = 1;
    rig_until((ask(&more), more.result == FB_ECLOSED));
    gate_open(&rig_gate);
    await_answer(&one);
    assert_ok(one.result);
    assert_str(one.value.data, "{\"version\":0}");
    fb_value_release(&one.value);
    await_answer(&two);
    assert_ok(two.result);
    fb_value_release(&two.value);
    pthread_join(down.thread, NULL);
}

// Two queries run, others wait for their turn.
static void test_close__interrupts_queries_when_the_time_is_over(void **state) {
    (void)state;
    enum { COUNT = 8 };
    asker askers[COUNT];
    fb_engine *engine = rig_open(YAML);
    for (int i = 0; i < COUNT; i++) {
        char id[8];
        snprintf(id, sizeof id, "-%d", i + 1);
        ask_class(&askers[i], engine, "long", id);
    }
    rig_until(rig_running(engine) == 2 && rig_waiting(engine) == COUNT - 2);
    int64_t begin_ms = now_ms();
    fb_close(engine, 20);
    assert_true(now_ms() - begin_ms < 20000);  // they would have counted for 50 s
    for (int i = 0; i < COUNT; i++) {
        expect_closed(&askers[i]);
    }
}

static void test_close__does_not_wait_for_a_batch_that_gathers(void **state) {
    (void)state;
    asker one;
    fb_engine *engine = rig_open(YAML);
    ask_class(&one, engine, "slow", "1");
    rig_until(rig_explain(engine, "slow:1").loading);
    fb_close(engine, 0);
    expect_closed(&one);
}

// A query that waits for a database that somebody else has locked.
static void test_close__interrupts_waiting_for_a_lock(void **state) {
    (void)state;
    asker one;
    sqlite3 *writer = NULL;
    char path[96];
    rig_path(path, sizeof path, "a.db");
    fb_engine *engine = rig_open(YAML);
    assert_int_equal(sqlite3_open(path, &writer), SQLITE_OK);
    assert_int_equal(sqlite3_exec(writer, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    ask_class(&one, engine, "item", "1");
    rig_until(rig_explain(engine, "item:1").loading);
    fb_close(engine, 0);
    expect_closed(&one);
    assert_int_equal(sqlite3_close(writer), SQLITE_OK);
}

// Loaders of callers' own cannot be interrupted: those that wait for a worker are not begun.
static void test_close__waits_for_a_loader_that_runs_and_begins_no_other(void **state) {
    (void)state;
    enum { COUNT = 6 };
    gate at;
    asker askers[COUNT];
    closing down;
    gate_init(&at, false);
    fb_engine *engine =
        rig_open("workers: 2\nclasses:\n  item: {key: 'item:{id}', hard_timeout: 50s}\n");
    for (int i = 0; i < COUNT; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        asker_init(&askers[i], engine, &at, id);
        ask_apart(&askers[i]);
    }
    gate_await(&at, 2);
    close_apart(&down, engine, 0);
    asker more;
    asker_init(&more, engine, &at, "x");
    more.request.timeout_ms = 1;
    rig_until((ask(&more), more.result == FB_ECLOSED));
    gate_open(&at);
    int answered = 0;
    for (int i = 0; i < COUNT; i++) {
        await_answer(&askers[i]);
        assert_true(askers[i].result == FB_OK || askers[i].result == FB_ECLOSED);
        answered += askers[i].result == FB_OK;
        fb_value_release(&askers[i].value);
    }
    pthread_join(down.thread, NULL);
    // What ran may come to an end, or its caller be told before. Without the close all would have
    // run.
    assert_true(answered <= atomic_load(&at.loads));
}

// ---- what was asked without waiting, and what was posted

static atomic_int ends;

static void note_end(void *arg, int result, const fb_value *value, const fb_error *error) {
    int *seen = arg;
    *seen = result;
    (void)value, (void)error;
    atomic_fetch_add(&ends, 1);
}

static void test_close__calls_back_whoever_is_left(void **state) {
    (void)state;
    enum { COUNT = 40 };
    int results[COUNT];
    atomic_store(&ends, 0);
    fb_engine *engine = rig_open(YAML);
    for (int i = 0; i < COUNT; i++) {
        char id[8];
        snprintf(id, sizeof id, "-%d", i + 1);
        fb_param param = {FB_STR("id"), fb_str_of(id)};
        fb_request request = {.class_name = FB_STR("long"), .params = &param, .param_count = 1};
        assert_result(fb_fetch_start(engine, &request, note_end, &results[i]), FB_PENDING);
    }
    fb_close(engine, 0);
    assert_int_equal(atomic_load(&ends), COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_result(results[i], FB_ECLOSED);
    }
}

typedef struct relay {
    fb_engine *engine;
    int left;
    atomic_int run;
    atomic_int wrong;
} relay;

// Posts itself on to the next loop, so that some of it comes after the loops have ended.
static void pass_on(void *arg) {
    relay *one = arg;
    atomic_fetch_add(&one->run, 1);
    int here = fb_loop_current(one->engine);
    atomic_fetch_add(&one->wrong, here < 0);
    if (one->left-- > 0) {
        uint32_t next = (uint32_t)(here + 1) % fb_loop_count(one->engine);
        int result = fb_loop_post(one->engine, next, pass_on, one);
        atomic_fetch_add(&one->wrong, result != FB_OK);
    }
}

static void test_close__runs_what_was_posted_to_the_end(void **state) {
    (void)state;
    for (int turn = 0; turn < 20; turn++) {
        relay one = {.left = 500};
        one.engine = rig_open(YAML);
        assert_ok(fb_loop_post(one.engine, 0, pass_on, &one));
        fb_close(one.engine, 0);
        assert_int_equal(atomic_load(&one.run), 501);
        assert_int_equal(atomic_load(&one.wrong), 0);
    }
}

// Callers that come while it closes: each is answered, with a value or FB_ECLOSED.
typedef struct crowd {
    fb_engine *engine;
    pthread_t thread;
    int number;
    atomic_int *asked;
    int wrong;
} crowd;

static void *ask_until_closed(void *arg) {
    crowd *one = arg;
    int result = FB_OK;
    for (int i = 0; result != FB_ECLOSED; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", one->number * 100000 + i);
        asker from;
        asker_init(&from, one->engine, NULL, id);
        from.request.class_name = i % 3 == 0 ? FB_STR("many") : FB_STR("item");
        from.request.timeout_ms = 20000;
        ask(&from);
        result = from.result;
        one->wrong += result != FB_OK && result != FB_NEGATIVE && result != FB_ECLOSED;
        fb_value_release(&from.value);
        atomic_fetch_add(one->asked, 1);
    }
    return NULL;
}

static void test_close__answers_a_crowd_that_goes_on_asking(void **state) {
    (void)state;
    enum { COUNT = 6 };
    for (int turn = 0; turn < 10; turn++) {
        crowd all[COUNT];
        atomic_int asked = 0;
        // A loader that runs keeps the engine there until everybody has heard that it closes: nobody
        // may begin to ask afterwards.
        gate at;
        asker holds;
        gate_init(&at, false);
        fb_engine *engine = rig_open(YAML);
        asker_init(&holds, engine, &at, "held");
        ask_apart(&holds);
        gate_await(&at, 1);
        for (int i = 0; i < COUNT; i++) {
            all[i] = (crowd){.engine = engine, .number = i, .asked = &asked};
            assert_int_equal(pthread_create(&all[i].thread, NULL, ask_until_closed, &all[i]), 0);
        }
        rig_until(atomic_load(&asked) > 20 * turn);
        closing down;
        close_apart(&down, engine, turn % 3);
        for (int i = 0; i < COUNT; i++) {
            pthread_join(all[i].thread, NULL);
            assert_int_equal(all[i].wrong, 0);
        }
        gate_open(&at);
        await_answer(&holds);
        fb_value_release(&holds.value);
        pthread_join(down.thread, NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_close__gives_what_is_under_way_its_time),
        rig_test(test_close__interrupts_queries_when_the_time_is_over),
        rig_test(test_close__does_not_wait_for_a_batch_that_gathers),
        rig_test(test_close__interrupts_waiting_for_a_lock),
        rig_test(test_close__waits_for_a_loader_that_runs_and_begins_no_other),
        rig_test(test_close__calls_back_whoever_is_left),
        rig_test(test_close__runs_what_was_posted_to_the_end),
        rig_test(test_close__answers_a_crowd_that_goes_on_asking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
