// The histogram against the samples themselves.

#include "support.h"

#include <math.h>
#include <pthread.h>

#include "stats/histogram.h"

enum { SAMPLE_COUNT = 20000 };

static const double quantiles[] = {0, 0.001, 0.1, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1};

static fb_histogram *make(void) {
    fb_histogram *histogram = NULL;
    assert_ok(fb_histogram_new(&histogram));
    return histogram;
}

static int compare(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

// The smallest sample that at least `quantile` of all are at or under.
static int64_t true_quantile(const int64_t *sorted, size_t count, double quantile) {
    size_t rank = (size_t)ceil(quantile * (double)count);
    return sorted[rank > 0 ? rank - 1 : 0];
}

static void assert_near(double actual, double expected) {
    if (fabs(actual - expected) > expected * 0.01) {
        fail_msg("%g, not within 1 %% of %g", actual, expected);
    }
}

static void assert_like(const fb_histogram *histogram, int64_t *samples, size_t count) {
    qsort(samples, count, sizeof *samples, compare);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)samples[i];
    }
    assert_int_equal(fb_histogram_count(histogram), count);
    assert_true(fb_histogram_max(histogram) == (double)samples[count - 1]);
    assert_true(fabs(fb_histogram_mean(histogram) - sum / (double)count) <=
                1e-9 * sum / (double)count);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        assert_near(fb_histogram_quantile(histogram, quantiles[i]),
                    (double)true_quantile(samples, count, quantiles[i]));
    }
}

// Three shapes: even, spread over all powers of two, and like times: mostly short, some very long.
static int64_t random_sample(fb_rng *rng, int shape) {
    switch (shape) {
    case 0:
        return (int64_t)fb_rng_below(rng, 1000000);
    case 1:
        return (int64_t)(fb_rng_next(rng) >> (22 + fb_rng_below(rng, 42)));
    default:
        return (int64_t)(-log(fb_rng_unit(rng)) * 50000) * (fb_rng_below(rng, 100) == 0 ? 500 : 1);
    }
}

static void test_histogram__within_one_percent_of_the_samples(void **state) {
    static int64_t samples[SAMPLE_COUNT];
    fb_rng rng = test_rng();
    fb_histogram *histogram = make();
    for (int shape = 0; shape < 3; shape++) {
        for (size_t count = 1; count <= SAMPLE_COUNT; count *= 3) {
            fb_histogram_reset(histogram);
            for (size_t i = 0; i < count; i++) {
                samples[i] = random_sample(&rng, shape);
                fb_histogram_record(histogram, samples[i]);
            }
            assert_like(histogram, samples, count);
        }
    }
    fb_histogram_free(histogram);
}

static void test_histogram__within_one_percent_of_each_value(void **state) {
    fb_histogram *histogram = make();
    for (int bit = 0; bit < 42; bit++) {
        for (int64_t step = -2; step <= 2; step++) {
            int64_t value = (INT64_C(1) << bit) + step * (INT64_C(1) << (bit > 7 ? bit - 7 : 0));
            value = value < 0 ? 0 : value;
            fb_histogram_reset(histogram);
            fb_histogram_record(histogram, value);
            fb_histogram_record(histogram, FB_HISTOGRAM_MAX);
            assert_near(fb_histogram_quantile(histogram, 0.5), (double)value);
        }
    }
    fb_histogram_free(histogram);
}

static void test_histogram__small_values_are_exact(void **state) {
    fb_histogram *histogram = make();
    for (int64_t value = 0; value < 128; value++) {
        fb_histogram_reset(histogram);
        fb_histogram_record(histogram, value);
        fb_histogram_record(histogram, 1000);
        assert_true(fb_histogram_quantile(histogram, 0.5) == (double)value);
    }
    fb_histogram_free(histogram);
}

static void test_histogram__empty_is_zero(void **state) {
    fb_histogram *histogram = make();
    assert_int_equal(fb_histogram_count(histogram), 0);
    assert_true(fb_histogram_mean(histogram) == 0);
    assert_true(fb_histogram_max(histogram) == 0);
    assert_true(fb_histogram_quantile(histogram, 0.5) == 0);
    assert_true(fb_histogram_quantile(histogram, 1) == 0);
    fb_histogram_free(histogram);
    fb_histogram_free(NULL);
}

