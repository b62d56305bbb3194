// Values between text and members, type by type: ranges, and that what is shown reads back.

#include "base/buf.h"
#include "base/mem.h"
#include "config/values.h"
#include "support.h"

typedef union member {
    char *text;
    bool flag;
    uint32_t count;
    int64_t integer;
    uint64_t bytes;
    double ratio;
    int choice;
} member;

static fb_option row_of(fb_option_type type, int64_t min, int64_t max) {
    return (fb_option){.name = "x", .type = type, .min = min, .max = max, .choices = "a|bc|d"};
}

// What the text is shown as after reading; NULL: it is refused with `result`.
static void assert_value(const fb_option *row, const char *text, const char *shown, int result) {
    member value = {0};
    fb_buf out = {0};

    assert_result(fb_value_read(row, &value, fb_str_of(text)), result);
    if (shown != NULL) {
        assert_ok(fb_value_show(row, &value, &out));
        assert_str(fb_buf_str(&out), shown);
    }
    if (row->type == FB_OPTION_TEXT || row->type == FB_OPTION_ADDRESS) {
        fb_mem_free(value.text);
    }
    fb_buf_release(&out);
}

static void test_values__ratios_are_numbers_or_percent(void **state) {
    fb_option row = row_of(FB_OPTION_RATIO, 0, 2000);

    assert_value(&row, "0", "0", FB_OK);
    assert_value(&row, "-0", "0", FB_OK);
    assert_value(&row, "1", "1", FB_OK);
    assert_value(&row, "0.1", "0.1", FB_OK);
    assert_value(&row, "10%", "0.1", FB_OK);
    assert_value(&row, "33.3%", "0.333", FB_OK);
    assert_value(&row, "200%", "2", FB_OK);
    assert_value(&row, "1e-1", "0.1", FB_OK);
    assert_value(&row, "0.1234567891", "0.123456789", FB_OK);
    assert_value(&row, "2.001", NULL, FB_ERANGE);
    assert_value(&row, "-1%", NULL, FB_ERANGE);
    assert_value(&row, "1e300", NULL, FB_ERANGE);
    assert_value(&row, "%", NULL, FB_ETYPE);
    assert_value(&row, "10 %", NULL, FB_ETYPE);
    assert_value(&row, "nan", NULL, FB_ETYPE);
}

static void test_values__numbers_have_ranges(void **state) {
    fb_option any_count = row_of(FB_OPTION_COUNT, 0, 0);
    fb_option any_integer = row_of(FB_OPTION_INTEGER, 0, 0);
    fb_option integer = row_of(FB_OPTION_INTEGER, -5, 5);

    assert_value(&any_count, "4294967295", "4294967295", FB_OK);
    assert_value(&any_count, "4294967296", NULL, FB_ERANGE);
    assert_value(&any_count, "-1", NULL, FB_ERANGE);
    assert_value(&any_count, "", NULL, FB_ETYPE);
    assert_value(&any_integer, "-9223372036854775808", "-9223372036854775808", FB_OK);
    assert_value(&any_integer, "9223372036854775808", NULL, FB_ERANGE);
    assert_value(&integer, "-5", "-5", FB_OK);
    assert_value(&integer, "6", NULL, FB_ERANGE);
    assert_value(&integer, "+1", NULL, FB_ETYPE);
}

static void test_values__of_all_types_read_and_show(void **state) {
    fb_option bytes = row_of(FB_OPTION_BYTES, 0, 0), flag = row_of(FB_OPTION_BOOL, 0, 0);
    fb_option duration = row_of(FB_OPTION_DURATION, 0, 0), text = row_of(FB_OPTION_TEXT, 0, 0);
    fb_option choice = row_of(FB_OPTION_CHOICE, 0, 0);

    assert_value(&bytes, "1536KiB", "1536KiB", FB_OK);
    assert_value(&bytes, "18446744073709551615", NULL, FB_ERANGE);
    assert_value(&flag, "Yes", "true", FB_OK);
    assert_value(&flag, "off", "false", FB_OK);
    assert_value(&flag, "", NULL, FB_ETYPE);
    assert_value(&duration, "90s", "1m30s", FB_OK);
    assert_value(&text, "", "", FB_OK);
    assert_value(&text, "a: #b", "a: #b", FB_OK);
    assert_value(&choice, "bc", "bc", FB_OK);
    assert_value(&choice, "b", NULL, FB_ETYPE);
    assert_value(&choice, "", NULL, FB_ETYPE);
    assert_value(&choice, "a|bc", NULL, FB_ETYPE);
}

