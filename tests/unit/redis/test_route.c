// A route to one server: real ones, and fakes for what those do rarely.

#include "route_rig.h"

static const char *url_of(const test_redis *server) {
    static char url[128];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", server->port);
    return url;
}

static fb_route_status status_of(const rig *r) {
    fb_route_status status;
    fb_route_status_read(r->route, &status);
    return status;
}

// ---- all is well

static void test_route__answers_commands(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    rig r = {0};
    rig_open(&r, url_of(server));
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    assert_string_equal(rig_ask(&r, "GET fruit"), "plum");
    assert_string_equal(rig_ask(&r, "LPUSH fruit plum"),
                        "-WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_true(r.up && r.ups == 1 && r.downs == 0 && r.changes == 0);
    fb_route_status status = status_of(&r);
    assert_true(status.up);
    assert_int_equal(status.kind, FB_REDIS_ALONE);
    assert_int_equal(status.server_count, 1);
    assert_string_equal(status.server.role, "master");
    assert_string_equal(fb_route_server_name(fb_route_server_at(r.route, 0)),
                        strstr(url_of(server), "127"));
    rig_close(&r);
    test_redis_free(server);
}

static void test_route__reaches_a_unix_socket(void **state) {
    SKIP_WITHOUT_REDIS();
    char url[160];
    test_redis_options options = {.unix_socket = true, .password = "secret"};
    test_redis *server = test_redis_new_with(&options);
    rig r = {0};
    snprintf(url, sizeof url, "unix://:secret@%s?db=3", server->socket_path);
    rig_open(&r, url);
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    assert_non_null(strstr(test_redis_ask(server, "INFO keyspace"), "db3:keys=1"));
    rig_close(&r);
    test_redis_free(server);
}

static void test_route__connects_with_the_first_command(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    fb_route_events events = {0};
    rig r = {0};
    rig_init(&r);
    rig_set_url(&r, url_of(server));
    fb_route_options options = rig_options(&r, FB_CLUSTER_AUTO);
    assert_ok(fb_route_new(&options, &events, &r.route));
    rig_run_ms(&r, 20);
    assert_non_null(strstr(test_redis_ask(server, "INFO clients"), "connected_clients:1\r"));
    assert_string_equal(rig_ask(&r, "ECHO hello"), "hello");
    rig_close(&r);
    test_redis_free(server);
}

// ---- servers and side connections

static void side_on_up(void *arg) {
    *(int *)arg += 1;
}

static void side_on_down(void *arg, const char *why, bool fatal) {
}

static void test_route__opens_so_many_side_connections(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    int up = 0;
    fb_conn_events events = {.on_up = side_on_up, .on_down = side_on_down, .arg = &up};
    fb_conn *sides[3] = {NULL};
    rig r = {0};
    rig_open(&r, url_of(server));
    assert_int_equal(fb_route_server_count(r.route), 1);
    fb_route_server *only = fb_route_server_at(r.route, 0);
    assert_ok(fb_route_side(r.route, only, &events, &sides[0]));
    assert_ok(fb_route_side(r.route, only, &events, &sides[1]));
    assert_result(fb_route_side(r.route, only, &events, &sides[2]), FB_EOVERLOAD);
    RUN_UNTIL(&r, up == 2);
    fb_route_side_close(r.route, sides[0]);
    assert_ok(fb_route_side(r.route, only, &events, &sides[2]));
    RUN_UNTIL(&r, up == 3);
    fb_route_side_close(r.route, sides[1]);
    fb_route_side_close(r.route, sides[2]);
    rig_close(&r);
    test_redis_free(server);
}

static void test_route__sends_to_one_server(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    rig_call call;
    rig r = {0};
    rig_open(&r, url_of(server));
    rig_how how = {.server = fb_route_server_at(r.route, 0)};
    assert_ok(rig_send(&r, &call, &how, "ECHO hello"));
    rig_await(&r, &call);
    assert_string_equal(call.text, "hello");
    rig_close(&r);
    test_redis_free(server);
}

// ---- away, and back

static void test_route__heals_when_a_server_comes_late(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_prepare(&(test_redis_options){0});
    rig_call early, patient;
    rig r = {0};
    rig_open(&r, url_of(server));
    assert_ok(rig_send(&r, &early, &(rig_how){.deadline_ms = 100}, "ECHO early"));
    assert_ok(rig_send(&r, &patient, &(rig_how){.once = true}, "ECHO patient"));
    rig_await(&r, &early);
    assert_int_equal(early.outcome, FB_CONN_NOT_SENT);
    assert_true(early.answered_ns >= early.deadline_ns);
    assert_true(!r.up && r.downs == 1);
    assert_non_null(strstr(r.why, "refused"));
    assert_non_null(strstr(status_of(&r).why, "refused"));
    test_redis_start(server);
    rig_await(&r, &patient);
    assert_string_equal(patient.text, "patient");
    assert_true(r.up && r.ups == 1 && r.changes == 0);
    rig_close(&r);
    test_redis_free(server);
}

static void test_route__repeats_what_may_be_when_a_server_dies(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    rig_call get, incr;
    rig r = {0};
    rig_open(&r, url_of(server));
    RUN_UNTIL(&r, r.up);
    test_redis_stop(server);
    assert_ok(rig_send(&r, &get, &(rig_how){0}, "GET number"));
    assert_ok(rig_send(&r, &incr, &(rig_how){.once = true}, "INCR number"));
    rig_run_ms(&r, 20);
    test_redis_kill(server);
    rig_await(&r, &incr);
    assert_int_equal(incr.outcome, FB_CONN_UNKNOWN);
    RUN_UNTIL(&r, !r.up);
    assert_int_equal(get.calls, 0);
    test_redis_start(server);
    rig_await(&r, &get);
    assert_string_equal(get.text, "(nil)");
    assert_true(r.up && r.ups == 2 && r.downs == 1);
    assert_int_equal(r.changes, 1);
    rig_close(&r);
    test_redis_free(server);
}

static void test_route__keeps_deadlines_while_a_server_hangs(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    rig_call call;
    rig r = {0};
    int unknown = 0;
    rig_init(&r);
    r.stall_ms = 500;
    rig_open(&r, url_of(server));
    RUN_UNTIL(&r, r.up);
    test_redis_stop(server);
    for (int i = 0; i < 5; i++) {
        assert_ok(rig_send(&r, &call, &(rig_how){.deadline_ms = 50}, "GET k"));
        rig_await(&r, &call);
        assert_int_not_equal(call.outcome, FB_CONN_REPLIED);
        unknown += call.outcome == FB_CONN_UNKNOWN;
    }
    assert_true(unknown == 5 || r.stood_ns > 0);  // else some did not go out in their time
    RUN_UNTIL(&r, !r.up);
    test_redis_continue(server);
    RUN_UNTIL(&r, r.up);
    assert_string_equal(rig_ask(&r, "ECHO back"), "back");
    rig_close(&r);
    test_redis_free(server);
}

// ---- servers that refuse

static void test_route__says_that_the_password_is_wrong(void **state) {
    SKIP_WITHOUT_REDIS();
    char url[128];
    test_redis *server = test_redis_new_with(&(test_redis_options){.password = "secret"});
    rig_call call;
    rig r = {0};
    snprintf(url, sizeof url, "redis://:guess@127.0.0.1:%d", server->port);
    rig_open(&r, url);
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "password"));
    // Waiting would be in vain: the answer comes at once.
    assert_ok(rig_send(&r, &call, &(rig_how){0}, "GET k"));
    rig_await(&r, &call);
    assert_int_equal(call.outcome, FB_CONN_NOT_SENT);
    assert_true(call.answered_ns < call.deadline_ns - INT64_C(2000000000));
    assert_non_null(strstr(call.text, "password"));
    rig_close(&r);
    test_redis_free(server);
}

