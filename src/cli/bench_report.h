// cli/bench_report.h -- what `forebay bench report` measured, and how it is told.

#ifndef FB_CLI_BENCH_REPORT_H
#define FB_CLI_BENCH_REPORT_H

#include <forebay/stats.h>

#include "base/buf.h"
#include "node/advice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_BENCH_TIER_SIZE = 16, FB_BENCH_PARAMS_SIZE = 160 };

// One question asked twice: of the source, and later of the cache.
typedef struct fb_bench_sample {
    char params[FB_BENCH_PARAMS_SIZE];  // "name=make page=2"
    double uncached_ms, cached_ms;      // round trips of this client
    char uncached_tier[FB_BENCH_TIER_SIZE], cached_tier[FB_BENCH_TIER_SIZE];  // who answered
    uint64_t bytes;                                                           // of the answer
} fb_bench_sample;

typedef struct fb_bench {
    char time[40], address[300];
    fb_bench_sample *samples;
    size_t sample_count;
    double ping_ms;  // a round trip that asks nothing: the mean of as many
    // What the server itself counted for the class, from all its clients, before and after the
    // samples.
    fb_cache_figures before, after;
    fb_stats server;  // the whole, after; without classes
} fb_bench;

typedef enum fb_bench_column {
    FB_BENCH_UNCACHED,
    FB_BENCH_CACHED,
    FB_BENCH_SPEEDUP
} fb_bench_column;

// Of milliseconds, or of quotients. The deviation is that of a sample (n - 1); 0 for one alone.
typedef struct fb_bench_summary {
    double mean, deviation, least, most;
} fb_bench_summary;

// Appends the report. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_bench_text(const fb_bench *bench, fb_buf *out);
FB_CHECK_RESULT int fb_bench_json(const fb_bench *bench, fb_buf *out);

fb_bench_summary fb_bench_summarise(const fb_bench *bench, fb_bench_column column);
// What the figures suggest: of the class before the report (node/advice.h), then of the samples.
void fb_bench_advise(const fb_bench *bench, fb_advice_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
