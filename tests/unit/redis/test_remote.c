// The port over a real server, alone: the claims that every port must meet, and what is this driver's
// own: how many commands, lost scripts, a full server, a lost subscription, a server that is emptied,
// restarted, stopped.

#include "../sync/port_claims.h"
#include "remote_rig.h"


static test_redis *server;

static claims_rig *claims_rig_new(void) {
    remote_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->server = server;
    (void)test_redis_ask(server, "FLUSHALL");
    remote_rig_connect(rig);
    return &rig->claims;
}

static void claims_rig_free(claims_rig *claims) {
    remote_rig *rig = (remote_rig *)(void *)claims;
    remote_rig_disconnect(rig);
    free(rig);
}

static int start(void **state) {
    (void)state;
    server = test_redis_new("stream-node-max-entries 10\nsave \"\"");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_redis_free(server);
    return 0;
}

static uint64_t commands(remote_rig *rig) {
    fb_redis_status status;
    fb_redis_status_read(rig->redis, &status);
    return status.commands;
}

static long evals(void) {
    char calls[64];
    // "cmdstat_evalsha:calls=12,usec=…"
    test_redis_field(server, "INFO commandstats", "cmdstat_evalsha:calls=", calls, sizeof calls);
    return atol(calls);
}

// ---- commands

static void test_remote__every_verb_is_one_command(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    fb_record wide[2] = {claims_record(FB_RECORD_TAG, "t", 8), claims_record(FB_RECORD_ALL, "", 9)};

    claims_open_all(claims);
    CLAIMS_IS(claims_set(claims, 0, "warm", "1"), FB_SYNC_DONE);  // its text is there from now on
    CLAIMS_IS(claims_get(claims, 0, "warm", 1), FB_SYNC_VALUE);
    CLAIMS_IS(claims_refresh(claims, 0, "warm", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_fill(claims, 0, "warm", 1, "v", 0), FB_SYNC_DONE);
    CLAIMS_IS(claims_drop(claims, 0, "warm"), FB_SYNC_DONE);
    fb_sync_request bump = {.verb = FB_SYNC_BUMP, .records = wide, .record_count = 2};
    fb_sync_request state_of = {.verb = FB_SYNC_STATE, .node = 7, .alive_ms = 1000};
    CLAIMS_IS(claims_ask(claims, 0, bump), FB_SYNC_DONE);
    CLAIMS_IS(claims_ask(claims, 0, state_of), FB_SYNC_DONE);

    uint64_t sent = commands(rig);
    long done = evals();
    CLAIMS_IS(claims_get(claims, 0, "k", 2), FB_SYNC_LEASE);
    CLAIMS_IS(claims_fill(claims, 0, "k", 2, "v", 0), FB_SYNC_DONE);
    assert_int_equal(commands(rig) - sent, 2);  // a miss
    assert_int_equal(evals() - done, 2);
    CLAIMS_IS(claims_get(claims, 1, "k", 3), FB_SYNC_VALUE);
    assert_int_equal(commands(rig) - sent, 3);  // a value that another node loaded
    CLAIMS_IS(claims_drop(claims, 0, "k"), FB_SYNC_DONE);
    assert_int_equal(commands(rig) - sent, 4);  // an invalidation
    CLAIMS_IS(claims_ask(claims, 0, bump), FB_SYNC_DONE);
    assert_int_equal(commands(rig) - sent, 5);  // two wide ones at once
    CLAIMS_IS(claims_ask(claims, 0, state_of), FB_SYNC_DONE);
    assert_int_equal(commands(rig) - sent, 6);  // all marks
    assert_int_equal(evals() - done, 6);
}

static void test_remote__lost_scripts_are_sent_again(void **state) {
    claims_rig *claims = *state;

    claims_open_all(claims);
    CLAIMS_IS(claims_add(claims, "n", 1), FB_SYNC_DONE);
    for (int i = 0; i < 3; i++) {
        (void)test_redis_ask(server, "SCRIPT FLUSH");
        const fb_sync_reply *reply = claims_add(claims, "n", 1);
        CLAIMS_IS(reply, FB_SYNC_DONE);
        assert_int_equal(reply->number, 2 + i);  // once each
    }
}

// ---- trouble

static void test_remote__a_full_server_still_gives_and_drops(void **state) {
    claims_rig *claims = *state;

    claims_open_all(claims);
    CLAIMS_IS(claims_set(claims, 0, "k", "v"), FB_SYNC_DONE);
    CLAIMS_IS(claims_refresh(claims, 0, "k", 5), FB_SYNC_LEASE);
    (void)test_redis_ask(server, "CONFIG SET maxmemory 1");
    CLAIMS_VALUE(claims_get(claims, 1, "k", 1), "v");
    const fb_sync_reply *reply = claims_set(claims, 0, "k", "w");
    CLAIMS_IS(reply, FB_SYNC_FAILED);
    assert_non_null(strstr(claims->node[0]->text, "OOM"));
    CLAIMS_IS(claims_get(claims, 0, "absent", 2), FB_SYNC_FAILED);
    CLAIMS_IS(claims_add(claims, "k", 2), FB_SYNC_FAILED);
    CLAIMS_IS(claims_fill(claims, 0, "k", 5, "w", 0), FB_SYNC_FAILED);
    reply = claims_peek(claims, 1, "k");
    CLAIMS_VALUE(reply, "v");
    assert_int_equal(reply->mark.seq, 1);  // no change was begun
    reply = claims_drop(claims, 0, "k");
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_true(reply->found);
    fb_record all = claims_record(FB_RECORD_ALL, "", 9);
    fb_sync_request bump = {.verb = FB_SYNC_BUMP, .records = &all, .record_count = 1};
    CLAIMS_IS(claims_ask(claims, 0, bump), FB_SYNC_DONE);
    CLAIMS_IS(claims_ask(claims, 0, (fb_sync_request){.verb = FB_SYNC_STATE, .node = 7,
                                                      .alive_ms = 1000}), FB_SYNC_DONE);
    (void)test_redis_ask(server, "CONFIG SET maxmemory 0");
    CLAIMS_IS(claims_peek(claims, 1, "k"), FB_SYNC_NONE);
}

static void test_remote__a_refusal_is_told_in_its_words(void **state) {
    claims_rig *claims = *state;

    claims_open_all(claims);
    (void)test_redis_ask(server, "ACL SETUSER default -evalsha");
    CLAIMS_IS(claims_set(claims, 0, "k", "v"), FB_SYNC_FAILED);
    assert_non_null(strstr(claims->node[0]->text, "NOPERM"));
    (void)test_redis_ask(server, "ACL SETUSER default +evalsha");
    char command[96];
    uint32_t log = fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS);
    snprintf(command, sizeof command, "SET forebay:{forebay.%u}:c x", log);
    (void)test_redis_ask(server, "%s", command);
    CLAIMS_IS(claims_set(claims, 0, "k", "v"), FB_SYNC_FAILED);
    assert_non_null(strstr(claims->node[0]->text, "WRONGTYPE"));
}

