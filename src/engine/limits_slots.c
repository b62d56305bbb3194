// Leases.
//
// The lowest bit of a token says who gave it: this node alone (1), or the shared tier (0). So a
// lease that was given while that was away is renewed and released here, and nobody is asked about
// it.
//
// Who is not limited (exempt, shadow mode) gets a token that nobody knows; renewing and releasing
// it works.

#include "engine/limits_tier.h"

#include <sys/random.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "os/clock.h"

enum { TURNS_MAX = 8 };

static int understand(fb_limits *limits, const fb_limit_question *question, fb_limit_ask *ask,
                      fb_error *error) {
    int result = fb_limits_understand(limits, question, ask, error);
    if (result < 0) {
        return result;
    }
    if (ask->quota->plan.form != FB_LIMIT_FORM_SLOTS) {
        return fb_error_set(error, FB_EINVAL, "limit %s counts requests, not leases",
                            ask->rule->options.name);
    }
    ask->cost = ask->wanted = 1;
    return FB_OK;
}

static int refuse_closed(fb_error *error) {
    return fb_error_set(error, FB_ECLOSED, "shutting down");
}

static uint64_t new_token(fb_limits *limits, bool here) {
    uint64_t token = 0;
    if (getrandom(&token, sizeof token, 0) != (ssize_t)sizeof token) {
        uint64_t now = (uint64_t)fb_clock_now_ns();
        token = fb_limit_hash(&limits->hash_key, fb_str_make((const char *)&now, sizeof now));
    }
    token = here ? token | 1 : token & ~UINT64_C(1);
    return token != 0 ? token : 2;
}

// µs of a lease of ttl_ms; 0: as long as can be. Negative ones are the caller's mistake.
static int lease_us(const fb_limit_ask *ask, int64_t ttl_ms, int64_t *ttl_us, fb_error *error) {
    int64_t most_us = ask->quota->plan.window_us;
    if (ttl_ms < 0) {
        return fb_error_set(error, FB_EINVAL, "the time of a lease is negative");
    }
    *ttl_us = ttl_ms == 0 || ttl_ms > most_us / 1000 ? most_us : ttl_ms * 1000;
    return FB_OK;
}

static void learn(fb_limits *limits, fb_limit_ask *ask) {
    fb_limit_talk talk = {.limits = limits, .begin_ns = fb_clock_now_ns()};
    if (limits->shared) {
        fb_limits_learn(&talk, ask);
    }
}

static bool is_known(const fb_limit_ask *ask) {
    return !ask->settled && !ask->rule->options.shadow;
}

// ---- here

static fb_limit_slots *slots_of(const fb_limit_ask *ask) {
    return ask->local ? ask->rule->slots_fallback : ask->rule->slots;
}

static void say(fb_limit_ask *ask, const fb_limit_slots_answer *answer, bool allowed) {
    fb_limit_slots_explain(ask->plan, answer, allowed, ask->verdict);
    ask->verdict->source = ask->local ? FB_LIMIT_BY_LOCAL : FB_LIMIT_BY_MEMORY;
    ask->verdict->degraded = ask->local;
    ask->settled = true;
}

static void acquire_here(fb_limits *limits, fb_limit_ask *ask, uint64_t token, int64_t ttl_us) {
    fb_limit_slots_answer answer = {0};
    int result = fb_limit_slots_acquire(slots_of(ask), ask->hash, ask->plan, token, ttl_us,
                                        fb_limits_now_us(limits), &answer);
    if (result == FB_OK || result == FB_LIMITED) {
        say(ask, &answer, result == FB_OK);
        ask->grant = result == FB_OK ? FB_LIMIT_GRANT_HERE : FB_LIMIT_GRANT_NONE;
        return;
    }
    bool open = ask->rule->options.full == FB_LIMIT_FULL_OPEN;
    bool degraded = ask->local;
    fb_limits_undecided(ask, open, open ? FB_LIMIT_BY_OPEN : FB_LIMIT_BY_CLOSED);
    ask->verdict->retry_us = open ? 0 : ask->plan->window_us;
    ask->verdict->degraded = degraded;
    fb_limit_ledger_add(ask->rule->ledger, FB_LIMIT_COUNTER_untracked, open ? 1 : 0);
}

