// remote_rig.h -- two remotes at real servers, on one event loop that the test turns.
//
// Header-only. The program names its deployment by remote_rig_url() and so on before a rig is made.

#ifndef FB_TESTS_REMOTE_RIG_H
#define FB_TESTS_REMOTE_RIG_H

#include <event2/event.h>

#include "base/mem.h"
#include "redis/remote.h"
#include "redis_server.h"
#include "support.h"
#include "../sync/port_rig.h"

enum { RIG_PATIENCE_MS = 120000 };

typedef struct remote_rig {
    claims_rig claims;  // first
    struct event_base *base;
    fb_redis *redis;
    fb_remote *remote[2];
    test_redis *server;      // or
    test_cluster *cluster;
    char name_space[16];     // empty: "forebay"
    char bypassed[64][64];   // keys, or "*" for any
    size_t bypass_count;
    claims_node *nodes[2];
    size_t replies_left;     // of a free, while it is not 0
} remote_rig;

static inline bool remote_rig_turn(remote_rig *rig, int wait_ms) {
    struct timeval wait = {wait_ms / 1000, wait_ms % 1000 * 1000};
    event_base_loopexit(rig->base, &wait);
    (void)event_base_loop(rig->base, EVLOOP_ONCE);
    return true;
}

static inline bool remote_rig_step(claims_rig *claims) {
    remote_rig *rig = (remote_rig *)(void *)claims;
    static int64_t since_ms;
    static uint64_t asked;
    // The same question for too long: nothing will happen any more.
    uint64_t now_asked = rig->nodes[0]->next_id + rig->nodes[1]->next_id;
    if (asked != now_asked) {
        asked = now_asked;
        since_ms = test_redis_now_ms();
    }
    return remote_rig_turn(rig, 50) && test_redis_now_ms() - since_ms < RIG_PATIENCE_MS;
}

static inline void remote_rig_pass(claims_rig *claims, int64_t ms) {
    remote_rig *rig = (remote_rig *)(void *)claims;
    int64_t end_ms = test_redis_now_ms() + ms;
    while (test_redis_now_ms() < end_ms) {
        remote_rig_turn(rig, (int)(end_ms - test_redis_now_ms()));
    }
}

static inline void remote_rig_each(remote_rig *rig, const char *command) {
    for (size_t i = 0; rig->cluster != NULL && i < TEST_CLUSTER_MASTERS; i++) {
        (void)test_redis_ask(rig->cluster->servers[i], "%s", command);
    }
    if (rig->server != NULL) {
        (void)test_redis_ask(rig->server, "%s", command);
    }
}

static inline void remote_rig_flush(claims_rig *claims) {
    remote_rig_each((remote_rig *)(void *)claims, "FLUSHALL");
}

static inline void remote_rig_on_bypass(void *arg, fb_str key) {
    claims_node *node = arg;
    remote_rig *rig = (remote_rig *)(void *)node->rig;

    assert_true(rig->bypass_count < 64 && key.len < 64);
    snprintf(rig->bypassed[rig->bypass_count++], 64, "%.*s", key.ptr != NULL ? (int)key.len : 1,
             key.ptr != NULL ? key.ptr : "*");
}

// Counts, where a test frees a remote that owes answers.
static inline void remote_rig_on_reply(void *arg, fb_sync_reply *reply) {
    claims_node *node = arg;
    remote_rig *rig = (remote_rig *)(void *)node->rig;

    if (rig->replies_left > 0) {
        rig->replies_left--;
        assert_true(reply->result == FB_SYNC_FAILED || reply->result == FB_SYNC_UNKNOWN);
        return;
    }
    claims_on_reply(arg, reply);
}

static inline fb_redis_options remote_rig_options(const char *url) {
    fb_redis_options options = {.cluster = FB_CLUSTER_AUTO,
                                .name_space = "forebay",
                                .partitions = CLAIMS_PARTITIONS,
                                .pool = 10,
                                .log_max = CLAIMS_LOG_MAX,
                                .connect_timeout_ns = INT64_C(2000000000),
                                .node = 77,
                                .seed = 1};
    fb_error error;
    assert_ok(fb_redis_url_read(fb_str_of(url), &options.url, &error));
    return options;
}

// Makes the remotes of `rig`, whose server or cluster is set, and waits until both are up.
static inline void remote_rig_connect(remote_rig *rig) {
    char url[64];
    fb_error error;
    int port = rig->server != NULL ? rig->server->port : rig->cluster->servers[0]->port;

    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    fb_redis_options options = remote_rig_options(url);
    if (rig->name_space[0] != '\0') {
        options.name_space = rig->name_space;
    }
    rig->base = event_base_new();
    assert_non_null(rig->base);
    assert_ok(fb_redis_new(&options, &rig->redis, &error));
    claims_nodes_new(&rig->claims);
    for (size_t i = 0; i < 2; i++) {
        claims_node *node = rig->claims.node[i];
        fb_sync_events events = claims_events(node);
        node->rig = rig;
        rig->nodes[i] = node;
        events.on_bypass = remote_rig_on_bypass;
        events.on_reply = remote_rig_on_reply;
        assert_ok(fb_remote_new(rig->redis, rig->base, i == 0, &events, &rig->remote[i]));
        rig->claims.port[i] = fb_remote_port(rig->remote[i]);
        fb_remote_open(rig->remote[i]);
    }
    rig->claims.step = remote_rig_step;
    rig->claims.pass = remote_rig_pass;
    rig->claims.flush = remote_rig_flush;
    int64_t end_ms = test_redis_now_ms() + RIG_PATIENCE_MS;
    while (!rig->nodes[0]->up || !rig->nodes[1]->up) {
        assert_true(test_redis_now_ms() < end_ms);
        remote_rig_turn(rig, 50);
    }
}

static inline void remote_rig_disconnect(remote_rig *rig) {
    for (size_t i = 0; i < 2; i++) {
        fb_remote_free(rig->remote[i]);
    }
    fb_redis_free(rig->redis);
    event_base_loop(rig->base, EVLOOP_NONBLOCK);
    event_base_free(rig->base);
    claims_nodes_free(&rig->claims);
}

// Waits until `holds` is true.
#define RIG_UNTIL(rig, holds)                                       \
    for (int64_t end_ms_ = test_redis_now_ms() + RIG_PATIENCE_MS; !(holds);) { \
        assert_true(test_redis_now_ms() < end_ms_);                 \
        remote_rig_turn((rig), 20);                                 \
    }

#endif
