// limits_trial.h -- the same random questions to the script at a server and to fb_limit_decide(), with
// the same clock: over all forms, numbers of all sizes, clocks that jump, several limits at once, and
// bytes that are no states. What differs is counted: none may, and each rule taken out of the script
// must.
//
// Header-only.

#ifndef FB_TESTS_LIMITS_TRIAL_H
#define FB_TESTS_LIMITS_TRIAL_H

#include "limits_rig.h"

enum { TRIAL_PARTS_MAX = FB_LIMIT_QUESTIONS_MAX, TRIAL_STEPS = 80 };
#define TRIAL_TIME_MAX ((INT64_C(1) << 53) - 1)
#define TRIAL_HOUR_US (INT64_C(3600) * 1000000)

typedef struct trial {
    limits_rig *rig;
    fb_rng rng;
    fb_limit_plan plan[TRIAL_PARTS_MAX];
    fb_limit_state state[TRIAL_PARTS_MAX];  // of each rule, as memory has it
    char rule[TRIAL_PARTS_MAX][4];
    size_t rules;
    int64_t now_us;
    fb_limit_part parts[TRIAL_PARTS_MAX];  // the questions of one step
    size_t which[TRIAL_PARTS_MAX];         // their rules
    size_t count;
    size_t differences;
    char first[256];
} trial;

static inline int64_t trial_below(trial *t, int64_t n) {
    return (int64_t)fb_rng_below(&t->rng, (uint64_t)n);
}

// Small numbers as often as large ones.
static inline int64_t trial_size(trial *t, int64_t from, int64_t to) {
    int64_t number = (int64_t)(fb_rng_next(&t->rng) >> (1 + trial_below(t, 63)));
    return from + number % (to - from + 1);
}

// ---- rules

// False: a bucket that nobody would be allowed to have.
static inline bool trial_make_plan(trial *t, fb_limit_plan *plan) {
    fb_limit_options options = {.enabled = true, .charge_denied = trial_below(t, 3) == 0};

    options.algorithm = (int)trial_below(t, 3);
    options.limit = (uint32_t)(trial_below(t, 2) == 0 ? 1 + trial_below(t, 80)
                                                      : trial_size(t, 1, INT32_MAX));
    options.window_ns = trial_size(t, 1000, 366 * 24 * TRIAL_HOUR_US) * 1000;
    options.parts = (uint32_t)(8 + trial_below(t, 57));
    options.burst = trial_below(t, 2) == 0 ? 0 : (uint32_t)trial_size(t, 1, INT32_MAX);
    if (options.algorithm == FB_LIMIT_TOKEN) {
        double full = (double)options.window_ns / 1000 / options.limit *
                      (options.burst != 0 ? options.burst : options.limit);
        if (full >= (double)FB_LIMIT_FULL_MAX_US) {
            return false;
        }
    }
    fb_limit_plan_make(plan, &options, NULL, 0);
    plan->keep_us = TRIAL_HOUR_US;  // the server's own clock is not that of the questions
    return true;
}

static inline void trial_make_rules(trial *t, size_t rules) {
    memset(t->state, 0, sizeof t->state);
    t->rules = rules;
    for (size_t i = 0; i < rules; i++) {
        while (!trial_make_plan(t, &t->plan[i])) {
        }
        t->rule[i][0] = (char)('a' + i);
    }
}

// ---- questions

static inline uint32_t trial_cost(trial *t, const fb_limit_plan *plan) {
    switch (trial_below(t, 8)) {
    case 0:
        return 0;
    case 1:
        return (uint32_t)trial_size(t, 0, FB_LIMIT_COST_MAX);
    case 2:
        return plan->limit;
    case 3:
        return plan->limit + 1;
    case 4:
    case 5:
        return (uint32_t)(1 + trial_below(t, plan->limit));
    default:
        return 1;
    }
}

// For so long a unit counts, at most.
static inline int64_t trial_counted_us(const fb_limit_plan *plan) {
    return plan->form == FB_LIMIT_FORM_RING    ? plan->window_ticks * plan->tick_us
           : plan->form == FB_LIMIT_FORM_PARTS ? (plan->parts + 1) * plan->part_us
                                               : plan->window_us;
}

