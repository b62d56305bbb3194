// JSON texts and UTF-8.

#include "support.h"

#include "base/json.h"
#include "base/fold.h"
#include "base/utf8.h"

static void test_json__accepts_every_kind(void **state) {
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-0.0",
        "10",
        "1.5",
        "1e5",
        "1E+5",
        "1e-05",
        "-12.34e5",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\\u00e4\\uD83D\\uDE00\"",
        "\"ä€😀\"",
        "\"\x7f\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1]",
        "[1,2 , 3]",
        "[[],[[]],{}]",
        "{\"a\":1}",
        "{\"a\" : 1 , \"b\":[{}]}",
        "{\"a\":1,\"a\":2}",
        "{\"\":{\"\":{}}}",
        " \t\r\n[ \t\r\n1 \t\r\n, \t\r\n2 \t\r\n] \t\r\n",
        "[{\"a\":[true,false,null,\"x\",-1]}]",
        "123456789012345678901234567890",
        "[1]\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!fb_json_valid(fb_str_of(texts[i]))) {
            fail_msg("refuses %s", texts[i]);
        }
    }
}

static void test_json__refuses_mistakes(void **state) {
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "TRUE",
        "nan",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        "0x1",
        "1 2",
        "1,",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\",
        "\"\\u",
        "\"\\uD800\"",
        "\"\\uD800x\"",
        "\"\\uD800\\n\"",
        "\"\\uD800\\uD800\"",
        "\"\\uDC00\"",
        "\"\n\"",
        "\"\t\"",
        "'a'",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[,]",
        "[1 2]",
        "[1:2]",
        "[1}",
        "{",
        "}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:1}",
        "{\"a\",1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1]",
        "{\"a\":\"b\":1}",
        "[]]",
        "[][]",
        "{}{}",
        "[1]x",
        "// x\n1",
        "/**/1",
        "\f1",
        "\xef\xbb\xbf[]",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xc3\"",
        "\xc3\xa4",
        "hello",
        "[\"a\":1]",
        "[\"a\"",
        "{\"a\"",
        "{\"a",
        "[-]",
        "[1.]",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (fb_json_valid(fb_str_of(texts[i]))) {
            fail_msg("accepts %s", texts[i]);
        }
    }
    assert_false(fb_json_valid(fb_str_make(NULL, 0)));
    assert_false(fb_json_valid(FB_STR("1\0")));
    assert_false(fb_json_valid(FB_STR("\"\0\"")));
    assert_false(fb_json_valid(FB_STR("\"\\\0\"")));
}

// Cut anywhere, an object or array is no JSON; nor does the reader look past the cut.
static void test_json__refuses_every_part_of_a_text(void **state) {
    const fb_str text = FB_STR("{\"a\":[1.5e-3,\"\\u00e4\\uD83D\\uDE00ä\",{}],\"b\":[true,null]}");

    assert_true(fb_json_valid(text));
    for (size_t len = 0; len < text.len; len++) {
        char *part = malloc(len + 1);
        assert_non_null(part);
        memcpy(part, text.ptr, len);
        part = realloc(part, len > 0 ? len : 1);
        assert_non_null(part);
        assert_false(fb_json_valid(fb_str_make(part, len)));
        free(part);
    }
}

static void test_json__nests_so_deep_and_no_deeper(void **state) {
    enum { DEPTH = FB_JSON_DEPTH_MAX };
    char arrays[2 * DEPTH + 2];
    char mixed[8 * DEPTH];
    size_t len = 0;

    memset(arrays, '[', DEPTH + 1);
    memset(arrays + DEPTH + 1, ']', DEPTH + 1);
    assert_true(fb_json_valid(fb_str_make(arrays + 1, 2 * DEPTH)));
    assert_false(fb_json_valid(fb_str_make(arrays, 2 * DEPTH + 2)));
    for (size_t i = 0; i < DEPTH; i++) {
        const char *opening = i % 3 == 0 ? "{\"a\":" : "[";
        memcpy(mixed + len, opening, strlen(opening));
        len += strlen(opening);
    }
    mixed[len++] = '1';
    for (size_t i = DEPTH; i-- > 0;) {
        mixed[len++] = i % 3 == 0 ? '}' : ']';
    }
    assert_true(fb_json_valid(fb_str_make(mixed, len)));
    mixed[len - 1] = ']';
    assert_false(fb_json_valid(fb_str_make(mixed, len)));
}

static void test_utf8__is_what_the_standard_says(void **state) {
    static const char *const wrong[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "\xc2\x41",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xe2\x82\x41",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x9f\x98",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "12345678\x80",
        "1234567\x80z",
        "123456789012345\xc2",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (fb_utf8_valid(fb_str_of(wrong[i]))) {
            fail_msg("accepts number %zu", i);
        }
    }
    assert_true(fb_utf8_valid(fb_str_make(NULL, 0)));
    assert_true(fb_utf8_valid(FB_STR("\0\x7f")));
    assert_true(fb_utf8_valid(FB_STR("plain text ä€😀 and more plain text")));
    assert_true(fb_utf8_valid(FB_STR("\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80")));
    assert_true(fb_utf8_valid(FB_STR("\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")));
}

