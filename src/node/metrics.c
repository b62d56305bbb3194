// GET /metrics: the text format 0.0.4 of Prometheus. Sums over classes are the reader's to make, so
// there is no row for all of them. Plain keys have the label class="".
//
// Class names and rules of limits are letters, digits and '_': nothing in a label needs an escape.
// Keys of limits are no labels: there are as many as there are clients.

#include "node/route.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/advice.h"
#include "node/later.h"
#include "node/metrics.h"
#include "node/verdict.h"
#include "node/watch.h"

typedef fb_metrics writer;

#define PUT FB_METRICS_PUT

void fb_metrics_head(fb_metrics *self, const char *name, const char *type, const char *help) {
    PUT(self, "# HELP forebay_%s %s\n# TYPE forebay_%s %s\n", name, help, name, type);
}

static void head(writer *self, const char *name, const char *type, const char *help) {
    fb_metrics_head(self, name, type, help);
}

// ---- of classes

typedef struct counter {
    const char *name, *help;
    size_t offset;
} counter;

static const counter COUNTERS[] = {
#define ROW(field, help) {"cache_" #field "_total", help, offsetof(fb_cache_figures, field)},
    FB_CACHE_COUNTERS(ROW)
#undef ROW
};

static void put_counters(writer *self, const fb_stats *stats) {
    for (size_t i = 0; i < sizeof COUNTERS / sizeof COUNTERS[0]; i++) {
        head(self, COUNTERS[i].name, "counter", COUNTERS[i].help);
        for (size_t at = 0; at < stats->class_count; at++) {
            const fb_cache_figures *one = &stats->classes[at];
            const uint64_t *value =
                (const uint64_t *)(const void *)((const char *)one + COUNTERS[i].offset);
            PUT(self, "forebay_%s{class=\"%s\"} %llu\n", COUNTERS[i].name, one->name,
                (unsigned long long)*value);
        }
    }
}

static void put_latency(writer *self, const char *class_name, const char *outcome,
                        const fb_latency *latency, const uint64_t *within) {
    char labels[128];
    (void)snprintf(labels, sizeof labels, "class=\"%s\",outcome=\"%s\"", class_name, outcome);
    for (size_t i = 0; i < FB_LATENCY_BOUND_COUNT; i++) {
        PUT(self, "forebay_cache_latency_seconds_bucket{%s,le=\"%g\"} %llu\n", labels,
            (double)fb_latency_bound_us(i) / 1e6, (unsigned long long)within[i]);
    }
    PUT(self, "forebay_cache_latency_seconds_bucket{%s,le=\"+Inf\"} %llu\n", labels,
        (unsigned long long)latency->count);
    PUT(self, "forebay_cache_latency_seconds_sum{%s} %.9g\n", labels,
        latency->mean_ms * (double)latency->count / 1000);
    PUT(self, "forebay_cache_latency_seconds_count{%s} %llu\n", labels,
        (unsigned long long)latency->count);
}

// Without a shared tier there are no rows of it.
static void put_latencies(writer *self, const fb_stats *stats) {
    head(self, "cache_latency_seconds", "histogram",
         "how long reads took that hit and that missed, and what was asked for them: the source and "
         "the shared tier alone; hits by sample");
    for (size_t i = 0; i < stats->class_count; i++) {
        const fb_cache_figures *one = &stats->classes[i];
        put_latency(self, one->name, "hit", &one->hit, one->hit_within);
        put_latency(self, one->name, "miss", &one->miss, one->miss_within);
        put_latency(self, one->name, "load", &one->load, one->load_within);
        if (one->shared.count > 0) {
            put_latency(self, one->name, "shared", &one->shared, one->shared_within);
        }
    }
}

// ---- of the whole

static void put_one(writer *self, const char *name, const char *type, const char *help,
                    uint64_t value) {
    head(self, name, type, help);
    PUT(self, "forebay_%s %llu\n", name, (unsigned long long)value);
}

