// Ids of jobs, and the words for their states.

#include "support.h"

#include <forebay/queue.h>

static void test_job_id__is_the_queue_and_the_number(void **state) {
    char text[FB_JOB_ID_SIZE];
    fb_str queue;
    uint64_t number = 0;

    assert_string_equal(fb_job_id_write(FB_STR("reports"), 1042, text), "reports.1042");
    assert_ok(fb_job_id_parse(FB_STR("reports.1042"), &queue, &number));
    assert_str(queue, "reports");
    assert_int_equal(number, 1042);
}

static void test_job_id__of_the_longest_name_fits(void **state) {
    char name[FB_QUEUE_NAME_MAX + 2], text[FB_JOB_ID_SIZE];
    fb_str queue;
    uint64_t number = 0, largest = (UINT64_C(1) << 53) - 1;

    memset(name, 'x', sizeof(name));
    (void)fb_job_id_write((fb_str){name, FB_QUEUE_NAME_MAX}, largest, text);
    assert_int_equal(strlen(text), FB_QUEUE_NAME_MAX + 17);
    assert_ok(fb_job_id_parse(fb_str_of(text), &queue, &number));
    assert_int_equal(queue.len, FB_QUEUE_NAME_MAX);
    assert_true(number == largest);
    (void)snprintf(name + FB_QUEUE_NAME_MAX, 2, "x");
    memmove(text + 1, text, strlen(text) + 1);
    assert_result(fb_job_id_parse(fb_str_of(text), &queue, &number), FB_ESYNTAX);
}

static void test_job_id__what_is_none(void **state) {
    static const char *const bad[] = {"", ".", "a", "a.", ".1", "a.0", "a.01", "a.-1", "a.+1",
                                      "a. 1", "a.1 ", "a.1.2", "a b.1", "a.9007199254740992",
                                      "a.99999999999999999999", "a.1x", "\xc3\xa9.1", "a/b.1"};
    fb_str queue;
    uint64_t number;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_result(fb_job_id_parse(fb_str_of(bad[i]), &queue, &number), FB_ESYNTAX);
    }
    assert_result(fb_job_id_parse((fb_str){"a.1\0", 4}, &queue, &number), FB_ESYNTAX);
}

static void test_job_id__states_and_ends_have_words(void **state) {
    assert_string_equal(fb_job_state_text(FB_JOB_SCHEDULED), "scheduled");
    assert_string_equal(fb_job_state_text(FB_JOB_DEAD), "dead");
    assert_string_equal(fb_job_state_text((fb_job_state)99), "?");
    assert_string_equal(fb_job_end_text(FB_JOB_END_NONE), "");
    assert_string_equal(fb_job_end_text(FB_JOB_END_ABANDONED), "abandoned");
    assert_string_equal(fb_job_end_text((fb_job_end)99), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_id__is_the_queue_and_the_number),
        cmocka_unit_test(test_job_id__of_the_longest_name_fits),
        cmocka_unit_test(test_job_id__what_is_none),
        cmocka_unit_test(test_job_id__states_and_ends_have_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
