// Queues in a real Redis, for two engines, as two nodes would have them; and trouble with it.

#include "engine/queues_inside.h"
#include "queues_rig.h"
#include "shared_rig.h"

#define DURABLE "appendonly yes\nsave ''\n"
#define PATIENT "queue: {timeout: 60s}\n"
#define NODE                                                                      \
    "memory: 4MiB\nloops: 2\nworkers: 2\nredis: {url: 'redis://127.0.0.1:%d', " \
    "partitions: 2}\n"

static queues_answer answer;

static fb_engine *open_node(int port, const char *more) {
    char text[2048];
    (void)snprintf(text, sizeof text, NODE "%s", port, more);
    fb_engine *engine = rig_open(text);
    shared_await(engine, FB_SHARED_CONNECTED);
    return engine;
}

static void test_queue_shared__what_one_node_puts_another_takes(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(DURABLE);
    fb_engine *one = open_node(server->port, PATIENT);
    fb_engine *other = open_node(server->port, PATIENT);

    uint64_t number = queues_put(one, "default", "from one");
    assert_ok(queues_take(other, "default", 5, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    assert_int_equal(answer.jobs[0].job.number, number);
    assert_string_equal(answer.jobs[0].payload, "from one");
    fb_job job = answer.jobs[0].job;
    assert_ok(queues_finish(one, FB_QUEUE_ACK, "default", &job, &answer));
    assert_result(queues_finish(other, FB_QUEUE_ACK, "default", &job, &answer), FB_LOST);
    assert_string_equal(queues_look(one, "default").store, "redis");
    assert_string_equal(queues_figures(one, "default").store, "redis");
    fb_close(other, 1000);
    fb_close(one, 1000);
    test_redis_free(server);
}

typedef struct waiter {
    fb_engine *engine;
    int result;
    queues_answer answer;
    atomic_bool ended;
    pthread_t thread;
} waiter;

static void *wait_for_job(void *arg) {
    waiter *one = arg;
    one->result = queues_take(one->engine, "default", 1, 100000, &one->answer);
    atomic_store(&one->ended, true);
    return NULL;
}

static void begin(waiter *one, fb_engine *engine) {
    memset(one, 0, sizeof *one);
    one->engine = engine;
    assert_int_equal(pthread_create(&one->thread, NULL, wait_for_job, one), 0);
}

static void test_queue_shared__who_waits_on_one_node_hears_of_another(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    static waiter one;
    test_redis *server = test_redis_new(DURABLE);
    fb_engine *node = open_node(server->port, PATIENT);
    fb_engine *other = open_node(server->port, PATIENT);
    for (int i = 0; i < 5; i++) {
        begin(&one, node);
        (void)queues_put(other, "default", "x");
        assert_int_equal(pthread_join(one.thread, NULL), 0);
        assert_ok(one.result);
        assert_int_equal(one.answer.job_count, 1);
    }
    fb_close(other, 1000);
    fb_close(node, 1000);
    test_redis_free(server);
}

static void test_queue_shared__one_that_may_lose_jobs_is_refused(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    char text[256];
    fb_error error = {0};
    fb_job_spec spec = queues_spec("default", "x");
    fb_enqueued job;
    test_redis *server = test_redis_new("appendonly no\n");
    fb_engine *engine = open_node(server->port, PATIENT);

    assert_true(fb_queue_healthy(engine, NULL, text));
    assert_result(fb_queue_enqueue(engine, &spec, 1, &job, &error), FB_EVOLATILE);
    assert_true(error.text[0] != '\0');
    assert_false(fb_queue_healthy(engine, NULL, text));
    fb_close(engine, 1000);
    engine = open_node(server->port, "queue: {allow_volatile: true, timeout: 60s}\n");
    (void)queues_put(engine, "default", "x");
    assert_true(fb_queue_healthy(engine, NULL, text));
    fb_close(engine, 1000);
    test_redis_free(server);
}

static void test_queue_shared__is_said_at_once_when_it_is_away(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    static waiter one;
    char text[256];
    fb_error error = {0};
    fb_job_spec spec = queues_spec("default", "x");
    fb_enqueued job;
    test_redis *server = test_redis_new(DURABLE);
    fb_engine *engine = open_node(server->port, PATIENT);
    (void)queues_put(engine, "default", "before");
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    begin(&one, engine);
    test_redis_kill(server);
    shared_await(engine, FB_SHARED_AWAY);

    assert_int_equal(pthread_join(one.thread, NULL), 0);
    assert_true(one.result == FB_EIO || one.result == FB_ETIMEDOUT);
    assert_result(fb_queue_enqueue(engine, &spec, 1, &job, &error), FB_EIO);
    assert_true(error.text[0] != '\0');
    assert_false(fb_queue_healthy(engine, NULL, text));
    // Who has been told that the tier is back hears nothing else of it in the same breath.
    fb_shared_info shared;
    fb_shared_info_read(engine, &shared);
    assert_false(fb_queue_healthy(engine, &shared, text));
    shared.state = FB_SHARED_CONNECTED;
    assert_true(fb_queue_healthy(engine, &shared, text));
    assert_true(queues_figures(engine, "default").errors > 0);
    test_redis_start(server);
    shared_await(engine, FB_SHARED_CONNECTED);
    rig_until(fb_queue_enqueue(engine, &spec, 1, &job, &error) == FB_OK);
    rig_until(fb_queue_healthy(engine, NULL, text));
    fb_close(engine, 1000);
    test_redis_free(server);
}

// It hangs: who asked is told when the time is over (which a reload has made shorter), and a close ends.
static void test_queue_shared__one_that_hangs_holds_nobody_up(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    static waiter one;
    fb_job_spec spec = queues_spec("default", "x");
    fb_enqueued job;
    test_redis *server = test_redis_new(DURABLE);
    fb_engine *engine = open_node(server->port, PATIENT);
    char text[256];
    fb_error error;
    (void)snprintf(text, sizeof text, NODE "queue: {timeout: 100ms}\n", server->port);
    assert_ok(rig_reload(engine, text, &error));
    test_redis_stop(server);
    int result = fb_queue_enqueue(engine, &spec, 1, &job, NULL);
    assert_true(result == FB_ETIMEDOUT || result == FB_EIO);
    begin(&one, engine);
    assert_int_equal(pthread_join(one.thread, NULL), 0);
    assert_true(one.result == FB_ETIMEDOUT || one.result == FB_EIO);
    fb_close(engine, 100000);
    test_redis_continue(server);
    test_redis_free(server);
}

static void test_queue_shared__a_close_with_one_that_hangs_ends(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    static waiter one;
    test_redis *server = test_redis_new(DURABLE);
    fb_engine *engine = open_node(server->port, "queue: {timeout: 60s}\n");
    (void)queues_put(engine, "default", "before");
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    test_redis_stop(server);
    begin(&one, engine);
    const fb_queue_terms *terms = fb_queues_find(engine->queues, FB_STR("default"));
    rig_until(atomic_load(&terms->queue->waiting) == 1);  // his call has begun
    fb_close(engine, 100);
    assert_int_equal(pthread_join(one.thread, NULL), 0);
    assert_true(one.result < 0);
    test_redis_continue(server);
    test_redis_free(server);
}

// ---- moving

#define IN_FILE "queue: {store: journal, file: jobs.db, durability: process, timeout: 60s}\n"
#define IN_REDIS "queue: {file: jobs.db, timeout: 60s}\n"

static int move(fb_engine *engine, const char *queue) {
    fb_queue_call call = {.verb = FB_QUEUE_MOVE, .queue = fb_str_of(queue)};
    return queues_ask(engine, &call, &answer);
}

static fb_job lease_one(fb_engine *engine) {
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    return answer.jobs[0].job;
}

static void test_queue_shared__a_queue_moves_there_and_back(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    enum { MANY = 250 };
    test_redis *server = test_redis_new(DURABLE);
    fb_engine *engine = open_node(server->port, IN_FILE);
    uint64_t first = queues_put(engine, "default", "leased");
    fb_job leased = lease_one(engine);
    for (int i = 1; i < MANY; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", i);
        (void)queues_put(engine, "default", text);
    }
    fb_job_spec later = queues_spec("default", "later");
    fb_enqueued job;
    later.delay_ms = 3600000;
    assert_ok(fb_queue_enqueue(engine, &later, 1, &job, NULL));
    fb_close(engine, 1000);

    engine = open_node(server->port, "queue: {file: jobs.db, timeout: 60s}\n");
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), 0);
    assert_ok(move(engine, "default"));
    assert_int_equal(answer.value, MANY + 1);
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), MANY - 1);
    assert_int_equal(queues_count(engine, "default", FB_JOB_SCHEDULED), 1);
    assert_int_equal(queues_count(engine, "default", FB_JOB_LEASED), 1);
    assert_ok(move(engine, "default"));  // again: nothing
    assert_int_equal(answer.value, 0);
    // The token of who has a job is good over there.
    assert_int_equal(leased.number, first);
    assert_ok(queues_finish(engine, FB_QUEUE_ACK, "default", &leased, &answer));
    fb_job taken = lease_one(engine);
    assert_string_equal(answer.jobs[0].payload, "1");
    fb_close(engine, 1000);

    engine = open_node(server->port, IN_FILE);
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), 0);
    assert_ok(move(engine, "default"));
    assert_int_equal(answer.value, MANY);
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), MANY - 2);
    assert_ok(queues_finish(engine, FB_QUEUE_ACK, "default", &taken, &answer));
    for (int i = 2; i < MANY; i++) {
        char text[16];
        (void)lease_one(engine);
        (void)snprintf(text, sizeof text, "%d", i);
        assert_string_equal(answer.jobs[0].payload, text);
    }
    fb_close(engine, 1000);
    test_redis_free(server);
}

