// Each rule taken out of a route shows in what a caller sees.

#include "../sentinel_stage.h"
#include "base/rule.h"

// Takes the rule out for one scenario, which says whether it showed. In full it must not show. Without
// it, it may not be seen in time on a busy machine: then again.
static void expect_to_show(const char *rule, bool (*scenario)(void)) {
    assert_false(scenario());
    fb_rule_without(rule);
    bool shows = false;
    for (int tries = 0; tries < 5 && !shows; tries++) {
        shows = scenario();
    }
    fb_rule_without(NULL);
    if (!shows) {
        fail_msg("nothing was seen of it without %s", rule);
    }
}

// ---- one server

static const char *count_and_say_nothing(fake_redis *fake, const char *words, char *text,
                                         size_t text_size) {
    return fake->commands > 2 ? "+OK\r\n" : NULL;
}

// A server that does what it is told and dies before it says so.
static bool is_done_twice(void) {
    char url[64];
    rig_call call;
    rig r = {0};
    fake_redis *fake = fake_redis_new(&r, count_and_say_nothing, NULL);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", fake->port);
    rig_open(&r, url);
    assert_ok(rig_send(&r, &call, &(rig_how){.once = true, .deadline_ms = 400}, "INCR n"));
    RUN_UNTIL(&r, fake->commands > 0);
    fake_redis_hang_up(fake);
    rig_await(&r, &call);
    bool twice = fake->commands > 1;
    fake_redis_free(fake);
    rig_close(&r);
    return twice;
}

static void test_route__without_the_rule_of_once_a_command_is_done_twice(void **state) {
    expect_to_show("once", is_done_twice);
}

static bool comes_back_unnoticed(void) {
    char url[64];
    rig r = {0};
    fake_redis *fake = fake_redis_new(&r, count_and_say_nothing, NULL);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", fake->port);
    rig_open(&r, url);
    RUN_UNTIL(&r, r.up);
    fake_redis_hang_up(fake);
    RUN_UNTIL(&r, r.ups == 2);
    bool unnoticed = r.changes == 0;
    fake_redis_free(fake);
    rig_close(&r);
    return unnoticed;
}

static void test_route__without_back_is_new_a_restart_goes_unnoticed(void **state) {
    expect_to_show("back_is_new", comes_back_unnoticed);
}

// ---- Sentinels

static bool believes_a_replica(void) {
    stage s = {.named = {0, 0}, .epochs = {1, 1}, .wrong_role = true, .is_replica = true};
    rig_call call;
    rig r = {0};
    open_stage(&r, &s);
    assert_ok(rig_send(&r, &call, &(rig_how){.deadline_ms = 200}, "GET k"));
    rig_await(&r, &call);
    close_stage(&r, &s);
    return call.outcome == FB_CONN_REPLIED;
}

static void test_sentinel__without_the_role_a_replica_is_written_to(void **state) {
    expect_to_show("role", believes_a_replica);
}

// The old master is back and calls itself one; those who know better are slow to say so.
static bool believes_who_came_back(void) {
    stage s = {.named = {0, 0}, .epochs = {1, 1}};
    rig_call call;
    rig r = {0};
    open_stage(&r, &s);
    assert_string_equal(rig_ask(&r, "GET k"), "0");
    s.named[0] = s.named[1] = -1;
    fake_redis_hang_up(s.servers[0]);
    RUN_UNTIL(&r, !r.up);
    // Somebody answers again, but what he knows is from before; one more push moves things on.
    int connections = s.servers[0]->connections;
    RUN_UNTIL(&r, s.servers[0]->connections > connections);
    rig_run_ms(&r, 30);
    fake_redis_hang_up(s.sentinels[1]);
    assert_ok(rig_send(&r, &call, &(rig_how){.deadline_ms = 300}, "GET k"));
    rig_await(&r, &call);
    close_stage(&r, &s);
    return call.outcome == FB_CONN_REPLIED;
}

static void test_sentinel__without_named_since_an_old_master_is_written_to(void **state) {
    expect_to_show("named_since", believes_who_came_back);
}

static bool believes_the_older(void) {
    stage s = {.named = {0, 1}, .epochs = {3, 4}};
    rig r = {0};
    bool seen = false;
    open_stage(&r, &s);
    RUN_UNTIL(&r, r.up);
    for (int i = 0; i < 10 && !seen; i++) {
        announce(&s, 0, "mine");
        rig_run_ms(&r, 30);
        seen = port_of(&r) != s.servers[1]->port;
    }
    close_stage(&r, &s);
    return seen;
}

static void test_sentinel__without_the_newest_an_older_configuration_is_believed(void **state) {
    expect_to_show("newest", believes_the_older);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route__without_the_rule_of_once_a_command_is_done_twice),
        cmocka_unit_test(test_route__without_back_is_new_a_restart_goes_unnoticed),
        cmocka_unit_test(test_sentinel__without_the_role_a_replica_is_written_to),
        cmocka_unit_test(test_sentinel__without_named_since_an_old_master_is_written_to),
        cmocka_unit_test(test_sentinel__without_the_newest_an_older_configuration_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
