// Leases, versions, holds, tokens and fibers where there is no shared tier: on this node alone.

#include "engine_rig.h"

static const char *const YAML =
    "memory: 8MiB\n"
    "loops: 2\n"
    "workers: 2\n"
    "classes:\n"
    "  mine: {key: 'mine:{id}', ttl: 1h}\n";

static const fb_str KEY = FB_STR_INIT("aside:1");

static uint64_t lease(fb_engine *engine, fb_str key, int64_t lease_ms) {
    fb_value value;
    uint64_t token = 0;
    assert_result(fb_lease_get(engine, key, lease_ms, &value, &token), FB_MISS);
    assert_true(token != 0 && value.owner == NULL);
    return token;
}

static int lease_again(fb_engine *engine, fb_str key) {
    fb_value value;
    uint64_t token = 0;
    int result = fb_lease_get(engine, key, 0, &value, &token);
    fb_value_release(&value);
    return result;
}

static void assert_holds(fb_engine *engine, fb_str key, const char *text) {
    fb_value value;
    assert_ok(fb_get_copy(engine, key, &value));
    assert_str(value.data, text);
    fb_value_release(&value);
}

static void invalidate(fb_engine *engine, fb_scope scope, const char *name) {
    fb_invalidation what = {.scope = scope, .name = fb_str_of(name)};
    assert_ok(fb_invalidate(engine, &what, NULL));
}

static void test_lease__is_one_and_fills(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_value value;
    uint64_t other;
    uint64_t token = lease(engine, KEY, 0);
    assert_result(lease_again(engine, KEY), FB_PENDING);
    assert_result(fb_lease_fill(engine, KEY, token + 2, FB_STR("wrong"), NULL), FB_REFUSED);
    assert_ok(fb_lease_fill(engine, KEY, token, FB_STR("one"), NULL));
    assert_holds(engine, KEY, "one");
    assert_ok(fb_lease_get(engine, KEY, 0, &value, &other));
    assert_str(value.data, "one");
    fb_value_release(&value);
    assert_result(fb_lease_fill(engine, KEY, token, FB_STR("two"), NULL), FB_REFUSED);
    assert_holds(engine, KEY, "one");
    fb_close(engine, 1000);
}

static void test_lease__is_taken_away_by_what_overtakes_it(void **state) {
    (void)state;
    static const struct {
        fb_scope scope;
        const char *name;
    } cases[] = {
        {FB_SCOPE_KEY, "mine:1"},       {FB_SCOPE_PATTERN, "mi*"},     {FB_SCOPE_CLASS, "mine"},
        {FB_SCOPE_NAMESPACE, "default"}, {FB_SCOPE_ALL, ""},
    };
    fb_engine *engine = rig_open(YAML);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t token = lease(engine, FB_STR("mine:1"), 0);
        invalidate(engine, cases[i].scope, cases[i].name);
        assert_result(fb_lease_fill(engine, FB_STR("mine:1"), token, FB_STR("old"), NULL),
                      FB_REFUSED);
        assert_result(fb_exists(engine, FB_STR("mine:1")), FB_MISS);
    }
    uint64_t token = lease(engine, KEY, 0);
    assert_ok(fb_set(engine, KEY, FB_STR("set"), NULL));
    assert_result(fb_lease_fill(engine, KEY, token, FB_STR("old"), NULL), FB_REFUSED);
    assert_holds(engine, KEY, "set");
    fb_close(engine, 1000);
}

static void test_lease__ends_and_is_another_ones_then(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    uint64_t token = lease(engine, KEY, 1);
    rig_until(lease_again(engine, KEY) == FB_MISS);
    assert_result(fb_lease_fill(engine, KEY, token, FB_STR("late"), NULL), FB_REFUSED);
    fb_close(engine, 1000);
}

