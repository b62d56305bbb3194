// Decisions: random programs against an exact log, and what people do to limits.

#include "support.h"

#include "limit_rig.h"

#define S_US INT64_C(1000000)
#define HOUR_US (3600 * S_US)
#define START_US INT64_C(1700000000000000)

enum { PROGRAMS = 1500 };

static fb_limit_plan plan_of(int algorithm, uint32_t limit, int64_t window_us) {
    fb_limit_options options = {.enabled = true, .algorithm = algorithm, .limit = limit,
                                .window_ns = window_us * FB_NS_PER_US, .parts = 16};
    fb_limit_plan plan;

    fb_limit_plan_make(&plan, &options, NULL, 0);
    return plan;
}

static bool ask(const fb_limit_plan *plan, fb_limit_state *state, fb_limit_act act, uint32_t cost,
                int64_t now_us) {
    fb_limit_step step = limit_step(plan, act, cost, now_us);

    return fb_limit_decide(plan, &step, state);
}

static fb_verdict verdict_of(const fb_limit_plan *plan, const fb_limit_state *state, uint32_t cost,
                             int64_t now_us) {
    fb_limit_step step = limit_step(plan, FB_LIMIT_LOOK, cost, now_us);
    fb_limit_state copy = *state;
    fb_verdict verdict = {0};
    bool allowed = fb_limit_decide(plan, &step, &copy);

    fb_limit_explain(plan, &step, &copy, allowed, &verdict);
    return verdict;
}

static void test_decide__random_programs_as_the_log_says(void **state) {
    static limit_rig rig;

    for (uint64_t i = 0; i < PROGRAMS; i++) {
        assert_true(limit_run(&rig, test_seed() + i));
    }
}

// Every microsecond counts: the ring is the log where a tick is one.
static void test_decide__ring_is_exact_to_the_microsecond(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 2, S_US);
    fb_limit_state s = {0};

    assert_int_equal(plan.tick_us, 1);
    assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US));
    assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US + 7));
    assert_false(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US + S_US - 1));
    assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US + S_US));
    assert_false(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US + S_US + 6));
    assert_int_equal(verdict_of(&plan, &s, 1, START_US + S_US + 6).retry_us, 1);
    assert_int_equal(verdict_of(&plan, &s, 2, START_US + S_US + 6).retry_us, S_US - 6);
    assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US + S_US + 7));
}

// All that the limit allows at the end of one window, and again at the beginning of the next.
static void test_decide__edge_attack_gets_the_limit_and_no_more(void **state) {
    static const uint32_t limits[] = {10, 64, 100, 1000};
    const int64_t window_us = 60 * S_US;

    for (size_t i = 0; i < 4; i++) {
        fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, limits[i], window_us);
        fb_limit_state s = {0};
        uint32_t admitted = 0;
        int64_t edge_us = START_US - START_US % window_us + window_us;
        for (int64_t t = edge_us - 100; t < edge_us + 100; t++) {
            for (uint32_t n = 0; n < limits[i]; n += 5) {
                admitted += ask(&plan, &s, FB_LIMIT_TAKE, 5, t) ? 5 : 0;
            }
        }
        assert_int_equal(admitted, limits[i] / 5 * 5);
    }
}

typedef struct overload {
    int64_t gap_us;   // between bursts
    uint32_t burst;   // questions at once
} overload;

// What gets through, of the limit, in each window.
static double admitted_share(const fb_limit_plan *plan, const overload *load) {
    const int64_t windows = 40;
    fb_limit_state s = {0};
    uint64_t admitted = 0;

    for (int64_t t = 0; t < windows * plan->window_us; t += load->gap_us) {
        for (uint32_t i = 0; i < load->burst; i++) {
            admitted += ask(plan, &s, FB_LIMIT_TAKE, 1, START_US + t);
        }
    }
    return (double)admitted / ((double)windows * plan->limit);
}

static void test_decide__overload_lets_the_limit_through(void **state) {
    static const struct {
        int algorithm;
        uint32_t limit;
    } rules[] = {{FB_LIMIT_SLIDING, 10}, {FB_LIMIT_SLIDING, 64}, {FB_LIMIT_SLIDING, 100},
                 {FB_LIMIT_SLIDING, 1000}, {FB_LIMIT_TOKEN, 100}, {FB_LIMIT_FIXED, 100}};

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        fb_limit_plan plan = plan_of(rules[i].algorithm, rules[i].limit, 60 * S_US);
        const overload loads[] = {{plan.window_us / (2 * plan.limit), 1},
                                  {plan.window_us / (10 * plan.limit), 1},
                                  {plan.window_us / 1000, plan.limit / 5}};
        for (size_t j = 0; j < 3; j++) {
            double share = admitted_share(&plan, &loads[j]);
            if (share < 0.94) {
                fail_msg("%s, limit %u, load %zu: %.3f", plan.tag, plan.limit, j, share);
            }
        }
    }
}

