// What a rule may be told, and what it is told from the start.

#include "support.h"

#include "base/units.h"
#include "limit/options.h"

static fb_limit_options rule(int algorithm) {
    return (fb_limit_options){.name = (char *)"rule", .enabled = true, .algorithm = algorithm,
                              .limit = 10, .window_ns = 60 * FB_NS_PER_S, .parts = 16,
                              .time_zone = (char *)"UTC", .per = (char *)"user",
                              .ipv6_prefix = 64, .message = (char *)"requests", .keys_max = 1000,
                              .instances = 1};
}

static void refused(const fb_limit_options *options, int result, const char *option,
                    const char *text) {
    char at[64] = "";
    fb_error error = {0};

    assert_result(fb_limit_options_check(options, at, sizeof(at), &error), result);
    assert_string_equal(at, option);
    assert_int_equal(error.code, result);
    assert_string_equal(error.text, text);
}

static void accepted(const fb_limit_options *options) {
    char at[64] = "";
    fb_error error = {0};

    assert_result(fb_limit_options_check(options, at, sizeof(at), &error), FB_OK);
}

static void test_options__sound_rules_pass(void **state) {
    fb_limit_tier_options tiers[] = {{.name = (char *)"premium", .limit = 100},
                                     {.name = (char *)"staff", .exempt = true}};

    for (int algorithm = FB_LIMIT_SLIDING; algorithm <= FB_LIMIT_SLOTS; algorithm++) {
        fb_limit_options options = rule(algorithm);
        accepted(&options);
        options.tiers = tiers;
        options.tier_count = 2;
        accepted(&options);
        options.limit = INT32_MAX;
        options.window_ns = INT64_C(366) * 86400 * FB_NS_PER_S;
        accepted(&options);
    }
    fb_limit_options options = rule(FB_LIMIT_FIXED);
    options.window_ns = 0;
    options.calendar = FB_LIMIT_CALENDAR_MONTH;
    options.time_zone = (char *)"Europe/Berlin";
    accepted(&options);
    options = rule(FB_LIMIT_TOKEN);
    options.burst = 100;
    options.chunk = 50;
    accepted(&options);
    options = rule(FB_LIMIT_SLIDING);
    options.message = (char *)"try|tries";
    options.per = (char *)"address";
    options.ipv6_prefix = 56;
    options.chunk = 10;
    accepted(&options);
}

static void test_options__a_rule_that_is_off_is_not_looked_at(void **state) {
    fb_limit_options options = {.enabled = false};

    accepted(&options);
}

static void test_options__a_limit_and_a_window_are_needed(void **state) {
    fb_limit_options options = rule(FB_LIMIT_SLIDING);

    options.limit = 0;
    refused(&options, FB_EINVAL, "limit", "required, but not set");
    options.limit = 1;
    options.window_ns = 0;
    refused(&options, FB_EINVAL, "window", "required, but not set");
}

static void test_options__a_calendar_is_a_window(void **state) {
    fb_limit_options options = rule(FB_LIMIT_FIXED);

    options.calendar = FB_LIMIT_CALENDAR_DAY;
    refused(&options, FB_ECONFLICT, "window", "the calendar gives the windows: set one of both");
    options.algorithm = FB_LIMIT_SLIDING;
    refused(&options, FB_ECONFLICT, "calendar", "only a rule with `algorithm: fixed` has one");
    options.calendar = FB_LIMIT_CALENDAR_NONE;
    options.time_zone = (char *)"Europe/Berlin";
    refused(&options, FB_ECONFLICT, "time_zone", "only a rule with `calendar` has one");
    options = rule(FB_LIMIT_FIXED);
    options.calendar = FB_LIMIT_CALENDAR_DAY;
    options.window_ns = 0;
    fb_limit_tier_options tier = {.name = (char *)"premium", .window_ns = FB_NS_PER_S};
    options.tiers = &tier;
    options.tier_count = 1;
    refused(&options, FB_ECONFLICT, "tiers.premium.window",
            "the calendar of the rule gives the windows");
}

