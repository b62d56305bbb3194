// RING: the exact log of what was charged, for limits up to FB_LIMIT_RING_MAX.
//
// Units stand from the newest to the oldest, so what still counts is a run at the front, and a
// charge shifts that run and puts its own units before it. More than `limit` units are never of
// interest: who is over the limit stays so until the newest `limit` of them have left. So a charge
// keeps at most limit - cost of the old ones, whether it was allowed (there are no more then) or
// denied.
//
// The units are read where they stand: from end to end in deciding, which also sees whether they are
// in order, and half of those left at a time by who only looks. Four of them at once: of a limit of
// 64 their number is what a check costs.

#include "base/rule.h"
#include "limit/forms.h"

enum { HEAD = 8 };

typedef struct ring {
    int64_t newest, tick;  // tick: of now
    uint32_t count;        // of units; 0: there is no state
    uint32_t room;         // a unit counts while its offset is below this
    uint32_t counted;      // so many do, from the front
} ring;

static int64_t tick_of(const fb_limit_plan *plan, int64_t now_us) {
    return plan->tick_us == 1 ? now_us : now_us / plan->tick_us;
}

// How many ticks the unit is older than the newest, which is unit 0.
static uint32_t offset_of(const fb_limit_state *state, uint32_t unit) {
    return unit == 0 ? 0 : fb_limit_get32(state->bytes + HEAD + 4 * (size_t)(unit - 1));
}

static inline ring read_head(const fb_limit_plan *plan, const fb_limit_state *state, int64_t now_us) {
    ring r = {.tick = tick_of(plan, now_us)};

    r.newest = r.tick;
    if (state->len < HEAD || (state->len - HEAD) % 4 != 0 ||
        state->len > HEAD + 4 * (FB_LIMIT_RING_MAX - 1) ||
        fb_limit_get64(state->bytes) >= FB_LIMIT_TIME_END) {
        return r;
    }
    r.count = (state->len - HEAD) / 4u + 1;
    r.newest = (int64_t)fb_limit_get64(state->bytes);
    if (FB_RULE(ring_clock_back) && r.newest > r.tick) {
        r.newest = r.tick;
    }
    int64_t room = plan->window_ticks - (r.tick - r.newest);
    r.room = room > 0 ? (uint32_t)room : 0;
    return r;
}

// ---- four units at once

typedef uint32_t quad __attribute__((vector_size(16)));

static inline quad get_quad(const unsigned char *at) {
    quad units;

    memcpy(&units, at, sizeof(units));
    for (int i = 0; i < 4 && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__; i++) {
        units[i] = __builtin_bswap32(units[i]);
    }
    return units;
}

static inline void put_quad(unsigned char *at, quad units) {
    for (int i = 0; i < 4 && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__; i++) {
        units[i] = __builtin_bswap32(units[i]);
    }
    memcpy(at, &units, sizeof(units));
}

static inline uint32_t sum_of(quad units) {
    return units[0] + units[1] + units[2] + units[3];
}

// ---- counting

// Counts the units; where they are out of order, there are none.
static inline void count_all(ring *r, const fb_limit_plan *plan, const fb_limit_state *state) {
    const unsigned char *units = state->bytes + HEAD - 4;  // as if the newest had an offset, too
    const quad room = {r->room, r->room, r->room, r->room};
    uint32_t i = 1, disorder = 0, counted = r->count > 0 && r->room > 0;
    quad disorders = {0}, counts = {0};

    // The first has nothing but 0 before it.
    if (i < r->count) {
        counted += offset_of(state, i++) < r->room;
    }
    for (; i + 4 <= r->count; i += 4) {
        quad offsets = get_quad(units + 4 * (size_t)i);
        disorders |= (quad)(offsets < get_quad(units + 4 * (size_t)(i - 1)));
        counts -= (quad)(offsets < room);
    }
    for (; i < r->count; i++) {
        disorder |= offset_of(state, i) < offset_of(state, i - 1);
        counted += offset_of(state, i) < r->room;
    }
    disorder |= disorders[0] | disorders[1] | disorders[2] | disorders[3];
    if (disorder != 0 ||
        (r->count > 0 && offset_of(state, r->count - 1) >= plan->window_ticks)) {
        *r = (ring){.newest = r->tick, .tick = r->tick};
        return;
    }
    r->counted = counted + sum_of(counts);
}

