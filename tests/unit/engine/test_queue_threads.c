// Producers, workers, people who wait and leave, and reloads, all at once: each job is done once, by its
// first attempt, and none is left.

#include "queues_rig.h"

enum { JOBS = 3000, PRODUCERS = 3, WAITERS = 4, QUEUES = 3 };
static const char *const names[QUEUES] = {"red", "green", "blue"};
#define DECLARED "queues: {red: {}, green: {}, blue: {}}\n"
#define OTHERWISE "queues: {blue: {}, red: {priority: 2}, green: {}, more: {}}\n"

typedef struct crowd {
    fb_engine *engine;
    atomic_int done[JOBS];
    atomic_int left;      // jobs not done
    atomic_int next;      // job to be put
    atomic_int again;     // jobs that were claimed before
    atomic_bool over;
} crowd;

static void note_done(crowd *all, const fb_job *job) {
    char text[16];
    queues_text(text, sizeof text, job->payload);
    int which = atoi(text);
    assert_in_range(which, 0, JOBS - 1);
    atomic_fetch_add(&all->again, job->attempt != 1);
    if (atomic_fetch_add(&all->done[which], 1) == 0) {
        atomic_fetch_sub(&all->left, 1);
    }
}

static void *produce(void *arg) {
    crowd *all = arg;
    for (int which; (which = atomic_fetch_add(&all->next, 1)) < JOBS;) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", which);
        (void)queues_put(all->engine, names[which % QUEUES], text);
    }
    return NULL;
}

static int work(void *arg, const fb_job *job, fb_work *what) {
    (void)what;
    note_done(arg, job);
    return FB_OK;
}

// ---- who waits on a loop, and perhaps leaves

typedef struct visitor {
    crowd *all;
    fb_queue_wait *wait;
    uint32_t turn;
    bool answered;
    atomic_bool gone;
} visitor;

static void visit(void *arg);

static void forget(void *arg, const fb_queue_answer *answer) {
    (void)arg;
    assert_true(answer->result < 0 || answer->results[0] == FB_OK);
}

static void finish(visitor *one, const fb_job *job) {
    fb_job_claim claim = {job->number, job->token};
    fb_queue_call call = {.verb = FB_QUEUE_ACK, .queue = job->queue, .claims = &claim,
                          .item_count = 1};
    note_done(one->all, job);
    assert_ok(fb_queue_start(one->all->engine, &call, forget, one, NULL, NULL));
}

static void on_jobs(void *arg, const fb_queue_answer *answer) {
    visitor *one = arg;
    one->answered = true;
    assert_ok(answer->result);
    for (size_t i = 0; i < answer->job_count; i++) {
        finish(one, &answer->jobs[i]);
    }
    assert_ok(fb_loop_post(one->all->engine, one->turn % 2, visit, one));
}

// Every other time he does not wait for what comes.
static void visit(void *arg) {
    visitor *one = arg;
    fb_str in[QUEUES];
    size_t first = one->turn % QUEUES;
    if (atomic_load(&one->all->over)) {
        atomic_store(&one->gone, true);
        return;
    }
    one->turn++;
    one->answered = false;
    for (size_t i = 0; i < QUEUES; i++) {
        in[i] = fb_str_of(names[(first + i) % QUEUES]);
    }
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE, .queues = in,
                          .queue_count = 1 + one->turn % QUEUES, .count = 1 + one->turn % 4,
                          .wait_ms = one->turn % 3};
    assert_ok(fb_queue_start(one->all->engine, &call, on_jobs, one, &one->wait, NULL));
    if (one->turn % 2 == 0 && !one->answered) {
        fb_queue_stop(one->all->engine, one->wait);
    }
}

static void test_queue_threads__each_job_is_done_once(void **state) {
    (void)state;
    static crowd all;
    memset(&all, 0, sizeof all);
    all.engine = queues_open(DECLARED);
    atomic_store(&all.left, JOBS);
    pthread_t producers[PRODUCERS];
    visitor visitors[WAITERS] = {0};
    fb_worker *workers[2];
    fb_str in[QUEUES];
    for (int i = 0; i < QUEUES; i++) {
        in[i] = fb_str_of(names[i]);
    }
    for (int i = 0; i < 2; i++) {
        fb_worker_options options = {.queues = in, .queue_count = QUEUES, .concurrency = 3,
                                     .work = work, .arg = &all};
        assert_ok(fb_worker_new(all.engine, &options, &workers[i], NULL));
    }
    for (int i = 0; i < WAITERS; i++) {
        visitors[i] = (visitor){.all = &all, .turn = (uint32_t)i};
        assert_ok(fb_loop_post(all.engine, (uint32_t)i % 2, visit, &visitors[i]));
    }
    for (int i = 0; i < PRODUCERS; i++) {
        assert_int_equal(pthread_create(&producers[i], NULL, produce, &all), 0);
    }
    for (int i = 0; atomic_load(&all.next) < JOBS; i++) {
        fb_error error = {0};
        int result = rig_reload(all.engine, i % 2 == 0 ? QUEUES_YAML OTHERWISE
                                                       : QUEUES_YAML DECLARED, &error);
        if (result < 0) {
            fail_msg("%s", error.text);
        }
        (void)queues_figures(all.engine, "red");
    }
    for (int i = 0; i < PRODUCERS; i++) {
        assert_int_equal(pthread_join(producers[i], NULL), 0);
    }
    rig_until(atomic_load(&all.left) == 0);
    atomic_store(&all.over, true);
    for (int i = 0; i < WAITERS; i++) {
        rig_until(atomic_load(&visitors[i].gone));
    }
    for (int i = 0; i < 2; i++) {
        fb_worker_free(workers[i], 100000);
    }
    for (int i = 0; i < QUEUES; i++) {
        rig_until(queues_count(all.engine, names[i], FB_JOB_READY) +
                      queues_count(all.engine, names[i], FB_JOB_LEASED) == 0);
        assert_int_equal(queues_figures(all.engine, names[i]).lost, 0);
    }
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(atomic_load(&all.done[i]), 1);
    }
    assert_int_equal(atomic_load(&all.again), 0);
    fb_close(all.engine, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        queues_test(test_queue_threads__each_job_is_done_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
