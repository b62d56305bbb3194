// stats/histogram.h -- log-linear histogram of non-negative 64-bit values (nanoseconds here).
//
// Buckets: 64 linear ones to each power of two, so that a bucket's middle is within 1 % (1/128) of
// everything in it; as HdrHistogram has it. Values above FB_HISTOGRAM_MAX count as that, negative
// ones as 0. Memory: 19 KiB, all taken in new(). Threads: any call but free() may overlap any
// other. Recording is two relaxed atomic adds (and a third write when the maximum rises); where
// several threads record all the time, give each its own and merge them to read. What is read while
// others record may lack their latest values; a reset may lose what is recorded meanwhile.

#ifndef FB_STATS_HISTOGRAM_H
#define FB_STATS_HISTOGRAM_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FB_HISTOGRAM_MAX (INT64_C(1) << 42)  // 73 minutes in nanoseconds

typedef struct fb_histogram fb_histogram;

// A histogram as numbers that only grow, until it is reset: its buckets, then the sum of its values.
enum { FB_HISTOGRAM_BUCKETS = 37 * 64 + 1, FB_HISTOGRAM_NUMBERS = FB_HISTOGRAM_BUCKETS + 1 };

FB_CHECK_RESULT int fb_histogram_new(fb_histogram **histogram);
void fb_histogram_free(fb_histogram *histogram);
void fb_histogram_record(fb_histogram *histogram, int64_t value);
void fb_histogram_reset(fb_histogram *histogram);
// Adds the values of `from` to `into`, which is another histogram.
void fb_histogram_merge(fb_histogram *into, const fb_histogram *from);

void fb_histogram_read(const fb_histogram *histogram, uint64_t numbers[FB_HISTOGRAM_NUMBERS]);
// Makes `histogram` what `numbers` say: differences of what was read of `whole` at two times. The
// maximum of what is between them is known as well as its bucket, and no more than that of `whole`.
void fb_histogram_write(fb_histogram *histogram, const uint64_t numbers[FB_HISTOGRAM_NUMBERS],
                        const fb_histogram *whole);

uint64_t fb_histogram_sum(const fb_histogram *histogram);  // of the values
uint64_t fb_histogram_count(const fb_histogram *histogram);
double fb_histogram_mean(const fb_histogram *histogram);  // from the exact sum; 0 when empty
// The middle of the bucket of the smallest value that at least `quantile` (0 … 1) of all values are
// at or under, but no more than the maximum; within 1 % of that value. 0 when empty.
double fb_histogram_quantile(const fb_histogram *histogram, double quantile);
double fb_histogram_max(const fb_histogram *histogram);  // exact; 0 when empty
// within[i]: how many values are at or under bounds[i], which rise; a bucket counts by its middle.
void fb_histogram_within(const fb_histogram *histogram, const int64_t *bounds, size_t bound_count,
                         uint64_t *within);

#ifdef __cplusplus
}
#endif

#endif