static void test_remote__a_log_that_lost_its_counter_is_given_up(void **state) {
    claims_rig *claims = *state;
    char command[96];
    uint32_t log = fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS);

    claims_open_all(claims);
    for (int i = 0; i < 3; i++) {
        CLAIMS_IS(claims_drop(claims, 0, "k"), FB_SYNC_DONE);
    }
    snprintf(command, sizeof command, "HSET forebay:{forebay.%u}:c s 1", log);
    (void)test_redis_ask(server, "%s", command);
    CLAIMS_IS(claims_set(claims, 0, "k", "v"), FB_SYNC_NO_EPOCH);
    claims_open(claims, log, 5000);
    CLAIMS_IS(claims_peek(claims, 0, "k"), FB_SYNC_NONE);
    const fb_sync_reply *reply = claims_set(claims, 0, "k", "v");
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.seq, 1);
}

static void test_remote__bytes_that_are_no_value_count_as_none(void **state) {
    claims_rig *claims = *state;
    char command[128];
    uint32_t log = fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS);

    claims_open_all(claims);
    CLAIMS_IS(claims_set(claims, 0, "k", "v"), FB_SYNC_DONE);
    snprintf(command, sizeof command, "SETRANGE forebay:{forebay.%u}:v:k 1 x", log);
    (void)test_redis_ask(server, "%s", command);
    CLAIMS_IS(claims_peek(claims, 0, "k"), FB_SYNC_NONE);
    CLAIMS_IS(claims_get(claims, 0, "k", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_get(claims, 1, "k", 2), FB_SYNC_HELD);
    CLAIMS_IS(claims_fill(claims, 0, "k", 1, "w", 0), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_get(claims, 1, "k", 2), "w");
}

