// limit_rig.h -- random programs of one limit against an exact log of what was charged.
//
// The log knows amounts and times and counts them one by one; a token bucket it keeps as one number of
// 128 bits. After every step the decision, what the verdict says, and what later questions would get
// are compared. The first thing that is wrong is in `wrong`; so a test of mutations can expect one.

#ifndef FB_TESTS_LIMIT_RIG_H
#define FB_TESTS_LIMIT_RIG_H

#include "support.h"

#include "base/units.h"
#include "limit/plan.h"

enum { LIMIT_LOG_MAX = 700, LIMIT_STEPS = 300 };

typedef struct limit_entry {
    int64_t tick, time_us;
    uint64_t cost;
} limit_entry;

typedef struct limit_rig {
    fb_rng rng;
    fb_limit_plan plan;
    bool steps_back;         // the clock is set, now and then
    int64_t now_us, latest_us;
    fb_limit_state state;
    // RING, PARTS: what is charged, from the oldest on, and of these what was allowed.
    int64_t tick_us, window_ticks;
    limit_entry log[LIMIT_LOG_MAX], admitted[LIMIT_LOG_MAX];
    size_t log_count, admitted_count;
    int64_t written_tick;    // PARTS: of the last charge or refund
    __int128 full_at;        // TOKEN: 1 / rate µs
    int64_t start_us;        // FIXED
    uint64_t count;
    int64_t last_retry_us;
    bool refunded;
    char wrong[256];
} limit_rig;

#define LIMIT_WRONG(rig, ...)                                               \
    do {                                                                    \
        if ((rig)->wrong[0] == '\0') {                                      \
            (void)snprintf((rig)->wrong, sizeof((rig)->wrong), __VA_ARGS__); \
        }                                                                   \
    } while (0)

static inline fb_limit_step limit_step(const fb_limit_plan *plan, fb_limit_act act, uint32_t cost,
                                       int64_t now_us) {
    int64_t start_us = now_us - now_us % plan->window_us;

    return (fb_limit_step){act, cost, now_us, start_us, start_us + plan->window_us};
}

// Whether `cost` would be allowed at that time, of a copy.
static inline bool limit_would(const fb_limit_plan *plan, const fb_limit_state *state,
                               uint32_t cost, int64_t now_us) {
    fb_limit_state copy = *state;
    fb_limit_step step = limit_step(plan, FB_LIMIT_LOOK, cost, now_us);

    return fb_limit_decide(plan, &step, &copy);
}

// ---- the log

static inline bool limit_is_log(const limit_rig *rig) {
    return rig->plan.form == FB_LIMIT_FORM_RING || rig->plan.form == FB_LIMIT_FORM_PARTS;
}

static inline int64_t limit_tick(const limit_rig *rig) {
    return rig->now_us / rig->tick_us;
}

static inline bool limit_counts(const limit_rig *rig, const limit_entry *entry) {
    return limit_tick(rig) - entry->tick < rig->window_ticks;
}

static inline uint64_t limit_log_used(const limit_rig *rig) {
    uint64_t used = 0;

    for (size_t i = 0; i < rig->log_count; i++) {
        used += limit_counts(rig, &rig->log[i]) ? rig->log[i].cost : 0;
    }
    return used;
}

static inline void limit_log_cut(const limit_rig *rig, limit_entry *log, size_t *count,
                                 uint64_t cost) {
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        uint64_t part = limit_counts(rig, &log[i]) ? (log[i].cost < cost ? log[i].cost : cost) : 0;
        log[i].cost -= part;
        cost -= part;
        if (limit_counts(rig, &log[i]) && log[i].cost > 0) {
            log[kept++] = log[i];
        }
    }
    *count = kept;
}

static inline void limit_log_add(limit_rig *rig, limit_entry *log, size_t *count, uint32_t cost) {
    limit_log_cut(rig, log, count, 0);
    assert_true(*count < LIMIT_LOG_MAX);
    log[(*count)++] = (limit_entry){limit_tick(rig), rig->now_us, cost};
}

static inline __int128 limit_bucket(const limit_rig *rig) {
    return (__int128)rig->plan.limit * rig->plan.window_us;
}

static inline int64_t limit_period(const limit_rig *rig) {
    return rig->now_us - rig->now_us % rig->plan.window_us;
}