static void test_decide__a_clock_that_steps_locks_nobody_out(void **state) {
    static const int64_t steps_us[] = {-HOUR_US, HOUR_US};
    static const struct {
        int algorithm;
        uint32_t limit;
    } rules[] = {{FB_LIMIT_SLIDING, 10}, {FB_LIMIT_SLIDING, 1000}, {FB_LIMIT_TOKEN, 7},
                 {FB_LIMIT_FIXED, 100}};

    for (size_t i = 0; i < 8; i++) {
        fb_limit_plan plan = plan_of(rules[i / 2].algorithm, rules[i / 2].limit, 60 * S_US);
        fb_limit_state s = {0};
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, plan.limit, START_US));
        int64_t now_us = START_US + steps_us[i % 2];
        // Set back, it is still used up; but not for longer than it would have been.
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, now_us) == (steps_us[i % 2] > 0));
        fb_verdict verdict = verdict_of(&plan, &s, plan.limit, now_us);
        assert_true(verdict.retry_us > 0 && verdict.retry_us <= limit_longest_us(&plan));
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, plan.limit, now_us + verdict.retry_us));
    }
}

static void test_decide__a_denial_leaves_every_byte(void **state) {
    static const int algorithms[] = {FB_LIMIT_SLIDING, FB_LIMIT_TOKEN, FB_LIMIT_FIXED};

    for (size_t i = 0; i < 6; i++) {
        fb_limit_plan plan = plan_of(algorithms[i % 3], i < 3 ? 10 : 1000, 60 * S_US);
        fb_limit_state s = {0};
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, plan.limit - 1, START_US));
        fb_limit_state before = s;
        assert_false(ask(&plan, &s, FB_LIMIT_TAKE, 2, START_US + 1));
        assert_false(ask(&plan, &s, FB_LIMIT_LOOK, 2, START_US + 1));
        assert_true(ask(&plan, &s, FB_LIMIT_LOOK, 1, START_US + 1));
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 0, START_US + 1));
        assert_int_equal(before.len, s.len);
        assert_memory_equal(before.bytes, s.bytes, s.len);
    }
}

// Nobody signs in while he goes on trying; what cannot pass is no try.
static void test_decide__charged_denials_keep_one_out(void **state) {
    static const int algorithms[] = {FB_LIMIT_SLIDING, FB_LIMIT_TOKEN};

    for (size_t i = 0; i < 4; i++) {
        fb_limit_plan plan = plan_of(algorithms[i % 2], i < 2 ? 5 : 100, 300 * S_US);
        fb_limit_state s = {0};
        plan.charge_denied = true;
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, plan.limit, START_US));
        int64_t now_us = START_US;
        for (int n = 0; n < 1000; n++) {
            now_us += S_US;
            assert_false(ask(&plan, &s, FB_LIMIT_TAKE, plan.limit, now_us));
        }
        // The clock aside, nothing grows by it, and a pause of one window is enough.
        fb_limit_state before = s;
        assert_false(ask(&plan, &s, FB_LIMIT_TAKE, plan.limit + 1, now_us));
        assert_false(ask(&plan, &s, FB_LIMIT_TAKE, FB_LIMIT_COST_MAX, now_us));
        assert_memory_equal(before.bytes, s.bytes, s.len);
        fb_verdict verdict = verdict_of(&plan, &s, plan.limit + 1, now_us);
        assert_true(verdict.impossible && verdict.retry_us == -1);
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, plan.limit, now_us + limit_longest_us(&plan)));
    }
}

static void test_decide__a_refund_gives_the_oldest_back(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 3, S_US);
    fb_limit_state s = {0};

    assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US));
    assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US + 100));
    assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, START_US + 200));
    assert_true(ask(&plan, &s, FB_LIMIT_GIVE, 1, START_US + 300));
    assert_int_equal(verdict_of(&plan, &s, 1, START_US + 300).remaining, 1);
    assert_int_equal(verdict_of(&plan, &s, 3, START_US + 300).retry_us, S_US - 100);
    // More than there is: nothing is left, and no more than the limit is there.
    assert_true(ask(&plan, &s, FB_LIMIT_GIVE, FB_LIMIT_COST_MAX, START_US + 300));
    assert_int_equal(s.len, 0);
    assert_int_equal(verdict_of(&plan, &s, 1, START_US + 300).remaining, 3);
}

