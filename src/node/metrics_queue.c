// Rows of queues and of mails. Prometheus wants all rows of a metric together: so the figures of all
// are copied first.
//
// A queue whose store does not answer has no lengths: they are unknown, not zero. What failures said is
// the first bytes of a worker's text, of the eight most frequent: the one label that may have any bytes.

#include "node/metrics.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "base/str.h"

#define PUT FB_METRICS_PUT

enum { LABEL_SIZE = 400 };

// ---- copying

typedef struct reading {
    void *rows;
    size_t count, room, size;
    bool failed;
} reading;

static void take(reading *one, const void *row) {
    if (one->count == one->room && !one->failed) {
        size_t room = one->room > 0 ? 2 * one->room : 8;
        void *rows = fb_mem_resize(one->rows, room * one->size);
        one->failed = rows == NULL;
        one->rows = rows != NULL ? rows : one->rows;
        one->room = rows != NULL ? room : one->room;
    }
    if (!one->failed) {
        memcpy((char *)one->rows + one->count * one->size, row, one->size);
        one->count++;
    }
}

static void take_relay(void *arg, const fb_mail_figures *figures) {
    take(arg, figures);
}

// Quotes, backslashes and line ends escaped; what is no UTF-8 is '?'.
static const char *label(const char *text, char out[LABEL_SIZE]) {
    fb_str rest = fb_str_of(text);
    size_t len = 0;
    while (rest.len > 0 && len < LABEL_SIZE - 8) {
        size_t used;
        bool valid = fb_utf8_next(rest, &used) >= 0;
        char first = rest.ptr[0];
        if (!valid) {
            out[len++] = '?';
        } else if (first == '"' || first == '\\') {
            out[len++] = '\\';
            out[len++] = first;
        } else if ((unsigned char)first < 0x20) {
            out[len++] = ' ';
        } else {
            memcpy(out + len, rest.ptr, used);
            len += used;
        }
        rest = fb_str_make(rest.ptr + used, rest.len - used);
    }
    out[len] = '\0';
    return out;
}

// ---- queues

typedef struct counter {
    const char *name, *help;
    size_t offset;
} counter;

static const counter QUEUE_COUNTERS[] = {
#define ROW(field, help) {"queue_" #field "_total", help, offsetof(fb_queue_figures, field)},
    FB_QUEUE_COUNTERS(ROW)
#undef ROW
};

static const counter MAIL_COUNTERS[] = {
#define ROW(field, help) {"mail_" #field "_total", help, offsetof(fb_mail_figures, field)},
    FB_MAIL_COUNTERS(ROW)
#undef ROW
};

static unsigned long long value_at(const void *row, size_t offset) {
    return *(const uint64_t *)(const void *)((const char *)row + offset);
}

static void put_lengths(fb_metrics *self, const fb_queue_figures *queues, size_t count) {
    fb_metrics_head(self, "queue_jobs", "gauge", "jobs by state");
    for (size_t i = 0; i < count; i++) {
        for (int state = 0; queues[i].reachable && state < FB_JOB_STATE_COUNT; state++) {
            PUT(self, "forebay_queue_jobs{queue=\"%s\",state=\"%s\"} %llu\n", queues[i].name,
                fb_job_state_text((fb_job_state)state),
                (unsigned long long)queues[i].look.counts[state]);
        }
    }
    fb_metrics_head(self, "queue_ready_jobs", "gauge", "jobs that are ready, by priority");
    for (size_t i = 0; i < count; i++) {
        for (int level = 0; queues[i].reachable && level < FB_JOB_PRIORITIES; level++) {
            PUT(self, "forebay_queue_ready_jobs{queue=\"%s\",priority=\"%d\"} %llu\n",
                queues[i].name, level, (unsigned long long)queues[i].look.ready[level]);
        }
    }
}

static void put_states(fb_metrics *self, const fb_queue_figures *queues, size_t count) {
    fb_metrics_head(self, "queue_oldest_ready_seconds", "gauge",
                    "age of the job that is ready longest; 0: none is");
    for (size_t i = 0; i < count; i++) {
        if (queues[i].reachable) {
            PUT(self, "forebay_queue_oldest_ready_seconds{queue=\"%s\"} %.3f\n", queues[i].name,
                (double)queues[i].look.oldest_ms / 1000);
        }
    }
    fb_metrics_head(self, "queue_paused", "gauge", "whether nothing is reserved from it");
    for (size_t i = 0; i < count; i++) {
        if (queues[i].reachable) {
            PUT(self, "forebay_queue_paused{queue=\"%s\"} %d\n", queues[i].name,
                queues[i].look.paused);
        }
    }
    fb_metrics_head(self, "queue_up", "gauge", "whether its store answers");
    for (size_t i = 0; i < count; i++) {
        PUT(self, "forebay_queue_up{queue=\"%s\",store=\"%s\"} %d\n", queues[i].name,
            queues[i].store, queues[i].reachable);
    }
}

