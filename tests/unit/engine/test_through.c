// Read-through, end to end: a real database behind declared classes.

#include "engine_rig.h"

#define HEAD                                                                           \
    "memory: 8MiB\nloops: 2\nworkers: 4\nsources: {base: {sqlite: a.db, concurrency: " \
    "4}}\nclasses:\n"
#define QUERY "query: 'SELECT gate(version) AS version FROM item WHERE id = :id'"
// What is stale is served at once; after a failure for an hour.
#define SOON "ttl: 1ms, memory_ttl: 1ms, jitter: 0, early: {beta: 0}"

static void change_version(int id, int version) {
    char sql[96];
    snprintf(sql, sizeof sql, "UPDATE item SET version = %d WHERE id = %d", version, id);
    rig_sql(sql);
}

static void test_through__two_hundred_callers_are_one_query(void **state) {
    (void)state;
    enum { COUNT = 200 };
    static asker askers[COUNT];
    gate_set(&rig_gate, false);
    fb_engine *engine =
        rig_open(HEAD "  item: {key: 'item:{id}', source: base, one: true, " QUERY "}\n");
    for (int i = 0; i < COUNT; i++) {
        asker_init(&askers[i], engine, NULL, "1");
        ask_apart(&askers[i]);
    }
    gate_await(&rig_gate, 1);
    gate_open(&rig_gate);
    for (int i = 0; i < COUNT; i++) {
        await_answer(&askers[i]);
        assert_ok(askers[i].result);
        assert_str(askers[i].value.data, "{\"version\":0}");
        fb_value_release(&askers[i].value);
    }
    assert_int_equal(atomic_load(&rig_gate.loads), 1);
    fb_cache_figures figures = rig_figures(engine, "item");
    assert_int_equal(figures.loads, 1);
    assert_int_equal(figures.hits + figures.misses, COUNT);
    assert_int_equal(figures.coalesced, figures.misses - 1);
    fb_close(engine, 1000);
}

static void test_through__what_is_stale_is_served_while_one_load_refreshes_it(void **state) {
    (void)state;
    asker one;
    fb_engine *engine = rig_open(HEAD "  item: {key: 'item:{id}', source: base, one: true, " SOON
                                      ", stale_ttl: 1h, " QUERY "}\n");
    asker_init(&one, engine, NULL, "1");
    assert_asked(&one, "{\"version\":0}");
    rig_until(rig_explain(engine, "item:1").freshness == FB_STALE);
    change_version(1, 1);
    gate_set(&rig_gate, false);
    for (int i = 0; i < 20; i++) {
        assert_asked(&one, "{\"version\":0}");
        assert_int_equal(one.value.freshness, FB_STALE);
        assert_int_equal(one.value.ttl_ms, 0);
    }
    gate_await(&rig_gate, 2);
    assert_int_equal(atomic_load(&rig_gate.loads), 2);
    gate_open(&rig_gate);
    rig_until(!rig_explain(engine, "item:1").loading);
    assert_asked(&one, "{\"version\":1}");
    fb_value_release(&one.value);
    assert_true(rig_figures(engine, "item").stale_hits >= 20);
    fb_close(engine, 1000);
}

// With a soft time-out the caller waits a little for what is newer.
static void test_through__waits_for_the_refresh_as_long_as_the_soft_timeout(void **state) {
    (void)state;
    asker one;
    fb_engine *engine =
        rig_open(HEAD "  item: {key: 'item:{id}', source: base, one: true, " SOON
                      ", stale_ttl: 1h, soft_timeout: 20s, hard_timeout: 40s, " QUERY
                      "}\n"
                      "  fast: {key: 'fast:{id}', source: base, one: true, " SOON
                      ", stale_ttl: 1h, soft_timeout: 1ms, hard_timeout: 40s, " QUERY "}\n");
    asker_init(&one, engine, NULL, "1");
    assert_asked(&one, "{\"version\":0}");
    rig_until(rig_explain(engine, "item:1").freshness == FB_STALE);
    change_version(1, 1);
    assert_asked(&one, "{\"version\":1}");
    fb_value_release(&one.value);
    asker_init(&one, engine, NULL, "2");
    one.request.class_name = FB_STR("fast");
    assert_asked(&one, "{\"version\":0}");
    rig_until(rig_explain(engine, "fast:2").freshness == FB_STALE);
    gate_set(&rig_gate, false);
    assert_asked(&one, "{\"version\":0}");
    assert_int_equal(one.value.freshness, FB_STALE);
    fb_value_release(&one.value);
    gate_open(&rig_gate);
    fb_close(engine, 10000);
}

