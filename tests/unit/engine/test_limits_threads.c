// Limits asked by many threads at once: exactly the limit passes, through reloads and overrides of
// other keys, on one node and on two over one Redis, also while that is stopped and killed.

#include "limits_rig.h"
#include "redis_server.h"
#include "shared_rig.h"

enum { THREADS = 4, ROUNDS = 400, KEYS = 5 };

#define HEAD "memory: 1MiB\nloops: 2\nworkers: 1\n"
#define RULES(message)                                                                             \
    "limits:\n"                                                                                    \
    "  calls: {limit: 40, window: 10m, timeout: 10s, message: '" message "'}\n"                    \
    "  many: {limit: 100, window: 10m, timeout: 10s}\n"                                            \
    "  drip: {algorithm: token, limit: 100, window: 1000h, burst: 50, timeout: 10s}\n"             \
    "  jobs: {algorithm: slots, limit: 3, window: 10m, timeout: 10s}\n"                            \
    "  hot: {limit: 120, window: 10m, chunk: 8, timeout: 10s}\n"                                   \
    "  soon: {limit: 1000, window: 10m, timeout: 20ms}\n"

static const char *const counted[] = {"calls", "many", "drip", "hot"};
static const int limit_of[] = {40, 100, 50, 120};
enum { COUNTED = 4 };

typedef struct asker_thread {
    fb_engine *engine;
    fb_rng rng;
    int admitted[COUNTED][KEYS];
    atomic_int *live;  // leases of one key
    bool trouble;
    pthread_t thread;
} asker_thread;

static void use_lease(asker_thread *one) {
    fb_limit_question question = limits_question("jobs", "k", 1);
    fb_verdict verdict;
    uint64_t token = 0;
    if (fb_slot_acquire(one->engine, &question, 0, &token, &verdict, NULL) == FB_OK) {
        assert_true(atomic_fetch_add(one->live, 1) < 3);
        atomic_fetch_sub(one->live, 1);
        assert_ok(fb_slot_release(one->engine, &question, token, NULL));
    }
}

static void ask_counted(asker_thread *one) {
    size_t rule = fb_rng_below(&one->rng, COUNTED), k = fb_rng_below(&one->rng, KEYS);
    char key[8];
    (void)snprintf(key, sizeof key, "k%zu", k);
    one->admitted[rule][k] += limits_pass_one(one->engine, counted[rule], key);
}

static void ask_several(asker_thread *one) {
    fb_limit_question both[2] = {limits_question("calls", "pair", 1),
                                 limits_question("many", "k0", 1)};
    fb_verdict verdicts[2];
    if (fb_limit_check(one->engine, both, 2, 0, verdicts, NULL) == FB_OK) {
        one->admitted[1][0]++;
    }
}

static void *ask_a_lot(void *arg) {
    asker_thread *one = arg;
    for (int i = 0; i < ROUNDS; i++) {
        ask_counted(one);
        if (i % 8 == 0) {
            use_lease(one);
        }
        if (i % 5 == 0) {
            ask_several(one);
        }
        if (one->trouble) {
            fb_verdict verdict;
            assert_true(limits_ask(one->engine, "soon", "k", 1, 0, &verdict) >= 0);
        }
    }
    return NULL;
}

static void begin(asker_thread *threads, fb_engine *const *nodes, size_t node_count,
                  atomic_int *live) {
    fb_rng rng = test_rng();
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (asker_thread){.engine = nodes[i % node_count], .live = live};
        fb_rng_init(&threads[i].rng, fb_rng_next(&rng));
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i].thread, NULL, ask_a_lot, &threads[i]), 0);
    }
}

