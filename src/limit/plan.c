// Rules as numbers.
//
// Whatever the rule says, a plan's sub-windows and ticks are rounded so that a window is never
// counted shorter than it is. A unit that was charged at t counts at now where now - t < window:
// the ticks of both are then at most ceil((window - 1) / tick) apart, and the parts at most
// `parts`.
//
// A token bucket is an amount of time: each unit of cost takes window / rate of it, kept as whole
// µs and a rest in units of 1 / rate, so nothing is ever rounded. Only the size of the whole bucket
// needs 128 bits: of a cost, cost · whole is at most that size, and cost · rest is below 2^62.

#include "limit/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/rule.h"
#include "base/units.h"
#include "limit/forms.h"

#define S_US INT64_C(1000000)
#define DAY_US (86400 * S_US)
#define TICKS_MAX (INT64_C(4294967294))  // one more is what an offset can say

enum { CHUNK_SHARE = 16 };  // a chunk lives for this part of a window

_Static_assert(FB_LIMIT_RING_MAX <= FB_LIMIT_PARTS_MAX, "FB_LIMIT_STATE_MAX holds a ring, too");

static int64_t divide_up(int64_t number, int64_t by) {
    return (number + by - 1) / by;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// `a` · `b` / `by`, 1 at least, below 2^31.
static uint32_t scale(uint32_t a, uint32_t b, uint32_t by) {
    uint64_t scaled = (uint64_t)a * b / by;

    return scaled == 0 ? 1 : scaled > INT32_MAX ? INT32_MAX : (uint32_t)scaled;
}

// A ring for windows of counted_us, which is window_us or more.
static void make_ring(fb_limit_plan *plan, int64_t counted_us) {
    plan->form = FB_LIMIT_FORM_RING;
    plan->tick_us = divide_up(counted_us, TICKS_MAX);
    plan->window_ticks = divide_up(counted_us - 1, plan->tick_us) + 1;
    if (!FB_RULE(ring_rounds_up)) {
        plan->window_ticks = counted_us / plan->tick_us;
    }
    plan->keep_us = plan->window_ticks * plan->tick_us;
    (void)snprintf(plan->tag, sizeof(plan->tag), "r%lld.%lld", (long long)counted_us,
                   (long long)plan->tick_us);
}

static void make_parts(fb_limit_plan *plan, int64_t counted_us) {
    plan->form = FB_LIMIT_FORM_PARTS;
    plan->part_us = divide_up(counted_us, plan->parts);
    plan->keep_us = (plan->parts + 1) * plan->part_us;
    (void)snprintf(plan->tag, sizeof(plan->tag), "p%lld.%u", (long long)plan->part_us, plan->parts);
}

// A bucket of `limit` (already there) that fills by `rate` in window_us.
static void make_token(fb_limit_plan *plan, uint32_t rate) {
    plan->form = FB_LIMIT_FORM_TOKEN;
    plan->rate = rate;
    plan->one_us = (uint64_t)plan->window_us / rate;
    plan->one_part = (uint32_t)((uint64_t)plan->window_us % rate);
    unsigned __int128 parts = (unsigned __int128)plan->limit * (uint64_t)plan->window_us;
    if (parts / rate >= FB_LIMIT_TIME_END) {
        plan->full_us = FB_LIMIT_TIME_END;  // too large for any use: see the callers
    } else {
        plan->full_us = (uint64_t)(parts / rate);
        plan->full_part = (uint32_t)(parts % rate);
    }
    plan->keep_us = (int64_t)plan->full_us + 1;
    (void)snprintf(plan->tag, sizeof(plan->tag), "t");
}

// The longest that a period of the calendar is; a zone that moves across the date line can make it
// a day longer.
static int64_t calendar_us(fb_limit_calendar calendar) {
    static const int16_t days[] = {0, 0, 1, 7, 31, 366};

    return calendar == FB_LIMIT_CALENDAR_HOUR ? DAY_US / 24 : days[calendar] * DAY_US;
}

static void make_fixed(fb_limit_plan *plan, fb_limit_calendar calendar) {
    static const char *const names[] = {"", "hour", "day", "week", "month", "year"};

    plan->form = FB_LIMIT_FORM_FIXED;
    plan->calendar = calendar;
    if (calendar != FB_LIMIT_CALENDAR_NONE) {
        plan->window_us = calendar_us(calendar);
        plan->keep_us = plan->window_us + DAY_US;
        (void)snprintf(plan->tag, sizeof(plan->tag), "f%s", names[calendar]);
    } else {
        plan->keep_us = plan->window_us;
        (void)snprintf(plan->tag, sizeof(plan->tag), "f%lld", (long long)plan->window_us);
    }
}

void fb_limit_plan_make(fb_limit_plan *plan, const fb_limit_options *options,
                        const fb_limit_tier_options *tier, uint32_t limit) {
    uint32_t own = tier != NULL && tier->limit != 0 ? tier->limit : options->limit;
    uint32_t burst = tier != NULL && tier->burst != 0 ? tier->burst : options->burst;
    int64_t window_ns = tier != NULL && tier->window_ns != 0 ? tier->window_ns : options->window_ns;
    uint32_t rate = limit != 0 ? limit : own;

    FB_ASSERT(own > 0 && own <= INT32_MAX);
    *plan = (fb_limit_plan){.charge_denied = options->charge_denied,
                            .limit = rate,
                            .window_us = window_ns / FB_NS_PER_US,
                            .parts = options->parts};
    switch ((fb_limit_algorithm)options->algorithm) {
        case FB_LIMIT_SLIDING:
            if (rate <= FB_LIMIT_RING_MAX) {
                make_ring(plan, plan->window_us);
            } else {
                make_parts(plan, plan->window_us);
            }
            break;
        case FB_LIMIT_TOKEN:
            plan->limit = burst == 0 ? rate : scale(burst, rate, own);
            make_token(plan, rate);
            break;
        case FB_LIMIT_FIXED:
            make_fixed(plan, (fb_limit_calendar)options->calendar);
            break;
        case FB_LIMIT_SLOTS:
            plan->form = FB_LIMIT_FORM_SLOTS;
            plan->keep_us = plan->window_us;
            (void)snprintf(plan->tag, sizeof(plan->tag), "s");
            break;
    }
}

// The form stays: a ring holds fewer units, and sub-windows are as strict with a small limit.
void fb_limit_plan_divide(fb_limit_plan *plan, const fb_limit_plan *whole, uint32_t instances) {
    FB_ASSERT(instances > 0);
    *plan = *whole;
    plan->limit = scale(whole->limit, 1, instances);
    if (plan->form == FB_LIMIT_FORM_TOKEN) {
        make_token(plan, scale(whole->rate, 1, instances));
    }
}

// What is spent in a window was taken in that window or up to a lifetime before it.
int fb_limit_plan_chunk(fb_limit_plan *plan, const fb_limit_plan *whole, uint32_t chunk,
                        int64_t *lifetime_us) {
    int64_t life_us = smaller(whole->window_us / CHUNK_SHARE, S_US);
    int64_t counted_us = whole->window_us + (FB_RULE(chunk_counts_longer) ? life_us : 0);

    *plan = *whole;
    *lifetime_us = life_us;
    if (plan->form == FB_LIMIT_FORM_RING) {
        make_ring(plan, counted_us);
    } else if (plan->form == FB_LIMIT_FORM_PARTS) {
        make_parts(plan, counted_us);
    } else if (plan->form == FB_LIMIT_FORM_TOKEN) {
        // What flows in within a lifetime, rounded up: below 2^31 · 2^20 / 2^10 in all.
        uint64_t flow = (uint64_t)divide_up(whole->rate * life_us, whole->window_us);
        if (flow >= whole->limit) {
            return FB_ERANGE;
        }
        plan->limit -= (uint32_t)flow;
        make_token(plan, whole->rate);
    }
    return plan->form == FB_LIMIT_FORM_SLOTS || plan->limit < chunk ? FB_ERANGE : FB_OK;
}

int fb_limit_plan_throttle(fb_limit_plan *plan, int64_t burst, int64_t count, int64_t period_s) {
    if (burst < 0 || burst > INT32_MAX || count < 1 || count > INT32_MAX || period_s < 1 ||
        period_s > 366 * DAY_US / S_US) {
        return FB_EINVAL;
    }
    *plan = (fb_limit_plan){.limit = (uint32_t)burst + 1, .window_us = period_s * S_US};
    make_token(plan, (uint32_t)count);
    return plan->full_us <= FB_LIMIT_FULL_MAX_US ? FB_OK : FB_EINVAL;
}

void fb_limit_plan_token_cost(const fb_limit_plan *plan, uint32_t cost, uint64_t *whole,
                              uint32_t *part) {
    uint32_t units = cost < plan->limit ? cost : plan->limit;
    uint64_t rest = (uint64_t)units * plan->one_part;

    *whole = units * plan->one_us + rest / plan->rate;
    *part = (uint32_t)(rest % plan->rate);
}
