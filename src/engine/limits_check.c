// Questions: all are understood before any is asked, so that a wrong one has changed nothing.
//
// What is not in shadow mode is decided together. What is, is asked afterwards and by itself, so
// that it keeps nobody out; it charges where the others were allowed.
//
// Most calls have one question, of a rule without lists, and no shared tier to wait for: these go a
// short way (fb_limits_check_plain()), which comes to the same.

#include "engine/limits_tier.h"

#include "base/check.h"
#include "base/error.h"
#include "base/rule.h"
#include "base/str.h"
#include "os/clock.h"

bool fb_limits_enter(fb_limits *limits, bool here) {
    return here ? !atomic_load_explicit(&limits->engine->closing, memory_order_relaxed)
                : fb_engine_enter(limits->engine);
}

void fb_limits_leave(fb_limits *limits, bool here) {
    if (!here) {
        fb_engine_idle(limits->engine);
    }
}

static int understand_all(fb_limits *limits, const fb_limit_question *questions, size_t count,
                          fb_limit_ask *asks, fb_error *error) {
    if (count == 0 || count > FB_LIMIT_QUESTIONS_MAX) {
        return fb_error_set(error, FB_EINVAL, "expected 1 to %d limits, found %zu",
                            FB_LIMIT_QUESTIONS_MAX, count);
    }
    for (size_t i = 0; i < count; i++) {
        int result = fb_limits_understand(limits, &questions[i], &asks[i], error);
        if (result < 0) {
            return result;
        }
        if (asks[i].quota->plan.form == FB_LIMIT_FORM_SLOTS) {
            return fb_error_set(error, FB_EINVAL, "limit %s counts leases, not requests",
                                asks[i].rule->options.name);
        }
    }
    return FB_OK;
}

static bool decide(fb_limit_talk *talk, const fb_limit_group *group, fb_limit_act act, bool here) {
    return here ? fb_limits_decide_here(talk->limits, group, act)
                : fb_limits_decide_tier(talk, group, act);
}

static bool stands_apart(const fb_limit_ask *ask) {
    return FB_RULE(limits_shadow) && ask->rule->options.shadow;
}

static void decide_all(fb_limit_talk *talk, fb_limit_ask *asks, size_t count, fb_limit_act act,
                       bool here) {
    fb_limit_group strict = {.count = 0};
    for (size_t i = 0; i < count; i++) {
        if (!stands_apart(&asks[i])) {
            strict.asks[strict.count++] = &asks[i];
        }
    }
    bool allowed = decide(talk, &strict, act, here);
    for (size_t i = 0; i < count && talk->result == FB_OK; i++) {
        if (stands_apart(&asks[i])) {
            fb_limit_group one = {.asks = {&asks[i]}, .count = 1};
            (void)decide(talk, &one, allowed ? act : FB_LIMIT_LOOK, here);
        }
    }
}

static int check_all(fb_limits *limits, const fb_limit_question *questions, size_t count,
                     unsigned flags, fb_verdict *verdicts, fb_error *error) {
    fb_limit_ask asks[FB_LIMIT_QUESTIONS_MAX];
    bool peek = (flags & FB_LIMIT_PEEK) != 0;
    int result = understand_all(limits, questions, count, asks, error);
    if (result < 0) {
        return result;
    }
    bool here = !limits->shared || (flags & FB_LIMIT_LOCAL) != 0;
    if (!fb_limits_enter(limits, here)) {
        return fb_error_set(error, FB_ECLOSED, "shutting down");
    }
    fb_limit_talk talk = {.limits = limits, .begin_ns = here ? 0 : fb_clock_now_ns()};
    for (size_t i = 0; i < count; i++) {
        asks[i].verdict = &verdicts[i];
        fb_limits_place(limits, &asks[i]);
    }
    decide_all(&talk, asks, count, peek ? FB_LIMIT_LOOK : FB_LIMIT_TAKE, here);
    fb_limits_leave(limits, here);
    if (talk.result < 0) {
        return fb_error_set(error, talk.result, "shutting down");
    }
    for (size_t i = 0; i < count; i++) {
        fb_limits_finish(&asks[i], peek);
        result = asks[i].verdict->allowed ? result : FB_LIMITED;
    }
    return result;
}

int fb_limit_check(fb_engine *engine, const fb_limit_question *questions, size_t count,
                   unsigned flags, fb_verdict *verdicts, fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    bool here = !limits->shared || (flags & FB_LIMIT_LOCAL) != 0;
    if (count == 1 && here && fb_limits_enter(limits, true)) {
        int result = fb_limits_check_plain(limits, questions, (flags & FB_LIMIT_PEEK) != 0,
                                           verdicts);
        fb_limits_leave(limits, true);
        if (result != FB_MISS) {
            return result;
        }
    }
    return check_all(limits, questions, count, flags, verdicts, error);
}

int fb_throttle(fb_engine *engine, fb_str key, int64_t burst, int64_t count, int64_t period_s,
                int64_t quantity, fb_verdict *verdict, fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    fb_limit_ask ask = {.rule = limits->throttle,
                        .quota = &limits->throttle->quotas[0],
                        .key = key,
                        .cost = (uint32_t)quantity,
                        .wanted = (uint32_t)quantity,
                        .verdict = verdict};
    ask.plan = &ask.made;
    if (key.len == 0 || key.len > FB_LIMIT_KEY_MAX) {
        return fb_error_set(error, key.len == 0 ? FB_EINVAL : FB_ETOOBIG,
                            "the key has 1 to %d bytes", FB_LIMIT_KEY_MAX);
    }
    if (quantity < 0 || quantity > (int64_t)FB_LIMIT_COST_MAX ||
        fb_limit_plan_throttle(&ask.made, burst, count, period_s) < 0) {
        return fb_error_set(error, FB_EINVAL, "burst, count, period or quantity out of range");
    }
    bool here = !limits->shared;
    if (!fb_limits_enter(limits, here)) {
        return fb_error_set(error, FB_ECLOSED, "shutting down");
    }
    // The bucket is the key's: with other numbers it goes on from what is in it.
    ask.hash = fb_limit_hash(&limits->hash_key, key);
    fb_limit_group group = {.asks = {&ask}, .count = 1};
    bool peek = quantity == 0;
    fb_limit_talk talk = {.limits = limits, .begin_ns = here ? 0 : fb_clock_now_ns()};
    (void)decide(&talk, &group, peek ? FB_LIMIT_LOOK : FB_LIMIT_TAKE, here);
    fb_limits_leave(limits, here);
    if (talk.result < 0) {
        return fb_error_set(error, talk.result, "shutting down");
    }
    fb_limits_finish(&ask, peek);
    return verdict->allowed ? FB_OK : FB_LIMITED;
}
