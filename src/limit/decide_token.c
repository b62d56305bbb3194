// TOKEN: a bucket, as the time at which it is full again.
//
// What is used is an amount of time, `whole` µs and `part` / rate of another, which runs down by
// itself. A charge of 1 is in the plan; others cost one division. No 128-bit number is needed on
// the way.

#include "base/rule.h"
#include "limit/forms.h"

enum { STATE_LEN = 12 };

typedef struct amount {
    uint64_t whole;
    uint32_t part;  // below rate
} amount;

static bool more(amount a, amount b) {
    return a.whole > b.whole || (a.whole == b.whole && a.part > b.part);
}

static amount full(const fb_limit_plan *plan) {
    return (amount){plan->full_us, plan->full_part};
}

static amount cost_of(const fb_limit_plan *plan, uint32_t cost) {
    amount of = {plan->one_us, plan->one_part};

    if (cost != 1) {
        fb_limit_plan_token_cost(plan, cost, &of.whole, &of.part);
    }
    if (!FB_RULE(token_rest)) {
        of.part = 0;
    }
    return of;
}

static amount add(const fb_limit_plan *plan, amount a, amount b) {
    uint64_t part = (uint64_t)a.part + b.part;
    uint64_t carry = part >= plan->rate;

    return (amount){a.whole + b.whole + carry, (uint32_t)(part - carry * plan->rate)};
}

// a - b, not below 0.
static amount subtract(const fb_limit_plan *plan, amount a, amount b) {
    uint32_t borrow = a.part < b.part;

    if (more(b, a)) {
        return (amount){0, 0};
    }
    return (amount){a.whole - b.whole - borrow,
                    (uint32_t)((uint64_t)a.part + (borrow != 0 ? plan->rate : 0) - b.part)};
}

static uint64_t rounded_up(amount of) {
    return of.whole + (of.part > 0);
}

// Reads when the bucket is full again. False: these bytes do not say.
static bool read_state(const fb_limit_plan *plan, const fb_limit_state *state, amount *at) {
    *at = (amount){0, 0};
    if (state->len != STATE_LEN || fb_limit_get64(state->bytes) >= FB_LIMIT_TIME_END) {
        return false;
    }
    *at = (amount){fb_limit_get64(state->bytes), fb_limit_get32(state->bytes + 8)};
    if (at->part >= plan->rate) {
        *at = (amount){at->whole + 1, 0};
    }
    return true;
}

static void write_state(fb_limit_state *state, amount at) {
    fb_limit_put64(state->bytes, at.whole);
    fb_limit_put32(state->bytes + 8, at.part);
    state->len = STATE_LEN;
}

// What is used at now_us: at most all.
static amount used_of(const fb_limit_plan *plan, amount at, int64_t now_us) {
    uint64_t now = (uint64_t)now_us;

    if (at.whole < now) {
        return (amount){0, 0};
    }
    amount used = {at.whole - now, at.part};
    return FB_RULE(token_clock_back) && more(used, full(plan)) ? full(plan) : used;
}

static void give(const fb_limit_plan *plan, const fb_limit_step *step, amount used,
                 fb_limit_state *state) {
    used = subtract(plan, used, cost_of(plan, step->cost));
    if (used.whole == 0 && used.part == 0) {
        state->len = 0;
        return;
    }
    write_state(state, (amount){(uint64_t)step->now_us + used.whole, used.part});
}

// The cost that fits into `room`.
static uint32_t tokens_in(const fb_limit_plan *plan, amount room) {
    const uint64_t window = (uint64_t)plan->window_us;
    uint64_t product;

    if (!__builtin_mul_overflow(room.whole, plan->rate, &product) &&
        !__builtin_add_overflow(product, room.part, &product)) {
        return (uint32_t)(product / window);
    }
    unsigned __int128 wide = (unsigned __int128)room.whole * plan->rate + room.part;
    return (uint32_t)(wide / window);
}

static void tell(const fb_limit_plan *plan, const fb_limit_step *step, amount used,
                 fb_limit_view *view) {
    amount then = add(plan, used, cost_of(plan, step->cost));

    view->remaining = tokens_in(plan, subtract(plan, full(plan), used));
    view->reset_us = (int64_t)rounded_up(used);
    view->retry_us = (int64_t)rounded_up(subtract(plan, then, full(plan)));
}

bool fb_limit_token_decide(const fb_limit_plan *plan, const fb_limit_step *step,
                           fb_limit_state *state, fb_limit_view *view) {
    const uint64_t now = (uint64_t)step->now_us;
    amount at;

    if (!read_state(plan, state, &at)) {
        state->len = 0;
    }
    amount used = used_of(plan, at, step->now_us);
    if (state->len > 0) {
        write_state(state, at.whole < now ? at : (amount){now + used.whole, used.part});
    }
    if (step->act == FB_LIMIT_GIVE) {
        if (step->cost > 0 && state->len > 0) {
            give(plan, step, used, state);
        }
        return true;
    }
    amount then = add(plan, used, cost_of(plan, step->cost));
    bool allowed = step->cost == 0 || (step->cost <= plan->limit && !more(then, full(plan)));
    if (fb_limit_charges(plan, step, allowed)) {
        used = allowed ? then : full(plan);
        write_state(state, (amount){now + used.whole, used.part});
    }
    if (view != NULL) {
        tell(plan, step, used, view);
    }
    return allowed;
}

void fb_limit_token_view(const fb_limit_plan *plan, const fb_limit_step *step,
                         const fb_limit_state *state, fb_limit_view *view) {
    amount at;

    (void)read_state(plan, state, &at);
    tell(plan, step, used_of(plan, at, step->now_us), view);
}

int64_t fb_limit_token_until_us(const fb_limit_plan *plan, const fb_limit_state *state) {
    amount at;

    (void)read_state(plan, state, &at);
    return (int64_t)rounded_up(at);
}

uint32_t fb_limit_token_fill(const fb_limit_plan *plan, const fb_limit_step *step,
                             const fb_limit_state *state) {
    amount at;

    (void)read_state(plan, state, &at);
    amount used = used_of(plan, at, step->now_us);
    if (more(add(plan, used, cost_of(plan, 1)), full(plan))) {
        return 65536;
    }
    double rate = plan->rate;
    return (uint32_t)(65535 * ((double)used.whole + used.part / rate) /
                      ((double)plan->full_us + plan->full_part / rate));
}