// Mostly a little further; now and then a jump, to either side, or to where what was just charged ends.
static inline void trial_pass(trial *t) {
    const fb_limit_plan *plan = &t->plan[trial_below(t, (int64_t)t->rules)];
    int64_t window_us = plan->window_us, step_us = 0;

    switch (trial_below(t, 9)) {
    case 0:
        break;
    case 4:
        step_us = trial_counted_us(plan) - trial_below(t, 2);
        break;
    case 1:
        step_us = trial_below(t, 3 * window_us);
        break;
    case 2:
        step_us = -trial_below(t, 2 * window_us);
        break;
    case 3:
        step_us = trial_size(t, 0, TRIAL_TIME_MAX) - trial_size(t, 0, TRIAL_TIME_MAX);
        break;
    default:
        step_us = trial_below(t, window_us / (1 + trial_below(t, 40)) + 1);
    }
    int64_t next_us = t->now_us + step_us;
    t->now_us = next_us < 1 || next_us > TRIAL_TIME_MAX / 2 ? t->now_us : next_us;
}

static inline void trial_make_parts(trial *t) {
    static const fb_limit_act ACTS[] = {FB_LIMIT_TAKE, FB_LIMIT_TAKE, FB_LIMIT_TAKE, FB_LIMIT_LOOK,
                                        FB_LIMIT_GIVE};
    fb_limit_act act = ACTS[trial_below(t, 5)];
    bool one = t->rules == 1 && trial_below(t, 4) > 0;

    t->count = one ? 1 : 1 + (size_t)trial_below(t, TRIAL_PARTS_MAX);
    for (size_t i = 0; i < t->count; i++) {
        t->which[i] = (size_t)trial_below(t, (int64_t)t->rules);
        const fb_limit_plan *plan = &t->plan[t->which[i]];
        int64_t start_us = t->now_us - t->now_us % plan->window_us;
        t->parts[i] = (fb_limit_part){.plan = plan,
                                      .rule = fb_str_of(t->rule[t->which[i]]),
                                      .step = {.act = act,
                                               .cost = trial_cost(t, plan),
                                               .now_us = t->now_us,
                                               .start_us = start_us,
                                               .end_us = start_us + plan->window_us}};
    }
}

// ---- answers

static inline bool trial_decide(const fb_limit_part *part, fb_limit_act act, fb_limit_state *state) {
    fb_limit_step step = part->step;
    step.act = act;
    return fb_limit_decide(part->plan, &step, state);
}

// What memory does with several limits at once (limit/table.h), over plain states.
static inline void trial_decide_all(trial *t, fb_limit_reply *reply) {
    fb_limit_state tried[TRIAL_PARTS_MAX];
    fb_limit_act act = t->parts[0].step.act;
    bool all = true;

    memcpy(tried, t->state, sizeof tried);
    for (size_t i = 0; i < t->count; i++) {
        fb_limit_act how = act == FB_LIMIT_LOOK ? FB_LIMIT_TAKE : act;
        reply->parts[i].allowed = trial_decide(&t->parts[i], how, &tried[t->which[i]]);
        all = all && reply->parts[i].allowed;
    }
    for (size_t i = 0; i < t->count; i++) {
        bool charge = t->count == 1 || all ||
                      (!reply->parts[i].allowed && t->parts[i].plan->charge_denied);
        fb_limit_state after = t->state[t->which[i]];
        (void)trial_decide(&t->parts[i], charge ? act : FB_LIMIT_LOOK, &after);
        reply->parts[i].state = after;
        if (act != FB_LIMIT_LOOK) {
            t->state[t->which[i]] = after;
        }
    }
}

static inline void trial_differ(trial *t, const char *what, size_t part) {
    if (t->differences++ == 0) {
        const fb_limit_part *of = &t->parts[part];
        snprintf(t->first, sizeof t->first,
                 "part %zu of %zu: form %d, act %d, cost %u, limit %u: %.90s", part + 1, t->count,
                 (int)of->plan->form, (int)of->step.act, of->step.cost, of->plan->limit, what);
    }
}

static inline void trial_compare(trial *t, const fb_limit_reply *expected,
                                 const fb_limit_reply *reply) {
    for (size_t i = 0; i < t->count; i++) {
        const fb_limit_state *a = &expected->parts[i].state, *b = &reply->parts[i].state;
        const fb_limit_part *part = &t->parts[i];
        fb_verdict one = {0}, other = {0};
        fb_limit_explain(part->plan, &part->step, a, expected->parts[i].allowed, &one);
        if (expected->parts[i].allowed != reply->parts[i].allowed) {
            trial_differ(t, one.allowed ? "denied" : "allowed", i);
        } else if (a->len != b->len || memcmp(a->bytes, b->bytes, a->len) != 0) {
            trial_differ(t, "another state", i);
        } else {
            fb_limit_explain(part->plan, &part->step, b, reply->parts[i].allowed, &other);
            if (one.allowed != other.allowed || one.remaining != other.remaining ||
                one.retry_us != other.retry_us || one.reset_us != other.reset_us) {
                trial_differ(t, "another verdict", i);
            }
        }
    }
}

