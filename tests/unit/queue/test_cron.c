// Cron expressions: what they may be, and when they are due, over changes of the clocks too.

#include "support.h"

#include "cron_oracle.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)

static fb_cron parse(const char *text) {
    fb_cron cron;
    fb_error error;

    if (fb_cron_parse(fb_str_of(text), &cron, &error) != FB_OK) {
        fail_msg("\"%s\": %s, column %u", text, error.text, error.column);
    }
    return cron;
}

// "2024-03-31 01:59" as Unix time.
static int64_t instant(const char *text) {
    struct tm tm = {0};

    assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &tm));
    return (int64_t)timegm(&tm) * 1000;
}

static void show(int64_t utc_ms, char *text) {
    time_t seconds = (time_t)(utc_ms / 1000);
    struct tm tm;

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(text, 32, "%Y-%m-%d %H:%M", &tm);
}

// Central Europe in 2024: an hour ahead of UTC, two from 31 March to 27 October, 01:00 UTC.
static cron_zone berlin(void) {
    return (cron_zone){.first_ms = HOUR_MS, .count = 2,
                       .changes = {{instant("2024-03-31 01:00"), 2 * HOUR_MS},
                                   {instant("2024-10-27 01:00"), HOUR_MS}}};
}

// The next instants after `from`, all in UTC.
static void is_due(const char *expression, cron_zone zone, const char *from,
                   const char *const *instants) {
    fb_cron cron = parse(expression);
    int64_t at_ms = instant(from);

    for (; *instants != NULL; instants++) {
        char text[32];
        at_ms = fb_cron_next(&cron, at_ms, cron_zone_offset, &zone);
        show(at_ms, text);
        assert_string_equal(text, *instants);
        assert_int_equal(at_ms % CRON_MINUTE_MS, 0);
    }
}
#define IS_DUE(expression, zone, from, ...) \
    is_due(expression, zone, from, (const char *const[]){__VA_ARGS__, NULL})

static const cron_zone utc = {0};

// ---- parsing

static void test_cron__lists_ranges_steps_and_names(void **state) {
    fb_cron cron = parse(" 0,30\t*/6  1-5,31 jan-MAR,12 mon-fri ");

    assert_true(cron.minutes == (UINT64_C(1) | UINT64_C(1) << 30));
    assert_int_equal(cron.hours, 1U | 1U << 6 | 1U << 12 | 1U << 18);
    assert_int_equal(cron.days, 0x3eU | 1U << 31);
    assert_int_equal(cron.months, 0xeU | 1U << 12);
    assert_int_equal(cron.weekdays, 0x3e);
    assert_true(cron.any_hour && !cron.any_day && !cron.any_weekday);
    cron = parse("5-59/20 1 * * 7");
    assert_true(cron.minutes == (UINT64_C(1) << 5 | UINT64_C(1) << 25 | UINT64_C(1) << 45));
    assert_int_equal(cron.weekdays, 1);
    assert_true(cron.any_day && !cron.any_hour);
    assert_int_equal(parse("0 0 * * sat-sun").weekdays, 0x41);
    assert_int_equal(parse("0 0 * * 5-7").weekdays, 0x61);
    assert_int_equal(parse("0 0 * * 0-7").weekdays, 0x7f);
    assert_int_equal(parse("0 0 * * *").weekdays, 0x7f);
}

static void test_cron__short_names_of_schedules(void **state) {
    static const char *const same[][2] = {
        {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},    {"@weekly", "0 0 * * 0"},
        {"@monthly", "0 0 1 * *"},  {"@yearly", "0 0 1 1 *"},   {" @Midnight ", "0 0 * * *"},
        {"@annually", "0 0 1 1 *"}};

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        fb_cron a = parse(same[i][0]), b = parse(same[i][1]);
        assert_true(a.minutes == b.minutes && a.hours == b.hours && a.days == b.days &&
                    a.months == b.months && a.weekdays == b.weekdays && a.any_day == b.any_day &&
                    a.any_weekday == b.any_weekday && a.any_hour == b.any_hour);
    }
}

