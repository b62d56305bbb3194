// Any bytes as the state of a key, under any plan, and steps on it: what is promised of every answer.
//
// Input: 16 bytes of a plan, a byte that says how long the state is, the state, then steps of 14 bytes.

#include "limit/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

// The next `count` bytes as a number; 0 where there are none left.
static uint64_t number(input *in, size_t count) {
    uint64_t number = 0;

    for (size_t i = 0; i < count && in->left > 0; i++) {
        number |= (uint64_t)*in->at << (8 * i);
        in->at++;
        in->left--;
    }
    return number;
}

static bool read_plan(input *in, fb_limit_plan *plan) {
    fb_limit_options options = {
        .enabled = true,
        .algorithm = (int)(number(in, 1) % 3),
        .charge_denied = number(in, 1) % 2 != 0,
        .parts = 8 + (uint32_t)(number(in, 1) % 57),
        .limit = 1 + (uint32_t)(number(in, 4) % INT32_MAX),
        .burst = (uint32_t)number(in, 2),
        .window_ns = (1000 + (int64_t)(number(in, 6) % UINT64_C(31622399999000))) * FB_NS_PER_US,
    };
    fb_limit_tier_options small = {.limit = 1 + options.limit % 100};
    bool of_tier = number(in, 1) % 2 != 0;

    options.calendar = options.algorithm == FB_LIMIT_FIXED && options.burst % 2 != 0
                           ? FB_LIMIT_CALENDAR_DAY
                           : FB_LIMIT_CALENDAR_NONE;
    options.burst = options.algorithm == FB_LIMIT_TOKEN ? options.burst : 0;
    fb_limit_plan_make(plan, &options, of_tier ? &small : NULL, 0);
    return plan->form != FB_LIMIT_FORM_TOKEN || plan->full_us <= FB_LIMIT_FULL_MAX_US;
}

static void check_answer(const fb_limit_plan *plan, const fb_limit_step *step,
                         const fb_limit_state *state, bool allowed) {
    fb_verdict verdict = {0};

    fb_limit_explain(plan, step, state, allowed, &verdict);
    require(verdict.remaining <= verdict.limit);
    require(verdict.allowed == allowed && verdict.denied == !allowed);
    require(allowed ? verdict.retry_us == 0 : verdict.retry_us == -1 || verdict.retry_us >= 1);
    require(verdict.impossible == (verdict.retry_us == -1));
    require(verdict.reset_us >= 0);
    require(fb_limit_fill(plan, step, state) <= 65536);
    require(fb_limit_until_us(plan, state) >= 0);
    if (verdict.retry_us >= 1 && plan->form != FB_LIMIT_FORM_FIXED) {
        fb_limit_state copy = *state;
        fb_limit_step later = *step;
        later.act = FB_LIMIT_LOOK;
        later.now_us += verdict.retry_us;
        require(fb_limit_decide(plan, &later, &copy));
    }
}

static void take_step(input *in, const fb_limit_plan *plan, fb_limit_state *state,
                      int64_t *now_us) {
    uint64_t kind = number(in, 1);
    fb_limit_step step = {.act = (fb_limit_act)(kind % 3),
                          .cost = (uint32_t)(number(in, 5) % (UINT64_C(1) + FB_LIMIT_COST_MAX))};
    // Near the last time, or anywhere.
    *now_us = kind % 2 == 0 ? (*now_us + (int64_t)number(in, 4)) & ((INT64_C(1) << 52) - 1)
                            : (int64_t)(number(in, 8) % (UINT64_C(1) << 52));
    step.now_us = *now_us;
    step.start_us = *now_us - *now_us % plan->window_us;
    step.end_us = step.start_us + plan->window_us;
    fb_limit_view view;
    fb_verdict told = {0}, verdict = {0};
    bool allowed = fb_limit_decide_view(plan, &step, state, &view);
    fb_limit_tell(plan, &step, &view, allowed, &told);
    fb_limit_explain(plan, &step, state, allowed, &verdict);
    require(told.remaining == verdict.remaining && told.retry_us == verdict.retry_us &&
            told.reset_us == verdict.reset_us);
    require(state->len <= FB_LIMIT_STATE_MAX);
    require(allowed || step.cost > 0);
    require(allowed || step.act != FB_LIMIT_GIVE);
    check_answer(plan, &step, state, allowed);
    // A state that decide() has left is one that it takes as it is.
    fb_limit_state again = *state;
    step.act = FB_LIMIT_LOOK;
    (void)fb_limit_decide(plan, &step, &again);
    require(again.len == state->len && memcmp(again.bytes, state->bytes, state->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    fb_limit_plan plan;
    fb_limit_state state = {0};
    int64_t now_us = INT64_C(1700000000000000);

    if (!read_plan(&in, &plan)) {
        return 0;
    }
    size_t len = (size_t)number(&in, 2) % (FB_LIMIT_STATE_MAX + 1);
    state.len = (uint16_t)(len < in.left ? len : in.left);
    if (state.len > 0) {
        memcpy(state.bytes, in.at, state.len);
    }
    in.at += state.len;
    in.left -= state.len;
    do {
        take_step(&in, &plan, &state, &now_us);
    } while (in.left > 0);
    return 0;
}
