// Plain reads and writes, also of keys that belong to classes: what is stale, negative, gone;
// figures.

#include "engine_rig.h"

static const char *const YAML =
    "memory: 8MiB\n"
    "loops: 2\n"
    "workers: 2\n"
    "sources: {base: {sqlite: a.db}}\n"
    "classes:\n"
    "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h, jitter: 0,\n"
    "         negative_ttl: 1h, tags: ['kind:{kind}'],\n"
    "         query: 'SELECT kind, version FROM item WHERE id = :id'}\n"
    "  soon: {key: 'soon:{id}', source: base, one: true, ttl: 1ms, memory_ttl: 1ms, stale_ttl: "
    "1h,\n"
    "         fallback_ttl: 1h, early: {beta: 0},\n"
    "         query: 'SELECT gate(version) AS version FROM item WHERE id = :id'}\n"
    "  last: {key: 'last:{id}', source: base, one: true, ttl: 1ms, memory_ttl: 1ms, fallback_ttl: "
    "1h,\n"
    "         query: 'SELECT version FROM item WHERE id = :id'}\n";

static int fetch(fb_engine *engine, const char *class_name, const char *id) {
    asker one;
    asker_init(&one, engine, NULL, id);
    one.request.class_name = fb_str_of(class_name);
    ask(&one);
    fb_value_release(&one.value);
    return one.result;
}

static void assert_got(fb_engine *engine, const char *key, const char *text) {
    fb_value value;
    assert_ok(fb_get_copy(engine, fb_str_of(key), &value));
    assert_str(value.data, text);
    fb_value_release(&value);
}

static void count_shown(void *arg, const fb_value *value) {
    (void)value;
    ++*(int *)arg;
}

static void test_get__knows_what_a_class_knows_not_to_exist(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_value value;
    int64_t ttl_ms;
    int shown = 0;
    assert_result(fb_get(engine, FB_STR("item:77"), count_shown, &shown), FB_MISS);
    assert_result(fetch(engine, "item", "77"), FB_NEGATIVE);
    assert_result(fb_get(engine, FB_STR("item:77"), count_shown, &shown), FB_NEGATIVE);
    assert_int_equal(shown, 0);
    assert_result(fb_get_copy(engine, FB_STR("item:77"), &value), FB_NEGATIVE);
    assert_null(value.owner);
    // To all who look for keys it is not there.
    assert_result(fb_exists(engine, FB_STR("item:77")), FB_MISS);
    assert_result(fb_ttl(engine, FB_STR("item:77"), &ttl_ms), FB_MISS);
    assert_result(fb_expire(engine, FB_STR("item:77"), 1000), FB_MISS);
    assert_result(fb_del(engine, FB_STR("item:77")), FB_MISS);
    assert_result(fb_get(engine, FB_STR("item:77"), count_shown, &shown), FB_MISS);
    fb_close(engine, 1000);
}

static void test_get__serves_what_is_stale_and_has_it_refreshed(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    int64_t ttl_ms = 0;
    assert_ok(fetch(engine, "soon", "1"));
    rig_until(rig_explain(engine, "soon:1").freshness == FB_STALE);
    gate_set(&rig_gate, false);
    rig_sql("UPDATE item SET version = 1 WHERE id = 1");
    assert_got(engine, "soon:1", "{\"version\":0}");
    assert_ok(fb_exists(engine, FB_STR("soon:1")));
    assert_ok(fb_ttl(engine, FB_STR("soon:1"), &ttl_ms));  // as long as a reader finds it
    assert_true(ttl_ms > 3500000 && ttl_ms <= 3600000);
    gate_await(&rig_gate, 2);
    gate_open(&rig_gate);
    rig_until(!rig_explain(engine, "soon:1").loading);
    assert_got(engine, "soon:1", "{\"version\":1}");
    assert_true(rig_figures(engine, "soon").stale_hits >= 1);
    fb_close(engine, 1000);
}

static void test_get__does_not_show_what_only_a_failure_may_show(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_value value;
    int64_t ttl_ms;
    int shown = 0;
    assert_ok(fetch(engine, "last", "1"));
    rig_until(rig_explain(engine, "last:1").freshness == FB_FALLBACK);
    assert_result(fb_get(engine, FB_STR("last:1"), count_shown, &shown), FB_MISS);
    assert_int_equal(shown, 0);
    assert_result(fb_get_copy(engine, FB_STR("last:1"), &value), FB_MISS);
    assert_null(value.owner);
    assert_result(fb_exists(engine, FB_STR("last:1")), FB_MISS);
    assert_result(fb_ttl(engine, FB_STR("last:1"), &ttl_ms), FB_MISS);
    fb_close(engine, 1000);
}