// The same of units that are known to be in order.
static void count_ordered(ring *r, const fb_limit_state *state) {
    uint32_t low = 0, high = r->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (offset_of(state, middle) < r->room) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    r->counted = low;
}

static inline void charge(ring *r, const fb_limit_plan *plan, uint32_t cost, fb_limit_state *state) {
    uint32_t room = plan->limit - cost;
    uint32_t keep = r->counted < room ? r->counted : room;
    uint32_t age = (uint32_t)(r->tick - r->newest);
    unsigned char *units = state->bytes + HEAD;

    // From the oldest: they move to where others have just been.
    const quad ages = {age, age, age, age};
    uint32_t i = keep;
    for (; i > 4; i -= 4) {
        quad offsets = get_quad(units + 4 * (size_t)(i - 5));
        put_quad(units + 4 * (size_t)(cost + i - 5), offsets + ages);
    }
    for (; i > 0; i--) {
        fb_limit_put32(units + 4 * (size_t)(cost + i - 2), offset_of(state, i - 1) + age);
    }
    memset(units, 0, 4 * (size_t)(cost - 1));
    fb_limit_put64(state->bytes, (uint64_t)r->tick);
    state->len = (uint16_t)(HEAD + 4 * (cost - 1 + keep));
    r->newest = r->tick;
    r->counted = cost + keep;
}

static void give(const ring *r, uint32_t cost, fb_limit_state *state) {
    uint32_t left = r->counted > cost ? r->counted - cost : 0;

    if (!FB_RULE(give_oldest) && left > 0) {
        uint32_t first = offset_of(state, cost);
        fb_limit_put64(state->bytes, (uint64_t)(r->newest - first));
        for (uint32_t i = 1; i < left; i++) {
            fb_limit_put32(state->bytes + HEAD + 4 * (size_t)(i - 1),
                           offset_of(state, cost + i) - first);
        }
    }
    state->len = left == 0 ? 0 : (uint16_t)(HEAD + 4 * (left - 1));
}

// When the unit no longer counts.
static int64_t leaves_us(const ring *r, const fb_limit_plan *plan, const fb_limit_state *state,
                         uint32_t unit) {
    return (r->newest - offset_of(state, unit) + plan->window_ticks) * plan->tick_us;
}

static inline void tell(const ring *r, const fb_limit_plan *plan, const fb_limit_step *step,
                 const fb_limit_state *state, fb_limit_view *view) {
    view->remaining = fb_limit_left(plan, r->counted);
    view->reset_us = r->counted > 0 ? leaves_us(r, plan, state, 0) - step->now_us : 0;
    view->retry_us = 0;
    if (!fb_limit_fits(plan, r->counted, step->cost) && step->cost <= plan->limit) {
        // So many of the oldest must leave first.
        uint32_t over = r->counted + step->cost - plan->limit;
        view->retry_us = leaves_us(r, plan, state, r->counted - over) - step->now_us;
    }
}

bool fb_limit_ring_decide(const fb_limit_plan *plan, const fb_limit_step *step,
                          fb_limit_state *state, fb_limit_view *view) {
    ring r = read_head(plan, state, step->now_us);

    count_all(&r, plan, state);
    if (r.count == 0) {
        state->len = 0;
    } else {
        fb_limit_put64(state->bytes, (uint64_t)r.newest);
    }
    if (step->act == FB_LIMIT_GIVE) {
        if (step->cost > 0 && r.count > 0) {
            give(&r, step->cost, state);
        }
        return true;
    }
    bool allowed = fb_limit_fits(plan, r.counted, step->cost);
    if (fb_limit_charges(plan, step, allowed)) {
        charge(&r, plan, step->cost, state);
    }
    if (view != NULL) {
        tell(&r, plan, step, state, view);
    }
    return allowed;
}

void fb_limit_ring_view(const fb_limit_plan *plan, const fb_limit_step *step,
                        const fb_limit_state *state, fb_limit_view *view) {
    ring r = read_head(plan, state, step->now_us);

    count_ordered(&r, state);
    tell(&r, plan, step, state, view);
}

int64_t fb_limit_ring_until_us(const fb_limit_plan *plan, const fb_limit_state *state) {
    const int64_t end_us = (int64_t)FB_LIMIT_TIME_END;
    ring r = read_head(plan, state, end_us);

    if (r.count > 0 && r.newest >= end_us / plan->tick_us) {
        return end_us;  // no time that was: it will become now's
    }
    return r.count > 0 ? leaves_us(&r, plan, state, 0) : 0;
}
