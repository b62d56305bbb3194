// Giving back, beginning anew, and another limit for a time.

#include "engine/limits_tier.h"

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

static const int64_t OVERRIDE_MAX_MS = INT64_C(366) * 24 * 3600 * 1000;

static int refuse_closed(fb_error *error) {
    return fb_error_set(error, FB_ECLOSED, "shutting down");
}

int fb_limits_say_failed(int result, const char *why, fb_error *error) {
    switch (result) {
        case FB_ECLOSED:
            return refuse_closed(error);
        case FB_ETIMEDOUT:
            return fb_error_set(error, result, "the shared tier did not answer in time");
        case FB_EINVAL:
            return fb_error_set(error, FB_EIO, "a loop must not wait for the shared tier");
        default:
            return why[0] != '\0'
                       ? fb_error_set(error, FB_EIO, "the shared tier did not do it: %s", why)
                       : fb_error_set(error, FB_EIO, "the shared tier did not answer");
    }
}

static int refuse_slots(const fb_limit_ask *ask, fb_error *error) {
    return fb_error_set(error, FB_EINVAL, "limit %s counts leases, not requests",
                        ask->rule->options.name);
}

// ---- refund

static int give(fb_limits *limits, fb_limit_ask *ask, fb_error *error) {
    fb_limit_talk talk = {.limits = limits, .begin_ns = fb_clock_now_ns()};
    int result = FB_OK;
    if (limits->shared) {
        fb_limits_learn(&talk, ask);
    }
    if (ask->settled) {
        return FB_OK;
    }
    if (limits->shared) {
        result = fb_limits_ask_tier(&talk, &ask, 1, FB_LIMIT_GIVE);
        fb_limit_denials_forget(limits->denials, fb_limits_hash_of(ask));
    } else {
        fb_limits_give_here(limits, ask);
    }
    if (result < 0) {
        return fb_limits_say_failed(result, talk.why, error);
    }
    fb_limit_ledger_add(ask->rule->ledger, FB_LIMIT_COUNTER_refunded, ask->cost);
    return FB_OK;
}

int fb_limit_refund(fb_engine *engine, const fb_limit_question *question, fb_verdict *verdict,
                    fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    fb_limit_ask ask;
    fb_verdict unseen;
    int result = fb_limits_understand(limits, question, &ask, error);
    if (result < 0) {
        return result;
    }
    if (ask.quota->plan.form == FB_LIMIT_FORM_SLOTS) {
        return refuse_slots(&ask, error);
    }
    if (!fb_limits_enter(limits, !limits->shared)) {
        return refuse_closed(error);
    }
    ask.verdict = verdict != NULL ? verdict : &unseen;
    fb_limits_place(limits, &ask);
    result = give(limits, &ask, error);
    fb_limits_leave(limits, !limits->shared);
    if (result == FB_OK) {
        fb_limits_finish(&ask, true);
    }
    return result;
}

// ---- reset

static void forget_here(fb_limits *limits, const fb_limit_ask *ask) {
    fb_limit_rule *rule = ask->rule;
    if (ask->override.kind == FB_LIMIT_OVERRIDE_LIMIT) {
        fb_limit_table_forget(limits->own[ask->plan->form == FB_LIMIT_FORM_FIXED ? 1 : 0],
                              fb_limits_hash_of(ask));
    }
    for (size_t i = 0; i < rule->quota_count; i++) {
        const fb_limit_quota *quota = &rule->quotas[i];
        if (quota->table != NULL) {
            fb_limit_table_forget(quota->table, ask->hash);
        }
        if (quota->fallback != NULL) {
            fb_limit_table_forget(quota->fallback, ask->hash);
        }
    }
    if (rule->slots != NULL) {
        fb_limit_slots_forget(rule->slots, ask->hash);
    }
    if (rule->slots_fallback != NULL) {
        fb_limit_slots_forget(rule->slots_fallback, ask->hash);
    }
    fb_limit_overrides_forget(limits->overrides, ask->hash ^ rule->salt);
}

