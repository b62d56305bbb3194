// The four documents. Containers are announced with their counts, so each function below says in
// its first line how many pairs it writes.
//
// Classes that nobody has read or written are left out of the lists; plain keys are listed as
// "(plain keys)", which no class can be called.

#include "node/monitor.h"

#include <stdio.h>

#include "base/str.h"
#include "node/advice.h"
#include "node/gain.h"
#include "node/say.h"

enum { TEXT_SIZE = 120 };

// ---- figures as text

static void say_timestamp(fb_reply *reply, int64_t wall_us) {
    char text[FB_TIMESTAMP_SIZE];
    fb_say_text(reply, "timestamp", fb_timestamp_text(wall_us, text));
}

static void say_rate(fb_reply *reply, const char *name, const fb_gain *gain) {
    char text[TEXT_SIZE];
    (void)snprintf(text, sizeof text, "%.1f%%", gain->hit_rate_percent);
    fb_say_text(reply, name, text);
}

static void say_multiplier(fb_reply *reply, const fb_gain *gain) {
    char text[TEXT_SIZE];
    (void)snprintf(text, sizeof text, "%.2fx", gain->multiplier);
    fb_say_text(reply, "speedup_multiplier", text);
}

static double mib(uint64_t bytes) {
    return (double)bytes / (1024 * 1024);
}

static void say_mib(fb_reply *reply, const char *name, uint64_t bytes) {
    fb_say_number(reply, name, mib(bytes), bytes < 1024 * 1024 ? 6 : 3);
}

// "10.1 s of waiting and 42 source requests avoided".
static const char *savings(const fb_gain *gain, char text[TEXT_SIZE]) {
    static const struct {
        double ms;
        const char *unit;
    } units[] = {
        {86400000, "days"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"},
    };
    char waiting[60] = "no waiting";
    for (size_t i = 0; i < sizeof units / sizeof units[0] && gain->saved_ms > 0; i++) {
        bool last = units[i].ms <= 1;
        // 100 s are said as 100 s, and 2 min from 120 s on.
        if (last || gain->saved_ms >= (units[i].ms > 1000 ? 2 : 1) * units[i].ms) {
            (void)snprintf(waiting, sizeof waiting, "%.*f %s of waiting",
                           gain->saved_ms < 0.1 ? 4 : 1, gain->saved_ms / units[i].ms,
                           units[i].unit);
            break;
        }
    }
    (void)snprintf(text, TEXT_SIZE, "%s and %llu source request%s avoided", waiting,
                   (unsigned long long)gain->avoided, gain->avoided == 1 ? "" : "s");
    return text;
}

// ---- beside the shapes

static void say_percentiles(fb_reply *reply, const char *name, const fb_latency *latency) {
    fb_reply_text(reply, name);
    fb_reply_map(reply, 3);
    fb_say_ms(reply, "p50", latency->p50_ms);
    fb_say_ms(reply, "p95", latency->p95_ms);
    fb_say_ms(reply, "p99", latency->p99_ms);
}

enum { MORE_PAIRS = 13 };

// What M1 asks for beyond the shapes.
static void say_more(fb_reply *reply, const fb_cache_figures *figures, const fb_gain *gain) {
    fb_say_count(reply, "errors", figures->errors);
    fb_say_number(reply, "error_rate_percent", gain->error_rate_percent, 2);
    fb_say_count(reply, "timeouts", figures->timeouts);
    fb_say_count(reply, "source_requests", figures->loads);
    fb_say_count(reply, "source_failures", figures->load_failures);
    fb_say_count(reply, "shared_loads", figures->coalesced);
    fb_say_count(reply, "stale_served", figures->stale_hits);
    fb_say_count(reply, "fallback_served", figures->fallback_hits);
    fb_say_count(reply, "negative_hits", figures->negative_hits);
    fb_say_ms(reply, "time_saved_per_hit_ms", gain->saved_per_hit_ms);
    fb_say_ms(reply, "time_saved_total_ms", gain->saved_ms);
    say_percentiles(reply, "hit_latency_ms", &figures->hit);
    say_percentiles(reply, "miss_latency_ms", &figures->miss);
}

enum { CORE_PAIRS = 7 };

static void say_core(fb_reply *reply, const fb_cache_figures *figures, const fb_gain *gain) {
    fb_say_count(reply, "hits", figures->hits);
    fb_say_count(reply, "misses", figures->misses);
    fb_say_count(reply, "total_requests", gain->requests);
    fb_say_number(reply, "hit_rate_percent", gain->hit_rate_percent, 2);
    fb_say_ms(reply, "average_hit_latency_ms", gain->hit_ms);
    fb_say_ms(reply, "average_miss_latency_ms", gain->miss_ms);
    fb_say_number(reply, "performance_gain_multiplier", gain->multiplier, 2);
}

static bool is_used(const fb_cache_figures *figures) {
    return figures->hits + figures->misses + figures->sets + figures->loads > 0;
}

static void say_class(fb_reply *reply, const fb_stats *stats, const fb_cache_figures *figures) {
    fb_gain gain = fb_gain_of(stats, figures);
    fb_reply_map(reply, 2 + CORE_PAIRS + MORE_PAIRS);
    fb_say_text(reply, "name", figures->name[0] != '\0' ? figures->name : "(plain keys)");
    fb_say_integer(reply, "ttl_seconds", figures->ttl_ms / 1000);
    say_core(reply, figures, &gain);
    say_more(reply, figures, &gain);
}

static void say_classes(fb_reply *reply, const fb_stats *stats) {
    size_t count = 0;
    for (size_t i = 0; i < stats->class_count; i++) {
        count += is_used(&stats->classes[i]);
    }
    fb_reply_text(reply, "classes");
    fb_reply_array(reply, count);
    for (size_t i = 0; i < stats->class_count; i++) {
        if (is_used(&stats->classes[i])) {
            say_class(reply, stats, &stats->classes[i]);
        }
    }
}

static void say_target(fb_reply *reply, const fb_target *target) {
    char text[TEXT_SIZE];
    char bound[FB_NUMBER_SIZE];
    (void)snprintf(text, sizeof text, "%s %.0f %s", target->relation, target->bound, target->unit);
    fb_reply_map(reply, 4);
    fb_say_text(reply, "name", target->name);
    fb_say_text(reply, "target", text);
    fb_reply_text(reply, "value");
    fb_reply_json(reply, fb_str_of(fb_ms_text(target->value, bound)));
    fb_reply_text(reply, "met");
    if (target->met == FB_MET_UNKNOWN) {
        fb_reply_null(reply);
    } else {
        fb_reply_boolean(reply, target->met == FB_MET_YES);
    }
}

static void say_targets(fb_reply *reply, const fb_stats *stats) {
    fb_target targets[FB_TARGET_COUNT];
    fb_advice_targets(stats, targets);
    fb_reply_text(reply, "targets");
    fb_reply_array(reply, FB_TARGET_COUNT);
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        say_target(reply, &targets[i]);
    }
}

