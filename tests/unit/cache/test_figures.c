// Counters and times, per class and in all.

#include "base/mem.h"
#include "cache_rig.h"

static void test_figures__after_nothing_all_is_zero(void **state) {
    fb_cache *cache = rig_cache();
    fb_stats stats = {0};
    assert_ok(fb_cache_stats(cache, &stats));
    assert_int_equal(stats.class_count, 4);
    assert_string_equal(stats.all.name, "*");
    assert_string_equal(stats.classes[0].name, "");
    assert_string_equal(stats.classes[1].name, "page");
    assert_string_equal(stats.classes[3].name, "list");
    assert_int_equal(stats.all.hits, 0);
    assert_int_equal(stats.all.ttl_ms, 0);
    assert_int_equal(stats.classes[0].ttl_ms, 0);
    assert_int_equal(stats.classes[1].ttl_ms, 60000);
    assert_int_equal(stats.all.hit.count, 0);
    assert_true(stats.all.hit.p99_ms == 0 && stats.all.load.mean_ms == 0);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(stats.memory_limit_bytes, 8 << 20);
    fb_mem_free(stats.classes);
    fb_cache_free(cache);
}

static void test_figures__count_and_time_by_class_and_in_all(void **state) {
    fb_cache *cache = rig_cache();
    fb_stats stats = {0};
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_hits, 3);
    fb_cache_count(cache, RIG_LIST, FB_COUNTER_hits, 4);
    fb_cache_count(cache, RIG_LIST, FB_COUNTER_misses, 1);
    fb_cache_count(cache, 0, FB_COUNTER_sets, 2);
    fb_cache_count(cache, 999, FB_COUNTER_sets, 2);    // nobody's
    fb_cache_count(cache, 65535, FB_COUNTER_sets, 2);  // likewise
    fb_cache_time(cache, RIG_PAGE, FB_TIMING_HIT, 1000000);
    fb_cache_time(cache, RIG_LIST, FB_TIMING_HIT, 3000000);
    fb_cache_time(cache, RIG_LIST, FB_TIMING_LOAD, 9000000);
    rig_put(cache, "a", "1", 0, 1);
    assert_ok(fb_cache_stats(cache, &stats));
    assert_int_equal(stats.all.hits, 7);
    assert_int_equal(stats.all.misses, 1);
    assert_int_equal(stats.all.sets, 2);
    assert_int_equal(stats.classes[1].hits, 3);
    assert_int_equal(stats.classes[3].hits, 4);
    assert_int_equal(stats.all.hit.count, 2);
    assert_float_equal(stats.all.hit.mean_ms, 2, 0.0001);
    assert_float_equal(stats.all.hit.max_ms, 3, 0.0001);
    assert_float_equal(stats.classes[1].hit.p50_ms, 1, 0.01);
    assert_float_equal(stats.classes[3].load.p99_ms, 9, 0.09);
    assert_int_equal(stats.classes[3].miss.count, 0);
    assert_int_equal(stats.all.ttl_ms, 60000);  // of the class that is read most
    assert_int_equal(stats.entries, 1);
    assert_true(stats.memory_bytes > 0);
    fb_mem_free(stats.classes);
    fb_cache_stats_reset(cache);
    assert_ok(fb_cache_stats(cache, &stats));
    assert_int_equal(stats.all.hits, 0);
    assert_int_equal(stats.all.hit.count, 0);
    assert_int_equal(stats.entries, 1);
    fb_mem_free(stats.classes);
    fb_cache_free(cache);
}

// Readers' hits are counted twice, and figures may be reset in between.
static void test_figures__hits_of_the_region_never_pass_hits(void **state) {
    fb_cache *cache = rig_cache();
    fb_stats stats = {0};
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_hits, 5);
    fb_cache_stats_reset(cache);
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_region_hits, 5);
    fb_cache_count(cache, RIG_LIST, FB_COUNTER_hits, 2);
    assert_ok(fb_cache_stats(cache, &stats));
    assert_int_equal(stats.classes[1].region_hits, 0);
    assert_true(stats.all.region_hits <= stats.all.hits);
    fb_mem_free(stats.classes);
    fb_cache_free(cache);
}

