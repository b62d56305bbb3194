// Recommendations and targets: which figures make which sentence.

#include "node/advice.h"
#include "support.h"

// ---- what is said

typedef struct heard {
    char text[4096];
    size_t count;
} heard;

static void hear(void *arg, const char *text) {
    heard *all = arg;
    size_t len = strlen(all->text);
    (void)snprintf(all->text + len, sizeof all->text - len, "%s\n", text);
    all->count++;
    assert_true(strlen(text) > 20 && text[strlen(text) - 1] == '.');
}

static heard advice_on(fb_cache_figures *classes, size_t count) {
    heard all = {.count = 0};
    fb_stats stats = {.classes = classes, .class_count = count, .memory_limit_bytes = 1 << 20};
    fb_advice_give(&stats, hear, &all);
    return all;
}

static fb_cache_figures reads(const char *name, uint64_t hits, uint64_t misses) {
    fb_cache_figures one = {.hits = hits, .misses = misses, .loads = misses, .ttl_ms = 300000};
    (void)snprintf(one.name, sizeof one.name, "%s", name);
    return one;
}

static void assert_says(const heard *all, const char *words) {
    if (strstr(all->text, words) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", words, all->text);
    }
}

// ---- tests

static void test_advice__judges_hit_rates_by_their_bounds(void **state) {
    (void)state;
    static const struct {
        uint64_t hits;
        const char *words;
    } cases[] = {
        {1000,
         "hit rate 100.0% of 1000 reads: performing optimally. Over 95% it may be over-caching"},
        {951, "over-caching: see that its TTL (5m)"},
        {950, "hit rate 95.0% of 1000 reads: performing optimally."},
        {801, "hit rate 80.1% of 1000 reads: performing optimally."},
        {800, "hit rate 80.0% of 1000 reads: look for opportunities: a longer TTL (now 5m)"},
        {500, "hit rate 50.0% of 1000 reads: look for opportunities"},
        {499, "normalise keys; review query patterns"},
        {0, "hit rate 0.0% of 1000 reads: raise its TTL (now 5m)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_cache_figures one = reads("package", cases[i].hits, 1000 - cases[i].hits);
        heard all = advice_on(&one, 1);
        assert_says(&all, "Class 'package': ");
        assert_says(&all, cases[i].words);
        assert_int_equal(strstr(all.text, "over-caching") != NULL, cases[i].hits > 950);
    }
}

static void test_advice__says_when_there_is_too_little_to_judge_by(void **state) {
    (void)state;
    fb_cache_figures classes[] = {reads("", 0, 0), reads("package", 10, 9), reads("other", 0, 0)};
    heard all = advice_on(classes, 3);
    assert_int_equal(all.count, 1);
    assert_says(&all, "Class 'package': too few requests to judge (19 of the 20");
    classes[1] = reads("package", 0, 0);
    all = advice_on(classes, 3);
    assert_int_equal(all.count, 1);
    assert_says(&all, "too few requests");
    classes[1] = reads("package", 10, 10);
    all = advice_on(classes, 3);
    assert_says(&all, "hit rate 50.0% of 20 reads");
}

static void test_advice__names_the_speed_up_and_what_it_rests_on(void **state) {
    (void)state;
    fb_cache_figures one = reads("package", 42, 8);
    one.hit = (fb_latency){.count = 3, .mean_ms = 45.2};
    one.miss = (fb_latency){.count = 8, .mean_ms = 285.6};
    heard all = advice_on(&one, 1);
    assert_says(&all, "a hit is 6.3 times as fast as a miss (45.2 ms against 285.6 ms)");
    one.hit.mean_ms = 300;
    all = advice_on(&one, 1);
    assert_says(&all, "caching it gains nothing");
}

static void test_advice__speaks_of_plain_keys_as_such(void **state) {
    (void)state;
    fb_cache_figures one = reads("", 60, 40);
    one.loads = 0;
    one.ttl_ms = 0;
    one.hit = (fb_latency){.count = 3, .mean_ms = 0.001};
    one.miss = (fb_latency){.count = 8, .mean_ms = 0.001};
    heard all = advice_on(&one, 1);
    assert_int_equal(all.count, 1);
    assert_says(&all, "Plain keys: hit rate 60.0% of 100 reads");
}

static void test_advice__tells_of_errors_and_evictions(void **state) {
    (void)state;
    fb_cache_figures one = reads("package", 80, 20);
    heard all = {.count = 0};
    one.errors = 12;
    one.load_failures = 9;
    one.timeouts = 3;
    fb_stats stats = {.classes = &one,
                      .class_count = 1,
                      .memory_bytes = 1 << 20,
                      .memory_limit_bytes = 1 << 20,
                      .evictions = 7};
    fb_advice_give(&stats, hear, &all);
    assert_says(&all,
                "Class 'package': 12.0% of 100 reads ended in an error (9 loads failed, 3 reads "
                "timed out)");
    assert_says(&all, "Memory: 7 entries were evicted for want of room (1MiB of 1MiB in use)");
}

static void test_targets__are_met_or_not_or_not_known_yet(void **state) {
    (void)state;
    fb_target targets[FB_TARGET_COUNT];
    fb_stats stats = {.memory_bytes = 10, .memory_limit_bytes = 100};
    fb_advice_targets(&stats, targets);
    static const fb_met nothing_known[] = {FB_MET_UNKNOWN, FB_MET_UNKNOWN, FB_MET_UNKNOWN,
                                           FB_MET_YES, FB_MET_UNKNOWN};
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        assert_int_equal(targets[i].met, nothing_known[i]);
    }
    stats.all = reads("*", 76, 24);
    stats.all.hit = (fb_latency){.count = 1, .mean_ms = 99};
    stats.all.miss = (fb_latency){.count = 1, .mean_ms = 399};
    fb_advice_targets(&stats, targets);
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        assert_int_equal(targets[i].met, FB_MET_YES);
    }
    stats.all = reads("*", 75, 25);
    stats.all.hit = (fb_latency){.count = 1, .mean_ms = 100};
    stats.all.miss = (fb_latency){.count = 1, .mean_ms = 400};
    stats.all.errors = 1;
    stats.memory_bytes = 100;
    fb_advice_targets(&stats, targets);
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        assert_int_equal(targets[i].met, FB_MET_NO);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_advice__judges_hit_rates_by_their_bounds),
        cmocka_unit_test(test_advice__says_when_there_is_too_little_to_judge_by),
        cmocka_unit_test(test_advice__names_the_speed_up_and_what_it_rests_on),
        cmocka_unit_test(test_advice__speaks_of_plain_keys_as_such),
        cmocka_unit_test(test_advice__tells_of_errors_and_evictions),
        cmocka_unit_test(test_targets__are_met_or_not_or_not_known_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
