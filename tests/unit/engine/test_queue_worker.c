// Workers in C: jobs are done, fail, go back; leases are extended, and lost; and the end.

#include "queues_rig.h"

#include <signal.h>

// What a job's function does, and what happened to it.
typedef struct bench {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int begun, ended, at_once, most_at_once;
    bool hold;           // jobs wait until this is over
    bool until_over;     // or until they are told so
    int result;
    const char *fail;    // fb_work_fail()
    bool permanent;
    int64_t delay_ms;
    bool release;
    const char *progress;
    char last[64];       // payload
    uint32_t attempt;
    bool over;           // it saw that
    fb_job job;
} bench;

static void bench_init(bench *one) {
    memset(one, 0, sizeof *one);
    pthread_mutex_init(&one->lock, NULL);
    pthread_cond_init(&one->changed, NULL);
    one->delay_ms = -1;
}

static void bench_let_go(bench *one) {
    pthread_mutex_lock(&one->lock);
    one->hold = false;
    pthread_cond_broadcast(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

static int bench_begun(bench *one) {
    pthread_mutex_lock(&one->lock);
    int begun = one->begun;
    pthread_mutex_unlock(&one->lock);
    return begun;
}

static int bench_ended(bench *one) {
    pthread_mutex_lock(&one->lock);
    int ended = one->ended;
    pthread_mutex_unlock(&one->lock);
    return ended;
}

static void note_begin(bench *one, const fb_job *job) {
    one->begun++;
    one->at_once++;
    one->most_at_once = one->at_once > one->most_at_once ? one->at_once : one->most_at_once;
    one->attempt = job->attempt;
    one->job = *job;
    queues_text(one->last, sizeof one->last, job->payload);
    pthread_cond_broadcast(&one->changed);
}

static void wait_at(bench *one, const fb_work *work) {
    while (one->hold || (one->until_over && !fb_work_is_over(work))) {
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 2000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&one->changed, &one->lock, &soon);
    }
    one->over = fb_work_is_over(work);
}

static int work_at(void *arg, const fb_job *job, fb_work *work) {
    bench *one = arg;
    pthread_mutex_lock(&one->lock);
    note_begin(one, job);
    if (one->progress != NULL) {
        fb_work_progress(work, fb_str_of(one->progress));
    }
    wait_at(one, work);
    if (one->fail != NULL) {
        fb_work_fail(work, one->fail, one->permanent, one->delay_ms);
    }
    if (one->release) {
        fb_work_release(work, one->delay_ms);
    }
    int result = one->result;
    one->at_once--;
    one->ended++;
    pthread_cond_broadcast(&one->changed);
    pthread_mutex_unlock(&one->lock);
    return result;
}

static fb_worker *hire(fb_engine *engine, const char *queue, uint32_t concurrency, bench *at) {
    fb_str name = fb_str_of(queue);
    fb_worker_options options = {.queues = &name, .queue_count = 1, .concurrency = concurrency,
                                 .work = work_at, .arg = at};
    fb_worker *worker = NULL;
    fb_error error = {0};
    if (fb_worker_new(engine, &options, &worker, &error) < 0) {
        fail_msg("%s", error.text);
    }
    return worker;
}

static queues_answer answer;

static void test_queue_worker__does_all_jobs(void **state) {
    (void)state;
    enum { MANY = 100 };
    fb_engine *engine = queues_open("");
    bench at;
    bench_init(&at);
    for (int i = 0; i < MANY / 2; i++) {
        (void)queues_put(engine, "default", "x");
    }
    fb_worker *worker = hire(engine, "default", 4, &at);
    for (int i = 0; i < MANY / 2; i++) {
        (void)queues_put(engine, "default", "x");
    }
    rig_until(queues_figures(engine, "default").done == MANY);
    fb_worker_free(worker, 1000);
    fb_queue_figures figures = queues_figures(engine, "default");
    assert_int_equal(at.ended, MANY);
    assert_true(at.most_at_once <= 4);
    assert_int_equal(figures.reserved, MANY + figures.released);
    assert_int_equal(figures.failed, 0);
    fb_queue_look look = queues_look(engine, "default");
    assert_int_equal(look.counts[FB_JOB_READY] + look.counts[FB_JOB_LEASED], 0);
    fb_close(engine, 1000);
}

static void test_queue_worker__does_so_many_at_once(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    bench at;
    bench_init(&at);
    at.hold = true;
    for (int i = 0; i < 10; i++) {
        (void)queues_put(engine, "default", "x");
    }
    fb_worker *worker = hire(engine, "default", 3, &at);
    rig_until(bench_begun(&at) == 3);
    // It took no more than it has hands for.
    assert_int_equal(queues_count(engine, "default", FB_JOB_LEASED), 3);
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), 7);
    bench_let_go(&at);
    rig_until(queues_figures(engine, "default").done == 10);
    assert_int_equal(at.most_at_once, 3);
    fb_worker_free(worker, 1000);
    fb_close(engine, 1000);
}

