// FIXED: a count since the start of the period, which the caller works out.

#include "base/rule.h"
#include "limit/forms.h"

enum { STATE_LEN = 12 };

typedef struct period {
    int64_t start_us;
    uint32_t count;
    bool some;  // there is a state
} period;

static period read_state(const fb_limit_state *state) {
    if (state->len != STATE_LEN || fb_limit_get64(state->bytes) >= FB_LIMIT_TIME_END) {
        return (period){0};
    }
    return (period){(int64_t)fb_limit_get64(state->bytes), fb_limit_get32(state->bytes + 8), true};
}

// A period that began before 1970 (a clock that was never set) begins with it.
static void write_state(fb_limit_state *state, int64_t start_us, uint32_t count) {
    fb_limit_put64(state->bytes, start_us > 0 ? (uint64_t)start_us : 0);
    fb_limit_put32(state->bytes + 8, count);
    state->len = STATE_LEN;
}

// Of a later start, too: the clock went back.
static uint32_t used_of(period p, const fb_limit_step *step) {
    return p.some && p.start_us >= step->start_us ? p.count : 0;
}

// Returns what is used then.
static uint32_t charge(const fb_limit_plan *plan, const fb_limit_step *step, uint32_t used,
                       fb_limit_state *state) {
    uint64_t sum = (uint64_t)used + step->cost;

    used = sum < plan->limit ? (uint32_t)sum : plan->limit;
    write_state(state, step->start_us, used);
    return used;
}

static void tell(const fb_limit_plan *plan, const fb_limit_step *step, uint32_t used,
                 fb_limit_view *view) {
    view->remaining = fb_limit_left(plan, used);
    view->reset_us = used > 0 ? step->end_us - step->now_us : 0;
    view->retry_us = step->end_us - step->now_us;
}

bool fb_limit_fixed_decide(const fb_limit_plan *plan, const fb_limit_step *step,
                           fb_limit_state *state, fb_limit_view *view) {
    period p = read_state(state);
    uint32_t used = used_of(p, step);

    if (!p.some) {
        state->len = 0;
    } else if (FB_RULE(fixed_clock_back) && p.start_us > step->start_us) {
        write_state(state, step->start_us, p.count);
    }
    if (step->act == FB_LIMIT_GIVE) {
        if (step->cost > 0 && used > step->cost) {
            write_state(state, step->start_us, used - step->cost);
        } else if (step->cost > 0) {
            state->len = 0;
        }
        return true;
    }
    bool allowed = fb_limit_fits(plan, used, step->cost);
    if (fb_limit_charges(plan, step, allowed)) {
        used = charge(plan, step, used, state);
    }
    if (view != NULL) {
        tell(plan, step, used, view);
    }
    return allowed;
}

void fb_limit_fixed_view(const fb_limit_plan *plan, const fb_limit_step *step,
                         const fb_limit_state *state, fb_limit_view *view) {
    tell(plan, step, used_of(read_state(state), step), view);
}

int64_t fb_limit_fixed_until_us(const fb_limit_plan *plan, const fb_limit_state *state) {
    period p = read_state(state);

    return p.count > 0 ? p.start_us + plan->keep_us : 0;
}
