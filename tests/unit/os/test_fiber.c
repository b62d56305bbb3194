// Fibers: they wait and go on, their stacks are their own and are used again, and are bounded.

#include "os/fiber.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "support.h"

typedef struct steps {
    char text[64];
    size_t len;
    fb_fiber *fiber;
} steps;

static void step(steps *s, char what) {
    s->text[s->len++] = what;
    s->text[s->len] = '\0';
}

static fb_fiber_pool *new_pool(uint32_t most) {
    fb_fiber_pool *pool = NULL;
    assert_ok(fb_fiber_pool_new(most, &pool));
    return pool;
}

static void return_at_once(void *arg) {
    step(arg, 'a');
    assert_non_null(fb_fiber_here());
}

static void test_fiber__that_does_not_wait_is_a_call(void **state) {
    fb_fiber_pool *pool = new_pool(1);
    steps s = {.len = 0};
    for (int i = 0; i < 10; i++) {
        assert_ok(fb_fiber_run(pool, return_at_once, &s));
        assert_null(fb_fiber_here());
    }
    assert_string_equal(s.text, "aaaaaaaaaa");
    assert_int_equal(fb_fiber_waiting(pool), 0);
    fb_fiber_pool_free(pool);
}

static void wait_twice(void *arg) {
    steps *s = arg;
    s->fiber = fb_fiber_here();
    step(s, 'a');
    fb_fiber_wait();
    assert_ptr_equal(s->fiber, fb_fiber_here());
    step(s, 'b');
    fb_fiber_wait();
    step(s, 'c');
}

static void test_fiber__goes_on_where_it_waited(void **state) {
    fb_fiber_pool *pool = new_pool(1);
    steps s = {.len = 0};
    assert_result(fb_fiber_run(pool, wait_twice, &s), FB_PENDING);
    step(&s, '1');
    assert_int_equal(fb_fiber_waiting(pool), 1);
    fb_fiber_resume(s.fiber);
    step(&s, '2');
    fb_fiber_resume(s.fiber);
    assert_int_equal(fb_fiber_waiting(pool), 0);
    assert_string_equal(s.text, "a1b2c");
    fb_fiber_pool_free(pool);
}

static void test_fiber__too_many_that_wait_are_refused(void **state) {
    fb_fiber_pool *pool = new_pool(3);
    steps s[4] = {{.len = 0}};
    for (int i = 0; i < 3; i++) {
        assert_result(fb_fiber_run(pool, wait_twice, &s[i]), FB_PENDING);
    }
    assert_result(fb_fiber_run(pool, wait_twice, &s[3]), FB_EOVERLOAD);
    assert_string_equal(s[3].text, "");
    fb_fiber_resume(s[1].fiber);
    fb_fiber_resume(s[1].fiber);
    assert_result(fb_fiber_run(pool, wait_twice, &s[3]), FB_PENDING);
    for (int i = 0; i < 4; i++) {
        while (s[i].len < 3) {
            fb_fiber_resume(s[i].fiber);
        }
    }
    fb_fiber_pool_free(pool);
}

// ---- many at once, each with something on its stack

enum { MANY = 200, DEPTH_MAX = 40 };

typedef struct diver {
    fb_fiber *fiber;
    uint64_t seed, sum, expected;
    bool done;
} diver;

static void __attribute__((noinline)) dive(diver *d, fb_rng *rng, uint32_t depth) {
    volatile unsigned char held[512];
    unsigned char mark = (unsigned char)fb_rng_below(rng, 256);
    memset((void *)held, mark, sizeof held);
    d->expected += mark * sizeof held;
    if (fb_rng_below(rng, 3) == 0) {
        fb_fiber_wait();
    }
    if (depth > 0) {
        dive(d, rng, depth - 1);
    }
    for (size_t i = 0; i < sizeof held; i++) {
        d->sum += held[i];
    }
}

static void dive_in(void *arg) {
    diver *d = arg;
    fb_rng rng;
    d->fiber = fb_fiber_here();
    fb_rng_init(&rng, d->seed);
    dive(d, &rng, (uint32_t)fb_rng_below(&rng, DEPTH_MAX));
    d->done = true;
}

