// node/gain.h -- what the figures come to: rates, gain, time saved. Of one class, and in all.
//
// What nothing stands behind is 0, never infinite and no NaN.

#ifndef FB_NODE_GAIN_H
#define FB_NODE_GAIN_H

#include <forebay/stats.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_gain {
    uint64_t requests;  // hits and misses; what ended in an error is among the misses
    double hit_rate_percent;
    double error_rate_percent;
    double hit_ms, miss_ms;   // means
    double multiplier;        // miss_ms / hit_ms
    double saved_per_hit_ms;  // miss_ms - hit_ms; < 0 where memory is slower than the source
    double saved_ms;          // hits × saved_per_hit_ms; in all: the sum of the classes
    double per_second;        // requests, over the time that the figures are of
    uint64_t avoided;         // reads that the source was not asked for
} fb_gain;

// `figures` are those of one of the classes, or `all`.
fb_gain fb_gain_of(const fb_stats *stats, const fb_cache_figures *figures);
fb_gain fb_gain_in_all(const fb_stats *stats);

// The TTL that stands for the whole: that of the class read most, else of the first that has one.
int64_t fb_gain_ttl_ms(const fb_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
