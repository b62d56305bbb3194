// Why a key missed: by what is known of how it went.

#include "cache/misses.h"
#include "support.h"

static void test_misses__the_reason_is_how_the_key_went(void **state) {
    fb_misses *misses = NULL;
    fb_str key = FB_STR("a");
    assert_ok(fb_misses_new(1, &misses));
    assert_int_equal(fb_misses_last(misses, key), FB_MISS_UNKNOWN);
    fb_misses_note(misses, key, FB_MISS_UNKNOWN, 100);
    assert_int_equal(fb_misses_last(misses, key), FB_MISS_NEVER_LOADED_OR_EVICTED);
    fb_misses_stored(misses, key, 200);
    // It is still the last miss that is told.
    assert_int_equal(fb_misses_last(misses, key), FB_MISS_NEVER_LOADED_OR_EVICTED);
    fb_misses_note(misses, key, FB_MISS_UNKNOWN, 150);  // gone before its time
    assert_int_equal(fb_misses_last(misses, key), FB_MISS_NEVER_LOADED_OR_EVICTED);
    fb_misses_note(misses, key, FB_MISS_UNKNOWN, 200);
    assert_int_equal(fb_misses_last(misses, key), FB_MISS_EXPIRED);
    fb_misses_gone(misses, key, FB_MISS_TAG);
    fb_misses_note(misses, key, FB_MISS_UNKNOWN, 150);
    assert_int_equal(fb_misses_last(misses, key), FB_MISS_TAG);
    fb_misses_stored(misses, key, 300);
    fb_misses_all_gone(misses, FB_MISS_CLEARED);
    fb_misses_note(misses, key, FB_MISS_UNKNOWN, 150);
    assert_int_equal(fb_misses_last(misses, key), FB_MISS_CLEARED);
    fb_misses_note(misses, key, FB_MISS_SOURCE_FAILED, 150);
    assert_int_equal(fb_misses_last(misses, key), FB_MISS_SOURCE_FAILED);
    assert_int_equal(fb_misses_last(misses, FB_STR("b")), FB_MISS_UNKNOWN);
    fb_misses_free(misses);
}

static void test_misses__memory_is_bounded_and_one_key_is_not_another(void **state) {
    fb_misses *misses = NULL;
    size_t known = 0;
    assert_ok(fb_misses_new(1, &misses));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 100000; i++) {
            char key[16];
            fb_miss_reason reason = i % 2 == 0 ? FB_MISS_TAG : FB_MISS_DELETED;
            (void)snprintf(key, sizeof key, "%d", i);
            if (round == 0) {
                fb_misses_note(misses, fb_str_of(key), reason, 1);
                continue;
            }
            fb_miss_reason told = fb_misses_last(misses, fb_str_of(key));
            assert_true(told == FB_MISS_UNKNOWN || told == reason);
            known += told == reason;
        }
    }
    assert_in_range(known, 3900, 4096);
    fb_misses_free(misses);
}

static void test_misses__every_reason_has_a_text_that_fits(void **state) {
    fb_explanation explanation;
    assert_string_equal(fb_misses_text(FB_MISS_UNKNOWN), "");
    for (fb_miss_reason reason = FB_MISS_NEVER_LOADED_OR_EVICTED; reason <= FB_MISS_SOURCE_FAILED;
         reason++) {
        assert_in_range(strlen(fb_misses_text(reason)), 1, sizeof explanation.last_miss - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misses__the_reason_is_how_the_key_went),
        cmocka_unit_test(test_misses__memory_is_bounded_and_one_key_is_not_another),
        cmocka_unit_test(test_misses__every_reason_has_a_text_that_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