static void test_through__a_failure_is_answered_with_what_there_was(void **state) {
    (void)state;
    asker one, other;
    fb_engine *engine =
        rig_open(HEAD "  item: {key: 'item:{id}', source: base, one: true, " SOON
                      ", fallback_ttl: 1h, query: 'SELECT version FROM item WHERE id = :id'}\n");
    asker_init(&one, engine, NULL, "1");
    asker_init(&other, engine, NULL, "2");
    assert_asked(&one, "{\"version\":0}");
    rig_until(rig_explain(engine, "item:1").freshness == FB_FALLBACK);
    rig_sql("ALTER TABLE item RENAME TO elsewhere");
    assert_asked(&one, "{\"version\":0}");
    assert_int_equal(one.value.freshness, FB_FALLBACK);
    ask(&other);  // of that there was nothing
    assert_result(other.result, FB_ESOURCE);
    assert_non_null(strstr(other.error.text, "no such table"));
    fb_cache_figures figures = rig_figures(engine, "item");
    assert_int_equal(figures.fallback_hits, 1);
    assert_int_equal(figures.load_failures, 2);
    // An invalidation beats it, and the source is looked at anew.
    fb_invalidation what = {.scope = FB_SCOPE_CLASS, .name = FB_STR("item")};
    assert_ok(fb_invalidate(engine, &what, NULL));
    ask(&one);
    assert_result(one.result, FB_ESOURCE);
    rig_sql("ALTER TABLE elsewhere RENAME TO item; UPDATE item SET version = 9");
    assert_ok(fb_invalidate(engine, &what, NULL));
    assert_asked(&one, "{\"version\":9}");
    assert_asked(&other, "{\"version\":9}");
    fb_value_release(&one.value);
    fb_value_release(&other.value);
    fb_close(engine, 1000);
}

static void test_through__a_dead_source_is_not_asked_by_everybody(void **state) {
    (void)state;
    asker one;
    fb_engine *engine = rig_open(HEAD
                                 "  item: {key: 'item:{id}', source: base, one: true,\n"
                                 "         query: 'SELECT version FROM item WHERE id = :id'}\n");
    rig_sql("ALTER TABLE item RENAME TO elsewhere");
    asker_init(&one, engine, NULL, "1");
    for (int i = 0; i < 50; i++) {
        ask(&one);
        assert_result(one.result, FB_ESOURCE);
    }
    assert_true(rig_figures(engine, "item").loads <
                10);  // the error is believed for a quarter of a second
    assert_int_equal(rig_figures(engine, "item").errors, 50);
    fb_close(engine, 1000);
}

static void test_through__early_refresh_keeps_it_fresh(void **state) {
    (void)state;
    asker one;
    // A load that seems dear, a beta that is eager: every read of the last seconds refreshes.
    fb_engine *engine =
        rig_open(HEAD
                 "  item: {key: 'item:{id}', source: base, one: true, ttl: 20s, memory_ttl: 20s,\n"
                 "         jitter: 0, early: {beta: 10, budget: 1}, hard_timeout: 50s, " QUERY "}\n");
    asker_init(&one, engine, NULL, "1");
    gate_set(&rig_gate, false);
    ask_apart(&one);
    gate_await(&rig_gate, 1);
    struct timespec dear = {1, 0};
    (void)nanosleep(&dear, NULL);  // its cost, not a wait for something
    gate_open(&rig_gate);
    await_answer(&one);
    assert_ok(one.result);
    change_version(1, 1);
    rig_until((ask(&one),
               one.result == FB_OK && fb_str_equal(one.value.data, FB_STR("{\"version\":1}"))));
    fb_cache_figures figures = rig_figures(engine, "item");
    assert_int_equal(figures.early_refreshes, 1);
    assert_int_equal(figures.misses, 1);  // nobody had to wait for it
    fb_value_release(&one.value);
    fb_close(engine, 1000);
}