static void test_remote__a_lost_subscription_comes_back(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    claims_node *node = claims->node[0];

    claims_open_all(claims);
    CLAIMS_IS(claims_drop(claims, 1, "k"), FB_SYNC_DONE);
    claims_hear(claims, 1);
    (void)test_redis_ask(server, "CLIENT KILL TYPE pubsub");
    RIG_UNTIL(rig, strstr(test_redis_ask(server, "PUBSUB NUMSUB forebay:records"), "1") == NULL);
    CLAIMS_IS(claims_drop(claims, 1, "unheard"), FB_SYNC_DONE);
    assert_true(node->up);
    RIG_UNTIL(rig, strstr(test_redis_ask(server, "PUBSUB NUMSUB forebay:records"), "1") != NULL);
    CLAIMS_IS(claims_drop(claims, 1, "k"), FB_SYNC_DONE);
    claims_hear(claims, 2);
    assert_str(node->heard[1].record.name, "k");
}

static void test_remote__a_server_that_starts_empty_has_no_epoch(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;

    claims_open_all(claims);
    CLAIMS_IS(claims_set(claims, 0, "k", "v"), FB_SYNC_DONE);
    claims_hear(claims, 1);
    test_redis_kill(server);
    RIG_UNTIL(rig, !rig->nodes[0]->up && !rig->nodes[1]->up);
    fb_redis_status status;
    fb_redis_status_read(rig->redis, &status);
    assert_false(status.up);
    assert_true(status.why[0] != '\0');
    fb_sync_request peek = claims_key(FB_SYNC_PEEK, "k");
    peek.timeout_ns = 50 * CLAIMS_MS;
    CLAIMS_IS(claims_ask(claims, 0, peek), FB_SYNC_FAILED);
    test_redis_start(server);
    RIG_UNTIL(rig, rig->nodes[0]->up && rig->nodes[1]->up);
    CLAIMS_IS(claims_peek(claims, 0, "k"), FB_SYNC_NO_EPOCH);
    claims_open_all(claims);
    CLAIMS_IS(claims_drop(claims, 1, "k"), FB_SYNC_DONE);
    claims_hear(claims, 2);  // it listens again
}

static void test_remote__a_stopped_server_is_not_waited_for(void **state) {
    claims_rig *claims = *state;
    fb_sync_request drop = claims_key(FB_SYNC_DROP, "k");

    claims_open_all(claims);
    test_redis_stop(server);
    drop.record = claims_record(FB_RECORD_KEY, "k", 5);
    drop.timeout_ns = 50 * CLAIMS_MS;
    int64_t began_ms = test_redis_now_ms();
    CLAIMS_IS(claims_ask(claims, 0, drop), FB_SYNC_UNKNOWN);
    assert_true(test_redis_now_ms() - began_ms < 1000);
    test_redis_continue(server);
    const fb_sync_reply *reply = claims_peek(claims, 0, "k");
    assert_int_equal(reply->mark.seq, 1);  // it was done after all
}

static void test_remote__what_waits_is_answered_at_the_end(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    fb_sync_request requests[] = {claims_key(FB_SYNC_PEEK, "k"), {.verb = FB_SYNC_SWEEP},
                                  {.verb = FB_SYNC_ACK, .token = 1}};

    claims_open_all(claims);
    test_redis_stop(server);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        requests[i].timeout_ns = 5000 * CLAIMS_MS;
        requests[i].key = FB_STR("k");
        claims->node[1]->replied = true;
        claims->port[1]->send(claims->port[1], &requests[i]);
    }
    for (int i = 0; i < 3; i++) {
        remote_rig_turn(rig, 5);
    }
    rig->replies_left = sizeof requests / sizeof *requests;
    fb_remote_free(rig->remote[1]);
    rig->remote[1] = NULL;
    assert_int_equal(rig->replies_left, 0);
    test_redis_continue(server);
}

// ---- what the server is

