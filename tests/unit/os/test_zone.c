// Periods of the calendar: known days on which clocks changed, and that periods tile time.

#include "support.h"

#include "os/zone.h"

#include <time.h>

#define S_US INT64_C(1000000)

// What this machine's zone files do not have cannot be tested on it.
static fb_zone *zone_of(const char *name) {
    fb_zone *zone = NULL;
    int result = fb_zone_new(name, &zone);

    if (result == FB_MISS) {
        skip();
    }
    assert_ok(result);
    return zone;
}

static int64_t utc_us(const char *text) {
    struct tm tm = {0};

    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return timegm(&tm) * S_US;
}

typedef struct example {
    const char *zone;
    fb_zone_unit unit;
    const char *now, *start, *end;  // UTC
} example;

static void expect(const example *examples, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fb_zone *zone = zone_of(examples[i].zone);
        int64_t start_us = 0, end_us = 0;
        fb_zone_period(zone, examples[i].unit, utc_us(examples[i].now), &start_us, &end_us);
        if (start_us != utc_us(examples[i].start) || end_us != utc_us(examples[i].end)) {
            fail_msg("%s, unit %d, %s: from %lld to %lld, not from %s to %s", examples[i].zone,
                     (int)examples[i].unit, examples[i].now, (long long)(start_us / S_US),
                     (long long)(end_us / S_US), examples[i].start, examples[i].end);
        }
        fb_zone_free(zone);
    }
}
#define EXPECT(examples) expect(examples, sizeof(examples) / sizeof((examples)[0]))

static void test_zone__utc_and_offsets(void **state) {
    static const example examples[] = {
        {"UTC", FB_ZONE_HOUR, "2026-11-20 20:59:59", "2026-11-20 20:00:00", "2026-11-20 21:00:00"},
        {"UTC", FB_ZONE_DAY, "2026-11-20 00:00:00", "2026-11-20 00:00:00", "2026-11-21 00:00:00"},
        // A Friday, and a Sunday's last second.
        {"UTC", FB_ZONE_WEEK, "2026-11-20 20:59:59", "2026-11-16 00:00:00", "2026-11-23 00:00:00"},
        {"UTC", FB_ZONE_WEEK, "2026-11-22 23:59:59", "2026-11-16 00:00:00", "2026-11-23 00:00:00"},
        {"UTC", FB_ZONE_WEEK, "2027-01-01 12:00:00", "2026-12-28 00:00:00", "2027-01-04 00:00:00"},
        {"UTC", FB_ZONE_MONTH, "2026-02-28 12:00:00", "2026-02-01 00:00:00", "2026-03-01 00:00:00"},
        {"UTC", FB_ZONE_MONTH, "2028-02-29 12:00:00", "2028-02-01 00:00:00", "2028-03-01 00:00:00"},
        {"UTC", FB_ZONE_MONTH, "2100-02-28 12:00:00", "2100-02-01 00:00:00", "2100-03-01 00:00:00"},
        {"UTC", FB_ZONE_MONTH, "2026-12-31 23:59:59", "2026-12-01 00:00:00", "2027-01-01 00:00:00"},
        {"UTC", FB_ZONE_YEAR, "2026-12-31 23:59:59", "2026-01-01 00:00:00", "2027-01-01 00:00:00"},
        {"UTC", FB_ZONE_YEAR, "2000-01-01 00:00:00", "2000-01-01 00:00:00", "2001-01-01 00:00:00"},
        {"+05:30", FB_ZONE_HOUR, "2026-02-28 18:29:59", "2026-02-28 17:30:00",
         "2026-02-28 18:30:00"},
        {"+05:30", FB_ZONE_DAY, "2026-02-28 18:30:00", "2026-02-28 18:30:00",
         "2026-03-01 18:30:00"},
        {"+05:30", FB_ZONE_YEAR, "2026-12-31 18:30:00", "2026-12-31 18:30:00",
         "2027-12-31 18:30:00"},
        {"-03:00", FB_ZONE_DAY, "2026-02-28 02:59:59", "2026-02-27 03:00:00",
         "2026-02-28 03:00:00"},
    };

    EXPECT(examples);
}

static void test_zone__berlin_skips_and_repeats_an_hour(void **state) {
    static const example examples[] = {
        {"Europe/Berlin", FB_ZONE_DAY, "2026-03-29 12:00:00", "2026-03-28 23:00:00",
         "2026-03-29 22:00:00"},
        {"Europe/Berlin", FB_ZONE_HOUR, "2026-03-29 00:59:59", "2026-03-29 00:00:00",
         "2026-03-29 01:00:00"},
        {"Europe/Berlin", FB_ZONE_HOUR, "2026-03-29 01:00:00", "2026-03-29 01:00:00",
         "2026-03-29 02:00:00"},
        {"Europe/Berlin", FB_ZONE_DAY, "2026-10-25 12:00:00", "2026-10-24 22:00:00",
         "2026-10-25 23:00:00"},
        // 02:00 to 03:00, twice: one of two hours.
        {"Europe/Berlin", FB_ZONE_HOUR, "2026-10-25 00:30:00", "2026-10-25 00:00:00",
         "2026-10-25 02:00:00"},
        {"Europe/Berlin", FB_ZONE_HOUR, "2026-10-25 01:30:00", "2026-10-25 00:00:00",
         "2026-10-25 02:00:00"},
        {"Europe/Berlin", FB_ZONE_WEEK, "2026-10-25 22:59:59", "2026-10-18 22:00:00",
         "2026-10-25 23:00:00"},
        {"Europe/Berlin", FB_ZONE_MONTH, "2026-10-01 00:00:00", "2026-09-30 22:00:00",
         "2026-10-31 23:00:00"},
        {"Europe/Berlin", FB_ZONE_YEAR, "2026-12-31 23:00:00", "2026-12-31 23:00:00",
         "2027-12-31 23:00:00"},
    };

    EXPECT(examples);
}