// A limit that changes keeps what was used.
static void test_decide__another_limit_keeps_the_state(void **state) {
    fb_limit_plan large = plan_of(FB_LIMIT_SLIDING, 50, 60 * S_US);
    fb_limit_plan small = plan_of(FB_LIMIT_SLIDING, 5, 60 * S_US);
    fb_limit_state s = {0};

    assert_string_equal(large.tag, small.tag);
    for (int i = 0; i < 50; i++) {
        assert_true(ask(&large, &s, FB_LIMIT_TAKE, 1, START_US + i * S_US));
    }
    fb_verdict verdict = verdict_of(&small, &s, 1, START_US + 50 * S_US);
    assert_true(verdict.denied && verdict.remaining == 0);
    // 46 of them must leave first.
    int64_t first_us = START_US + 45 * S_US + 60 * S_US;
    assert_false(ask(&small, &s, FB_LIMIT_TAKE, 1, first_us - 10));
    assert_true(ask(&small, &s, FB_LIMIT_TAKE, 1, first_us + small.tick_us));
    assert_true(ask(&large, &s, FB_LIMIT_TAKE, 45, first_us + small.tick_us));
}

static void test_decide__a_bucket_never_rounds(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_TOKEN, 3, S_US);
    fb_limit_state s = {0};

    // 333,333 1/3 µs each: after three seconds of taking each as soon as it is there, none is lost.
    assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 3, START_US));
    int64_t now_us = START_US;
    for (int i = 0; i < 9; i++) {
        fb_verdict verdict = verdict_of(&plan, &s, 1, now_us);
        assert_true(verdict.retry_us == 333333 || verdict.retry_us == 333334);
        now_us += verdict.retry_us;
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, 1, now_us));
    }
    assert_int_equal(now_us, START_US + 3 * S_US);
}

static void put64(fb_limit_state *s, uint64_t number) {
    for (int i = 0; i < 8; i++) {
        s->bytes[i] = (unsigned char)(number >> (8 * i));
    }
}

static void put32(fb_limit_state *s, size_t at, uint32_t number) {
    for (size_t i = 0; i < 4; i++) {
        s->bytes[at + i] = (unsigned char)(number >> (8 * i));
    }
}

// The bytes as limit/plan.h describes them.
static void test_decide__bytes_are_as_described(void **state) {
    fb_limit_plan ring = plan_of(FB_LIMIT_SLIDING, 4, S_US);
    fb_limit_plan parts = plan_of(FB_LIMIT_SLIDING, 100, 16 * S_US);
    fb_limit_plan token = plan_of(FB_LIMIT_TOKEN, 3, S_US);
    fb_limit_plan fixed = plan_of(FB_LIMIT_FIXED, 4, S_US);
    fb_limit_state s = {0}, expected = {0};

    assert_string_equal(ring.tag, "r1000000.1");
    assert_true(ask(&ring, &s, FB_LIMIT_TAKE, 1, START_US));
    assert_true(ask(&ring, &s, FB_LIMIT_TAKE, 2, START_US + 1000));
    put64(&expected, START_US + 1000);
    put32(&expected, 8, 0);
    put32(&expected, 12, 1000);
    assert_int_equal(s.len, 16);
    assert_memory_equal(s.bytes, expected.bytes, s.len);

    s.len = 0;
    memset(&expected, 0, sizeof(expected));
    assert_string_equal(parts.tag, "p1000000.16");
    assert_true(ask(&parts, &s, FB_LIMIT_TAKE, 7, START_US));
    assert_true(ask(&parts, &s, FB_LIMIT_TAKE, 2, START_US + 2 * S_US));
    put64(&expected, START_US / S_US + 2);
    put32(&expected, 8, 2);
    put32(&expected, 16, 7);
    assert_int_equal(s.len, 8 + 4 * 17);
    assert_memory_equal(s.bytes, expected.bytes, s.len);

    s.len = 0;
    assert_string_equal(token.tag, "t");
    assert_true(ask(&token, &s, FB_LIMIT_TAKE, 2, START_US));
    put64(&expected, START_US + 666666);
    put32(&expected, 8, 2);
    assert_int_equal(s.len, 12);
    assert_memory_equal(s.bytes, expected.bytes, s.len);

    s.len = 0;
    assert_string_equal(fixed.tag, "f1000000");
    assert_true(ask(&fixed, &s, FB_LIMIT_TAKE, 2, START_US + 5));
    put64(&expected, START_US);
    put32(&expected, 8, 2);
    assert_int_equal(s.len, 12);
    assert_memory_equal(s.bytes, expected.bytes, s.len);
}

