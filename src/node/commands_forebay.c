// Forebay's own verbs but those that fetch (commands_fetch.c).
//
// Their grammar: option words first, then the class or scope, then names and values of any kind. So
// a parameter, a key or a tag may have any name; only a class that is called like an option needs
// the word CLASS before it.
//
//     FB.INVALIDATE [SOFT] KEY|PATTERN|TAG|CLASS|NAMESPACE name [name ...]
//     FB.INVALIDATE [SOFT] ALL
//     FB.WARM [CLASS] class [param value ...]
//     FB.WARM TOP class count
//     FB.REGION
//     FB.STATS [class]
//     FB.EXPLAIN key
//
// Errors begin with a code word: NOCLASS, NOSOURCE, TIMEOUT, OVERLOAD, SOURCE, DENIED, CLOSING,
// OOM; ERR for what the caller did wrong.

#include "node/command_table.h"

#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "node/say.h"
#include "node/session_state.h"

enum { NAME_SHOWN = 64 };

static void say_double(fb_reply *reply, const char *name, double number) {
    fb_reply_text(reply, name);
    fb_reply_double(reply, number);
}

// ---- FB.REGION

static void say_path(fb_reply *reply, const char *name, const char *path) {
    fb_reply_text(reply, name);
    if (path != NULL) {
        fb_reply_text(reply, path);
    } else {
        fb_reply_null(reply);
    }
}

void fb_verb_region(fb_command_call *call) {
    fb_region_info info;
    fb_region_info_read(call->node->engine, &info);
    fb_reply_map(call->reply, 5);
    say_path(call->reply, "file", info.file);
    say_path(call->reply, "hints", info.hints);
    fb_say_count(call->reply, "generation", info.generation);
    say_path(call->reply, "socket", call->node->socket_path);
    fb_say_count(call->reply, "limit", info.limit_bytes);
}

// ---- FB.INVALIDATE

static bool read_scope(const fb_command_call *call, size_t index, fb_scope *scope) {
    static const struct {
        const char *word;
        fb_scope scope;
    } words[] = {
        {"KEY", FB_SCOPE_KEY},     {"PATTERN", FB_SCOPE_PATTERN},     {"TAG", FB_SCOPE_TAG},
        {"CLASS", FB_SCOPE_CLASS}, {"NAMESPACE", FB_SCOPE_NAMESPACE}, {"ALL", FB_SCOPE_ALL},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (fb_command_word(call, index, words[i].word)) {
            *scope = words[i].scope;
            return true;
        }
    }
    return false;
}

static void refuse_name(fb_command_call *call, const char *what, fb_str name) {
    fb_reply_error(call->reply, "NOCLASS there is no %s '%.*s'", what,
                   (int)(name.len < NAME_SHOWN ? name.len : NAME_SHOWN), name.ptr);
}

// Names before the one that fails have been invalidated.
static int invalidate_names(fb_command_call *call, size_t first, fb_invalidation *what,
                            int64_t *removed) {
    for (size_t i = first; i < call->arg_count; i++) {
        int64_t count = 0;
        what->name = call->args[i];
        int result = fb_invalidate(call->node->engine, what, &count);
        if (result < 0) {
            return result;
        }
        *removed = count < 0 || *removed < 0 ? -1 : *removed + count;
    }
    return FB_OK;
}

void fb_verb_invalidate(fb_command_call *call) {
    fb_invalidation what = {0};
    size_t at = 1;
    if (fb_command_word(call, at, "SOFT")) {
        what.soft = true;
        at++;
    }
    if (at >= call->arg_count || !read_scope(call, at, &what.scope)) {
        fb_reply_error(call->reply, "ERR scope must be KEY, PATTERN, TAG, CLASS, NAMESPACE or ALL");
        return;
    }
    at++;
    if ((what.scope == FB_SCOPE_ALL) != (at == call->arg_count)) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'fb.invalidate' command");
        return;
    }
    int64_t removed = 0;
    int result = what.scope == FB_SCOPE_ALL ? fb_invalidate(call->node->engine, &what, &removed)
                                            : invalidate_names(call, at, &what, &removed);
    if (result == FB_ENOCLASS) {
        refuse_name(call, what.scope == FB_SCOPE_NAMESPACE ? "namespace" : "class", what.name);
    } else if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, removed);
    }
}

// ---- FB.WARM

static void reply_started(fb_command_call *call, int result, const fb_error *error,
                          uint64_t started) {
    if (result < 0) {
        fb_command_failed(call, result, error);
    } else {
        fb_reply_integer(call->reply, (int64_t)started);
    }
}

static void warm_top(fb_command_call *call) {
    int64_t count = 0;
    uint64_t started = 0;
    if (!fb_command_int(call, 3, &count)) {
        return;
    }
    if (count < 0 || count > UINT32_MAX) {
        fb_reply_error(call->reply, "ERR count is out of range");
        return;
    }
    int result = fb_warm_top(call->node->engine, call->args[2], (uint32_t)count, &started);
    reply_started(call, result, NULL, started);
}