static void test_zone__clocks_that_change_at_midnight(void **state) {
    static const example examples[] = {
        // 00:00 to 01:00 does not exist on 2018-11-04, and 23:00 to 24:00 twice on 2018-02-17.
        {"America/Sao_Paulo", FB_ZONE_DAY, "2018-11-04 02:59:59", "2018-11-03 03:00:00",
         "2018-11-04 03:00:00"},
        {"America/Sao_Paulo", FB_ZONE_DAY, "2018-11-04 12:00:00", "2018-11-04 03:00:00",
         "2018-11-05 02:00:00"},
        {"America/Sao_Paulo", FB_ZONE_DAY, "2018-02-18 02:30:00", "2018-02-17 02:00:00",
         "2018-02-18 03:00:00"},
        // At 00:01 back to 23:01: midnight comes twice, and the day begins with the first.
        {"America/St_Johns", FB_ZONE_DAY, "2006-10-29 02:45:00", "2006-10-29 02:30:00",
         "2006-10-30 03:30:00"},
    };

    EXPECT(examples);
}

static void test_zone__a_day_that_was_skipped(void **state) {
    static const example examples[] = {
        {"Pacific/Apia", FB_ZONE_DAY, "2011-12-30 09:59:59", "2011-12-29 10:00:00",
         "2011-12-30 10:00:00"},
        {"Pacific/Apia", FB_ZONE_DAY, "2011-12-30 10:00:00", "2011-12-30 10:00:00",
         "2011-12-31 10:00:00"},
        {"Pacific/Apia", FB_ZONE_WEEK, "2011-12-30 10:00:00", "2011-12-26 10:00:00",
         "2012-01-01 10:00:00"},
    };

    EXPECT(examples);
}

static void test_zone__names_that_are_none(void **state) {
    static const char *const names[] = {"", "Nowhere/None", "/etc/hostname", "../zoneinfo/UTC",
                                        "+99:99", "europe berlin"};
    fb_zone *zone = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_result(fb_zone_new(names[i], &zone), FB_MISS);
        assert_null(zone);
    }
    assert_result(fb_zone_new(NULL, &zone), FB_MISS);
    fb_zone_free(NULL);
}

// From period to period: each contains the moments that lead to it, and begins where another ends.
static void walk(const fb_zone *zone, fb_zone_unit unit, int64_t from_us, fb_rng *rng) {
    int64_t start_us = 0, end_us = 0, at_us = from_us;

    for (int i = 0; i < 40; i++) {
        int64_t again_us = 0, after_us = 0;
        fb_zone_period(zone, unit, at_us, &start_us, &end_us);
        assert_true(start_us <= at_us && at_us < end_us);
        assert_true(i == 0 || start_us == at_us);
        int64_t inside_us =
            start_us + (int64_t)(fb_rng_next(rng) % (uint64_t)(end_us - start_us));
        fb_zone_period(zone, unit, inside_us, &again_us, &after_us);
        assert_int_equal(again_us, start_us);
        assert_int_equal(after_us, end_us);
        fb_zone_period(zone, unit, start_us - 1, &again_us, &after_us);
        assert_int_equal(after_us, start_us);
        at_us = end_us;
    }
}

static void test_zone__periods_tile_time(void **state) {
    static const char *const names[] = {
        "UTC", "+05:30", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "America/St_Johns",
        "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "Antarctica/Troll"};
    fb_rng rng = test_rng();

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        fb_zone *zone = NULL;
        if (fb_zone_new(names[i], &zone) != FB_OK) {
            continue;
        }
        for (fb_zone_unit unit = FB_ZONE_HOUR; unit <= FB_ZONE_YEAR; unit++) {
            for (int round = 0; round < 5; round++) {
                // From 1980 to 2033.
                int64_t from_s = 315532800 + (int64_t)(fb_rng_next(&rng) % 1700000000);
                walk(zone, unit, from_s * S_US, &rng);
            }
        }
        // Where clocks changed, hour by hour.
        walk(zone, FB_ZONE_HOUR, utc_us("2026-03-28 12:00:00"), &rng);
        walk(zone, FB_ZONE_HOUR, utc_us("2026-10-24 12:00:00"), &rng);
        walk(zone, FB_ZONE_HOUR, utc_us("2018-02-17 12:00:00"), &rng);
        walk(zone, FB_ZONE_DAY, utc_us("2011-12-20 12:00:00"), &rng);
        fb_zone_free(zone);
    }
}

static void test_zone__without_memory(void **state) {
    fb_zone *zone = NULL;

    test_memory_fail(1);
    int result = fb_zone_new("UTC", &zone);
    test_memory_fail(0);
    assert_result(result, FB_ENOMEM);
    assert_null(zone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zone__utc_and_offsets),
        cmocka_unit_test(test_zone__berlin_skips_and_repeats_an_hour),
        cmocka_unit_test(test_zone__clocks_that_change_at_midnight),
        cmocka_unit_test(test_zone__a_day_that_was_skipped),
        cmocka_unit_test(test_zone__names_that_are_none),
        cmocka_unit_test(test_zone__periods_tile_time),
        cmocka_unit_test(test_zone__without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
