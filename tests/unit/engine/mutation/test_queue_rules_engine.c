// Rules of queues, each taken out: what it is for shows through the public API.

#include "../queues_rig.h"
#include "base/rule.h"
#include "engine/queues_inside.h"

static queues_answer answer;

// Somebody waits in two lines; a job comes into each; he gets one of them. What becomes of the other?
typedef struct waiter {
    fb_engine *engine;
    queues_answer answer;
    pthread_t thread;
} waiter;

static void *wait_in_both(void *arg) {
    waiter *one = arg;
    fb_str names[2] = {FB_STR("one"), FB_STR("two")};
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE, .queues = names, .queue_count = 2, .count = 1,
                          .wait_ms = 100000};
    assert_ok(queues_ask(one->engine, &call, &one->answer));
    return NULL;
}

static uint32_t waiting(fb_engine *engine, const char *queue) {
    return atomic_load(&fb_queues_find(engine->queues, fb_str_of(queue))->queue->waiting);
}

// Both at once, so that both lines are asked.
static void put_both(fb_engine *engine) {
    static queues_answer answers[2];
    static const char *const names[] = {"one", "two"};
    for (int i = 0; i < 2; i++) {
        fb_job_spec spec = queues_spec(names[i], "x");
        fb_queue_call call = {.verb = FB_QUEUE_ENQUEUE, .specs = &spec, .item_count = 1};
        memset(&answers[i], 0, sizeof answers[i]);
        assert_ok(fb_queue_start(engine, &call, queues_keep, &answers[i], NULL, NULL));
    }
    rig_until(atomic_load(&answers[0].calls) == 1 && atomic_load(&answers[1].calls) == 1);
}

static void test_queue_rules_engine__without_the_rule_a_job_stays_with_nobody(void **state) {
    (void)state;
    enum { TRIES = 2000 };
    fb_rule_without("queue_gone");
    fb_engine *engine = queues_open("queues: {one: {}, two: {}}\n");
    bool shown = false;
    for (int i = 0; i < TRIES && !shown; i++) {
        static waiter one;
        memset(&one, 0, sizeof one);
        one.engine = engine;
        assert_int_equal(pthread_create(&one.thread, NULL, wait_in_both, &one), 0);
        rig_until(waiting(engine, "one") == 1 && waiting(engine, "two") == 1);
        put_both(engine);
        assert_int_equal(pthread_join(one.thread, NULL), 0);
        // One is his; the other waits for the next, or has been claimed for nobody.
        shown = queues_count(engine, "one", FB_JOB_LEASED) +
                    queues_count(engine, "two", FB_JOB_LEASED) ==
                2;
        for (int j = 0; j < 2; j++) {
            fb_queue_call purge = {.verb = FB_QUEUE_PURGE,
                                   .queue = fb_str_of(j == 0 ? "one" : "two"),
                                   .state = FB_JOB_LEASED};
            assert_ok(queues_ask(engine, &purge, &answer));
            purge.state = FB_JOB_READY;
            assert_ok(queues_ask(engine, &purge, &answer));
        }
    }
    fb_close(engine, 1000);
    fb_rule_without(NULL);
    assert_true(shown);
}

static int work_until_over(void *arg, const fb_job *job, fb_work *work) {
    (void)job;
    rig_until(fb_work_is_over(work));
    atomic_store((atomic_bool *)arg, true);
    return FB_OK;
}

static void test_queue_rules_engine__without_beats_a_lease_is_lost(void **state) {
    (void)state;
    fb_rule_without("worker_beats");
    fb_engine *engine = queues_open("queues: {default: {lease: 1s}}\n");
    fb_str name = FB_STR("default");
    atomic_bool over = false;
    fb_worker *worker = NULL;
    fb_worker_options options = {.queues = &name, .queue_count = 1, .work = work_until_over,
                                 .arg = &over};
    (void)queues_put(engine, "default", "x");
    assert_ok(fb_worker_new(engine, &options, &worker, NULL));
    rig_until(atomic_load(&over));
    fb_worker_free(worker, 1000);
    fb_close(engine, 1000);
    fb_rule_without(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        queues_test(test_queue_rules_engine__without_the_rule_a_job_stays_with_nobody),
        queues_test(test_queue_rules_engine__without_beats_a_lease_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