static void look_here(fb_limits *limits, fb_limit_ask *ask) {
    fb_limit_slots_answer answer = {0};
    fb_limit_slots_look(slots_of(ask), ask->hash, ask->plan, fb_limits_now_us(limits), &answer);
    say(ask, &answer, answer.used < ask->plan->limit);
}

// ---- in the shared tier

typedef struct lease {
    fb_limit_verb verb;
    uint64_t token;
    int64_t ttl_us;
} lease;

static bool is_of_here(uint64_t token) {
    return token % 2 == 1;
}

// Who is exempt or barred for a time is not asked for; but the leases that he has are renewed and
// released all the same, as they may outlive that time.
static bool is_asked(const fb_limit_ask *ask, const lease *what) {
    bool changes = what->verb == FB_LIMIT_RENEW || what->verb == FB_LIMIT_RELEASE;
    return !ask->settled || (changes && ask->override.kind != FB_LIMIT_OVERRIDE_NONE);
}

// FB_OK with the answer, or settled beforehand or by an override (`found` is false then); else as
// fb_limits_exchange().
static int ask_there(fb_limits *limits, fb_limit_ask *ask, const lease *what,
                     fb_limit_answer *answer) {
    fb_limit_talk talk = {.limits = limits, .begin_ns = fb_clock_now_ns()};
    answer->reply.found = false;
    for (int turn = 0; turn < TURNS_MAX && is_asked(ask, what); turn++) {
        unsigned char override[FB_LIMIT_OVERRIDE_BYTES];
        fb_limit_part part;
        fb_limits_describe(ask, &part, override);
        part.token = what->token;
        part.ttl_us = what->ttl_us;
        fb_limit_request request = {
            .verb = what->verb, .key = ask->key, .parts = &part, .part_count = 1};
        int result = fb_limits_exchange(limits, ask->hash, &request,
                                        fb_limits_until_ns(&talk, ask), answer);
        if (result < 0 || answer->reply.result == FB_LIMIT_DONE) {
            return result;
        }
        ask->settled = false;
        fb_limits_overridden(limits, ask, &answer->reply);
    }
    return ask->settled ? FB_OK : FB_EIO;
}

static void say_there(fb_limit_ask *ask, const fb_limit_reply *reply, bool allowed) {
    fb_limit_slots_answer answer = {.used = reply->slots.used,
                                    .next_us = reply->slots.next_us,
                                    .last_us = reply->slots.last_us};
    say(ask, &answer, allowed);
    ask->verdict->source = FB_LIMIT_BY_SHARED;
}

// Settled; the token is one of here where this node granted the lease. FB_ECLOSED.
static int acquire_there(fb_limits *limits, fb_limit_ask *ask, uint64_t *token, int64_t ttl_us) {
    fb_limit_answer answer;
    lease what = {FB_LIMIT_ACQUIRE, *token, ttl_us};
    int result = ask_there(limits, ask, &what, &answer);
    if (result == FB_OK && !ask->settled) {
        say_there(ask, &answer.reply, answer.reply.found);
        ask->grant = answer.reply.found ? FB_LIMIT_GRANT_TIER : FB_LIMIT_GRANT_NONE;
    }
    if (result == FB_OK || result == FB_ECLOSED) {
        return result;
    }
    if (fb_limits_asks_memory(limits, ask, result)) {
        *token = new_token(limits, true);
        acquire_here(limits, ask, *token, ttl_us);
    }
    return FB_OK;
}

static int look_there(fb_limits *limits, fb_limit_ask *ask) {
    fb_limit_answer answer;
    lease what = {.verb = FB_LIMIT_COUNT};
    int result = ask_there(limits, ask, &what, &answer);
    if (result == FB_OK && !ask->settled) {
        say_there(ask, &answer.reply, answer.reply.slots.used < ask->plan->limit);
    }
    if (result == FB_OK || result == FB_ECLOSED) {
        return result;
    }
    if (fb_limits_asks_memory(limits, ask, result)) {
        look_here(limits, ask);
    }
    return FB_OK;
}

// Renews or releases.
static int change_there(fb_limits *limits, fb_limit_ask *ask, const lease *what, fb_error *error) {
    fb_limit_answer answer;
    int result = ask_there(limits, ask, what, &answer);
    if (result == FB_OK) {
        return answer.reply.found ? FB_OK : FB_MISS;
    }
    return fb_limits_say_failed(result, answer.why, error);
}

