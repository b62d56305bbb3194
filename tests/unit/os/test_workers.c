// The pool.

#include <pthread.h>
#include <stdatomic.h>

#include "os/workers.h"
#include "support.h"

enum { TASKS = 2000, WORKERS = 4 };

typedef struct work {
    fb_task task;
    fb_workers *pool;
    int children;  // so often it submits itself again
} work;

static atomic_int run_count, wrong;

static void run(fb_task *task, uint32_t worker) {
    work *one = FB_LIST_OF(task, work, task);
    atomic_fetch_add(&run_count, 1);
    atomic_fetch_add(&wrong,
                     worker >= fb_workers_count(one->pool) || !fb_workers_is_current(one->pool));
    if (one->children > 0) {
        one->children--;
        fb_workers_submit(one->pool, task);
    }
}

static void test_workers__run_everything_also_what_comes_at_the_end(void **state) {
    (void)state;
    static work all[TASKS];
    fb_workers *pool = NULL;
    atomic_store(&run_count, 0);
    atomic_store(&wrong, 0);
    assert_ok(fb_workers_new(WORKERS, &pool));
    assert_int_equal(fb_workers_count(pool), WORKERS);
    assert_false(fb_workers_is_current(pool));
    int expected = 0;
    for (int i = 0; i < TASKS; i++) {
        expected += 1 + i % 3;
        all[i] = (work){.task.run = run, .pool = pool, .children = i % 3};
        fb_workers_submit(pool, &all[i].task);
    }
    fb_workers_free(pool);  // what they submit is run as well
    assert_int_equal(atomic_load(&run_count), expected);
    assert_int_equal(atomic_load(&wrong), 0);
    fb_workers_free(NULL);
}

// So many run at once: each waits until all are there.
typedef struct meeting {
    fb_task task;
    pthread_barrier_t *barrier;
} meeting;

static void meet(fb_task *task, uint32_t worker) {
    (void)worker;
    (void)pthread_barrier_wait(FB_LIST_OF(task, meeting, task)->barrier);
}

static void test_workers__work_side_by_side(void **state) {
    (void)state;
    pthread_barrier_t barrier;
    meeting all[WORKERS];
    fb_workers *pool = NULL;
    pthread_barrier_init(&barrier, NULL, WORKERS);
    assert_ok(fb_workers_new(WORKERS, &pool));
    for (int i = 0; i < WORKERS; i++) {
        all[i] = (meeting){.task.run = meet, .barrier = &barrier};
        fb_workers_submit(pool, &all[i].task);
    }
    fb_workers_free(pool);
    pthread_barrier_destroy(&barrier);
}

static int make_pool(void *arg) {
    (void)arg;
    fb_workers *pool = NULL;
    int result = fb_workers_new(3, &pool);
    fb_workers_free(pool);
    return result;
}

static void test_workers__say_when_there_is_no_memory(void **state) {
    (void)state;
    assert_true(test_memory_sweep(make_pool, NULL) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers__run_everything_also_what_comes_at_the_end),
        cmocka_unit_test(test_workers__work_side_by_side),
        cmocka_unit_test(test_workers__say_when_there_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