static void forget_known(fb_limits *limits, const fb_limit_ask *ask) {
    fb_limit_denials_forget(limits->denials, fb_limits_hash_of(ask));
    for (size_t i = 0; i < ask->rule->quota_count; i++) {
        uint64_t hash = ask->hash ^ ask->rule->quotas[i].salt;
        fb_limit_denials_forget(limits->denials, hash);
        fb_limit_chunks_forget(limits->chunks, hash);
    }
}

// All that the tier knows of a key: the states of all tiers, and those under an override that this
// node knows of.
static int forget_there(fb_limits *limits, const fb_limit_ask *ask, fb_limit_answer *answer) {
    fb_limit_rule *rule = ask->rule;
    fb_limit_talk talk = {.limits = limits, .begin_ns = fb_clock_now_ns()};
    size_t count = 0;
    fb_limit_part *parts = fb_mem_zero(rule->quota_count + 1, sizeof *parts);
    if (parts == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < rule->quota_count; i++) {
        const fb_limit_quota *quota = &rule->quotas[i];
        bool chunked = rule->options.chunk > 0 && !quota->exempt;
        parts[count++] = (fb_limit_part){.plan = chunked ? &quota->chunked : &quota->plan,
                                         .rule = fb_str_of(rule->options.name),
                                         .tier = quota->tier};
    }
    if (ask->override.kind == FB_LIMIT_OVERRIDE_LIMIT) {
        unsigned char override[FB_LIMIT_OVERRIDE_BYTES];
        fb_limits_describe(ask, &parts[count++], override);
    }
    fb_limit_request request = {.verb = FB_LIMIT_FORGET,
                                .key = ask->key,
                                .parts = parts,
                                .part_count = count};
    int result = fb_limits_exchange(limits, ask->hash, &request, fb_limits_until_ns(&talk, ask),
                                    answer);
    fb_mem_free(parts);
    return result;
}

// What is in memory is forgotten last: until then a question under way could have brought it back.
static int forget(fb_limits *limits, const fb_limit_ask *ask, fb_error *error) {
    fb_limit_answer answer;
    answer.why[0] = '\0';
    int result = limits->shared ? forget_there(limits, ask, &answer) : FB_OK;
    if (limits->shared) {
        forget_known(limits, ask);
    }
    forget_here(limits, ask);
    return result < 0 ? fb_limits_say_failed(result, answer.why, error) : FB_OK;
}

int fb_limit_reset(fb_engine *engine, fb_str rule, fb_str key, fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    fb_limit_question question = {.rule = rule, .key = key};
    fb_limit_ask ask;
    fb_verdict verdict;
    int result = fb_limits_understand(limits, &question, &ask, error);
    if (result < 0) {
        return result;
    }
    if (!fb_limits_enter(limits, !limits->shared)) {
        return refuse_closed(error);
    }
    ask.verdict = &verdict;
    fb_limits_place(limits, &ask);
    result = forget(limits, &ask, error);
    fb_limits_leave(limits, !limits->shared);
    return result;
}

// ---- overrides

static int check_override(const fb_limit_ask *ask, const fb_limit_override *override,
                          fb_error *error) {
    bool ends = override->kind == FB_LIMIT_OVERRIDE_NONE;
    bool limit = override->kind == FB_LIMIT_OVERRIDE_LIMIT;
    if ((unsigned)override->kind > FB_LIMIT_OVERRIDE_DENY ||
        (!ends && (override->for_ms < 1 || override->for_ms > OVERRIDE_MAX_MS)) ||
        (limit && (override->limit < 1 || override->limit > INT32_MAX))) {
        return fb_error_set(error, FB_EINVAL,
                            "expected a limit from 1 to 2147483647, for 1 ms to 366 days");
    }
    if (limit && ask->quota->plan.form == FB_LIMIT_FORM_SLOTS) {
        return refuse_slots(ask, error);
    }
    return FB_OK;
}

