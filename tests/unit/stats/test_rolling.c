// What numbers grew by in the last minute and hour, against a list of everything that happened.

#include "stats/rolling.h"

#include "base/mem.h"
#include "support.h"

enum { NUMBERS = 40 };

static void assert_grew(const fb_rolling *rolling, int64_t slice, const uint64_t *numbers,
                        uint64_t minute, uint64_t hour) {
    uint64_t sums[NUMBERS] = {0};
    fb_rolling_minute(rolling, slice, numbers, sums);
    assert_int_equal(sums[0], minute);
    sums[0] = 0;
    fb_rolling_hour(rolling, slice, numbers, sums);
    assert_int_equal(sums[0], hour);
}

static void test_rolling__a_minute_is_twelve_slices(void **state) {
    (void)state;
    fb_rolling *rolling = NULL;
    uint64_t numbers[NUMBERS] = {5};
    assert_ok(fb_rolling_new(NUMBERS, &rolling));
    assert_grew(rolling, 3, numbers, 5, 5);  // nobody has handed it over, and it counts already
    assert_ok(fb_rolling_take(rolling, 3, numbers));
    assert_grew(rolling, 4, numbers, 5, 5);
    numbers[0] += 2;
    assert_grew(rolling, 14, numbers, 7, 7);
    assert_grew(rolling, 15, numbers, 2, 7);  // slice 3 is over a minute old
    fb_rolling_free(rolling);
}

static void test_rolling__an_hour_is_twelve_times_five_minutes(void **state) {
    (void)state;
    fb_rolling *rolling = NULL;
    uint64_t numbers[NUMBERS] = {1};
    assert_ok(fb_rolling_new(NUMBERS, &rolling));
    assert_ok(fb_rolling_take(rolling, 59, numbers));  // the last of the first five minutes
    numbers[0] += 1;
    assert_ok(fb_rolling_take(rolling, 60, numbers));
    assert_grew(rolling, 719, numbers, 0, 2);
    assert_grew(rolling, 720, numbers, 0, 1);
    assert_grew(rolling, 780, numbers, 0, 0);
    assert_int_equal(fb_rolling_minute_begin(5), 0);
    assert_int_equal(fb_rolling_minute_begin(100), 89);
    assert_int_equal(fb_rolling_hour_begin(719), 0);
    assert_int_equal(fb_rolling_hour_begin(780), 120);
    fb_rolling_free(rolling);
}

static void test_rolling__what_is_set_back_grew_by_nothing(void **state) {
    (void)state;
    fb_rolling *rolling = NULL;
    uint64_t numbers[NUMBERS] = {10, 10};
    assert_ok(fb_rolling_new(NUMBERS, &rolling));
    assert_ok(fb_rolling_take(rolling, 0, numbers));
    numbers[0] = 3;
    assert_grew(rolling, 1, numbers, 10, 10);
    fb_rolling_clear(rolling);
    assert_grew(rolling, 1, numbers, 3, 3);
    fb_rolling_free(rolling);
    fb_rolling_free(NULL);
}

// ---- against a list

typedef struct happening {
    int64_t slice;  // in which it was handed over
    size_t which;
    uint64_t amount;
} happening;

enum { STEPS = 3000 };

typedef struct world {
    fb_rng rng;
    fb_rolling *rolling;
    uint64_t numbers[NUMBERS];
    int64_t slice;
    happening all[STEPS];
    size_t count;
    size_t handed_over;
} world;

static void count_something(world *at) {
    size_t which = (size_t)(fb_rng_next(&at->rng) % NUMBERS);
    uint64_t amount = 1 + fb_rng_next(&at->rng) % 1000;
    at->numbers[which] += amount;
    at->all[at->count++] = (happening){.slice = INT64_MAX, .which = which, .amount = amount};
}

static void hand_over(world *at) {
    assert_ok(fb_rolling_take(at->rolling, at->slice, at->numbers));
    for (; at->handed_over < at->count; at->handed_over++) {
        at->all[at->handed_over].slice = at->slice;
    }
}

static void compare(const world *at, bool hour) {
    uint64_t expected[NUMBERS] = {0};
    uint64_t sums[NUMBERS] = {0};
    int64_t first =
        hour ? fb_rolling_hour_begin(at->slice) : fb_rolling_minute_begin(at->slice);
    for (size_t i = 0; i < at->count; i++) {
        if (at->all[i].slice >= first) {
            expected[at->all[i].which] += at->all[i].amount;
        }
    }
    (hour ? fb_rolling_hour : fb_rolling_minute)(at->rolling, at->slice, at->numbers, sums);
    assert_memory_equal(sums, expected, sizeof sums);
}

static void test_rolling__random_programs_add_up(void **state) {
    (void)state;
    fb_rng seeds = test_rng();
    for (int round = 0; round < 40; round++) {
        world *at = fb_mem_zero(1, sizeof *at);
        assert_non_null(at);
        fb_rng_init(&at->rng, fb_rng_next(&seeds));
        assert_ok(fb_rolling_new(NUMBERS, &at->rolling));
        for (int step = 0; step < STEPS; step++) {
            uint64_t dice = fb_rng_next(&at->rng) % 100;
            if (dice < 60) {
                count_something(at);
            } else if (dice < 85) {
                hand_over(at);
                at->slice += (int64_t)(fb_rng_next(&at->rng) % 3);
            } else if (dice == 85) {
                at->slice += (int64_t)(fb_rng_next(&at->rng) % 1000);  // nothing happens for long
            } else {
                compare(at, dice % 2 == 0);
            }
        }
        fb_rolling_free(at->rolling);
        fb_mem_free(at);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rolling__a_minute_is_twelve_slices),
        cmocka_unit_test(test_rolling__an_hour_is_twelve_times_five_minutes),
        cmocka_unit_test(test_rolling__what_is_set_back_grew_by_nothing),
        cmocka_unit_test(test_rolling__random_programs_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