// The clock of the model: what is later than now moves back, and all else with it.
static inline void limit_model_clock(limit_rig *rig) {
    if (limit_is_log(rig) && rig->log_count > 0) {
        bool ring = rig->plan.form == FB_LIMIT_FORM_RING;
        int64_t ahead =
            (ring ? rig->log[rig->log_count - 1].tick : rig->written_tick) - limit_tick(rig);
        for (size_t i = 0; i < rig->log_count && ahead > 0; i++) {
            rig->log[i].tick -= ahead;
        }
        rig->written_tick -= ahead > 0 ? ahead : 0;
    } else if (rig->plan.form == FB_LIMIT_FORM_TOKEN) {
        __int128 latest = limit_bucket(rig) + (__int128)rig->now_us * rig->plan.rate;
        rig->full_at = rig->full_at < latest ? rig->full_at : latest;
    } else if (rig->plan.form == FB_LIMIT_FORM_FIXED) {
        int64_t start_us = limit_period(rig);
        rig->start_us = rig->start_us < start_us ? rig->start_us : start_us;
    }
}

// What is used, of a bucket in 1 / rate µs.
static inline __int128 limit_model_used(const limit_rig *rig) {
    if (limit_is_log(rig)) {
        return limit_log_used(rig);
    }
    if (rig->plan.form == FB_LIMIT_FORM_TOKEN) {
        __int128 used = rig->full_at - (__int128)rig->now_us * rig->plan.rate;
        return used > 0 ? used : 0;
    }
    return rig->start_us == limit_period(rig) ? rig->count : 0;
}

static inline uint64_t limit_model_left(const limit_rig *rig) {
    __int128 used = limit_model_used(rig);

    if (rig->plan.form == FB_LIMIT_FORM_TOKEN) {
        return (uint64_t)((limit_bucket(rig) - used) / rig->plan.window_us);
    }
    return used < rig->plan.limit ? (uint64_t)(rig->plan.limit - used) : 0;
}

static inline void limit_model_charge(limit_rig *rig, uint32_t cost) {
    __int128 used = limit_model_used(rig);

    rig->written_tick = limit_is_log(rig) ? limit_tick(rig) : 0;
    if (limit_is_log(rig)) {
        limit_log_add(rig, rig->log, &rig->log_count, cost);
        uint64_t sum = limit_log_used(rig);
        limit_log_cut(rig, rig->log, &rig->log_count,
                      sum > rig->plan.limit ? sum - rig->plan.limit : 0);
    } else if (rig->plan.form == FB_LIMIT_FORM_TOKEN) {
        used += (__int128)cost * rig->plan.window_us;
        used = used < limit_bucket(rig) ? used : limit_bucket(rig);
        rig->full_at = (__int128)rig->now_us * rig->plan.rate + used;
    } else {
        used += cost;
        rig->count = used < rig->plan.limit ? (uint64_t)used : rig->plan.limit;
        rig->start_us = limit_period(rig);
    }
}

static inline void limit_model_give(limit_rig *rig, uint32_t cost) {
    __int128 used = limit_model_used(rig);

    if (cost == 0) {
        return;
    }
    rig->refunded = true;
    rig->written_tick = limit_is_log(rig) ? limit_tick(rig) : 0;
    if (limit_is_log(rig)) {
        limit_log_cut(rig, rig->log, &rig->log_count, cost);
        limit_log_cut(rig, rig->admitted, &rig->admitted_count, cost);
    } else if (rig->plan.form == FB_LIMIT_FORM_TOKEN) {
        used -= (__int128)cost * rig->plan.window_us;
        rig->full_at = used > 0 ? (__int128)rig->now_us * rig->plan.rate + used : 0;
    } else {
        rig->count = used > cost ? (uint64_t)(used - cost) : 0;
        rig->start_us = limit_period(rig);
    }
}

// ---- what must hold

// No window that ends now has more than the plan promises. (Of a clock that steps, windows say nothing.)
static inline void limit_check_windows(limit_rig *rig) {
    const fb_limit_plan *plan = &rig->plan;
    uint64_t sum = 0;

    for (size_t i = rig->admitted_count; i > 0 && !rig->steps_back; i--) {
        const limit_entry *entry = &rig->admitted[i - 1];
        int64_t age_us = rig->now_us - entry->time_us;
        sum += entry->cost;
        if (plan->form == FB_LIMIT_FORM_TOKEN) {
            // The sum is at most capacity + rate · age / window.
            if (((__int128)sum - plan->limit) * plan->window_us > (__int128)plan->rate * age_us) {
                LIMIT_WRONG(rig, "%llu within %lld us", (unsigned long long)sum, (long long)age_us);
            }
        } else if (age_us < plan->window_us && sum > plan->limit &&
                   (plan->form != FB_LIMIT_FORM_FIXED || entry->time_us >= rig->start_us)) {
            LIMIT_WRONG(rig, "%llu in a window, and the limit is %u", (unsigned long long)sum,
                        plan->limit);
        }
    }
}

