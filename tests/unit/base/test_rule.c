// Rules hold; in a build for it (-Dmutations=true) one at a time can be taken out.

#include "support.h"

#include "base/rule.h"

static void test_rule__holds_until_it_is_taken_out(void **state) {
    assert_true(FB_RULE(doom));
#ifdef FB_MUTATIONS
    fb_rule_without("doom");
    assert_false(FB_RULE(doom));
    assert_true(FB_RULE(lease));
    fb_rule_without("lease");
    assert_true(FB_RULE(doom));
    fb_rule_without(NULL);
    assert_true(FB_RULE(lease));
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule__holds_until_it_is_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
