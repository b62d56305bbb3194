// cli/bench_memory.h -- what `forebay bench memory` measured, what it means, and how it is told.
//
// An operation's time is CPU time of the thread that did it, so that others on the machine count as
// little as they can; the time on the wall stands beside it. Everything is compared with one read
// of memory on the same machine at the same time (a dependent random read over 1 GiB).

#ifndef FB_CLI_BENCH_MEMORY_H
#define FB_CLI_BENCH_MEMORY_H

#include <forebay/base.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_memory_work {
    FB_MEMORY_READ,   // the machine's own read
    FB_MEMORY_HIT,    // get and copy out
    FB_MEMORY_BATCH,  // the same, 16 keys a call; the figures are of one key
    FB_MEMORY_MIX,    // room for half of the keys; a miss is followed by a put
    FB_MEMORY_PUT,    // a put, in the same store
    FB_MEMORY_WORKS
} fb_memory_work;

// What a number of threads did at once, in one round.
typedef struct fb_memory_sample {
    double cpu_ns;      // of one operation
    double elapsed_ns;  // of all threads together, for one operation
    double cpus;        // how many processors' time the threads got
    double hit_ratio;
    double read_ns;  // CPU time of one read of the machine, just before and just after
} fb_memory_sample;

enum { FB_MEMORY_ROUNDS_MAX = 99, FB_MEMORY_CASES_MAX = 64 };

typedef struct fb_memory_case {
    fb_memory_work work;
    uint32_t entries;  // 0: the machine's read
    uint32_t threads;
    fb_memory_sample samples[FB_MEMORY_ROUNDS_MAX];
} fb_memory_case;

// A store filled far beyond its limit.
typedef struct fb_memory_space {
    uint32_t entries_wanted;  // what its limit was made for
    uint64_t entries, limit_bytes, used_bytes;
    uint64_t rss_bytes;    // what the process grew by
    double payload_bytes;  // key and value of a mean entry
} fb_memory_space;

typedef struct fb_memory_figures {
    char time[40];
    uint32_t processors, rounds;
    uint64_t wrong;  // values that were not of their key: 0
    fb_memory_space space;
    size_t case_count;
    fb_memory_case cases[FB_MEMORY_CASES_MAX];
} fb_memory_figures;

// The medians of a case over its rounds.
typedef struct fb_memory_row {
    double cpu_ns, elapsed_ns, cpus, hit_ratio, read_ns;
    double ratio;  // of cpu_ns to the machine's read in the same round
    // Times as many operations as by one thread in the same round: by CPU time, and by the wall, of
    // those rounds in which every thread had a processor of its own (0: there were none).
    double speedup_cpu, speedup;
} fb_memory_row;

fb_memory_row fb_memory_summarise(const fb_memory_figures *figures, const fb_memory_case *one);
double fb_memory_overhead(const fb_memory_space *space);  // bytes an entry, without key and value

// What was aimed at. `text` is a sentence with the figure in it.
typedef enum fb_memory_verdict {
    FB_MEMORY_HOLDS,
    FB_MEMORY_FAILS,
    FB_MEMORY_UNJUDGED
} fb_memory_verdict;
typedef struct fb_memory_goal {
    fb_memory_verdict verdict;
    double value, bound;
    char text[240];
} fb_memory_goal;

enum { FB_MEMORY_GOALS_MAX = 16 };
// Those of which something was measured; returns how many.
size_t fb_memory_judge(const fb_memory_figures *figures, fb_memory_goal *goals);

// Appends all of it. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_memory_text(const fb_memory_figures *figures, fb_buf *out);
FB_CHECK_RESULT int fb_memory_json(const fb_memory_figures *figures, fb_buf *out);

// ---- under churn

typedef struct fb_churn_figures {
    double seconds;
    uint32_t threads;
    uint64_t limit_bytes;
    uint64_t rss_max_bytes, rss_end_bytes;  // what the store made the process grow by
    uint64_t used_max_bytes;                // as the store itself counts
    uint64_t gets, hits, puts, dels, refused, evictions, expirations, entries;
    uint64_t wrong;
} fb_churn_figures;

fb_memory_goal fb_churn_judge(const fb_churn_figures *figures);
FB_CHECK_RESULT int fb_churn_text(const fb_churn_figures *figures, fb_buf *out);
FB_CHECK_RESULT int fb_churn_json(const fb_churn_figures *figures, fb_buf *out);

// Runs it with so many threads for so long, on a store of limit_bytes. FB_OK; FB_ENOMEM, FB_EIO.
FB_CHECK_RESULT int fb_churn_run(double seconds, uint32_t threads, uint64_t limit_bytes,
                                 fb_churn_figures *figures);

// ---- the instruments

// Bytes of this process that are in memory now. 0: not known.
uint64_t fb_memory_rss(void);
// What this process could still take, by the system, its control group and its own limit.
uint64_t fb_memory_free(void);

#ifdef __cplusplus
}
#endif

#endif
