// Denials of the shared tier, remembered for a moment.

#include "limit/denials.h"
#include "support.h"

#define NOW_US INT64_C(5000000)

static fb_verdict denial(uint32_t cost, int64_t retry_us) {
    return (fb_verdict){.denied = true, .source = FB_LIMIT_BY_SHARED, .cost = cost, .limit = 10,
                        .remaining = 2, .window_us = 60000000, .retry_us = retry_us,
                        .reset_us = 30000000, .rule = "api", .message = "requests"};
}

static fb_limit_denials *make(uint32_t places) {
    fb_limit_denials *denials = NULL;
    assert_ok(fb_limit_denials_new(places, &denials));
    return denials;
}

static void test_denials__what_is_left_of_it_is_told(void **state) {
    fb_limit_denials *denials = make(64);
    fb_verdict put = denial(3, 400000), got;
    assert_false(fb_limit_denials_get(denials, 7, 3, NOW_US, &got));
    fb_limit_denials_put(denials, 7, &put, NOW_US);
    assert_true(fb_limit_denials_get(denials, 7, 5, NOW_US + 100000, &got));
    assert_true(got.denied);
    assert_false(got.allowed);
    assert_int_equal(got.source, FB_LIMIT_BY_REMEMBERED);
    assert_int_equal(got.cost, 5);
    assert_int_equal(got.limit, 10);
    assert_int_equal(got.remaining, 2);
    assert_int_equal(got.window_us, 60000000);
    assert_int_equal(got.retry_us, 300000);
    assert_int_equal(got.reset_us, 29900000);
    assert_string_equal(got.rule, "api");
    assert_string_equal(got.message, "requests");
    // A clock that is a little behind.
    assert_true(fb_limit_denials_get(denials, 7, 3, NOW_US - 10, &got));
    assert_int_equal(got.retry_us, 400000);
    fb_limit_denials_free(denials);
}

static void test_denials__a_lower_cost_and_an_impossible_one_are_asked_anew(void **state) {
    fb_limit_denials *denials = make(64);
    fb_verdict put = denial(3, 400000), got;
    fb_limit_denials_put(denials, 7, &put, NOW_US);
    assert_false(fb_limit_denials_get(denials, 7, 2, NOW_US, &got));
    assert_false(fb_limit_denials_get(denials, 7, 0, NOW_US, &got));
    assert_false(fb_limit_denials_get(denials, 7, 11, NOW_US, &got));
    assert_true(fb_limit_denials_get(denials, 7, 10, NOW_US, &got));
    fb_limit_denials_free(denials);
}

static void test_denials__it_lasts_as_long_as_the_wait_but_a_second_at_most(void **state) {
    fb_limit_denials *denials = make(64);
    fb_verdict put = denial(1, 400000), got;
    fb_limit_denials_put(denials, 7, &put, NOW_US);
    assert_true(fb_limit_denials_get(denials, 7, 1, NOW_US + 399999, &got));
    assert_int_equal(got.retry_us, 1);
    assert_false(fb_limit_denials_get(denials, 7, 1, NOW_US + 400000, &got));
    put.retry_us = 50000000;
    fb_limit_denials_put(denials, 7, &put, NOW_US);
    assert_true(fb_limit_denials_get(denials, 7, 1, NOW_US + FB_LIMIT_REMEMBER_US - 1, &got));
    assert_false(fb_limit_denials_get(denials, 7, 1, NOW_US + FB_LIMIT_REMEMBER_US, &got));
    fb_limit_denials_free(denials);
}

static void test_denials__what_is_no_matter_of_waiting_is_not_remembered(void **state) {
    fb_limit_denials *denials = make(64);
    fb_verdict put = denial(1, 400000), got;
    put.denied = false;
    fb_limit_denials_put(denials, 7, &put, NOW_US);
    put = denial(1, -1);
    fb_limit_denials_put(denials, 7, &put, NOW_US);
    put = denial(1, 400000);
    put.impossible = true;
    fb_limit_denials_put(denials, 7, &put, NOW_US);
    assert_false(fb_limit_denials_get(denials, 7, 1, NOW_US, &got));
    fb_limit_denials_free(denials);
}

