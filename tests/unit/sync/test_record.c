// Records as text: one text for each, and nothing else is read.

#include "support.h"
#include "sync/port.h"

static fb_record record_of(const char *text) {
    fb_record record;
    assert_ok(fb_sync_record_read(fb_str_of(text), 5, &record));
    return record;
}

static void test_record__is_read_as_it_was_written(void **state) {
    fb_record made = {.before = 1,
                      .nonce = UINT64_C(0xfedcba9876543210),
                      .node = 7,
                      .kind = FB_RECORD_KEY,
                      .soft = true,
                      .wants_ack = true,
                      .hold_ms = 1500,
                      .fence = UINT64_MAX,
                      .name = FB_STR("user 42 \n")};
    fb_buf text = {0};
    fb_record back;
    assert_ok(fb_sync_record_write(&made, &text));
    assert_str(fb_buf_str(&text),
               "0000000000000001 fedcba9876543210 0000000000000007 Ksa 1500 ffffffffffffffff "
               "user 42 \n");
    assert_ok(fb_sync_record_read(fb_buf_str(&text), 12, &back));
    assert_int_equal(back.seq, 12);
    assert_int_equal(back.before, 1);
    assert_true(back.nonce == made.nonce && back.fence == made.fence && back.node == 7);
    assert_true(back.soft && back.wants_ack);
    assert_int_equal(back.hold_ms, 1500);
    assert_bytes(back.name, made.name);
    fb_buf_release(&text);
}

static void test_record__of_every_kind(void **state) {
    for (int kind = FB_RECORD_KEY; kind <= FB_RECORD_ALL; kind++) {
        fb_record made = {.nonce = 9, .kind = (fb_record_kind)kind};
        made.name = kind == FB_RECORD_ALL ? FB_STR("") : FB_STR("\x01name\0");
        fb_buf text = {0};
        fb_record back;
        assert_ok(fb_sync_record_write(&made, &text));
        assert_ok(fb_sync_record_read(fb_buf_str(&text), 1, &back));
        assert_int_equal(back.kind, kind);
        assert_bytes(back.name, made.name);
        assert_false(back.soft || back.wants_ack);
        fb_buf_release(&text);
    }
}

static void test_record__anything_else_is_refused(void **state) {
    static const char *const bad[] = {
        "",
        "0000000000000001",
        "0000000000000001 0000000000000002 0000000000000003 K 0 0000000000000000",
        "0000000000000001 0000000000000000 0000000000000003 K 0 0000000000000000 x",
        "000000000000001 0000000000000002 0000000000000003 K 0 0000000000000000 x",
        "000000000000000A 0000000000000002 0000000000000003 K 0 0000000000000000 x",
        "0000000000000001 0000000000000002 0000000000000003 X 0 0000000000000000 x",
        "0000000000000001 0000000000000002 0000000000000003 Kas 0 0000000000000000 x",
        "0000000000000001 0000000000000002 0000000000000003 Kss 0 0000000000000000 x",
        "0000000000000001 0000000000000002 0000000000000003  0 0000000000000000 x",
        "0000000000000001 0000000000000002 0000000000000003 K -1 0000000000000000 x",
        "0000000000000001 0000000000000002 0000000000000003 K 01 0000000000000000 x",
        "0000000000000001 0000000000000002 0000000000000003 A 0 0000000000000000 x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fb_record record;
        if (fb_sync_record_read(fb_str_of(bad[i]), 1, &record) != FB_ESYNTAX) {
            fail_msg("\"%s\" was read", bad[i]);
        }
    }
    fb_record good =
        record_of("0000000000000001 0000000000000002 0000000000000003 A 0 0000000000000000 ");
    assert_int_equal(good.kind, FB_RECORD_ALL);
}

static int write_one(void *arg) {
    fb_record record = {.nonce = 9, .kind = FB_RECORD_TAG, .name = FB_STR("page:1")};
    fb_buf text = {0};
    int result = fb_sync_record_write(&record, &text);
    assert_true(result == FB_OK || text.len == 0);
    fb_buf_release(&text);
    return result;
}

static void test_record__without_memory_nothing_is_written(void **state) {
    assert_true(test_memory_sweep(write_one, NULL) > 0);
}

static void test_record__slots_differ_by_kind_and_stay(void **state) {
    assert_int_equal(fb_sync_slot(FB_RECORD_ALL, FB_STR("")), 0);
    uint32_t tag = fb_sync_slot(FB_RECORD_TAG, FB_STR("page"));
    assert_int_not_equal(tag, fb_sync_slot(FB_RECORD_CLASS, FB_STR("page")));
    assert_int_not_equal(tag, fb_sync_slot(FB_RECORD_NAMESPACE, FB_STR("page")));
    assert_int_equal(tag, fb_sync_slot(FB_RECORD_TAG, FB_STR("page")));
    for (int i = 0; i < 100000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", i);
        uint32_t slot = fb_sync_slot(FB_RECORD_TAG, fb_str_of(name));
        assert_true(slot > 0 && slot < FB_SYNC_STAMP_SLOTS);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record__is_read_as_it_was_written),
        cmocka_unit_test(test_record__of_every_kind),
        cmocka_unit_test(test_record__anything_else_is_refused),
        cmocka_unit_test(test_record__without_memory_nothing_is_written),
        cmocka_unit_test(test_record__slots_differ_by_kind_and_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
