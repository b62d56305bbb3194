// Each rule of the follower is taken out, and the random histories notice.

#include "../follow_world.h"
#include "base/rule.h"

enum { HISTORIES_MAX = 3000 };

static void expect_failure(const char *rule) {
    static world all;
    fb_rule_without(rule);
    for (uint64_t i = 0; i < HISTORIES_MAX; i++) {
        if (!w_history(&all, test_seed() + i, 200, 2)) {
            printf("without %s: history %llu: %s\n", rule, (unsigned long long)i, all.detail);
            fb_rule_without(NULL);
            return;
        }
    }
    fb_rule_without(NULL);
    print_error("without %s nothing went wrong in %d histories\n", rule, HISTORIES_MAX);
    fail();
}

#define RULES(X)                                                                          \
    X(follow_gap) X(follow_nonce) X(follow_epoch) X(follow_state) X(follow_lost)          \
    X(follow_acked) X(follow_sent) X(follow_flush) X(partition_flush)      \
    X(wide_epoch) X(wide_stamps)

#define RULE_TEST(name)                             \
    static void test_rule__##name(void **state) {   \
        expect_failure(#name);                      \
    }
RULES(RULE_TEST)

int main(void) {
#define RULE_ENTRY(name) cmocka_unit_test(test_rule__##name),
    const struct CMUnitTest tests[] = {RULES(RULE_ENTRY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
