// The claims about a port over a Cluster of three masters and three replicas, and that keys of one
// partition lie in one slot, partitions over all of them.

#include "../sync/port_claims.h"
#include "remote_rig.h"

static test_cluster *cluster;
static char name_space[16];  // of the rig there is

static claims_rig *claims_rig_new(void) {
    remote_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    // A namespace for each: over a Cluster's bus the messages of the one before may still come.
    static unsigned number;
    snprintf(name_space, sizeof name_space, "fb%u", ++number);
    memcpy(rig->name_space, name_space, sizeof name_space);
    rig->cluster = cluster;
    remote_rig_each(rig, "FLUSHALL");
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
    cluster = test_cluster_new("stream-node-max-entries 10\nsave \"\"");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_cluster_free(cluster);
    return 0;
}

static void test_remote_cluster__every_master_has_some_of_it(void **state) {
    claims_rig *claims = *state;
    char key[16];

    claims_open_all(claims);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "key:%d", i);
        CLAIMS_IS(claims_set(claims, 0, key, "v"), FB_SYNC_DONE);
        CLAIMS_VALUE(claims_peek(claims, 1, key), "v");
    }
    claims_hear(claims, 40);
    int with_keys = 0;
    for (int i = 0; i < TEST_CLUSTER_MASTERS; i++) {
        with_keys += atoi(test_redis_ask(cluster->servers[i], "DBSIZE")) > 0;
    }
    assert_true(with_keys >= 2);
}

static void test_remote_cluster__a_commit_over_several_slots_is_refused(void **state) {
    claims_rig *rig = *state;
    fb_loaded new = claims_value("new");
    const char *keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    fb_sync_item items[8];

    claims_open_all(rig);
    for (size_t i = 0; i < 8; i++) {
        items[i] = claims_item(rig, keys[i], FB_ACT_SET);
        items[i].loaded = &new;
    }
    const fb_sync_reply *reply = claims_commit(rig, items, 8);
    CLAIMS_IS(reply, FB_SYNC_FAILED);
    assert_string_equal(rig->node[1]->text, FB_SYNC_CROSSSLOT);
    for (size_t i = 0; i < 8; i++) {
        CLAIMS_IS(claims_peek(rig, 0, keys[i]), FB_SYNC_NONE);
    }
    fb_loaded_release(&new);
}

static void test_remote_cluster__it_is_said_what_it_is(void **state) {
    remote_rig *rig = *state;
    fb_redis_status status;

    fb_redis_status_read(rig->redis, &status);
    assert_true(status.up);
    assert_non_null(strstr(status.server, "cluster of 3"));
}

static void test_remote_cluster__a_state_is_a_command_for_each_log(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    fb_sync_request request = {.verb = FB_SYNC_STATE, .node = 7, .alive_ms = 1000};
    fb_redis_status before, after;

    claims_open_all(claims);
    CLAIMS_IS(claims_ask(claims, 0, request), FB_SYNC_DONE);
    fb_redis_status_read(rig->redis, &before);
    CLAIMS_IS(claims_ask(claims, 0, request), FB_SYNC_DONE);
    fb_redis_status_read(rig->redis, &after);
    assert_int_equal(after.commands - before.commands, CLAIMS_PARTITIONS + 1);
}

// ---- changes of the topology, while it is used

static unsigned slot_of(uint32_t log) {
    char name[64];
    snprintf(name, sizeof name, "{%s.%u}", name_space, log);
    return fb_slot_of(fb_str_of(name));
}

// Which of the masters has a slot.
static size_t owner_of(unsigned slot) {
    const test_redis *owner = test_cluster_owner(cluster, slot);
    for (size_t i = 0; i < TEST_CLUSTER_MASTERS; i++) {
        if (cluster->servers[i] == owner) {
            return i;
        }
    }
    fail_msg("slot %u has no master", slot);
    return 0;
}

// A key of the partition.
static void key_of(uint32_t log, char *key, size_t size) {
    int i = 0;
    do {
        snprintf(key, size, "key:%d", i++);
    } while (fb_partition_of(fb_str_of(key), CLAIMS_PARTITIONS) != log);
}

