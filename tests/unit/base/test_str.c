// Byte strings, numbers, units, patterns.

#include "support.h"

#include "base/glob.h"
#include "base/units.h"

static void test_str__compares(void **state) {
    assert_true(fb_str_same(FB_STR("AbZ1"), FB_STR("aBz1")));
    assert_false(fb_str_same(FB_STR("@["), FB_STR("`{")));
    assert_false(fb_str_same(FB_STR("a"), FB_STR("ab")));
    assert_true(fb_str_compare(FB_STR("a"), FB_STR("b")) < 0);
    assert_true(fb_str_compare(FB_STR("b\xff"), FB_STR("bz")) > 0);
    assert_true(fb_str_compare(FB_STR("a"), FB_STR("ab")) < 0);
    assert_int_equal(fb_str_compare(fb_str_make(NULL, 0), FB_STR("")), 0);
}

static void test_str__looks_inside(void **state) {
    const fb_str none = {NULL, 0};

    assert_true(fb_str_starts(FB_STR("abc"), FB_STR("ab")));
    assert_false(fb_str_starts(FB_STR("a"), FB_STR("ab")));
    assert_true(fb_str_starts(none, none));
    assert_true(fb_str_ends(FB_STR("abc"), FB_STR("bc")));
    assert_false(fb_str_ends(FB_STR("abc"), FB_STR("ab")));
    assert_true(fb_str_ends(none, none));
    assert_int_equal(fb_str_find(FB_STR("abcb"), 'b'), 1);
    assert_int_equal(fb_str_find(FB_STR("abc"), 'x'), 3);
    assert_int_equal(fb_str_find(none, 'x'), 0);
    assert_str(fb_str_trim(FB_STR(" \t\r\n a b \v\f")), "a b");
    assert_int_equal(fb_str_trim(FB_STR("  ")).len, 0);
    assert_int_equal(fb_str_trim(none).len, 0);
}

