// The follower against logs that are arrays, in random histories (follow_world.h).

#include "follow_world.h"

static void test_follow_random__never_stale_though_coherent_and_in_step_in_the_end(void **state) {
    static world all;
    const char *wanted = getenv("FB_TEST_HISTORIES");
    uint64_t histories = wanted != NULL ? strtoull(wanted, NULL, 10) : 60;
    for (uint64_t i = 0; i < histories; i++) {
        if (!w_history(&all, test_seed() + i, 200, 2)) {
            fail_msg("FB_TEST_SEED=%llu: %s", (unsigned long long)(test_seed() + i), all.detail);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follow_random__never_stale_though_coherent_and_in_step_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