static double per_second(const fb_stats *stats, const fb_gain *gain) {
    return stats->uptime_ms > 0 ? (double)gain->requests * 1000 / (double)stats->uptime_ms : 0;
}

// ---- /cache/stats

void fb_monitor_stats(const fb_stats *stats, int64_t wall_us, fb_reply *reply) {
    fb_gain gain = fb_gain_in_all(stats);
    fb_reply_map(reply, 7);
    fb_say_boolean(reply, "cache_enabled", true);
    fb_say_count(reply, "entries", stats->entries);
    fb_say_integer(reply, "ttl_seconds", fb_gain_ttl_ms(stats) / 1000);
    fb_reply_text(reply, "metrics");
    fb_reply_map(reply, CORE_PAIRS + 2 + MORE_PAIRS);
    say_core(reply, &stats->all, &gain);
    fb_say_number(reply, "uptime_seconds", (double)stats->uptime_ms / 1000, 3);
    fb_say_number(reply, "requests_per_second", per_second(stats, &gain), 2);
    say_more(reply, &stats->all, &gain);
    say_classes(reply, stats);
    say_targets(reply, stats);
    say_timestamp(reply, wall_us);
}

// ---- /cache/metrics

static void say_comparison(fb_reply *reply, const fb_gain *gain) {
    fb_reply_text(reply, "average_latency_comparison");
    fb_reply_map(reply, 4);
    fb_say_ms(reply, "cached_response_ms", gain->hit_ms);
    fb_say_ms(reply, "uncached_response_ms", gain->miss_ms);
    say_multiplier(reply, gain);
    fb_say_ms(reply, "time_saved_per_hit_ms", gain->saved_per_hit_ms);
}

static void say_efficiency(fb_reply *reply, const fb_stats *stats) {
    fb_reply_text(reply, "cache_efficiency");
    fb_reply_map(reply, 7);
    fb_say_count(reply, "memory_entries", stats->entries);
    fb_say_integer(reply, "ttl_seconds", fb_gain_ttl_ms(stats) / 1000);
    fb_say_integer(reply, "uptime_seconds", stats->uptime_ms / 1000);
    say_mib(reply, "estimated_memory_mb", stats->memory_bytes);
    say_mib(reply, "memory_limit_mb", stats->memory_limit_bytes);
    fb_say_count(reply, "evictions", stats->evictions);
    fb_say_count(reply, "expirations", stats->expirations);
}

void fb_monitor_metrics(const fb_stats *stats, int64_t wall_us, fb_reply *reply) {
    fb_gain gain = fb_gain_in_all(stats);
    fb_reply_map(reply, 4);
    fb_reply_text(reply, "performance_dashboard");
    fb_reply_map(reply, 7 + 1 + MORE_PAIRS);
    say_rate(reply, "cache_hit_rate", &gain);
    fb_say_count(reply, "total_requests", gain.requests);
    fb_say_count(reply, "successful_hits", stats->all.hits);
    fb_say_count(reply, "cache_misses", stats->all.misses);
    say_comparison(reply, &gain);
    fb_reply_text(reply, "cumulative_time_saved");
    fb_reply_map(reply, 2);
    fb_say_ms(reply, "total_ms", gain.saved_ms);
    fb_say_ms(reply, "total_seconds", gain.saved_ms / 1000);
    say_efficiency(reply, stats);
    fb_say_number(reply, "requests_per_second", per_second(stats, &gain), 2);
    say_more(reply, &stats->all, &gain);
    say_classes(reply, stats);
    say_targets(reply, stats);
    say_timestamp(reply, wall_us);
}

