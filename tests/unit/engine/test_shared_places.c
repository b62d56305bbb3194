// The shared tier in all the places where it can be: with passwords, TLS, a Unix socket, behind
// Sentinel, as a Cluster; what is said of it; and another configuration while it runs.

#include "shared_rig.h"

#define PATIENT "hard_timeout: 5s, soft_timeout: 100ms, max_lag: 1s"

static fb_engine *open_at(const char *redis) {
    char text[4096];
    (void)snprintf(text, sizeof text, "redis: {%s, partitions: 8, " PATIENT "}\n%s", redis,
                   SHARED_YAML);
    return rig_open(text);
}

// Two nodes there are one.
static void assert_works(fb_engine *a, fb_engine *b) {
    int64_t number = 0;
    shared_await(a, FB_SHARED_CONNECTED);
    shared_await(b, FB_SHARED_CONNECTED);
    for (int i = 0; i < 30; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        shared_set(a, key, "x");
        assert_shared(b, key, "x");
        shared_set(b, key, "y");
        rig_until(shared_is(a, key, "y"));
    }
    assert_ok(fb_incr(a, FB_STR("n"), 2, &number));
    assert_ok(fb_incr(b, FB_STR("n"), 3, &number));
    assert_int_equal(number, 5);
    assert_fetched(a, "1", "{\"kind\":\"a\",\"version\":0}");
    fb_invalidation all = {.scope = FB_SCOPE_ALL};
    assert_ok(fb_invalidate(b, &all, NULL));
    rig_until(shared_is(a, "k1", "(miss)"));
    assert_shared(b, "k1", "(miss)");
}

static void assert_place_works(const char *redis) {
    fb_engine *a = open_at(redis), *b = open_at(redis);
    assert_works(a, b);
    fb_close(a, 1000);
    fb_close(b, 1000);
}

static void test_place__passwords_tls_and_sockets(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    const test_redis_options options = {.password = "s3cret", .tls = true, .unix_socket = true};
    char text[512];
    test_redis *server = test_redis_new_with(&options);
    (void)snprintf(text, sizeof text, "url: 'redis://:s3cret@127.0.0.1:%d/0'", server->port);
    assert_place_works(text);
    (void)test_redis_ask(server, "FLUSHALL");
    (void)snprintf(text, sizeof text, "host: localhost, port: %d, db: 3, password: s3cret",
                   server->port);
    assert_place_works(text);
    (void)test_redis_ask(server, "FLUSHALL");
    (void)snprintf(text, sizeof text, "url: 'unix://%s', password: s3cret", server->socket_path);
    assert_place_works(text);
    (void)test_redis_ask(server, "FLUSHALL");
    (void)snprintf(text, sizeof text,
                   "url: 'rediss://default:s3cret@127.0.0.1:%d', tls: {ca: '%s'}", server->tls_port, server->cert_file);
    assert_place_works(text);
    test_redis_free(server);
}

// What was stored before the server was there, or while it lost all it had, is not lost.
static void test_place__a_value_outlives_the_flush_of_a_new_epoch(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    char text[512];
    (void)snprintf(text, sizeof text, "url: 'redis://127.0.0.1:%d'", server->port);
    fb_engine *a = open_at(text);
    for (int i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "early:%d", i);
        shared_set(a, key, "x");
    }
    shared_await(a, FB_SHARED_CONNECTED);
    rig_until(shared_info(a).owed == 0);
    fb_engine *b = open_at(text);
    shared_await(b, FB_SHARED_CONNECTED);
    for (int i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "early:%d", i);
        assert_shared(a, key, "x");
        assert_shared(b, key, "x");
    }
    fb_close(b, 1000);
    fb_close(a, 1000);
    test_redis_free(server);
}

// Each would look for the other's records in the wrong logs, and think itself coherent.
static void test_place__who_cuts_the_keys_otherwise_stays_outside(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    char text[4096];
    (void)snprintf(text, sizeof text, "url: 'redis://127.0.0.1:%d'", server->port);
    fb_engine *a = open_at(text);
    shared_set(a, "k", "x");
    shared_await(a, FB_SHARED_CONNECTED);
    (void)snprintf(text, sizeof text,
                   "redis: {url: 'redis://127.0.0.1:%d', partitions: 16, " PATIENT "}\n%s",
                   server->port, SHARED_YAML);
    fb_engine *b = rig_open(text);
    shared_set(b, "k", "y");
    shared_await(b, FB_SHARED_AWAY);
    assert_non_null(strstr(shared_info(b).why, "have 8 partitions"));
    assert_shared(b, "k", "y");
    assert_shared(a, "k", "x");
    fb_close(b, 1000);
    fb_close(a, 1000);
    test_redis_free(server);
}