static void test_queue_worker__failures_are_told_and_tried_again(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {default: {attempts: 2, retry_delay: 0}}\n");
    bench at;
    bench_init(&at);
    at.result = FB_ESOURCE;
    at.fail = "no ink";
    uint64_t number = queues_put(engine, "default", "x");
    fb_worker *worker = hire(engine, "default", 1, &at);
    rig_until(queues_figures(engine, "default").died == 1);
    assert_int_equal(at.ended, 2);
    assert_int_equal(at.attempt, 2);
    fb_worker_free(worker, 1000);
    fb_job_claim claim = {.number = number};
    fb_queue_call call = {.verb = FB_QUEUE_GET, .queue = FB_STR("default"), .claims = &claim,
                          .item_count = 1};
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.jobs[0].job.state, FB_JOB_DEAD);
    assert_int_equal(answer.jobs[0].job.end, FB_JOB_END_ATTEMPTS);
    assert_string_equal(answer.jobs[0].error, "no ink");
    fb_close(engine, 1000);
}

static void test_queue_worker__a_permanent_failure_is_the_last(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    bench at;
    bench_init(&at);
    at.result = FB_EINVAL;
    at.fail = "";
    at.permanent = true;
    uint64_t number = queues_put(engine, "default", "x");
    fb_worker *worker = hire(engine, "default", 1, &at);
    rig_until(queues_figures(engine, "default").died == 1);
    fb_worker_free(worker, 1000);
    assert_int_equal(at.ended, 1);
    fb_job_claim claim = {.number = number};
    fb_queue_call call = {.verb = FB_QUEUE_GET, .queue = FB_STR("default"), .claims = &claim,
                          .item_count = 1};
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.jobs[0].job.end, FB_JOB_END_PERMANENT);
    assert_string_equal(answer.jobs[0].error, "invalid argument");  // it gave no reason
    fb_close(engine, 1000);
}

static void test_queue_worker__hands_a_job_back(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    bench at;
    bench_init(&at);
    at.release = true;
    at.delay_ms = 3600000;
    (void)queues_put(engine, "default", "x");
    fb_worker *worker = hire(engine, "default", 1, &at);
    rig_until(queues_figures(engine, "default").released == 1);
    fb_worker_free(worker, 1000);
    fb_queue_call call = {.verb = FB_QUEUE_LIST, .queue = FB_STR("default"),
                          .state = FB_JOB_SCHEDULED, .count = 1};
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.job_count, 1);
    assert_int_equal(answer.jobs[0].job.attempt, 0);
    fb_close(engine, 1000);
}

static void test_queue_worker__extends_leases_while_it_works(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {default: {lease: 24s}}\n");
    bench at;
    bench_init(&at);
    at.hold = true;
    at.progress = "half";
    (void)queues_put(engine, "default", "long");
    fb_worker *worker = hire(engine, "default", 1, &at);
    rig_until(bench_begun(&at) == 1);
    int64_t first_ms = at.job.until_ms;
    fb_queue_call call = {.verb = FB_QUEUE_LIST, .queue = FB_STR("default"),
                          .state = FB_JOB_LEASED, .count = 1};
    // At once, for its progress, and then after a third of the lease.
    rig_until(queues_ask(engine, &call, &answer) == FB_OK && answer.job_count == 1 &&
              answer.jobs[0].job.until_ms > first_ms + 7000);
    assert_string_equal(answer.jobs[0].progress, "half");
    assert_int_equal(answer.jobs[0].job.attempt, 1);
    bench_let_go(&at);
    rig_until(queues_figures(engine, "default").done == 1);
    fb_worker_free(worker, 1000);
    assert_int_equal(at.begun, 1);
    assert_false(at.over);
    fb_close(engine, 1000);
}

static void test_queue_worker__is_told_that_its_lease_was_lost(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {default: {lease: 1s}}\n");
    bench at;
    bench_init(&at);
    at.until_over = true;
    uint64_t number = queues_put(engine, "default", "x");
    fb_worker *worker = hire(engine, "default", 1, &at);
    rig_until(bench_begun(&at) == 1);
    fb_job_claim claim = {.number = number};
    fb_queue_call call = {.verb = FB_QUEUE_CANCEL, .queue = FB_STR("default"), .claims = &claim,
                          .item_count = 1};
    assert_ok(queues_ask(engine, &call, &answer));
    rig_until(bench_ended(&at) >= 1);  // more often where the lease ran out before it was cancelled
    assert_true(at.over);
    rig_until(queues_figures(engine, "default").lost >= 1);
    assert_int_equal(queues_figures(engine, "default").done, 0);
    fb_worker_free(worker, 1000);
    fb_close(engine, 1000);
}

// ---- the end