static inline int64_t limit_longest_us(const fb_limit_plan *plan) {
    switch (plan->form) {
        case FB_LIMIT_FORM_RING:
            return plan->window_us + 2 * plan->tick_us;
        case FB_LIMIT_FORM_PARTS:
            return (plan->parts + 1) * plan->part_us;
        case FB_LIMIT_FORM_TOKEN:
            return (int64_t)plan->full_us + 1;
        default:
            return plan->window_us;
    }
}

static inline void limit_check_verdict(limit_rig *rig, const fb_limit_step *step, bool allowed,
                                       const fb_limit_view *view) {
    const fb_limit_plan *plan = &rig->plan;
    const fb_limit_state *state = &rig->state;
    fb_verdict v = {0}, told = {0};

    fb_limit_explain(plan, step, state, allowed, &v);
    fb_limit_tell(plan, step, view, allowed, &told);
    if (told.remaining != v.remaining || told.retry_us != v.retry_us ||
        told.reset_us != v.reset_us) {
        LIMIT_WRONG(rig, "who decided sees something else in the state");
    }
    rig->last_retry_us = v.retry_us;
    if (v.allowed != allowed || v.denied == allowed || v.cost != step->cost ||
        v.limit != plan->limit || v.window_us != plan->window_us ||
        v.impossible != (!allowed && step->cost > plan->limit)) {
        LIMIT_WRONG(rig, "a verdict's plain fields are wrong");
    }
    if (v.remaining != limit_model_left(rig)) {
        LIMIT_WRONG(rig, "remaining %u, not %llu", v.remaining,
                    (unsigned long long)limit_model_left(rig));
    }
    if (allowed ? v.retry_us != 0 : v.impossible ? v.retry_us != -1 : v.retry_us < 1) {
        LIMIT_WRONG(rig, "retry in %lld us", (long long)v.retry_us);
    }
    if (v.retry_us > 0 &&
        (v.retry_us > limit_longest_us(plan) ||
         !limit_would(plan, state, step->cost, step->now_us + v.retry_us) ||
         limit_would(plan, state, step->cost, step->now_us + v.retry_us - 1))) {
        LIMIT_WRONG(rig, "retry in %lld us is not the first moment", (long long)v.retry_us);
    }
    if (v.reset_us < 0 || v.reset_us > limit_longest_us(plan) ||
        !limit_would(plan, state, plan->limit, step->now_us + v.reset_us) ||
        (v.reset_us > 0 && limit_would(plan, state, plan->limit, step->now_us + v.reset_us - 1))) {
        LIMIT_WRONG(rig, "reset in %lld us is not the first moment", (long long)v.reset_us);
    }
    uint32_t fill = fb_limit_fill(plan, step, state);
    if ((fill == 65536) != !limit_would(plan, state, 1, step->now_us) || fill > 65536) {
        LIMIT_WRONG(rig, "fill %u", fill);
    }
    int64_t until_us = fb_limit_until_us(plan, state);
    if (until_us > step->now_us + plan->keep_us ||
        !limit_would(plan, state, plan->limit,
                     until_us > step->now_us ? until_us : step->now_us)) {
        LIMIT_WRONG(rig, "until %lld", (long long)until_us);
    }
}

// ---- programs

static inline uint64_t limit_below(limit_rig *rig, uint64_t bound) {
    return fb_rng_below(&rig->rng, bound);
}

