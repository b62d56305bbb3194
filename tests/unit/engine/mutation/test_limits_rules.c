// Rules of limits, each taken out: what it is for shows through the public API.

#include "../limits_rig.h"
#include "base/rule.h"
#include "redis_server.h"
#include "shared_rig.h"

#define LIMITS                                                          \
    "memory: 1MiB\nloops: 1\nworkers: 1\nlimits:\n"                     \
    "  one: {limit: 5, window: 10m, timeout: 10s}\n"                    \
    "  other: {limit: 1, window: 10m, timeout: 10s}\n"                  \
    "  seen: {limit: 1, window: 10m, shadow: true, timeout: 10s}\n"

// What is left of `one` after a question that `other` denied.
static uint32_t left_after_denial(fb_engine *engine) {
    fb_limit_question both[2] = {limits_question("one", "a", 1), limits_question("other", "b", 1)};
    fb_verdict verdicts[2];
    assert_result(fb_limit_check(engine, both, 2, 0, verdicts, NULL), FB_OK);
    assert_result(fb_limit_check(engine, both, 2, 0, verdicts, NULL), FB_LIMITED);
    return limits_left(engine, "one", "a");
}

static uint32_t left_on_node(test_redis *server) {
    char text[1024];
    (void)snprintf(text, sizeof text, "redis: {url: 'redis://127.0.0.1:%d'}\n" LIMITS, server->port);
    (void)test_redis_ask(server, "FLUSHALL");
    fb_engine *engine = rig_open(text);
    shared_await(engine, FB_SHARED_CONNECTED);
    uint32_t left = left_after_denial(engine);
    fb_close(engine, 0);
    return left;
}

static void test_limits__without_giving_back_a_denied_question_is_charged(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    assert_int_equal(left_on_node(server), 4);
    fb_rule_without("limits_give_back");
    uint32_t left = left_on_node(server);
    fb_rule_without(NULL);
    assert_int_equal(left, 3);
    test_redis_free(server);
}

// How many of three questions are charged to `one` beside a rule in shadow mode.
static uint32_t charged_beside_shadow(void) {
    fb_engine *engine = rig_open(LIMITS);
    fb_limit_question both[2] = {limits_question("one", "a", 1), limits_question("seen", "a", 1)};
    fb_verdict verdicts[2];
    for (int i = 0; i < 3; i++) {
        assert_true(fb_limit_check(engine, both, 2, 0, verdicts, NULL) >= 0);
    }
    uint32_t left = limits_left(engine, "one", "a");
    fb_close(engine, 0);
    return 5 - left;
}

static void test_limits__without_standing_apart_shadow_rules_decide(void **state) {
    (void)state;
    assert_int_equal(charged_beside_shadow(), 3);
    fb_rule_without("limits_shadow");
    uint32_t charged = charged_beside_shadow();
    fb_rule_without(NULL);
    assert_int_equal(charged, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_limits__without_giving_back_a_denied_question_is_charged),
        rig_test(test_limits__without_standing_apart_shadow_rules_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
