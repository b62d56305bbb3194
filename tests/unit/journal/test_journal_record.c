// The column that says what of a job changes.

#include "journal/record.h"
#include "support.h"

static fb_job some_job(fb_rng *rng) {
    fb_job job = {.state = (fb_job_state)fb_rng_below(rng, FB_JOB_STATE_COUNT),
                  .end = (fb_job_end)fb_rng_below(rng, FB_JOB_END_EXPIRED + 1),
                  .priority = (uint8_t)fb_rng_below(rng, FB_JOB_PRIORITIES),
                  .attempt = (uint32_t)fb_rng_next(rng),
                  .attempts = (uint32_t)fb_rng_next(rng),
                  .token = fb_rng_below(rng, UINT64_C(1) << 53),
                  .enqueued_ms = (int64_t)fb_rng_next(rng),
                  .due_ms = (int64_t)fb_rng_next(rng),
                  .claimed_ms = (int64_t)fb_rng_next(rng),
                  .lease_ms = (int64_t)fb_rng_next(rng),
                  .until_ms = INT64_MAX,
                  .expires_ms = INT64_MIN,
                  .died_ms = -1};
    return job;
}

static void test_journal_record__comes_back(void **state) {
    fb_rng rng = test_rng();
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[FB_JOURNAL_RECORD_SIZE];
        fb_job job = some_job(&rng);
        fb_job back = {.number = 7};
        int64_t order = 0;
        fb_journal_record_write(&job, -5 - i, i, bytes);
        fb_str record = {(const char *)bytes, sizeof bytes};
        assert_ok(fb_journal_record_read(record, i, &back, &order));
        assert_int_equal(order, -5 - i);
        assert_int_equal(back.number, 7);
        back.number = 0;
        assert_memory_equal(&back, &job, sizeof job);
    }
}

static void test_journal_record__changed_bytes_are_noticed(void **state) {
    fb_rng rng = test_rng();
    uint8_t bytes[FB_JOURNAL_RECORD_SIZE];
    fb_job job = some_job(&rng);
    int64_t order;
    fb_str record = {(const char *)bytes, sizeof bytes};
    fb_journal_record_write(&job, 1, 12, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
        assert_result(fb_journal_record_read(record, 12, &job, &order), FB_ESYNTAX);
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
    }
    assert_ok(fb_journal_record_read(record, 12, &job, &order));
    assert_result(fb_journal_record_read(record, 13, &job, &order), FB_ESYNTAX);
    record.len--;
    assert_result(fb_journal_record_read(record, 12, &job, &order), FB_ESYNTAX);
    assert_result(fb_journal_record_read(FB_STR(""), 12, &job, &order), FB_ESYNTAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_record__comes_back),
        cmocka_unit_test(test_journal_record__changed_bytes_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