static void test_route__passes_a_replica_by_until_it_is_promoted(void **state) {
    SKIP_WITHOUT_REDIS();
    char config[64];
    test_redis *master = test_redis_new(NULL);
    snprintf(config, sizeof config, "replicaof 127.0.0.1 %d", master->port);
    test_redis *replica = test_redis_new(config);
    rig_call call;
    rig r = {0};
    rig_open(&r, url_of(replica));
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "read-only replica"));
    assert_ok(rig_send(&r, &call, &(rig_how){0}, "GET k"));
    rig_await(&r, &call);
    assert_int_equal(call.outcome, FB_CONN_NOT_SENT);
    assert_non_null(strstr(call.text, "read-only replica"));
    assert_true(call.answered_ns < call.deadline_ns - INT64_C(2000000000));
    (void)test_redis_ask(replica, "REPLICAOF NO ONE");
    RUN_UNTIL(&r, r.up);
    assert_int_equal(r.changes, 1);
    assert_string_equal(rig_ask(&r, "SET k v"), "OK");
    rig_close(&r);
    test_redis_free(replica);
    test_redis_free(master);
}

static void test_route__notices_that_its_master_became_a_replica(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    test_redis *other = test_redis_new(NULL);
    rig_call call;
    rig r = {0};
    rig_open(&r, url_of(server));
    assert_string_equal(rig_ask(&r, "SET k v"), "OK");
    (void)test_redis_ask(server, "REPLICAOF 127.0.0.1 %d", other->port);
    assert_ok(rig_send(&r, &call, &(rig_how){.once = true}, "INCR n"));
    rig_await(&r, &call);
    assert_int_equal(call.outcome, FB_CONN_NOT_SENT);
    RUN_UNTIL(&r, !r.up);
    (void)test_redis_ask(server, "REPLICAOF NO ONE");
    RUN_UNTIL(&r, r.up);
    assert_string_equal(rig_ask(&r, "INCR n"), "1");
    rig_close(&r);
    test_redis_free(other);
    test_redis_free(server);
}

