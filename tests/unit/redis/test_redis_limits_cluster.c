// Limits over a Cluster: all of one subject lies in one slot, whatever its bytes; subjects lie anywhere;
// and what one master has fails alone while it is away.

#include "limits_rig.h"

enum { SUBJECTS = 60 };

static test_cluster *cluster;
static fb_limit_plan wide, fixed, slots;

static int start(void **state) {
    (void)state;
    wide = limits_plan(FB_LIMIT_SLIDING, 2, 3600000);
    fixed = limits_plan(FB_LIMIT_TOKEN, 2, 3600000);
    slots = limits_plan(FB_LIMIT_SLOTS, 1, 3600000);
    cluster = test_cluster_new("save \"\"\ncluster-require-full-coverage no");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_cluster_free(cluster);
    return 0;
}

static int setup(void **state) {
    limits_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        (void)test_redis_ask(cluster->servers[i], "FLUSHALL");
    }
    limits_open_at(rig, cluster->servers[0], 2);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    limits_rig *rig = *state;
    limits_close(rig);
    free(rig);
    return 0;
}

// Any bytes, braces more often than others; the last one is `number`.
static fb_str make_key(fb_rng *rng, size_t number, char *bytes) {
    static const char OFTEN[] = "{}:!s.";
    size_t len = 1 + fb_rng_below(rng, fb_rng_below(rng, 4) == 0 ? FB_LIMIT_KEY_MAX : 12);
    bytes[len - 1] = (char)(128 + number);
    for (size_t i = 0; i + 1 < len; i++) {
        bytes[i] = fb_rng_below(rng, 3) == 0 ? OFTEN[fb_rng_below(rng, 6)]
                                             : (char)fb_rng_below(rng, 256);
    }
    return fb_str_make(bytes, len);
}

static void make_parts(fb_limit_part *parts) {
    parts[0] = (fb_limit_part){.plan = &wide, .rule = FB_STR("a"), .step = {.cost = 1}};
    parts[1] = (fb_limit_part){.plan = &fixed, .rule = FB_STR("b"), .tier = FB_STR("premium"),
                               .step = {.cost = 1}};
    parts[2] = (fb_limit_part){.plan = &slots, .rule = FB_STR("a"), .token = 7};
}

// All that can be asked of one subject.
static void ask_all(limits_rig *rig, fb_str key) {
    fb_limit_part parts[3];
    make_parts(parts);
    fb_limit_request take = {.verb = FB_LIMIT_DECIDE, .key = key, .parts = parts, .part_count = 2};
    fb_limit_request acquire = {.verb = FB_LIMIT_ACQUIRE, .key = key, .parts = parts + 2,
                                .part_count = 1};
    fb_limit_part deny = {.rule = FB_STR("a"), .override = FB_STR("\3\0\0\0\0\0"), .ttl_us = 60000000};
    fb_limit_request put = {.verb = FB_LIMIT_OVERRIDE_PUT, .key = key, .parts = &deny, .part_count = 1};
    fb_limit_request forget = {.verb = FB_LIMIT_FORGET, .key = key, .parts = parts, .part_count = 1};

    for (size_t i = 0; i < 3; i++) {
        const limits_answer *answer = LIMITS_IS(limits_ask(rig, i % 2, &take), FB_LIMIT_DONE);
        assert_int_equal(answer->reply.parts[0].allowed, i < 2);
        assert_int_equal(answer->reply.parts[1].allowed, i < 2);
    }
    assert_true(LIMITS_IS(limits_ask(rig, 0, &acquire), FB_LIMIT_DONE)->reply.found);
    LIMITS_IS(limits_ask(rig, 1, &put), FB_LIMIT_DONE);
    LIMITS_IS(limits_ask(rig, 0, &take), FB_LIMIT_OVERRIDDEN);
    LIMITS_IS(limits_ask(rig, 1, &forget), FB_LIMIT_DONE);
    parts[2].token = 8;
    assert_true(LIMITS_IS(limits_ask(rig, 0, &acquire), FB_LIMIT_DONE)->reply.found);
    const limits_answer *answer = LIMITS_IS(limits_ask(rig, 0, &take), FB_LIMIT_DONE);
    assert_true(answer->reply.parts[0].allowed);
    assert_false(answer->reply.parts[1].allowed);  // of another rule
}

