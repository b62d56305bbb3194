// Without the serial number of a share, one that was taken before a reset is spent after it.

#include "base/rule.h"
#include "limit/chunks.h"
#include "support.h"

static uint32_t left_after_reset(void) {
    fb_limit_chunks *chunks = NULL;
    fb_limit_share before, after;
    assert_ok(fb_limit_chunks_new(16, &chunks));
    (void)fb_limit_chunks_spend(chunks, 1, 1, 0, 1000, &before);
    fb_limit_chunks_forget(chunks, 1);
    (void)fb_limit_chunks_spend(chunks, 1, 1, 1, 1000, &after);
    before.left = 9;
    before.until_us = 100;
    fb_limit_chunks_took(chunks, 1, &before, 2);
    uint32_t left = fb_limit_chunks_left(chunks, 1, 3);
    fb_limit_chunks_free(chunks);
    return left;
}

static void test_chunks__without_serials_a_share_outlives_its_reset(void **state) {
    (void)state;
    assert_int_equal(left_after_reset(), 0);
    fb_rule_without("limit_chunk_serial");
    uint32_t left = left_after_reset();
    fb_rule_without(NULL);
    assert_int_equal(left, 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks__without_serials_a_share_outlives_its_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
