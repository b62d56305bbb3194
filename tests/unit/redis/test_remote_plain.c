// Classes with a plain layout, over a real server and over a Cluster: what other programs see, what is
// promised all the same (leases, fences, holds, records), and hearing of who writes past us.

#include "remote_rig.h"

static test_redis *server;
static test_cluster *cluster;

static remote_rig *connect_to(test_redis *alone, test_cluster *many) {
    static const fb_redis_class CLASSES[] = {
        {.name = FB_STR_INIT("user"), .plain = true, .prefix = FB_STR_INIT("user:")},
        {.name = FB_STR_INIT("user_more"), .plain = true, .prefix = FB_STR_INIT("user:more:")},
        {.name = FB_STR_INIT("org"), .plain = false, .prefix = FB_STR_INIT("org:")},
    };
    remote_rig *rig = calloc(1, sizeof *rig);

    assert_non_null(rig);
    rig->server = alone;
    rig->cluster = many;
    remote_rig_each(rig, "FLUSHALL");
    remote_rig_connect(rig);
    assert_ok(fb_redis_classes(rig->redis, CLASSES, sizeof CLASSES / sizeof *CLASSES));
    claims_open_all(&rig->claims);
    // It begins to track at every server.
    RIG_UNTIL(rig, rig->bypass_count == (many != NULL ? TEST_CLUSTER_MASTERS : 1));
    rig->bypass_count = 0;
    return rig;
}

static claims_rig *claims_rig_new(void) {
    return &connect_to(server, NULL)->claims;
}

static void claims_rig_free(claims_rig *claims) {
    remote_rig *rig = (remote_rig *)(void *)claims;
    remote_rig_disconnect(rig);
    free(rig);
}

static int cluster_setup(void **state) {
    *state = connect_to(NULL, cluster);
    return 0;
}

static int start(void **state) {
    (void)state;
    server = test_redis_new("save \"\"");
    cluster = test_cluster_new("save \"\"");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_redis_free(server);
    test_cluster_free(cluster);
    return 0;
}

static fb_sync_request plain(fb_sync_verb verb, const char *key) {
    fb_sync_request request = claims_key(verb, key);
    request.plain = true;
    request.wide = (fb_mark){1000 + CLAIMS_PARTITIONS, 5, 6};
    request.lease_ns = 30000 * CLAIMS_MS;
    request.ttl_ns = 60000 * CLAIMS_MS;
    request.record = claims_record(FB_RECORD_KEY, key, 0x1234567);
    return request;
}

static const fb_sync_reply *get(claims_rig *claims, size_t who, const char *key, uint64_t token) {
    fb_sync_request request = plain(FB_SYNC_GET, key);
    request.token = token;
    return claims_ask(claims, who, request);
}

static const fb_sync_reply *store(claims_rig *claims, fb_sync_request request, const char *text,
                                  uint64_t source_version) {
    fb_loaded loaded = claims_value(text);
    loaded.source_version = source_version;
    request.loaded = &loaded;
    const fb_sync_reply *reply = claims_ask(claims, 0, request);
    fb_loaded_release(&loaded);
    return reply;
}

static const fb_sync_reply *fill(claims_rig *claims, const char *key, uint64_t token,
                                 const char *text, uint64_t source_version) {
    fb_sync_request request = plain(FB_SYNC_FILL, key);
    request.token = token;
    return store(claims, request, text, source_version);
}

// ---- what other programs see

static void test_remote_plain__values_stand_under_their_keys(void **state) {
    claims_rig *claims = *state;

    CLAIMS_IS(get(claims, 0, "user:1", 1), FB_SYNC_LEASE);
    CLAIMS_IS(fill(claims, "user:1", 1, "{\"n\":1}", 0), FB_SYNC_DONE);
    assert_non_null(strstr(test_redis_ask(server, "GET user:1"), "{\"n\":1}"));
    assert_true(atoi(test_redis_ask(server, "TTL user:1")) > 50);
    (void)test_redis_ask(server, "SETEX user:2 60 [1,2]");
    const fb_sync_reply *reply = get(claims, 1, "user:2", 2);
    CLAIMS_VALUE(reply, "[1,2]");
    assert_int_equal(reply->loaded.kind, FB_KIND_JSON);
    assert_true(reply->fresh_for_ns > 0 && reply->fresh_for_ns <= 60000 * CLAIMS_MS);
    assert_int_equal(reply->wide.seq, 5);  // the one of the question
    assert_int_equal(reply->mark.epoch, 1000 + fb_partition_of(FB_STR("user:2"), 4));
    CLAIMS_IS(store(claims, plain(FB_SYNC_SET, "user:3"), "text", 0), FB_SYNC_DONE);
    assert_non_null(strstr(test_redis_ask(server, "GET user:3"), "text"));
}