static void test_lease__keeps_tags_ttl_and_refuses_what_does_not_fit(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_str tag = FB_STR("t"), wrong = FB_STR("");
    fb_set_options options = {.ttl_ms = 60000, .tags = &tag, .tag_count = 1};
    fb_value value;
    uint64_t token;
    int64_t ttl_ms;
    assert_ok(fb_lease_fill(engine, KEY, lease(engine, KEY, 0), FB_STR("x"), &options));
    assert_ok(fb_ttl(engine, KEY, &ttl_ms));
    assert_true(ttl_ms > 50000 && ttl_ms <= 60000);
    invalidate(engine, FB_SCOPE_TAG, "t");
    assert_result(fb_exists(engine, KEY), FB_MISS);
    options.tags = &wrong;
    assert_result(fb_lease_fill(engine, KEY, lease(engine, KEY, 0), FB_STR("x"), &options),
                  FB_EINVAL);
    options = (fb_set_options){.ttl_ms = -1};
    assert_result(fb_lease_fill(engine, KEY, 1, FB_STR("x"), &options), FB_EINVAL);
    assert_result(fb_lease_get(engine, KEY, -1, &value, &token), FB_EINVAL);
    fb_close(engine, 1000);
}

static void keep_type(void *arg, const fb_value *value) {
    fb_str type = value->content_type;
    snprintf(arg, 64, "%.*s", (int)type.len, type.ptr);
}

static void test_lease__a_fill_has_a_media_type_as_any_value(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_str tag = FB_STR("t"), typed = FB_STR("\x02text/html");
    fb_set_options options = {.tags = &tag, .tag_count = 1, .content_type = FB_STR("text/plain")};
    char type[64] = "";
    assert_ok(fb_lease_fill(engine, KEY, lease(engine, KEY, 0), FB_STR("x"), &options));
    assert_ok(fb_get(engine, KEY, keep_type, type));
    assert_string_equal(type, "text/plain");
    invalidate(engine, FB_SCOPE_TAG, "t");
    assert_result(fb_exists(engine, KEY), FB_MISS);
    options = (fb_set_options){.tags = &typed, .tag_count = 1};  // nobody else's tags are types
    assert_result(fb_lease_fill(engine, KEY, lease(engine, KEY, 0), FB_STR("x"), &options), FB_EINVAL);
    assert_result(fb_set(engine, KEY, FB_STR("x"), &options), FB_EINVAL);
    assert_result(fb_exists(engine, KEY), FB_MISS);
    fb_close(engine, 1000);
}

// ---- versions and holds

static void test_set__of_an_older_source_version_is_refused(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_set_options options = {.source_version = 5};
    assert_ok(fb_set(engine, KEY, FB_STR("five"), &options));
    options.source_version = 4;
    assert_result(fb_set(engine, KEY, FB_STR("four"), &options), FB_REFUSED);
    assert_holds(engine, KEY, "five");
    options.source_version = 6;
    assert_ok(fb_set(engine, KEY, FB_STR("six"), &options));
    assert_ok(fb_set(engine, KEY, FB_STR("any"), NULL));  // without one nothing is compared
    assert_holds(engine, KEY, "any");
    fb_close(engine, 1000);
}

static void test_invalidate__fences_and_holds(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = KEY};
    fb_invalidate_options options = {.source_version = 9};
    fb_set_options set = {.source_version = 8};
    assert_ok(fb_invalidate_to(engine, &what, &options, NULL, NULL));
    assert_result(fb_set(engine, KEY, FB_STR("8"), &set), FB_REFUSED);
    set.source_version = 9;
    assert_ok(fb_set(engine, KEY, FB_STR("9"), &set));

    options = (fb_invalidate_options){.hold_ms = 3600 * 1000};
    uint64_t token;
    assert_ok(fb_invalidate_to(engine, &what, &options, NULL, NULL));
    token = lease(engine, KEY, 0);
    assert_result(fb_lease_fill(engine, KEY, token, FB_STR("held"), NULL), FB_REFUSED);
    invalidate(engine, FB_SCOPE_KEY, "aside:1");
    assert_ok(fb_lease_fill(engine, KEY, lease(engine, KEY, 0), FB_STR("free"), NULL));
    assert_holds(engine, KEY, "free");
    fb_close(engine, 1000);
}

