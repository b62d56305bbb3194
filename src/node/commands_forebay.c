// Forebay's own verbs.
//
// Their grammar: option words first, then the class or scope, then names and values of any kind. So
// a parameter, a key or a tag may have any name; only a class that is called like an option needs
// the word CLASS before it.
//
//     FB.FETCH [REFRESH] [TIMEOUT ms] [WITHMETA] [CLASS] class [param value ...]
//     FB.INVALIDATE [SOFT] KEY|PATTERN|TAG|CLASS|NAMESPACE name [name ...]
//     FB.INVALIDATE [SOFT] ALL
//     FB.WARM [CLASS] class [param value ...]
//     FB.WARM TOP class count
//     FB.KEY [CLASS] class [param value ...]
//     FB.REGION
//     FB.STATS [class]
//     FB.EXPLAIN key
//
// Errors begin with a code word: NOCLASS, NOSOURCE, TIMEOUT, OVERLOAD, SOURCE, DENIED, CLOSING,
// OOM; ERR for what the caller did wrong.

#include "node/command_table.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/session_state.h"

enum { PARAMS_MAX = 64, NAME_SHOWN = 64 };

static const char *tier_name(fb_tier tier) {
    switch (tier) {
        case FB_TIER_NONE:
            return "none";
        case FB_TIER_MEMORY:
            return "memory";
        case FB_TIER_SHARED:
            return "shared";
        case FB_TIER_SOURCE:
            return "source";
    }
    return "none";
}

static const char *freshness_name(fb_freshness freshness) {
    switch (freshness) {
        case FB_FRESH:
            return "fresh";
        case FB_STALE:
            return "stale";
        case FB_FALLBACK:
            return "fallback";
    }
    return "fresh";
}

static const char *kind_name(fb_kind kind) {
    return kind == FB_KIND_JSON ? "json" : "bytes";
}

// ---- pairs in maps

static void say_text(fb_reply *reply, const char *name, const char *text) {
    fb_reply_text(reply, name);
    fb_reply_text(reply, text);
}

static void say_integer(fb_reply *reply, const char *name, int64_t number) {
    fb_reply_text(reply, name);
    fb_reply_integer(reply, number);
}

static void say_count(fb_reply *reply, const char *name, uint64_t count) {
    say_integer(reply, name, count <= INT64_MAX ? (int64_t)count : INT64_MAX);
}

static void say_double(fb_reply *reply, const char *name, double number) {
    fb_reply_text(reply, name);
    fb_reply_double(reply, number);
}

static void say_boolean(fb_reply *reply, const char *name, bool truth) {
    fb_reply_text(reply, name);
    fb_reply_boolean(reply, truth);
}

// ---- FB.FETCH

// Arguments from `index` on as parameters. Says so and returns false where they are no pairs.
static bool read_params(fb_command_call *call, size_t index, fb_param params[PARAMS_MAX],
                        size_t *count) {
    size_t left = call->arg_count - index;
    if (left % 2 != 0) {
        fb_reply_error(
            call->reply, "ERR parameter '%.*s' has no value",
            (int)(call->args[call->arg_count - 1].len < 128 ? call->args[call->arg_count - 1].len
                                                            : 128),
            call->args[call->arg_count - 1].ptr);
        return false;
    }
    if (left / 2 > PARAMS_MAX) {
        fb_reply_error(call->reply, "ERR at most %d parameters", PARAMS_MAX);
        return false;
    }
    *count = left / 2;
    for (size_t i = 0; i < *count; i++) {
        params[i].name = call->args[index + 2 * i];
        params[i].value = call->args[index + 2 * i + 1];
    }
    return true;
}

typedef struct fetching {
    fb_request request;
    fb_param params[PARAMS_MAX];
    bool with_meta;
} fetching;

// The options up to the class; *at is then behind it.
static bool read_options(fb_command_call *call, fetching *one, size_t *at) {
    for (*at = 1; *at < call->arg_count; ++*at) {
        if (fb_command_word(call, *at, "REFRESH")) {
            one->request.refresh = true;
        } else if (fb_command_word(call, *at, "WITHMETA")) {
            one->with_meta = true;
        } else if (fb_command_word(call, *at, "TIMEOUT") && *at + 1 < call->arg_count) {
            if (!fb_command_int(call, ++*at, &one->request.timeout_ms)) {
                return false;
            }
            if (one->request.timeout_ms <= 0) {
                fb_reply_error(call->reply, "ERR timeout is not positive");
                return false;
            }
        } else {
            *at += fb_command_word(call, *at, "CLASS") && *at + 1 < call->arg_count ? 1 : 0;
            break;
        }
    }
    if (*at >= call->arg_count) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for '%s' command",
                       call->command->name);
        return false;
    }
    one->request.class_name = call->args[(*at)++];
    return true;
}

static bool read_fetch(fb_command_call *call, fetching *one) {
    size_t at;
    one->request.params = one->params;
    return read_options(call, one, &at) &&
           read_params(call, at, one->params, &one->request.param_count);
}