static inline void limit_random_plan(limit_rig *rig) {
    static const int64_t windows_us[] = {1000,     1777,     60000,      1000000,     9999991,
                                         16777216, 60000000, 300000000,  4294967294,  4294967295,
                                         86400000000, 31622400000000};
    fb_limit_options options = {.enabled = true, .parts = 8 + (uint32_t)limit_below(rig, 57)};
    uint64_t of = limit_below(rig, 5);

    options.algorithm = of < 2 ? FB_LIMIT_SLIDING : of < 4 ? FB_LIMIT_TOKEN : FB_LIMIT_FIXED;
    options.limit = 1 + (uint32_t)limit_below(rig, of % 2 == 0 ? 64 : 3000);
    if (limit_below(rig, 20) == 0) {
        options.limit = INT32_MAX - (uint32_t)limit_below(rig, 3);
    }
    options.window_ns = windows_us[limit_below(rig, 12)] * FB_NS_PER_US;
    if (options.algorithm == FB_LIMIT_TOKEN && limit_below(rig, 2) == 0) {
        options.burst = 1 + (uint32_t)limit_below(rig, 1 + options.limit / 2);
    }
    options.charge_denied = limit_below(rig, 4) == 0;
    fb_limit_plan_make(&rig->plan, &options, NULL, 0);
    rig->tick_us = rig->plan.form == FB_LIMIT_FORM_RING ? rig->plan.tick_us : rig->plan.part_us;
    // What the plan should say: enough ticks for a window that begins and ends within one.
    rig->window_ticks = (rig->plan.window_us - 1 + rig->tick_us - 1) /
                            (rig->tick_us > 0 ? rig->tick_us : 1) + 1;
    if (rig->plan.form == FB_LIMIT_FORM_PARTS) {
        rig->window_ticks = rig->plan.parts + 1;
    }
}

static inline int64_t limit_random_gap(limit_rig *rig) {
    const int64_t window_us = rig->plan.window_us;
    const uint64_t each = (uint64_t)window_us / rig->plan.limit + 1;

    switch (limit_below(rig, 10)) {
        case 0:
        case 1:
            return 0;
        case 2:
            return window_us - 1 + (int64_t)limit_below(rig, 3);
        case 3:
            return rig->last_retry_us > 0 ? rig->last_retry_us - 1 : 1;
        case 4:
            return rig->last_retry_us > 0 ? rig->last_retry_us : 1;
        case 5:
            return (int64_t)limit_below(rig, (uint64_t)window_us * 2);
        case 6:
            return (int64_t)limit_below(rig, (uint64_t)window_us / 8);
        default:
            return (int64_t)limit_below(rig, 2 * each);
    }
}

static inline uint32_t limit_random_cost(limit_rig *rig) {
    const uint32_t limit = rig->plan.limit;

    switch (limit_below(rig, 12)) {
        case 0:
            return (uint32_t)limit_below(rig, 2) * FB_LIMIT_COST_MAX;
        case 1:
            return limit - 1 + (uint32_t)limit_below(rig, 3);
        case 2:
        case 3:
        case 4:
            return 1 + (uint32_t)limit_below(rig, limit);
        case 5:
            return 1 + (uint32_t)limit_below(rig, 1 + limit / 4);
        default:
            return 1;
    }
}

static inline void limit_take_step(limit_rig *rig) {
    const fb_limit_plan *plan = &rig->plan;
    uint64_t act = limit_below(rig, 10);
    fb_limit_step step = limit_step(plan, act == 0 ? FB_LIMIT_LOOK : act == 1 ? FB_LIMIT_GIVE
                                                                            : FB_LIMIT_TAKE,
                                    limit_random_cost(rig), rig->now_us);
    fb_limit_state before = rig->state;

    limit_model_clock(rig);
    bool expected = step.act == FB_LIMIT_GIVE || step.cost == 0 ||
                    step.cost <= limit_model_left(rig);
    fb_limit_view view;
    bool allowed = fb_limit_decide_view(plan, &step, &rig->state, &view);
    if (allowed != expected) {
        LIMIT_WRONG(rig, "%s, and the log says otherwise", allowed ? "allowed" : "denied");
    }
    bool charged = step.act == FB_LIMIT_TAKE && step.cost > 0 &&
                   (expected || (plan->charge_denied && step.cost <= plan->limit));
    if (step.act == FB_LIMIT_GIVE) {
        limit_model_give(rig, step.cost);
    } else if (charged) {
        limit_model_charge(rig, step.cost);
    } else if (rig->now_us >= rig->latest_us &&
               (before.len != rig->state.len ||
                memcmp(before.bytes, rig->state.bytes, before.len) != 0)) {
        LIMIT_WRONG(rig, "nothing was charged, but the state has changed");
    }
    // What is given back of denied costs is in no window; so after that, only the log is compared.
    bool mixed = rig->refunded && (plan->charge_denied || !limit_is_log(rig));
    if (allowed && step.act == FB_LIMIT_TAKE && step.cost > 0 && !mixed) {
        if (rig->admitted_count == LIMIT_LOG_MAX - 1) {
            rig->admitted_count = 0;
        }
        rig->admitted[rig->admitted_count++] =
            (limit_entry){limit_is_log(rig) ? limit_tick(rig) : 0, rig->now_us, step.cost};
        limit_check_windows(rig);
    }
    limit_check_verdict(rig, &step, allowed, &view);
    rig->latest_us = rig->now_us > rig->latest_us ? rig->now_us : rig->latest_us;
}

