// Rows as JSON: each kind of value has one form, and whatever the bytes are the text is JSON.

#include "support.h"

#include <float.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>

#include "base/json.h"
#include "source/row_json.h"

static fb_row_json json;

static int setup(void **state) {
    json = (fb_row_json){.len_max = 1 << 20};
    return 0;
}

static int teardown(void **state) {
    fb_row_json_release(&json);
    return 0;
}

static fb_str text_form(fb_str text) {
    fb_row_json_clear(&json);
    assert_ok(fb_row_json_text(&json, text));
    return fb_buf_str(&json.text);
}

static const char *real_form(double number) {
    fb_row_json_clear(&json);
    assert_ok(fb_row_json_real(&json, number));
    assert_ok(fb_buf_byte(&json.text, '\0'));
    return json.text.ptr;
}

static void test_row_json__text_is_escaped_only_where_json_wants_it(void **state) {
    assert_str(text_form(FB_STR("")), "\"\"");
    assert_str(text_form(FB_STR("plain text, longer than a word")),
               "\"plain text, longer than a word\"");
    assert_str(text_form(FB_STR("a\"b\\c/d")), "\"a\\\"b\\\\c/d\"");
    assert_str(text_form(FB_STR("\b\t\n\v\f\r\x1f\x7f")), "\"\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\"");
    assert_str(text_form(FB_STR("nul\0in it")), "\"nul\\u0000in it\"");
    assert_str(text_form(FB_STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98")),
               "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98\"");
}

static void test_row_json__each_byte_of_no_character_is_replaced(void **state) {
#define LOST "\xef\xbf\xbd"
    assert_str(text_form(FB_STR("a\xff""b")), "\"a" LOST "b\"");
    assert_str(text_form(FB_STR("\xc3")), "\"" LOST "\"");
    assert_str(text_form(FB_STR("\xc0\xaf")), "\"" LOST LOST "\"");
    assert_str(text_form(FB_STR("\xed\xa0\x80 end")), "\"" LOST LOST LOST " end\"");
    assert_str(text_form(FB_STR("12345678\xf0\x9f\x90")), "\"12345678" LOST LOST LOST "\"");
}

static void test_row_json__every_byte_at_every_place_is_json(void **state) {
    for (int byte = 0; byte < 256; byte++) {
        for (size_t place = 0; place < 20; place++) {
            char text[20];
            memset(text, 'x', sizeof(text));
            text[place] = (char)byte;
            fb_str form = text_form(fb_str_make(text, sizeof(text)));
            assert_true(fb_json_valid(form));
            json_t *value = json_loadb(form.ptr, form.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            assert_non_null(value);
            fb_str back = {json_string_value(value), json_string_length(value)};
            if (byte < 0x80) {
                assert_bytes(back, fb_str_make(text, sizeof(text)));
            } else {
                assert_int_equal(back.len, sizeof(text) + 2);
            }
            json_decref(value);
        }
    }
}

static void test_row_json__integers_are_exact(void **state) {
    assert_ok(fb_row_json_open(&json, '['));
    assert_ok(fb_row_json_integer(&json, INT64_MIN));
    assert_ok(fb_row_json_integer(&json, 0));
    assert_ok(fb_row_json_integer(&json, INT64_MAX));
    assert_ok(fb_row_json_close(&json, ']'));
    assert_str(fb_buf_str(&json.text), "[-9223372036854775808,0,9223372036854775807]");
}

static void test_row_json__reals_are_short_and_look_like_reals(void **state) {
    assert_string_equal(real_form(0), "0.0");
    assert_string_equal(real_form(-0.0), "-0.0");
    assert_string_equal(real_form(1), "1.0");
    assert_string_equal(real_form(0.1), "0.1");
    assert_string_equal(real_form(0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(real_form(1e100), "1e+100");
    assert_string_equal(real_form(-123456789.25), "-123456789.25");
    assert_string_equal(real_form(5e-324), "4.94065645841247e-324");
    assert_string_equal(real_form(DBL_MAX), "1.7976931348623157e+308");
    assert_string_equal(real_form(NAN), "null");
    assert_string_equal(real_form(INFINITY), "null");
    assert_string_equal(real_form(-INFINITY), "null");
}

static void test_row_json__any_real_is_read_back_as_itself(void **state) {
    fb_rng rng = test_rng();
    for (int i = 0; i < 20000; i++) {
        union {
            uint64_t bits;
            double number;
        } any = {.bits = fb_rng_next(&rng)};
        if (!isfinite(any.number)) {
            continue;
        }
        const char *form = real_form(any.number);
        assert_true(fb_json_valid(fb_str_of(form)));
        assert_true(strtod(form, NULL) == any.number);
    }
}

static void test_row_json__reals_do_not_depend_on_the_locale(void **state) {
    // A locale with a comma, where there is one; the form is the same anyway.
    static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE"};
    for (size_t i = 0; i < 3 && setlocale(LC_NUMERIC, commas[i]) == NULL; i++) {
    }
    assert_string_equal(real_form(1.5), "1.5");
    (void)setlocale(LC_NUMERIC, "C");
}

static fb_str blob_form(fb_str bytes) {
    fb_row_json_clear(&json);
    assert_ok(fb_row_json_blob(&json, bytes));
    return fb_buf_str(&json.text);
}

static void test_row_json__blobs_are_base64_with_padding(void **state) {
    // RFC 4648, section 10
    assert_str(blob_form(FB_STR("")), "{\"base64\":\"\"}");
    assert_str(blob_form(FB_STR("f")), "{\"base64\":\"Zg==\"}");
    assert_str(blob_form(FB_STR("fo")), "{\"base64\":\"Zm8=\"}");
    assert_str(blob_form(FB_STR("foo")), "{\"base64\":\"Zm9v\"}");
    assert_str(blob_form(FB_STR("foob")), "{\"base64\":\"Zm9vYg==\"}");
    assert_str(blob_form(FB_STR("fooba")), "{\"base64\":\"Zm9vYmE=\"}");
    assert_str(blob_form(FB_STR("foobar")), "{\"base64\":\"Zm9vYmFy\"}");
    assert_str(blob_form(FB_STR("\xff\xfe\xfb\x00\x10")), "{\"base64\":\"//77ABA=\"}");
}

static void test_row_json__commas_come_by_themselves(void **state) {
    assert_ok(fb_row_json_open(&json, '['));
    for (int i = 0; i < 2; i++) {
        assert_ok(fb_row_json_open(&json, '{'));
        assert_ok(fb_row_json_name(&json, FB_STR("a")));
        assert_ok(fb_row_json_null(&json));
        assert_ok(fb_row_json_name(&json, FB_STR("\"")));
        assert_ok(fb_row_json_blob(&json, FB_STR("")));
        assert_ok(fb_row_json_close(&json, '}'));
    }
    assert_ok(fb_row_json_open(&json, '{'));
    assert_ok(fb_row_json_close(&json, '}'));
    assert_ok(fb_row_json_close(&json, ']'));
    assert_str(fb_buf_str(&json.text),
               "[{\"a\":null,\"\\\"\":{\"base64\":\"\"}},{\"a\":null,\"\\\"\":{\"base64\":\"\"}},{}]");
}

static void test_row_json__what_is_too_large_leaves_the_text_as_it_was(void **state) {
    json.len_max = 12;
    assert_ok(fb_row_json_open(&json, '['));
    assert_ok(fb_row_json_integer(&json, 1));
    assert_result(fb_row_json_text(&json, FB_STR("0123456789")), FB_ETOOBIG);
    assert_result(fb_row_json_text(&json, FB_STR("\x01\x01")), FB_ETOOBIG);
    assert_result(fb_row_json_blob(&json, FB_STR("0123456789")), FB_ETOOBIG);
    assert_result(fb_row_json_integer(&json, INT64_MAX), FB_ETOOBIG);
    assert_str(fb_buf_str(&json.text), "[1");
    assert_ok(fb_row_json_text(&json, FB_STR("012345")));
    assert_ok(fb_row_json_close(&json, ']'));
    assert_str(fb_buf_str(&json.text), "[1,\"012345\"]");
    assert_result(fb_row_json_open(&json, '['), FB_ETOOBIG);
}

static void test_row_json__without_memory_leaves_the_text_as_it_was(void **state) {
    char text[300];
    memset(text, 'x', sizeof(text));
    assert_ok(fb_row_json_open(&json, '['));
    test_memory_fail(1);
    assert_result(fb_row_json_text(&json, fb_str_make(text, sizeof(text))), FB_ENOMEM);
    test_memory_fail(1);
    assert_result(fb_row_json_blob(&json, fb_str_make(text, sizeof(text))), FB_ENOMEM);
    test_memory_fail(0);
    assert_ok(fb_row_json_close(&json, ']'));
    assert_str(fb_buf_str(&json.text), "[]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_row_json__text_is_escaped_only_where_json_wants_it),
        TEST(test_row_json__each_byte_of_no_character_is_replaced),
        TEST(test_row_json__every_byte_at_every_place_is_json),
        TEST(test_row_json__integers_are_exact),
        TEST(test_row_json__reals_are_short_and_look_like_reals),
        TEST(test_row_json__any_real_is_read_back_as_itself),
        TEST(test_row_json__reals_do_not_depend_on_the_locale),
        TEST(test_row_json__blobs_are_base64_with_padding),
        TEST(test_row_json__commas_come_by_themselves),
        TEST(test_row_json__what_is_too_large_leaves_the_text_as_it_was),
        TEST(test_row_json__without_memory_leaves_the_text_as_it_was),
    };
    (void)test_memory_get();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