static void write_found(fb_reply *reply, const fb_value *value, bool with_meta) {
    if (!with_meta) {
        fb_reply_bytes(reply, value->data);
        return;
    }
    fb_reply_map(reply, 8);
    fb_reply_text(reply, "value");
    fb_reply_bytes(reply, value->data);
    say_boolean(reply, "negative", false);
    say_text(reply, "kind", kind_name(value->kind));
    say_text(reply, "tier", tier_name(value->tier));
    say_text(reply, "freshness", freshness_name(value->freshness));
    say_integer(reply, "age_ms", value->age_ms);
    say_integer(reply, "ttl_ms", value->ttl_ms);
    say_count(reply, "version", value->version);
}

static void write_known_not_to_exist(fb_reply *reply, bool with_meta) {
    if (!with_meta) {
        fb_reply_null(reply);
        return;
    }
    fb_reply_map(reply, 2);
    fb_reply_text(reply, "value");
    fb_reply_null(reply);
    say_boolean(reply, "negative", true);
}

// One answer, of a reply of its own or of one among many.
static void write_answer(fb_reply *reply, bool with_meta, int result, const fb_value *value,
                         const fb_error *error) {
    if (result == FB_OK) {
        write_found(reply, value, with_meta);
    } else if (result == FB_NEGATIVE) {
        write_known_not_to_exist(reply, with_meta);
    } else {
        fb_reply_error(
            reply, "%s %s", fb_command_code(result),
            error != NULL && error->text[0] != '\0' ? error->text : fb_result_text(result));
    }
}

static void answer(void *arg, int result, const fb_value *value, const fb_error *error) {
    fb_slot *slot = arg;
    if (slot->session != NULL) {
        write_answer(slot->target, slot->with_meta, result, value, error);
    }
    fb_slot_finish(slot);
}

void fb_verb_fetch(fb_command_call *call) {
    fetching one;
    one.request = (fb_request){0};
    one.with_meta = false;
    if (!read_fetch(call, &one)) {
        return;
    }
    fb_slot *slot = fb_session_slot(call);
    if (slot == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    slot->with_meta = one.with_meta;
    int result = fb_fetch_start(call->node->engine, &one.request, answer, slot);
    FB_ASSERT(result == FB_PENDING || slot->done);
    // It may be FB_PENDING and answered meanwhile: then the reply stands already.
    call->outcome = slot->done ? FB_OK : FB_PENDING;
}

// ---- FB.MFETCH

// Many answers, in the order of the questions whatever order they come in.
typedef struct many many;
typedef struct part {
    many *all;
    fb_buf bytes;
} part;
struct many {
    fb_slot *slot;
    fb_encoding encoding;
    bool failed;        // no memory for one of them
    size_t count, left; // parts; those not answered, and one until all have been asked
    fb_request *requests;
    fb_param *params;
    void **args;
    part *parts;
};

static void free_many(many *all) {
    if (all != NULL) {
        for (size_t i = 0; all->parts != NULL && i < all->count; i++) {
            fb_buf_release(&all->parts[i].bytes);
        }
        fb_mem_free(all->requests);
        fb_mem_free(all->params);
        fb_mem_free(all->args);
        fb_mem_free(all->parts);
        fb_mem_free(all);
    }
}

static many *make_many(size_t count, size_t param_count) {
    many *all = fb_mem_zero(1, sizeof *all);
    if (all == NULL) {
        return NULL;
    }
    all->count = count;
    all->left = count + 1;
    all->requests = fb_mem_zero(count, sizeof *all->requests);
    all->params = fb_mem_zero(count * param_count, sizeof *all->params);
    all->args = fb_mem_zero(count, sizeof *all->args);
    all->parts = fb_mem_zero(count, sizeof *all->parts);
    if (all->requests == NULL || all->params == NULL || all->args == NULL || all->parts == NULL) {
        free_many(all);
        return NULL;
    }
    return all;
}

static void part_is_there(many *all) {
    if (--all->left > 0) {
        return;
    }
    fb_slot *slot = all->slot;
    if (slot->session != NULL && all->failed) {
        fb_reply_error(slot->target, "OOM out of memory for this reply");
    } else if (slot->session != NULL) {
        fb_reply_array(slot->target, all->count);
        for (size_t i = 0; i < all->count; i++) {
            fb_reply_raw(slot->target, fb_buf_str(&all->parts[i].bytes));
        }
    }
    free_many(all);
    fb_slot_finish(slot);
}

static void answer_part(void *arg, int result, const fb_value *value, const fb_error *error) {
    part *one = arg;
    many *all = one->all;
    if (all->slot->session != NULL && !all->failed) {
        fb_reply reply;
        fb_reply_init(&reply, all->encoding, &one->bytes);
        write_answer(&reply, all->slot->with_meta, result, value, error);
        all->failed = fb_reply_failed(&reply);
    }
    part_is_there(all);
}

// How many names there are, from `at` on; then the names, then rows of as many values. 0: said why
// not.
static size_t read_names(fb_command_call *call, size_t *at) {
    int64_t names = 0;
    if (*at >= call->arg_count) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for '%s' command",
                       call->command->name);
        return 0;
    }
    if (!fb_command_int(call, (*at)++, &names)) {
        return 0;
    }
    if (names < 1 || names > PARAMS_MAX) {
        fb_reply_error(call->reply, "ERR the number of names is from 1 to %d", PARAMS_MAX);
        return 0;
    }
    size_t left = call->arg_count - *at;
    if (left < 2 * (size_t)names || left % (size_t)names != 0) {
        fb_reply_error(call->reply,
                       "ERR after the names come rows of as many values, at least one");
        return 0;
    }
    return (size_t)names;
}

