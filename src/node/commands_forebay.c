// Forebay's own verbs but those that fetch (commands_fetch.c) and FB.STATS (commands_stats.c).
//
// Their grammar: option words first, then the class or scope, then names and values of any kind. So
// a parameter, a key or a tag may have any name; only a class that is called like an option needs
// the word CLASS before it.
//
//     FB.INVALIDATE [SOFT] [WAIT LOCAL|REDIS|NODES] [TIMEOUT ms] [SRCVER version]
//                   KEY|PATTERN|TAG|CLASS|NAMESPACE name [name ...]
//     FB.INVALIDATE [SOFT] [WAIT …] [TIMEOUT ms] ALL
//     FB.WARM [CLASS] class [param value ...]
//     FB.WARM TOP class count
//     FB.REGION
//     FB.EXPLAIN key
//
// Errors begin with a code word: NOCLASS, NOSOURCE, TIMEOUT, OVERLOAD, SOURCE, DENIED, CLOSING,
// OOM; NOTREACHED where WAIT was not fulfilled; ERR for what the caller did wrong.

#include "node/command_table.h"

#include <string.h>

#include "node/cache_words.h"
#include "node/say.h"
#include "node/session_state.h"

enum { NAME_SHOWN = 64 };

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

typedef struct invalidating {
    fb_invalidate_words words;
    fb_receipt receipt;  // of the last name; of the last that did not reach as far as it was to
    int64_t removed;
} invalidating;

static void refuse_name(fb_command_call *call, const char *what, fb_str name) {
    fb_reply_error(call->reply, "NOCLASS there is no %s '%.*s'", what,
                   (int)(name.len < NAME_SHOWN ? name.len : NAME_SHOWN), name.ptr);
}

// Names before the one that fails have been invalidated; that one does not reach far enough keeps none
// of the others from it.
static int invalidate_names(fb_command_call *call, invalidating *job) {
    fb_invalidation *what = &job->words.what;
    int outcome = FB_OK;
    for (size_t i = job->words.first_name; i < call->arg_count; i++) {
        int64_t count = 0;
        fb_receipt receipt;
        what->name = call->args[i];
        int result =
            fb_invalidate_to(call->node->engine, what, &job->words.options, &count, &receipt);
        if (result < 0) {
            return result;
        }
        if (result == FB_REFUSED || outcome == FB_OK) {
            job->receipt = receipt;
            outcome = result;
        }
        job->removed = count < 0 || job->removed < 0 ? -1 : job->removed + count;
    }
    return outcome;
}

static const char *reach_text(fb_reach reach) {
    return reach == FB_REACH_NODES    ? "nodes"
           : reach == FB_REACH_SHARED ? "shared"
                                      : "local";
}

static void say_receipt(fb_command_call *call, const invalidating *job, bool one_name) {
    fb_reply_map(call->reply, 5);
    fb_say_integer(call->reply, "removed", job->removed);
    fb_say_text(call->reply, "reached", reach_text(job->receipt.reached));
    fb_say_count(call->reply, "nodes", job->receipt.node_count);
    fb_say_count(call->reply, "nodes_alive", job->receipt.nodes_alive);
    fb_say_text(call->reply, "token", one_name ? job->receipt.token : "");  // it names one change
}

static void say_not_reached(fb_command_call *call, const invalidating *job) {
    bool unsure = job->receipt.reached == FB_REACH_SHARED &&
                  job->receipt.node_count == job->receipt.nodes_alive;  // a log that is new
    fb_reply_error(call->reply,
                   "NOTREACHED it is in force on this node and has reached: %s (%u of %u other "
                   "nodes%s); the rest is told as soon as it can be",
                   reach_text(job->receipt.reached), job->receipt.node_count,
                   job->receipt.nodes_alive, unsure ? ", and there may be more" : "");
}

void fb_verb_invalidate(fb_command_call *call) {
    invalidating job = {.removed = 0};
    const fb_invalidate_words *words = &job.words;
    if (!fb_cache_words_invalidate(call, &job.words)) {
        return;
    }
    int result = words->what.scope == FB_SCOPE_ALL
                     ? fb_invalidate_to(call->node->engine, &words->what, &words->options,
                                        &job.removed, &job.receipt)
                     : invalidate_names(call, &job);
    if (result == FB_ENOCLASS) {
        refuse_name(call, words->what.scope == FB_SCOPE_NAMESPACE ? "namespace" : "class",
                    words->what.name);
    } else if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else if (result == FB_REFUSED) {
        say_not_reached(call, &job);
    } else if (words->wait_given) {
        say_receipt(call, &job, words->first_name + 1 >= call->arg_count);
    } else {
        fb_reply_integer(call->reply, job.removed);
    }
}

// ---- FB.WARM

void fb_verb_warm(fb_command_call *call) {
    fb_warm_words words;
    fb_error error = {0};
    uint64_t started = 0;
    if (!fb_cache_words_warm(call, &words)) {
        return;
    }
    const fb_request *request = &words.fetch.request;
    fb_engine *engine = call->node->engine;
    int result = words.top ? fb_warm_top(engine, request->class_name, words.count, &started)
                           : fb_warm(engine, request->class_name, request->params,
                                     request->param_count, &started, &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
    } else {
        fb_reply_integer(call->reply, (int64_t)started);
    }
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
