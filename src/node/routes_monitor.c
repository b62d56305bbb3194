// GET of the monitoring documents, /v1/stats, /healthz and /readyz.

#include "node/route.h"

#include "base/str.h"
#include "node/gain.h"
#include "node/monitor.h"
#include "node/say.h"

typedef void (*document_fn)(const fb_stats *stats, int64_t wall_us, fb_reply *reply);

static int write_document(fb_http_call *call, document_fn document) {
    fb_reply reply;
    fb_stats stats;
    int result = fb_stats_read(call->node->engine, &stats);
    if (result < 0) {
        return result;
    }
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    document(&stats, call->node->wall_us(), &reply);
    fb_stats_release(&stats);
    return fb_http_json_end(&reply);
}

int fb_route_cache_stats(fb_http_call *call) {
    return write_document(call, fb_monitor_stats);
}

int fb_route_cache_metrics(fb_http_call *call) {
    return write_document(call, fb_monitor_metrics);
}

int fb_route_cache_status(fb_http_call *call) {
    return write_document(call, fb_monitor_status);
}

int fb_route_dashboard(fb_http_call *call) {
    return write_document(call, fb_monitor_dashboard);
}

// ---- /v1/stats

static void say_latency(fb_reply *reply, const char *name, const fb_latency *latency) {
    fb_reply_text(reply, name);
    fb_reply_map(reply, 6);
    fb_say_count(reply, "count", latency->count);
    fb_say_ms(reply, "mean_ms", latency->mean_ms);
    fb_say_ms(reply, "p50_ms", latency->p50_ms);
    fb_say_ms(reply, "p95_ms", latency->p95_ms);
    fb_say_ms(reply, "p99_ms", latency->p99_ms);
    fb_say_ms(reply, "max_ms", latency->max_ms);
}

enum {
#define COUNT_ONE(field, help) +1
    COUNTERS = 0 FB_CACHE_COUNTERS(COUNT_ONE)
#undef COUNT_ONE
};

static void write_figures(fb_reply *reply, const fb_cache_figures *figures, const fb_gain *gain) {
    fb_reply_map(reply, COUNTERS + 13);
    fb_say_text(reply, "name", figures->name);
#define SAY_COUNTER(field, help) fb_say_count(reply, #field, figures->field);
    FB_CACHE_COUNTERS(SAY_COUNTER)
#undef SAY_COUNTER
    fb_say_count(reply, "total_requests", gain->requests);
    fb_say_number(reply, "hit_rate_percent", gain->hit_rate_percent, 2);
    fb_say_number(reply, "error_rate_percent", gain->error_rate_percent, 2);
    fb_say_number(reply, "performance_gain_multiplier", gain->multiplier, 2);
    fb_say_ms(reply, "time_saved_per_hit_ms", gain->saved_per_hit_ms);
    fb_say_ms(reply, "time_saved_total_ms", gain->saved_ms);
    fb_say_count(reply, "source_requests_avoided", gain->avoided);
    fb_say_integer(reply, "ttl_ms", figures->ttl_ms);
    fb_say_boolean(reply, "has_source", figures->has_source);
    say_latency(reply, "hit", &figures->hit);
    say_latency(reply, "miss", &figures->miss);
    say_latency(reply, "load", &figures->load);
}

static void write_server(const fb_node *node, const fb_stats *stats, fb_reply *reply) {
    fb_reply_map(reply, 20);
    fb_say_text(reply, "version", fb_version());
    fb_say_text(reply, "run_id", node->run_id);
    fb_say_text(reply, "mode", fb_monitor_mode(stats));
    fb_say_integer(reply, "uptime_ms", stats->uptime_ms);
    fb_say_count(reply, "entries", stats->entries);
    fb_say_count(reply, "memory_bytes", stats->memory_bytes);
    fb_say_count(reply, "memory_limit_bytes", stats->memory_limit_bytes);
    fb_say_count(reply, "evictions", stats->evictions);
    fb_say_count(reply, "expirations", stats->expirations);
    fb_say_count(reply, "loads_running", stats->loads_running);
    fb_say_count(reply, "loads_waiting", stats->loads_waiting);
    fb_say_count(reply, "loops", stats->loops);
    fb_say_count(reply, "workers", stats->workers);
    fb_say_count(reply, "connections", node->connections);
    fb_say_count(reply, "connections_total", node->connections_total);
    fb_say_count(reply, "connections_refused", node->connections_refused);
    fb_say_count(reply, "resp_commands", node->commands);
    fb_say_count(reply, "http_requests", node->http_requests);
    fb_say_count(reply, "received_bytes", node->bytes_in);
    fb_say_count(reply, "sent_bytes", node->bytes_out);
}

int fb_route_stats(fb_http_call *call) {
    fb_reply reply;
    fb_stats stats;
    char timestamp[FB_TIMESTAMP_SIZE];
    int result = fb_stats_read(call->node->engine, &stats);
    if (result < 0) {
        return result;
    }
    fb_gain all = fb_gain_in_all(&stats);
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 4);
    fb_reply_text(&reply, "server");
    write_server(call->node, &stats, &reply);
    fb_reply_text(&reply, "all");
    write_figures(&reply, &stats.all, &all);
    fb_reply_text(&reply, "classes");
    fb_reply_array(&reply, stats.class_count);
    for (size_t i = 0; i < stats.class_count; i++) {
        fb_gain one = fb_gain_of(&stats, &stats.classes[i]);
        write_figures(&reply, &stats.classes[i], &one);
    }
    fb_say_text(&reply, "timestamp", fb_timestamp_text(call->node->wall_us(), timestamp));
    fb_stats_release(&stats);
    return fb_http_json_end(&reply);
}

// ---- health

// It answers, so it is well; degraded where a shared tier that is configured does not answer.
int fb_route_healthz(fb_http_call *call) {
    fb_reply reply;
    fb_stats stats;
    int result = fb_stats_read(call->node->engine, &stats);
    if (result < 0) {
        return result;
    }
    bool degraded = stats.shared_configured && !stats.shared_connected;
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 6);
    fb_say_text(&reply, "status", degraded ? "degraded" : "ok");
    fb_say_text(&reply, "mode", fb_monitor_mode(&stats));
    fb_say_text(&reply, "version", fb_version());
    fb_say_number(&reply, "uptime_seconds", (double)stats.uptime_ms / 1000, 3);
    fb_say_count(&reply, "loads_running", stats.loads_running);
    fb_say_count(&reply, "loads_waiting", stats.loads_waiting);
    fb_stats_release(&stats);
    return fb_http_json_end(&reply);
}

int fb_route_readyz(fb_http_call *call) {
    fb_reply reply;
    if (atomic_load_explicit(&call->node->draining, memory_order_relaxed)) {
        fb_http_problem(call->response, 503, "stopping: what is under way is being answered");
        return FB_OK;
    }
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 1);
    fb_say_text(&reply, "status", "ready");
    return fb_http_json_end(&reply);
}
