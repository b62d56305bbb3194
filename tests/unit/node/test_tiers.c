// Figures by tier: one read may ask all three, and what they say stays possible whatever is counted meanwhile.

#include <stdio.h>
#include <string.h>

#include "node/tiers.h"
#include "support.h"

static void test_tiers__one_read_may_ask_all_three(void **state) {
    (void)state;
    // Of 100 reads 90 were in memory; 10 asked the shared tier, which had 6, failed once and had nothing for 3;
    // of 4 loads one failed and one found nothing.
    fb_cache_figures figures = {.hits = 96, .misses = 4, .shared_reads = 10, .shared_hits = 6,
                                .shared_failures = 1, .shared_passed_by = 1, .loads = 4,
                                .load_failures = 1, .load_negatives = 1, .fallback_hits = 1};
    fb_tier_figures tiers[FB_TIER_FIGURES];
    fb_tiers_of(&figures, tiers);
    assert_string_equal(tiers[0].name, "memory");
    assert_int_equal(tiers[0].requests, 100);
    assert_int_equal(tiers[0].hits, 90);
    assert_int_equal(tiers[0].misses, 10);
    assert_true(tiers[0].hit_rate_percent == 90);
    assert_string_equal(tiers[1].name, "shared");
    assert_int_equal(tiers[1].requests, 10);
    assert_int_equal(tiers[1].hits, 6);
    assert_int_equal(tiers[1].misses, 3);
    assert_int_equal(tiers[1].failures, 1);
    assert_int_equal(tiers[1].fallbacks, 1);
    assert_string_equal(tiers[2].name, "source");
    assert_int_equal(tiers[2].requests, 4);
    assert_int_equal(tiers[2].hits, 2);
    assert_int_equal(tiers[2].misses, 1);
    assert_int_equal(tiers[2].failures, 1);
    assert_int_equal(tiers[2].fallbacks, 1);
    assert_true(tiers[2].hit_rate_percent == 50);
}

// Counters are read one after the other: a part may be ahead of its whole.
static void test_tiers__never_fall_below_nothing(void **state) {
    (void)state;
    fb_rng rng = test_rng();
    for (int round = 0; round < 10000; round++) {
        fb_cache_figures figures = {.hits = fb_rng_next(&rng) % 8,
                                    .misses = fb_rng_next(&rng) % 8,
                                    .shared_reads = fb_rng_next(&rng) % 8,
                                    .shared_hits = fb_rng_next(&rng) % 8,
                                    .shared_failures = fb_rng_next(&rng) % 8,
                                    .loads = fb_rng_next(&rng) % 8,
                                    .load_failures = fb_rng_next(&rng) % 8,
                                    .load_negatives = fb_rng_next(&rng) % 8};
        fb_tier_figures tiers[FB_TIER_FIGURES];
        fb_tiers_of(&figures, tiers);
        for (size_t i = 0; i < FB_TIER_FIGURES; i++) {
            assert_true(tiers[i].hits <= 8 + 8);
            assert_true(tiers[i].misses <= 8 + 8);
            assert_true(tiers[i].hit_rate_percent >= 0);
            assert_true(tiers[i].requests > 0 || tiers[i].hit_rate_percent == 0);
        }
    }
}

static void test_tiers__are_said_by_name_and_zero_without_anything(void **state) {
    (void)state;
    static const char *const members[] = {"requests", "hits", "misses", "failures", "fallbacks",
                                          "hit_rate_percent", "mean_ms", "p50_ms", "p95_ms", "p99_ms"};
    fb_cache_figures figures = {0};
    fb_buf out = {0};
    fb_reply reply;
    fb_reply_init(&reply, FB_ENCODING_JSON, &out);
    fb_reply_map(&reply, 1);
    fb_tiers_say(&reply, &figures);
    assert_false(fb_reply_failed(&reply));
    assert_ok(fb_buf_byte(&out, '\0'));
    const char *at = out.ptr;
    static const char *const names[] = {"\"memory\":{", "\"shared\":{", "\"source\":{"};
    for (size_t i = 0; i < FB_TIER_FIGURES; i++) {
        at = strstr(at, names[i]);
        assert_non_null(at);
        for (size_t j = 0; j < sizeof members / sizeof members[0]; j++) {
            char wanted[40];
            (void)snprintf(wanted, sizeof wanted, "\"%s\":0", members[j]);
            at = strstr(at, wanted);
            assert_non_null(at);
        }
    }
    fb_buf_release(&out);
}

static void test_tiers__are_numbers_to_clients_that_know_numbers(void **state) {
    (void)state;
    fb_cache_figures figures = {.hits = 1, .misses = 1, .hit = {.count = 1, .mean_ms = 0.25}};
    fb_buf out = {0};
    fb_reply reply;
    fb_reply_init(&reply, FB_ENCODING_RESP3, &out);
    fb_tiers_say(&reply, &figures);
    assert_false(fb_reply_failed(&reply));
    assert_ok(fb_buf_byte(&out, '\0'));
    assert_non_null(strstr(out.ptr, "hit_rate_percent\r\n,50\r\n"));
    assert_non_null(strstr(out.ptr, "mean_ms\r\n,0.25\r\n"));
    fb_buf_release(&out);
}

static void test_tiers__windows_have_names(void **state) {
    (void)state;
    static const fb_window windows[] = {FB_WINDOW_START, FB_WINDOW_MINUTE, FB_WINDOW_HOUR};
    fb_window read;
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        assert_true(fb_window_read(fb_str_of(fb_window_name(windows[i])), &read));
        assert_int_equal(read, windows[i]);
    }
    assert_true(fb_window_read(FB_STR("MINUTE"), &read));
    assert_int_equal(read, FB_WINDOW_MINUTE);
    assert_false(fb_window_read(FB_STR("week"), &read));
    assert_false(fb_window_read(FB_STR(""), &read));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiers__one_read_may_ask_all_three),
        cmocka_unit_test(test_tiers__never_fall_below_nothing),
        cmocka_unit_test(test_tiers__are_said_by_name_and_zero_without_anything),
        cmocka_unit_test(test_tiers__are_numbers_to_clients_that_know_numbers),
        cmocka_unit_test(test_tiers__windows_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