void fb_verb_mfetch(fb_command_call *call) {
    fetching one;
    size_t at;
    one.request = (fb_request){0};
    one.with_meta = false;
    size_t names = read_options(call, &one, &at) ? read_names(call, &at) : 0;
    if (names == 0) {
        return;
    }
    const fb_str *values = call->args + at + names;
    many *all = make_many((call->arg_count - at) / names - 1, names);
    fb_slot *slot = all != NULL ? fb_session_slot(call) : NULL;
    if (slot == NULL) {
        free_many(all);
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    slot->with_meta = one.with_meta;
    all->slot = slot;
    all->encoding = slot->target->encoding;
    for (size_t i = 0; i < all->count; i++) {
        fb_param *params = all->params + i * names;
        for (size_t k = 0; k < names; k++) {
            params[k] = (fb_param){call->args[at + k], values[i * names + k]};
        }
        all->requests[i] = one.request;
        all->requests[i].params = params;
        all->requests[i].param_count = names;
        all->parts[i].all = all;
        all->args[i] = &all->parts[i];
    }
    fb_fetch_start_many(call->node->engine, all->requests, all->count, answer_part, all->args);
    part_is_there(all);
    call->outcome = slot->done ? FB_OK : FB_PENDING;
}

// ---- FB.KEY, FB.REGION

static void write_key(void *arg, fb_str key) {
    fb_reply_bytes(arg, key);
}

void fb_verb_key(fb_command_call *call) {
    size_t at = fb_command_word(call, 1, "CLASS") && call->arg_count > 2 ? 2 : 1;
    fb_param params[PARAMS_MAX];
    fb_request request = {.class_name = call->args[at], .params = params};
    fb_error error = {0};
    if (!read_params(call, at + 1, params, &request.param_count)) {
        return;
    }
    int result = fb_fetch_key(call->node->engine, &request, write_key, call->reply, &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
    }
}

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
    say_count(call->reply, "generation", info.generation);
    say_path(call->reply, "socket", call->node->socket_path);
    say_count(call->reply, "limit", info.limit_bytes);
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
    fb_param params[PARAMS_MAX];
    size_t count = 0;
    if (!read_params(call, at + 1, params, &count)) {
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
    say_count(reply, "count", latency->count);
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
    say_text(reply, "name", figures->name);
#define SAY_COUNTER(field, help) say_count(reply, #field, figures->field);
    FB_CACHE_COUNTERS(SAY_COUNTER)
#undef SAY_COUNTER
    say_double(reply, "hit_rate_percent",
               reads > 0 ? 100.0 * (double)figures->hits / (double)reads : 0);
    say_latency(reply, "hit", &figures->hit);
    say_latency(reply, "miss", &figures->miss);
    say_latency(reply, "load", &figures->load);
    say_integer(reply, "ttl_ms", figures->ttl_ms);
}

static void say_whole(fb_reply *reply, const fb_stats *stats) {
    say_count(reply, "entries", stats->entries);
    say_count(reply, "memory_bytes", stats->memory_bytes);
    say_count(reply, "memory_limit_bytes", stats->memory_limit_bytes);
    say_count(reply, "evictions", stats->evictions);
    say_count(reply, "expirations", stats->expirations);
    say_integer(reply, "uptime_ms", stats->uptime_ms);
    say_count(reply, "loads_running", stats->loads_running);
    say_count(reply, "loads_waiting", stats->loads_waiting);
    say_count(reply, "loops", stats->loops);
    say_count(reply, "workers", stats->workers);
    say_boolean(reply, "shared_configured", stats->shared_configured);
    say_boolean(reply, "shared_connected", stats->shared_connected);
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
    say_text(reply, "class", is.class_name);
    say_text(reply, "tier", tier_name(is.tier));
    say_boolean(reply, "negative", is.negative);
    say_boolean(reply, "hit_for_miss", is.hit_for_miss);
    bool there = is.tier != FB_TIER_NONE;
    say_text(reply, "freshness", there ? freshness_name(is.freshness) : "none");
    say_text(reply, "kind", there ? kind_name(is.kind) : "none");
    say_integer(reply, "age_ms", is.age_ms);
    say_integer(reply, "fresh_for_ms", is.fresh_for_ms);
    say_integer(reply, "gone_in_ms", is.gone_in_ms);
    say_integer(reply, "load_cost_us", is.load_cost_us);
    say_count(reply, "value_bytes", is.value_bytes);
    say_boolean(reply, "loading", is.loading);
    say_text(reply, "last_miss", is.last_miss);
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
