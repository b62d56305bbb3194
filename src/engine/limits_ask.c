// A question, before anybody decides: which rule and quota it means, as what its key counts, and
// whether anybody has said something about this key beforehand. The order of what is said: an
// override for a time, the rule's deny list, its exemptions, the tier.
//
// A key's hash is that of its bytes; with the salt of a quota it names the key's quota among all.
// The same key has the same hash in all tables, which are one to a quota.
//
// States under an override lie apart, in tables of the engine: their plan may be of any form and
// size, and it is counted anew with each limit.

#include "engine/limits.h"

#include "base/check.h"
#include "base/error.h"
#include "base/glob.h"
#include "base/str.h"
#include "limit/words.h"
#include "os/clock.h"
#include "os/zone.h"

enum { NAME_SHOWN = 64 };

// ---- time

int64_t fb_limits_now_us(const fb_limits *limits) {
    return fb_clock_now_ns() / 1000 +
           atomic_load_explicit(&limits->shift_us[0], memory_order_relaxed);
}

int64_t fb_limits_wall_us(const fb_limits *limits) {
    return fb_clock_wall_ms() * 1000 +
           atomic_load_explicit(&limits->shift_us[1], memory_order_relaxed);
}

int64_t fb_limits_time_us(const fb_limits *limits, const fb_limit_plan *plan) {
    return plan->form == FB_LIMIT_FORM_FIXED ? fb_limits_wall_us(limits)
                                             : fb_limits_now_us(limits);
}

// A period is looked up once: a reader takes it where nobody changed it meanwhile.
static bool period_is_known(fb_limit_period *period, int64_t now_us, int64_t *start_us,
                            int64_t *end_us) {
    uint32_t before = atomic_load_explicit(&period->changes, memory_order_acquire);
    *start_us = atomic_load_explicit(&period->start_us, memory_order_acquire);
    *end_us = atomic_load_explicit(&period->end_us, memory_order_acquire);
    return before % 2 == 0 &&
           before == atomic_load_explicit(&period->changes, memory_order_relaxed) &&
           now_us >= *start_us && now_us < *end_us;
}

static void keep_period(fb_limit_period *period, int64_t start_us, int64_t end_us) {
    uint32_t before = atomic_load_explicit(&period->changes, memory_order_relaxed);
    if (before % 2 == 0 &&
        atomic_compare_exchange_strong_explicit(&period->changes, &before, before + 1,
                                                memory_order_acquire, memory_order_relaxed)) {
        atomic_store_explicit(&period->start_us, start_us, memory_order_release);
        atomic_store_explicit(&period->end_us, end_us, memory_order_release);
        atomic_store_explicit(&period->changes, before + 2, memory_order_release);
    }
}

static void find_period(fb_limit_rule *rule, const fb_limit_plan *plan, fb_limit_step *step) {
    static const fb_zone_unit units[] = {
        [FB_LIMIT_CALENDAR_HOUR] = FB_ZONE_HOUR,   [FB_LIMIT_CALENDAR_DAY] = FB_ZONE_DAY,
        [FB_LIMIT_CALENDAR_WEEK] = FB_ZONE_WEEK,   [FB_LIMIT_CALENDAR_MONTH] = FB_ZONE_MONTH,
        [FB_LIMIT_CALENDAR_YEAR] = FB_ZONE_YEAR,
    };
    if (plan->calendar == FB_LIMIT_CALENDAR_NONE) {
        step->start_us = step->now_us - step->now_us % plan->window_us;
        step->end_us = step->start_us + plan->window_us;
    } else if (!period_is_known(&rule->period, step->now_us, &step->start_us, &step->end_us)) {
        fb_zone_period(rule->zone, units[plan->calendar], step->now_us, &step->start_us,
                       &step->end_us);
        keep_period(&rule->period, step->start_us, step->end_us);
    }
}

void fb_limits_begin(fb_limit_rule *rule, const fb_limit_plan *plan, int64_t now_us,
                     fb_limit_step *step) {
    step->now_us = now_us;
    step->start_us = 0;
    step->end_us = 0;
    if (plan->form == FB_LIMIT_FORM_FIXED) {
        find_period(rule, plan, step);
    }
}

void fb_limits_step(fb_limit_ask *ask, fb_limit_act act, int64_t now_us, fb_limit_step *step) {
    step->act = act;
    step->cost = ask->cost;
    fb_limits_begin(ask->rule, ask->plan, now_us, step);
    ask->start_us = step->start_us;
    ask->end_us = step->end_us;
}

// ---- what is asked

static int refuse_unknown(const fb_limit_catalog *catalog, fb_str name, fb_error *error) {
    const char *near = fb_limit_catalog_nearest(catalog, name);
    fb_str shown = fb_str_make(name.len > 0 ? name.ptr : "",
                               name.len < NAME_SHOWN ? name.len : NAME_SHOWN);
    return near == NULL ? fb_error_set(error, FB_ENOLIMIT, "there is no limit '%.*s'",
                                       FB_STR_ARG(shown))
                        : fb_error_set(error, FB_ENOLIMIT,
                                       "there is no limit '%.*s'; did you mean '%s'?",
                                       FB_STR_ARG(shown), near);
}