static int override_here(fb_limits *limits, const fb_limit_ask *ask,
                         const fb_limit_override *override, fb_error *error) {
    uint64_t hash = ask->hash ^ ask->rule->salt;
    int64_t now_us = fb_limits_now_us(limits);
    if (override->kind == FB_LIMIT_OVERRIDE_NONE) {
        fb_limit_overrides_forget(limits->overrides, hash);
        return FB_OK;
    }
    int result = fb_limit_overrides_put(limits->overrides, hash, override,
                                        now_us + override->for_ms * 1000, now_us);
    return result < 0 ? fb_error_set(error, result, "limit %s: %s", ask->rule->options.name,
                                     fb_result_text(result))
                      : FB_OK;
}

static int exchange(fb_limits *limits, const fb_limit_ask *ask, fb_limit_verb verb,
                    const fb_limit_part *part, fb_limit_answer *answer) {
    fb_limit_talk talk = {.limits = limits, .begin_ns = fb_clock_now_ns()};
    fb_limit_request request = {.verb = verb, .key = ask->key, .parts = part, .part_count = 1};
    return fb_limits_exchange(limits, ask->hash, &request, fb_limits_until_ns(&talk, ask), answer);
}

// What was counted under an earlier override goes first. (Leases would go, too; a rule that has
// them has no such overrides.)
static int override_there(fb_limits *limits, fb_limit_ask *ask, const fb_limit_override *override,
                          fb_error *error) {
    fb_limit_part part;
    fb_limit_answer answer;
    unsigned char bytes[FB_LIMIT_OVERRIDE_BYTES];
    int result = FB_OK;
    fb_limits_describe(ask, &part, bytes);
    if (override->kind == FB_LIMIT_OVERRIDE_LIMIT) {
        result = exchange(limits, ask, FB_LIMIT_FORGET, &part, &answer);
    }
    part.ttl_us = override->kind != FB_LIMIT_OVERRIDE_NONE ? override->for_ms * 1000 : 0;
    if (result == FB_OK) {
        result = exchange(limits, ask, FB_LIMIT_OVERRIDE_PUT, &part, &answer);
    }
    fb_limit_overrides_forget(limits->overrides, ask->hash ^ ask->rule->salt);
    return result < 0 ? fb_limits_say_failed(result, answer.why, error) : FB_OK;
}

// Whatever was counted under an earlier override of the same limit is forgotten: it is counted
// anew.
static void begin_anew(fb_limits *limits, fb_limit_ask *ask, const fb_limit_override *override) {
    fb_limits_adopt(ask, override);
    if (override->kind == FB_LIMIT_OVERRIDE_LIMIT) {
        fb_limit_table_forget(limits->own[ask->plan->form == FB_LIMIT_FORM_FIXED ? 1 : 0],
                              fb_limits_hash_of(ask));
    }
}

int fb_limit_override_set(fb_engine *engine, fb_str rule, fb_str key,
                          const fb_limit_override *override, fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    fb_limit_question question = {.rule = rule, .key = key};
    fb_limit_ask ask;
    fb_verdict verdict;
    int result = fb_limits_understand(limits, &question, &ask, error);
    if (result == FB_OK) {
        result = check_override(&ask, override, error);
    }
    if (result < 0) {
        return result;
    }
    if (!fb_limits_enter(limits, !limits->shared)) {
        return refuse_closed(error);
    }
    ask.verdict = &verdict;
    fb_limits_place(limits, &ask);
    if (limits->shared) {
        forget_known(limits, &ask);
    }
    begin_anew(limits, &ask, override);
    result = limits->shared ? override_there(limits, &ask, override, error)
                            : override_here(limits, &ask, override, error);
    fb_limits_leave(limits, !limits->shared);
    return result;
}