// One program; `seed` says which. Whether all was right.
static inline bool limit_run(limit_rig *rig, uint64_t seed) {
    memset(rig, 0, sizeof(*rig));
    fb_rng_init(&rig->rng, seed);
    limit_random_plan(rig);
    rig->steps_back = limit_below(rig, 3) == 0;
    rig->now_us = INT64_C(1700000000000000) + (int64_t)limit_below(rig, 1000000000);
    for (int i = 0; i < LIMIT_STEPS && rig->wrong[0] == '\0'; i++) {
        rig->now_us += limit_random_gap(rig);
        if (rig->steps_back && limit_below(rig, 20) == 0) {
            static const int64_t jumps_us[] = {-3600000000, 3600000000, -1, -1000, -100000000};
            rig->now_us += jumps_us[limit_below(rig, 5)];
        }
        limit_take_step(rig);
    }
    if (rig->wrong[0] != '\0') {
        (void)printf("seed %llu: form %d, limit %u, window %lld us, rate %u, charge_denied %d: %s\n",
                     (unsigned long long)seed, (int)rig->plan.form, rig->plan.limit,
                     (long long)rig->plan.window_us, rig->plan.rate, (int)rig->plan.charge_denied,
                     rig->wrong);
    }
    return rig->wrong[0] == '\0';
}

// ---- chunks

enum { LIMIT_CHUNKS_MAX = 1000 };

typedef struct limit_chunks {
    int64_t spent_us[LIMIT_CHUNKS_MAX];
    size_t count;
    uint64_t most, allowed;  // in any window
} limit_chunks;

static inline void limit_chunks_take(limit_chunks *all, const fb_limit_plan *plan,
                                     const fb_limit_plan *whole, uint32_t chunk, int64_t life_us,
                                     fb_rng *rng) {
    const int64_t start_us = INT64_C(1700000000000000);
    fb_limit_state s = {0};

    for (int64_t t = 0; t < 6 * whole->window_us; t += whole->window_us / 97) {
        fb_limit_step step = limit_step(whole, FB_LIMIT_TAKE, chunk, start_us + t);
        if (fb_limit_decide(plan, &step, &s)) {
            bool late = t / whole->window_us % 2 == 0;
            int64_t wait_us = fb_rng_below(rng, 3) == 0
                                  ? (int64_t)fb_rng_below(rng, (uint64_t)life_us + 1)
                                  : late ? life_us : 0;
            assert_true(all->count < LIMIT_CHUNKS_MAX);
            all->spent_us[all->count++] = t + wait_us;
        }
    }
}

// Takes chunks as soon as it may, and spends each at once, at the last moment, or between. Whether no
// window of spending had more than `options` allow.
static inline bool limit_chunks_run(limit_chunks *all, const fb_limit_options *options,
                                    uint32_t chunk, uint64_t seed) {
    fb_limit_plan whole, plan;
    int64_t life_us = 0;
    fb_rng rng;

    memset(all, 0, sizeof(*all));
    fb_rng_init(&rng, seed);
    fb_limit_plan_make(&whole, options, NULL, 0);
    assert_ok(fb_limit_plan_chunk(&plan, &whole, chunk, &life_us));
    assert_true(life_us > 0 && life_us <= 1000000 && life_us <= whole.window_us / 16);
    limit_chunks_take(all, &plan, &whole, chunk, life_us, &rng);
    all->allowed = whole.limit + (whole.form == FB_LIMIT_FORM_TOKEN ? whole.rate : 0);
    for (size_t i = 0; i < all->count; i++) {
        uint64_t sum = 0;
        for (size_t j = 0; j < all->count; j++) {
            int64_t age_us = all->spent_us[i] - all->spent_us[j];
            sum += age_us >= 0 && age_us < whole.window_us ? chunk : 0;
        }
        all->most = sum > all->most ? sum : all->most;
    }
    return all->most <= all->allowed;
}

#endif
