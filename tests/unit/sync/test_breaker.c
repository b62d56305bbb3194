// The breaker: when it opens, and that it never stays open.

#include "base/units.h"
#include "support.h"
#include "sync/breaker.h"

#define MS(ms) ((int64_t)(ms)*FB_NS_PER_MS)

static fb_breaker new_breaker(void) {
    fb_breaker breaker;
    fb_breaker_init(&breaker, MS(50), 3);
    return breaker;
}

// `count` calls, one each `gap_ms`, that end as said; the time after the last.
static int64_t calls(fb_breaker *breaker, int count, bool failed, int64_t took_ms, int64_t gap_ms,
                     int64_t now_ns) {
    for (int i = 0; i < count; i++) {
        now_ns += MS(gap_ms);
        (void)fb_breaker_ended(breaker, failed, MS(took_ms), now_ns);
    }
    return now_ns;
}

static void test_breaker__opens_where_half_of_twenty_calls_fail(void **state) {
    fb_breaker breaker = new_breaker();
    int64_t now_ns = calls(&breaker, 10, false, 1, 10, MS(1000));
    now_ns = calls(&breaker, 9, true, 1, 10, now_ns);
    assert_int_equal(breaker.state, FB_BREAKER_CLOSED);
    assert_true(fb_breaker_ended(&breaker, true, MS(1), now_ns));
    assert_int_equal(breaker.state, FB_BREAKER_OPEN);
    assert_false(fb_breaker_allows(&breaker, now_ns));
}

static void test_breaker__few_failures_among_many_calls_do_no_harm(void **state) {
    fb_breaker breaker = new_breaker();
    int64_t now_ns = MS(1000);
    for (int i = 0; i < 300; i++) {
        now_ns = calls(&breaker, 3, false, 1, 5, now_ns);
        now_ns = calls(&breaker, 2, true, 1, 5, now_ns);
    }
    assert_int_equal(breaker.state, FB_BREAKER_CLOSED);
}

static void test_breaker__failures_of_long_ago_do_not_count(void **state) {
    fb_breaker breaker = new_breaker();
    int64_t now_ns = calls(&breaker, 19, true, 1, 10, MS(1000));
    now_ns += MS(6000);
    now_ns = calls(&breaker, 19, true, 1, 10, now_ns);
    assert_int_equal(breaker.state, FB_BREAKER_CLOSED);
    assert_true(fb_breaker_ended(&breaker, true, MS(1), now_ns));
}

static void test_breaker__opens_where_answers_are_slow_for_three_seconds(void **state) {
    fb_breaker breaker = new_breaker();
    int64_t now_ns = MS(1000);
    int64_t since_ns = now_ns;
    while (breaker.state == FB_BREAKER_CLOSED && now_ns < MS(20000)) {
        now_ns = calls(&breaker, 9, false, 1, 10, now_ns);
        now_ns = calls(&breaker, 1, false, 60, 10, now_ns);
    }
    assert_int_equal(breaker.state, FB_BREAKER_OPEN);
    assert_in_range(now_ns - since_ns, MS(3000), MS(3300));
}

static void test_breaker__single_slow_answer_does_no_harm(void **state) {
    fb_breaker breaker = new_breaker();
    int64_t now_ns = calls(&breaker, 30, false, 1, 10, MS(1000));
    now_ns = calls(&breaker, 1, false, 900, 10, now_ns);
    now_ns = calls(&breaker, 500, false, 1, 10, now_ns);
    assert_int_equal(breaker.state, FB_BREAKER_CLOSED);
}

static void test_breaker__probe_that_succeeds_closes_it(void **state) {
    fb_breaker breaker = new_breaker();
    int64_t now_ns = calls(&breaker, 20, true, 1, 10, MS(1000));
    int64_t due_ns = fb_breaker_due(&breaker);
    assert_in_range(due_ns - now_ns, MS(400), MS(600));
    assert_false(fb_breaker_allows(&breaker, due_ns - 1));
    assert_true(fb_breaker_allows(&breaker, due_ns));
    assert_int_equal(breaker.state, FB_BREAKER_HALF_OPEN);
    assert_false(fb_breaker_allows(&breaker, due_ns));  // one at a time
    assert_true(fb_breaker_ended(&breaker, false, MS(1), due_ns));
    assert_int_equal(breaker.state, FB_BREAKER_CLOSED);
    // What was before is forgotten.
    assert_false(fb_breaker_ended(&breaker, true, MS(1), due_ns));
}