// Whether what all threads were given is no more than the limit (and all of it, of those who ask
// until none is left).
static void end(asker_thread *threads, fb_engine *engine, bool exact) {
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
    }
    for (size_t rule = 0; rule < COUNTED; rule++) {
        for (size_t k = 0; k < KEYS; k++) {
            char key[8];
            int sum = 0;
            (void)snprintf(key, sizeof key, "k%zu", k);
            for (int i = 0; i < THREADS; i++) {
                sum += threads[i].admitted[rule][k];
            }
            if (exact && rule != 3) {
                sum += limits_admitted(engine, counted[rule], key, limit_of[rule] + 1);
                assert_int_equal(sum, limit_of[rule]);
            }
            assert_true(sum <= limit_of[rule]);
        }
    }
}

static void change_things(fb_engine *engine, int turn) {
    fb_limit_override override = {
        .kind = turn % 2 == 0 ? FB_LIMIT_OVERRIDE_LIMIT : FB_LIMIT_OVERRIDE_NONE,
        .limit = 3,
        .for_ms = 1000};
    fb_error error;
    int result = rig_reload(engine, turn % 2 == 0 ? HEAD RULES("odd") : HEAD RULES("even"), &error);
    assert_ok(result);
    assert_ok(fb_limit_override_set(engine, FB_STR("calls"), FB_STR("another"), &override, NULL));
    (void)limits_pass_one(engine, "calls", "another");
    assert_true(limits_figures(engine, "many").limit == 100);
    fb_limit_question question = limits_question("calls", "another", 1);
    assert_ok(fb_limit_refund(engine, &question, NULL, NULL));
}

static void test_limits_threads__exactly_the_limit_passes(void **state) {
    fb_engine *engine = rig_open(HEAD RULES("none"));
    asker_thread threads[THREADS];
    atomic_int live = 0;
    (void)state;
    begin(threads, &engine, 1, &live);
    for (int turn = 0; turn < 12; turn++) {
        change_things(engine, turn);
    }
    end(threads, engine, true);
    fb_close(engine, 0);
}

static fb_engine *open_node(int port) {
    char text[2048];
    (void)snprintf(text, sizeof text,
                   HEAD "redis: {url: 'redis://127.0.0.1:%d', partitions: 2}\n" RULES("none"),
                   port);
    fb_engine *engine = rig_open(text);
    shared_await(engine, FB_SHARED_CONNECTED);
    return engine;
}

static void test_limits_threads__exactly_the_limit_passes_on_two_nodes(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    fb_engine *nodes[2] = {open_node(server->port), open_node(server->port)};
    asker_thread threads[THREADS];
    atomic_int live = 0;
    begin(threads, nodes, 2, &live);
    end(threads, nodes[0], false);
    fb_close(nodes[0], 0);
    fb_close(nodes[1], 0);
    test_redis_free(server);
}

static void *ask_in_trouble(void *arg) {
    asker_thread *one = arg;
    for (int i = 0; i < ROUNDS; i++) {
        fb_limit_question both[2] = {limits_question("soon", "a", 1),
                                     limits_question("soon", "b", 1)};
        fb_verdict verdicts[2];
        int result = fb_limit_check(one->engine, both, 2, 0, verdicts, NULL);
        assert_true(result == FB_OK || result == FB_LIMITED);
    }
    return NULL;
}

static void test_limits_threads__trouble_is_over_for_all(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    fb_engine *nodes[2] = {open_node(server->port), open_node(server->port)};
    asker_thread threads[THREADS];
    fb_verdict verdict;
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (asker_thread){.engine = nodes[i % 2]};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, ask_in_trouble, &threads[i]), 0);
    }
    test_redis_stop(server);
    rig_until(limits_ask(nodes[0], "soon", "c", 1, FB_LIMIT_PEEK, &verdict) == FB_OK &&
              verdict.degraded);
    test_redis_continue(server);
    test_redis_kill(server);
    test_redis_spawn(server);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        rig_until(limits_ask(nodes[i], "soon", "c", 1, FB_LIMIT_PEEK, &verdict) == FB_OK &&
                  !verdict.degraded);
        fb_close(nodes[i], 0);
    }
    test_redis_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_limits_threads__exactly_the_limit_passes),
        rig_test(test_limits_threads__exactly_the_limit_passes_on_two_nodes),
        rig_test(test_limits_threads__trouble_is_over_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