// The step's questions, to both.
static inline void trial_ask(trial *t, const char *key) {
    static fb_limit_reply expected;
    fb_limit_request request = {.verb = FB_LIMIT_DECIDE,
                                .key = fb_str_of(key),
                                .parts = t->parts,
                                .part_count = t->count,
                                .now_us = t->now_us};

    trial_decide_all(t, &expected);
    const limits_answer *answer = limits_ask(t->rig, 0, &request);
    if (answer->reply.result != FB_LIMIT_DONE || answer->reply.now_us != t->now_us) {
        trial_differ(t, answer->reply.result == FB_LIMIT_DONE ? "another time" : answer->text, 0);
    } else {
        trial_compare(t, &expected, &answer->reply);
    }
}

// ---- bytes that are no state

static inline void trial_put(fb_limit_state *state, size_t at, uint64_t number, size_t size) {
    for (size_t i = 0; i < size && at + i < FB_LIMIT_STATE_MAX; i++) {
        state->bytes[at + i] = (unsigned char)(number >> 8 * i);
    }
}

// Now and then they nearly are one.
static inline void trial_make_bytes(trial *t, const fb_limit_plan *plan, fb_limit_state *state) {
    static const uint64_t EDGES[] = {0, 1, UINT64_C(1) << 53, (UINT64_C(1) << 53) - 1, UINT64_MAX,
                                     UINT64_C(1) << 63};
    bool is_ring = plan->form == FB_LIMIT_FORM_RING, is_parts = plan->form == FB_LIMIT_FORM_PARTS;
    uint16_t fitting = is_parts  ? (uint16_t)(12 + 4 * plan->parts)
                       : is_ring ? (uint16_t)(8 + 4 * trial_below(t, 66))
                                 : 12;
    int64_t unit = is_ring ? plan->tick_us : is_parts ? plan->part_us : 1;
    uint64_t time = (uint64_t)(t->now_us / unit + trial_below(t, 5) - 2);
    bool strange = trial_below(t, 2) == 0;
    uint32_t last = 0;

    state->len = trial_below(t, 4) > 0 ? fitting
                                       : (uint16_t)trial_below(t, FB_LIMIT_STATE_MAX + 1);
    trial_put(state, 0, trial_below(t, 3) > 0 ? time : EDGES[trial_below(t, 6)], 8);
    for (size_t at = 8; at < state->len; at += 4) {
        bool jumps = strange && trial_below(t, 8) == 0;
        last = jumps ? (uint32_t)trial_size(t, 0, UINT32_MAX) : last + (uint32_t)trial_below(t, 3);
        trial_put(state, at, last, 4);
    }
}

static inline void trial_store(trial *t, const char *key) {
    char name[4096];
    fb_str at = limits_key(fb_str_of(key), fb_str_of(t->rule[0]), FB_STR(""), &t->plan[0], "", name);
    const fb_str set[] = {FB_STR("SET"), at,
                          fb_str_make((const char *)t->state[0].bytes, t->state[0].len)};
    (void)limits_command(t->rig, set, 3);
}

// ---- runs

// A subject's life.
static inline void trial_run(trial *t, const char *key) {
    t->now_us = trial_size(t, 1, TRIAL_TIME_MAX / 2);
    trial_make_rules(t, trial_below(t, 2) == 0 ? 1 : 1 + (size_t)trial_below(t, TRIAL_PARTS_MAX));
    for (int i = 0; i < TRIAL_STEPS; i++) {
        trial_pass(t);
        trial_make_parts(t);
        trial_ask(t, key);
    }
}

// Questions to strange bytes.
static inline void trial_run_hostile(trial *t, const char *key) {
    trial_make_rules(t, 1);
    for (int i = 0; i < TRIAL_STEPS; i++) {
        t->now_us = trial_size(t, 3, TRIAL_TIME_MAX / 2);
        trial_make_bytes(t, &t->plan[0], &t->state[0]);
        trial_store(t, key);
        trial_make_parts(t);
        trial_ask(t, key);
    }
}

static inline void trial_begin(trial *t, limits_rig *rig, uint64_t seed) {
    memset(t, 0, sizeof *t);
    t->rig = rig;
    fb_rng_init(&t->rng, seed);
}

// Both, for many subjects.
static inline void trial_run_all(trial *t, int subjects) {
    for (int i = 0; i < subjects && t->differences == 0; i++) {
        char key[16];
        snprintf(key, sizeof key, "t%d", i % 10000);
        trial_run(t, key);
        key[0] = 'h';
        trial_run_hostile(t, key);
    }
}

#endif
