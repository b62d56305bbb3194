// Rules, tiers, overrides, divisions, chunks and throttles as numbers; overrides as bytes.

#include "support.h"

#include "limit_rig.h"

#include "limit/port.h"

#define S_US INT64_C(1000000)
#define START_US INT64_C(1700000000000000)

static fb_limit_options rule(int algorithm, uint32_t limit, int64_t window_us) {
    return (fb_limit_options){.enabled = true, .algorithm = algorithm, .limit = limit,
                              .window_ns = window_us * FB_NS_PER_US, .parts = 16};
}

static fb_limit_plan plan_of(const fb_limit_options *options) {
    fb_limit_plan plan;

    fb_limit_plan_make(&plan, options, NULL, 0);
    return plan;
}

static void test_plan__forms_by_algorithm_and_limit(void **state) {
    fb_limit_options options = rule(FB_LIMIT_SLIDING, 64, 60 * S_US);

    fb_limit_plan plan = plan_of(&options);
    assert_int_equal(plan.form, FB_LIMIT_FORM_RING);
    assert_int_equal(plan.tick_us, 1);
    assert_int_equal(plan.window_ticks, 60000000);
    options.limit = 65;
    plan = plan_of(&options);
    assert_int_equal(plan.form, FB_LIMIT_FORM_PARTS);
    assert_int_equal(plan.part_us, 3750000);
    assert_string_equal(plan.tag, "p3750000.16");
    options.algorithm = FB_LIMIT_TOKEN;
    options.burst = 130;
    plan = plan_of(&options);
    assert_int_equal(plan.form, FB_LIMIT_FORM_TOKEN);
    assert_int_equal(plan.limit, 130);
    assert_int_equal(plan.rate, 65);
    assert_int_equal(plan.full_us, 120 * S_US);
    assert_int_equal(plan.keep_us, 120 * S_US + 1);
    options.algorithm = FB_LIMIT_SLOTS;
    assert_int_equal(plan_of(&options).form, FB_LIMIT_FORM_SLOTS);
}

static void test_plan__ticks_are_never_more_than_an_offset_can_say(void **state) {
    static const int64_t windows_us[] = {1000, 60000000, 4294967294, 4294967295, 31622400000000};

    for (size_t i = 0; i < 5; i++) {
        fb_limit_options options = rule(FB_LIMIT_SLIDING, 10, windows_us[i]);
        fb_limit_plan plan = plan_of(&options);
        assert_true(plan.tick_us == 1 || windows_us[i] > 4294967294);
        assert_true(plan.window_ticks <= UINT32_MAX);
        assert_true(plan.window_ticks * plan.tick_us >= windows_us[i]);
        assert_true(strlen(plan.tag) < 32);
    }
}

static void test_plan__tiers_have_what_they_say_and_the_rules(void **state) {
    fb_limit_options options = rule(FB_LIMIT_TOKEN, 10, 60 * S_US);
    fb_limit_tier_options tier = {.limit = 100};
    fb_limit_plan plan;

    options.burst = 20;
    fb_limit_plan_make(&plan, &options, &tier, 0);
    assert_int_equal(plan.rate, 100);
    assert_int_equal(plan.limit, 20);
    assert_int_equal(plan.window_us, 60 * S_US);
    tier = (fb_limit_tier_options){.window_ns = FB_NS_PER_S, .burst = 7};
    fb_limit_plan_make(&plan, &options, &tier, 0);
    assert_int_equal(plan.rate, 10);
    assert_int_equal(plan.limit, 7);
    assert_int_equal(plan.window_us, S_US);
}

static void test_plan__overrides_scale_the_burst(void **state) {
    fb_limit_options options = rule(FB_LIMIT_TOKEN, 10, 60 * S_US);
    fb_limit_plan plan;

    options.burst = 25;
    fb_limit_plan_make(&plan, &options, NULL, 40);
    assert_int_equal(plan.rate, 40);
    assert_int_equal(plan.limit, 100);
    fb_limit_plan_make(&plan, &options, NULL, 1);
    assert_int_equal(plan.limit, 2);
    options.burst = 1;
    fb_limit_plan_make(&plan, &options, NULL, 1);
    assert_int_equal(plan.limit, 1);
    options.burst = INT32_MAX;
    fb_limit_plan_make(&plan, &options, NULL, INT32_MAX);
    assert_int_equal(plan.limit, INT32_MAX);
    // The form is that of the limit in force.
    options = rule(FB_LIMIT_SLIDING, 10, 60 * S_US);
    fb_limit_plan_make(&plan, &options, NULL, 65);
    assert_int_equal(plan.form, FB_LIMIT_FORM_PARTS);
    assert_int_equal(plan.limit, 65);
}

