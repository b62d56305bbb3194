// The figures, of all, of a class, or of each class, over a window.
//
//     FB.STATS [class] [WINDOW minute|hour|start]
//     FB.STATS EACH [WINDOW minute|hour|start]
//
// The words may come in any order. A class that is called like one of them is asked for by FB.STATS
// CLASS name.

#include "node/command_table.h"

#include "base/str.h"
#include "base/units.h"
#include "node/advice.h"
#include "node/gain.h"
#include "node/say.h"
#include "node/session_state.h"
#include "node/tiers.h"
#include "node/watch.h"

enum { NAME_SHOWN = 64 };

static void say_double(fb_reply *reply, const char *name, double number) {
    fb_reply_text(reply, name);
    fb_reply_double(reply, number);
}

static void say_latency(fb_reply *reply, const char *name, const fb_latency *latency) {
    fb_reply_text(reply, name);
    fb_reply_map(reply, 6);
    fb_say_count(reply, "count", latency->count);
    say_double(reply, "mean_ms", latency->mean_ms);
    say_double(reply, "p50_ms", latency->p50_ms);
    say_double(reply, "p95_ms", latency->p95_ms);
    say_double(reply, "p99_ms", latency->p99_ms);
    say_double(reply, "max_ms", latency->max_ms);
}

enum {
#define COUNT_ONE(field, help) +1
    COUNTERS = 0 FB_CACHE_COUNTERS(COUNT_ONE),
#undef COUNT_ONE
    FIGURE_PAIRS = COUNTERS + 18,
    WHOLE_PAIRS = 26
};

static void say_figures(fb_reply *reply, const fb_stats *stats, const fb_cache_figures *figures,
                        fb_window window) {
    bool whole = figures == &stats->all;
    fb_gain gain = whole ? fb_gain_in_all(stats) : fb_gain_of(stats, figures);
    fb_say_text(reply, "name", figures->name);
    fb_say_text(reply, "window", fb_window_name(window));
    fb_say_integer(reply, "window_ms", stats->window_ms);
#define SAY_COUNTER(field, help) fb_say_count(reply, #field, figures->field);
    FB_CACHE_COUNTERS(SAY_COUNTER)
#undef SAY_COUNTER
    fb_say_count(reply, "total_requests", gain.requests);
    say_double(reply, "per_second", gain.per_second);
    say_double(reply, "hit_rate_percent", gain.hit_rate_percent);
    say_double(reply, "error_rate_percent", gain.error_rate_percent);
    say_double(reply, "performance_gain_multiplier", gain.multiplier);
    say_double(reply, "time_saved_per_hit_ms", gain.saved_per_hit_ms);
    say_double(reply, "time_saved_total_ms", gain.saved_ms);
    fb_say_count(reply, "source_requests_avoided", gain.avoided);
    say_latency(reply, "hit", &figures->hit);
    say_latency(reply, "miss", &figures->miss);
    say_latency(reply, "load", &figures->load);
    say_latency(reply, "shared", &figures->shared);
    fb_tiers_say(reply, figures);
    fb_say_integer(reply, "ttl_ms", figures->ttl_ms);
    fb_say_boolean(reply, "has_source", figures->has_source);
}

// The value is that of the window; whether it is met, that of the last minute (node/watch.h).
static void say_targets(fb_reply *reply, const fb_node *node, const fb_stats *stats) {
    fb_target targets[FB_TARGET_COUNT];
    int64_t now_ns = node->now_ns != NULL ? node->now_ns() : 0;
    fb_advice_targets(stats, targets);
    fb_reply_text(reply, "targets");
    fb_reply_array(reply, FB_TARGET_COUNT);
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        fb_watched is = {.met = targets[i].met};
        if (node->watch != NULL) {
            is = fb_watch_read(node->watch, i, now_ns);
        }
        fb_reply_map(reply, 6);
        fb_say_text(reply, "name", targets[i].name);
        fb_say_text(reply, "state", fb_met_name(is.met));
        fb_say_integer(reply, "for_ms", is.for_ms);
        say_double(reply, "value", targets[i].value);
        say_double(reply, "bound", targets[i].bound);
        fb_say_text(reply, "unit", targets[i].unit);
    }
}

