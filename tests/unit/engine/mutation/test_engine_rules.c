// Each rule taken out of the cache shows through the public API, on real threads and a real
// database.

#include "base/rule.h"
#include "engine_stress.h"

// Until it shows; how soon depends on how the threads fall.
static void expect_to_show(const char *rule) {
    enum { TRIES = 20, TRY_MS = 3000 };
    static stress all;
    fb_rule_without(rule);
    for (uint64_t i = 0; i < TRIES; i++) {
        stress_run(&all, test_seed() + i, TRY_MS);
        if (all.first[0] != '\0') {
            printf("without %s: %s\n", rule, all.first);
            fb_rule_without(NULL);
            return;
        }
    }
    fb_rule_without(NULL);
    fail_msg("nothing was seen of it without %s", rule);
}

static void test_engine__without_the_doom_rule_old_values_stay(void **state) {
    (void)state;
    expect_to_show("doom");
}

static void test_engine__without_detaching_readers_join_loads_that_are_overtaken(void **state) {
    (void)state;
    expect_to_show("detach");
}

static void test_engine__without_stamps_of_the_start_tags_miss_loads_under_way(void **state) {
    (void)state;
    expect_to_show("tag_stamp");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_engine__without_the_doom_rule_old_values_stay),
        rig_test(test_engine__without_detaching_readers_join_loads_that_are_overtaken),
        rig_test(test_engine__without_stamps_of_the_start_tags_miss_loads_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
