// Overrides that a process knows: they end by themselves, and there are no more than there is room for.

#include "limit/overrides.h"

#include "support.h"

static const fb_limit_override allow = {.kind = FB_LIMIT_OVERRIDE_ALLOW};
static const fb_limit_override limit = {.kind = FB_LIMIT_OVERRIDE_LIMIT, .limit = 9};

static fb_limit_overrides *new_overrides(uint32_t keys_max) {
    fb_limit_overrides *overrides = NULL;
    assert_ok(fb_limit_overrides_new(keys_max, &overrides));
    return overrides;
}

static void test_limit_overrides__hold_until_they_end(void **state) {
    fb_limit_overrides *overrides = new_overrides(100);
    fb_limit_override found = {.limit = 1};
    (void)state;
    assert_false(fb_limit_overrides_get(overrides, 5, 0, &found));
    assert_ok(fb_limit_overrides_put(overrides, 5, &limit, 100, 0));
    assert_true(fb_limit_overrides_get(overrides, 5, 99, &found));
    assert_true(found.kind == FB_LIMIT_OVERRIDE_LIMIT && found.limit == 9);
    assert_false(fb_limit_overrides_get(overrides, 5 + 16, 99, &found));
    assert_ok(fb_limit_overrides_put(overrides, 5, &allow, 200, 50));
    assert_true(fb_limit_overrides_get(overrides, 5, 150, &found));
    assert_int_equal(found.kind, FB_LIMIT_OVERRIDE_ALLOW);
    assert_false(fb_limit_overrides_get(overrides, 5, 200, &found));
    assert_ok(fb_limit_overrides_put(overrides, 5, &allow, 400, 300));
    fb_limit_overrides_forget(overrides, 5);
    fb_limit_overrides_forget(overrides, 6);
    assert_false(fb_limit_overrides_get(overrides, 5, 301, &found));
    fb_limit_overrides_free(overrides);
}

static void test_limit_overrides__are_bounded_and_the_ended_make_room(void **state) {
    fb_limit_overrides *overrides = new_overrides(16);
    fb_limit_override found;
    int put = 0;
    (void)state;
    for (uint64_t i = 0; i < 40; i++) {
        int result = fb_limit_overrides_put(overrides, i * 16, &limit, 10, 0);
        assert_true(result == FB_OK || result == FB_EOVERLOAD);
        put += result == FB_OK;
    }
    assert_int_equal(put, 2);
    assert_ok(fb_limit_overrides_put(overrides, 39 * 16, &limit, 30, 20));
    assert_true(fb_limit_overrides_get(overrides, 39 * 16, 21, &found));
    assert_false(fb_limit_overrides_get(overrides, 0, 21, &found));
    fb_limit_overrides_free(overrides);
}

static int fill(void *arg) {
    fb_limit_overrides *overrides = NULL;
    fb_limit_override found;
    (void)arg;
    int result = fb_limit_overrides_new(100, &overrides);
    for (uint64_t i = 0; i < 20 && result == FB_OK; i++) {
        result = fb_limit_overrides_put(overrides, i, &limit, 10, 0);
        assert_true((result == FB_OK) == fb_limit_overrides_get(overrides, i, 5, &found));
    }
    fb_limit_overrides_free(overrides);
    return result;
}

static void test_limit_overrides__need_memory(void **state) {
    (void)state;
    assert_true(test_memory_sweep(fill, NULL) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_overrides__hold_until_they_end),
        cmocka_unit_test(test_limit_overrides__are_bounded_and_the_ended_make_room),
        cmocka_unit_test(test_limit_overrides__need_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
