// A route by way of Sentinels: real ones, and fakes for what those do rarely.

#include "sentinel_stage.h"

static const char *url_of(const test_sentinels *group, const char *service) {
    static char url[256];
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/%s",
             group->sentinels[0]->port, group->sentinels[1]->port, group->sentinels[2]->port,
             service);
    return url;
}

static test_sentinels *shared;

static test_sentinels *three(void) {
    if (shared == NULL) {
        shared = test_sentinels_new(2);
    }
    return shared;
}

static int teardown(void **state) {
    test_sentinels_free(shared);
    return 0;
}

// ---- finding

static void test_sentinel__names_the_master(void **state) {
    SKIP_WITHOUT_REDIS();
    fb_route_status status;
    rig r = {0};
    rig_open(&r, url_of(three(), "mymaster"));
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    assert_int_equal(port_of(&r), test_sentinels_master(shared)->port);
    fb_route_status_read(r.route, &status);
    assert_true(status.up && r.ups == 1 && r.downs == 0 && r.changes == 0);
    assert_int_equal(status.kind, FB_REDIS_SENTINEL);
    rig_close(&r);
}

static void test_sentinel__knows_no_such_service(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    rig_open(&r, url_of(three(), "other"));
    RUN_UNTIL(&r, r.downs == 1);
    assert_string_equal(r.why, "the sentinels know no master of 'other'");
    (void)rig_await_refusal(&r, 30, "GET k", "the sentinels know no master of 'other'");
    // It may be told of it later.
    for (int i = 0; i < TEST_SENTINELS; i++) {
        (void)test_redis_ask(shared->sentinels[i], "SENTINEL MONITOR other 127.0.0.1 %d 2",
                             test_sentinels_master(shared)->port);
    }
    RUN_UNTIL(&r, r.up);
    assert_string_equal(rig_ask(&r, "GET k"), "(nil)");
    for (int i = 0; i < TEST_SENTINELS; i++) {
        (void)test_redis_ask(shared->sentinels[i], "SENTINEL REMOVE other");
    }
    rig_close(&r);
}

static void test_sentinel__one_of_them_will_do(void **state) {
    SKIP_WITHOUT_REDIS();
    char url[256];
    rig r = {0};
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/mymaster",
             test_redis_free_port(), three()->sentinels[2]->port);
    rig_open(&r, url);
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    assert_int_equal(r.downs, 0);
    rig_close(&r);
}

static void test_sentinel__may_want_a_password_of_its_own(void **state) {
    SKIP_WITHOUT_REDIS();
    char config[128], url[256];
    rig r = {0};
    snprintf(config, sizeof config, "sentinel monitor mymaster 127.0.0.1 %d 2",
             test_sentinels_master(three())->port);
    test_redis *sentinel = test_redis_new_with(
        &(test_redis_options){.config = config, .sentinel = true, .password = "secret"});
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/mymaster", sentinel->port);
    rig_open(&r, url);
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "password"));
    rig_close(&r);
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/mymaster?sentinel_password=secret",
             sentinel->port);
    rig_open(&r, url);
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    rig_close(&r);
    test_redis_free(sentinel);
}

static void test_sentinel__that_is_none_is_said(void **state) {
    SKIP_WITHOUT_REDIS();
    char url[256];
    rig r = {0};
    test_redis *server = test_redis_new(NULL);
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/mymaster", server->port);
    rig_open(&r, url);
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "is no Sentinel"));
    rig_close(&r);
    test_redis_free(server);
}

// ---- fail-overs

// Again every ten seconds: while one is under way the answer is an error. Always true.
static bool ask_for_fail_over(int64_t *asked_ms) {
    int64_t now_ms = test_redis_now_ms();
    if (now_ms - *asked_ms >= 10000) {
        *asked_ms = now_ms;
        (void)test_redis_ask(shared->sentinels[1], "SENTINEL FAILOVER mymaster");
    }
    return true;
}

static void test_sentinel__follows_a_planned_fail_over(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    rig_open(&r, url_of(three(), "mymaster"));
    rig_load *load = rig_load_new(&r);
    test_redis *old = test_sentinels_master(shared);
    // On a busy machine a connection may be lost and found again before that, or Sentinel give it up.
    int64_t asked_ms = 0;
    LOAD_UNTIL(load, ask_for_fail_over(&asked_ms) && r.changes > 0 && r.up &&
                         port_of(&r) != old->port);
    rig_load_ms(load, 50);
    (void)rig_load_end(load, true);
    rig_close(&r);
}

static void await_calm(void) {
    for (int i = 0; i < TEST_SENTINELS; i++) {
        test_redis_await(shared->sentinels[i], "SENTINEL CKQUORUM mymaster", "OK 3");
        test_redis_await(shared->sentinels[i], "INFO sentinel", "slaves=2,sentinels=3");
    }
    test_redis *master = test_sentinels_master(shared);
    for (size_t i = 0; i < shared->server_count; i++) {
        if (shared->servers[i] != master) {
            test_redis_await(shared->servers[i], "INFO replication", "master_link_status:up");
        }
    }
}

