// GET /metrics: the text format 0.0.4 of Prometheus. Sums over classes are the reader's to make, so
// there is no row for all of them. Plain keys have the label class="".
//
// Class names are letters, digits and '_': nothing in a label needs an escape.

#include "node/route.h"

#include <stdio.h>

#include "base/str.h"

typedef struct writer {
    fb_buf *out;
    int result;
} writer;

#define PUT(self, ...)                                                \
    do {                                                              \
        if ((self)->result == FB_OK) {                                \
            (self)->result = fb_buf_printf((self)->out, __VA_ARGS__); \
        }                                                             \
    } while (0)

static void head(writer *self, const char *name, const char *type, const char *help) {
    PUT(self, "# HELP forebay_%s %s\n# TYPE forebay_%s %s\n", name, help, name, type);
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

static void put_quantile(writer *self, const char *labels, const char *quantile, double ms) {
    PUT(self, "forebay_cache_latency_seconds{%s,quantile=\"%s\"} %.9g\n", labels, quantile,
        ms / 1000);
}

static void put_latency(writer *self, const char *class_name, const char *outcome,
                        const fb_latency *latency) {
    char labels[128];
    (void)snprintf(labels, sizeof labels, "class=\"%s\",outcome=\"%s\"", class_name, outcome);
    put_quantile(self, labels, "0.5", latency->p50_ms);
    put_quantile(self, labels, "0.95", latency->p95_ms);
    put_quantile(self, labels, "0.99", latency->p99_ms);
    PUT(self, "forebay_cache_latency_seconds_sum{%s} %.9g\n", labels,
        latency->mean_ms * (double)latency->count / 1000);
    PUT(self, "forebay_cache_latency_seconds_count{%s} %llu\n", labels,
        (unsigned long long)latency->count);
}

static void put_latencies(writer *self, const fb_stats *stats) {
    head(self, "cache_latency_seconds", "summary",
         "how long reads took that hit and that missed, and the source's loads; hits by sample");
    for (size_t i = 0; i < stats->class_count; i++) {
        const fb_cache_figures *one = &stats->classes[i];
        put_latency(self, one->name, "hit", &one->hit);
        put_latency(self, one->name, "miss", &one->miss);
        put_latency(self, one->name, "load", &one->load);
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
    put_one(self, "resp_commands_total", "counter", "commands of RESP clients", node->commands);
    put_one(self, "http_requests_total", "counter", "requests of HTTP clients",
            node->http_requests);
    put_one(self, "received_bytes_total", "counter", "bytes that clients sent", node->bytes_in);
    put_one(self, "sent_bytes_total", "counter", "bytes that clients took", node->bytes_out);
}

int fb_route_metrics(fb_http_call *call) {
    fb_stats stats;
    writer self = {&call->response->body, FB_OK};
    int result = fb_stats_read(call->node->engine, &stats);
    if (result < 0) {
        return result;
    }
    call->response->status = 200;
    fb_http_header_add(call->response, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    head(&self, "info", "gauge", "the version that runs");
    PUT(&self, "forebay_info{version=\"%s\"} 1\n", fb_version());
    put_counters(&self, &stats);
    put_latencies(&self, &stats);
    put_engine(&self, &stats);
    put_doors(&self, call->node);
    fb_stats_release(&stats);
    return self.result;
}