static void test_remote_cluster__slots_move_while_they_are_used(void **state) {
    claims_rig *claims = *state;
    char key[32];
    uint32_t log = 2;
    unsigned slot = slot_of(log);
    size_t old = owner_of(slot), new = (old + 1) % TEST_CLUSTER_MASTERS;
    test_redis *from = cluster->servers[old], *to = cluster->servers[new];

    claims_open_all(claims);
    key_of(log, key, sizeof key);
    CLAIMS_IS(claims_add(claims, key, 1), FB_SYNC_DONE);
    (void)test_redis_ask(to, "CLUSTER SETSLOT %u IMPORTING %s", slot, cluster->ids[old]);
    (void)test_redis_ask(from, "CLUSTER SETSLOT %u MIGRATING %s", slot, cluster->ids[new]);
    // Some keys are here, some there, some nowhere: no server does a script of several (TRYAGAIN) until
    // all is moved, and nothing is done by halves.
    fb_sync_request add = claims_key(FB_SYNC_ADD, key);
    add.delta = 1;
    add.ttl_ns = -1;
    add.record = claims_record(FB_RECORD_KEY, key, 17);
    add.timeout_ns = 100 * CLAIMS_MS;
    CLAIMS_IS(claims_ask(claims, 0, add), FB_SYNC_FAILED);
    static const char *const KEYS[] = {"c", "log", "v:"};
    for (size_t i = 0; i < 3; i++) {
        (void)test_redis_ask(from, "MIGRATE 127.0.0.1 %d %s:{%s.%u}:%s%s 0 5000", to->port,
                             name_space, name_space, log, KEYS[i], i == 2 ? key : "");
        CLAIMS_IS(claims_ask(claims, 0, add), FB_SYNC_FAILED);
    }
    (void)test_redis_ask(to, "CLUSTER SETSLOT %u NODE %s", slot, cluster->ids[new]);
    (void)test_redis_ask(from, "CLUSTER SETSLOT %u NODE %s", slot, cluster->ids[new]);
    assert_int_equal(claims_add(claims, key, 1)->number, 2);
    const fb_sync_reply *reply = claims_peek(claims, 1, key);
    CLAIMS_VALUE(reply, "2");
    assert_int_equal(reply->mark.seq, 2);
    assert_int_equal(claims_sweep(claims, "*"), 1);
}

static void test_remote_cluster__a_replica_takes_over(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    char key[32];

    claims_open_all(claims);
    test_redis *master = cluster->servers[owner_of(slot_of(1))];
    key_of(1, key, sizeof key);
    CLAIMS_IS(claims_set(claims, 1, key, "v"), FB_SYNC_DONE);
    claims_hear(claims, 1);
    (void)test_redis_ask(master, "WAIT 1 5000");
    test_cluster_elect(cluster);
    test_redis_kill(master);
    // Whatever is asked meanwhile is answered; once the replica has taken over, from there.
    fb_sync_request peek = claims_key(FB_SYNC_PEEK, key);
    peek.timeout_ns = 200 * CLAIMS_MS;
    RIG_UNTIL(rig, claims_ask(claims, 1, peek)->result == FB_SYNC_VALUE);
    RIG_UNTIL(rig, rig->nodes[0]->up && rig->nodes[1]->up);
    const fb_sync_reply *reply = claims_drop(claims, 1, key);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_true(reply->found);
    claims_hear(claims, 2);
    test_redis_start(master);
    test_cluster_calm(cluster);
}

#define CLUSTER(name) \
    cmocka_unit_test_setup_teardown(test_remote_cluster__##name, claims_setup, claims_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        PORT_CLAIMS,
        CLUSTER(every_master_has_some_of_it),
        CLUSTER(a_commit_over_several_slots_is_refused),
        CLUSTER(it_is_said_what_it_is),
        CLUSTER(a_state_is_a_command_for_each_log),
        CLUSTER(slots_move_while_they_are_used),
        CLUSTER(a_replica_takes_over),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, start, stop);
}