static void test_route__waits_while_a_script_runs(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new("busy-reply-threshold 20");
    rig_call call;
    rig r = {0};
    rig_open(&r, url_of(server));
    RUN_UNTIL(&r, r.up);
    int fd = test_redis_dial(server->port);
    static const char spin[] = "*3\r\n$4\r\nEVAL\r\n$22\r\nwhile true do end --  \r\n$1\r\n0\r\n";
    assert_true(send(fd, spin, sizeof spin - 1, MSG_NOSIGNAL) > 0);
    test_redis_await(server, "PING", "-BUSY");
    assert_ok(rig_send(&r, &call, &(rig_how){.once = true}, "INCR n"));
    rig_run_ms(&r, 100);
    assert_int_equal(call.calls, 0);
    (void)test_redis_ask(server, "SCRIPT KILL");
    rig_await(&r, &call);
    assert_string_equal(call.text, "1");
    // One that does not live to see it knows why.
    assert_true(send(fd, spin, sizeof spin - 1, MSG_NOSIGNAL) > 0);
    test_redis_await(server, "PING", "-BUSY");
    (void)rig_await_refusal(&r, 50, "INCR n", "BUSY");
    (void)test_redis_ask(server, "SCRIPT KILL");
    (void)close(fd);
    rig_close(&r);
    test_redis_free(server);
}

static void test_route__waits_while_data_are_loaded(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server =
        test_redis_new("appendonly yes\nappendfsync no\nkey-load-delay 500\n"
                       "loading-process-events-interval-bytes 1024\nauto-aof-rewrite-percentage 0");
    rig r = {0};
    rig_open(&r, url_of(server));
    assert_string_equal(rig_ask(&r, "DEBUG POPULATE 800 key 20"), "OK");
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    // Into the append-only file, which DEBUG POPULATE passes by.
    test_redis_await(server, "BGREWRITEAOF", "started");
    test_redis_await(server, "INFO persistence", "aof_rewrite_in_progress:0");
    // Loading takes 0.4 s: again where it was over before it was looked at.
    const char *answer = "";
    for (int tries = 0; strncmp(answer, "-LOADING", 8) != 0; tries++) {
        assert_true(tries < 10);
        test_redis_kill(server);
        test_redis_spawn(server);
        while (*(answer = test_redis_ask(server, "PING")) == '\0') {
            test_redis_pause();
        }
    }
    assert_string_equal(rig_ask(&r, "GET fruit"), "plum");
    rig_close(&r);
    test_redis_free(server);
}