static void test_sentinel__goes_on_after_the_master_was_killed(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    (void)three();
    await_calm();
    rig_open(&r, url_of(shared, "mymaster"));
    rig_load *load = rig_load_new(&r);
    rig_load_ms(load, 50);
    test_redis *old = test_sentinels_master(shared);
    test_sentinels_elect(shared, true);
    test_redis_kill(old);
    LOAD_UNTIL(load, !r.up);
    LOAD_UNTIL(load, r.up);
    rig_load_ms(load, 20);
    assert_true(r.changes > 0);
    assert_true(rig_load_end(load, true) <= LOAD_KEYS);
    assert_int_not_equal(port_of(&r), old->port);
    // The old one comes back as what it was. It is not listened to.
    int changes = r.changes;
    test_redis_start(old);
    test_redis_await(old, "ROLE", "slave");
    assert_string_equal(rig_ask(&r, "SET fruit pear"), "OK");
    assert_true(r.changes == changes && port_of(&r) != old->port);
    rig_close(&r);
    test_sentinels_elect(shared, false);
}

static void test_sentinel__goes_on_after_the_master_hung(void **state) {
    SKIP_WITHOUT_REDIS();
    rig_call get, incr;
    rig r = {0};
    (void)three();
    await_calm();
    rig_init(&r);
    r.stall_ms = 500;
    rig_open(&r, url_of(shared, "mymaster"));
    RUN_UNTIL(&r, r.up);
    test_redis *old = test_sentinels_master(shared);
    test_sentinels_elect(shared, true);
    test_redis_stop(old);
    assert_ok(rig_send(&r, &get, &(rig_how){.deadline_ms = RIG_PATIENCE_MS - 2000}, "GET fruit"));
    assert_ok(rig_send(&r, &incr, &(rig_how){.once = true}, "INCR hung"));
    rig_await(&r, &incr);
    assert_int_equal(incr.outcome, FB_CONN_UNKNOWN);
    rig_await(&r, &get);
    assert_int_equal(get.outcome, FB_CONN_REPLIED);
    assert_int_not_equal(port_of(&r), old->port);
    test_redis_continue(old);
    rig_close(&r);
    test_sentinels_elect(shared, false);
}

static void test_sentinel__all_away_come_back(void **state) {
    SKIP_WITHOUT_REDIS();
    rig_call call;
    rig r = {0};
    for (int i = 0; i < TEST_SENTINELS; i++) {
        test_redis_kill(three()->sentinels[i]);
    }
    rig_open(&r, url_of(shared, "mymaster"));
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "no sentinel can say who is the master"));
    assert_non_null(strstr(r.why, "refused"));
    assert_ok(rig_send(&r, &call, &(rig_how){0}, "GET fruit"));
    rig_run_ms(&r, 20);
    assert_int_equal(call.calls, 0);
    for (int i = 0; i < TEST_SENTINELS; i++) {
        test_redis_start(shared->sentinels[i]);
    }
    rig_await(&r, &call);
    assert_int_equal(call.outcome, FB_CONN_REPLIED);
    // A master that is known is not given up because those who named it are gone.
    for (int i = 0; i < TEST_SENTINELS; i++) {
        test_redis_kill(shared->sentinels[i]);
    }
    rig_run_ms(&r, 100);
    assert_string_equal(rig_ask(&r, "ECHO still"), "still");
    assert_int_equal(r.downs, 1);
    rig_close(&r);
    for (int i = 0; i < TEST_SENTINELS; i++) {
        test_redis_start(shared->sentinels[i]);
    }
}

// ---- fakes

static void test_sentinel__is_believed_by_the_newest_configuration(void **state) {
    stage s = {.named = {0, 1}, .epochs = {3, 4}};
    rig r = {0};
    open_stage(&r, &s);
    RUN_UNTIL(&r, r.up && port_of(&r) == s.servers[1]->port);
    // Who was away during the fail-over keeps naming the old one.
    for (int i = 0; i < 3; i++) {
        announce(&s, 0, "mine");
        rig_run_ms(&r, 30);
        assert_string_equal(rig_ask(&r, "GET k"), "1");
    }
    assert_int_equal(port_of(&r), s.servers[1]->port);
    close_stage(&r, &s);
}

static void test_sentinel__counts_again_from_the_start(void **state) {
    stage s = {.named = {1, 1}, .epochs = {7, 7}};
    rig r = {0};
    open_stage(&r, &s);
    assert_string_equal(rig_ask(&r, "GET k"), "1");
    // All were set up anew: what they agree on is believed.
    s.named[0] = s.named[1] = 0;
    s.epochs[0] = s.epochs[1] = 0;
    announce(&s, 0, "mine");
    announce(&s, 1, "mine");
    RUN_UNTIL(&r, r.changes > 0 && r.up);
    assert_string_equal(rig_ask(&r, "GET k"), "0");
    close_stage(&r, &s);
}