static void test_figures__a_class_that_comes_back_has_its_own_again(void **state) {
    fb_cache *cache = rig_cache();
    fb_stats stats = {0};
    fb_cache_count(cache, RIG_LIST, FB_COUNTER_hits, 4);
    fb_class *one[] = {NULL, rig_class(RIG_PAGE, rig_page())};
    assert_ok(fb_cache_swap(cache, rig_catalog_of(one, 2)));
    assert_ok(fb_cache_stats(cache, &stats));
    assert_int_equal(stats.class_count, 2);
    assert_int_equal(stats.all.hits, 4);
    fb_mem_free(stats.classes);
    assert_ok(fb_cache_swap(cache, rig_catalog()));
    assert_ok(fb_cache_stats(cache, &stats));
    assert_int_equal(stats.classes[3].hits, 4);
    fb_mem_free(stats.classes);
    fb_cache_free(cache);
}

// ---- windows

static const int64_t SECOND = 1000000000;

static fb_stats over(fb_cache *cache, fb_window window, int64_t now_ns) {
    fb_stats stats = {0};
    assert_ok(fb_cache_stats_over(cache, window, now_ns, &stats));
    fb_mem_free(stats.classes);
    stats.classes = NULL;
    return stats;
}

static void test_figures__of_the_last_minute_and_hour_leave_what_is_older(void **state) {
    fb_cache *cache = rig_cache();
    int64_t start = 7 * SECOND;
    fb_cache_stats_tick(cache, start);
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_hits, 3);
    fb_cache_time(cache, RIG_PAGE, FB_TIMING_HIT, 2000000);
    // At once, before any tick.
    fb_stats stats = over(cache, FB_WINDOW_MINUTE, start + SECOND);
    assert_int_equal(stats.all.hits, 3);
    assert_int_equal(stats.all.hit.count, 1);
    assert_float_equal(stats.all.hit.p99_ms, 2, 0.02);
    assert_int_equal(stats.window_ms, 1000);
    fb_cache_stats_tick(cache, start + 5 * SECOND);
    fb_cache_count(cache, RIG_LIST, FB_COUNTER_hits, 4);
    fb_cache_time(cache, RIG_LIST, FB_TIMING_HIT, 9000000);
    fb_cache_stats_tick(cache, start + 10 * SECOND);
    stats = over(cache, FB_WINDOW_MINUTE, start + 59 * SECOND);
    assert_int_equal(stats.all.hits, 7);
    assert_int_equal(stats.window_ms, 59000);
    // The first slice is over a minute old.
    stats = over(cache, FB_WINDOW_MINUTE, start + 60 * SECOND);
    assert_int_equal(stats.all.hits, 4);
    assert_int_equal(stats.all.hit.count, 1);
    assert_float_equal(stats.all.hit.mean_ms, 9, 0.0001);
    assert_float_equal(stats.all.hit.max_ms, 9, 0.09);
    assert_int_equal(stats.window_ms, 55000);
    assert_int_equal(over(cache, FB_WINDOW_HOUR, start + 60 * SECOND).all.hits, 7);
    assert_int_equal(over(cache, FB_WINDOW_MINUTE, start + 65 * SECOND).all.hits, 0);
    assert_int_equal(over(cache, FB_WINDOW_HOUR, start + 3599 * SECOND).all.hits, 7);
    stats = over(cache, FB_WINDOW_HOUR, start + 3600 * SECOND);
    assert_int_equal(stats.all.hits, 0);
    assert_int_equal(stats.all.hit.count, 0);
    assert_int_equal(stats.window_ms, 3300000);
    stats = over(cache, FB_WINDOW_START, start + 3600 * SECOND);
    assert_int_equal(stats.all.hits, 7);
    assert_int_equal(stats.window_ms, 3600000);
    fb_cache_free(cache);
}

static void test_figures__of_windows_begin_anew_with_a_reset(void **state) {
    fb_cache *cache = rig_cache();
    fb_cache_stats_tick(cache, SECOND);
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_hits, 3);
    fb_cache_time(cache, RIG_PAGE, FB_TIMING_HIT, 2000000);
    fb_cache_stats_tick(cache, 8 * SECOND);
    fb_cache_stats_reset(cache);
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_hits, 2);
    fb_cache_stats_tick(cache, 9 * SECOND);
    fb_stats stats = over(cache, FB_WINDOW_HOUR, 19 * SECOND);
    assert_int_equal(stats.all.hits, 2);
    assert_int_equal(stats.all.hit.count, 0);
    assert_int_equal(stats.window_ms, 10000);
    assert_int_equal(over(cache, FB_WINDOW_START, 19 * SECOND).window_ms, 10000);
    fb_cache_free(cache);
}

