// limit/plan.h -- a rule (or a tier of it, or an override) as numbers, ready to decide with; and the
// state of one key under it, as bytes.
//
// Time is whole microseconds (`_us`), from 0 to 2^53 - 1: of any clock in memory, of the server in
// Redis; FIXED needs the calendar's (since 1970, UTC). All is integer arithmetic, and every number
// that a state has, and every sum of two, is below 2^53: so that a script, whose numbers are doubles,
// computes the same (src/redis/lua). What needs more is computed in plan.c with 128 bits, beforehand.
//
// A state's bytes are the same in memory and in Redis, little-endian, and no bytes at all are the
// state of a key that has used nothing:
//
//   TOKEN  u64 whole, u32 part          the bucket is full again at whole + part / rate µs
//                                       (the theoretical arrival time of GCRA: ITU-T I.371)
//   RING   u64 newest, u32 × (n - 1)    n units of cost; the newest in tick `newest`, the others so
//                                       many ticks before it, in ascending order (0 is possible)
//   PARTS  u64 index, u32 × (parts + 1) costs in sub-window `index`, index - 1, …
//   FIXED  u64 start, u32 count         since `start`, µs
//
// The rules of time, the same everywhere ("now" is the caller's, or Redis's TIME):
//   RING   tick = now / tick_us. A unit counts while tick - its tick < window_ticks.
//   PARTS  index = now / part_us. A unit counts while index - its index <= parts.
//   TOKEN  what is used is max(0, state - now); a charge adds cost · window / rate to it; allowed
//          where that stays <= limit · window / rate (the plan's full_us and full_part).
//   FIXED  start and end of the period of now are given; a count of an earlier start does not count.
// A clock that went back: RING and PARTS: `newest` or `index` later than now's becomes now's, and all
// before it moves along; TOKEN: more than the whole bucket in use becomes the whole; FIXED: a start
// later than now's becomes now's, and the count stays. So nobody is locked out for longer than a
// window. This is the one case in which a denied question changes the state.
//
// What the bytes are afterwards, to the byte:
//   - Bytes that are no state (another length, a time of 2^53 or later, RING offsets that descend
//     or are not below window_ticks) become none. TOKEN: a part that is not below `rate` (which was
//     another) makes the whole 1 more and the part 0. A clock that went back is dealt with next.
//   - LOOK, a cost of 0 (allowed, always), a denial, and a cost above the limit (denied, also with
//     charge_denied not charged): nothing else.
//   - A charge: RING: newest is now's tick, and what does not count any more goes. PARTS: index is
//     now's. TOKEN: now + used + cost. FIXED: now's start, the sum.
//   - A denial that is charged (charge_denied) saturates: RING, PARTS: of all units, these
//     included, the newest `limit` are kept; TOKEN: the bucket is empty: now + full; FIXED: the
//     count is `limit`.
//   - GIVE of a cost above 0: RING: what does not count any more goes, then the oldest; `newest`
//     stays. PARTS: index is now's, and the oldest go. TOKEN: now + used - cost. FIXED: now's
//     start, what is left. Where nothing is left: no bytes.

#ifndef FB_LIMIT_PLAN_H
#define FB_LIMIT_PLAN_H

#include <forebay/limit.h>

#include "limit/options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_limit_form {
    FB_LIMIT_FORM_RING,
    FB_LIMIT_FORM_PARTS,
    FB_LIMIT_FORM_TOKEN,
    FB_LIMIT_FORM_FIXED,
    FB_LIMIT_FORM_SLOTS   // limit/slots.h; it has no state of bytes
} fb_limit_form;

enum {
    FB_LIMIT_RING_MAX = 64,
    FB_LIMIT_PARTS_MAX = 64,
    FB_LIMIT_STATE_MAX = 8 + 4 * (FB_LIMIT_PARTS_MAX + 1)
};
#define FB_LIMIT_FULL_MAX_US (UINT64_C(1) << 50)  // an empty bucket is full again; 35 years

typedef struct fb_limit_plan {
    fb_limit_form form;
    bool charge_denied;
    uint32_t limit;         // RING, PARTS, FIXED: cost in a window; TOKEN: capacity; SLOTS: leases
    int64_t window_us;
    // RING
    int64_t tick_us;        // window / 2^32, rounded up; 1 for windows up to 71 minutes
    int64_t window_ticks;   // enough that no two units a window apart are ever both counted too few
    // PARTS
    int64_t part_us;        // window / parts, rounded up
    uint32_t parts;
    // TOKEN: `rate` tokens in window_us
    uint32_t rate;
    uint64_t full_us;       // limit · window / rate, whole; at most 2 · FB_LIMIT_FULL_MAX_US
    uint32_t full_part;     // and the rest, / rate
    uint64_t one_us;        // window / rate: what a charge of 1 adds
    uint32_t one_part;
    // FIXED
    fb_limit_calendar calendar;
    // For the shared tier: how long a state is of use after its last change, at most.
    int64_t keep_us;
    // "r60000000": what of the plan a state's bytes depend on. States of another are not for it.
    char tag[32];
} fb_limit_plan;

