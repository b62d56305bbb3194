// Warming: what is declared, what is read most, one by one; behind everybody who waits.

#include "engine_rig.h"

#define HEAD "memory: 32MiB\nloops: 2\nworkers: 2\n"
#define ONE_BY_ONE "sources: {base: {sqlite: a.db, concurrency: 1, queue: 8}}\nclasses:\n"
#define QUERY "query: 'SELECT gate(version) AS version FROM item WHERE id = :id'"

static void fill_table(int count) {
    char sql[256];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE t(n) AS (SELECT 6 UNION ALL SELECT n + 1 FROM t WHERE n < %d)"
             "INSERT INTO item SELECT n, 'x', 0 FROM t",
             count);
    rig_sql(sql);
}

static void test_warm__loads_all_that_a_class_declares_at_start(void **state) {
    (void)state;
    enum { COUNT = 500 };
    fill_table(COUNT);
    // Far more rows than the queue of the source has places.
    fb_engine *engine =
        rig_open(HEAD ONE_BY_ONE
                 "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h,\n"
                 "         warm: {query: 'SELECT id FROM item'}, " QUERY "}\n");
    rig_until(fb_count(engine) == COUNT);
    fb_cache_figures figures = rig_figures(engine, "item");
    assert_int_equal(figures.warmed, COUNT);
    assert_int_equal(figures.loads, COUNT);
    assert_int_equal(figures.load_failures, 0);
    assert_int_equal(figures.misses, 0);
    uint64_t started = 7;
    fb_error error;
    assert_ok(fb_warm(engine, FB_STR("item"), NULL, 0, &started, &error));  // all is fresh
    assert_int_equal(started, 0);
    asker one;
    asker_init(&one, engine, NULL, "77");
    assert_asked(&one, "{\"version\":0}");
    assert_int_equal(one.value.tier, FB_TIER_MEMORY);
    fb_value_release(&one.value);
    fb_close(engine, 1000);
}

static void test_warm__lets_callers_go_first(void **state) {
    (void)state;
    enum { COUNT = 200 };
    asker one;
    gate_set(&rig_gate, false);
    fill_table(COUNT);
    fb_engine *engine =
        rig_open(HEAD ONE_BY_ONE
                 "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h,\n"
                 "         hard_timeout: 50s, warm: {query: 'SELECT id FROM item'}, " QUERY
                 "}\n"
                 "  user: {key: 'user:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h,\n"
                 "         hard_timeout: 50s, query: 'SELECT 1 AS x WHERE :id > 0'}\n");
    rig_until(rig_waiting(engine) >= 4);
    assert_true(rig_waiting(engine) <= 4);  // half of the queue stays free
    asker_init(&one, engine, NULL, "1");
    one.request.class_name = FB_STR("user");
    ask_apart(&one);
    rig_until(rig_waiting(engine) == 5);
    assert_int_equal(rig_figures(engine, "item").loads, 0);
    // One load leaves the gate; the caller's comes next, and the warming stands at the gate again.
    gate_open(&rig_gate);
    await_answer(&one);
    assert_ok(one.result);
    assert_true(rig_figures(engine, "item").loads < COUNT);
    fb_value_release(&one.value);
    rig_until(fb_count(engine) == COUNT + 1);
    assert_int_equal(rig_figures(engine, "item").load_failures, 0);
    fb_close(engine, 1000);
}

static void test_warm__one_set_of_parameters(void **state) {
    (void)state;
    fb_engine *engine = rig_open(
        HEAD ONE_BY_ONE "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, " QUERY
                        "}\n"
                        "  none: {key: 'none:{id}'}\n");
    fb_param id = {FB_STR("id"), FB_STR("3")}, wrong = {FB_STR("idd"), FB_STR("3")};
    uint64_t started = 7;
    fb_error error;
    assert_ok(fb_warm(engine, FB_STR("item"), &id, 1, &started, &error));
    assert_int_equal(started, 1);
    rig_until(fb_exists(engine, FB_STR("item:3")) == FB_OK);
    assert_ok(fb_warm(engine, FB_STR("item"), &id, 1, &started, &error));
    assert_int_equal(started, 0);  // it is fresh
    assert_result(fb_warm(engine, FB_STR("item"), &wrong, 1, NULL, &error), FB_EINVAL);
    assert_result(fb_warm(engine, FB_STR("item"), NULL, 0, NULL, &error),
                  FB_EINVAL);  // declares nothing
    assert_result(fb_warm(engine, FB_STR("none"), &id, 1, NULL, &error), FB_ENOSOURCE);
    assert_result(fb_warm(engine, FB_STR("itme"), &id, 1, NULL, &error), FB_ENOCLASS);
    assert_result(fb_warm_top(engine, FB_STR("itme"), 5, NULL), FB_ENOCLASS);
    assert_int_equal(rig_figures(engine, "item").warmed, 1);
    fb_close(engine, 1000);
}

