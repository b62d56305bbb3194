// cli/bench_trace.h -- what `forebay bench trace` found out, and how it is told.

#ifndef FB_CLI_BENCH_TRACE_H
#define FB_CLI_BENCH_TRACE_H

#include "base/buf.h"
#include "cli/replay.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_trace_case {
    double share;  // of the distinct objects; 0: a number of bytes was asked for
    fb_replay replay;
    bool compared;  // with policies that hold `objects`
    uint32_t objects;
    uint64_t lru_misses, s3fifo_misses;
} fb_trace_case;

enum { FB_TRACE_CASES_MAX = 32, FB_TRACE_OBJECTS_MIN = 9 };

typedef struct fb_trace_figures {
    const char *file;
    fb_trace_format format;
    size_t requests;
    uint32_t distinct;
    uint64_t bytes;  // of the distinct objects; 0: the trace has no sizes
    bool ignore_sizes;
    size_t case_count;
    fb_trace_case cases[FB_TRACE_CASES_MAX];
} fb_trace_figures;

// "0.001,0.01": shares above 0, up to 1. FB_OK, or FB_ETYPE.
FB_CHECK_RESULT int fb_trace_shares(fb_str text, fb_trace_figures *figures);
// Replays every case, and the policies beside it if `compare`. FB_OK; FB_ENOMEM, FB_EINVAL.
FB_CHECK_RESULT int fb_trace_run(const fb_trace *trace, bool compare, fb_trace_figures *figures);
// Appends all of it. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_trace_text(const fb_trace_figures *figures, fb_buf *out);
FB_CHECK_RESULT int fb_trace_json(const fb_trace_figures *figures, fb_buf *out);

#ifdef __cplusplus
}
#endif

#endif