// The plan of a rule, or of its tier (NULL: none). `limit` 0, or another limit than theirs (an
// override; `burst` is scaled along, and is 1 at least). The options have been checked.
void fb_limit_plan_make(fb_limit_plan *plan, const fb_limit_options *options,
                        const fb_limit_tier_options *tier, uint32_t limit);
// The same for one of `instances` nodes that do not know of each other: limit / instances, 1 at least.
void fb_limit_plan_divide(fb_limit_plan *plan, const fb_limit_plan *whole, uint32_t instances);
// The same for taking chunks of cost that are spent within *lifetime_us (out) after they were taken:
// no window of spending has more than `whole` allows. Of FIXED the period's end ends them, too.
// (window / 16, 1 s at most; RING and PARTS keep their units that much longer, TOKEN's capacity is
// less by what flows in meanwhile.) FB_ERANGE: it would leave less than `chunk`.
FB_CHECK_RESULT int fb_limit_plan_chunk(fb_limit_plan *plan, const fb_limit_plan *whole,
                                        uint32_t chunk, int64_t *lifetime_us);
// What CL.THROTTLE asks for. FB_OK, FB_EINVAL (see fb_throttle()).
FB_CHECK_RESULT int fb_limit_plan_throttle(fb_limit_plan *plan, int64_t burst, int64_t count,
                                           int64_t period_s);

// ---- deciding

typedef struct fb_limit_state {
    uint16_t len;  // 0: nothing is used
    unsigned char bytes[FB_LIMIT_STATE_MAX];
} fb_limit_state;

typedef enum fb_limit_act {
    FB_LIMIT_TAKE,
    FB_LIMIT_LOOK,    // a peek
    FB_LIMIT_GIVE     // a refund: RING, PARTS: of what counts the oldest; TOKEN: not below empty
} fb_limit_act;

typedef struct fb_limit_step {
    fb_limit_act act;
    uint32_t cost;
    int64_t now_us;
    int64_t start_us, end_us;  // FIXED: the period of now
} fb_limit_step;

// What a charge of `cost` adds to a token bucket: whole µs and rest / rate. (For the script.) Of a
// cost above the limit: what the limit adds.
void fb_limit_plan_token_cost(const fb_limit_plan *plan, uint32_t cost, uint64_t *whole,
                              uint32_t *part);

// What an answer says about a quota, by its state after the decision.
typedef struct fb_limit_view {
    uint32_t remaining;
    int64_t retry_us;  // of a denied cost that is not above the limit, only
    int64_t reset_us;
} fb_limit_view;

// Decides, and leaves the state as it is to be kept. Bytes that are no state of this plan count as
// none. Whether it is allowed (of GIVE: true).
bool fb_limit_decide(const fb_limit_plan *plan, const fb_limit_step *step, fb_limit_state *state);
// The same, and *view: what explain() would see.
bool fb_limit_decide_view(const fb_limit_plan *plan, const fb_limit_step *step,
                          fb_limit_state *state, fb_limit_view *view);
// Whether `state` differs from what decide() had been given is for the caller to compare.

// Fills in of a verdict: allowed, denied, impossible, cost, limit, remaining, window_us, retry_us,
// reset_us: from the state as decide() (here or in a script) left it, and what it said.
void fb_limit_explain(const fb_limit_plan *plan, const fb_limit_step *step,
                      const fb_limit_state *state, bool allowed, fb_verdict *verdict);
// The same from a view.
void fb_limit_tell(const fb_limit_plan *plan, const fb_limit_step *step, const fb_limit_view *view,
                   bool allowed, fb_verdict *verdict);
// Until when, by the clock of now_us, the state is worth keeping: after that it is as no bytes.
int64_t fb_limit_until_us(const fb_limit_plan *plan, const fb_limit_state *state);
// What of the quota is in use, in 1/65536; 65536: a charge of 1 would be denied.
uint32_t fb_limit_fill(const fb_limit_plan *plan, const fb_limit_step *step,
                       const fb_limit_state *state);

#ifdef __cplusplus
}
#endif

#endif