static void read_often(fb_engine *engine, const char *id, int times) {
    asker one;
    asker_init(&one, engine, NULL, id);
    for (int i = 0; i < times; i++) {
        ask(&one);
        assert_ok(one.result);
    }
    fb_value_release(&one.value);
}

static void test_warm__what_is_read_most_comes_back_by_itself(void **state) {
    (void)state;
    fb_engine *engine =
        rig_open(HEAD ONE_BY_ONE
                 "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h,\n"
                 "         warm: {top: 2}, " QUERY "}\n");
    read_often(engine, "1", 400);
    read_often(engine, "2", 200);
    read_often(engine, "3", 1);
    rig_sql("UPDATE item SET version = 1");
    fb_invalidation what = {.scope = FB_SCOPE_CLASS, .name = FB_STR("item")};
    assert_ok(fb_invalidate(engine, &what, NULL));
    rig_until(fb_exists(engine, FB_STR("item:1")) == FB_OK &&
              fb_exists(engine, FB_STR("item:2")) == FB_OK);
    assert_result(fb_exists(engine, FB_STR("item:3")), FB_MISS);
    asker one;
    asker_init(&one, engine, NULL, "1");
    assert_asked(&one, "{\"version\":1}");
    assert_int_equal(one.value.tier, FB_TIER_MEMORY);
    fb_value_release(&one.value);
    fb_close(engine, 1000);
}

// Also where the key is read without parameters, and on request.
static void test_warm__top_knows_what_was_read_by_its_key(void **state) {
    (void)state;
    fb_engine *engine = rig_open(
        HEAD ONE_BY_ONE
        "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h, " QUERY
        "}\n"
        "  all: {key: 'all', source: base, ttl: 1h, memory_ttl: 1h,\n"
        "        query: 'SELECT count(*) AS n FROM item'}\n");
    fb_request all = {.class_name = FB_STR("all")};
    fb_value value;
    fb_error error;
    uint64_t started = 0;
    read_often(engine, "4", 1);
    for (int i = 0; i < 50; i++) {
        assert_ok(fb_get_copy(engine, FB_STR("item:4"), &value));
        fb_value_release(&value);
        assert_ok(fb_fetch(engine, &all, &value, &error));
        fb_value_release(&value);
    }
    assert_result(fb_del(engine, FB_STR("item:4")), FB_OK);
    assert_result(fb_del(engine, FB_STR("all")), FB_OK);
    assert_ok(fb_warm_top(engine, FB_STR("item"), 0, &started));
    assert_int_equal(started, 1);
    assert_ok(fb_warm_top(engine, FB_STR("all"), 10, &started));  // a class without parameters
    assert_int_equal(started, 1);
    rig_until(fb_exists(engine, FB_STR("item:4")) == FB_OK &&
              fb_exists(engine, FB_STR("all")) == FB_OK);
    fb_close(engine, 1000);
}

static void test_warm__rows_that_are_no_parameters_are_told_and_skipped(void **state) {
    (void)state;
    // A row whose id is NULL gives no parameter.
    fb_engine *engine = rig_open(
        HEAD ONE_BY_ONE
        "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h,\n"
        "         warm: {query: 'SELECT NULL AS id UNION ALL SELECT id FROM item'}, " QUERY "}\n");
    rig_until(fb_count(engine) == 5);
    assert_int_equal(rig_figures(engine, "item").warmed, 5);
    fb_close(engine, 1000);
}

static void test_warm__outlives_a_reload_and_a_close(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    static const char yaml[] = HEAD ONE_BY_ONE
        "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h,\n"
        "         warm: {query: 'SELECT id FROM item'}, query: 'SELECT version AS %s FROM item "
        "WHERE id = :id'}\n"
        "  more: {key: 'more:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h,\n"
        "         warm: {query: 'SELECT id FROM item'}, query: 'SELECT version FROM item WHERE id "
        "= :id'}\n";
    char text[1024];
    fb_error error;
    fill_table(COUNT);
    snprintf(text, sizeof text, yaml, "v");
    fb_engine *engine = rig_open(text);
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, yaml, i % 2 == 0 ? "w" : "v");
        assert_ok(rig_reload(engine, text, &error));
        assert_ok(fb_warm(engine, FB_STR("item"), NULL, 0, NULL, &error));
    }
    rig_until(rig_figures(engine, "item").warmed > 20 && rig_figures(engine, "more").warmed > 20);
    fb_close(engine, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_warm__loads_all_that_a_class_declares_at_start),
        rig_test(test_warm__lets_callers_go_first),
        rig_test(test_warm__one_set_of_parameters),
        rig_test(test_warm__what_is_read_most_comes_back_by_itself),
        rig_test(test_warm__top_knows_what_was_read_by_its_key),
        rig_test(test_warm__rows_that_are_no_parameters_are_told_and_skipped),
        rig_test(test_warm__outlives_a_reload_and_a_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
