// The whole engine under all that can happen at once (engine_stress.h). FB_TEST_SECONDS in the
// environment makes it longer than its two seconds.

#include "engine_stress.h"

static void test_engine__no_read_is_older_than_what_was_acknowledged(void **state) {
    (void)state;
    static stress all;
    const char *seconds = getenv("FB_TEST_SECONDS");
    stress_run(&all, test_seed(), (seconds != NULL ? atoi(seconds) : 2) * INT64_C(1000));
    if (all.first[0] != '\0') {
        fail_msg("%s", all.first);
    }
    printf("%llu reads, %llu from memory, %llu writes\n", (unsigned long long)all.reads,
           (unsigned long long)all.from_memory, (unsigned long long)all.writes);
    assert_true(all.reads > 100 && all.writes > 10 && all.from_memory > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_engine__no_read_is_older_than_what_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
