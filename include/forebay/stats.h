// forebay/stats.h -- what the cache did and what it gained, per class and in all.
//
// Figures with nothing behind them are 0. Latencies come from log-linear histograms (error at most
// 1 %). Hits are timed by sample (the first of each thread, then one in sixteen): means and
// percentiles are those of the sample, counts are exact.
// Threads: any. Memory: what fb_stats_read() brings is the caller's until fb_stats_release().

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
    X(dels, "keys deleted by callers")                                                        \
    X(expired, "reads of what memory had held until it was too old, as far as it remembers")  \
    X(invalidated, "reads of what was invalidated or deleted, as far as it remembers")        \
    X(shared_reads, "times the shared tier was asked for a value")                            \
    X(shared_hits, "of those: it had one")                                                    \
    X(shared_failures, "likewise: it did not answer, or with an error")                       \
    X(shared_passed_by, "reads that went on without it: it was away")

typedef struct fb_latency {
    uint64_t count;
    double mean_ms;
    double p50_ms;
    double p95_ms;
    double p99_ms;
    double max_ms;
} fb_latency;

// Up to where the histograms of figures count: microseconds, from 1 us to 10 s.
enum { FB_LATENCY_BOUND_COUNT = 22 };
FB_API uint32_t fb_latency_bound_us(size_t index);  // they rise; 0: there is no such one

typedef struct fb_cache_figures {
    char name[64];  // the class; "" for plain keys; "*" for all
#define FB_CACHE_COUNTER_FIELD(field, help) uint64_t field;
    FB_CACHE_COUNTERS(FB_CACHE_COUNTER_FIELD)
#undef FB_CACHE_COUNTER_FIELD
    fb_latency hit;
    fb_latency miss;
    fb_latency load;    // the source alone
    fb_latency shared;  // the shared tier alone, from asking for a value to its answer
    // How many of each took no longer than each bound (bounds are within 1 %, like all latencies).
    uint64_t hit_within[FB_LATENCY_BOUND_COUNT];
    uint64_t miss_within[FB_LATENCY_BOUND_COUNT];
    uint64_t load_within[FB_LATENCY_BOUND_COUNT];
    uint64_t shared_within[FB_LATENCY_BOUND_COUNT];
    int64_t ttl_ms;   // of the class; for all: of the class that is read most; 0: none
    bool has_source;
} fb_cache_figures;

// How the shared tier stands.
typedef enum fb_shared_state {
    FB_SHARED_NONE,         // none is configured
    FB_SHARED_UNUSED,       // not asked yet
    FB_SHARED_CONNECTED,    // and this node is coherent with all others
    FB_SHARED_CATCHING_UP,  // reached, but this node has not applied everything yet
    FB_SHARED_AWAY          // "Using in-memory fallback"
} fb_shared_state;
typedef struct fb_shared_info {
    fb_shared_state state;
    char address[256];   // without password
    char server[64];     // "redis 7.0.15, cluster of 3"
    char why[192];       // where it is not CONNECTED
    char unfit[4][192];  // what of the server is not fit for it, one sentence each
    uint32_t unfit_count;
    uint32_t partitions, degraded;
    int64_t lag_ms;      // since this node last was in step with every log; -1: never
    uint64_t owed;       // changes not told yet
} fb_shared_info;

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
    int64_t window_ms;  // over how long the figures are; > 0
    uint64_t loads_running;
    uint64_t loads_waiting;
    fb_shared_info shared;
    uint32_t loops;
    uint32_t workers;
} fb_stats;

// Over what time figures are. The last minute is 12 slices of 5 seconds, that which runs among them, so
// that it is between 55 and 60 s long (window_ms says how long); the last hour is 12 slices of 5 minutes
// in the same way. Percentiles are within 1 % as ever; the maximum of a window is as well, where that
// since the start is exact. Entries, memory and states are always those of now.
typedef enum fb_window { FB_WINDOW_START, FB_WINDOW_MINUTE, FB_WINDOW_HOUR } fb_window;

// FB_OK or FB_ENOMEM. fb_stats_read() is that since the start (or the last reset).
FB_API FB_CHECK_RESULT int fb_stats_read_over(fb_engine *engine, fb_window window, fb_stats *stats);

// FB_OK or FB_ENOMEM. The parts of one snapshot may be a few operations apart.
FB_API FB_CHECK_RESULT int fb_stats_read(fb_engine *engine, fb_stats *stats);
FB_API void fb_stats_release(fb_stats *stats);
// Counters and histograms from 0 (CONFIG RESETSTAT).
FB_API void fb_stats_reset(fb_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
