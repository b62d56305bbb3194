// Deciding: hands on to the form of the plan, and says what came out of it.
//
// A verdict's numbers come from the state as it is after the decision, so they are the same whether
// it was made here or by a script. Who decides here has just read the state: the form tells what is
// seen in it (its tell()) from what it knows of it then, instead of reading it once more.

#include "base/check.h"
#include "limit/forms.h"

static void view_of(const fb_limit_plan *plan, const fb_limit_step *step,
                    const fb_limit_state *state, fb_limit_view *view) {
    switch (plan->form) {
        case FB_LIMIT_FORM_RING:
            fb_limit_ring_view(plan, step, state, view);
            return;
        case FB_LIMIT_FORM_PARTS:
            fb_limit_parts_view(plan, step, state, view);
            return;
        case FB_LIMIT_FORM_TOKEN:
            fb_limit_token_view(plan, step, state, view);
            return;
        case FB_LIMIT_FORM_FIXED:
            fb_limit_fixed_view(plan, step, state, view);
            return;
        case FB_LIMIT_FORM_SLOTS:
            break;
    }
    FB_ASSERT(plan->form != FB_LIMIT_FORM_SLOTS);
}

// *view is not set of GIVE.
static bool decide(const fb_limit_plan *plan, const fb_limit_step *step, fb_limit_state *state,
                   fb_limit_view *view) {
    switch (plan->form) {
        case FB_LIMIT_FORM_RING:
            return fb_limit_ring_decide(plan, step, state, view);
        case FB_LIMIT_FORM_PARTS:
            return fb_limit_parts_decide(plan, step, state, view);
        case FB_LIMIT_FORM_TOKEN:
            return fb_limit_token_decide(plan, step, state, view);
        case FB_LIMIT_FORM_FIXED:
            return fb_limit_fixed_decide(plan, step, state, view);
        case FB_LIMIT_FORM_SLOTS:
            break;
    }
    FB_ASSERT(plan->form != FB_LIMIT_FORM_SLOTS);
    return false;
}

bool fb_limit_decide(const fb_limit_plan *plan, const fb_limit_step *step, fb_limit_state *state) {
    return decide(plan, step, state, NULL);
}

bool fb_limit_decide_view(const fb_limit_plan *plan, const fb_limit_step *step,
                          fb_limit_state *state, fb_limit_view *view) {
    bool allowed = decide(plan, step, state, view);
    if (step->act == FB_LIMIT_GIVE) {
        view_of(plan, step, state, view);
    }
    return allowed;
}

void fb_limit_tell(const fb_limit_plan *plan, const fb_limit_step *step, const fb_limit_view *view,
                   bool allowed, fb_verdict *verdict) {
    verdict->allowed = allowed;
    verdict->denied = !allowed;
    verdict->impossible = !allowed && step->cost > plan->limit;
    verdict->cost = step->cost;
    verdict->limit = plan->limit;
    verdict->remaining = view->remaining;
    verdict->window_us = plan->calendar != FB_LIMIT_CALENDAR_NONE ? step->end_us - step->start_us
                                                                  : plan->window_us;
    verdict->retry_us = allowed ? 0 : verdict->impossible ? -1 : view->retry_us;
    if (!allowed && !verdict->impossible && verdict->retry_us < 1) {
        verdict->retry_us = 1;  // the state is another than it was when that was said
    }
    verdict->reset_us = view->reset_us;
}

void fb_limit_explain(const fb_limit_plan *plan, const fb_limit_step *step,
                      const fb_limit_state *state, bool allowed, fb_verdict *verdict) {
    fb_limit_view view = {0};

    view_of(plan, step, state, &view);
    fb_limit_tell(plan, step, &view, allowed, verdict);
}

int64_t fb_limit_until_us(const fb_limit_plan *plan, const fb_limit_state *state) {
    switch (plan->form) {
        case FB_LIMIT_FORM_RING:
            return fb_limit_ring_until_us(plan, state);
        case FB_LIMIT_FORM_PARTS:
            return fb_limit_parts_until_us(plan, state);
        case FB_LIMIT_FORM_TOKEN:
            return fb_limit_token_until_us(plan, state);
        case FB_LIMIT_FORM_FIXED:
            return fb_limit_fixed_until_us(plan, state);
        case FB_LIMIT_FORM_SLOTS:
            break;
    }
    FB_ASSERT(plan->form != FB_LIMIT_FORM_SLOTS);
    return 0;
}

uint32_t fb_limit_fill(const fb_limit_plan *plan, const fb_limit_step *step,
                       const fb_limit_state *state) {
    fb_limit_view view = {0};

    if (plan->form == FB_LIMIT_FORM_TOKEN) {
        return fb_limit_token_fill(plan, step, state);
    }
    view_of(plan, step, state, &view);
    return (uint32_t)(65536 * (uint64_t)(plan->limit - view.remaining) / plan->limit);
}