static void test_denials__one_key_or_all_are_forgotten(void **state) {
    fb_limit_denials *denials = make(1000);
    fb_verdict put = denial(1, 400000), got;
    for (uint64_t i = 0; i < 100; i++) {
        fb_limit_denials_put(denials, i << 58 | i << 52, &put, NOW_US);
    }
    fb_limit_denials_put(denials, UINT64_MAX, &put, NOW_US);
    fb_limit_denials_forget(denials, 1);  // nobody's
    assert_true(fb_limit_denials_get(denials, UINT64_MAX, 1, NOW_US, &got));
    fb_limit_denials_forget(denials, UINT64_MAX);
    assert_false(fb_limit_denials_get(denials, UINT64_MAX, 1, NOW_US, &got));
    assert_true(fb_limit_denials_get(denials, UINT64_C(5) << 58 | UINT64_C(5) << 52, 1, NOW_US,
                                     &got));
    fb_limit_denials_forget(denials, 0);
    for (uint64_t i = 0; i < 100; i++) {
        assert_false(fb_limit_denials_get(denials, i << 58 | i << 52, 1, NOW_US, &got));
    }
    fb_limit_denials_free(denials);
}

// However many come: what is said of a key was said of it.
static void test_denials__random_puts_never_speak_for_another_key(void **state) {
    enum { KEYS = 500 };
    static fb_verdict last[KEYS];
    static int64_t at_us[KEYS];
    static bool known[KEYS];
    fb_rng rng = test_rng();
    fb_limit_denials *denials = make(97);
    int64_t now_us = NOW_US, remembered = 0;
    for (int i = 0; i < 100000; i++) {
        size_t key = (size_t)fb_rng_below(&rng, KEYS);
        uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);
        fb_verdict got;
        now_us += (int64_t)fb_rng_below(&rng, 5000);
        uint32_t cost = (uint32_t)fb_rng_below(&rng, 12);
        switch (fb_rng_below(&rng, 20)) {
        case 0:
            fb_limit_denials_forget(denials, hash + (hash == 0));
            known[key] = false;
            break;
        case 1: case 2: case 3: case 4: case 5:
            last[key] = denial(cost, 1 + (int64_t)fb_rng_below(&rng, 2000000));
            last[key].remaining = (uint32_t)key;
            at_us[key] = now_us;
            known[key] = true;
            fb_limit_denials_put(denials, hash, &last[key], now_us);
            break;
        default:
            if (fb_limit_denials_get(denials, hash, cost, now_us, &got)) {
                assert_true(known[key]);
                assert_int_equal(got.remaining, key);
                assert_true(cost >= last[key].cost && cost <= last[key].limit);
                assert_true(now_us - at_us[key] < FB_LIMIT_REMEMBER_US);
                assert_int_equal(got.retry_us, last[key].retry_us - (now_us - at_us[key]));
                assert_true(got.retry_us >= 1);
                remembered++;
            }
        }
    }
    assert_true(remembered > 100);
    fb_limit_denials_free(denials);
}

static int sweep(void *arg) {
    fb_limit_denials *denials = NULL;
    int result = fb_limit_denials_new(10, &denials);
    assert_int_equal(result == FB_OK, denials != NULL);
    fb_limit_denials_free(denials);
    return result;
}

static void test_denials__without_memory_there_are_none(void **state) {
    assert_int_equal(test_memory_sweep(sweep, NULL), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_denials__what_is_left_of_it_is_told),
        cmocka_unit_test(test_denials__a_lower_cost_and_an_impossible_one_are_asked_anew),
        cmocka_unit_test(test_denials__it_lasts_as_long_as_the_wait_but_a_second_at_most),
        cmocka_unit_test(test_denials__what_is_no_matter_of_waiting_is_not_remembered),
        cmocka_unit_test(test_denials__one_key_or_all_are_forgotten),
        cmocka_unit_test(test_denials__random_puts_never_speak_for_another_key),
        cmocka_unit_test(test_denials__without_memory_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