static void test_options__what_other_algorithms_have(void **state) {
    fb_limit_options options = rule(FB_LIMIT_SLIDING);

    options.burst = 5;
    refused(&options, FB_ECONFLICT, "burst", "only a rule with `algorithm: token` has one");
    options = rule(FB_LIMIT_TOKEN);
    options.parts = 32;
    refused(&options, FB_ECONFLICT, "parts", "only a rule with `algorithm: sliding` has them");
    options = rule(FB_LIMIT_SLOTS);
    options.charge_denied = true;
    refused(&options, FB_ECONFLICT, "charge_denied", "leases that are denied cannot be charged");
    options = rule(FB_LIMIT_SLOTS);
    options.chunk = 2;
    refused(&options, FB_ECONFLICT, "chunk", "leases are not taken in advance");
    options = rule(FB_LIMIT_SLIDING);
    options.ipv6_prefix = 56;
    refused(&options, FB_ECONFLICT, "ipv6_prefix", "only a rule with `per: address` has it");
    fb_limit_tier_options tier = {.name = (char *)"premium", .burst = 5};
    options = rule(FB_LIMIT_FIXED);
    options.tiers = &tier;
    options.tier_count = 1;
    refused(&options, FB_ECONFLICT, "tiers.premium.burst",
            "only a rule with `algorithm: token` has one");
    tier = (fb_limit_tier_options){.name = (char *)"premium", .limit = 5, .exempt = true};
    refused(&options, FB_ECONFLICT, "tiers.premium.exempt",
            "a tier that is not limited has no limit, window or burst");
}

static void test_options__chunks_leave_something(void **state) {
    fb_limit_options options = rule(FB_LIMIT_SLIDING);

    options.chunk = 11;
    refused(&options, FB_ERANGE, "chunk", "11 is more than the rule may take at once");
    options.chunk = 10;
    options.charge_denied = true;
    refused(&options, FB_ECONFLICT, "chunk",
            "what is denied could not be charged: not with `charge_denied`");
    // 60 tokens a minute: one flows in within the second that a chunk lives.
    options = rule(FB_LIMIT_TOKEN);
    options.limit = 60;
    options.chunk = 59;
    accepted(&options);
    options.chunk = 60;
    refused(&options, FB_ERANGE, "chunk", "60 is more than the rule may take at once");
    fb_limit_tier_options tier = {.name = (char *)"free", .limit = 5};
    options.chunk = 10;
    options.tiers = &tier;
    options.tier_count = 1;
    refused(&options, FB_ERANGE, "chunk", "10 is more than tier free may take at once");
}

static void test_options__a_bucket_fills_within_35_years(void **state) {
    fb_limit_options options = rule(FB_LIMIT_TOKEN);

    options.limit = 1;
    options.burst = 1000000;
    options.window_ns = INT64_C(24) * 3600 * FB_NS_PER_S;
    refused(&options, FB_ERANGE, "burst",
            "a bucket of 1000000 that fills by 1 a window would take more than 35 years");
    options.burst = 13000;
    accepted(&options);
    fb_limit_tier_options tier = {.name = (char *)"big", .burst = INT32_MAX};
    options.tiers = &tier;
    options.tier_count = 1;
    refused(&options, FB_ERANGE, "tiers.big.burst",
            "a bucket of 2147483647 that fills by 1 a window would take more than 35 years");
}

static void test_options__messages_have_one_bar(void **state) {
    static const char *const wrong[] = {"|", "a|", "|b", "a|b|c"};
    fb_limit_options options = rule(FB_LIMIT_SLIDING);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text),
                       "expected \"plural\" or \"singular|plural\", found \"%s\"", wrong[i]);
        options.message = (char *)wrong[i];
        refused(&options, FB_EINVAL, "message", text);
    }
    options.message = (char *)"requests\nof him";
    refused(&options, FB_EINVAL, "message", "it has a control character");
}

static void test_options__tables_are_sound(void **state) {
    const fb_option *const tables[] = {fb_limit_options_table, fb_limit_tier_options_table};

    for (size_t i = 0; i < 2; i++) {
        for (const fb_option *row = tables[i]; row->name != NULL; row++) {
            assert_true(row->reloadable);
            assert_non_null(row->help);
            assert_true(row->min <= row->max);
        }
    }
}

static void test_options__the_rules_of_the_start(void **state) {
    static const char *const names[] = {"generation", "api", "improvement", "auth",
                                        "otp_resend", "otp_account", "otp_address"};

    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(fb_limit_builtins[i].name, names[i]);
        assert_int_equal(fb_limit_builtins[i].text[0], '{');
    }
    assert_null(fb_limit_builtins[7].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options__sound_rules_pass),
        cmocka_unit_test(test_options__a_rule_that_is_off_is_not_looked_at),
        cmocka_unit_test(test_options__a_limit_and_a_window_are_needed),
        cmocka_unit_test(test_options__a_calendar_is_a_window),
        cmocka_unit_test(test_options__what_other_algorithms_have),
        cmocka_unit_test(test_options__chunks_leave_something),
        cmocka_unit_test(test_options__a_bucket_fills_within_35_years),
        cmocka_unit_test(test_options__messages_have_one_bar),
        cmocka_unit_test(test_options__tables_are_sound),
        cmocka_unit_test(test_options__the_rules_of_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