static int change(void *arg, fb_edit *edit) {
    edit->action = *(fb_edit_action *)arg;
    edit->data = FB_STR("changed");
    return edit->action == FB_EDIT_KEEP ? FB_ETYPE : FB_OK;
}

static void test_keys__count_for_their_class(void **state) {
    (void)state;
    static const fb_invalidation all = {.scope = FB_SCOPE_ALL};
    static const fb_invalidation ways[] = {
        {.scope = FB_SCOPE_KEY, .name = FB_STR_INIT("item:1")},
        {.scope = FB_SCOPE_CLASS, .name = FB_STR_INIT("item")},
        {.scope = FB_SCOPE_PATTERN, .name = FB_STR_INIT("item:*")},
    };
    fb_engine *engine = rig_open(YAML);
    fb_edit_action put = FB_EDIT_PUT, drop = FB_EDIT_DELETE, refuse = FB_EDIT_KEEP;
    int64_t sum = 0;
    int shown = 0;
    assert_ok(fb_set(engine, FB_STR("item:1"), FB_STR("x"), NULL));
    assert_ok(fb_edit_key(engine, FB_STR("item:1"), change, &put));
    assert_ok(fb_edit_key(engine, FB_STR("item:1"), change, &drop));
    assert_ok(fb_edit_key(engine, FB_STR("item:1"), change, &drop));  // nothing there
    assert_result(fb_edit_key(engine, FB_STR("item:1"), change, &refuse), FB_ETYPE);
    assert_ok(fb_incr(engine, FB_STR("item:2"), 5, &sum));
    assert_ok(fb_incr(engine, FB_STR("item:2"), -7, &sum));
    assert_int_equal(sum, -2);
    assert_ok(fb_del(engine, FB_STR("item:2")));
    assert_result(fb_del(engine, FB_STR("item:2")), FB_MISS);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(fb_invalidate(engine, &ways[i], NULL));
    }
    assert_ok(fb_invalidate(engine, &all, NULL));
    assert_ok(fb_set(engine, FB_STR("item:3"), FB_STR("x"), NULL));
    assert_ok(fb_get(engine, FB_STR("item:3"), count_shown, &shown));
    assert_result(fb_get(engine, FB_STR("item:4"), count_shown, &shown), FB_MISS);
    fb_cache_figures figures = rig_figures(engine, "item");
    assert_int_equal(figures.sets, 5);
    assert_int_equal(figures.dels, 2);
    assert_int_equal(figures.invalidations, 3);
    assert_int_equal(figures.hits, 1);
    assert_int_equal(figures.misses, 1);
    assert_int_equal(rig_figures(engine, "").invalidations, 1);
    fb_stats_reset(engine);
    assert_int_equal(rig_figures(engine, "item").sets, 0);
    fb_close(engine, 1000);
}

// A sample of each class in each thread, whatever the order in which classes are read.
static void test_stats__time_a_sample_of_each_class(void **state) {
    (void)state;
    enum { ROUNDS = 160 };
    static const char *const classes[] = {"item", "soon", "last", ""};
    static const char *const keys[] = {"item:1", "soon:1", "last:1", "plain"};
    fb_engine *engine = rig_open(YAML);
    int shown = 0;
    for (int i = 0; i < 4; i++) {
        fb_set_options long_enough = {.ttl_ms = 3600000};
        assert_ok(fb_set(engine, fb_str_of(keys[i]), FB_STR("there"), &long_enough));
    }
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 4; k++) {
            assert_ok(fb_get(engine, fb_str_of(keys[k]), count_shown, &shown));
        }
    }
    for (int k = 0; k < 4; k++) {
        fb_cache_figures figures = rig_figures(engine, classes[k]);
        assert_int_equal(figures.hits, ROUNDS);
        assert_in_range(figures.hit.count, ROUNDS / 16, ROUNDS / 16 + 1);
        assert_true(figures.hit.p50_ms > 0 && figures.hit.p50_ms < 10);
        assert_true(figures.hit.p50_ms <= figures.hit.p99_ms &&
                    figures.hit.p99_ms <= figures.hit.max_ms);
    }
    fb_close(engine, 1000);
}

typedef struct got {
    int times;
    char text[40];
} got;

