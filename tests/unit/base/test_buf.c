// The byte buffer.

#include "support.h"

#include "base/buf.h"

static void test_buf__appends_and_consumes(void **state) {
    fb_buf buf = {0};

    assert_ok(fb_buf_append(&buf, fb_str_make(NULL, 0)));
    assert_null(buf.ptr);
    assert_ok(fb_buf_append(&buf, FB_STR("hello ")));
    assert_ok(fb_buf_byte(&buf, '#'));
    assert_ok(fb_buf_printf(&buf, "%d/%s", 42, "x"));
    assert_str(fb_buf_str(&buf), "hello #42/x");
    fb_buf_consume(&buf, 6);
    assert_str(fb_buf_str(&buf), "#42/x");
    fb_buf_consume(&buf, 5);
    fb_buf_consume(&buf, 0);
    assert_int_equal(buf.len, 0);
    fb_buf_release(&buf);
    fb_buf_release(&buf);
}

static void test_buf__printf_of_any_length_is_whole(void **state) {
    for (int len = 0; len < 300; len++) {
        fb_buf buf = {0};
        assert_ok(fb_buf_byte(&buf, '!'));
        assert_ok(fb_buf_printf(&buf, "%*s", len, ""));
        assert_int_equal(buf.len, len + 1);
        assert_ok(fb_buf_printf(&buf, "%s", ""));
        assert_int_equal(buf.len, len + 1);
        fb_buf_release(&buf);
    }
}

static void test_buf__refuses_what_no_memory_can_hold(void **state) {
    fb_buf buf = {0};

    assert_ok(fb_buf_append(&buf, FB_STR("abc")));
    assert_result(fb_buf_reserve(&buf, SIZE_MAX), FB_ENOMEM);
    assert_result(fb_buf_reserve(&buf, SIZE_MAX - 3), FB_ENOMEM);
    assert_str(fb_buf_str(&buf), "abc");
    fb_buf_release(&buf);
}

static void test_buf__does_what_a_plain_array_does(void **state) {
    static char oracle[1 << 16];
    fb_rng rng = test_rng();
    fb_buf buf = {0};
    size_t len = 0;

    for (int step = 0; step < 20000; step++) {
        size_t count = fb_rng_below(&rng, 100);
        if (fb_rng_below(&rng, 2) == 0 || len + count > sizeof(oracle)) {
            count = fb_rng_below(&rng, len + 1);
            fb_buf_consume(&buf, count);
            memmove(oracle, oracle + count, len - count);
            len -= count;
        } else {
            char piece[100];
            memset(piece, (int)fb_rng_below(&rng, 256), count);
            memcpy(oracle + len, piece, count);
            len += count;
            assert_ok(fb_buf_append(&buf, fb_str_make(piece, count)));
        }
        assert_bytes(fb_buf_str(&buf), fb_str_make(oracle, len));
    }
    fb_buf_release(&buf);
}

static int add(fb_buf *buf, int kind) {
    switch (kind) {
        case 0:
            return fb_buf_append(buf, FB_STR("0123456789"));
        case 1:
            return fb_buf_byte(buf, '0');
        default:
            return fb_buf_printf(buf, "0%s", "abc");
    }
}

static int fill(void *arg) {
    int kind = *(int *)arg;
    fb_buf buf = {0};
    int result = FB_OK;

    for (int i = 0; i < 200 && result == FB_OK; i++) {
        size_t before = buf.len;
        result = add(&buf, kind);
        // All or nothing.
        assert_true(result == FB_OK || buf.len == before);
        assert_true(buf.len == 0 || buf.ptr[0] == '0');
    }
    fb_buf_release(&buf);
    return result;
}

static void test_buf__survives_any_failed_allocation(void **state) {
    for (int kind = 0; kind < 3; kind++) {
        assert_true(test_memory_sweep(fill, &kind) >= 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__appends_and_consumes),
        cmocka_unit_test(test_buf__printf_of_any_length_is_whole),
        cmocka_unit_test(test_buf__refuses_what_no_memory_can_hold),
        cmocka_unit_test(test_buf__does_what_a_plain_array_does),
        cmocka_unit_test(test_buf__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