// ---- values that are not to be kept

static int load_uncacheable(void *arg, const fb_load *what, fb_loaded *loaded) {
    (void)what;
    fb_loaded_uncacheable(loaded);
    gate_pass(arg);
    return fb_loaded_value(loaded, FB_STR("for you alone"));
}

static void test_through__what_is_not_cacheable_is_loaded_side_by_side(void **state) {
    (void)state;
    gate at;
    asker askers[3];
    gate_init(&at, true);
    fb_engine *engine = rig_open(HEAD "  item: {key: 'item:{id}', hard_timeout: 50s}\n");
    asker_init(&askers[0], engine, &at, "1");
    askers[0].request.loader = load_uncacheable;
    assert_asked(&askers[0], "for you alone");
    assert_true(rig_explain(engine, "item:1").hit_for_miss);
    gate_set(&at, false);
    fb_value_release(&askers[0].value);
    for (int i = 0; i < 3; i++) {
        asker_init(&askers[i], engine, &at, "1");
        askers[i].request.loader = load_uncacheable;
        ask_apart(&askers[i]);
    }
    gate_await(&at, 4);  // all at once: none waits for another's
    gate_open(&at);
    for (int i = 0; i < 3; i++) {
        await_answer(&askers[i]);
        assert_ok(askers[i].result);
        fb_value_release(&askers[i].value);
    }
    assert_int_equal(rig_figures(engine, "item").hits, 0);
    fb_close(engine, 1000);
}

// ---- many at once

static void test_through__misses_that_come_together_are_one_query(void **state) {
    (void)state;
    enum { COUNT = 6 };
    asker askers[COUNT];
    fb_engine *engine = rig_open(
        "memory: 8MiB\nloops: 1\nworkers: 2\nsources: {base: {sqlite: a.db}}\nclasses:\n"
        "  item: {key: 'item:{id}', source: base, one: true, hard_timeout: 50s,\n"
        "         query: 'SELECT gate(version) AS version FROM item WHERE id = :id',\n"
        "         batch: {query: 'SELECT j.value AS id, gate(version) AS version FROM "
        "json_each(:id) j\n"
        "                         JOIN item ON item.id = j.value', by: id, wait: 1s, max: "
        "6}}\n");
    const fb_invalidation all = {.scope = FB_SCOPE_ALL};
    fb_cache_figures before, figures = rig_figures(engine, "item");
    int tries = 0;
    do {  // again where one of them came too late
        before = figures;
        assert_ok(fb_invalidate(engine, &all, NULL));
        for (int i = 0; i < COUNT; i++) {  // one to five are there, six is not
            char id[8];
            snprintf(id, sizeof id, "%d", i + 1);
            asker_init(&askers[i], engine, NULL, id);
            ask_apart(&askers[i]);
        }
        for (int i = 0; i < COUNT; i++) {
            await_answer(&askers[i]);
            assert_result(askers[i].result, i < 5 ? FB_OK : FB_NEGATIVE);
            if (i < 5) {
                assert_str(askers[i].value.data, "{\"version\":0}");
            }
            fb_value_release(&askers[i].value);
        }
        figures = rig_figures(engine, "item");
    } while (figures.batches != before.batches + 1 && ++tries < 5);
    assert_int_equal(figures.batches, before.batches + 1);
    assert_int_equal(figures.loads, before.loads + 1);
    fb_close(engine, 1000);
}

// ---- more than the source takes

