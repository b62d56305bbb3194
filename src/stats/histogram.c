// The log-linear histogram: values under 64 have a bucket each; from there on every power of two is
// cut into 64 buckets of equal width.
//
//   value       0 … 63 | 64 … 127 | 128 … 255 | 256 … 511 | …
//   width         1    |    1     |     2     |     4     | …
//   index       0 … 63 | 64 … 127 | 128 … 191 | 192 … 255 | …
//
// With `shift` the power by which a value exceeds 7 bits, its index is 64 × shift + (value >>
// shift). The last bucket holds FB_HISTOGRAM_MAX alone. A value is half a width from its bucket's
// middle at the most, and at least 64 widths from zero: so it is within 1/128 of it.
//
// The sum and the maximum are kept beside the buckets, because the mean and the maximum are to be
// exact (the sum has room for 584 years). The count is what the buckets add up to: one counter less
// to raise.

#include "stats/histogram.h"

#include <math.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/mem.h"

enum {
    LINEAR_BITS = 6,
    LINEAR_COUNT = 1 << LINEAR_BITS,  // buckets to a power of two
    MAX_BITS = 42
};
#define BUCKET_COUNT ((size_t)FB_HISTOGRAM_BUCKETS)

_Static_assert(FB_HISTOGRAM_BUCKETS == (MAX_BITS - LINEAR_BITS + 1) * LINEAR_COUNT + 1,
               "linear ones, those of each power of two, and the maximum's");
_Static_assert(FB_HISTOGRAM_MAX == INT64_C(1) << MAX_BITS, "the last bucket is the maximum's");
_Static_assert(2 * LINEAR_COUNT >= 100, "a bucket's middle is within 1 % of what is in it");

struct fb_histogram {
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[BUCKET_COUNT];
};

static uint64_t read_number(const _Atomic uint64_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void add(_Atomic uint64_t *number, uint64_t amount) {
    atomic_fetch_add_explicit(number, amount, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *number, uint64_t value) {
    uint64_t seen = read_number(number);
    while (seen < value &&
           !atomic_compare_exchange_weak_explicit(number, &seen, value, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static size_t find_bucket(uint64_t value) {
    if (value < LINEAR_COUNT) {
        return (size_t)value;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - LINEAR_BITS;
    return shift * LINEAR_COUNT + (size_t)(value >> shift);
}

static double find_middle(size_t bucket) {
    if (bucket < LINEAR_COUNT) {
        return (double)bucket;
    }
    size_t shift = bucket / LINEAR_COUNT - 1;
    uint64_t low = (uint64_t)(bucket - shift * LINEAR_COUNT) << shift;
    uint64_t width = UINT64_C(1) << shift;
    return (double)low + (double)(width - 1) / 2;
}

int fb_histogram_new(fb_histogram **histogram) {
    *histogram = fb_mem_zero(1, sizeof **histogram);
    return *histogram != NULL ? FB_OK : FB_ENOMEM;
}

void fb_histogram_free(fb_histogram *histogram) {
    fb_mem_free(histogram);
}

void fb_histogram_record(fb_histogram *histogram, int64_t value) {
    uint64_t kept = value < 0 ? 0 : (uint64_t)value;
    if (kept > (uint64_t)FB_HISTOGRAM_MAX) {
        kept = (uint64_t)FB_HISTOGRAM_MAX;
    }
    add(&histogram->buckets[find_bucket(kept)], 1);
    add(&histogram->sum, kept);
    raise_to(&histogram->max, kept);
}

void fb_histogram_reset(fb_histogram *histogram) {
    atomic_store_explicit(&histogram->sum, 0, memory_order_relaxed);
    atomic_store_explicit(&histogram->max, 0, memory_order_relaxed);
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        atomic_store_explicit(&histogram->buckets[i], 0, memory_order_relaxed);
    }
}

void fb_histogram_merge(fb_histogram *into, const fb_histogram *from) {
    FB_ASSERT(into != from);
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        uint64_t count = read_number(&from->buckets[i]);
        if (count > 0) {
            add(&into->buckets[i], count);
        }
    }
    add(&into->sum, read_number(&from->sum));
    raise_to(&into->max, read_number(&from->max));
}

void fb_histogram_read(const fb_histogram *histogram, uint64_t numbers[FB_HISTOGRAM_NUMBERS]) {
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        numbers[i] = read_number(&histogram->buckets[i]);
    }
    numbers[BUCKET_COUNT] = read_number(&histogram->sum);
}

void fb_histogram_write(fb_histogram *histogram, const uint64_t numbers[FB_HISTOGRAM_NUMBERS],
                        const fb_histogram *whole) {
    double max = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        atomic_store_explicit(&histogram->buckets[i], numbers[i], memory_order_relaxed);
        max = numbers[i] > 0 ? find_middle(i) : max;
    }
    uint64_t most = (uint64_t)fmin(ceil(max), fb_histogram_max(whole));
    atomic_store_explicit(&histogram->sum, numbers[BUCKET_COUNT], memory_order_relaxed);
    atomic_store_explicit(&histogram->max, most, memory_order_relaxed);
}

void fb_histogram_within(const fb_histogram *histogram, const int64_t *bounds, size_t bound_count,
                         uint64_t *within) {
    uint64_t count = 0;
    size_t bucket = 0;
    for (size_t i = 0; i < bound_count; i++) {
        FB_ASSERT(i == 0 || bounds[i - 1] <= bounds[i]);
        while (bucket < BUCKET_COUNT && find_middle(bucket) <= (double)bounds[i]) {
            count += read_number(&histogram->buckets[bucket++]);
        }
        within[i] = count;
    }
}

uint64_t fb_histogram_sum(const fb_histogram *histogram) {
    return read_number(&histogram->sum);
}

uint64_t fb_histogram_count(const fb_histogram *histogram) {
    uint64_t count = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        count += read_number(&histogram->buckets[i]);
    }
    return count;
}

double fb_histogram_mean(const fb_histogram *histogram) {
    uint64_t count = fb_histogram_count(histogram);
    return count > 0 ? (double)read_number(&histogram->sum) / (double)count : 0;
}

double fb_histogram_quantile(const fb_histogram *histogram, double quantile) {
    uint64_t count = fb_histogram_count(histogram);
    double wanted = ceil(quantile * (double)count);
    double max = fb_histogram_max(histogram);
    uint64_t seen = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        uint64_t here = read_number(&histogram->buckets[i]);
        seen += here;
        if (here > 0 && (double)seen >= wanted) {
            return fmin(find_middle(i), max);
        }
    }
    return max;
}

double fb_histogram_max(const fb_histogram *histogram) {
    return (double)read_number(&histogram->max);
}
