// The options of a queue, of the store and of a schedule, one row each, and what only the whole of
// one shows. Everything that a store computes from them stays below 2^53 milliseconds.

#include "queue/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "base/units.h"
#include "queue/cron.h"

// A line and its column are one place to the table.
_Static_assert(offsetof(fb_queue_options, column) ==
                   offsetof(fb_queue_options, line) + sizeof(uint32_t), "line");
_Static_assert(offsetof(fb_schedule_options, column) ==
                   offsetof(fb_schedule_options, line) + sizeof(uint32_t), "line");
_Static_assert(offsetof(fb_queue_options, name) == 0, "a named element starts with its name");
_Static_assert(offsetof(fb_schedule_options, name) == 0, "a named element starts with its name");

#define HOUR_NS (3600 * FB_NS_PER_S)
#define YEAR_NS (INT64_C(365) * 24 * HOUR_NS)
#define TIMEOUT_DEFAULT_NS (30 * FB_NS_PER_S)
#define CONCURRENCY_DEFAULT 4

// A relay that is away for an hour or two must not cost a mail: its attempts go on for three hours,
// but a mail that expires (a code to sign in with) is given up then.
// A mail may take longer than its lease, which is extended meanwhile; after a crash of the worker it is
// how long the mail waits.
const fb_queue_builtin fb_queue_builtins[] = {
    {"default", "{worker: none}"},
    {"mail", "{worker: mail, attempts: 20, retry_delay: 5s, retry_max: 15m, lease: 30s}"},
    {NULL, NULL},
};

#define MEMBER(member) .offset = offsetof(fb_queue_options, member), .reloadable = true

const fb_option fb_queue_options_table[] = {
    {.name = "enabled", .type = FB_OPTION_BOOL, MEMBER(enabled), .default_text = "true",
     .help = "false: there is no such queue; jobs that it has stay where they are."},
    {.name = "worker", .type = FB_OPTION_CHOICE, MEMBER(worker), .choices = "none|mail|webhook",
     .default_text = "none",
     .help = "Who does its jobs. none: workers that come by themselves (RESP, HTTP, C). mail: "
             "sends them as mails. webhook: posts them to `url`."},
    {.name = "concurrency", .type = FB_OPTION_COUNT, MEMBER(concurrency), .default_text = "4",
     .min = 1, .max = 1000, .help = "Jobs that its own worker does at a time, on each node."},
    {.name = "priority", .type = FB_OPTION_COUNT, MEMBER(priority), .default_text = "5",
     .max = FB_JOB_PRIORITIES - 1,
     .help = "Of jobs that say none: 0 (urgent) to 9. What was passed over eight times is next."},
    {.name = "attempts", .type = FB_OPTION_COUNT, MEMBER(attempts), .default_text = "3", .min = 1,
     .max = 1000, .help = "How often a job is tried in all, crashes of its worker included."},
    {.name = "retry_delay", .type = FB_OPTION_DURATION, MEMBER(retry_delay_ns),
     .default_text = "10s", .max = YEAR_NS,
     .help = "After the first failure; doubled with each, up to `retry_max`. Of each delay half "
             "is left to chance."},
    {.name = "retry_max", .type = FB_OPTION_DURATION, MEMBER(retry_max_ns), .default_text = "10m",
     .max = YEAR_NS, .help = "The longest delay between two attempts."},
    {.name = "lease", .type = FB_OPTION_DURATION, MEMBER(lease_ns), .default_text = "5m",
     .min = FB_NS_PER_S, .max = 24 * HOUR_NS,
     .help = "How long a worker may be silent before its job is given to another one."},
    {.name = "expires", .type = FB_OPTION_DURATION, MEMBER(expires_ns), .default_text = "0",
     .max = YEAR_NS, .help = "A job that was not begun by then is given up; 0: never."},
    {.name = "dead_keep", .type = FB_OPTION_DURATION, MEMBER(dead_keep_ns), .default_text = "1w",
     .max = 100 * YEAR_NS, .help = "How long jobs that were given up are kept; 0: not at all."},
    {.name = "dead_max", .type = FB_OPTION_COUNT, MEMBER(dead_max), .default_text = "10000",
     .max = 100000000,
     .help = "How many jobs that were given up are kept; the oldest go first."},
    {.name = "payload_max", .type = FB_OPTION_BYTES, MEMBER(payload_max), .default_text = "1MiB",
     .min = 1, .max = 64 << 20, .help = "The largest payload that is taken."},
    {.name = "jobs_max", .type = FB_OPTION_COUNT, MEMBER(jobs_max), .default_text = "0",
     .max = 1000000000,
     .help = "How many jobs it may have (but those that were given up); 0: as many as there is "
             "room for."},
    {.name = "partitions", .type = FB_OPTION_COUNT, MEMBER(partitions), .default_text = "1",
     .min = 1, .max = 64,
     .help = "In Redis: its jobs are kept in so many parts, that a Cluster may keep on several "
             "nodes. Order is kept within each."},
    {.name = "url", .type = FB_OPTION_TEXT, MEMBER(url), .min = 1, .max = 2048,
     .secret = FB_OPTION_SECRET_URL, .help = "webhook: where jobs are posted."},
    {.name = "secret", .type = FB_OPTION_TEXT, MEMBER(secret), .min = 1, .max = 1024,
     .secret = FB_OPTION_SECRET,
     .help = "webhook: what jobs are signed with, so that the application knows who posts them."},
    {.name = "timeout", .type = FB_OPTION_DURATION, MEMBER(timeout_ns), .default_text = "30s",
     .min = FB_NS_PER_MS, .max = 24 * HOUR_NS,
     .help = "webhook: how long the application may take for a job."},
    {.name = NULL},
};

