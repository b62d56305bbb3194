// Targets: one line in the log when one begins to be missed, one when that is over, whatever the figure does in
// between.

#include <stdio.h>
#include <string.h>

#include "node/watch.h"
#include "support.h"

static const int64_t SECOND = 1000000000;

typedef struct heard {
    char events[64][32];
    size_t count;
} heard;

static heard log_of_test;

static void hear(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level;
    if (strncmp(event, "target_", 7) == 0 && log_of_test.count < 64) {
        const char *name = strstr(fields, "target=");
        assert_non_null(name);
        (void)snprintf(log_of_test.events[log_of_test.count++], 32, "%s %.*s", event + 7,
                       (int)strcspn(name + 7, " "), name + 7);
    }
}

static int listen_to_log(void **state) {
    (void)state;
    static const fb_hooks hooks = {.log = hear};
    fb_hooks_set(&hooks);
    memset(&log_of_test, 0, sizeof log_of_test);
    return 0;
}

static fb_stats minute(uint64_t hits, uint64_t misses) {
    return (fb_stats){.all = {.hits = hits, .misses = misses},
                      .memory_bytes = 1,
                      .memory_limit_bytes = 100,
                      .window_ms = 60000};
}

static int64_t now_ns;

static void look(fb_watch *watch, uint64_t hits, uint64_t misses, int times) {
    fb_stats stats = minute(hits, misses);
    for (int i = 0; i < times; i++) {
        now_ns += FB_WATCH_EVERY_S * SECOND;
        fb_watch_look(watch, &stats, now_ns);
    }
}

static void test_watch__tells_once_that_a_target_is_missed_and_once_that_it_is_met(void **state) {
    (void)state;
    fb_watch watch = {0};
    now_ns = SECOND;
    look(&watch, 90, 10, FB_WATCH_END);
    assert_int_equal(log_of_test.count, 0);  // that it is met is no news
    assert_int_equal(fb_watch_read(&watch, 0, now_ns).met, FB_MET_YES);
    look(&watch, 10, 90, FB_WATCH_BEGIN - 1);
    assert_int_equal(log_of_test.count, 0);
    look(&watch, 10, 90, 50);
    assert_int_equal(log_of_test.count, 1);
    assert_string_equal(log_of_test.events[0], "missed hit_rate");
    fb_watched is = fb_watch_read(&watch, 0, now_ns);
    assert_int_equal(is.met, FB_MET_NO);
    assert_int_equal(is.for_ms, (50 - 1) * FB_WATCH_EVERY_S * 1000);
    look(&watch, 90, 10, FB_WATCH_END - 1);
    assert_int_equal(log_of_test.count, 1);
    look(&watch, 90, 10, 1);
    assert_int_equal(log_of_test.count, 2);
    assert_string_equal(log_of_test.events[1], "met hit_rate");
}

static void test_watch__a_figure_that_goes_back_and_forth_is_no_news(void **state) {
    (void)state;
    fb_watch watch = {0};
    now_ns = SECOND;
    look(&watch, 90, 10, FB_WATCH_END);
    for (int i = 0; i < 100; i++) {
        look(&watch, 10, 90, FB_WATCH_BEGIN - 1);
        look(&watch, 90, 10, 1);
    }
    assert_int_equal(log_of_test.count, 0);
    look(&watch, 10, 90, FB_WATCH_BEGIN);
    for (int i = 0; i < 100; i++) {
        look(&watch, 90, 10, FB_WATCH_END - 1);
        look(&watch, 10, 90, 1);
    }
    assert_int_equal(log_of_test.count, 1);
}

static void test_watch__without_reads_it_is_neither(void **state) {
    (void)state;
    fb_watch watch = {0};
    now_ns = SECOND;
    look(&watch, 10, 90, FB_WATCH_BEGIN);
    assert_int_equal(log_of_test.count, 1);
    look(&watch, 0, 0, FB_WATCH_FORGET - 1);
    assert_int_equal(fb_watch_read(&watch, 0, now_ns).met, FB_MET_NO);
    look(&watch, 0, 0, 1);
    assert_int_equal(fb_watch_read(&watch, 0, now_ns).met, FB_MET_UNKNOWN);
    assert_int_equal(log_of_test.count, 2);
    assert_string_equal(log_of_test.events[1], "not_judged hit_rate");
}

static void test_watch__each_target_is_by_itself(void **state) {
    (void)state;
    fb_watch watch = {0};
    fb_stats stats = minute(10, 90);
    stats.all.errors = 50;
    stats.all.miss = (fb_latency){.count = 90, .mean_ms = 1000};
    stats.memory_bytes = 100;
    now_ns = SECOND;
    for (int i = 0; i < FB_WATCH_BEGIN; i++) {
        fb_watch_look(&watch, &stats, now_ns);
    }
    assert_int_equal(log_of_test.count, 4);
    assert_string_equal(log_of_test.events[0], "missed hit_rate");
    assert_string_equal(log_of_test.events[1], "missed miss_latency");
    assert_string_equal(log_of_test.events[2], "missed memory");
    assert_string_equal(log_of_test.events[3], "missed error_rate");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            test_watch__tells_once_that_a_target_is_missed_and_once_that_it_is_met, listen_to_log),
        cmocka_unit_test_setup(test_watch__a_figure_that_goes_back_and_forth_is_no_news,
                               listen_to_log),
        cmocka_unit_test_setup(test_watch__without_reads_it_is_neither, listen_to_log),
        cmocka_unit_test_setup(test_watch__each_target_is_by_itself, listen_to_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