static void test_through__beyond_its_queue_it_says_overload(void **state) {
    (void)state;
    asker runs, waits, late;
    gate_set(&rig_gate, false);
    fb_engine *engine = rig_open(
        "memory: 8MiB\nworkers: 2\nsources: {base: {sqlite: a.db, concurrency: 1, queue: "
        "1}}\nclasses:\n"
        "  item: {key: 'item:{id}', source: base, one: true, hard_timeout: 50s, " QUERY "}\n");
    asker_init(&runs, engine, NULL, "1");
    asker_init(&waits, engine, NULL, "2");
    asker_init(&late, engine, NULL, "3");
    ask_apart(&runs);
    gate_await(&rig_gate, 1);
    ask_apart(&waits);
    rig_until(rig_waiting(engine) == 1);
    ask(&late);
    assert_result(late.result, FB_EOVERLOAD);
    assert_true(strlen(late.error.text) > 10);
    gate_open(&rig_gate);
    await_answer(&runs);
    await_answer(&waits);
    assert_ok(runs.result);
    assert_ok(waits.result);
    assert_asked(&late, "{\"version\":0}");
    fb_value_release(&runs.value);
    fb_value_release(&waits.value);
    fb_value_release(&late.value);
    assert_int_equal(rig_figures(engine, "item").overloads, 1);
    assert_int_equal(rig_figures(engine, "item").loads, 3);
    fb_close(engine, 1000);
}

// ---- the log of an outage

typedef struct told {
    pthread_mutex_t lock;
    int failed, more;
    unsigned counted;
    char first[256];
} told;

static void hear(void *arg, fb_log_level level, const char *event, const char *fields) {
    told *one = arg;
    (void)level;
    pthread_mutex_lock(&one->lock);
    if (strcmp(event, "load_failed") == 0 && one->failed++ == 0) {
        snprintf(one->first, sizeof one->first, "%s", fields);
    } else if (strcmp(event, "more_loads_failed") == 0) {
        unsigned count = 0;
        one->more++;
        (void)sscanf(fields, "class=item count=%u", &count);
        one->counted += count;
    }
    pthread_mutex_unlock(&one->lock);
}

static unsigned heard(told *one) {
    pthread_mutex_lock(&one->lock);
    unsigned all = (unsigned)one->failed + one->counted;
    pthread_mutex_unlock(&one->lock);
    return all;
}

static void test_through__an_outage_is_told_once_and_then_counted(void **state) {
    (void)state;
    enum { COUNT = 300 };
    static told one = {.lock = PTHREAD_MUTEX_INITIALIZER};
    fb_hooks hooks = {.log = hear, .arg = &one};
    fb_hooks_set(&hooks);
    fb_engine *engine = rig_open(HEAD
                                 "  item: {key: 'item:{id}', source: base, one: true,\n"
                                 "         query: 'SELECT version FROM item WHERE id = :id'}\n");
    rig_sql("ALTER TABLE item RENAME TO elsewhere");
    for (int i = 0; i < COUNT; i++) {
        asker from;
        char id[16];
        snprintf(id, sizeof id, "a\"b %d", i);
        asker_init(&from, engine, NULL, id);
        ask(&from);
        assert_result(from.result, FB_ESOURCE);
    }
    rig_until(heard(&one) == COUNT);
    fb_close(engine, 1000);
    assert_true(one.failed + one.more < 20);
    assert_non_null(
        strstr(one.first, "class=item key=\"item:a\\\"b 0\" result=FB_ESOURCE error=\""));
    fb_hooks_set(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_through__two_hundred_callers_are_one_query),
        rig_test(test_through__what_is_stale_is_served_while_one_load_refreshes_it),
        rig_test(test_through__waits_for_the_refresh_as_long_as_the_soft_timeout),
        rig_test(test_through__a_failure_is_answered_with_what_there_was),
        rig_test(test_through__a_dead_source_is_not_asked_by_everybody),
        rig_test(test_through__early_refresh_keeps_it_fresh),
        rig_test(test_through__what_is_not_cacheable_is_loaded_side_by_side),
        rig_test(test_through__misses_that_come_together_are_one_query),
        rig_test(test_through__beyond_its_queue_it_says_overload),
        rig_test(test_through__an_outage_is_told_once_and_then_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