static void test_queue_worker__finishes_what_it_has_begun(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    bench at;
    bench_init(&at);
    at.hold = true;
    (void)queues_put(engine, "default", "x");
    fb_worker *worker = hire(engine, "default", 1, &at);
    rig_until(bench_begun(&at) == 1);
    bench_let_go(&at);
    fb_worker_free(worker, 100000);
    assert_int_equal(queues_figures(engine, "default").done, 1);
    assert_false(at.over);
    fb_close(engine, 1000);
}

// Who gives up because he is told to did not fail.
static void test_queue_worker__hands_back_what_it_cannot_finish(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    bench at;
    bench_init(&at);
    at.until_over = true;
    at.result = FB_ETIMEDOUT;
    (void)queues_put(engine, "default", "x");
    fb_worker *worker = hire(engine, "default", 2, &at);
    rig_until(bench_begun(&at) == 1);
    fb_worker_free(worker, 0);
    assert_true(at.over);
    fb_queue_figures figures = queues_figures(engine, "default");
    assert_int_equal(figures.released, 1);
    assert_int_equal(figures.failed, 0);
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    assert_int_equal(answer.jobs[0].job.attempt, 1);
    fb_close(engine, 1000);
}

static void test_queue_worker__ends_while_it_waits(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {other: {}}\n");
    bench at;
    bench_init(&at);
    fb_str names[2] = {FB_STR("default"), FB_STR("other")};
    fb_worker_options options = {.queues = names, .queue_count = 2, .concurrency = 3,
                                 .work = work_at, .arg = &at, .name = FB_STR("me")};
    for (int i = 0; i < 20; i++) {
        fb_worker *worker = NULL;
        assert_ok(fb_worker_new(engine, &options, &worker, NULL));
        fb_worker_free(worker, 100000);
    }
    fb_worker *worker = NULL;
    assert_ok(fb_worker_new(engine, &options, &worker, NULL));
    (void)queues_put(engine, "other", "x");
    rig_until(bench_ended(&at) == 1);
    fb_worker_free(worker, 100000);
    assert_string_equal(at.last, "x");
    fb_worker_free(NULL, 0);
    fb_close(engine, 1000);
}

static void test_queue_worker__says_what_it_cannot_be(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    fb_str name = FB_STR("defualt");
    fb_worker_options options = {.queues = &name, .queue_count = 1, .work = work_at};
    fb_worker *worker = NULL;
    fb_error error = {0};
    assert_result(fb_worker_new(engine, &options, &worker, &error), FB_ENOQUEUE);
    assert_non_null(strstr(error.text, "did you mean \"default\"?"));
    assert_null(worker);
    options.work = NULL;
    assert_result(fb_worker_new(engine, &options, &worker, &error), FB_EINVAL);
    fb_close(engine, 1000);
}

// ---- until it is told to stop

typedef struct runner {
    fb_engine *engine;
    bench *at;
    int result;
    pthread_t thread;
} runner;

static void *run(void *arg) {
    runner *one = arg;
    fb_str name = FB_STR("default");
    fb_worker_options options = {.queues = &name, .queue_count = 1, .work = work_at,
                                 .arg = one->at};
    one->result = fb_worker_run(one->engine, &options, 100000, NULL);
    return NULL;
}

static void on_signal(int number) {
    (void)number;
    fb_worker_stop();
}

static void test_queue_worker__runs_until_a_signal(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    struct sigaction act = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGUSR1, &act, &before), 0);
    for (int i = 0; i < 3; i++) {
        bench at;
        bench_init(&at);
        at.hold = true;
        runner one = {.engine = engine, .at = &at}, two = one;
        assert_int_equal(pthread_create(&one.thread, NULL, run, &one), 0);
        assert_int_equal(pthread_create(&two.thread, NULL, run, &two), 0);
        (void)queues_put(engine, "default", "a");
        (void)queues_put(engine, "default", "b");
        rig_until(bench_begun(&at) == 2);  // both of them run
        bench_let_go(&at);
        assert_int_equal(raise(SIGUSR1), 0);
        assert_int_equal(pthread_join(one.thread, NULL), 0);
        assert_int_equal(pthread_join(two.thread, NULL), 0);
        assert_ok(one.result);
        assert_ok(two.result);
        assert_int_equal(queues_figures(engine, "default").done, (uint64_t)(2 * i + 2));
    }
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    fb_close(engine, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        queues_test(test_queue_worker__does_all_jobs),
        queues_test(test_queue_worker__does_so_many_at_once),
        queues_test(test_queue_worker__failures_are_told_and_tried_again),
        queues_test(test_queue_worker__a_permanent_failure_is_the_last),
        queues_test(test_queue_worker__hands_a_job_back),
        queues_test(test_queue_worker__extends_leases_while_it_works),
        queues_test(test_queue_worker__is_told_that_its_lease_was_lost),
        queues_test(test_queue_worker__finishes_what_it_has_begun),
        queues_test(test_queue_worker__hands_back_what_it_cannot_finish),
        queues_test(test_queue_worker__ends_while_it_waits),
        queues_test(test_queue_worker__says_what_it_cannot_be),
        queues_test(test_queue_worker__runs_until_a_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