#undef MEMBER
#define MEMBER(member) .offset = offsetof(fb_queue_store_options, member)

const fb_option fb_queue_store_options_table[] = {
    {.name = "store", .type = FB_OPTION_CHOICE, MEMBER(store), .choices = "auto|journal|redis",
     .default_text = "auto",
     .help = "Where jobs are kept. journal: in `file`, for this node alone. redis: in the shared "
             "tier, for all nodes. auto: there, if there is one."},
    {.name = "file", .type = FB_OPTION_PATH, MEMBER(file), .default_text = "forebay-queue.db",
     .help = "The journal (SQLite)."},
    {.name = "durability", .type = FB_OPTION_CHOICE, MEMBER(durability),
     .choices = "power|process", .default_text = "power",
     .help = "What an accepted job survives. power: a power cut. process: the end of the process; "
             "a power cut may take the last moments with it."},
    {.name = "allow_volatile", .type = FB_OPTION_BOOL, MEMBER(allow_volatile),
     .default_text = "false",
     .help = "Jobs go into a Redis that may evict them, or that keeps no log of its own, too."},
    {.name = "timeout", .type = FB_OPTION_DURATION, MEMBER(timeout_ns), .reloadable = true,
     .default_text = "5s", .min = 10 * FB_NS_PER_MS, .max = 60 * FB_NS_PER_S,
     .help = "How long the store is waited for."},
    {.name = NULL},
};

#undef MEMBER
#define MEMBER(member) .offset = offsetof(fb_schedule_options, member), .reloadable = true

const fb_option fb_schedule_options_table[] = {
    {.name = "enabled", .type = FB_OPTION_BOOL, MEMBER(enabled), .default_text = "true",
     .help = "false: it makes no jobs."},
    {.name = "cron", .type = FB_OPTION_TEXT, MEMBER(cron), .required = true, .min = 1, .max = 256,
     .help = "When: minute, hour, day of the month, month and day of the week, as in crontab(5), "
             "or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`."},
    {.name = "time_zone", .type = FB_OPTION_TEXT, MEMBER(time_zone), .default_text = "UTC",
     .min = 1, .max = 64, .help = "Of `cron`: `UTC`, `Europe/Berlin`, `+02:00`."},
    {.name = "queue", .type = FB_OPTION_TEXT, MEMBER(queue), .default_text = "default", .min = 1,
     .max = FB_QUEUE_NAME_MAX, .help = "Where its jobs go."},
    {.name = "kind", .type = FB_OPTION_TEXT, MEMBER(kind), .min = 1, .max = FB_JOB_KIND_MAX,
     .help = "The kind of its jobs; not set: its name."},
    {.name = "payload", .type = FB_OPTION_TEXT, MEMBER(payload), .default_text = "", .max = 1 << 20,
     .help = "What its jobs say."},
    {.name = NULL},
};

