// Real threads: no reader ever gets what an invalidation acknowledged before its read began had
// ended. That the test can see it at all is shown by mutation/test_cache_rules.c.

#include "cache_stress.h"

static void test_cache__no_reader_sees_what_was_invalidated_before_it_began(void **state) {
    stress all;
    stress_run(&all, test_seed(), 6000);
    printf("hits %llu, loads %llu, joined %llu, not answered %llu, doomed %llu\n",
           (unsigned long long)all.hits, (unsigned long long)all.loads,
           (unsigned long long)all.joined, (unsigned long long)all.refused,
           (unsigned long long)all.doomed);
    if (all.violations > 0) {
        fail_msg("%s", all.first);
    }
    // The race was there to be lost.
    assert_true(all.hits > 0 && all.loads > 0 && all.joined > 0 && all.doomed > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache__no_reader_sees_what_was_invalidated_before_it_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