int fb_limits_understand(fb_limits *limits, const fb_limit_question *question, fb_limit_ask *ask,
                         fb_error *error) {
    const fb_limit_catalog *catalog = atomic_load_explicit(&limits->catalog, memory_order_acquire);
    ask->rule = fb_limit_catalog_find(catalog, question->rule);
    if (ask->rule == NULL) {
        return refuse_unknown(catalog, question->rule, error);
    }
    if (question->key.len == 0) {
        return fb_error_set(error, FB_EINVAL, "limit %s: the key is empty",
                            ask->rule->options.name);
    }
    if (question->key.len > FB_LIMIT_KEY_MAX) {
        return fb_error_set(error, FB_ETOOBIG, "limit %s: the key is longer than %d bytes",
                            ask->rule->options.name, FB_LIMIT_KEY_MAX);
    }
    if (question->cost > FB_LIMIT_COST_MAX) {
        return fb_error_set(error, FB_EINVAL, "limit %s: the cost is above 2147483648",
                            ask->rule->options.name);
    }
    ask->key = ask->rule->by_address
                   ? fb_limit_address_key(question->key, ask->rule->options.ipv6_prefix,
                                          ask->address)
                   : question->key;
    ask->quota = fb_limit_rule_quota(ask->rule, question->tier);
    ask->hash = fb_limit_hash(&limits->hash_key, ask->key);
    ask->cost = question->cost;
    ask->wanted = question->cost;
    ask->settled = false;
    ask->local = false;
    ask->grant = FB_LIMIT_GRANT_NONE;
    ask->verdict = NULL;
    return FB_OK;
}

uint64_t fb_limits_hash_of(const fb_limit_ask *ask) {
    static const uint64_t SPREAD = UINT64_C(0x9e3779b97f4a7c15);
    if (ask->plan != &ask->made) {
        return ask->hash ^ ask->quota->salt;
    }
    uint64_t numbers = (uint64_t)ask->override.limit;
    if (ask->override.kind != FB_LIMIT_OVERRIDE_LIMIT) {  // CL.THROTTLE's, which differ at will
        numbers = ((uint64_t)ask->made.limit * SPREAD ^ ask->made.rate) * SPREAD ^
                  (uint64_t)ask->made.window_us;
    }
    return (ask->hash ^ ask->rule->salt) + SPREAD * (numbers + 1);
}

// ---- what is said of it beforehand

void fb_limits_undecided(fb_limit_ask *ask, bool allowed, fb_limit_source source) {
    *ask->verdict = (fb_verdict){
        .allowed = allowed,
        .denied = !allowed,
        .source = source,
        .cost = ask->cost,
        .limit = ask->plan->limit,
        .remaining = allowed ? ask->plan->limit : 0,
        .window_us = ask->plan->window_us,
        .retry_us = allowed ? 0 : -1,
    };
    ask->settled = true;
}

static bool is_listed(char *const *globs, size_t count, fb_str key) {
    for (size_t i = 0; i < count; i++) {
        if (fb_glob_match(fb_str_of(globs[i]), key)) {
            return true;
        }
    }
    return false;
}

static void settle(fb_limit_ask *ask) {
    const fb_limit_options *options = &ask->rule->options;
    switch (ask->override.kind) {
        case FB_LIMIT_OVERRIDE_ALLOW:
            fb_limits_undecided(ask, true, FB_LIMIT_BY_EXEMPT);
            return;
        case FB_LIMIT_OVERRIDE_DENY:
            fb_limits_undecided(ask, false, FB_LIMIT_BY_BARRED);
            return;
        case FB_LIMIT_OVERRIDE_LIMIT:
            return;
        case FB_LIMIT_OVERRIDE_NONE:
            break;
    }
    if (is_listed(options->deny, options->deny_count, ask->key)) {
        fb_limits_undecided(ask, false, FB_LIMIT_BY_BARRED);
    } else if (ask->quota->exempt ||
               is_listed(options->exempt, options->exempt_count, ask->key)) {
        fb_limits_undecided(ask, true, FB_LIMIT_BY_EXEMPT);
    }
}

void fb_limits_adopt(fb_limit_ask *ask, const fb_limit_override *override) {
    ask->override = *override;
    ask->plan = &ask->quota->plan;
    if (override->kind == FB_LIMIT_OVERRIDE_LIMIT) {
        fb_limit_plan_make(&ask->made, &ask->rule->options, NULL, override->limit);
        ask->plan = &ask->made;
    }
    settle(ask);
}

void fb_limits_place(fb_limits *limits, fb_limit_ask *ask) {
    fb_limit_override override = {.kind = FB_LIMIT_OVERRIDE_NONE};
    uint64_t hash = ask->hash ^ ask->rule->salt;
    ask->known = fb_limit_overrides_any(limits->overrides, hash) &&
                 fb_limit_overrides_get(limits->overrides, hash, fb_limits_now_us(limits),
                                        &override);
    fb_limits_adopt(ask, &override);
}

// ---- what is said and counted of it afterwards

void fb_limits_count(fb_limit_rule *rule, uint64_t hash, fb_str key, const fb_verdict *verdict,
                     uint32_t charged) {
    fb_limit_ledger_answered(rule->ledger, verdict, charged);
    if (verdict->denied) {
        fb_limit_ledger_denied(rule->ledger, hash, key, rule->options.show_keys);
    }
}

void fb_limits_finish(fb_limit_ask *ask, bool peek) {
    fb_verdict *verdict = ask->verdict;
    verdict->rule = ask->rule->options.name;
    verdict->message = ask->rule->options.message;
    verdict->cost = ask->wanted;
    verdict->allowed = !verdict->denied || ask->rule->options.shadow;
    if (!peek) {
        fb_limits_count(ask->rule, ask->hash, ask->key, verdict,
                        ask->grant != FB_LIMIT_GRANT_NONE ? ask->wanted : 0);
    }
}
