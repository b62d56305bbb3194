// Verbs that are about more than one node: leases, holds, versions, and how the shared tier stands.
// They work without one, too: then this node is all there is.
//
//     FB.GET key [LEASE ms] [MINSEQ token]        -> [value, bytes] [negative] [lease, token] [wait]
//     FB.FILL key token value [EX s | PX ms] [SRCVER n] [TAGS n tag ...]      -> 1, or 0: not stored
//     FB.SET key value [EX s | PX ms] [SRCVER n] [TAGS n tag ...]        -> a token, or nil: refused
//     FB.HOLD key ms                                                                          -> OK
//     FB.SHARED                                                                               -> map
//
// A token of FB.FILL is a lease, in decimal; those of FB.SET and FB.INVALIDATE … WAIT name a place in
// the log, for MINSEQ: whoever reads with it is answered with nothing older than that change.

#include "node/command_table.h"

#include <stdio.h>

#include "base/str.h"
#include "node/say.h"
#include "node/words.h"

static bool no_more(fb_command_call *call, size_t at) {
    if (at < call->arg_count) {
        fb_command_syntax_error(call);
        return false;
    }
    return true;
}

// ---- FB.GET, FB.FILL

static void say_value(fb_command_call *call, fb_value *value) {
    fb_reply_array(call->reply, 2);
    fb_reply_text(call->reply, "value");
    fb_reply_bytes(call->reply, value->data);
    fb_value_release(value);
}

static void say_word(fb_command_call *call, const char *word) {
    fb_reply_array(call->reply, 1);
    fb_reply_text(call->reply, word);
}

static void say_lease(fb_command_call *call, uint64_t token) {
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)token);
    fb_reply_array(call->reply, 2);
    fb_reply_text(call->reply, "lease");
    fb_reply_bytes(call->reply, fb_str_make(text, (size_t)len));
}

static void say_lookup(fb_command_call *call, int result, fb_value *value, uint64_t token) {
    switch (result) {
        case FB_OK:
            say_value(call, value);
            break;
        case FB_NEGATIVE:
            say_word(call, "negative");
            break;
        case FB_MISS:
            say_lease(call, token);
            break;
        case FB_PENDING:
            say_word(call, "wait");
            break;
        default:
            fb_command_failed(call, result, NULL);
    }
}

void fb_verb_get(fb_command_call *call) {
    fb_words words;
    size_t at = 2;
    if (!fb_words_read(call, FB_WORD_LEASE | FB_WORD_MINSEQ, &at, &words) || !no_more(call, at)) {
        return;
    }
    fb_engine *engine = call->node->engine;
    fb_value value = {0};
    uint64_t token = 0;
    int result = FB_MISS;
    if (words.after.len > 0) {
        result = fb_get_after(engine, call->args[1], words.after, &value);
        if (result == FB_EINVAL) {
            fb_reply_error(call->reply, "ERR MINSEQ: this is no token of a change");
            return;
        }
    }
    if (result == FB_MISS) {
        result = fb_lease_get(engine, call->args[1], words.lease_ms, &value, &token);
    }
    say_lookup(call, result, &value, token);
}

static fb_set_options options_of(const fb_words *words) {
    return (fb_set_options){.ttl_ms = words->ttl_ms,
                            .tags = words->tags,
                            .tag_count = words->tag_count,
                            .source_version = words->source_version};
}

void fb_verb_fill(fb_command_call *call) {
    fb_words words;
    size_t at = 4;
    uint64_t token;
    if (!fb_words_read(call, FB_WORD_TTL | FB_WORD_SRCVER | FB_WORD_TAGS, &at, &words) ||
        !no_more(call, at)) {
        return;
    }
    if (!fb_words_token(call->args[2], &token)) {
        fb_reply_error(call->reply, "ERR the token is not one that FB.GET gave");
        return;
    }
    fb_set_options options = options_of(&words);
    int result =
        fb_lease_fill(call->node->engine, call->args[1], token, call->args[3], &options);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, result == FB_OK);
    }
}

// ---- FB.SET, FB.HOLD

void fb_verb_set(fb_command_call *call) {
    fb_words words;
    fb_receipt receipt = {.reached = FB_REACH_LOCAL};
    size_t at = 3;
    if (!fb_words_read(call, FB_WORD_TTL | FB_WORD_SRCVER | FB_WORD_TAGS, &at, &words) ||
        !no_more(call, at)) {
        return;
    }
    fb_set_options options = options_of(&words);
    options.receipt = &receipt;
    int result = fb_set(call->node->engine, call->args[1], call->args[2], &options);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else if (result == FB_REFUSED) {
        fb_reply_null(call->reply);
    } else {
        fb_reply_text(call->reply, receipt.token);
    }
}

void fb_verb_hold(fb_command_call *call) {
    int64_t hold_ms;
    fb_receipt receipt;
    if (!fb_command_int(call, 2, &hold_ms)) {
        return;
    }
    if (hold_ms < 1 || hold_ms > 3600000) {
        fb_reply_error(call->reply, "ERR a hold lasts from 1 to 3600000 milliseconds");
        return;
    }
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = call->args[1]};
    fb_invalidate_options options = {.hold_ms = hold_ms};
    int result = fb_invalidate_to(call->node->engine, &what, &options, NULL, &receipt);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_status(call->reply, "OK");
    }
}

// ---- FB.SHARED

static void count_one(void *arg, const char *name, const char *help, uint64_t value) {
    (void)name, (void)help, (void)value;
    (*(size_t *)arg)++;
}

static void say_one(void *arg, const char *name, const char *help, uint64_t value) {
    (void)help;
    fb_say_count(arg, name, value);
}

void fb_verb_shared(fb_command_call *call) {
    fb_engine *engine = call->node->engine;
    fb_shared_info info;
    size_t counters = 0;
    fb_shared_info_read(engine, &info);
    fb_shared_counters(engine, count_one, &counters);
    fb_reply_map(call->reply, 9 + counters);
    fb_say_text(call->reply, "state", fb_say_shared_state(info.state));
    fb_say_text(call->reply, "address", info.address);
    fb_say_text(call->reply, "server", info.server);
    fb_say_text(call->reply, "why", info.why);
    fb_reply_text(call->reply, "unfit");
    fb_reply_array(call->reply, info.unfit_count);
    for (uint32_t i = 0; i < info.unfit_count; i++) {
        fb_reply_text(call->reply, info.unfit[i]);
    }
    fb_say_count(call->reply, "partitions", info.partitions);
    fb_say_count(call->reply, "degraded", info.degraded);
    fb_say_integer(call->reply, "lag_ms", info.lag_ms);
    fb_say_count(call->reply, "owed_now", info.owed);
    fb_shared_counters(engine, say_one, call->reply);
}