static void say_whole(fb_reply *reply, const fb_node *node, const fb_stats *stats) {
    fb_say_count(reply, "entries", stats->entries);
    fb_say_count(reply, "memory_bytes", stats->memory_bytes);
    fb_say_count(reply, "memory_limit_bytes", stats->memory_limit_bytes);
    fb_say_count(reply, "evictions", stats->evictions);
    fb_say_count(reply, "expirations", stats->expirations);
    fb_say_integer(reply, "uptime_ms", stats->uptime_ms);
    fb_say_count(reply, "loads_running", stats->loads_running);
    fb_say_count(reply, "loads_waiting", stats->loads_waiting);
    fb_say_count(reply, "loops", stats->loops);
    fb_say_count(reply, "workers", stats->workers);
    fb_say_integer(reply, "loop_lag_ms", node->loop_lag_ns / FB_NS_PER_MS);
    fb_say_boolean(reply, "shared_configured", stats->shared.state != FB_SHARED_NONE);
    fb_say_boolean(reply, "shared_connected", fb_say_is_reached(stats->shared.state));
    fb_say_text(reply, "shared_state", fb_say_shared_state(stats->shared.state));
    fb_say_text(reply, "shared_server", stats->shared.server);
    fb_say_text(reply, "shared_why", stats->shared.why);
    fb_say_count(reply, "shared_owed", stats->shared.owed);
    fb_say_count(reply, "connections", node->connections);
    fb_say_count(reply, "connections_max", node->connections_max);
    fb_say_count(reply, "connections_refused", node->connections_refused);
    fb_say_count(reply, "commands", node->commands);
    fb_say_count(reply, "http_requests", node->http_requests);
    fb_say_count(reply, "received_bytes", node->bytes_in);
    fb_say_count(reply, "sent_bytes", node->bytes_out);
    say_targets(reply, node, stats);
    fb_reply_text(reply, "classes");
    fb_reply_array(reply, stats->class_count);
    for (size_t i = 0; i < stats->class_count; i++) {
        fb_reply_text(reply, stats->classes[i].name);
    }
}

static const fb_cache_figures *find_figures(const fb_stats *stats, fb_str name) {
    for (size_t i = 0; i < stats->class_count; i++) {
        if (fb_str_equal(name, fb_str_of(stats->classes[i].name))) {
            return &stats->classes[i];
        }
    }
    return NULL;
}

typedef struct wanted {
    fb_window window;
    fb_str class_;
    bool one, each;
} wanted;

static bool read_wanted(fb_command_call *call, wanted *what) {
    for (size_t i = 1; i < call->arg_count; i++) {
        bool more = i + 1 < call->arg_count;
        if (more && fb_command_word(call, i, "WINDOW")) {
            if (!fb_window_read(call->args[++i], &what->window)) {
                fb_reply_error(call->reply, "ERR WINDOW must be minute, hour or start");
                return false;
            }
        } else if (!what->one && !what->each && fb_command_word(call, i, "EACH")) {
            what->each = true;
        } else if (!what->one && !what->each) {
            i += more && fb_command_word(call, i, "CLASS") ? 1 : 0;
            what->one = true;
            what->class_ = call->args[i];
        } else {
            fb_reply_error(call->reply, "ERR wrong number of arguments for 'fb.stats' command");
            return false;
        }
    }
    return true;
}

static void say_each(fb_reply *reply, const fb_node *node, const fb_stats *stats,
                     fb_window window) {
    fb_reply_array(reply, stats->class_count + 1);
    fb_reply_map(reply, FIGURE_PAIRS + WHOLE_PAIRS);
    say_figures(reply, stats, &stats->all, window);
    say_whole(reply, node, stats);
    for (size_t i = 0; i < stats->class_count; i++) {
        fb_reply_map(reply, FIGURE_PAIRS);
        say_figures(reply, stats, &stats->classes[i], window);
    }
}

void fb_verb_stats(fb_command_call *call) {
    wanted what = {.window = FB_WINDOW_START};
    fb_stats stats;
    if (!read_wanted(call, &what)) {
        return;
    }
    int result = fb_stats_read_over(call->node->engine, what.window, &stats);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
        return;
    }
    const fb_cache_figures *figures = what.one ? find_figures(&stats, what.class_) : &stats.all;
    if (figures == NULL) {
        int shown = (int)(what.class_.len < NAME_SHOWN ? what.class_.len : NAME_SHOWN);
        fb_reply_error(call->reply, "NOCLASS there is no class '%.*s'", shown, what.class_.ptr);
    } else if (what.each) {
        say_each(call->reply, call->node, &stats, what.window);
    } else {
        bool whole = figures == &stats.all;
        fb_reply_map(call->reply, FIGURE_PAIRS + (whole ? WHOLE_PAIRS : 0));
        say_figures(call->reply, &stats, figures, what.window);
        if (whole) {
            say_whole(call->reply, call->node, &stats);
        }
    }
    fb_stats_release(&stats);
}
