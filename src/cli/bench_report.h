// cli/bench_report.h -- what `forebay bench report` measured, and how it is told.

#ifndef FB_CLI_BENCH_REPORT_H
#define FB_CLI_BENCH_REPORT_H

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_BENCH_TIER_SIZE = 16, FB_BENCH_PARAMS_SIZE = 160 };

// One question asked twice: of the source, and later of the cache.
typedef struct fb_bench_sample {
    char params[FB_BENCH_PARAMS_SIZE];  // "name=make page=2"
    double uncached_ms, cached_ms;      // round trips of this client
    char uncached_tier[FB_BENCH_TIER_SIZE], cached_tier[FB_BENCH_TIER_SIZE];  // who answered
    uint64_t bytes;                     // of the answer
} fb_bench_sample;

typedef struct fb_bench_latency {
    int64_t count;  // of those that were timed
    double mean_ms, p50_ms, p95_ms;
} fb_bench_latency;

// What the server itself counted for the class, from all its clients, since it started.
typedef struct fb_bench_figures {
    int64_t hits, misses, loads, load_failures, ttl_ms;
    double hit_rate_percent;
    fb_bench_latency hit, load;
} fb_bench_figures;

typedef struct fb_bench {
    char time[40], server[300], class_name[64];
    fb_bench_sample *samples;
    size_t sample_count;
    double ping_ms;                  // a round trip that asks nothing: the mean of as many
    fb_bench_figures before, after;  // the samples
    int64_t entries, memory_bytes, memory_limit_bytes, uptime_ms;
    bool shared_configured, shared_connected;
} fb_bench;

typedef enum fb_bench_column { FB_BENCH_UNCACHED, FB_BENCH_CACHED, FB_BENCH_SPEEDUP } fb_bench_column;

// Of milliseconds, or of quotients. The deviation is that of a sample (n - 1); 0 for one alone.
typedef struct fb_bench_summary {
    double mean, deviation, least, most;
} fb_bench_summary;

// Appends the report. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_bench_text(const fb_bench *bench, fb_buf *out);
FB_CHECK_RESULT int fb_bench_json(const fb_bench *bench, fb_buf *out);

fb_bench_summary fb_bench_summarise(const fb_bench *bench, fb_bench_column column);
// What the figures suggest: sentence `index` (some may be empty), or false after the last.
bool fb_bench_advice(const fb_bench *bench, size_t index, char *text, size_t text_size);

#ifdef __cplusplus
}
#endif

#endif
