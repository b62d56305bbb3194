// What the writers write, byte by byte.

#include "support.h"

#include <math.h>

#include "base/buf.h"
#include "wire/resp.h"

// Asserts what one call writes, and begins again.
#define assert_written(call, text)                       \
    do {                                                 \
        assert_ok(call);                                 \
        assert_bytes(fb_buf_str(&out), FB_STR(text));    \
        out.len = 0;                                     \
    } while (0)

static void test_resp_write__what_both_protocols_have(void **state) {
    fb_buf out = {0};
    assert_written(fb_resp_write_simple(&out, FB_STR("OK")), "+OK\r\n");
    assert_written(fb_resp_write_simple(&out, (fb_str){NULL, 0}), "+\r\n");
    assert_written(fb_resp_write_simple(&out, FB_STR("a\r\nb")), "+a  b\r\n");
    assert_written(fb_resp_write_error(&out, FB_STR("ERR no")), "-ERR no\r\n");
    assert_written(fb_resp_write_error(&out, FB_STR("ERR \r\n+OK\r\n")), "-ERR   +OK  \r\n");
    assert_written(fb_resp_write_integer(&out, 0), ":0\r\n");
    assert_written(fb_resp_write_integer(&out, -10), ":-10\r\n");
    assert_written(fb_resp_write_integer(&out, INT64_MAX), ":9223372036854775807\r\n");
    assert_written(fb_resp_write_integer(&out, INT64_MIN), ":-9223372036854775808\r\n");
    assert_written(fb_resp_write_bulk(&out, FB_STR("a\r\n\0b")), "$5\r\na\r\n\0b\r\n");
    assert_written(fb_resp_write_bulk(&out, (fb_str){NULL, 0}), "$0\r\n\r\n");
    assert_written(fb_resp_write_array(&out, 0), "*0\r\n");
    assert_written(fb_resp_write_array(&out, 1000), "*1000\r\n");
    const fb_str args[] = {FB_STR("SET"), FB_STR("k"), FB_STR("")};
    assert_written(fb_resp_write_command(&out, args, 3),
                   "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    fb_buf_release(&out);
}

static void test_resp_write__resp2_for_what_it_lacks(void **state) {
    fb_buf out = {0};
    assert_written(fb_resp_write_null(&out, 2), "$-1\r\n");
    assert_written(fb_resp_write_null_array(&out, 2), "*-1\r\n");
    assert_written(fb_resp_write_map(&out, 2, 3), "*6\r\n");
    assert_written(fb_resp_write_set(&out, 2, 3), "*3\r\n");
    assert_written(fb_resp_write_push(&out, 2, 3), "*3\r\n");
    assert_written(fb_resp_write_double(&out, 2, 1.5), "$3\r\n1.5\r\n");
    assert_written(fb_resp_write_boolean(&out, 2, true), ":1\r\n");
    assert_written(fb_resp_write_boolean(&out, 2, false), ":0\r\n");
    assert_written(fb_resp_write_verbatim(&out, 2, FB_STR("abc")), "$3\r\nabc\r\n");
    fb_buf_release(&out);
}

static void test_resp_write__resp3(void **state) {
    fb_buf out = {0};
    assert_written(fb_resp_write_null(&out, 3), "_\r\n");
    assert_written(fb_resp_write_null_array(&out, 3), "_\r\n");
    assert_written(fb_resp_write_map(&out, 3, 3), "%3\r\n");
    assert_written(fb_resp_write_set(&out, 3, 3), "~3\r\n");
    assert_written(fb_resp_write_push(&out, 3, 3), ">3\r\n");
    assert_written(fb_resp_write_boolean(&out, 3, true), "#t\r\n");
    assert_written(fb_resp_write_boolean(&out, 3, false), "#f\r\n");
    assert_written(fb_resp_write_verbatim(&out, 3, FB_STR("abc")), "=7\r\ntxt:abc\r\n");
    fb_buf_release(&out);
}

static void test_resp_write__doubles_are_short(void **state) {
    fb_buf out = {0};
    assert_written(fb_resp_write_double(&out, 3, 0.1), ",0.1\r\n");
    assert_written(fb_resp_write_double(&out, 3, 0.1 + 0.2), ",0.30000000000000004\r\n");
    assert_written(fb_resp_write_double(&out, 3, 3), ",3\r\n");
    assert_written(fb_resp_write_double(&out, 3, -17), ",-17\r\n");
    assert_written(fb_resp_write_double(&out, 3, -0.0), ",-0\r\n");
    assert_written(fb_resp_write_double(&out, 3, 1e100), ",1e+100\r\n");
    assert_written(fb_resp_write_double(&out, 3, 9007199254740992.0), ",9007199254740992\r\n");
    assert_written(fb_resp_write_double(&out, 3, HUGE_VAL), ",inf\r\n");
    assert_written(fb_resp_write_double(&out, 3, -HUGE_VAL), ",-inf\r\n");
    assert_written(fb_resp_write_double(&out, 3, NAN), ",nan\r\n");
    fb_buf_release(&out);
}

// Each call in turn, behind what there is already: it fails and leaves that as it was, or writes all.
static int write_each(void *arg) {
    size_t which = *(size_t *)arg;
    const fb_str long_text = FB_STR("0123456789012345678901234567890123456789012345678901234567890");
    const fb_str args[] = {long_text, long_text};
    fb_buf out = {0};
    int result = fb_buf_append(&out, FB_STR("before"));
    if (result != FB_OK) {
        return result;
    }
    while (out.len + 2 < out.cap) {
        result = fb_buf_byte(&out, '.');
        assert_int_equal(result, FB_OK);
    }
    size_t len = out.len;
    switch (which) {
    case 0:
        result = fb_resp_write_simple(&out, long_text);
        break;
    case 1:
        result = fb_resp_write_integer(&out, 5);
        break;
    case 2:
        result = fb_resp_write_bulk(&out, long_text);
        break;
    case 3:
        result = fb_resp_write_null(&out, 2);
        break;
    case 4:
        result = fb_resp_write_double(&out, 3, 0.1);
        break;
    case 5:
        result = fb_resp_write_verbatim(&out, 3, long_text);
        break;
    default:
        result = fb_resp_write_command(&out, args, 2);
        break;
    }
    assert_true(result == FB_OK ? out.len > len : out.len == len);
    assert_memory_equal(out.ptr, "before", 6);
    fb_buf_release(&out);
    return result;
}

static void test_resp_write__all_or_nothing(void **state) {
    for (size_t which = 0; which < 7; which++) {
        assert_true(test_memory_sweep(write_each, &which) >= 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp_write__what_both_protocols_have),
        cmocka_unit_test(test_resp_write__resp2_for_what_it_lacks),
        cmocka_unit_test(test_resp_write__resp3),
        cmocka_unit_test(test_resp_write__doubles_are_short),
        cmocka_unit_test(test_resp_write__all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