static void test_figures__a_reload_keeps_those_of_windows(void **state) {
    fb_cache *cache = rig_cache();
    fb_cache_stats_tick(cache, SECOND);
    fb_cache_count(cache, RIG_LIST, FB_COUNTER_misses, 4);
    fb_class *one[] = {NULL, rig_class(RIG_PAGE, rig_page())};
    assert_ok(fb_cache_swap(cache, rig_catalog_of(one, 2)));
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_misses, 1);
    fb_cache_stats_tick(cache, 7 * SECOND);
    assert_int_equal(over(cache, FB_WINDOW_MINUTE, 8 * SECOND).all.misses, 5);
    fb_cache_free(cache);
}

static void test_figures__of_windows_count_what_went_for_want_of_room(void **state) {
    fb_cache *cache = rig_cache();
    char value[40000];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    fb_cache_stats_tick(cache, SECOND);
    for (int i = 0; i < 600; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        rig_put(cache, key, value, 0, 1);
    }
    uint64_t evictions = over(cache, FB_WINDOW_MINUTE, 2 * SECOND).evictions;
    assert_true(evictions > 0);
    assert_int_equal(over(cache, FB_WINDOW_START, 2 * SECOND).evictions, evictions);
    assert_int_equal(over(cache, FB_WINDOW_MINUTE, 70 * SECOND).evictions, evictions);  // handed over now
    assert_int_equal(over(cache, FB_WINDOW_MINUTE, 140 * SECOND).evictions, 0);
    assert_int_equal(over(cache, FB_WINDOW_HOUR, 140 * SECOND).evictions, evictions);
    fb_cache_free(cache);
}

// ---- against an array

typedef struct counted {
    int64_t at_ns;  // the end of the slice it is in
    int class_;
    uint64_t amount;
} counted;

enum { EVENTS = 400 };

// Ticks that are in time, and any times of reading: what is counted in a slice is in all windows that
// begin with it or before it, and in no other.
static void test_figures__random_programs_add_up(void **state) {
    fb_rng rng = test_rng();
    for (int round = 0; round < 8; round++) {
        static counted all[EVENTS];
        size_t count = 0;
        fb_cache *cache = rig_cache();
        int64_t tick = 0;  // 0.5 s each
        fb_cache_stats_tick(cache, 0);
        while (count < EVENTS) {
            uint64_t dice = fb_rng_below(&rng, 10);
            if (dice < 4) {
                int class_ = fb_rng_below(&rng, 2) != 0 ? RIG_PAGE : RIG_LIST;
                uint64_t amount = 1 + fb_rng_below(&rng, 9);
                fb_cache_count(cache, (uint16_t)class_, FB_COUNTER_loads, amount);
                all[count++] = (counted){(tick / 10 + 1) * 5 * SECOND, class_, amount};
            } else if (dice < 8) {
                for (uint64_t more = fb_rng_below(&rng, 60) + 1; more > 0; more--) {
                    fb_cache_stats_tick(cache, ++tick * SECOND / 2);
                }
            } else {
                bool hour = dice == 8;
                int64_t slice = tick / 10;
                int64_t first = hour ? slice / 60 - 11 > 0 ? (slice / 60 - 11) * 60 : 0
                                     : slice - 11 > 0 ? slice - 11 : 0;
                uint64_t expected = 0;
                for (size_t i = 0; i < count; i++) {
                    expected += all[i].at_ns > first * 5 * SECOND ? all[i].amount : 0;
                }
                fb_stats stats = over(cache, hour ? FB_WINDOW_HOUR : FB_WINDOW_MINUTE,
                                      tick * SECOND / 2);
                assert_int_equal(stats.all.loads, expected);
            }
        }
        fb_cache_free(cache);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures__after_nothing_all_is_zero),
        cmocka_unit_test(test_figures__count_and_time_by_class_and_in_all),
        cmocka_unit_test(test_figures__hits_of_the_region_never_pass_hits),
        cmocka_unit_test(test_figures__a_class_that_comes_back_has_its_own_again),
        cmocka_unit_test(test_figures__of_the_last_minute_and_hour_leave_what_is_older),
        cmocka_unit_test(test_figures__of_windows_begin_anew_with_a_reset),
        cmocka_unit_test(test_figures__a_reload_keeps_those_of_windows),
        cmocka_unit_test(test_figures__of_windows_count_what_went_for_want_of_room),
        cmocka_unit_test(test_figures__random_programs_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