static void test_sentinel__is_heard_of_its_own_service(void **state) {
    stage s = {.named = {0, 0}, .epochs = {1, 1}};
    rig r = {0};
    open_stage(&r, &s);
    assert_string_equal(rig_ask(&r, "GET k"), "0");
    int asked;
    do {
        asked = s.sentinels[0]->commands;
        rig_run_ms(&r, 100);
    } while (s.sentinels[0]->commands != asked);
    s.named[0] = s.named[1] = 1;
    s.epochs[0] = s.epochs[1] = 2;
    announce(&s, 0, "somebody");
    rig_run_ms(&r, 30);
    assert_int_equal(s.sentinels[0]->commands, asked);
    announce(&s, 0, "mine");
    RUN_UNTIL(&r, r.changes == 1 && r.up);
    assert_string_equal(rig_ask(&r, "GET k"), "1");
    close_stage(&r, &s);
}

static void test_sentinel__does_not_make_a_master(void **state) {
    stage s = {.named = {0, 0}, .epochs = {1, 1}, .wrong_role = true, .is_replica = true};
    rig_call call;
    rig r = {0};
    open_stage(&r, &s);
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "read-only replica"));
    assert_ok(rig_send(&r, &call, &(rig_how){0}, "GET k"));
    rig_run_ms(&r, 50);
    assert_int_equal(call.calls, 0);
    s.wrong_role = false;
    rig_await(&r, &call);
    assert_string_equal(call.text, "0");
    close_stage(&r, &s);
}

static void test_sentinel__must_name_a_master_that_came_back_again(void **state) {
    stage s = {.named = {0, 0}, .epochs = {1, 1}};
    rig_call call;
    rig r = {0};
    open_stage(&r, &s);
    assert_string_equal(rig_ask(&r, "GET k"), "0");
    // It comes back at once and calls itself the master; the Sentinels are slow to say so.
    s.named[0] = s.named[1] = -1;
    fake_redis_hang_up(s.servers[0]);
    RUN_UNTIL(&r, !r.up);
    int connections = s.servers[0]->connections;
    assert_ok(rig_send(&r, &call, &(rig_how){0}, "GET k"));
    RUN_UNTIL(&r, s.servers[0]->connections > connections);
    rig_run_ms(&r, 50);
    assert_true(!r.up && call.calls == 0);
    s.named[0] = s.named[1] = 1;
    s.epochs[0] = s.epochs[1] = 2;
    rig_await(&r, &call);
    assert_string_equal(call.text, "1");
    close_stage(&r, &s);
}

// ---- memory

static int scenario(void *arg) {
    rig *r = arg;
    stage s = {.named = {0, 1}, .epochs = {1, 2}};
    rig_call call = {0};
    fb_route_events events = {0};
    prepare_stage(r, &s);
    fb_route_options options = rig_options(r, FB_CLUSTER_AUTO);
    int result = fb_route_new(&options, &events, &r->route);
    if (result == FB_OK) {
        result = rig_send(r, &call, &(rig_how){.deadline_ms = 2000}, "GET k");
        if (result == FB_OK) {
            rig_await(r, &call);
        }
        rig_ask_until_answered(r, "GET k");
    }
    fb_route_free(r->route);
    r->route = NULL;
    free_stage(&s);
    return result;
}

static void test_sentinel__heals_from_a_lack_of_memory(void **state) {
    rig r = {0};
    (void)test_memory_get();
    rig_init(&r);
    size_t count = test_memory_sweep(scenario, &r);
    printf("%zu allocations\n", count);
    assert_true(count > 20);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentinel__names_the_master),
        cmocka_unit_test(test_sentinel__knows_no_such_service),
        cmocka_unit_test(test_sentinel__one_of_them_will_do),
        cmocka_unit_test(test_sentinel__may_want_a_password_of_its_own),
        cmocka_unit_test(test_sentinel__that_is_none_is_said),
        cmocka_unit_test(test_sentinel__goes_on_after_the_master_was_killed),
        cmocka_unit_test(test_sentinel__follows_a_planned_fail_over),
        cmocka_unit_test(test_sentinel__goes_on_after_the_master_hung),
        cmocka_unit_test(test_sentinel__all_away_come_back),
        cmocka_unit_test(test_sentinel__is_believed_by_the_newest_configuration),
        cmocka_unit_test(test_sentinel__counts_again_from_the_start),
        cmocka_unit_test(test_sentinel__is_heard_of_its_own_service),
        cmocka_unit_test(test_sentinel__does_not_make_a_master),
        cmocka_unit_test(test_sentinel__must_name_a_master_that_came_back_again),
        cmocka_unit_test(test_sentinel__heals_from_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
