// queue/options.h -- what a queue, the store of queues and a schedule can be told: plain data,
// filled by the configuration. The tables beside it (queue/options.c) give each option its name,
// type, unit, default, range and help.

#ifndef FB_QUEUE_OPTIONS_H
#define FB_QUEUE_OPTIONS_H

#include <forebay/queue.h>

#include "base/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_queue_worker {
    FB_QUEUE_WORKER_NONE,     // workers come by themselves: RESP, HTTP, C
    FB_QUEUE_WORKER_MAIL,
    FB_QUEUE_WORKER_WEBHOOK
} fb_queue_worker;

// `queues.NAME`
typedef struct fb_queue_options {
    char *name;
    bool enabled;             // true; false: there is no such queue
    int worker;               // fb_queue_worker; none
    uint32_t concurrency;     // of the built-in worker: jobs at a time; 4
    uint32_t priority;        // of jobs that say none; 5
    uint32_t attempts;        // in all; 3; 1 … 1000
    int64_t retry_delay_ns;   // 10s, doubled with each attempt
    int64_t retry_max_ns;     // 10m
    int64_t lease_ns;         // 300s; 1s … 24h
    int64_t expires_ns;       // 0: never
    int64_t dead_keep_ns;     // 7d; 0: not kept
    uint32_t dead_max;        // 10,000
    uint64_t payload_max;     // bytes; 1MiB; at most 64MiB
    uint32_t jobs_max;        // that are not DEAD; 0: as many as there is room for
    uint32_t partitions;      // in Redis: 1 … 64; 1
    char *url;                // WEBHOOK: where jobs are posted
    char *secret;             // WEBHOOK: signs them; a secret
    int64_t timeout_ns;       // WEBHOOK: for its answer; 30s
    uint32_t line, column;    // where it stands in its file; 0: not from a file
    char *file;
} fb_queue_options;

typedef enum fb_queue_store {
    FB_QUEUE_STORE_AUTO,      // redis where there is a shared tier, else journal
    FB_QUEUE_STORE_JOURNAL,
    FB_QUEUE_STORE_REDIS
} fb_queue_store;
typedef enum fb_queue_durability { FB_QUEUE_POWER, FB_QUEUE_PROCESS } fb_queue_durability;

// `queue`
typedef struct fb_queue_store_options {
    int store;                // fb_queue_store
    char *file;               // the journal; "forebay-queue.db"
    int durability;           // fb_queue_durability; power
    bool allow_volatile;      // a Redis that may evict, or keeps no log of its own; false
    int64_t timeout_ns;       // for the store's answer; 5s
} fb_queue_store_options;

// `schedules.NAME`
typedef struct fb_schedule_options {
    char *name;
    bool enabled;             // true
    char *cron;               // "0 3 * * *" (queue/cron.h), required
    char *time_zone;          // "UTC"
    char *queue;              // "default"
    char *kind;               // the schedule's name unless set
    char *payload;            // ""
    uint32_t line, column;
    char *file;
} fb_schedule_options;

extern const fb_option fb_queue_options_table[];
extern const fb_option fb_queue_store_options_table[];
extern const fb_option fb_schedule_options_table[];

// The queues that are there before any is declared: default, mail (worker: mail); as
// fb_limit_builtins.
typedef struct fb_queue_builtin {
    const char *name, *text;
} fb_queue_builtin;
extern const fb_queue_builtin fb_queue_builtins[];

// What only the whole shows: a webhook without its URL, a retry_max below retry_delay, a cron
// expression. FB_EINVAL, FB_ERANGE, FB_ECONFLICT: *option is which, of size bytes; error->text why.
FB_CHECK_RESULT int fb_queue_options_check(const fb_queue_options *options, char *option,
                                           size_t size, fb_error *error);
FB_CHECK_RESULT int fb_schedule_options_check(const fb_schedule_options *options, char *option,
                                              size_t size, fb_error *error);

// What a store looks at, in milliseconds.
typedef struct fb_queue_policy {
    int64_t retry_delay_ms, retry_max_ms, dead_keep_ms;
    uint32_t dead_max, jobs_max, partitions;
} fb_queue_policy;
void fb_queue_policy_of(const fb_queue_options *options, fb_queue_policy *policy);

#ifdef __cplusplus
}
#endif

#endif