// ---- /cache/status

const char *fb_monitor_mode(const fb_stats *stats) {
    if (stats->shared.state == FB_SHARED_NONE) {
        return "memory";
    }
    return fb_say_is_reached(stats->shared.state) ? "dual" : "fallback";
}

static const char *shared_state(const fb_stats *stats) {
    if (stats->shared.state == FB_SHARED_NONE) {
        return "not configured";
    }
    return fb_say_is_reached(stats->shared.state) ? "connected" : "unreachable";
}

void fb_monitor_status(const fb_stats *stats, int64_t wall_us, fb_reply *reply) {
    char shared[TEXT_SIZE];
    (void)snprintf(shared, sizeof shared, "2. redis (%s)", shared_state(stats));
    fb_reply_map(reply, 6);
    fb_reply_text(reply, "cache_backends");
    fb_reply_map(reply, 2);
    fb_say_text(reply, "memory_cache", "active");
    fb_say_text(reply, "redis_cache", shared_state(stats));
    fb_say_text(reply, "current_mode", fb_monitor_mode(stats));
    fb_say_text(reply, "redis_state", fb_say_shared_state(stats->shared.state));
    fb_say_text(reply, "redis_reason", stats->shared.why);
    fb_reply_text(reply, "fallback_chain");
    fb_reply_array(reply, 3);
    fb_reply_text(reply, "1. memory (active)");
    fb_reply_text(reply, shared);
    fb_reply_text(reply, "3. source");
    say_timestamp(reply, wall_us);
}

// ---- /analytics/dashboard

static void say_performance(fb_reply *reply, const fb_stats *stats) {
    char text[TEXT_SIZE];
    fb_gain gain = fb_gain_in_all(stats);
    fb_reply_text(reply, "cache_performance");
    fb_reply_map(reply, 6 + 1 + MORE_PAIRS);
    say_rate(reply, "overall_hit_rate", &gain);
    fb_say_count(reply, "total_requests_processed", gain.requests);
    fb_say_count(reply, "successful_cache_hits", stats->all.hits);
    fb_say_count(reply, "cache_misses", stats->all.misses);
    fb_reply_text(reply, "average_response_times");
    fb_reply_map(reply, 3);
    fb_say_ms(reply, "with_cache_ms", gain.hit_ms);
    fb_say_ms(reply, "without_cache_ms", gain.miss_ms);
    say_multiplier(reply, &gain);
    fb_reply_text(reply, "total_time_saved");
    fb_reply_map(reply, 3);
    fb_say_ms(reply, "milliseconds", gain.saved_ms);
    fb_say_ms(reply, "seconds", gain.saved_ms / 1000);
    fb_say_text(reply, "estimated_cost_savings", savings(&gain, text));
    fb_say_number(reply, "requests_per_second", per_second(stats, &gain), 2);
    say_more(reply, &stats->all, &gain);
}

static void say_infrastructure(fb_reply *reply, const fb_stats *stats) {
    fb_reply_text(reply, "cache_infrastructure");
    fb_reply_map(reply, 9);
    fb_say_boolean(reply, "memory_cache_enabled", true);
    fb_say_boolean(reply, "redis_cache_enabled", stats->shared.state != FB_SHARED_NONE);
    fb_say_boolean(reply, "redis_connected", fb_say_is_reached(stats->shared.state));
    fb_say_count(reply, "memory_entries", stats->entries);
    say_mib(reply, "estimated_memory_usage_mb", stats->memory_bytes);
    say_mib(reply, "memory_limit_mb", stats->memory_limit_bytes);
    fb_say_integer(reply, "ttl_seconds", fb_gain_ttl_ms(stats) / 1000);
    fb_say_integer(reply, "uptime_seconds", stats->uptime_ms / 1000);
    fb_say_text(reply, "current_mode", fb_monitor_mode(stats));
}

static void count_one(void *arg, const char *text) {
    (void)text;
    (*(size_t *)arg)++;
}

static void write_one(void *arg, const char *text) {
    fb_reply_text(arg, text);
}

void fb_monitor_dashboard(const fb_stats *stats, int64_t wall_us, fb_reply *reply) {
    size_t count = 0;
    fb_advice_give(stats, count_one, &count);
    fb_reply_map(reply, 2);
    fb_reply_text(reply, "analytics");
    fb_reply_map(reply, 5);
    say_performance(reply, stats);
    say_infrastructure(reply, stats);
    fb_reply_text(reply, "optimization_recommendations");
    fb_reply_array(reply, count);
    fb_advice_give(stats, write_one, reply);
    say_classes(reply, stats);
    say_targets(reply, stats);
    say_timestamp(reply, wall_us);
}
