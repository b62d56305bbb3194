// Each rule of the shared part of the cache is taken out, and the stress test of real threads
// notices: within a bounded number of rounds a reader gets what had been invalidated.

#include "base/rule.h"
#include "cache_stress.h"

enum { ROUNDS_MAX = 200, STEPS = 2000 };

static void expect_violation(const char *rule) {
    stress all;
    fb_rule_without(rule);
    for (uint64_t round = 0; round < ROUNDS_MAX; round++) {
        stress_run(&all, test_seed() + 100 * round, STEPS);
        if (all.violations > 0) {
            printf("without %s: round %llu: %s\n", rule, (unsigned long long)round, all.first);
            fb_rule_without(NULL);
            return;
        }
    }
    fb_rule_without(NULL);
    fail_msg("without %s nothing went wrong in %d rounds", rule, ROUNDS_MAX);
}

static void test_rule__doom(void **state) {
    expect_violation("doom");
}

static void test_rule__ticket_first(void **state) {
    expect_violation("ticket_first");
}

static void test_rule__detach(void **state) {
    expect_violation("detach");
}

static void test_rule__tag_stamp(void **state) {
    expect_violation("tag_stamp");
}

static void test_rule__reader_seq(void **state) {
    expect_violation("reader_seq");
}

static void test_rule__fill_lock(void **state) {
    expect_violation("fill_lock");
}

static void test_rule__doom_first(void **state) {
    expect_violation("doom_first");
}

static void test_rule__edit_stamp(void **state) {
    expect_violation("edit_stamp");
}

static void test_rule__moved(void **state) {
    expect_violation("moved");
}

static void test_rule__late_index(void **state) {
    expect_violation("late_index");
}

static void test_rule__all_in_force(void **state) {
    stress all;
    stress_run(&all, test_seed(), 3 * STEPS);
    if (all.violations > 0) {
        fail_msg("%s", all.first);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule__all_in_force), cmocka_unit_test(test_rule__doom),
        cmocka_unit_test(test_rule__ticket_first), cmocka_unit_test(test_rule__detach),
        cmocka_unit_test(test_rule__tag_stamp),    cmocka_unit_test(test_rule__reader_seq),
        cmocka_unit_test(test_rule__fill_lock),    cmocka_unit_test(test_rule__doom_first),
        cmocka_unit_test(test_rule__edit_stamp),   cmocka_unit_test(test_rule__moved),
        cmocka_unit_test(test_rule__late_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
