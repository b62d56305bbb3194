// Counters in lanes.

#include "support.h"

#include <pthread.h>

#include "stats/tally.h"

enum { THREAD_COUNT = FB_TALLY_LANES + 4, COUNTER_COUNT = 11, ADD_COUNT = 5000 };

static fb_tally *make(size_t counter_count) {
    fb_tally *tally = NULL;
    assert_ok(fb_tally_new(counter_count, &tally));
    return tally;
}

static void test_tally__sums_over_lanes(void **state) {
    fb_tally *tally = make(COUNTER_COUNT);
    uint64_t sums[COUNTER_COUNT] = {0};
    fb_rng rng = test_rng();
    for (int i = 0; i < 10000; i++) {
        size_t counter = (size_t)fb_rng_below(&rng, COUNTER_COUNT);
        uint64_t amount = fb_rng_below(&rng, 1000);
        fb_tally_add(tally, (uint32_t)fb_rng_below(&rng, FB_TALLY_LANES), counter, amount);
        sums[counter] += amount;
    }
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        assert_int_equal(fb_tally_sum(tally, i), sums[i]);
    }
    fb_tally_reset(tally);
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        assert_int_equal(fb_tally_sum(tally, i), 0);
    }
    fb_tally_free(tally);
    fb_tally_free(NULL);
}

static pthread_barrier_t all_have_lanes;

static void *add_many(void *arg) {
    uint32_t lane = fb_tally_lane();
    (void)pthread_barrier_wait(&all_have_lanes);
    for (size_t i = 0; i < ADD_COUNT; i++) {
        fb_tally_add(arg, lane, i % COUNTER_COUNT, 1 + i % COUNTER_COUNT);
    }
    assert_int_equal(fb_tally_lane(), lane);
    assert_true(lane < FB_TALLY_LANES);
    return (void *)(uintptr_t)lane;
}

static void run_threads(fb_tally *tally, size_t *lane_users) {
    pthread_t threads[THREAD_COUNT];
    assert_int_equal(pthread_barrier_init(&all_have_lanes, NULL, THREAD_COUNT), 0);
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, tally), 0);
    }
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        void *lane = NULL;
        assert_int_equal(pthread_join(threads[i], &lane), 0);
        lane_users[(uintptr_t)lane]++;
    }
    (void)pthread_barrier_destroy(&all_have_lanes);
}

// More threads at once than lanes, so that some share one; and others after them.
static void test_tally__threads_lose_nothing(void **state) {
    enum { CREWS = 3 };
    fb_tally *tally = make(COUNTER_COUNT);
    for (int crew = 1; crew <= CREWS; crew++) {
        size_t lane_users[FB_TALLY_LANES] = {0};
        run_threads(tally, lane_users);
        for (size_t i = 0; i < COUNTER_COUNT; i++) {
            size_t adds = ADD_COUNT / COUNTER_COUNT + (i < ADD_COUNT % COUNTER_COUNT);
            assert_int_equal(fb_tally_sum(tally, i), (size_t)crew * THREAD_COUNT * adds * (1 + i));
        }
        // This thread may have one of its own, too.
        size_t owners = 0;
        for (size_t lane = 0; lane < FB_TALLY_OWN_LANES; lane++) {
            assert_in_range(lane_users[lane], 0, 1);
            owners += lane_users[lane];
        }
        assert_in_range(owners, FB_TALLY_OWN_LANES - 1, FB_TALLY_OWN_LANES);
        for (size_t lane = FB_TALLY_OWN_LANES; lane < FB_TALLY_LANES; lane++) {
            assert_in_range(lane_users[lane], 1, 2);
        }
    }
    fb_tally_free(tally);
}

static void *reset_it(void *arg) {
    fb_tally_reset(arg);
    return NULL;
}

// Who counts in a lane of its own does not see that another thread has reset it.
static void test_tally__what_another_thread_resets_stays_so(void **state) {
    fb_tally *tally = make(COUNTER_COUNT);
    pthread_t other;
    for (uint64_t turn = 1; turn < 100; turn++) {
        fb_tally_add(tally, fb_tally_lane(), 3, turn);
        assert_int_equal(pthread_create(&other, NULL, reset_it, tally), 0);
        assert_int_equal(pthread_join(other, NULL), 0);
        assert_int_equal(fb_tally_sum(tally, 3), 0);
        fb_tally_add(tally, fb_tally_lane(), 3, 2);
        assert_int_equal(fb_tally_sum(tally, 3), 2);
    }
    fb_tally_free(tally);
}

static void test_tally__of_no_counters(void **state) {
    fb_tally *tally = make(0);
    fb_tally_reset(tally);
    fb_tally_free(tally);
}

static void test_tally__too_many_counters_are_refused(void **state) {
    fb_tally *tally = NULL;
    assert_result(fb_tally_new(SIZE_MAX / 8, &tally), FB_ENOMEM);
    assert_null(tally);
}

static int make_one(void *arg) {
    fb_tally *tally = NULL;
    int result = fb_tally_new(3, &tally);
    assert_true((result == FB_OK) == (tally != NULL));
    fb_tally_free(tally);
    return result;
}

static void test_tally__survives_failing_memory(void **state) {
    assert_int_equal(test_memory_sweep(make_one, NULL), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tally__sums_over_lanes),
        cmocka_unit_test(test_tally__threads_lose_nothing),
        cmocka_unit_test(test_tally__what_another_thread_resets_stays_so),
        cmocka_unit_test(test_tally__of_no_counters),
        cmocka_unit_test(test_tally__too_many_counters_are_refused),
        cmocka_unit_test(test_tally__survives_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
