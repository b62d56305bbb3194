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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures__after_nothing_all_is_zero),
        cmocka_unit_test(test_figures__count_and_time_by_class_and_in_all),
        cmocka_unit_test(test_figures__hits_of_the_region_never_pass_hits),
        cmocka_unit_test(test_figures__a_class_that_comes_back_has_its_own_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
