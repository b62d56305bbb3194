// PARTS: how much was charged in each of the last parts + 1 sub-windows, for limits above 64.
//
// One sub-window more than the window has: the oldest may still lie in the window with a part of
// it, and which units of it do is not known, so they all count. That is what the two-counter window
// guesses. It costs 1 / (parts + 1) of the limit under overload, and lets nothing through that is
// too much.
//
// The counts are read and changed where they stand: most charges find themselves in the sub-window
// of the one before, and change one number.

#include "base/rule.h"
#include "limit/forms.h"

enum { HEAD = 8 };

typedef struct parts {
    int64_t index, age;  // age: sub-windows from `index` to now's
    bool some;           // there is a state
    uint32_t count;      // of sub-windows, from the front, that count
    uint64_t total;      // in these
} parts;

static uint16_t state_len(const fb_limit_plan *plan) {
    return (uint16_t)(HEAD + 4 * (plan->parts + 1));
}

static bool is_state(const fb_limit_plan *plan, const fb_limit_state *state) {
    return state->len == state_len(plan) && fb_limit_get64(state->bytes) < FB_LIMIT_TIME_END;
}

// What was charged in the sub-window `index` - i.
static uint32_t count_of(const fb_limit_state *state, uint32_t i) {
    return fb_limit_get32(state->bytes + HEAD + 4 * (size_t)i);
}

static void set_count(fb_limit_state *state, uint32_t i, uint32_t count) {
    fb_limit_put32(state->bytes + HEAD + 4 * (size_t)i, count);
}

static parts read_state(const fb_limit_plan *plan, const fb_limit_state *state, int64_t now_us) {
    int64_t index = now_us / plan->part_us;
    uint32_t last = plan->parts - (FB_RULE(parts_one_more) ? 0 : 1);
    parts p = {.index = index, .some = is_state(plan, state)};

    if (!p.some) {
        return p;
    }
    p.index = (int64_t)fb_limit_get64(state->bytes);
    if (FB_RULE(parts_clock_back) && p.index > index) {
        p.index = index;
    }
    p.age = index > p.index ? index - p.index : 0;
    p.count = p.age <= last ? last - (uint32_t)p.age + 1 : 0;
    for (uint32_t i = 0; i < p.count; i++) {
        p.total += count_of(state, i);
    }
    return p;
}

// Moves the counts along, so that the first is of now.
static void shift(parts *p, const fb_limit_plan *plan, fb_limit_state *state) {
    size_t all = plan->parts + 1, age = p->age < (int64_t)all ? (size_t)p->age : all;
    unsigned char *counts = state->bytes + HEAD;

    if (age > 0) {
        memmove(counts + 4 * age, counts, 4 * (all - age));
        memset(counts, 0, 4 * age);
        p->index += p->age;
        p->age = 0;
        fb_limit_put64(state->bytes, (uint64_t)p->index);
    }
}

// A state in which nothing was charged.
static void begin(parts *p, const fb_limit_plan *plan, fb_limit_state *state) {
    state->len = state_len(plan);
    memset(state->bytes, 0, state->len);
    fb_limit_put64(state->bytes, (uint64_t)p->index);
    p->some = true;
}

// The newest `limit` units are kept: all of them, where the charge was allowed.
static void charge(parts *p, const fb_limit_plan *plan, uint32_t cost, fb_limit_state *state) {
    if (!p->some) {
        begin(p, plan, state);
    }
    shift(p, plan, state);
    uint64_t first = (uint64_t)count_of(state, 0) + cost;
    set_count(state, 0, first < plan->limit ? (uint32_t)first : plan->limit);
    p->total += cost;
    p->count = plan->parts + 1;
    if (p->total > plan->limit) {
        uint32_t room = plan->limit - count_of(state, 0);
        for (uint32_t i = 1; i <= plan->parts; i++) {
            uint32_t kept = count_of(state, i) < room ? count_of(state, i) : room;
            set_count(state, i, kept);
            room -= kept;
        }
        p->total = plan->limit;
    }
}

static void give(parts *p, const fb_limit_plan *plan, uint32_t cost, fb_limit_state *state) {
    if (p->total <= cost) {
        state->len = 0;
        return;
    }
    shift(p, plan, state);
    for (uint32_t i = plan->parts + 1; i > 0 && cost > 0; i--) {
        uint32_t count = count_of(state, i - 1), part = count < cost ? count : cost;
        set_count(state, i - 1, count - part);
        cost -= part;
    }
}

// When what was charged in the sub-window `i` no longer counts.
static int64_t leaves_us(const parts *p, const fb_limit_plan *plan, uint32_t i) {
    return (p->index - i + plan->parts + 1) * plan->part_us;
}

// The newest sub-window in which something was charged; `count`: none.
static uint32_t newest(const fb_limit_state *state, uint32_t count) {
    uint32_t i = 0;

    while (i < count && count_of(state, i) == 0) {
        i++;
    }
    return i;
}

static void tell(const parts *p, const fb_limit_plan *plan, const fb_limit_step *step,
                 const fb_limit_state *state, fb_limit_view *view) {
    view->remaining = fb_limit_left(plan, p->total);
    view->reset_us =
        p->total > 0 ? leaves_us(p, plan, newest(state, p->count)) - step->now_us : 0;
    view->retry_us = 0;
    if (!fb_limit_fits(plan, p->total, step->cost) && step->cost <= plan->limit) {
        // So much of the oldest must leave first.
        uint64_t over = p->total + step->cost - plan->limit;
        uint32_t i = p->count - 1;
        while (count_of(state, i) < over) {
            over -= count_of(state, i);
            i--;
        }
        view->retry_us = leaves_us(p, plan, i) - step->now_us;
    }
}

bool fb_limit_parts_decide(const fb_limit_plan *plan, const fb_limit_step *step,
                           fb_limit_state *state, fb_limit_view *view) {
    parts p = read_state(plan, state, step->now_us);

    if (p.some) {
        fb_limit_put64(state->bytes, (uint64_t)p.index);
    } else {
        state->len = 0;
    }
    if (step->act == FB_LIMIT_GIVE) {
        if (step->cost > 0 && p.some) {
            give(&p, plan, step->cost, state);
        }
        return true;
    }
    bool allowed = fb_limit_fits(plan, p.total, step->cost);
    if (fb_limit_charges(plan, step, allowed)) {
        charge(&p, plan, step->cost, state);
    }
    if (view != NULL) {
        tell(&p, plan, step, state, view);
    }
    return allowed;
}

void fb_limit_parts_view(const fb_limit_plan *plan, const fb_limit_step *step,
                         const fb_limit_state *state, fb_limit_view *view) {
    parts p = read_state(plan, state, step->now_us);

    tell(&p, plan, step, state, view);
}

int64_t fb_limit_parts_until_us(const fb_limit_plan *plan, const fb_limit_state *state) {
    parts p = {.some = is_state(plan, state)};

    if (!p.some) {
        return 0;
    }
    p.index = (int64_t)fb_limit_get64(state->bytes);
    if (p.index >= (int64_t)FB_LIMIT_TIME_END / plan->part_us) {
        return (int64_t)FB_LIMIT_TIME_END;  // no time that was: it will become now's
    }
    uint32_t i = newest(state, plan->parts + 1);
    return i <= plan->parts ? leaves_us(&p, plan, i) : 0;
}