static void test_fiber__stacks_are_their_own(void **state) {
    static diver divers[MANY];
    fb_fiber_pool *pool = new_pool(MANY);
    fb_rng rng = test_rng();
    for (int round = 0; round < 5; round++) {
        size_t left = 0;
        for (size_t i = 0; i < MANY; i++) {
            divers[i] = (diver){.seed = fb_rng_next(&rng)};
            left += fb_fiber_run(pool, dive_in, &divers[i]) == FB_PENDING ? 1 : 0;
        }
        while (left > 0) {
            diver *d = &divers[fb_rng_below(&rng, MANY)];
            if (!d->done) {
                fb_fiber_resume(d->fiber);
                left -= d->done ? 1 : 0;
            }
        }
        for (size_t i = 0; i < MANY; i++) {
            assert_true(divers[i].done && divers[i].sum == divers[i].expected);
        }
    }
    assert_int_equal(fb_fiber_waiting(pool), 0);
    fb_fiber_pool_free(pool);
}

static void *run_some(void *arg) {
    (void)arg;
    fb_fiber_pool *pool = new_pool(8);
    for (int i = 0; i < 200; i++) {
        steps s = {.len = 0};
        assert_result(fb_fiber_run(pool, wait_twice, &s), FB_PENDING);
        fb_fiber_resume(s.fiber);
        fb_fiber_resume(s.fiber);
        assert_string_equal(s.text, "abc");
    }
    fb_fiber_pool_free(pool);
    return NULL;
}

static void test_fiber__threads_have_their_own(void **state) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_some, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

// ---- no memory, no room

static void test_fiber__without_memory_nothing_is_called(void **state) {
    fb_fiber_pool *pool = new_pool(1);
    steps s = {.len = 0};
    test_memory_fail(1);
    int result = fb_fiber_run(pool, return_at_once, &s);
    test_memory_fail(0);
    assert_result(result, FB_ENOMEM);
    assert_string_equal(s.text, "");
    fb_fiber_pool_free(pool);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static int __attribute__((noinline)) overflow(int depth) {
    volatile char room[4096];
    room[0] = (char)depth;
    return depth > 1000000 ? room[0] : overflow(depth + 1) + room[0];
}

static void run_over(void *arg) {
    *(int *)arg = overflow(0);
}

static void test_fiber__that_overflows_its_stack_is_killed(void **state) {
    pid_t child = fork();
    if (child == 0) {
        fb_fiber_pool *pool = NULL;
        int result = fb_fiber_pool_new(1, &pool);
        result += fb_fiber_run(pool, run_over, &result);
        _exit(result == FB_OK ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}
#endif

// ---- what goes with it

typedef struct carried {
    fb_fiber *fiber;
    int own;
    bool kept;
} carried;

static void carry(void *arg) {
    carried *one = arg;
    one->fiber = fb_fiber_here();
    assert_null(fb_fiber_local(one->fiber));
    fb_fiber_set_local(one->fiber, &one->own);
    fb_fiber_wait();
    one->kept = fb_fiber_local(one->fiber) == &one->own;
    fb_fiber_set_local(one->fiber, NULL);
}

// Also where others run between, and where its stack was another's before.
static void test_fiber__a_pointer_goes_with_it(void **state) {
    fb_fiber_pool *pool = new_pool(2);
    for (int i = 0; i < 3; i++) {
        carried one = {.kept = false}, other = {.kept = false};
        assert_result(fb_fiber_run(pool, carry, &one), FB_PENDING);
        assert_result(fb_fiber_run(pool, carry, &other), FB_PENDING);
        fb_fiber_resume(one.fiber);
        fb_fiber_resume(other.fiber);
        assert_true(one.kept && other.kept);
    }
    fb_fiber_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fiber__that_does_not_wait_is_a_call),
        cmocka_unit_test(test_fiber__goes_on_where_it_waited),
        cmocka_unit_test(test_fiber__too_many_that_wait_are_refused),
        cmocka_unit_test(test_fiber__stacks_are_their_own),
        cmocka_unit_test(test_fiber__threads_have_their_own),
        cmocka_unit_test(test_fiber__a_pointer_goes_with_it),
        cmocka_unit_test(test_fiber__without_memory_nothing_is_called),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_fiber__that_overflows_its_stack_is_killed),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
