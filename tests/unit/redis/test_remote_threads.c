// Several loops of one node on threads of their own, while classes change and the status is read: for
// the thread sanitizer above all.

#include "base/check.h"
#include "remote_rig.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LOOPS = 3, ROUNDS = 1200 };

static test_redis *server;
static atomic_uint finished;

typedef struct loop {
    pthread_t thread;
    fb_redis *redis;
    struct event_base *base;
    fb_remote *remote;
    fb_sync_port *port;
    bool follows, up;
    unsigned index, round, found;
    char value[2048];
} loop;

static void ask(loop *at);

static void on_reply(void *arg, fb_sync_reply *reply) {
    loop *at = arg;
    if (reply->has_value) {
        at->found += fb_str_equal(fb_blob_str(reply->loaded.value), fb_str_of(at->value));
    }
    fb_loaded_release(&reply->loaded);
    if (++at->round < ROUNDS) {
        ask(at);
    } else {
        finished++;
    }
}

// A value, and then the same read.
static void ask(loop *at) {
    fb_loaded loaded;
    char key[32];
    fb_str name = fb_str_make(key, (size_t)snprintf(key, sizeof key, "key:%u:%u", at->index,
                                                    at->round / 2));
    fb_sync_request request = {.verb = at->round % 2 == 0 ? FB_SYNC_SET : FB_SYNC_PEEK,
                               .key = name,
                               .log = fb_partition_of(name, CLAIMS_PARTITIONS),
                               .class_name = FB_STR("package"),
                               .ttl_ns = -1,
                               .record = claims_record(FB_RECORD_KEY, key, at->round + 1),
                               .timeout_ns = 10000 * CLAIMS_MS};
    fb_loaded_init(&loaded);
    if (at->round % 2 == 0) {
        snprintf(at->value, sizeof at->value,
                 "{\"name\":\"lib%u\",\"loop\":%u,\"text\":\"the same words in every value %0600u\"}",
                 at->round, at->index, at->round);
        loaded.result = fb_loaded_value(&loaded, fb_str_of(at->value));
        request.loaded = &loaded;
    }
    at->port->send(at->port, &request);
    fb_loaded_release(&loaded);
}

static void on_link(void *arg, bool up, const char *why) {
    loop *at = arg;
    (void)why;
    if (up && !at->up) {
        at->up = true;
        ask(at);
    }
}

static void on_record(void *arg, uint32_t log, uint64_t epoch, const fb_record *record) {
    (void)arg;
    (void)log;
    (void)epoch;
    (void)record;
}

static void *run(void *arg) {
    loop *at = arg;
    fb_sync_events events = {.on_reply = on_reply, .on_link = on_link, .on_record = on_record, .arg = at};

    at->base = event_base_new();
    FB_ASSERT(at->base != NULL);
    FB_ASSERT(fb_remote_new(at->redis, at->base, at->follows, &events, &at->remote) == FB_OK);
    at->port = fb_remote_port(at->remote);
    fb_remote_open(at->remote);
    while (finished < LOOPS) {
        struct timeval wait = {0, 20000};
        event_base_loopexit(at->base, &wait);
        event_base_loop(at->base, EVLOOP_ONCE);
    }
    fb_remote_free(at->remote);
    event_base_free(at->base);
    return NULL;
}

static void test_remote_threads__loops_share_one_deployment(void **state) {
    (void)state;
    loop loops[LOOPS] = {0};
    fb_redis *redis = NULL;
    fb_error error;
    char url[64];

    remote_rig rig = {.server = server};
    remote_rig_connect(&rig);
    claims_open_all(&rig.claims);
    remote_rig_disconnect(&rig);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", server->port);
    fb_redis_options options = remote_rig_options(url);
    assert_ok(fb_redis_new(&options, &redis, &error));
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i].redis = redis;
        loops[i].index = i;
        loops[i].follows = i == 0;
        assert_int_equal(pthread_create(&loops[i].thread, NULL, run, &loops[i]), 0);
    }
    for (unsigned turn = 0; finished < LOOPS; turn++) {
        fb_redis_class classes[] = {{.name = FB_STR("package"), .compress_above = 100 + turn % 2},
                                    {.name = FB_STR("plain"), .plain = true,
                                     .prefix = turn / 20 % 2 == 0 ? FB_STR("a:") : FB_STR("b:")}};
        fb_redis_status status;
        assert_ok(fb_redis_classes(redis, classes, 2));
        fb_redis_status_read(redis, &status);
        test_redis_pause();
    }
    for (unsigned i = 0; i < LOOPS; i++) {
        pthread_join(loops[i].thread, NULL);
        assert_int_equal(loops[i].found, ROUNDS / 2);
    }
    fb_redis_free(redis);
}

static int start(void **state) {
    (void)state;
    server = test_redis_new("save \"\"");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_redis_free(server);
    return 0;
}

static claims_rig *claims_rig_new(void) {
    return NULL;
}

static void claims_rig_free(claims_rig *claims) {
    (void)claims;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remote_threads__loops_share_one_deployment),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, start, stop);
}