static void test_invalidate__reaches_as_far_as_there_is_something(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = KEY};
    fb_invalidation all = {.scope = FB_SCOPE_ALL};
    fb_invalidate_options options = {.reach = FB_REACH_SHARED};
    fb_receipt receipt;
    int64_t removed;
    assert_ok(fb_set(engine, KEY, FB_STR("x"), NULL));
    assert_ok(fb_invalidate_to(engine, &what, &options, &removed, &receipt));
    assert_int_equal(receipt.reached, FB_REACH_LOCAL);
    assert_int_equal(removed, 1);
    assert_result(fb_exists(engine, KEY), FB_MISS);
    options.reach = FB_REACH_LOCAL;
    assert_ok(fb_invalidate_to(engine, &what, &options, &removed, &receipt));
    assert_string_equal(receipt.token, "");
    options = (fb_invalidate_options){.hold_ms = 1};
    assert_result(fb_invalidate_to(engine, &all, &options, NULL, NULL), FB_EINVAL);
    fb_close(engine, 1000);
}

// ---- tokens

static void test_token__is_checked(void **state) {
    (void)state;
    static const char *const wrong[] = {"x", "1:2", "1:2:", ":2:3", "1:2:3:4", "1:2:3 ", "1:2:0x3",
                                        "11111111111111111:1:1"};
    fb_engine *engine = rig_open(YAML);
    fb_value value;
    assert_ok(fb_set(engine, KEY, FB_STR("x"), NULL));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_result(fb_get_after(engine, KEY, fb_str_of(wrong[i]), &value), FB_EINVAL);
    }
    assert_ok(fb_get_after(engine, KEY, FB_STR("1f:ab:0"), &value));
    fb_value_release(&value);
    assert_ok(fb_get_after(engine, KEY, FB_STR(""), &value));
    fb_value_release(&value);
    fb_close(engine, 1000);
}

// ---- fibers, and how the shared tier stands: not at all

static void note_call(void *arg) {
    ++*(int *)arg;
}

static void count_one(void *arg, const char *name, const char *help, uint64_t value) {
    assert_true(name[0] != '\0' && help[0] != '\0' && value == 0);
    ++*(int *)arg;
}

static void test_shared__none_is_said_as_none(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_shared_info info;
    int calls = 0, counters = 0;
    assert_ok(fb_run(engine, note_call, &calls));
    assert_int_equal(calls, 1);
    fb_shared_info_read(engine, &info);
    assert_int_equal(info.state, FB_SHARED_NONE);
    assert_int_equal(info.lag_ms, -1);
    fb_shared_counters(engine, count_one, &counters);
    assert_true(counters > 10);
    fb_close(engine, 1000);
}

static int use_leases(void *arg) {
    fb_engine *engine = arg;
    fb_str tag = FB_STR("t");
    fb_set_options options = {.tags = &tag, .tag_count = 1, .source_version = 1};
    fb_value value;
    uint64_t token;
    int result = fb_lease_get(engine, KEY, 0, &value, &token);
    if (result == FB_MISS) {
        result = fb_lease_fill(engine, KEY, token, FB_STR("x"), &options);
    }
    fb_value_release(&value);
    if (result == FB_ENOMEM) {
        // A lease that could not be used is lost: the next one comes when something overtakes it.
        invalidate(engine, FB_SCOPE_KEY, "aside:1");
    }
    if (result == FB_OK) {
        result = fb_del(engine, KEY) >= 0 ? FB_OK : FB_ENOMEM;
    }
    return result;
}

static void test_lease__without_memory_nothing_is_left_over(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    for (int i = 0; i < 3; i++) {
        assert_ok(use_leases(engine));
    }
    for (size_t n = 1; n < 12; n++) {
        test_memory_fail(n);
        int result = use_leases(engine);
        test_memory_fail(0);
        assert_true(result == FB_OK || result == FB_ENOMEM);
        assert_ok(use_leases(engine));
    }
    fb_close(engine, 1000);
}

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        rig_test(test_lease__is_one_and_fills),
        rig_test(test_lease__is_taken_away_by_what_overtakes_it),
        rig_test(test_lease__ends_and_is_another_ones_then),
        rig_test(test_lease__keeps_tags_ttl_and_refuses_what_does_not_fit),
        rig_test(test_lease__a_fill_has_a_media_type_as_any_value),
        rig_test(test_set__of_an_older_source_version_is_refused),
        rig_test(test_invalidate__fences_and_holds),
        rig_test(test_invalidate__reaches_as_far_as_there_is_something),
        rig_test(test_token__is_checked),
        rig_test(test_shared__none_is_said_as_none),
        rig_test(test_lease__without_memory_nothing_is_left_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
