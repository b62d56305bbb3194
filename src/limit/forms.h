// limit/forms.h -- the four forms of a state (limit/plan.h), each in its own file: decide_<form>.c.
// fb_limit_decide() and the others hand on to them; nobody else calls them.

#ifndef FB_LIMIT_FORMS_H
#define FB_LIMIT_FORMS_H

#include <string.h>

#include "base/rule.h"
#include "limit/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

// Times of a state are below this.
#define FB_LIMIT_TIME_END (UINT64_C(1) << 53)

// *view (may be NULL) is set but for GIVE.
bool fb_limit_ring_decide(const fb_limit_plan *plan, const fb_limit_step *step,
                          fb_limit_state *state, fb_limit_view *view);
void fb_limit_ring_view(const fb_limit_plan *plan, const fb_limit_step *step,
                        const fb_limit_state *state, fb_limit_view *view);
int64_t fb_limit_ring_until_us(const fb_limit_plan *plan, const fb_limit_state *state);

bool fb_limit_parts_decide(const fb_limit_plan *plan, const fb_limit_step *step,
                           fb_limit_state *state, fb_limit_view *view);
void fb_limit_parts_view(const fb_limit_plan *plan, const fb_limit_step *step,
                         const fb_limit_state *state, fb_limit_view *view);
int64_t fb_limit_parts_until_us(const fb_limit_plan *plan, const fb_limit_state *state);

bool fb_limit_token_decide(const fb_limit_plan *plan, const fb_limit_step *step,
                           fb_limit_state *state, fb_limit_view *view);
void fb_limit_token_view(const fb_limit_plan *plan, const fb_limit_step *step,
                         const fb_limit_state *state, fb_limit_view *view);
int64_t fb_limit_token_until_us(const fb_limit_plan *plan, const fb_limit_state *state);
uint32_t fb_limit_token_fill(const fb_limit_plan *plan, const fb_limit_step *step,
                             const fb_limit_state *state);

bool fb_limit_fixed_decide(const fb_limit_plan *plan, const fb_limit_step *step,
                           fb_limit_state *state, fb_limit_view *view);
void fb_limit_fixed_view(const fb_limit_plan *plan, const fb_limit_step *step,
                         const fb_limit_state *state, fb_limit_view *view);
int64_t fb_limit_fixed_until_us(const fb_limit_plan *plan, const fb_limit_state *state);

// Of a limit of which `used` is in use.
static inline bool fb_limit_fits(const fb_limit_plan *plan, uint64_t used, uint32_t cost) {
    return cost == 0 || used + cost <= plan->limit;
}
static inline uint32_t fb_limit_left(const fb_limit_plan *plan, uint64_t used) {
    return used < plan->limit ? (uint32_t)(plan->limit - used) : 0;
}
// Whether a question changes the state: what is allowed, and with charge_denied what is not.
static inline bool fb_limit_charges(const fb_limit_plan *plan, const fb_limit_step *step,
                                    bool allowed) {
    return step->act == FB_LIMIT_TAKE && step->cost > 0 &&
           (allowed || ((plan->charge_denied || !FB_RULE(denied_free)) &&
                        step->cost <= plan->limit));
}

// Little-endian numbers, wherever they stand.
static inline uint64_t fb_limit_get64(const unsigned char *at) {
    uint64_t number;

    memcpy(&number, at, sizeof(number));
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? number : __builtin_bswap64(number);
}
static inline uint32_t fb_limit_get32(const unsigned char *at) {
    uint32_t number;

    memcpy(&number, at, sizeof(number));
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? number : __builtin_bswap32(number);
}
static inline void fb_limit_put64(unsigned char *at, uint64_t number) {
    number = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? number : __builtin_bswap64(number);
    memcpy(at, &number, sizeof(number));
}
static inline void fb_limit_put32(unsigned char *at, uint32_t number) {
    number = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? number : __builtin_bswap32(number);
    memcpy(at, &number, sizeof(number));
}

#ifdef __cplusplus
}
#endif

#endif