static void test_limits_cluster__one_subject_lies_in_one_slot(void **state) {
    limits_rig *rig = *state;
    fb_rng rng = test_rng();
    static char bytes[FB_LIMIT_KEY_MAX];
    static const char *const ODD[] = {"}", "}a", "{", "{}", "{a}", "a}b{c}", "}{", "l.", "a"};

    for (size_t i = 0; i < SUBJECTS; i++) {
        ask_all(rig, i < 9 ? fb_str_of(ODD[i]) : make_key(&rng, i, bytes));
    }
    for (size_t i = 0; i < TEST_CLUSTER_MASTERS; i++) {
        assert_true(atol(test_redis_ask(cluster->servers[i], "DBSIZE")) > 0);
    }
}

static unsigned slot_of(const char *key) {
    char name[64];
    int len = snprintf(name, sizeof name, "forebay:{l:%s}:", key);
    return fb_slot_of(fb_str_make(name, (size_t)len));
}

// Until a look at the subject says FB_EIO.
static void await_away(limits_rig *rig, const fb_limit_request *request) {
    static limits_answer answer;
    fb_limit_request look = *request;
    int result;

    look.timeout_ns = 50000000;
    int64_t end_ms = test_redis_now_ms() + LIMITS_PATIENCE_MS;
    while ((result = limits_send(rig, 0, &look, &answer)) == FB_OK) {
        assert_true(test_redis_now_ms() < end_ms);
        LIMITS_UNTIL(rig, answer.replies > 0);
        assert_true(answer.reply.result >= FB_LIMIT_FAILED);
    }
    assert_result(result, FB_EIO);
}

static void lose_master(limits_rig *rig, size_t gone, char keys[][16]) {
    fb_limit_part part = {.plan = &wide, .rule = FB_STR("a"),
                          .step = {.act = FB_LIMIT_LOOK, .cost = 1}};
    fb_limit_request request = {.key = fb_str_of(keys[gone]), .parts = &part, .part_count = 1};
    test_redis *replica = cluster->servers[gone + TEST_CLUSTER_MASTERS];

    // Its replica stays out of it, so that nobody takes over.
    (void)test_redis_ask(replica, "CONFIG SET cluster-replica-no-failover yes");
    test_redis_kill(cluster->servers[gone]);
    await_away(rig, &request);
    for (size_t i = 0; i < TEST_CLUSTER_MASTERS; i++) {
        request.key = fb_str_of(keys[i]);
        if (i != gone) {
            LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
        }
    }
    test_redis_start(cluster->servers[gone]);
    (void)test_redis_ask(replica, "CONFIG SET cluster-replica-no-failover no");
    test_cluster_await_whole(cluster);
    LIMITS_UNTIL(rig, rig->up[0]);
    request.key = fb_str_of(keys[gone]);
    int64_t end_ms = test_redis_now_ms() + LIMITS_PATIENCE_MS;
    static limits_answer answer;
    while (limits_send(rig, 0, &request, &answer) != FB_OK) {
        assert_true(test_redis_now_ms() < end_ms);
        limits_turn(rig, 20);
    }
    LIMITS_UNTIL(rig, answer.replies > 0);
    LIMITS_IS(&answer, FB_LIMIT_DONE);
}

// Each in turn; one of them is that which the remote's link hangs on.
static void test_limits_cluster__a_master_that_is_away_fails_alone(void **state) {
    limits_rig *rig = *state;
    char keys[TEST_CLUSTER_MASTERS][16] = {"", "", ""};

    for (int i = 0; keys[0][0] == '\0' || keys[1][0] == '\0' || keys[2][0] == '\0'; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i);
        unsigned slot = slot_of(key);
        memcpy(keys[slot < 5461 ? 0 : slot < 10923 ? 1 : 2], key, sizeof key);
    }
    for (size_t gone = 0; gone < TEST_CLUSTER_MASTERS; gone++) {
        lose_master(rig, gone, keys);
    }
}

#define CLUSTER(name) cmocka_unit_test_setup_teardown(test_limits_cluster__##name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CLUSTER(one_subject_lies_in_one_slot),
        CLUSTER(a_master_that_is_away_fails_alone),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, start, stop);
}