static void take(void *arg, const fb_value *value) {
    got *one = arg;
    one->times++;
    (void)snprintf(one->text, sizeof one->text, "%.*s", FB_STR_ARG(value->data));
}

static void test_get__many_are_as_one_by_one(void **state) {
    (void)state;
    enum { COUNT = 100 };
    fb_engine *engine = rig_open(YAML);
    char names[COUNT][16];
    fb_str keys[COUNT];
    got each[COUNT] = {{0}};
    void *args[COUNT];
    int results[COUNT];
    assert_result(fetch(engine, "item", "77"), FB_NEGATIVE);
    assert_ok(fetch(engine, "item", "1"));
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], i % 10 == 9 ? "none:%d" : "key:%d", i);
        keys[i] = i == 3 ? FB_STR("item:77") : i == 4 ? FB_STR("item:1") : fb_str_of(names[i]);
        args[i] = &each[i];
        if (i % 10 != 9 && i != 3 && i != 4) {
            assert_ok(fb_set(engine, keys[i], fb_str_of(names[i]), NULL));
        }
    }
    fb_cache_figures plain = rig_figures(engine, ""), item = rig_figures(engine, "item");
    fb_prefetch(engine, keys, COUNT);
    fb_get_many(engine, keys, COUNT, take, args, results);
    for (int i = 0; i < COUNT; i++) {
        assert_result(results[i], i % 10 == 9 ? FB_MISS : i == 3 ? FB_NEGATIVE : FB_OK);
        if (results[i] == FB_OK) {
            assert_string_equal(each[i].text, i == 4 ? "{\"kind\":\"a\",\"version\":0}" : names[i]);
        }
    }
    assert_int_equal(rig_figures(engine, "").hits, plain.hits + COUNT - 12);
    assert_int_equal(rig_figures(engine, "").misses, plain.misses + 10);
    assert_int_equal(rig_figures(engine, "item").hits, item.hits + 2);
    assert_int_equal(rig_figures(engine, "item").negative_hits, item.negative_hits + 1);
    fb_get_many(engine, keys, 0, take, args, results);
    fb_close(engine, 1000);
}

static void keep_key(void *arg, fb_str key) {
    (void)snprintf(arg, 64, "%.*s", FB_STR_ARG(key));
}

static void test_fetch__tells_its_key(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_param id = {FB_STR("id"), FB_STR("5")};
    fb_request request = {.class_name = FB_STR("soon"), .params = &id, .param_count = 1};
    char key[64] = "";
    fb_error error = {0};
    assert_ok(fb_fetch_key(engine, &request, keep_key, key, &error));
    assert_string_equal(key, "soon:5");
    request.param_count = 0;
    assert_result(fb_fetch_key(engine, &request, keep_key, key, &error), FB_EINVAL);
    request.class_name = FB_STR("nosuch");
    assert_result(fb_fetch_key(engine, &request, keep_key, key, NULL), FB_ENOCLASS);
    fb_close(engine, 1000);
}

static void test_explain__says_what_is_known(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_explanation told = rig_explain(engine, "item:1");
    assert_int_equal(told.tier, FB_TIER_NONE);
    assert_ok(fetch(engine, "item", "1"));
    told = rig_explain(engine, "item:1");
    assert_int_equal(told.tier, FB_TIER_MEMORY);
    assert_string_equal(told.class_name, "item");
    assert_int_equal(told.tag_count, 1);
    assert_string_equal(told.tags[0], "kind:a");
    assert_true(told.fresh_for_ms > 3500000 && told.load_cost_us > 0);
    fb_invalidation what = {.scope = FB_SCOPE_TAG, .name = FB_STR("kind:a")};
    assert_ok(fb_invalidate(engine, &what, NULL));
    int shown = 0;
    assert_result(fb_get(engine, FB_STR("item:1"), count_shown, &shown), FB_MISS);
    told = rig_explain(engine, "item:1");
    assert_int_equal(told.tier, FB_TIER_NONE);
    if (strstr(told.last_miss, "tag") == NULL) {
        fail_msg("%s", told.last_miss);
    }
    fb_close(engine, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_get__knows_what_a_class_knows_not_to_exist),
        rig_test(test_get__serves_what_is_stale_and_has_it_refreshed),
        rig_test(test_get__does_not_show_what_only_a_failure_may_show),
        rig_test(test_get__many_are_as_one_by_one),
        rig_test(test_fetch__tells_its_key),
        rig_test(test_keys__count_for_their_class),
        rig_test(test_stats__time_a_sample_of_each_class),
        rig_test(test_explain__says_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