static void test_plan__calendars_are_kept_long_enough(void **state) {
    static const int days[] = {0, 0, 1, 7, 31, 366};
    fb_limit_options options = rule(FB_LIMIT_FIXED, 10, 0);

    for (int calendar = FB_LIMIT_CALENDAR_HOUR; calendar <= FB_LIMIT_CALENDAR_YEAR; calendar++) {
        options.calendar = calendar;
        fb_limit_plan plan = plan_of(&options);
        assert_int_equal(plan.calendar, calendar);
        assert_true(plan.keep_us > (days[calendar] + 0.99) * 86400.0 * S_US);
    }
}

static void test_plan__a_calendars_window_is_its_period(void **state) {
    fb_limit_options options = rule(FB_LIMIT_FIXED, 3, 0);

    options.calendar = FB_LIMIT_CALENDAR_DAY;
    fb_limit_plan plan = plan_of(&options);
    // A day of 23 hours.
    const int64_t day_us = 23 * 3600 * S_US;
    fb_limit_step step = {FB_LIMIT_TAKE, 3, START_US + 5, START_US, START_US + day_us};
    fb_limit_state s = {0};
    fb_verdict verdict = {0};
    bool allowed = fb_limit_decide(&plan, &step, &s);
    fb_limit_explain(&plan, &step, &s, allowed, &verdict);
    assert_true(verdict.allowed);
    assert_int_equal(verdict.window_us, day_us);
    assert_int_equal(verdict.reset_us, day_us - 5);
    assert_false(fb_limit_decide(&plan, &step, &s));
    step = (fb_limit_step){FB_LIMIT_TAKE, 3, START_US + day_us, START_US + day_us,
                           START_US + 2 * day_us};
    assert_true(fb_limit_decide(&plan, &step, &s));
}

static void test_plan__a_clock_that_was_never_set_counts_too(void **state) {
    fb_limit_options options = rule(FB_LIMIT_FIXED, 3, 0);

    options.calendar = FB_LIMIT_CALENDAR_WEEK;
    fb_limit_plan plan = plan_of(&options);
    fb_limit_step step = {FB_LIMIT_TAKE, 2, 5 * S_US, -3 * 86400 * S_US, 4 * 86400 * S_US};
    fb_limit_state s = {0};
    assert_true(fb_limit_decide(&plan, &step, &s));
    assert_false(fb_limit_decide(&plan, &step, &s));
}

static void test_plan__divided_is_a_part_and_one_at_least(void **state) {
    fb_limit_options options = rule(FB_LIMIT_TOKEN, 10, 60 * S_US);
    fb_limit_plan whole, plan;

    options.burst = 20;
    whole = plan_of(&options);
    fb_limit_plan_divide(&plan, &whole, 3);
    assert_int_equal(plan.limit, 6);
    assert_int_equal(plan.rate, 3);
    fb_limit_plan_divide(&plan, &whole, 100);
    assert_int_equal(plan.limit, 1);
    assert_int_equal(plan.rate, 1);
    assert_int_equal(plan.full_us, 60 * S_US);
    options = rule(FB_LIMIT_SLIDING, 100, 60 * S_US);
    whole = plan_of(&options);
    fb_limit_plan_divide(&plan, &whole, 4);
    assert_int_equal(plan.limit, 25);
    assert_string_equal(plan.tag, whole.tag);
    fb_limit_plan_divide(&plan, &whole, 1);
    assert_int_equal(plan.limit, 100);
}

// ---- chunks

static void spend_chunks(const fb_limit_options *options, uint32_t chunk) {
    static limit_chunks chunks;

    assert_true(limit_chunks_run(&chunks, options, chunk, test_seed()));
    assert_true(2 * chunks.most > chunks.allowed);  // and it is of use
}

