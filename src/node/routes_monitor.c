// GET of the monitoring documents, /v1/stats, /healthz and /readyz.

#include "node/route.h"

#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "node/events.h"
#include "node/gain.h"
#include "node/monitor.h"
#include "node/say.h"
#include "node/tiers.h"

enum { QUEUE_TEXT_SIZE = 256 };  // as fb_queue_healthy() has it

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
    fb_reply_map(reply, COUNTERS + 16);
    fb_say_text(reply, "name", figures->name);
#define SAY_COUNTER(field, help) fb_say_count(reply, #field, figures->field);
    FB_CACHE_COUNTERS(SAY_COUNTER)
#undef SAY_COUNTER
    fb_say_count(reply, "total_requests", gain->requests);
    fb_say_number(reply, "per_second", gain->per_second, 3);
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
    say_latency(reply, "shared", &figures->shared);
    fb_tiers_say(reply, figures);
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

// minute, hour or start, which is the same as nothing; false: said why not.
static bool read_window(fb_http_call *call, fb_window *window) {
    static const struct {
        fb_str name;
        fb_window window;
    } windows[] = {{FB_STR_INIT("start"), FB_WINDOW_START},
                   {FB_STR_INIT("minute"), FB_WINDOW_MINUTE},
                   {FB_STR_INIT("hour"), FB_WINDOW_HOUR}};
    const fb_param *param = fb_http_param(call, "window");
    *window = FB_WINDOW_START;
    for (size_t i = 0; param != NULL && i < sizeof windows / sizeof windows[0]; i++) {
        if (fb_str_equal(param->value, windows[i].name)) {
            *window = windows[i].window;
            return true;
        }
    }
    if (param != NULL) {
        fb_http_problem(call->response, 400, "window: expected start, minute or hour");
    }
    return param == NULL;
}

int fb_route_stats(fb_http_call *call) {
    fb_reply reply;
    fb_stats stats;
    fb_window window;
    char timestamp[FB_TIMESTAMP_SIZE];
    if (!read_window(call, &window)) {
        return FB_OK;
    }
    int result = fb_stats_read_over(call->node->engine, window, &stats);
    if (result < 0) {
        return result;
    }
    fb_gain all = fb_gain_in_all(&stats);
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 6);
    fb_say_text(&reply, "window",
                window == FB_WINDOW_MINUTE ? "minute" : window == FB_WINDOW_HOUR ? "hour" : "start");
    fb_say_integer(&reply, "window_ms", stats.window_ms);
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

int fb_route_stats_reset(fb_http_call *call) {
    fb_stats_reset(call->node->engine);
    call->response->status = 204;
    return FB_OK;
}

// ---- /v1/events

static int say_event(fb_node *node, const fb_stats *stats, const fb_stats *minute, fb_buf *out) {
    fb_reply reply;
    char timestamp[FB_TIMESTAMP_SIZE];
    fb_gain all = fb_gain_in_all(stats);
    fb_gain lately = fb_gain_in_all(minute);
    fb_reply_init(&reply, FB_ENCODING_JSON, out);
    fb_reply_map(&reply, 5);
    fb_say_text(&reply, "timestamp", fb_timestamp_text(node->wall_us(), timestamp));
    fb_reply_text(&reply, "server");
    write_server(node, stats, &reply);
    fb_reply_text(&reply, "all");
    write_figures(&reply, &stats->all, &all);
    fb_say_integer(&reply, "window_ms", minute->window_ms);
    fb_reply_text(&reply, "minute");
    write_figures(&reply, &minute->all, &lately);
    return fb_reply_failed(&reply) ? FB_ENOMEM : FB_OK;
}

int fb_events_write(fb_node *node, uint64_t id, fb_buf *out) {
    fb_stats stats, minute;
    int result = fb_stats_read(node->engine, &stats);
    if (result < 0) {
        return result;
    }
    result = fb_stats_read_over(node->engine, FB_WINDOW_MINUTE, &minute);
    if (result == FB_OK) {
        result = fb_buf_printf(out, "id: %llu\nevent: figures\ndata: ", (unsigned long long)id);
        if (result == FB_OK) {
            result = say_event(node, &stats, &minute, out);
        }
        if (result == FB_OK) {
            result = fb_buf_append(out, FB_STR("\n\n"));
        }
        fb_stats_release(&minute);
    }
    fb_stats_release(&stats);
    return result;
}

int fb_route_events(fb_http_call *call) {
    const fb_param *every = fb_http_param(call, "every");
    int64_t ns = FB_EVENTS_MS_MIN * FB_NS_PER_MS;
    if (every != NULL && (fb_units_duration(every->value, &ns) < 0 ||
                          ns < FB_EVENTS_MS_MIN * FB_NS_PER_MS ||
                          ns > FB_EVENTS_MS_MAX * FB_NS_PER_MS)) {
        fb_http_problem(call->response, 400, "every: a time from 1s to 1m");
        return FB_OK;
    }
    fb_http_begin(call->response, 200);
    fb_http_header_add(call->response, "Content-Type", "text/event-stream");
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_http_header_add(call->response, "X-Accel-Buffering", "no");  // nginx would wait for more
    call->response->every_ms = ns / FB_NS_PER_MS;
    return fb_buf_append(&call->response->body, FB_STR("retry: 3000\n\n"));
}

// ---- the shared tier

static void count_one(void *arg, const char *name, const char *help, uint64_t value) {
    (void)name, (void)help, (void)value;
    (*(size_t *)arg)++;
}

static void say_one(void *arg, const char *name, const char *help, uint64_t value) {
    (void)help;
    fb_say_count(arg, name, value);
}