static void test_str__reads_integers_as_redis_does(void **state) {
    static const struct {
        const char *text;
        int result;
        int64_t number;
    } cases[] = {
        {"0", FB_OK, 0},
        {"7", FB_OK, 7},
        {"-7", FB_OK, -7},
        {"9223372036854775807", FB_OK, INT64_MAX},
        {"-9223372036854775808", FB_OK, INT64_MIN},
        {"9223372036854775808", FB_ERANGE, 0},
        {"-9223372036854775809", FB_ERANGE, 0},
        {"99999999999999999999999999", FB_ERANGE, 0},
        {"", FB_ETYPE, 0},
        {"-", FB_ETYPE, 0},
        {"-0", FB_ETYPE, 0},
        {"00", FB_ETYPE, 0},
        {"01", FB_ETYPE, 0},
        {"-01", FB_ETYPE, 0},
        {"+1", FB_ETYPE, 0},
        {" 1", FB_ETYPE, 0},
        {"1 ", FB_ETYPE, 0},
        {"1.0", FB_ETYPE, 0},
        {"1e3", FB_ETYPE, 0},
        {"99999999999999999999999999x", FB_ETYPE, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t number = 0;
        assert_result(fb_str_int(fb_str_of(cases[i].text), &number), cases[i].result);
        assert_true(number == cases[i].number);
    }
}

static void test_str__reads_doubles(void **state) {
    static const char *const wrong[] = {"",    ".",  "-",  "1e",  "1e+",  "e5",    "0x10", "inf",
                                        "nan", " 1", "1 ", "1,5", "1.5.", "1e999", "--1"};
    double number;

    assert_ok(fb_str_double(FB_STR("-1.5e3"), &number));
    assert_true(number == -1500.0);
    assert_ok(fb_str_double(FB_STR(".5"), &number));
    assert_true(number == 0.5);
    assert_ok(fb_str_double(FB_STR("+5."), &number));
    assert_true(number == 5.0);
    assert_ok(fb_str_double(FB_STR("1e-999"), &number));
    assert_true(number == 0.0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_result(fb_str_double(fb_str_of(wrong[i]), &number), FB_ETYPE);
    }
    char longer[600];
    memset(longer, '1', sizeof(longer));
    assert_result(fb_str_double(fb_str_make(longer, 512), &number), FB_ETYPE);
    assert_ok(fb_str_double(fb_str_make(longer, 300), &number));
}

static void test_str__distance_is_levenshtein(void **state) {
    assert_int_equal(fb_str_distance(FB_STR("kitten"), FB_STR("sitting"), 9), 3);
    assert_int_equal(fb_str_distance(FB_STR("sitting"), FB_STR("kitten"), 9), 3);
    assert_int_equal(fb_str_distance(FB_STR("kitten"), FB_STR("sitting"), 2), 2);
    assert_int_equal(fb_str_distance(FB_STR(""), FB_STR("abc"), 9), 3);
    assert_int_equal(fb_str_distance(FB_STR("tll"), FB_STR("ttl"), 9), 1);
    assert_int_equal(fb_str_distance(FB_STR("same"), FB_STR("same"), 0), 0);
    char longer[300];
    memset(longer, 'x', sizeof(longer));
    assert_int_equal(fb_str_distance(fb_str_make(longer, 300), fb_str_make(longer, 299), 9), 9);
    assert_int_equal(fb_str_distance(fb_str_make(longer, 300), fb_str_make(longer, 300), 9), 0);
}

static void test_units__reads_durations(void **state) {
    static const struct {
        const char *text;
        int result;
        int64_t ns;
    } cases[] = {
        {"0", FB_OK, 0},
        {"0s", FB_OK, 0},
        {"250ms", FB_OK, 250 * FB_NS_PER_MS},
        {"5s", FB_OK, 5 * FB_NS_PER_S},
        {"1.5h", FB_OK, 5400 * FB_NS_PER_S},
        {"2d", FB_OK, 172800 * FB_NS_PER_S},
        {"1w", FB_OK, 604800 * FB_NS_PER_S},
        {"1h30m", FB_OK, 5400 * FB_NS_PER_S},
        {"1m1.5s", FB_OK, 61500 * FB_NS_PER_MS},
        {"1.1ns", FB_OK, 1},
        {"0.1s", FB_OK, 100 * FB_NS_PER_MS},
        {"0.000000001s", FB_OK, 1},
        {"7us", FB_OK, 7000},
        {"9223372036854775807ns", FB_OK, INT64_MAX},
        {"9223372036854775808ns", FB_ERANGE, 0},
        {"9223372036s854775808ns", FB_ERANGE, 0},
        {"99999999999999999999w", FB_ERANGE, 0},
        {"0.5ns", FB_ERANGE, 0},
        {"0.0000000000000000000000000001w", FB_ERANGE, 0},
        {"", FB_ETYPE, 0},
        {"5", FB_ETYPE, 0},
        {"00", FB_ETYPE, 0},
        {"s", FB_ETYPE, 0},
        {"-5s", FB_ETYPE, 0},
        {"+5s", FB_ETYPE, 0},
        {"5 s", FB_ETYPE, 0},
        {"5s ", FB_ETYPE, 0},
        {"5S", FB_ETYPE, 0},
        {".5s", FB_ETYPE, 0},
        {"5.s", FB_ETYPE, 0},
        {"5x", FB_ETYPE, 0},
        {"30m1h", FB_ETYPE, 0},
        {"1h1h", FB_ETYPE, 0},
        {"1.5h30m", FB_ETYPE, 0},
        {"99999999999999999999w5x", FB_ETYPE, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ns = 0;
        assert_result(fb_units_duration(fb_str_of(cases[i].text), &ns), cases[i].result);
        assert_true(ns == cases[i].ns);
    }
}

static void test_units__reads_bytes(void **state) {
    static const struct {
        const char *text;
        int result;
        uint64_t bytes;
    } cases[] = {
        {"0", FB_OK, 0},
        {"512", FB_OK, 512},
        {"512B", FB_OK, 512},
        {"64KiB", FB_OK, 65536},
        {"64K", FB_OK, 65536},
        {"64KB", FB_OK, 64000},
        {"256MiB", FB_OK, UINT64_C(268435456)},
        {"1.5GiB", FB_OK, UINT64_C(1610612736)},
        {"1.5G", FB_OK, UINT64_C(1610612736)},
        {"2TB", FB_OK, UINT64_C(2000000000000)},
        {"0.1KiB", FB_OK, 102},
        {"18446744073709551615", FB_OK, UINT64_MAX},
        {"16777215.9999999999TiB", FB_OK, UINT64_C(18446744073709551506)},
        {"18446744073709551616", FB_ERANGE, 0},
        {"16777216T", FB_ERANGE, 0},
        {"0.0001K", FB_ERANGE, 0},
        {"", FB_ETYPE, 0},
        {"K", FB_ETYPE, 0},
        {"1.5", FB_ETYPE, 0},
        {"1.5B", FB_ETYPE, 0},
        {"64kb", FB_ETYPE, 0},
        {"64 KiB", FB_ETYPE, 0},
        {"-1", FB_ETYPE, 0},
        {"1K1", FB_ETYPE, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t bytes = 0;
        assert_result(fb_units_bytes(fb_str_of(cases[i].text), &bytes), cases[i].result);
        assert_true(bytes == cases[i].bytes);
    }
}

static void test_units__shows_short_forms(void **state) {
    char text[48];

    assert_string_equal(fb_units_show_duration(0, text, 48), "0");
    assert_string_equal(fb_units_show_duration(5400 * FB_NS_PER_S, text, 48), "1h30m");
    assert_string_equal(fb_units_show_duration(1500 * FB_NS_PER_MS, text, 48), "1.5s");
    assert_string_equal(fb_units_show_duration(60250 * FB_NS_PER_MS, text, 48), "1m250ms");
    assert_string_equal(fb_units_show_duration(1209600 * FB_NS_PER_S, text, 48), "2w");
    assert_string_equal(fb_units_show_duration(8 * 86400 * FB_NS_PER_S, text, 48), "8d");
    assert_string_equal(fb_units_show_duration(-5 * FB_NS_PER_S, text, 48), "-5s");
    assert_string_equal(fb_units_show_duration(INT64_MIN, text, 48), "-106751d23h47m16.854775808s");
    assert_string_equal(fb_units_show_duration(5400 * FB_NS_PER_S, text, 3), "1h");
    assert_string_equal(fb_units_show_bytes(0, text, 48), "0");
    assert_string_equal(fb_units_show_bytes(UINT64_C(1) << 28, text, 48), "256MiB");
    assert_string_equal(fb_units_show_bytes(64000, text, 48), "64KB");
    assert_string_equal(fb_units_show_bytes(1001, text, 48), "1001");
    assert_string_equal(fb_units_show_bytes(UINT64_MAX, text, 48), "18446744073709551615");
    assert_string_equal(fb_units_about_bytes(0, text, 48), "0");
    assert_string_equal(fb_units_about_bytes(1023, text, 48), "1023");
    assert_string_equal(fb_units_about_bytes(1024, text, 48), "1KiB");
    assert_string_equal(fb_units_about_bytes(272784, text, 48), "266KiB");
    assert_string_equal(fb_units_about_bytes((UINT64_C(1) << 20) - 1, text, 48), "1023KiB");
    assert_string_equal(fb_units_about_bytes(UINT64_C(3) << 29, text, 48), "1.5GiB");
    assert_string_equal(fb_units_about_bytes(UINT64_C(24105) << 20, text, 48), "23.5GiB");
    assert_string_equal(fb_units_about_bytes(UINT64_MAX, text, 48), "16777215TiB");
}

static void test_units__reads_back_what_it_shows(void **state) {
    fb_rng rng = test_rng();

    for (int i = 0; i < 20000; i++) {
        static const uint64_t steps[] = {1, 1000, 1024, 60000000000, 3600000000000, 1 << 20};
        uint64_t step = steps[fb_rng_below(&rng, 6)];
        uint64_t number = fb_rng_next(&rng) >> fb_rng_below(&rng, 64);
        number -= number % step;
        char text[48];
        int64_t ns;
        uint64_t bytes;
        if (number <= INT64_MAX) {
            fb_units_show_duration((int64_t)number, text, sizeof(text));
            assert_ok(fb_units_duration(fb_str_of(text), &ns));
            assert_true(ns == (int64_t)number);
        }
        fb_units_show_bytes(number, text, sizeof(text));
        assert_ok(fb_units_bytes(fb_str_of(text), &bytes));
        assert_true(bytes == number);
    }
}

static void test_glob__matches_as_redis_does(void **state) {
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"?", "", false},
        {"?", "a", true},
        {"h?llo", "hello", true},
        {"h*llo", "hllo", true},
        {"h*llo", "heeeello", true},
        {"h*llo", "hell", false},
        {"a*b*c", "a1b2b3c", true},
        {"*a*b", "xaxbx", false},
        {"h[ae]llo", "hallo", true},
        {"h[ae]llo", "hillo", false},
        {"h[^e]llo", "hallo", true},
        {"h[^e]llo", "hello", false},
        {"h[a-b]llo", "hbllo", true},
        {"h[b-a]llo", "hallo", true},
        {"h[a-b]llo", "hcllo", false},
        {"[]", "a", false},
        {"[^]", "a", true},
        {"[abc", "b", true},
        {"[abc", "d", false},
        {"[", "a", false},
        {"[^", "a", true},
        {"[a-", "-", true},
        {"[a-]", "]", true},
        {"[a-]", "b", false},
        {"[\\]]", "]", true},
        {"[\\a-c]", "a", true},
        {"[\\a-c]", "b", false},
        {"[\\a-c]", "-", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"a\\", "a\\", true},
        {"\\", "\\", true},
        {"**a**", "a", true},
        {"a*", "a", true},
        {"a?", "a", false},
        {"[a]", "", false},
        {"\xc3*", "\xc3\xa4", true},
        {"[\x80-\xff]", "\xc3", true},
        {"[^a]*", "", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool matches = fb_glob_match(fb_str_of(cases[i].pattern), fb_str_of(cases[i].text));
        if (matches != cases[i].matches) {
            fail_msg("pattern %s, text %s", cases[i].pattern, cases[i].text);
        }
    }
    assert_true(fb_glob_match(FB_STR("a?c"), FB_STR("a\0c")));
    assert_true(fb_glob_match(fb_str_make(NULL, 0), fb_str_make(NULL, 0)));
}

// The examples of the Redis Cluster specification, and what is close to them.
static void test_str__a_hash_tag_says_where_a_key_lies(void **state) {
    assert_str(fb_str_hash_tag(FB_STR("{user1000}.following")), "user1000");
    assert_str(fb_str_hash_tag(FB_STR("foo{}{bar}")), "foo{}{bar}");
    assert_str(fb_str_hash_tag(FB_STR("foo{{bar}}zap")), "{bar");
    assert_str(fb_str_hash_tag(FB_STR("foo{bar}{zap}")), "bar");
    assert_str(fb_str_hash_tag(FB_STR("user:{7")), "user:{7");
    assert_str(fb_str_hash_tag(FB_STR("user:7}")), "user:7}");
    assert_str(fb_str_hash_tag(FB_STR("}{a}")), "a");
    assert_str(fb_str_hash_tag(FB_STR("{")), "{");
    assert_str(fb_str_hash_tag(FB_STR("")), "");
}

static void test_glob__a_hostile_pattern_is_not_slow(void **state) {
    char pattern[2001], text[20000];

    for (size_t i = 0; i < 2000; i += 2) {
        memcpy(pattern + i, "*a", 2);
    }
    pattern[2000] = 'b';
    memset(text, 'a', sizeof(text));
    // A recursive matcher does not finish this in a lifetime.
    assert_false(fb_glob_match(fb_str_make(pattern, 2001), fb_str_make(text, sizeof(text))));
}

static void test_glob__prefix_ends_at_what_is_special(void **state) {
    assert_str(fb_glob_prefix(FB_STR("user:*")), "user:");
    assert_str(fb_glob_prefix(FB_STR("user:?")), "user:");
    assert_str(fb_glob_prefix(FB_STR("u[s]")), "u");
    assert_str(fb_glob_prefix(FB_STR("u\\*")), "u");
    assert_str(fb_glob_prefix(FB_STR("plain]^-")), "plain]^-");
    assert_str(fb_glob_prefix(FB_STR("")), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str__compares),
        cmocka_unit_test(test_str__looks_inside),
        cmocka_unit_test(test_str__reads_integers_as_redis_does),
        cmocka_unit_test(test_str__reads_doubles),
        cmocka_unit_test(test_str__distance_is_levenshtein),
        cmocka_unit_test(test_str__a_hash_tag_says_where_a_key_lies),
        cmocka_unit_test(test_units__reads_durations),
        cmocka_unit_test(test_units__reads_bytes),
        cmocka_unit_test(test_units__shows_short_forms),
        cmocka_unit_test(test_units__reads_back_what_it_shows),
        cmocka_unit_test(test_glob__matches_as_redis_does),
        cmocka_unit_test(test_glob__a_hostile_pattern_is_not_slow),
        cmocka_unit_test(test_glob__prefix_ends_at_what_is_special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