static void test_decide__bytes_that_are_no_state_are_none(void **state) {
    fb_limit_plan ring = plan_of(FB_LIMIT_SLIDING, 2, S_US);
    fb_limit_plan others[] = {plan_of(FB_LIMIT_SLIDING, 100, S_US), plan_of(FB_LIMIT_TOKEN, 3, S_US),
                              plan_of(FB_LIMIT_FIXED, 3, S_US)};
    fb_limit_state s = {.len = 16};

    // Descending, and older than the window.
    put64(&s, START_US);
    put32(&s, 8, 5);
    put32(&s, 12, 4);
    assert_true(ask(&ring, &s, FB_LIMIT_LOOK, 2, START_US));
    assert_int_equal(s.len, 0);
    s.len = 12;
    put32(&s, 8, 1000000);
    assert_true(ask(&ring, &s, FB_LIMIT_LOOK, 2, START_US));
    s.len = 12;
    put32(&s, 8, 999999);
    assert_false(ask(&ring, &s, FB_LIMIT_LOOK, 2, START_US));
    // Lengths, and times that are none.
    for (size_t i = 0; i < 3; i++) {
        for (uint16_t len = 1; len <= FB_LIMIT_STATE_MAX; len++) {
            memset(&s, 0xff, sizeof(s));
            s.len = len;
            assert_true(ask(&others[i], &s, FB_LIMIT_LOOK, others[i].limit, START_US));
            assert_int_equal(s.len, 0);
        }
    }
    for (uint16_t len = 1; len <= FB_LIMIT_STATE_MAX; len++) {
        memset(&s, 0xff, sizeof(s));
        s.len = len;
        assert_true(ask(&ring, &s, FB_LIMIT_LOOK, 2, START_US));
        assert_int_equal(s.len, 0);
    }
}

// The largest numbers there are stay below 2^53, and are right.
static void test_decide__the_largest_numbers(void **state) {
    const int64_t year_us = INT64_C(366) * 24 * HOUR_US, late_us = INT64_C(1) << 52;
    static const int algorithms[] = {FB_LIMIT_SLIDING, FB_LIMIT_TOKEN, FB_LIMIT_FIXED};

    for (size_t i = 0; i < 3; i++) {
        fb_limit_plan plan = plan_of(algorithms[i], INT32_MAX, year_us);
        fb_limit_state s = {0};
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, INT32_MAX, late_us));
        fb_verdict verdict = verdict_of(&plan, &s, 1, late_us);
        assert_true(verdict.denied && verdict.remaining == 0);
        assert_true(verdict.retry_us > 0 && verdict.retry_us <= limit_longest_us(&plan));
        assert_true(fb_limit_until_us(&plan, &s) < INT64_C(1) << 53);
        assert_true(ask(&plan, &s, FB_LIMIT_TAKE, INT32_MAX, late_us + limit_longest_us(&plan)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decide__random_programs_as_the_log_says),
        cmocka_unit_test(test_decide__ring_is_exact_to_the_microsecond),
        cmocka_unit_test(test_decide__edge_attack_gets_the_limit_and_no_more),
        cmocka_unit_test(test_decide__overload_lets_the_limit_through),
        cmocka_unit_test(test_decide__a_clock_that_steps_locks_nobody_out),
        cmocka_unit_test(test_decide__a_denial_leaves_every_byte),
        cmocka_unit_test(test_decide__charged_denials_keep_one_out),
        cmocka_unit_test(test_decide__a_refund_gives_the_oldest_back),
        cmocka_unit_test(test_decide__another_limit_keeps_the_state),
        cmocka_unit_test(test_decide__a_bucket_never_rounds),
        cmocka_unit_test(test_decide__bytes_are_as_described),
        cmocka_unit_test(test_decide__bytes_that_are_no_state_are_none),
        cmocka_unit_test(test_decide__the_largest_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
