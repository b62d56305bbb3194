// Limits of a node over a Cluster: what is decided there while a part of it is away.

#include "limits_rig.h"
#include "redis/route.h"
#include "redis_server.h"
#include "shared_rig.h"

// The master of what is asked of the key, of three with a third of the slots each.
static size_t master_of(const char *key) {
    char name[64];
    int len = snprintf(name, sizeof name, "forebay:{l:%s}:", key);
    unsigned slot = fb_slot_of(fb_str_make(name, (size_t)len));
    return slot < 5461 ? 0 : slot < 10923 ? 1 : 2;
}

static void find_key(size_t master, char *key, size_t size) {
    int number = 0;
    do {
        (void)snprintf(key, size, "u%d", number++);
    } while (master_of(key) != master);
}

static fb_engine *open_node(int port) {
    char text[256];
    (void)snprintf(text, sizeof text,
                   "memory: 1MiB\nloops: 1\nworkers: 1\n"
                   "redis: {url: 'redis://127.0.0.1:%d', partitions: 2}\n"
                   "limits: {calls: {limit: 1000000, window: 10m, timeout: 1s}}\n",
                   port);
    return rig_open(text);
}

static fb_limit_source who_says(fb_engine *engine, const char *key) {
    fb_verdict verdict;
    assert_result(limits_ask(engine, "calls", key, 1, 0, &verdict), FB_OK);
    return verdict.source;
}

// Also where the keys of the one that is away are asked for most.
static void test_limits_cluster__a_part_that_is_away_is_missed_alone(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_cluster *cluster = test_cluster_new("save \"\"\ncluster-require-full-coverage no");
    size_t gone = master_of("probe");  // of what a loop asks to find out whether it is back
    char keys[TEST_CLUSTER_MASTERS][16];
    for (size_t i = 0; i < TEST_CLUSTER_MASTERS; i++) {
        find_key(i, keys[i], sizeof keys[i]);
    }
    fb_engine *engine = open_node(cluster->servers[(gone + 1) % TEST_CLUSTER_MASTERS]->port);
    shared_await(engine, FB_SHARED_CONNECTED);
    for (size_t i = 0; i < TEST_CLUSTER_MASTERS; i++) {
        rig_until(who_says(engine, keys[i]) == FB_LIMIT_BY_SHARED);
    }
    (void)test_redis_ask(cluster->servers[gone + TEST_CLUSTER_MASTERS],
                         "CONFIG SET cluster-replica-no-failover yes");
    test_redis_kill(cluster->servers[gone]);
    rig_until(who_says(engine, keys[gone]) == FB_LIMIT_BY_LOCAL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(who_says(engine, keys[gone]), FB_LIMIT_BY_LOCAL);
    }
    for (size_t i = 0; i < TEST_CLUSTER_MASTERS; i++) {
        rig_until(i == gone || who_says(engine, keys[i]) == FB_LIMIT_BY_SHARED);
    }
    fb_close(engine, 0);
    test_cluster_free(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_limits_cluster__a_part_that_is_away_is_missed_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