static void test_place__what_is_refused_is_said(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    const test_redis_options options = {.password = "s3cret"};
    test_redis *server = test_redis_new_with(&options);
    char text[512];
    (void)snprintf(text, sizeof text, "url: 'redis://:wr0ng@127.0.0.1:%d'", server->port);
    fb_engine *engine = open_at(text);
    shared_await(engine, FB_SHARED_AWAY);
    fb_shared_info info = shared_info(engine);
    assert_non_null(strstr(info.why, "assword"));
    assert_null(strstr(info.why, "wr0ng"));
    assert_null(strstr(info.address, "wr0ng"));
    shared_set(engine, "k", "x");
    assert_shared(engine, "k", "x");
    fb_close(engine, 1000);
    test_redis_free(server);
}

static void test_place__a_certificate_that_is_not_there_is_an_error(void **state) {
    (void)state;
    fb_config *config =
        rig_config("redis: {url: 'rediss://127.0.0.1:1', tls: {ca: /nowhere/ca.pem}}");
    fb_engine *engine = NULL;
    fb_error error = {0};
    assert_result(fb_open(config, &engine, &error), FB_EINVAL);
    assert_null(engine);
    assert_non_null(strstr(error.text, "/nowhere/ca.pem"));
    fb_config_free(config);
}

static void test_place__behind_sentinel(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_sentinels *group = test_sentinels_new(2);
    char text[512];
    (void)snprintf(text, sizeof text, "url: 'redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/mymaster'",
                   group->sentinels[0]->port, group->sentinels[1]->port);
    fb_engine *a = open_at(text), *b = open_at(text);
    assert_works(a, b);
    shared_set(a, "k", "before");
    assert_shared(b, "k", "before");
    test_redis *master = test_sentinels_master(group);
    test_sentinels_elect(group, true);
    test_redis_kill(master);
    rig_until(shared_info(a).state != FB_SHARED_CONNECTED);
    shared_set(a, "k", "during");
    shared_await(a, FB_SHARED_CONNECTED);
    shared_await(b, FB_SHARED_CONNECTED);
    rig_until(!shared_is(b, "k", "before"));
    shared_set(b, "k", "after");
    rig_until(shared_is(a, "k", "after"));
    fb_close(a, 1000);
    fb_close(b, 1000);
    test_sentinels_free(group);
}

static void test_place__a_cluster(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_cluster *cluster = test_cluster_new("");
    char text[512];
    (void)snprintf(text, sizeof text, "url: 'redis://127.0.0.1:%d'", cluster->servers[1]->port);
    fb_engine *a = open_at(text);
    (void)snprintf(text, sizeof text, "url: 'redis+cluster://127.0.0.1:%d,127.0.0.1:%d'",
                   cluster->servers[0]->port, cluster->servers[2]->port);
    fb_engine *b = open_at(text);
    assert_works(a, b);
    assert_non_null(strstr(shared_info(a).server, "cluster"));
    fb_close(a, 1000);
    fb_close(b, 1000);
    test_cluster_free(cluster);
}

// ---- what is said

static struct {
    pthread_mutex_t lock;
    int away, back, behind, in_step;
    bool has_secret;
    char why[512];
} heard = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void hear(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg;
    pthread_mutex_lock(&heard.lock);
    if (strcmp(event, "shared_tier_away") == 0 && level == FB_LOG_WARN) {
        heard.away++;
        (void)snprintf(heard.why, sizeof heard.why, "%s", fields);
    }
    if (strcmp(event, "shared_tier_behind") == 0 && level == FB_LOG_WARN) {
        heard.behind++;
        (void)snprintf(heard.why, sizeof heard.why, "%s", fields);
    }
    heard.in_step += strcmp(event, "shared_tier_in_step") == 0 && level == FB_LOG_INFO;
    heard.back += strcmp(event, "shared_tier_back") == 0 && level == FB_LOG_INFO;
    heard.has_secret = heard.has_secret || strstr(fields, "s3cret") != NULL;
    pthread_mutex_unlock(&heard.lock);
}

static int heard_away(void) {
    pthread_mutex_lock(&heard.lock);
    int count = heard.away;
    pthread_mutex_unlock(&heard.lock);
    return count;
}

static int heard_back(void) {
    pthread_mutex_lock(&heard.lock);
    int count = heard.back;
    pthread_mutex_unlock(&heard.lock);
    return count;
}