static int change_here(fb_limits *limits, fb_limit_ask *ask, const lease *what) {
    int64_t now_us = fb_limits_now_us(limits);
    fb_limit_slots *slots = limits->shared ? ask->rule->slots_fallback : ask->rule->slots;
    return what->verb == FB_LIMIT_RENEW
               ? fb_limit_slots_renew(slots, ask->hash, &ask->quota->plan, what->token,
                                      what->ttl_us, now_us)
               : fb_limit_slots_release(slots, ask->hash, what->token, now_us);
}

static int change(fb_limits *limits, fb_limit_ask *ask, const lease *what, fb_error *error) {
    fb_verdict verdict;
    bool here = !limits->shared || is_of_here(what->token);
    if (what->token == 0) {
        return FB_MISS;  // no lease has that name
    }
    if (!fb_limits_enter(limits, here)) {
        return refuse_closed(error);
    }
    ask->verdict = &verdict;
    fb_limits_place(limits, ask);
    int result = here ? change_here(limits, ask, what) : change_there(limits, ask, what, error);
    fb_limits_leave(limits, here);
    return result == FB_MISS && !is_known(ask) ? FB_OK : result;
}

// ---- the public calls

int fb_slot_acquire(fb_engine *engine, const fb_limit_question *question, int64_t ttl_ms,
                    uint64_t *token, fb_verdict *verdict, fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    fb_limit_ask ask;
    int64_t ttl_us = 0;
    int result = understand(limits, question, &ask, error);
    if (result == FB_OK) {
        result = lease_us(&ask, ttl_ms, &ttl_us, error);
    }
    if (result < 0) {
        return result;
    }
    bool here = !limits->shared;
    if (!fb_limits_enter(limits, here)) {
        return refuse_closed(error);
    }
    ask.verdict = verdict;
    *token = new_token(limits, here);
    fb_limits_place(limits, &ask);
    learn(limits, &ask);
    if (!ask.settled && here) {
        acquire_here(limits, &ask, *token, ttl_us);
    } else if (!ask.settled) {
        result = acquire_there(limits, &ask, token, ttl_us);
    }
    fb_limits_leave(limits, here);
    if (result < 0) {
        return refuse_closed(error);
    }
    fb_limits_finish(&ask, false);
    return verdict->allowed ? FB_OK : FB_LIMITED;
}

int fb_slot_renew(fb_engine *engine, const fb_limit_question *question, uint64_t token,
                  int64_t ttl_ms, fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    fb_limit_ask ask;
    lease what = {.verb = FB_LIMIT_RENEW, .token = token};
    int result = understand(limits, question, &ask, error);
    if (result == FB_OK) {
        result = lease_us(&ask, ttl_ms, &what.ttl_us, error);
    }
    return result < 0 ? result : change(limits, &ask, &what, error);
}

int fb_slot_release(fb_engine *engine, const fb_limit_question *question, uint64_t token,
                    fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    fb_limit_ask ask;
    lease what = {.verb = FB_LIMIT_RELEASE, .token = token};
    int result = understand(limits, question, &ask, error);
    return result < 0 ? result : change(limits, &ask, &what, error);
}

int fb_slot_peek(fb_engine *engine, const fb_limit_question *question, fb_verdict *verdict,
                 fb_error *error) {
    fb_engine_ours(engine);
    fb_limits *limits = engine->limits;
    fb_limit_ask ask;
    int result = understand(limits, question, &ask, error);
    if (result < 0) {
        return result;
    }
    bool here = !limits->shared;
    if (!fb_limits_enter(limits, here)) {
        return refuse_closed(error);
    }
    ask.verdict = verdict;
    fb_limits_place(limits, &ask);
    learn(limits, &ask);
    if (!ask.settled && here) {
        look_here(limits, &ask);
    } else if (!ask.settled) {
        result = look_there(limits, &ask);
    }
    fb_limits_leave(limits, here);
    if (result < 0) {
        return refuse_closed(error);
    }
    fb_limits_finish(&ask, true);
    return verdict->allowed ? FB_OK : FB_LIMITED;
}