static void test_histogram__values_out_of_range_count_as_the_nearest(void **state) {
    fb_histogram *histogram = make();
    fb_histogram_record(histogram, -5);
    fb_histogram_record(histogram, INT64_MIN);
    assert_int_equal(fb_histogram_count(histogram), 2);
    assert_true(fb_histogram_max(histogram) == 0);
    assert_true(fb_histogram_mean(histogram) == 0);
    fb_histogram_record(histogram, FB_HISTOGRAM_MAX + 1);
    fb_histogram_record(histogram, INT64_MAX);
    assert_int_equal(fb_histogram_count(histogram), 4);
    assert_true(fb_histogram_max(histogram) == (double)FB_HISTOGRAM_MAX);
    assert_true(fb_histogram_quantile(histogram, 0.75) == (double)FB_HISTOGRAM_MAX);
    assert_true(fb_histogram_mean(histogram) == (double)FB_HISTOGRAM_MAX / 2);
    fb_histogram_free(histogram);
}

static void test_histogram__counts_what_is_within_bounds(void **state) {
    (void)state;
    static const int64_t bounds[] = {0, 10, 63, 1000, 1000000, INT64_MAX};
    enum { COUNT = sizeof bounds / sizeof bounds[0] };
    fb_histogram *histogram = make();
    uint64_t within[COUNT];
    fb_histogram_within(histogram, bounds, COUNT, within);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(within[i], 0);
    }
    static const int64_t values[] = {-5, 0, 10, 11, 64, 980, 1020, 980000, 3000000, INT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        fb_histogram_record(histogram, values[i]);
    }
    fb_histogram_within(histogram, bounds, COUNT, within);
    static const uint64_t expected[COUNT] = {2, 3, 4, 6, 8, 10};
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(within[i], expected[i]);
    }
    fb_histogram_free(histogram);
}

static void test_histogram__no_quantile_is_above_the_maximum(void **state) {
    fb_histogram *histogram = make();
    fb_histogram_record(histogram, INT64_C(1) << 40);
    assert_true(fb_histogram_quantile(histogram, 0.5) == (double)(INT64_C(1) << 40));
    fb_histogram_free(histogram);
}

static void test_histogram__merging_is_recording_into_one(void **state) {
    static int64_t samples[SAMPLE_COUNT];
    fb_rng rng = test_rng();
    fb_histogram *parts[4] = {make(), make(), make(), make()};
    fb_histogram *all = make();
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        samples[i] = random_sample(&rng, (int)(i % 3));
        fb_histogram_record(parts[fb_rng_below(&rng, 4)], samples[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        fb_histogram_merge(all, parts[i]);
        fb_histogram_free(parts[i]);
    }
    assert_like(all, samples, SAMPLE_COUNT);
    fb_histogram_free(all);
}

static void *record_many(void *arg) {
    for (int64_t i = 0; i < 50000; i++) {
        fb_histogram_record(arg, i);
    }
    return NULL;
}

static void test_histogram__threads_lose_nothing(void **state) {
    fb_histogram *histogram = make();
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, record_many, histogram), 0);
    }
    (void)fb_histogram_quantile(histogram, 0.5);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(fb_histogram_count(histogram), 200000);
    assert_true(fb_histogram_max(histogram) == 49999);
    assert_true(fb_histogram_mean(histogram) == 24999.5);
    fb_histogram_free(histogram);
}

static int make_one(void *arg) {
    fb_histogram *histogram = NULL;
    int result = fb_histogram_new(&histogram);
    assert_true((result == FB_OK) == (histogram != NULL));
    fb_histogram_free(histogram);
    return result;
}

static void test_histogram__survives_failing_memory(void **state) {
    assert_int_equal(test_memory_sweep(make_one, NULL), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram__within_one_percent_of_the_samples),
        cmocka_unit_test(test_histogram__within_one_percent_of_each_value),
        cmocka_unit_test(test_histogram__small_values_are_exact),
        cmocka_unit_test(test_histogram__empty_is_zero),
        cmocka_unit_test(test_histogram__values_out_of_range_count_as_the_nearest),
        cmocka_unit_test(test_histogram__counts_what_is_within_bounds),
        cmocka_unit_test(test_histogram__no_quantile_is_above_the_maximum),
        cmocka_unit_test(test_histogram__merging_is_recording_into_one),
        cmocka_unit_test(test_histogram__threads_lose_nothing),
        cmocka_unit_test(test_histogram__survives_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