static void test_breaker__pauses_double_up_to_ten_seconds(void **state) {
    fb_breaker breaker = new_breaker();
    int64_t now_ns = calls(&breaker, 20, true, 1, 10, MS(1000));
    int64_t expected_ms = 500;
    for (int i = 0; i < 12; i++) {
        int64_t pause_ns = fb_breaker_due(&breaker) - now_ns;
        assert_in_range(pause_ns, MS(expected_ms) * 8 / 10, MS(expected_ms) * 12 / 10);
        now_ns = fb_breaker_due(&breaker);
        assert_true(fb_breaker_allows(&breaker, now_ns));
        assert_true(fb_breaker_ended(&breaker, true, MS(1), now_ns));
        expected_ms = expected_ms * 2 > 10000 ? 10000 : expected_ms * 2;
    }
}

static void test_breaker__follows_the_link(void **state) {
    fb_breaker breaker = new_breaker();
    assert_true(fb_breaker_link(&breaker, false, MS(1000)));
    assert_true(fb_breaker_due(&breaker) == INT64_MAX);
    assert_false(fb_breaker_allows(&breaker, MS(100000)));
    assert_false(fb_breaker_link(&breaker, true, MS(100000)));
    assert_true(fb_breaker_due(&breaker) == MS(100000));
    assert_true(fb_breaker_allows(&breaker, MS(100000)));
    assert_true(fb_breaker_link(&breaker, false, MS(100001)));  // while the probe is on its way
    assert_false(fb_breaker_ended(&breaker, true, MS(1), MS(100002)));
    assert_int_equal(breaker.state, FB_BREAKER_OPEN);
}

// Whatever happens: as long as the link is up, there is always a time at which something may go.
static void test_breaker__never_stays_open_for_good(void **state) {
    fb_rng rng = test_rng();
    for (int i = 0; i < 200; i++) {
        fb_breaker breaker;
        int64_t now_ns = MS(1000);
        bool up = true;
        fb_breaker_init(&breaker, MS(50), fb_rng_next(&rng));
        for (int step = 0; step < 300; step++) {
            now_ns += (int64_t)fb_rng_below(&rng, (uint64_t)MS(400));
            if (fb_rng_below(&rng, 40) == 0) {
                up = !up;
                (void)fb_breaker_link(&breaker, up, now_ns);
            } else if (fb_breaker_allows(&breaker, now_ns)) {
                assert_true(up || breaker.state != FB_BREAKER_CLOSED);
                (void)fb_breaker_ended(&breaker, fb_rng_below(&rng, 2) == 0,
                                       (int64_t)fb_rng_below(&rng, (uint64_t)MS(100)), now_ns);
            }
        }
        if (!up) {
            (void)fb_breaker_link(&breaker, true, now_ns);
        }
        if (breaker.state == FB_BREAKER_OPEN) {
            assert_true(fb_breaker_due(&breaker) <= now_ns + MS(12000));
            assert_true(fb_breaker_allows(&breaker, now_ns + MS(12000)));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker__opens_where_half_of_twenty_calls_fail),
        cmocka_unit_test(test_breaker__few_failures_among_many_calls_do_no_harm),
        cmocka_unit_test(test_breaker__failures_of_long_ago_do_not_count),
        cmocka_unit_test(test_breaker__opens_where_answers_are_slow_for_three_seconds),
        cmocka_unit_test(test_breaker__single_slow_answer_does_no_harm),
        cmocka_unit_test(test_breaker__probe_that_succeeds_closes_it),
        cmocka_unit_test(test_breaker__pauses_double_up_to_ten_seconds),
        cmocka_unit_test(test_breaker__follows_the_link),
        cmocka_unit_test(test_breaker__never_stays_open_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