static void test_utf8__folds_case(void **state) {
    fb_buf out = {0};

    assert_ok(fb_fold_case(FB_STR("Hello ÄÖÜ ΣΑΣ ДА ǅ 東京 ß 12"), &out));
    assert_str(fb_buf_str(&out), "hello äöü σασ да ǆ 東京 ß 12");
    out.len = 0;
    // Three bytes become two (the Kelvin sign: one), and two become three.
    assert_ok(fb_fold_case(FB_STR("\xe2\x84\xaa"
                                  "ẞȺ"),
                           &out));
    assert_str(fb_buf_str(&out), "kßⱥ");
    out.len = 0;
    assert_ok(fb_fold_case(FB_STR("\U00010400😀"), &out));
    assert_str(fb_buf_str(&out), "\U00010428😀");
    out.len = 0;
    assert_ok(fb_fold_case(FB_STR("A\xff\xc3"
                                  "B\xed\xa0\x80\0C"),
                           &out));
    assert_bytes(fb_buf_str(&out), FB_STR("a\xff\xc3"
                                          "b\xed\xa0\x80\0c"));
    fb_buf_release(&out);
}

static void test_utf8__next_takes_one(void **state) {
    size_t used = 9;

    assert_int_equal(fb_utf8_next(fb_str_make(NULL, 0), &used), -1);
    assert_int_equal(used, 0);
    assert_int_equal(fb_utf8_next(FB_STR("€x"), &used), 0x20ac);
    assert_int_equal(used, 3);
    assert_int_equal(fb_utf8_next(FB_STR("\xe2\x82x"), &used), -1);
    assert_int_equal(used, 1);
}

static void test_utf8__folding_twice_changes_nothing_more(void **state) {
    for (uint32_t code = 0; code < 0x11000; code++) {
        char bytes[4] = {(char)code};
        size_t len = 1;
        if (code >= 0x800) {
            // Three bytes, or what is no character at all: copied as it is.
            bytes[0] = (char)(0xe0 | (code >> 12 & 0xf));
            bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
            bytes[2] = (char)(0x80 | (code & 0x3f));
            len = 3;
        } else if (code >= 0x80) {
            bytes[0] = (char)(0xc0 | code >> 6);
            bytes[1] = (char)(0x80 | (code & 0x3f));
            len = 2;
        }
        fb_buf once = {0}, twice = {0};
        assert_ok(fb_fold_case(fb_str_make(bytes, len), &once));
        assert_ok(fb_fold_case(fb_buf_str(&once), &twice));
        assert_bytes(fb_buf_str(&twice), fb_buf_str(&once));
        fb_buf_release(&once);
        fb_buf_release(&twice);
    }
}

static void test_utf8__cuts_between_characters(void **state) {
    const char *text = "aä€😀z";  // 1, 2, 3, 4 and 1 bytes
    static const size_t places[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};

    for (size_t len = 0; len <= 10; len++) {
        assert_int_equal(fb_utf8_cut(text, len), places[len]);
    }
    assert_int_equal(fb_utf8_cut("\x80\x80\x80\x80\x80\x80", 5), 5);
}

static int fold_long(void *arg) {
    fb_buf out = {0};
    int result = fb_buf_append(&out, FB_STR("before"));

    for (int i = 0; i < 40 && result == FB_OK; i++) {
        size_t before = out.len;
        // Grows by half: what was reserved is not enough.
        result = fb_fold_case(FB_STR("ȺȾȺȾȺȾȺȾȺȾȺȾȺȾȺȾȺȾȺȾȺȾ"), &out);
        assert_true(result == FB_OK || out.len == before);
    }
    fb_buf_release(&out);
    return result;
}

static void test_utf8__survives_any_failed_allocation(void **state) {
    assert_true(test_memory_sweep(fold_long, NULL) >= 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__accepts_every_kind),
        cmocka_unit_test(test_json__refuses_mistakes),
        cmocka_unit_test(test_json__refuses_every_part_of_a_text),
        cmocka_unit_test(test_json__nests_so_deep_and_no_deeper),
        cmocka_unit_test(test_utf8__is_what_the_standard_says),
        cmocka_unit_test(test_utf8__folds_case),
        cmocka_unit_test(test_utf8__next_takes_one),
        cmocka_unit_test(test_utf8__folding_twice_changes_nothing_more),
        cmocka_unit_test(test_utf8__cuts_between_characters),
        cmocka_unit_test(test_utf8__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
