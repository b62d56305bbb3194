// What is owed: each key once, in order, until it was paid after its last write.

#include "client/owed.h"
#include "support.h"

static void add(fb_owed *owed, const char *key) {
    assert_ok(fb_owed_add(owed, fb_str_of(key)));
}

static void test_owed__each_key_once_in_order(void **state) {
    fb_owed owed;
    fb_debt *debts[8];
    fb_owed_init(&owed);
    assert_int_equal(fb_owed_take(&owed, debts, 8), 0);
    add(&owed, "a");
    add(&owed, "");
    add(&owed, "b");
    add(&owed, "a");
    assert_int_equal(fb_owed_count(&owed), 3);
    assert_int_equal(fb_owed_take(&owed, debts, 2), 2);
    assert_bytes(fb_str_make(debts[0]->key, debts[0]->key_len), FB_STR("a"));
    assert_int_equal(debts[1]->key_len, 0);
    fb_owed_paid(&owed, debts, 2);
    assert_int_equal(fb_owed_take(&owed, debts, 8), 1);
    assert_bytes(fb_str_make(debts[0]->key, debts[0]->key_len), FB_STR("b"));
    fb_owed_release(&owed);
}

static void test_owed__a_write_meanwhile_is_owed_again(void **state) {
    fb_owed owed;
    fb_debt *debts[8];
    fb_owed_init(&owed);
    add(&owed, "a");
    add(&owed, "b");
    assert_int_equal(fb_owed_take(&owed, debts, 8), 2);
    add(&owed, "a");
    fb_owed_paid(&owed, debts, 2);
    assert_int_equal(fb_owed_count(&owed), 1);
    assert_int_equal(fb_owed_take(&owed, debts, 8), 1);
    fb_owed_paid(&owed, debts, 1);
    assert_int_equal(fb_owed_count(&owed), 0);
    fb_owed_release(&owed);
}

static void test_owed__is_bounded_in_bytes(void **state) {
    enum { LEN = 60000 };
    fb_owed owed;
    fb_debt *debts[8];
    char *key = malloc(LEN);
    memset(key, 'k', LEN);
    fb_owed_init(&owed);
    int count = 0;
    int result;
    do {
        memcpy(key, &count, sizeof count);
        result = fb_owed_add(&owed, fb_str_make(key, LEN));
        count += result == FB_OK;
    } while (result == FB_OK);
    assert_result(result, FB_EOVERLOAD);
    assert_int_equal(count, FB_OWED_BYTES_MAX / LEN);
    // What is paid makes room.
    size_t taken = fb_owed_take(&owed, debts, 8);
    fb_owed_paid(&owed, debts, taken);
    assert_ok(fb_owed_add(&owed, fb_str_make(key, LEN)));
    fb_owed_release(&owed);
    free(key);
}

static int owe(void *arg) {
    fb_owed owed;
    fb_owed_init(&owed);
    int result = FB_OK;
    for (int i = 0; i < 100 && result == FB_OK; i++) {
        result = fb_owed_add(&owed, fb_str_make((const char *)&i, sizeof i));
        assert_int_equal(fb_owed_count(&owed), (size_t)i + (result == FB_OK));
    }
    fb_owed_release(&owed);
    return result;
}

static void test_owed__lack_of_memory_is_told(void **state) {
    (void)test_memory_sweep(owe, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owed__each_key_once_in_order),
        cmocka_unit_test(test_owed__a_write_meanwhile_is_owed_again),
        cmocka_unit_test(test_owed__is_bounded_in_bytes),
        cmocka_unit_test(test_owed__lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
