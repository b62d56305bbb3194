// cli/bench_load.h -- an open-loop load on a server that speaks RESP or HTTP, and what its clients felt.
//
// Open loop: when a request begins is decided by a schedule, not by the answers. A server that stands
// still for a second does not stop the clients of the world from coming; so neither do ours, and each
// request counts from the moment at which it was to begin. A generator that waits for one answer before
// it asks again measures one slow request where a thousand were kept waiting (Gil Tene's "coordinated
// omission"; his wrk2 is such a one for HTTP).
//
// Threads: one, the caller's.

#ifndef FB_CLI_BENCH_LOAD_H
#define FB_CLI_BENCH_LOAD_H

#include <forebay/base.h>

#include "base/buf.h"
#include "base/rng.h"
#include "cli/bench_keys.h"
#include "cli/command_line.h"
#include "client/address.h"
#include "stats/histogram.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_LOAD_MIX_MAX = 16,
    FB_LOAD_CONNECTIONS_MAX = 10000,
    FB_LOAD_PIPELINE_MAX = 1024,
    FB_LOAD_ERRORS_MAX = 16,
    FB_LOAD_ERROR_SIZE = 32,
    FB_LOAD_NAME_SIZE = 128,
    FB_LOAD_KEY_SIZE = 32,
    FB_LOAD_PATH_SIZE = 512
};

typedef enum fb_load_kind {
    FB_LOAD_GET,
    FB_LOAD_SET,
    FB_LOAD_FETCH,
    FB_LOAD_LIMIT,
    FB_LOAD_ENQUEUE
} fb_load_kind;

// One kind of request, and how often it is one of those.
typedef struct fb_load_part {
    fb_load_kind kind;
    char name[FB_LOAD_NAME_SIZE];   // class, rule or queue; "" for get and set
    char param[FB_LOAD_NAME_SIZE];  // of the class: takes the number of the key
    uint32_t weight;
} fb_load_part;

typedef struct fb_load_plan {
    fb_address address;
    bool http;             // else RESP
    char path[FB_LOAD_PATH_SIZE];  // of HTTP: what is asked for instead of the mix; "": the mix
    double rate;           // requests a second
    bool even;             // one each 1/rate seconds; else Poisson's arrivals
    bool fill;             // first each key is set once, as fast as it goes
    uint32_t connections;
    uint32_t pipeline;     // requests under way at once on one connection
    uint64_t keys;
    double zipf;           // exponent; 0: all keys alike
    uint32_t value_len;
    fb_load_part mix[FB_LOAD_MIX_MAX];
    uint32_t mix_count;
    int64_t warmup_ns, duration_ns;
    int64_t timeout_ms;    // for a connection, and for an answer while keys are set
    int64_t linger_ms;     // after the end, for the answers that are missing
    uint64_t seed;
} fb_load_plan;

typedef struct fb_load_error {
    char name[FB_LOAD_ERROR_SIZE];  // the first word of the server's, or "connection lost"
    uint64_t count;
} fb_load_error;

// Of the requests that were to begin after the warm-up and before the end.
typedef struct fb_load_figures {
    uint64_t due;         // were to begin
    uint64_t answered;    // were answered, with an error or not
    uint64_t unsent;      // could not begin: all connections were full
    uint64_t unanswered;  // sent, and no answer came, or the connection was lost
    uint64_t refused;     // answered with an error
    uint64_t hits, misses;  // of get
    uint64_t per_part[FB_LOAD_MIX_MAX];  // answered
    fb_load_error errors[FB_LOAD_ERRORS_MAX];
    uint32_t error_count;
    // From the moment at which a request was to begin; of what got no answer, until it was given up.
    fb_histogram *latency;
    // How much later than it could have it began by the generator's own fault.
    fb_histogram *late;
    int64_t elapsed_ns;   // of what was measured; less than the duration when interrupted
    int64_t cpu_ns;       // processor time of the generator, the warm-up and the end included
    int64_t wall_ns;      // in so much time
    uint32_t connections_lost;
    bool interrupted;
} fb_load_figures;

// What one second brought.
typedef struct fb_load_second {
    int64_t at_ns;        // since the start
    bool warming;
    double rate;          // answers a second
    double behind_ms;     // the oldest request that has not begun yet
    uint64_t errors;      // in it
    const fb_histogram *latency;
} fb_load_second;
typedef void (*fb_load_second_fn)(void *arg, const fb_load_second *second);

// ---- the schedule: pure

typedef struct fb_load_schedule {
    double gap_ns;        // mean
    bool even;
    double next_ns;       // since its begin
} fb_load_schedule;

void fb_load_schedule_init(fb_load_schedule *schedule, double rate, bool even, fb_rng *rng);
// When the next request is to begin; then the one after it.
static inline int64_t fb_load_due_ns(const fb_load_schedule *schedule) {
    return (int64_t)schedule->next_ns;
}
void fb_load_schedule_step(fb_load_schedule *schedule, fb_rng *rng);

// ---- what is to be done

// "get=90,set=5,fetch:CLASS:PARAM=3,limit:RULE=1,enqueue:QUEUE=1". FB_OK, FB_EINVAL.
FB_CHECK_RESULT int fb_load_mix_read(fb_str text, fb_load_plan *plan, fb_error *error);
// All of it, from the command line. False: it has been said what is wrong.
bool fb_load_plan_read(const fb_line *line, fb_load_plan *plan);

// ---- doing it

// FB_OK, also when it was interrupted; FB_EIO, FB_ETIMEDOUT, FB_EDENIED: no connection, FB_ENOMEM.
// `stop` may be set by a signal. `fn` may be NULL.
FB_CHECK_RESULT int fb_load_run(const fb_load_plan *plan, const volatile int *stop,
                                fb_load_second_fn fn, void *arg, fb_load_figures *figures,
                                fb_error *error);
// FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_load_figures_init(fb_load_figures *figures);
void fb_load_figures_release(fb_load_figures *figures);
void fb_load_count_error(fb_load_figures *figures, fb_str name);

// ---- telling it

// Whether the generator was so busy or so late that the figures are its own, and why. NULL: it kept up.
const char *fb_load_doubt(const fb_load_figures *figures);
// FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_load_text(const fb_load_plan *plan, const fb_load_figures *figures,
                                 fb_buf *out);
FB_CHECK_RESULT int fb_load_json(const fb_load_plan *plan, const fb_load_figures *figures,
                                 fb_buf *out);
const char *fb_load_kind_name(fb_load_kind kind);

int fb_cli_bench_load(const fb_line *line);

#ifdef __cplusplus
}
#endif

#endif