static void test_plan__chunks_keep_the_promise(void **state) {
    fb_limit_options options = rule(FB_LIMIT_SLIDING, 60, 8 * S_US);

    spend_chunks(&options, 6);
    options = rule(FB_LIMIT_SLIDING, 1000, 32 * S_US);
    spend_chunks(&options, 100);
    options = rule(FB_LIMIT_TOKEN, 1000, 16 * S_US);
    spend_chunks(&options, 50);
    options.burst = 100;
    spend_chunks(&options, 10);
}

static void test_plan__chunks_that_leave_nothing_are_refused(void **state) {
    fb_limit_options options = rule(FB_LIMIT_TOKEN, 100, S_US);
    fb_limit_plan whole = plan_of(&options), plan;
    int64_t life_us = 0;

    // 6.25 flow in within 1/16 s.
    assert_ok(fb_limit_plan_chunk(&plan, &whole, 93, &life_us));
    assert_int_equal(plan.limit, 93);
    assert_int_equal(life_us, 62500);
    assert_result(fb_limit_plan_chunk(&plan, &whole, 94, &life_us), FB_ERANGE);
    options.burst = 6;
    whole = plan_of(&options);
    assert_result(fb_limit_plan_chunk(&plan, &whole, 1, &life_us), FB_ERANGE);
    options = rule(FB_LIMIT_SLOTS, 100, S_US);
    whole = plan_of(&options);
    assert_result(fb_limit_plan_chunk(&plan, &whole, 1, &life_us), FB_ERANGE);
    options = rule(FB_LIMIT_SLIDING, 10, S_US);
    whole = plan_of(&options);
    assert_ok(fb_limit_plan_chunk(&plan, &whole, 10, &life_us));
    assert_string_not_equal(plan.tag, whole.tag);
    assert_int_equal(plan.window_us, whole.window_us);
    assert_result(fb_limit_plan_chunk(&plan, &whole, 11, &life_us), FB_ERANGE);
    options = rule(FB_LIMIT_FIXED, 10, S_US);
    whole = plan_of(&options);
    assert_ok(fb_limit_plan_chunk(&plan, &whole, 10, &life_us));
}

// ---- throttles

static void test_plan__throttle_as_redis_cell_means_it(void **state) {
    fb_limit_plan plan;
    fb_limit_state s = {0};
    fb_verdict verdict = {0};

    // CL.THROTTLE key 15 30 60: sixteen at once, then one every two seconds.
    assert_ok(fb_limit_plan_throttle(&plan, 15, 30, 60));
    for (int i = 0; i < 17; i++) {
        fb_limit_step step = limit_step(&plan, FB_LIMIT_TAKE, 1, START_US);
        bool allowed = fb_limit_decide(&plan, &step, &s);
        fb_limit_explain(&plan, &step, &s, allowed, &verdict);
        assert_true(allowed == (i < 16));
        assert_int_equal(verdict.limit, 16);
        assert_int_equal(verdict.remaining, i < 16 ? 15 - i : 0);
        assert_int_equal(verdict.retry_us, i < 16 ? 0 : 2 * S_US);
        assert_int_equal(verdict.reset_us, (i < 16 ? i + 1 : 16) * 2 * S_US);
    }
}

static void test_plan__throttle_refuses_what_is_out_of_range(void **state) {
    static const struct {
        int64_t burst, count, period_s;
        int result;
    } cases[] = {{0, 1, 1, FB_OK}, {-1, 1, 1, FB_EINVAL}, {0, 0, 1, FB_EINVAL},
                 {0, 1, 0, FB_EINVAL}, {INT32_MAX, INT32_MAX, 1, FB_OK},
                 {INT64_C(2147483648), 1, 1, FB_EINVAL}, {1, INT64_C(2147483648), 1, FB_EINVAL},
                 {0, 1, 366 * 86400, FB_OK}, {0, 1, 366 * 86400 + 1, FB_EINVAL},
                 {INT32_MAX, 1, 366 * 86400, FB_EINVAL}, {INT64_MAX, 1, 1, FB_EINVAL},
                 {1, INT64_MIN, 1, FB_EINVAL}, {1, 1, INT64_MAX, FB_EINVAL}};
    fb_limit_plan plan;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_result(fb_limit_plan_throttle(&plan, cases[i].burst, cases[i].count,
                                             cases[i].period_s), cases[i].result);
    }
}

