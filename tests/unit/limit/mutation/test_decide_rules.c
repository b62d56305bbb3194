// Each rule of deciding is taken out, and within a bounded number of random programs (or of takings of
// chunks) the log says otherwise.

#include "base/rule.h"
#include "limit_rig.h"

enum { PROGRAMS_MAX = 20000 };

static void expect_wrong(const char *rule) {
    static limit_rig rig;

    fb_rule_without(rule);
    for (uint64_t i = 0; i < PROGRAMS_MAX; i++) {
        if (!limit_run(&rig, test_seed() + i)) {
            printf("without %s: program %llu\n", rule, (unsigned long long)i);
            fb_rule_without(NULL);
            return;
        }
    }
    fb_rule_without(NULL);
    fail_msg("without %s nothing went wrong in %d programs", rule, PROGRAMS_MAX);
}

static void test_rule__ring_rounds_up(void **state) {
    expect_wrong("ring_rounds_up");
}

static void test_rule__parts_one_more(void **state) {
    expect_wrong("parts_one_more");
}

static void test_rule__token_rest(void **state) {
    expect_wrong("token_rest");
}

static void test_rule__denied_free(void **state) {
    expect_wrong("denied_free");
}

static void test_rule__give_oldest(void **state) {
    expect_wrong("give_oldest");
}

static void test_rule__ring_clock_back(void **state) {
    expect_wrong("ring_clock_back");
}

static void test_rule__parts_clock_back(void **state) {
    expect_wrong("parts_clock_back");
}

static void test_rule__token_clock_back(void **state) {
    expect_wrong("token_clock_back");
}

static void test_rule__fixed_clock_back(void **state) {
    expect_wrong("fixed_clock_back");
}

static void test_rule__chunk_counts_longer(void **state) {
    static limit_chunks chunks;
    fb_limit_options options = {.enabled = true, .limit = 60, .window_ns = 8 * FB_NS_PER_S,
                                .parts = 16};
    bool right = true;

    assert_true(limit_chunks_run(&chunks, &options, 6, test_seed()));
    fb_rule_without("chunk_counts_longer");
    for (uint64_t i = 0; i < 100 && right; i++) {
        right = limit_chunks_run(&chunks, &options, 6, test_seed() + i);
    }
    fb_rule_without(NULL);
    assert_false(right);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule__ring_rounds_up),
        cmocka_unit_test(test_rule__parts_one_more),
        cmocka_unit_test(test_rule__token_rest),
        cmocka_unit_test(test_rule__denied_free),
        cmocka_unit_test(test_rule__give_oldest),
        cmocka_unit_test(test_rule__ring_clock_back),
        cmocka_unit_test(test_rule__parts_clock_back),
        cmocka_unit_test(test_rule__token_clock_back),
        cmocka_unit_test(test_rule__fixed_clock_back),
        cmocka_unit_test(test_rule__chunk_counts_longer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