static void test_route__says_that_it_met_a_sentinel(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *sentinel = test_redis_new_with(&(test_redis_options){.sentinel = true});
    rig r = {0};
    rig_open(&r, url_of(sentinel));
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "redis+sentinel://"));
    rig_close(&r);
    test_redis_free(sentinel);
}

// ---- fakes

static const char *answer_from_arg(fake_redis *fake, const char *words, char *text,
                                   size_t text_size) {
    return fake->arg;
}

static void test_route__does_not_follow_a_cluster_it_was_told_not_to_see(void **state) {
    char url[64];
    rig r = {0};
    static char moved[] = "-MOVED 5 127.0.0.1:1\r\n";
    fake_redis *fake = fake_redis_new(&r, answer_from_arg, moved);
    fake->mode = "cluster";
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", fake->port);
    rig_open_as(&r, url, FB_CLUSTER_NO);
    (void)rig_await_refusal(&r, 100, "GET k", "MOVED");
    assert_int_equal(status_of(&r).kind, FB_REDIS_ALONE);
    fake_redis_free(fake);
    rig_close(&r);
}

static void test_route__hands_other_errors_on(void **state) {
    static const char *const errors[] = {
        "-OOM command not allowed\r\n", "-NOSCRIPT No matching\r\n", "-ERR unknown command\r\n",
        "-NOPERM no\r\n", "-MOVED nonsense\r\n"};
    char url[64];
    rig r = {0};
    fake_redis *fake = fake_redis_new(&r, answer_from_arg, NULL);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", fake->port);
    rig_open(&r, url);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        fake->arg = (void *)(uintptr_t)errors[i];
        const char *answer = rig_ask(&r, "GET k");
        assert_int_equal(strncmp(answer, errors[i], strlen(errors[i]) - 2), 0);
    }
    assert_int_equal(fake->commands, (int)(sizeof errors / sizeof *errors));
    fake_redis_free(fake);
    rig_close(&r);
}

static void test_route__answers_what_waits_when_it_is_freed(void **state) {
    char url[64];
    rig_call sent, waiting;
    rig r = {0};
    fake_redis *fake = fake_redis_new(&r, answer_from_arg, NULL);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", fake->port);
    rig_open(&r, url);
    RUN_UNTIL(&r, r.up);
    assert_ok(rig_send(&r, &sent, &(rig_how){0}, "GET k"));
    RUN_UNTIL(&r, fake->commands == 1);
    fake_redis_free(fake);
    assert_ok(rig_send(&r, &waiting, &(rig_how){.once = true}, "GET k"));
    RUN_UNTIL(&r, !r.up);
    fb_route_free(r.route);
    r.route = NULL;
    assert_int_equal(sent.calls, 1);
    assert_int_equal(sent.outcome, FB_CONN_UNKNOWN);
    assert_int_equal(waiting.calls, 1);
    rig_close(&r);
}

static void test_route__answers_what_is_under_way_when_it_is_freed(void **state) {
    char url[64];
    rig_call get, incr;
    rig r = {0};
    fake_redis *fake = fake_redis_new(&r, answer_from_arg, NULL);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", fake->port);
    rig_open(&r, url);
    RUN_UNTIL(&r, r.up);
    assert_ok(rig_send(&r, &get, &(rig_how){0}, "GET k"));
    assert_ok(rig_send(&r, &incr, &(rig_how){.once = true}, "INCR k"));
    RUN_UNTIL(&r, fake->commands == 2);
    fb_route_free(r.route);
    r.route = NULL;
    assert_true(get.calls == 1 && get.outcome == FB_CONN_UNKNOWN);
    assert_true(incr.calls == 1 && incr.outcome == FB_CONN_UNKNOWN);
    fake_redis_free(fake);
    rig_close(&r);
}