void fb_verb_warm(fb_command_call *call) {
    if (fb_command_word(call, 1, "TOP") && call->arg_count == 4) {
        warm_top(call);
        return;
    }
    size_t at = fb_command_word(call, 1, "CLASS") && call->arg_count > 2 ? 2 : 1;
    fb_param params[FB_COMMAND_PARAMS_MAX];
    size_t count = 0;
    if (!fb_command_params(call, at + 1, params, &count)) {
        return;
    }
    fb_error error = {0};
    uint64_t started = 0;
    int result = fb_warm(call->node->engine, call->args[at], params, count, &started, &error);
    reply_started(call, result, &error, started);
}

// ---- FB.STATS

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
    FIGURE_PAIRS = COUNTERS + 6,
    WHOLE_PAIRS = 13
};

static void say_figures(fb_reply *reply, const fb_cache_figures *figures) {
    uint64_t reads = figures->hits + figures->misses;
    fb_say_text(reply, "name", figures->name);
#define SAY_COUNTER(field, help) fb_say_count(reply, #field, figures->field);
    FB_CACHE_COUNTERS(SAY_COUNTER)
#undef SAY_COUNTER
    say_double(reply, "hit_rate_percent",
               reads > 0 ? 100.0 * (double)figures->hits / (double)reads : 0);
    say_latency(reply, "hit", &figures->hit);
    say_latency(reply, "miss", &figures->miss);
    say_latency(reply, "load", &figures->load);
    fb_say_integer(reply, "ttl_ms", figures->ttl_ms);
}

static void say_whole(fb_reply *reply, const fb_stats *stats) {
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
    fb_say_boolean(reply, "shared_configured", stats->shared_configured);
    fb_say_boolean(reply, "shared_connected", stats->shared_connected);
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

void fb_verb_stats(fb_command_call *call) {
    if (call->arg_count > 2) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'fb.stats' command");
        return;
    }
    fb_stats stats;
    int result = fb_stats_read(call->node->engine, &stats);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
        return;
    }
    const fb_cache_figures *figures =
        call->arg_count == 2 ? find_figures(&stats, call->args[1]) : &stats.all;
    if (figures == NULL) {
        refuse_name(call, "class", call->args[1]);
    } else {
        bool whole = figures == &stats.all;
        fb_reply_map(call->reply, FIGURE_PAIRS + (whole ? WHOLE_PAIRS : 0));
        say_figures(call->reply, figures);
        if (whole) {
            say_whole(call->reply, &stats);
        }
    }
    fb_stats_release(&stats);
}

// ---- FB.EXPLAIN

void fb_verb_explain(fb_command_call *call) {
    fb_explanation is;
    fb_reply *reply = call->reply;
    int result = fb_explain(call->node->engine, call->args[1], &is);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
        return;
    }
    fb_reply_map(reply, 15);
    fb_reply_text(reply, "key");
    fb_reply_bytes(reply, call->args[1]);
    fb_say_text(reply, "class", is.class_name);
    fb_say_text(reply, "tier", fb_tier_name(is.tier));
    fb_say_boolean(reply, "negative", is.negative);
    fb_say_boolean(reply, "hit_for_miss", is.hit_for_miss);
    bool there = is.tier != FB_TIER_NONE;
    fb_say_text(reply, "freshness", there ? fb_freshness_name(is.freshness) : "none");
    fb_say_text(reply, "kind", there ? fb_kind_name(is.kind) : "none");
    fb_say_integer(reply, "age_ms", is.age_ms);
    fb_say_integer(reply, "fresh_for_ms", is.fresh_for_ms);
    fb_say_integer(reply, "gone_in_ms", is.gone_in_ms);
    fb_say_integer(reply, "load_cost_us", is.load_cost_us);
    fb_say_count(reply, "value_bytes", is.value_bytes);
    fb_say_boolean(reply, "loading", is.loading);
    fb_say_text(reply, "last_miss", is.last_miss);
    fb_reply_text(reply, "tags");
    fb_reply_array(reply, is.tag_count);
    for (size_t i = 0; i < is.tag_count; i++) {
        fb_reply_text(reply, is.tags[i]);
    }
}

// ---- FB.HELP

void fb_verb_help(fb_command_call *call) {
    fb_reply *reply = call->reply;
    size_t count = 0;
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        count += strcmp(fb_command_at(i)->group, "forebay") == 0;
    }
    fb_reply_array(reply, 2 * count + 1);
    fb_reply_status(reply, "Forebay's own commands, beside those of Redis (COMMAND LIST):");
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        if (strcmp(fb_command_at(i)->group, "forebay") == 0) {
            fb_command_help_lines(reply, fb_command_at(i));
        }
    }
}