static void test_remote__an_unfit_server_is_named(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    fb_redis_status status;

    (void)claims;
    RIG_UNTIL(rig, (fb_redis_status_read(rig->redis, &status), status.up));
    assert_true(strstr(status.server, "redis 7") || strstr(status.server, "valkey 8"));
    assert_int_equal(status.unfit_count, 0);
    assert_null(strstr(status.address, "@"));
    (void)test_redis_ask(server, "CONFIG SET maxmemory-policy allkeys-lru");
    remote_rig_disconnect(rig);
    memset(rig, 0, sizeof *rig);
    rig->server = server;
    remote_rig_connect(rig);
    RIG_UNTIL(rig, (fb_redis_status_read(rig->redis, &status), status.unfit_count > 0));
    (void)test_redis_ask(server, "CONFIG SET maxmemory-policy noeviction");
    assert_int_equal(status.unfit_count, 1);
    assert_non_null(strstr(status.unfit[0], "allkeys-lru"));
}

static void test_remote__options_are_checked(void **state) {
    (void)state;
    static const char *const NAMES[] = {"", "a{b", "a*", "a?b", "[x]", "\\"};
    fb_redis *redis = NULL;
    fb_error error;
    fb_redis_options options = remote_rig_options("redis://127.0.0.1:1");

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        options.name_space = NAMES[i];
        assert_result(fb_redis_new(&options, &redis, &error), FB_EINVAL);
    }
    options.name_space = "x";
    options.partitions = 0;
    assert_result(fb_redis_new(&options, &redis, &error), FB_EINVAL);
    options.partitions = FB_PARTITIONS_MAX;
    assert_ok(fb_redis_new(&options, &redis, &error));
    fb_redis_free(redis);
}

// ---- memory

// Whatever allocation fails: each question is answered, once, and the next ones work again.
static void test_remote__without_memory_every_question_is_answered(void **state) {
    claims_rig *claims = *state;
    fb_sync_request state_of = {.verb = FB_SYNC_STATE, .node = 7, .alive_ms = 1000};
    fb_sync_request sweep = {.verb = FB_SYNC_SWEEP, .key = FB_STR("*")};
    fb_sync_request stamps = {.verb = FB_SYNC_STAMPS};
    fb_sync_request log = {.verb = FB_SYNC_LOG, .log = fb_partition_of(FB_STR("k"), 4)};
    fb_sync_request nodes = {.verb = FB_SYNC_NODES};
    fb_record all = claims_record(FB_RECORD_ALL, "", 9);
    fb_sync_request bump = {.verb = FB_SYNC_BUMP, .records = &all, .record_count = 1};
    const fb_sync_request *const asked[] = {&state_of, &sweep, &stamps, &log, &nodes, &bump};
    fb_sync_request peek = claims_key(FB_SYNC_PEEK, "k");

    claims_open_all(claims);
    for (size_t n = 1; n < 40; n++) {
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            fb_sync_request request = *asked[i];
            request.timeout_ns = 300 * CLAIMS_MS;
            test_memory_fail(n);
            (void)claims_ask(claims, 0, request);
            test_memory_fail(0);
        }
        peek.timeout_ns = 300 * CLAIMS_MS;
        test_memory_fail(n);
        (void)claims_ask(claims, 0, peek);
        test_memory_fail(0);
        remote_rig *rig = *state;
        RIG_UNTIL(rig, rig->nodes[0]->up);
        CLAIMS_IS(claims_set(claims, 0, "k", "v"), FB_SYNC_DONE);
    }
}

#define REMOTE(name) \
    cmocka_unit_test_setup_teardown(test_remote__##name, claims_setup, claims_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        PORT_CLAIMS, PORT_CLAIMS_OF_ONE_SERVER,
        REMOTE(every_verb_is_one_command),
        REMOTE(lost_scripts_are_sent_again),
        REMOTE(a_full_server_still_gives_and_drops),
        REMOTE(a_refusal_is_told_in_its_words),
        REMOTE(a_log_that_lost_its_counter_is_given_up),
        REMOTE(bytes_that_are_no_value_count_as_none),
        REMOTE(a_lost_subscription_comes_back),
        REMOTE(a_server_that_starts_empty_has_no_epoch),
        REMOTE(a_stopped_server_is_not_waited_for),
        REMOTE(what_waits_is_answered_at_the_end),
        REMOTE(an_unfit_server_is_named),
        cmocka_unit_test(test_remote__options_are_checked),
        REMOTE(without_memory_every_question_is_answered),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    (void)test_memory_get();
    return cmocka_run_group_tests(tests, start, stop);
}