static void test_values__addresses(void **state) {
    static const char *const right[] = {
        "127.0.0.1:6380", "localhost:0", "my-host.example:65535", "[::1]:80", "[fe80::1%eth0]:80",
        "unix:/run/x.sock", "unix:x", "off", "0.0.0.0:1",
    };
    static const char *const wrong[] = {
        "", ":80", "host", "host:", "host:65536", "host:-1", "host:080", "a b:80", "[::1]",
        "[::1]80", "[]:80", "[x]:80", "unix:", "Off", "::1:80", "host:80:90", "http://host:80", "[::1", "[",
    };

    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        if (!fb_value_is_address(fb_str_of(right[i]))) {
            fail_msg("%s is refused", right[i]);
        }
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (fb_value_is_address(fb_str_of(wrong[i]))) {
            fail_msg("%s is taken", wrong[i]);
        }
    }
    assert_false(fb_value_is_address(FB_STR("unix:/a\0b")));
}

static void test_values__an_error_keeps_what_was_there(void **state) {
    struct {
        char **items;
        size_t count;
    } list = {0};
    fb_option row = row_of(FB_OPTION_TEXTS, 0, 2), flags_row = row_of(FB_OPTION_FLAGS, 0, 0);
    const fb_str good[] = {FB_STR_INIT("a"), FB_STR_INIT("b"), FB_STR_INIT("c")};
    const fb_str bad[] = {FB_STR_INIT("x"), FB_STR_INIT("")};
    uint32_t flags = 0;
    size_t wrong = 9;
    fb_buf out = {0};

    assert_ok(fb_value_read_list(&row, &list, good, 2, &wrong));
    assert_result(fb_value_read_list(&row, &list, bad, 2, &wrong), FB_ETYPE);
    assert_int_equal(wrong, 1);
    assert_result(fb_value_read_list(&row, &list, good, 3, &wrong), FB_ERANGE);
    assert_int_equal(wrong, 3);
    assert_ok(fb_value_show(&row, &list, &out));
    assert_str(fb_buf_str(&out), "[\"a\", \"b\"]");
    assert_ok(fb_value_read_list(&row, &list, NULL, 0, &wrong));
    assert_int_equal(list.count, 0);
    assert_null(list.items);
    assert_ok(fb_value_read_list(&flags_row, &flags, good, 1, &wrong));
    assert_result(fb_value_read_list(&flags_row, &flags, good, 3, &wrong), FB_ETYPE);
    assert_int_equal(wrong, 1);
    assert_int_equal(flags, 1);
    fb_buf_release(&out);
}

static void test_values__names_and_units_are_said(void **state) {
    char text[FB_VALUE_EXPECTED_SIZE], shown[FB_VALUE_SHOWN_SIZE];

    for (int type = FB_OPTION_TEXT; type <= FB_OPTION_NAMED; type++) {
        fb_option row = row_of((fb_option_type)type, 1, 2);
        assert_true(strlen(fb_value_unit(&row, text)) > 0);
        assert_true(strlen(fb_value_expected(&row, FB_ETYPE, text)) > 0);
        assert_true(strlen(fb_value_expected(&row, FB_ERANGE, text)) > 0);
    }
    assert_true(fb_value_is_name(FB_STR("a_B9")));
    assert_false(fb_value_is_name(FB_STR("")));
    assert_false(fb_value_is_name(FB_STR("a.b")));
    assert_false(fb_value_is_name(FB_STR("\xc3\xa4")));
    assert_string_equal(fb_value_shown(FB_STR("a\0\x7f\xff\xc2\x9b\n\xc3\xa4"), shown),
                        "a\\x00\\x7f\\xff\\xc2\\x9b\\n\xc3\xa4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values__ratios_are_numbers_or_percent),
        cmocka_unit_test(test_values__numbers_have_ranges),
        cmocka_unit_test(test_values__of_all_types_read_and_show),
        cmocka_unit_test(test_values__addresses),
        cmocka_unit_test(test_values__an_error_keeps_what_was_there),
        cmocka_unit_test(test_values__names_and_units_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