int fb_route_shared(fb_http_call *call) {
    fb_engine *engine = call->node->engine;
    fb_shared_info info;
    fb_reply reply;
    size_t counters = 0;
    fb_shared_info_read(engine, &info);
    fb_shared_counters(engine, count_one, &counters);
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 10);
    fb_say_text(&reply, "state", fb_say_shared_state(info.state));
    fb_say_text(&reply, "address", info.address);
    fb_say_text(&reply, "server", info.server);
    fb_say_text(&reply, "why", info.why);
    fb_reply_text(&reply, "unfit");
    fb_reply_array(&reply, info.unfit_count);
    for (uint32_t i = 0; i < info.unfit_count; i++) {
        fb_reply_text(&reply, info.unfit[i]);
    }
    fb_say_count(&reply, "partitions", info.partitions);
    fb_say_count(&reply, "degraded", info.degraded);
    fb_say_integer(&reply, "lag_ms", info.lag_ms);
    fb_say_count(&reply, "owed", info.owed);
    fb_reply_text(&reply, "counters");
    fb_reply_map(&reply, counters);
    fb_shared_counters(engine, say_one, &reply);
    return fb_http_json_end(&reply);
}

// ---- health

typedef struct lengths {
    fb_reply *reply;
    size_t count;
} lengths;

static void count_queue(void *arg, const fb_queue_figures *figures) {
    (void)figures;
    ((lengths *)arg)->count++;
}

// As they were when somebody looked last; what does not answer has none.
static void say_length(void *arg, const fb_queue_figures *figures) {
    lengths *all = arg;
    if (all->count > 0) {
        all->count--;
        fb_reply_text(all->reply, figures->name);
        if (figures->reachable) {
            fb_reply_integer(all->reply, (int64_t)figures->look.counts[FB_JOB_READY]);
        } else {
            fb_reply_null(all->reply);
        }
    }
}

// Of queues that a reload has taken away in between there are too few: then it is an error.
static int say_lengths(fb_engine *engine, fb_reply *reply) {
    lengths all = {.reply = reply};
    int result = fb_queue_figures_read(engine, count_queue, &all);
    if (result < 0) {
        return result;
    }
    fb_reply_text(reply, "queues_ready");
    fb_reply_map(reply, all.count);
    result = fb_queue_figures_read(engine, say_length, &all);
    return result == FB_OK && all.count > 0 ? FB_ENOMEM : result;
}

static void count_relay(void *arg, const fb_mail_figures *relay) {
    (void)relay;
    (*(size_t *)arg)++;
}

static void say_relay(void *arg, const fb_mail_figures *relay) {
    fb_say_text(arg, relay->relay, relay->up ? "up" : "paused");
}

// One that is paused is no illness of ours: the mail waits in its queue.
static int say_relays(fb_engine *engine, fb_reply *reply) {
    size_t count = 0;
    int result = fb_mail_figures_read(engine, count_relay, &count);
    if (result == FB_OK) {
        fb_reply_text(reply, "mail");
        fb_reply_map(reply, count);
        result = fb_mail_figures_read(engine, say_relay, reply);
    }
    return result;
}

// It answers, so it is well; degraded where a shared tier that is configured does not answer (and with it
// the queues, if they are there: the rest goes on), and ill (503) where the queues' own store takes no
// jobs: whoever sends them has to know at once.
int fb_route_healthz(fb_http_call *call) {
    fb_reply reply;
    fb_stats stats;
    int result = fb_stats_read(call->node->engine, &stats);
    if (result < 0) {
        return result;
    }
    bool degraded =
        stats.shared.state != FB_SHARED_NONE && stats.shared.state != FB_SHARED_CONNECTED &&
        stats.shared.state != FB_SHARED_UNUSED;
    char why[QUEUE_TEXT_SIZE] = "";
    bool healthy = fb_queue_healthy(call->node->engine, &stats.shared, why);
    bool failing =
        !healthy && !(degraded && strcmp(fb_queue_store_name(call->node->engine), "redis") == 0);
    fb_http_json(call->response, failing ? 503 : 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 13);
    fb_say_text(&reply, "status", failing ? "failing" : degraded ? "degraded" : "ok");
    fb_say_text(&reply, "reason", failing ? why : degraded ? stats.shared.why : "");
    fb_say_text(&reply, "queues", healthy ? "ok" : "failing");
    fb_say_text(&reply, "shared_tier", fb_say_shared_state(stats.shared.state));
    fb_say_text(&reply, "mode", fb_monitor_mode(&stats));
    fb_say_text(&reply, "version", fb_version());
    fb_say_number(&reply, "uptime_seconds", (double)stats.uptime_ms / 1000, 3);
    fb_say_count(&reply, "loads_running", stats.loads_running);
    fb_say_count(&reply, "loads_waiting", stats.loads_waiting);
    fb_say_count(&reply, "connections", call->node->connections);
    fb_say_integer(&reply, "loop_lag_ms", call->node->loop_lag_ns / 1000000);
    fb_stats_release(&stats);
    result = say_relays(call->node->engine, &reply);
    result = result == FB_OK ? say_lengths(call->node->engine, &reply) : result;
    return result < 0 ? result : fb_http_json_end(&reply);
}

int fb_route_readyz(fb_http_call *call) {
    fb_reply reply;
    if (atomic_load_explicit(&call->node->draining, memory_order_relaxed)) {
        fb_http_problem(call->response, 503, "stopping: what is under way is being answered");
        return FB_OK;
    }
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_shared_info shared;
    fb_shared_info_read(call->node->engine, &shared);
    fb_reply_map(&reply, 2);
    fb_say_text(&reply, "status", "ready");
    fb_say_text(&reply, "shared_tier", fb_say_shared_state(shared.state));
    return fb_http_json_end(&reply);
}