// Numbers of either store begin with the same ones: none is lost where both have jobs.
static void test_queue_shared__a_move_leaves_jobs_that_are_there(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    enum { MANY = 150 };
    test_redis *server = test_redis_new(DURABLE);
    for (int turn = 0; turn < 2; turn++) {
        fb_engine *engine = open_node(server->port, turn == 0 ? IN_FILE : IN_REDIS);
        for (int i = 0; i < MANY; i++) {
            (void)queues_put(engine, "default", "moved");
        }
        fb_close(engine, 1000);
        engine = open_node(server->port, turn == 0 ? IN_REDIS : IN_FILE);
        uint64_t before = queues_count(engine, "default", FB_JOB_READY);
        for (int i = 0; i < MANY; i++) {
            (void)queues_put(engine, "default", "was there");
        }
        assert_ok(move(engine, "default"));
        assert_int_equal(answer.value, (turn == 0 ? 1 : 3) * MANY);
        assert_int_equal(queues_count(engine, "default", FB_JOB_READY), (turn == 0 ? 2 : 4) * MANY);
        assert_int_equal(before, 0);
        fb_close(engine, 1000);
    }
    test_redis_free(server);
}

// As a move leaves it that was cut off when it had taken many of another partition.
static void test_queue_shared__a_move_goes_on_where_partitions_differ(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    enum { MANY = 20 };
    test_redis *server = test_redis_new(DURABLE);
    fb_engine *engine = open_node(server->port, IN_REDIS
                                  "queues: {default: {partitions: 4}}\n");
    uint64_t others = 0;
    for (int i = 0; i < MANY; i++) {
        others += queues_put(engine, "default", "x") % 64 != 0;
    }
    assert_in_range(others, 1, MANY - 1);
    fb_close(engine, 1000);
    engine = open_node(server->port, IN_FILE "queues: {default: {partitions: 4}}\n");
    fb_error error = {0};
    fb_queue_mark_call mark = {.verb = FB_STORE_MARK_SET, .queue = FB_STR("default"),
                               .mark = FB_STR("move:redis:0"), .value = 64 * MANY};
    assert_ok(fb_queues_mark_ask(engine->queues, &mark, NULL, NULL, &error));
    assert_ok(move(engine, "default"));
    // The mark says that partition 0's were taken; it says nothing of the others'.
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), others);
    assert_ok(move(engine, "default"));
    assert_int_equal(answer.value, 0);
    fb_close(engine, 1000);
    test_redis_free(server);
}