static void put_counters(fb_metrics *self, const fb_queue_figures *queues, size_t count) {
    for (size_t i = 0; i < sizeof QUEUE_COUNTERS / sizeof QUEUE_COUNTERS[0]; i++) {
        const counter *one = &QUEUE_COUNTERS[i];
        fb_metrics_head(self, one->name, "counter", one->help);
        for (size_t at = 0; at < count; at++) {
            PUT(self, "forebay_%s{queue=\"%s\"} %llu\n", one->name, queues[at].name,
                value_at(&queues[at], one->offset));
        }
    }
}

static void put_times_of(fb_metrics *self, const char *name, const char *queue,
                         const struct fb_queue_times *times) {
    const struct {
        const char *quantile;
        uint64_t us;
    } quantiles[] = {{"0.5", times->p50_us}, {"0.95", times->p95_us}, {"0.99", times->p99_us}};
    for (size_t i = 0; i < 3; i++) {
        PUT(self, "forebay_%s{queue=\"%s\",quantile=\"%s\"} %.9g\n", name, queue,
            quantiles[i].quantile, (double)quantiles[i].us / 1e6);
    }
    PUT(self, "forebay_%s_sum{queue=\"%s\"} %.9g\n", name, queue,
        (double)times->mean_us * (double)times->count / 1e6);
    PUT(self, "forebay_%s_count{queue=\"%s\"} %llu\n", name, queue,
        (unsigned long long)times->count);
}

static void put_times(fb_metrics *self, const fb_queue_figures *queues, size_t count) {
    static const struct {
        const char *name, *help;
        size_t offset;
    } TIMES[] = {
        {"queue_enqueue_seconds", "until an enqueue was answered",
         offsetof(fb_queue_figures, enqueue)},
        {"queue_wait_seconds", "from when a job was ready until it was claimed",
         offsetof(fb_queue_figures, wait)},
        {"queue_run_seconds", "from when a job was claimed until it was finished",
         offsetof(fb_queue_figures, run)},
    };
    for (size_t i = 0; i < sizeof TIMES / sizeof TIMES[0]; i++) {
        fb_metrics_head(self, TIMES[i].name, "summary", TIMES[i].help);
        for (size_t at = 0; at < count; at++) {
            const void *times = (const char *)&queues[at] + TIMES[i].offset;
            put_times_of(self, TIMES[i].name, queues[at].name, times);
        }
    }
}

static void put_reasons(fb_metrics *self, const fb_queue_figures *queues, size_t count) {
    char text[LABEL_SIZE];
    size_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any += queues[i].reason_count;
    }
    if (any == 0) {
        return;
    }
    fb_metrics_head(self, "queue_failures", "gauge",
                    "attempts that failed, by what was said first; the most frequent, about");
    for (size_t i = 0; i < count; i++) {
        for (uint32_t at = 0; at < queues[i].reason_count; at++) {
            PUT(self, "forebay_queue_failures{queue=\"%s\",reason=\"%s\"} %llu\n", queues[i].name,
                label(queues[i].reasons[at].text, text),
                (unsigned long long)queues[i].reasons[at].count);
        }
    }
}

void fb_metrics_queues(fb_metrics *self, const fb_queue_figures *queues, size_t count) {
    if (count > 0) {
        put_lengths(self, queues, count);
        put_states(self, queues, count);
        put_counters(self, queues, count);
        put_times(self, queues, count);
        put_reasons(self, queues, count);
    }
}

// ---- mails

static void put_relays(fb_metrics *self, const fb_mail_figures *relays, size_t count) {
    char text[LABEL_SIZE];
    fb_metrics_head(self, "mail_relay_up", "gauge", "whether mails are given to it");
    for (size_t i = 0; i < count; i++) {
        PUT(self, "forebay_mail_relay_up{relay=\"%s\"} %d\n", label(relays[i].relay, text),
            relays[i].up);
    }
    for (size_t i = 0; i < sizeof MAIL_COUNTERS / sizeof MAIL_COUNTERS[0]; i++) {
        const counter *one = &MAIL_COUNTERS[i];
        fb_metrics_head(self, one->name, "counter", one->help);
        for (size_t at = 0; at < count; at++) {
            PUT(self, "forebay_%s{relay=\"%s\"} %llu\n", one->name, label(relays[at].relay, text),
                value_at(&relays[at], one->offset));
        }
    }
    fb_metrics_head(self, "mail_sending_seconds", "summary", "how long one sending took");
    for (size_t i = 0; i < count; i++) {
        const char *relay = label(relays[i].relay, text);
        PUT(self, "forebay_mail_sending_seconds{relay=\"%s\",quantile=\"0.5\"} %.9g\n", relay,
            (double)relays[i].p50_us / 1e6);
        PUT(self, "forebay_mail_sending_seconds{relay=\"%s\",quantile=\"0.99\"} %.9g\n", relay,
            (double)relays[i].p99_us / 1e6);
    }
}

void fb_metrics_mails(fb_metrics *self, fb_engine *engine) {
    reading one = {.size = sizeof(fb_mail_figures)};
    int result = fb_mail_figures_read(engine, take_relay, &one);
    if (self->result == FB_OK) {
        self->result = one.failed ? FB_ENOMEM : result;
    }
    if (one.count > 0) {
        put_relays(self, one.rows, one.count);
    }
    fb_mem_free(one.rows);
}