static void put_engine(writer *self, const fb_stats *stats) {
    put_one(self, "entries", "gauge", "entries in memory", stats->entries);
    put_one(self, "memory_bytes", "gauge", "memory in use, bookkeeping included",
            stats->memory_bytes);
    put_one(self, "memory_limit_bytes", "gauge", "the limit of that", stats->memory_limit_bytes);
    put_one(self, "evictions_total", "counter", "entries that left for want of room",
            stats->evictions);
    put_one(self, "expirations_total", "counter", "entries that left because their time was over",
            stats->expirations);
    put_one(self, "loads_running", "gauge", "loads that sources work on", stats->loads_running);
    put_one(self, "loads_waiting", "gauge", "loads that wait for that", stats->loads_waiting);
    put_one(self, "loops", "gauge", "event loops", stats->loops);
    put_one(self, "workers", "gauge", "threads for work that blocks", stats->workers);
    head(self, "uptime_seconds", "gauge", "since the start");
    PUT(self, "forebay_uptime_seconds %.3f\n", (double)stats->uptime_ms / 1000);
}

static void put_doors(writer *self, const fb_node *node) {
    put_one(self, "connections", "gauge", "clients connected", node->connections);
    put_one(self, "connections_accepted_total", "counter", "clients that came",
            node->connections_total);
    put_one(self, "connections_refused_total", "counter", "clients that were one too many",
            node->connections_refused);
    put_one(self, "connections_max", "gauge", "clients that may be connected at once",
            node->connections_max);
    head(self, "connections_closed_total", "counter", "clients closed for what they did not keep to");
    const struct {
        const char *why;
        uint64_t count;
    } closed[] = {{"idle", node->closed_idle},
                  {"output", node->closed_output},
                  {"query", node->closed_query},
                  {"slow", node->closed_stuck}};
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++) {
        PUT(self, "forebay_connections_closed_total{reason=\"%s\"} %llu\n", closed[i].why,
            (unsigned long long)closed[i].count);
    }
    put_one(self, "tls_failures_total", "counter", "TLS handshakes that came to nothing",
            node->tls_failed);
    put_one(self, "connections_blocked", "gauge", "commands and requests that wait for jobs",
            node->blocked);
    put_one(self, "resp_commands_total", "counter", "commands of RESP clients", node->commands);
    put_one(self, "http_requests_total", "counter", "requests of HTTP clients",
            node->http_requests);
    put_one(self, "received_bytes_total", "counter", "bytes that clients sent", node->bytes_in);
    put_one(self, "sent_bytes_total", "counter", "bytes that clients took", node->bytes_out);
}

// Nothing where nobody looks at them.
static void put_targets(writer *self, const fb_node *node, const fb_stats *stats) {
    fb_target targets[FB_TARGET_COUNT];
    if (node->watch == NULL) {
        return;
    }
    fb_advice_targets(stats, targets);
    head(self, "target_missed", "gauge", "whether a target is missed, of the last minute");
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        PUT(self, "forebay_target_missed{target=\"%s\"} %d\n", targets[i].name,
            fb_watch_read(node->watch, i, 0).met == FB_MET_NO);
    }
    head(self, "loop_lag_seconds", "gauge", "the longest that a loop owes a sign of life");
    PUT(self, "forebay_loop_lag_seconds %.3f\n",
        (double)atomic_load_explicit(&node->loop_lag_ns, memory_order_relaxed) / 1e9);
}

static void put_shared_counter(void *arg, const char *name, const char *help, uint64_t value) {
    char whole[64];
    (void)snprintf(whole, sizeof whole, "shared_%s_total", name);
    put_one(arg, whole, "counter", help, value);
}

// Nothing where no shared tier is configured.
static void put_shared(writer *self, fb_engine *engine, const fb_shared_info *shared) {
    if (shared->state == FB_SHARED_NONE) {
        return;
    }
    put_one(self, "shared_up", "gauge", "whether the shared tier is reached",
            shared->state == FB_SHARED_CONNECTED || shared->state == FB_SHARED_CATCHING_UP);
    put_one(self, "shared_partitions", "gauge", "partitions of the keys", shared->partitions);
    put_one(self, "shared_partitions_degraded", "gauge",
            "of them: not known to be in step with the other nodes", shared->degraded);
    put_one(self, "shared_owed", "gauge", "changes that it has not been told yet", shared->owed);
    if (shared->lag_ms >= 0) {
        head(self, "shared_lag_seconds", "gauge",
             "since this node was last in step with every other");
        PUT(self, "forebay_shared_lag_seconds %.3f\n", (double)shared->lag_ms / 1000);
    }
    fb_shared_counters(engine, put_shared_counter, self);
}