// ---- what only the whole shows

typedef struct checker {
    char *option;
    size_t size;
    fb_error *error;
} checker;

FB_PRINTF(4, 5)
static int refuse(const checker *c, const char *option, int code, const char *format, ...) {
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)snprintf(c->option, c->size, "%s", option);
    return fb_error_set(c->error, code, "%s", text);
}

static bool starts(const char *text, const char *prefix) {
    return fb_str_starts(fb_str_of(text), fb_str_of(prefix));
}

static int check_webhook(const checker *c, const fb_queue_options *options) {
    if (options->worker == FB_QUEUE_WORKER_WEBHOOK) {
        if (options->url == NULL) {
            return refuse(c, "url", FB_EINVAL,
                          "required, but not set: a webhook posts its jobs there");
        }
        if (!starts(options->url, "http://") && !starts(options->url, "https://")) {
            return refuse(c, "url", FB_EINVAL, "expected http://… or https://…");
        }
        return FB_OK;
    }
    const char *alone = options->url != NULL                       ? "url"
                        : options->secret != NULL                  ? "secret"
                        : options->timeout_ns != TIMEOUT_DEFAULT_NS ? "timeout" : NULL;
    return alone == NULL ? FB_OK
                         : refuse(c, alone, FB_ECONFLICT,
                                  "only a queue with `worker: webhook` has it");
}

static int check_kind(const checker *c, const char *kind) {
    for (const char *at = kind; at != NULL && *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return refuse(c, "kind", FB_EINVAL, "it has a control character");
        }
    }
    return FB_OK;
}

int fb_queue_options_check(const fb_queue_options *options, char *option, size_t size,
                           fb_error *error) {
    checker c = {option, size, error};

    FB_ASSERT(size > 0);
    if (!options->enabled) {
        return FB_OK;
    }
    if (options->retry_max_ns < options->retry_delay_ns) {
        return refuse(&c, "retry_max", FB_ECONFLICT,
                      "it is below retry_delay, which it is the most of");
    }
    if (options->worker == FB_QUEUE_WORKER_NONE && options->concurrency != CONCURRENCY_DEFAULT) {
        return refuse(&c, "concurrency", FB_ECONFLICT,
                      "only a queue with a worker of its own has it");
    }
    return check_webhook(&c, options);
}

static int64_t no_offset(void *zone, int64_t utc_ms) {
    (void)zone;
    (void)utc_ms;
    return 0;
}

int fb_schedule_options_check(const fb_schedule_options *options, char *option, size_t size,
                              fb_error *error) {
    checker c = {option, size, error};
    fb_error why;
    fb_cron cron;

    FB_ASSERT(size > 0);
    if (!options->enabled) {
        return FB_OK;
    }
    if (options->cron == NULL) {
        return refuse(&c, "cron", FB_EINVAL, "required, but not set");
    }
    int result = fb_cron_parse(fb_str_of(options->cron), &cron, &why);
    if (result != FB_OK) {
        return refuse(&c, "cron", result, "%s, at column %u of it", why.text, why.column);
    }
    if (fb_cron_next(&cron, 0, no_offset, NULL) == INT64_MAX) {
        return refuse(&c, "cron", FB_ERANGE, "it is never due: its months have no such day");
    }
    return check_kind(&c, options->kind);
}

void fb_queue_policy_of(const fb_queue_options *options, fb_queue_policy *policy) {
    *policy = (fb_queue_policy){
        .retry_delay_ms = options->retry_delay_ns / FB_NS_PER_MS,
        .retry_max_ms = options->retry_max_ns / FB_NS_PER_MS,
        .dead_keep_ms = options->dead_keep_ns / FB_NS_PER_MS,
        .dead_max = options->dead_max,
        .jobs_max = options->jobs_max,
        .partitions = options->partitions,
    };
}