static void test_cron__what_is_wrong_and_where(void **state) {
    static const struct {
        const char *text;
        int result;
        uint32_t column;
        const char *error;
    } bad[] = {
        {"", FB_ESYNTAX, 1, "minute: something is missing here"},
        {"* * * *", FB_ESYNTAX, 8, "day of the week: something is missing here"},
        {"* * * * * *", FB_ESYNTAX, 11, "there are five fields, and this is another one"},
        {"60 * * * *", FB_ERANGE, 1, "minute: out of range"},
        {"0 24 * * *", FB_ERANGE, 3, "hour: out of range"},
        {"0 0 0 * *", FB_ERANGE, 5, "day of the month: out of range"},
        {"0 0 1-32 * *", FB_ERANGE, 7, "day of the month: out of range"},
        {"0 0 * 13 *", FB_ERANGE, 7, "month: out of range"},
        {"0 0 * * 8", FB_ERANGE, 9, "day of the week: out of range"},
        {"0 99999999999999999999 * * *", FB_ERANGE, 3, "hour: out of range"},
        {"30-10 * * * *", FB_ERANGE, 1, "minute: the range goes backwards"},
        {"*/0 * * * *", FB_ERANGE, 3, "minute: a step of 0"},
        {"5/10 * * * *", FB_ESYNTAX, 2, "minute: a step follows * or a range"},
        {"*/ * * * *", FB_ESYNTAX, 3, "minute: something is missing here"},
        {"1, * * * *", FB_ESYNTAX, 3, "minute: something is missing here"},
        {"-1 * * * *", FB_ESYNTAX, 1, "minute: expected a number, a name or *"},
        {"mon * * * *", FB_ESYNTAX, 1, "minute: expected a number or *"},
        {"0 0 * foo *", FB_ESYNTAX, 7, "month: there is no such name"},
        {"0 0 * monday *", FB_ESYNTAX, 7, "month: there is no such name"},
        {"0 0 * * ?", FB_ESYNTAX, 9, "day of the week: expected a number, a name or *"},
        {"1* * * * *", FB_ESYNTAX, 2, "minute: this does not belong here"},
        {"@reboot", FB_ESYNTAX, 1, "expected @hourly, @daily, @weekly, @monthly or @yearly"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fb_cron cron;
        fb_error error = {0};
        assert_result(fb_cron_parse(fb_str_of(bad[i].text), &cron, &error), bad[i].result);
        assert_string_equal(error.text, bad[i].error);
        assert_int_equal(error.column, bad[i].column);
        assert_int_equal(error.code, bad[i].result);
    }
}

// ---- when

static void test_cron__the_next_instant_is_after_this_one(void **state) {
    fb_cron cron = parse("*/15 * * * *");
    cron_zone zone = utc;
    int64_t at_ms = instant("2024-05-01 10:15");

    assert_int_equal(fb_cron_next(&cron, at_ms, cron_zone_offset, &zone), at_ms + HOUR_MS / 4);
    assert_int_equal(fb_cron_next(&cron, at_ms - 1, cron_zone_offset, &zone), at_ms);
    assert_int_equal(fb_cron_next(&cron, at_ms + 1, cron_zone_offset, &zone),
                     at_ms + HOUR_MS / 4);
}

static void test_cron__days_of_the_calendar(void **state) {
    IS_DUE("0 3 * * *", utc, "2024-02-28 03:00", "2024-02-29 03:00", "2024-03-01 03:00");
    IS_DUE("0 0 31 * *", utc, "2024-01-31 00:00", "2024-03-31 00:00", "2024-05-31 00:00");
    IS_DUE("0 0 29 2 *", utc, "2024-03-01 00:00", "2028-02-29 00:00", "2032-02-29 00:00");
    IS_DUE("0 0 29 2 *", utc, "2096-03-01 00:00", "2104-02-29 00:00");
    IS_DUE("59 23 31 12 *", utc, "2024-12-31 23:58", "2024-12-31 23:59", "2025-12-31 23:59");
    IS_DUE("@weekly", utc, "2024-02-26 12:00", "2024-03-03 00:00", "2024-03-10 00:00");
}

static void test_cron__either_day_is_enough_where_both_are_named(void **state) {
    IS_DUE("0 0 13 * fri", utc, "2024-09-01 00:00", "2024-09-06 00:00", "2024-09-13 00:00",
           "2024-09-20 00:00", "2024-09-27 00:00", "2024-10-04 00:00", "2024-10-11 00:00",
           "2024-10-13 00:00");
    // Not where one of them is "*", with a step or without.
    IS_DUE("0 0 */2 * mon", utc, "2024-09-01 00:00", "2024-09-09 00:00", "2024-09-23 00:00");
}

static void test_cron__what_never_comes_is_never_due(void **state) {
    static const char *const never[] = {"0 0 30 2 *", "0 0 31 2,4,6,9,11 *"};
    cron_zone zone = berlin();

    for (size_t i = 0; i < 2; i++) {
        fb_cron cron = parse(never[i]);
        assert_true(fb_cron_next(&cron, instant("2024-01-01 00:00"), cron_zone_offset, &zone) ==
                    INT64_MAX);
    }
}

static void test_cron__goes_by_the_clocks_of_its_zone(void **state) {
    IS_DUE("0 3 * * *", berlin(), "2024-01-01 12:00", "2024-01-02 02:00");
    IS_DUE("0 3 * * *", berlin(), "2024-07-01 12:00", "2024-07-02 01:00");
    IS_DUE("30 3 * * *", berlin(), "2024-03-29 12:00", "2024-03-30 02:30", "2024-03-31 01:30",
           "2024-04-01 01:30");
    cron_zone nepal = {.first_ms = 345 * CRON_MINUTE_MS};
    IS_DUE("0 0 * * *", nepal, "2024-01-01 12:00", "2024-01-01 18:15");
}

static void test_cron__what_the_clocks_skip_is_due_when_they_have(void **state) {
    IS_DUE("30 2 * * *", berlin(), "2024-03-29 12:00", "2024-03-30 01:30", "2024-03-31 01:00",
           "2024-04-01 00:30");
    // Once, also of many; not again for what is due at three.
    IS_DUE("*/10 2 * * *", berlin(), "2024-03-30 02:00", "2024-03-31 01:00", "2024-04-01 00:00",
           "2024-04-01 00:10");
    IS_DUE("0 2,3 * * *", berlin(), "2024-03-30 02:00", "2024-03-31 01:00", "2024-04-01 00:00");
}

static void test_cron__what_the_clocks_show_twice_is_due_once(void **state) {
    IS_DUE("30 2 * * *", berlin(), "2024-10-26 12:00", "2024-10-27 00:30", "2024-10-28 01:30");
    IS_DUE("59 2 * * *", berlin(), "2024-10-27 00:59", "2024-10-28 01:59");
    // Asked in the second of the two hours.
    IS_DUE("30 2 * * *", berlin(), "2024-10-27 01:05", "2024-10-28 01:30");
    IS_DUE("0 3 * * *", berlin(), "2024-10-26 12:00", "2024-10-27 02:00");
}

static void test_cron__every_hour_is_every_hour(void **state) {
    IS_DUE("30 * * * *", berlin(), "2024-10-26 23:30", "2024-10-27 00:30", "2024-10-27 01:30",
           "2024-10-27 02:30");
    IS_DUE("30 * * * *", berlin(), "2024-03-30 23:30", "2024-03-31 00:30", "2024-03-31 01:30");
    IS_DUE("0 */2 * * *", berlin(), "2024-03-30 23:30", "2024-03-31 02:00", "2024-03-31 04:00");
}

static void test_cron__a_day_may_be_skipped_whole(void **state) {
    // As Samoa did: from 29 to 31 December.
    cron_zone samoa = {.first_ms = -10 * HOUR_MS, .count = 1,
                       .changes = {{instant("2011-12-30 10:00"), 14 * HOUR_MS}}};

    IS_DUE("0 12 * * *", samoa, "2011-12-29 22:00", "2011-12-30 10:00", "2011-12-30 22:00",
           "2011-12-31 22:00");
    IS_DUE("0 12 30 12 *", samoa, "2011-12-29 22:00", "2011-12-30 10:00", "2012-12-29 22:00");
}

// ---- against the oracle

static const char *random_field(fb_rng *rng, uint32_t min, uint32_t max, char *text) {
    uint32_t a = min + (uint32_t)fb_rng_below(rng, max - min + 1);
    uint32_t b = a + (uint32_t)fb_rng_below(rng, max - a + 1);
    uint32_t step = 1 + (uint32_t)fb_rng_below(rng, 9);

    switch (fb_rng_below(rng, 6)) {
    case 0:
    case 1:
        return "*";
    case 2:
        (void)snprintf(text, 32, "*/%u", step);
        break;
    case 3:
        (void)snprintf(text, 32, "%u-%u/%u", a, b, step);
        break;
    case 4:
        (void)snprintf(text, 32, "%u,%u", a, b);
        break;
    default:
        (void)snprintf(text, 32, "%u", a);
    }
    return text;
}

// Changes at least two days apart, of up to a day, at any minute.
static cron_zone random_zone(fb_rng *rng, int64_t from_ms) {
    cron_zone zone = {.count = fb_rng_below(rng, CRON_CHANGES + 1)};
    int64_t offset_ms = ((int64_t)fb_rng_below(rng, 97) - 48) * 15 * CRON_MINUTE_MS;
    int64_t at_ms = from_ms;

    zone.first_ms = offset_ms;
    for (size_t i = 0; i < zone.count; i++) {
        at_ms += 2 * DAY_MS + (int64_t)fb_rng_below(rng, 2 * 1440) * CRON_MINUTE_MS;
        int64_t size_ms = fb_rng_below(rng, 4) == 0 ? DAY_MS : 2 * HOUR_MS;
        offset_ms += ((int64_t)fb_rng_below(rng, 9) - 4) * size_ms / 4;
        zone.changes[i].at_ms = at_ms;
        zone.changes[i].offset_ms = offset_ms;
    }
    return zone;
}

static void test_cron__is_due_when_a_search_minute_by_minute_says(void **state) {
    fb_rng rng = test_rng();

    for (int round = 0; round < 1500; round++) {
        char text[200], fields[5][32];
        const char *minute = random_field(&rng, 0, 59, fields[0]);
        const char *hour = random_field(&rng, 0, 23, fields[1]);
        const char *day = random_field(&rng, 1, 31, fields[2]);
        const char *month = fb_rng_below(&rng, 3) > 0 ? "*" : random_field(&rng, 1, 12, fields[3]);
        (void)snprintf(text, sizeof(text), "%s %s %s %s %s", minute, hour, day, month,
                       random_field(&rng, 0, 7, fields[4]));
        fb_cron cron = parse(text);
        int64_t from_ms = instant("2023-01-01 00:00") +
                          (int64_t)fb_rng_below(&rng, 730 * 1440) * CRON_MINUTE_MS;
        cron_zone zone = random_zone(&rng, from_ms);
        int64_t end_ms = from_ms + 20 * DAY_MS;
        for (int i = 0; i < 60 && from_ms < end_ms; i++) {
            int64_t wanted_ms = cron_search(&cron, &zone, from_ms, end_ms);
            int64_t next_ms = fb_cron_next(&cron, from_ms, cron_zone_offset, &zone);
            if (wanted_ms != next_ms && (wanted_ms != INT64_MAX || next_ms <= end_ms)) {
                fail_msg("%s after %lld: %lld, not %lld (round %d)", text, (long long)from_ms,
                         (long long)next_ms, (long long)wanted_ms, round);
            }
            from_ms = next_ms;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cron__lists_ranges_steps_and_names),
        cmocka_unit_test(test_cron__short_names_of_schedules),
        cmocka_unit_test(test_cron__what_is_wrong_and_where),
        cmocka_unit_test(test_cron__the_next_instant_is_after_this_one),
        cmocka_unit_test(test_cron__days_of_the_calendar),
        cmocka_unit_test(test_cron__either_day_is_enough_where_both_are_named),
        cmocka_unit_test(test_cron__what_never_comes_is_never_due),
        cmocka_unit_test(test_cron__goes_by_the_clocks_of_its_zone),
        cmocka_unit_test(test_cron__what_the_clocks_skip_is_due_when_they_have),
        cmocka_unit_test(test_cron__what_the_clocks_show_twice_is_due_once),
        cmocka_unit_test(test_cron__every_hour_is_every_hour),
        cmocka_unit_test(test_cron__a_day_may_be_skipped_whole),
        cmocka_unit_test(test_cron__is_due_when_a_search_minute_by_minute_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