// ---- of limits

typedef struct limit_metric {
    const char *name, *type, *help;
    size_t offset;
} limit_metric;

static const limit_metric LIMIT_METRICS[] = {
#define ROW(field, help) \
    {"limit_" #field "_total", "counter", help, offsetof(fb_limit_figures, field)},
    FB_LIMIT_COUNTERS(ROW)
#undef ROW
    {"limit_keys", "gauge", "keys in the memory of this process", offsetof(fb_limit_figures, keys)},
    {"limit_keys_max", "gauge", "how many there may be", offsetof(fb_limit_figures, keys_max)},
    {"limit_bytes", "gauge", "memory that they take", offsetof(fb_limit_figures, bytes)},
};

static void put_limits(writer *self, const fb_rule_figures *rules, size_t count) {
    for (size_t i = 0; count > 0 && i < sizeof LIMIT_METRICS / sizeof LIMIT_METRICS[0]; i++) {
        const limit_metric *metric = &LIMIT_METRICS[i];
        head(self, metric->name, metric->type, metric->help);
        for (size_t at = 0; at < count; at++) {
            const fb_limit_figures *one = &rules[at].figures;
            const uint64_t *value =
                (const uint64_t *)(const void *)((const char *)one + metric->offset);
            PUT(self, "forebay_%s{rule=\"%s\"} %llu\n", metric->name, one->name,
                (unsigned long long)*value);
        }
    }
}

static void put_all_limits(writer *self, fb_engine *engine) {
    fb_rule_figures *rules = NULL;
    size_t count = 0;
    if (self->result == FB_OK) {
        self->result = fb_rules_read(engine, &rules, &count);
    }
    put_limits(self, rules, count);
    fb_mem_free(rules);
}

// Queues that were not looked at lately have to be asked for: so the answer may come later.
typedef struct scrape {
    fb_later later;
    fb_node *node;
} scrape;

static int write_all(const scrape *one, const fb_queue_figures *queues, size_t count) {
    fb_stats stats;
    fb_http_response *response = one->later.target;
    fb_engine *engine = one->node->engine;
    writer self = {&response->body, FB_OK};
    int result = fb_stats_read(engine, &stats);
    if (result < 0) {
        return result;
    }
    response->status = 200;
    fb_http_header_add(response, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    head(&self, "info", "gauge", "the version that runs");
    PUT(&self, "forebay_info{version=\"%s\"} 1\n", fb_version());
    put_counters(&self, &stats);
    put_latencies(&self, &stats);
    put_engine(&self, &stats);
    put_doors(&self, one->node);
    put_targets(&self, one->node, &stats);
    put_shared(&self, engine, &stats.shared);
    put_all_limits(&self, engine);
    fb_metrics_queues(&self, queues, count);
    fb_metrics_mails(&self, engine);
    fb_stats_release(&stats);
    return self.result;
}

static void answer(void *arg, int result, const fb_queue_figures *queues, size_t count) {
    scrape *one = arg;
    result = result < 0 ? result : write_all(one, queues, count);
    if (result < 0) {
        fb_http_failure(one->later.target, result, NULL);
    }
    if (fb_later_answered(&one->later)) {
        fb_mem_free(one);
    }
}

int fb_route_metrics(fb_http_call *call) {
    scrape *one = fb_mem_new(sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    one->node = call->node;
    fb_later_begin(&one->later, call);
    fb_roll_read(call->node->engine, answer, one);
    int result = fb_later_end(&one->later);
    if (result == FB_OK) {
        fb_mem_free(one);
    }
    return result;
}