// ---- what a script is given

static void test_plan__token_costs_are_exact(void **state) {
    fb_rng rng = test_rng();

    for (int i = 0; i < 20000; i++) {
        fb_limit_options options =
            rule(FB_LIMIT_TOKEN, 1 + (uint32_t)fb_rng_below(&rng, INT32_MAX),
                 1000 + (int64_t)fb_rng_below(&rng, 366 * 86400) * S_US / 7);
        fb_limit_plan plan = plan_of(&options);
        uint32_t cost = (uint32_t)fb_rng_below(&rng, (uint64_t)plan.limit + 1);
        uint64_t whole = 0;
        uint32_t part = 0;
        fb_limit_plan_token_cost(&plan, cost, &whole, &part);
        unsigned __int128 expected = (unsigned __int128)cost * (uint64_t)plan.window_us;
        assert_true(part < plan.rate);
        assert_true((unsigned __int128)whole * plan.rate + part == expected);
        // More than the limit is as the limit.
        fb_limit_plan_token_cost(&plan, FB_LIMIT_COST_MAX, &whole, &part);
        assert_int_equal(whole, plan.full_us);
        assert_int_equal(part, plan.full_part);
    }
}

static void test_plan__overrides_are_six_bytes(void **state) {
    static const unsigned char expected[] = {1, 0, 0x78, 0x56, 0x34, 0x12};
    fb_limit_override override = {FB_LIMIT_OVERRIDE_LIMIT, 0x12345678, 5000};
    unsigned char bytes[FB_LIMIT_OVERRIDE_BYTES];
    fb_limit_override read;

    fb_limit_override_write(&override, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
    for (int kind = FB_LIMIT_OVERRIDE_LIMIT; kind <= FB_LIMIT_OVERRIDE_DENY; kind++) {
        override.kind = (fb_limit_override_kind)kind;
        fb_limit_override_write(&override, bytes);
        assert_ok(fb_limit_override_read(fb_str_make((char *)bytes, sizeof(bytes)), &read));
        assert_int_equal(read.kind, kind);
        assert_int_equal(read.limit, 0x12345678);
    }
    static const unsigned char wrong[][6] = {{0, 0, 1, 0, 0, 0}, {4, 0, 1, 0, 0, 0},
                                             {1, 1, 1, 0, 0, 0}, {1, 0, 0, 0, 0, 0},
                                             {1, 0, 0, 0, 0, 0x80}};
    for (size_t i = 0; i < 5; i++) {
        assert_result(fb_limit_override_read(fb_str_make((const char *)wrong[i], 6), &read),
                      FB_ESYNTAX);
    }
    assert_result(fb_limit_override_read(fb_str_make((char *)bytes, 5), &read), FB_ESYNTAX);
    assert_result(fb_limit_override_read(fb_str_make(NULL, 0), &read), FB_ESYNTAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan__forms_by_algorithm_and_limit),
        cmocka_unit_test(test_plan__ticks_are_never_more_than_an_offset_can_say),
        cmocka_unit_test(test_plan__tiers_have_what_they_say_and_the_rules),
        cmocka_unit_test(test_plan__overrides_scale_the_burst),
        cmocka_unit_test(test_plan__calendars_are_kept_long_enough),
        cmocka_unit_test(test_plan__a_calendars_window_is_its_period),
        cmocka_unit_test(test_plan__a_clock_that_was_never_set_counts_too),
        cmocka_unit_test(test_plan__divided_is_a_part_and_one_at_least),
        cmocka_unit_test(test_plan__chunks_keep_the_promise),
        cmocka_unit_test(test_plan__chunks_that_leave_nothing_are_refused),
        cmocka_unit_test(test_plan__throttle_as_redis_cell_means_it),
        cmocka_unit_test(test_plan__throttle_refuses_what_is_out_of_range),
        cmocka_unit_test(test_plan__token_costs_are_exact),
        cmocka_unit_test(test_plan__overrides_are_six_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
