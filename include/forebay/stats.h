// forebay/stats.h -- what the cache did and what it gained, per class and in all.
//
// Figures with nothing behind them are 0. Latencies come from log-linear histograms (error at most
// 1 %). Hits are timed by sample (the first of each thread, then one in sixteen): means and
// percentiles are those of the sample, counts are exact.

#ifndef FOREBAY_STATS_H
#define FOREBAY_STATS_H

#include <forebay/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

// One line per counter: name, help. The struct, FB.STATS, JSON and the reference page derive from it.
#define FB_CACHE_COUNTERS(X)                                                                  \
    X(hits, "reads answered from the cache")                                                  \
    X(misses, "reads that found nothing they could be answered with")                         \
    X(negative_hits, "of the hits: answered with known-not-to-exist")                         \
    X(stale_hits, "of the hits: answered with a stale value while it was refreshed")          \
    X(fallback_hits, "of the hits: answered with an old value because the source failed")     \
    X(region_hits, "of the hits: read by other processes from the shared region")             \
    X(coalesced, "of the misses: answered by a load that another request had begun")          \
    X(errors, "reads that ended in an error")                                                 \
    X(timeouts, "of the errors: the caller's time was over")                                  \
    X(overloads, "of the errors: too many waited already")                                    \
    X(loads, "times the source was asked")                                                    \
    X(load_failures, "of the loads: failed")                                                  \
    X(load_negatives, "of the loads: found that there is no such thing")                      \
    X(batches, "loads that asked for several keys in one query")                              \
    X(doomed, "loads overtaken by an invalidation: answered, and stored nowhere")             \
    X(early_refreshes, "refreshes begun before the value went stale")                         \
    X(early_wasted, "of those: never read before the next one")                               \
    X(warmed, "loads begun by warming")                                                       \
    X(invalidations, "invalidations by key, pattern, tag, class")                             \
    X(sets, "values stored by callers")                                                       \
    X(dels, "keys deleted by callers")

typedef struct fb_latency {
    uint64_t count;
    double mean_ms;
    double p50_ms;
    double p95_ms;
    double p99_ms;
    double max_ms;
} fb_latency;

typedef struct fb_cache_figures {
    char name[64];  // the class; "" for plain keys; "*" for all
#define FB_CACHE_COUNTER_FIELD(field, help) uint64_t field;
    FB_CACHE_COUNTERS(FB_CACHE_COUNTER_FIELD)
#undef FB_CACHE_COUNTER_FIELD
    fb_latency hit;
    fb_latency miss;
    fb_latency load;  // the source alone
    int64_t ttl_ms;   // of the class; for all: of the class that is read most; 0: none
    bool has_source;
} fb_cache_figures;

typedef struct fb_stats {
    fb_cache_figures all;
    fb_cache_figures *classes;  // plain keys first, then in the order of the configuration
    size_t class_count;
    uint64_t entries;
    uint64_t memory_bytes;  // in use, bookkeeping included
    uint64_t memory_limit_bytes;
    uint64_t evictions;
    uint64_t expirations;
    int64_t uptime_ms;
    uint64_t loads_running;
    uint64_t loads_waiting;
    bool shared_configured;  // a shared tier (Redis) is configured
    bool shared_connected;
    uint32_t loops;
    uint32_t workers;
} fb_stats;

// FB_OK or FB_ENOMEM. The parts of one snapshot may be a few operations apart.
FB_API FB_CHECK_RESULT int fb_stats_read(fb_engine *engine, fb_stats *stats);
FB_API void fb_stats_release(fb_stats *stats);
// Counters and histograms from 0 (CONFIG RESETSTAT).
FB_API void fb_stats_reset(fb_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
