// Each rule of a connection is taken out, and the account of random trouble notices.

#include "base/rule.h"
#include "conn_trial.h"

enum { ROUNDS_MAX = 10 };

static void expect_violation(const char *rule) {
    static trial t;
    fb_rule_without(rule);
    for (uint64_t round = 0; round < ROUNDS_MAX; round++) {
        trial_run(&t, test_seed() + round);
        if (t.violations > 0) {
            printf("without %s: round %llu: %s\n", rule, (unsigned long long)round, t.first);
            fb_rule_without(NULL);
            return;
        }
    }
    fb_rule_without(NULL);
    fail_msg("without %s nothing went wrong in %d rounds", rule, ROUNDS_MAX);
}

static void test_rule__conn_owed(void **state) {
    expect_violation("conn_owed");
}

static void test_rule__conn_taken_back(void **state) {
    expect_violation("conn_taken_back");
}

static void test_rule__conn_cut(void **state) {
    expect_violation("conn_cut");
}

static void test_rule__conn_fresh(void **state) {
    expect_violation("conn_fresh");
}

static void test_rule__all_in_force(void **state) {
    static trial t;
    trial_run(&t, test_seed());
    if (t.violations > 0) {
        fail_msg("%s", t.first);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule__all_in_force),    cmocka_unit_test(test_rule__conn_owed),
        cmocka_unit_test(test_rule__conn_taken_back), cmocka_unit_test(test_rule__conn_cut),
        cmocka_unit_test(test_rule__conn_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