static void test_route__keeps_no_more_than_it_may(void **state) {
    static rig_call calls[3];
    static char large[FB_CONN_UNSENT_MAX / 2 + 1];
    char url[64];
    rig r = {0};
    rig_init(&r);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", test_redis_free_port());
    rig_open(&r, url);
    memset(large, 'x', sizeof large);
    for (int i = 0; i < 3; i++) {
        fb_route_command command = {.command = fb_str_make(large, sizeof large),
                                    .slot = FB_SLOT_ANY,
                                    .deadline_ns = fb_clock_now_ns() + 1000000000,
                                    .fn = rig_on_reply,
                                    .arg = &calls[i]};
        assert_result(fb_route_send(r.route, &command), i == 0 ? FB_OK : FB_EOVERLOAD);
    }
    rig_close(&r);
    assert_int_equal(calls[0].calls, 1);
    assert_int_equal(calls[0].outcome, FB_CONN_NOT_SENT);
    assert_true(calls[1].calls + calls[2].calls == 0);
}

// ---- memory

static int scenario(void *arg) {
    static const char *const urls[] = {
        "redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1,127.0.0.1:2",
        "redis+sentinel://127.0.0.1:1,127.0.0.1:2/mine"};
    rig *r = arg;
    int result = FB_OK;
    for (size_t i = 0; i < 3 && result == FB_OK; i++) {
        fb_route_events events = {0};
        rig_call call = {0};
        rig_set_url(r, urls[i]);
        fb_route_options options = rig_options(r, FB_CLUSTER_AUTO);
        result = fb_route_new(&options, &events, &r->route);
        if (result == FB_OK) {
            fb_route_command command = {.command = FB_STR("*1\r\n$4\r\nPING\r\n"),
                                        .slot = FB_SLOT_ANY,
                                        .deadline_ns = fb_clock_now_ns() + 1000000000,
                                        .fn = rig_on_reply,
                                        .arg = &call};
            result = fb_route_send(r->route, &command);
            fb_route_free(r->route);
            r->route = NULL;
            assert_int_equal(call.calls, result == FB_OK);
        }
    }
    return result;
}

static void test_route__survives_a_lack_of_memory(void **state) {
    rig r = {0};
    (void)test_memory_get();
    rig_init(&r);
    assert_true(test_memory_sweep(scenario, &r) > 10);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route__answers_commands),
        cmocka_unit_test(test_route__reaches_a_unix_socket),
        cmocka_unit_test(test_route__connects_with_the_first_command),
        cmocka_unit_test(test_route__opens_so_many_side_connections),
        cmocka_unit_test(test_route__sends_to_one_server),
        cmocka_unit_test(test_route__heals_when_a_server_comes_late),
        cmocka_unit_test(test_route__repeats_what_may_be_when_a_server_dies),
        cmocka_unit_test(test_route__keeps_deadlines_while_a_server_hangs),
        cmocka_unit_test(test_route__says_that_the_password_is_wrong),
        cmocka_unit_test(test_route__passes_a_replica_by_until_it_is_promoted),
        cmocka_unit_test(test_route__notices_that_its_master_became_a_replica),
        cmocka_unit_test(test_route__waits_while_a_script_runs),
        cmocka_unit_test(test_route__waits_while_data_are_loaded),
        cmocka_unit_test(test_route__says_that_it_met_a_sentinel),
        cmocka_unit_test(test_route__does_not_follow_a_cluster_it_was_told_not_to_see),
        cmocka_unit_test(test_route__hands_other_errors_on),
        cmocka_unit_test(test_route__answers_what_waits_when_it_is_freed),
        cmocka_unit_test(test_route__answers_what_is_under_way_when_it_is_freed),
        cmocka_unit_test(test_route__keeps_no_more_than_it_may),
        cmocka_unit_test(test_route__survives_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