static void test_remote_plain__leases_and_changes_work_as_ever(void **state) {
    claims_rig *claims = *state;
    fb_sync_request drop = plain(FB_SYNC_DROP, "user:1");

    CLAIMS_IS(get(claims, 0, "user:1", 1), FB_SYNC_LEASE);
    CLAIMS_IS(get(claims, 0, "user:1", 1), FB_SYNC_LEASE);
    CLAIMS_IS(get(claims, 1, "user:1", 2), FB_SYNC_HELD);
    CLAIMS_IS(claims_ask(claims, 1, drop), FB_SYNC_DONE);
    CLAIMS_IS(fill(claims, "user:1", 1, "old", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_ask(claims, 1, plain(FB_SYNC_PEEK, "user:1")), FB_SYNC_NONE);
    CLAIMS_IS(get(claims, 0, "user:1", 3), FB_SYNC_LEASE);
    CLAIMS_IS(fill(claims, "user:1", 3, "new", 0), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_ask(claims, 1, drop);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_true(reply->found);
    assert_int_equal(reply->mark.seq, 2);
    claims_hear(claims, 2);
    assert_str(claims->node[0]->heard[1].record.name, "user:1");
    assert_int_equal(claims->node[0]->heard[1].record.before, 0x1234567);
}

static void test_remote_plain__fences_and_holds_work_as_ever(void **state) {
    claims_rig *claims = *state;
    fb_sync_request drop = plain(FB_SYNC_DROP, "user:1");

    drop.record.fence = 10;
    drop.record.hold_ms = 60000;
    CLAIMS_IS(claims_ask(claims, 0, drop), FB_SYNC_DONE);
    const fb_sync_reply *reply = get(claims, 1, "user:1", 1);
    CLAIMS_IS(reply, FB_SYNC_LEASE);
    assert_true(reply->held);
    assert_int_equal(reply->fence, 10);
    CLAIMS_IS(fill(claims, "user:1", 1, "within", 10), FB_SYNC_REFUSED);
    CLAIMS_IS(store(claims, plain(FB_SYNC_SET, "user:1"), "nine", 9), FB_SYNC_REFUSED);
    drop.record.hold_ms = 0;
    CLAIMS_IS(claims_ask(claims, 0, drop), FB_SYNC_DONE);
    CLAIMS_IS(get(claims, 1, "user:1", 2), FB_SYNC_LEASE);
    CLAIMS_IS(fill(claims, "user:1", 2, "nine", 9), FB_SYNC_REFUSED);
    CLAIMS_IS(get(claims, 1, "user:1", 3), FB_SYNC_LEASE);
    CLAIMS_IS(fill(claims, "user:1", 3, "ten", 10), FB_SYNC_DONE);
}

static void test_remote_plain__conditions_go_by_the_bytes(void **state) {
    claims_rig *claims = *state;
    fb_sync_request set = plain(FB_SYNC_SET, "user:1");

    set.when = FB_WHEN_ABSENT;
    CLAIMS_IS(store(claims, set, "one", 0), FB_SYNC_DONE);
    const fb_sync_reply *reply = store(claims, set, "two", 0);
    CLAIMS_IS(reply, FB_SYNC_CONFLICT);
    assert_str(fb_blob_str(reply->loaded.value), "one");
    assert_int_equal(reply->mark.seq, 1);
    set.when = FB_WHEN_VERSION;
    set.version = reply->version;
    (void)test_redis_ask(server, "SET user:1 foreign");
    CLAIMS_IS(store(claims, set, "two", 0), FB_SYNC_CONFLICT);
    (void)test_redis_ask(server, "SET user:1 one");
    CLAIMS_IS(store(claims, set, "two", 0), FB_SYNC_DONE);
}

static void test_remote_plain__numbers_and_lifetimes(void **state) {
    claims_rig *claims = *state;
    fb_sync_request add = plain(FB_SYNC_ADD, "user:n");
    fb_sync_request expire = plain(FB_SYNC_EXPIRE, "user:n");

    CLAIMS_IS(claims_ask(claims, 0, expire), FB_SYNC_NONE);
    add.delta = INT64_MAX;
    const fb_sync_reply *reply = claims_ask(claims, 0, add);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_true(reply->number == INT64_MAX);
    assert_true(atoi(test_redis_ask(server, "TTL user:n")) > 50);
    CLAIMS_IS(claims_ask(claims, 0, add), FB_SYNC_OUT_OF_RANGE);
    expire.ttl_ns = -1;
    CLAIMS_IS(claims_ask(claims, 0, expire), FB_SYNC_DONE);
    assert_int_equal(atoi(test_redis_ask(server, "TTL user:n")), -1);
    (void)test_redis_ask(server, "SET user:n text");
    CLAIMS_IS(claims_ask(claims, 0, add), FB_SYNC_WRONG_TYPE);
}

static void test_remote_plain__what_has_no_bytes_is_not_stored(void **state) {
    claims_rig *claims = *state;
    fb_loaded none;
    fb_sync_request request = plain(FB_SYNC_FILL, "user:1");

    fb_loaded_init(&none);
    none.result = FB_NEGATIVE;
    request.token = 1;
    request.loaded = &none;
    CLAIMS_IS(get(claims, 0, "user:1", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_ask(claims, 0, request), FB_SYNC_DONE);
    CLAIMS_IS(claims_ask(claims, 0, plain(FB_SYNC_PEEK, "user:1")), FB_SYNC_NONE);
    CLAIMS_IS(get(claims, 1, "user:1", 2), FB_SYNC_LEASE);
}

static void test_remote_plain__a_log_without_an_epoch_is_told(void **state) {
    claims_rig *claims = *state;

    claims->flush(claims);
    CLAIMS_IS(get(claims, 0, "user:1", 1), FB_SYNC_NO_EPOCH);
    CLAIMS_IS(claims_ask(claims, 0, plain(FB_SYNC_DROP, "user:1")), FB_SYNC_NO_EPOCH);
    fb_sync_request add = plain(FB_SYNC_ADD, "user:n");
    add.delta = 1;
    CLAIMS_IS(claims_ask(claims, 0, add), FB_SYNC_UNKNOWN);  // added, and nobody told
}

static void test_remote_plain__a_change_is_two_commands(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    fb_redis_status before, after;

    CLAIMS_IS(get(claims, 0, "user:warm", 1), FB_SYNC_LEASE);
    CLAIMS_IS(fill(claims, "user:warm", 1, "v", 0), FB_SYNC_DONE);
    CLAIMS_IS(claims_ask(claims, 0, plain(FB_SYNC_DROP, "user:warm")), FB_SYNC_DONE);
    remote_rig_pass(claims, 50);
    fb_redis_status_read(rig->redis, &before);
    CLAIMS_IS(claims_ask(claims, 0, plain(FB_SYNC_DROP, "user:1")), FB_SYNC_DONE);
    fb_redis_status_read(rig->redis, &after);
    assert_int_equal(after.commands - before.commands, 2);
    CLAIMS_IS(get(claims, 1, "user:1", 2), FB_SYNC_LEASE);
    CLAIMS_IS(claims_fill(claims, 1, "other", 2, "v", 0), FB_SYNC_REFUSED);
}

static void test_remote_plain__a_sweep_takes_plain_classes_too(void **state) {
    claims_rig *claims = *state;

    (void)test_redis_ask(server, "SET user:1 a");
    (void)test_redis_ask(server, "SET user:more:1 a");
    (void)test_redis_ask(server, "SET userless a");
    (void)test_redis_ask(server, "SET org:1 a");
    CLAIMS_IS(claims_set(claims, 0, "org:2", "b"), FB_SYNC_DONE);
    CLAIMS_IS(get(claims, 0, "user:lease", 1), FB_SYNC_LEASE);
    CLAIMS_IS(get(claims, 0, "user:{tag}:lease", 2), FB_SYNC_LEASE);
    assert_int_equal(claims_sweep(claims, "*"), 3);  // user:1, user:more:1, org:2
    assert_non_null(strstr(test_redis_ask(server, "GET userless"), "a"));
    assert_non_null(strstr(test_redis_ask(server, "GET org:1"), "a"));
    CLAIMS_IS(fill(claims, "user:lease", 1, "old", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(fill(claims, "user:{tag}:lease", 2, "old", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_drop(claims, 0, "org:2"), FB_SYNC_DONE);  // the marks are still there
}

// ---- who writes past us

static void test_remote_plain__who_writes_past_us_is_heard(void **state) {
    remote_rig *rig = *state;

    (void)test_redis_ask(server, "SET org:1 unheard");
    (void)test_redis_ask(server, "SET user:1 x");
    RIG_UNTIL(rig, rig->bypass_count == 1);
    assert_string_equal(rig->bypassed[0], "user:1");
    (void)test_redis_ask(server, "SET user:more:7 x PX 20");
    RIG_UNTIL(rig, rig->bypass_count == 3);  // written, and ended
    assert_string_equal(rig->bypassed[1], "user:more:7");
    assert_string_equal(rig->bypassed[2], "user:more:7");
    (void)test_redis_ask(server, "FLUSHALL");
    RIG_UNTIL(rig, rig->bypass_count == 4);
    assert_string_equal(rig->bypassed[3], "*");
}

static void test_remote_plain__what_we_store_ourselves_is_no_news(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;

    CLAIMS_IS(get(claims, 0, "user:1", 1), FB_SYNC_LEASE);
    CLAIMS_IS(fill(claims, "user:1", 1, "ours", 0), FB_SYNC_DONE);
    CLAIMS_IS(store(claims, plain(FB_SYNC_SET, "user:2"), "ours", 0), FB_SYNC_DONE);
    remote_rig_pass(claims, 50);
    (void)test_redis_ask(server, "SET user:end x");
    RIG_UNTIL(rig, rig->bypass_count == 1);
    assert_string_equal(rig->bypassed[0], "user:end");
    (void)test_redis_ask(server, "SET user:1 theirs");
    RIG_UNTIL(rig, rig->bypass_count == 2);
    assert_string_equal(rig->bypassed[1], "user:1");
}

static void test_remote_plain__a_lost_connection_may_have_missed_any(void **state) {
    remote_rig *rig = *state;

    (void)test_redis_ask(server, "CLIENT KILL TYPE pubsub");
    RIG_UNTIL(rig, rig->bypass_count == 2);  // when it is lost, and when it is back
    assert_string_equal(rig->bypassed[0], "*");
    assert_string_equal(rig->bypassed[1], "*");
    (void)test_redis_ask(server, "SET user:1 x");
    RIG_UNTIL(rig, rig->bypass_count == 3);
    assert_string_equal(rig->bypassed[2], "user:1");
}

// ---- in a Cluster

static void test_remote_plain__a_key_and_its_lease_share_a_slot(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    static const char *const KEYS[] = {"user:1", "user:{7}:x", "user:{", "user:a{b}c{d}"};
    static const char *const NOT[] = {"user:}", "user:{}"};

    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        CLAIMS_IS(get(claims, 0, KEYS[i], 1), FB_SYNC_LEASE);
        CLAIMS_IS(fill(claims, KEYS[i], 1, "v", 0), FB_SYNC_DONE);
        CLAIMS_VALUE(get(claims, 1, KEYS[i], 2), "v");
        CLAIMS_IS(claims_ask(claims, 1, plain(FB_SYNC_DROP, KEYS[i])), FB_SYNC_DONE);
    }
    for (size_t i = 0; i < sizeof NOT / sizeof *NOT; i++) {
        CLAIMS_IS(get(claims, 0, NOT[i], 1), FB_SYNC_FAILED);
    }
    // Each server tells of its own keys.
    rig->bypass_count = 0;
    remote_rig_pass(claims, 50);
    rig->bypass_count = 0;
    for (int i = 0; i < 20; i++) {
        char key[24];
        snprintf(key, sizeof key, "user:%d", i);
        test_redis *owner = test_cluster_owner(cluster, fb_slot_of(fb_str_of(key)));
        assert_non_null(strstr(test_redis_ask(owner, "SET %s x", key), "OK"));
    }
    RIG_UNTIL(rig, rig->bypass_count == 20);
    assert_int_equal(claims_sweep(claims, "user:*"), 20);
}

#define PLAIN(name) \
    cmocka_unit_test_setup_teardown(test_remote_plain__##name, claims_setup, claims_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(values_stand_under_their_keys),
        PLAIN(leases_and_changes_work_as_ever),
        PLAIN(fences_and_holds_work_as_ever),
        PLAIN(conditions_go_by_the_bytes),
        PLAIN(numbers_and_lifetimes),
        PLAIN(what_has_no_bytes_is_not_stored),
        PLAIN(a_log_without_an_epoch_is_told),
        PLAIN(a_change_is_two_commands),
        PLAIN(a_sweep_takes_plain_classes_too),
        PLAIN(who_writes_past_us_is_heard),
        PLAIN(what_we_store_ourselves_is_no_news),
        PLAIN(a_lost_connection_may_have_missed_any),
        cmocka_unit_test_setup_teardown(test_remote_plain__a_key_and_its_lease_share_a_slot,
                                        cluster_setup, claims_teardown),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, start, stop);
}