static void test_queue_shared__a_move_needs_a_source(void **state) {
    (void)state;
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(DURABLE);
    fb_engine *engine = open_node(server->port, "queue: {file: jobs.db, timeout: 60s}\n");
    assert_ok(move(engine, "default"));  // there is no file
    assert_int_equal(answer.value, 0);
    fb_close(engine, 1000);
    fb_engine *first = queues_open("");  // it has the file
    engine = open_node(server->port, "queue: {file: jobs.db, timeout: 60s}\n");
    assert_result(move(engine, "default"), FB_EIO);
    fb_close(first, 1000);
    assert_ok(move(engine, "default"));
    fb_close(engine, 1000);
    test_redis_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        queues_test(test_queue_shared__what_one_node_puts_another_takes),
        queues_test(test_queue_shared__who_waits_on_one_node_hears_of_another),
        queues_test(test_queue_shared__one_that_may_lose_jobs_is_refused),
        queues_test(test_queue_shared__is_said_at_once_when_it_is_away),
        queues_test(test_queue_shared__one_that_hangs_holds_nobody_up),
        queues_test(test_queue_shared__a_close_with_one_that_hangs_ends),
        queues_test(test_queue_shared__a_queue_moves_there_and_back),
        queues_test(test_queue_shared__a_move_leaves_jobs_that_are_there),
        queues_test(test_queue_shared__a_move_goes_on_where_partitions_differ),
        queues_test(test_queue_shared__a_move_needs_a_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