static void test_events__one_when_it_goes_and_one_when_it_is_back(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    const test_redis_options options = {.password = "s3cret"};
    test_redis *server = test_redis_new_with(&options);
    char text[512];
    (void)snprintf(text, sizeof text, "url: 'redis://:s3cret@127.0.0.1:%d'", server->port);
    fb_engine *engine = open_at(text);
    shared_await(engine, FB_SHARED_CONNECTED);
    int away = heard_away(), back = heard_back();
    for (int turn = 1; turn <= 2; turn++) {
        test_redis_kill(server);
        rig_until(heard_away() == away + turn);
        for (int i = 0; i < 20; i++) {
            assert_shared(engine, "none", "(miss)");
        }
        test_redis_start(server);
        rig_until(heard_back() == back + turn);
        assert_int_equal(heard_away(), away + turn);
    }
    fb_close(engine, 1000);
    assert_non_null(strstr(heard.why, "Using in-memory fallback"));
    assert_false(heard.has_secret);
    test_redis_free(server);
}

static bool heard_behind(int behind, int in_step) {
    pthread_mutex_lock(&heard.lock);
    bool result = heard.behind == behind && heard.in_step == in_step;
    pthread_mutex_unlock(&heard.lock);
    return result;
}

static void test_events__a_server_that_refuses_the_scripts_is_named(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    char text[512];
    fb_engine *engine = NULL;
    bool is_named = false;
    // Again where a busy machine kept it waiting, so that this was told: no answer in time.
    for (int turn = 1; !is_named && turn <= 5; turn++) {
        (void)test_redis_ask(server, "ACL SETUSER weak on >s3cret ~* &* +@all -evalsha -eval");
        (void)snprintf(text, sizeof text, "url: 'redis://weak:s3cret@127.0.0.1:%d'", server->port);
        engine = engine != NULL ? engine : open_at(text);
        rig_until(heard_behind(turn, turn - 1));
        pthread_mutex_lock(&heard.lock);
        is_named = strstr(heard.why, "NOPERM") != NULL;
        pthread_mutex_unlock(&heard.lock);
        assert_shared(engine, "none", "(miss)");
        (void)test_redis_ask(server, "ACL SETUSER weak +@all");
        rig_until(heard_behind(turn, turn));
    }
    assert_true(is_named);
    fb_close(engine, 1000);
    assert_false(heard.has_secret);
    test_redis_free(server);
}

// ---- another configuration

typedef struct noted {
    bool layout, layout_applied, password, password_applied;
} noted;

static void note_option(void *arg, fb_str path, bool applied) {
    noted *n = arg;
    if (fb_str_equal(path, FB_STR("classes.mine.layout"))) {
        n->layout = true;
        n->layout_applied = applied;
    } else if (fb_str_equal(path, FB_STR("redis.password"))) {
        n->password = true;
        n->password_applied = applied;
    }
}

static void test_reload__classes_at_once_the_place_at_the_next_start(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    fb_engine *engine = shared_open(server->port, PATIENT);
    char text[4096];
    fb_error error = {0};
    noted seen = {.layout = false};
    shared_await(engine, FB_SHARED_CONNECTED);
    shared_set(engine, "mine:1", "wrapped");
    assert_string_equal(test_redis_ask(server, "EXISTS mine:1"), "0");
    shared_yaml(text, sizeof text, server->port, PATIENT);
    fb_config *config = rig_config(text);
    assert_ok(fb_config_set(config, FB_STR("classes.mine.layout"), FB_STR("plain"), &error));
    assert_ok(fb_config_set(config, FB_STR("redis.password"), FB_STR("new"), &error));
    assert_ok(fb_reload(engine, config, note_option, &seen, &error));
    assert_true(seen.layout && seen.layout_applied && seen.password && !seen.password_applied);
    shared_set(engine, "mine:2", "bytes");
    assert_string_equal(test_redis_ask(server, "GET mine:2"), "bytes");
    fb_config_free(config);
    fb_close(engine, 1000);
    test_redis_free(server);
}

int main(void) {
    fb_hooks hooks = {.log = hear};
    fb_hooks_set(&hooks);
    const struct CMUnitTest tests[] = {
        rig_test(test_place__passwords_tls_and_sockets),
        rig_test(test_place__a_value_outlives_the_flush_of_a_new_epoch),
        rig_test(test_place__who_cuts_the_keys_otherwise_stays_outside),
        rig_test(test_place__what_is_refused_is_said),
        rig_test(test_place__a_certificate_that_is_not_there_is_an_error),
        rig_test(test_place__behind_sentinel),
        rig_test(test_place__a_cluster),
        rig_test(test_events__one_when_it_goes_and_one_when_it_is_back),
        rig_test(test_events__a_server_that_refuses_the_scripts_is_named),
        rig_test(test_reload__classes_at_once_the_place_at_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
