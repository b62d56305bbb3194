// limit/slots.h -- leases of the algorithm `slots` on this node alone: per key at most `limit` that
// live at a time. Bounded: keys_max keys; expired leases leave as others come. A clock up to a
// second behind the last one seen counts as standing still. Threads: any.

#ifndef FB_LIMIT_SLOTS_H
#define FB_LIMIT_SLOTS_H

#include "limit/table.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_limit_slots fb_limit_slots;

FB_CHECK_RESULT int fb_limit_slots_new(uint32_t keys_max, fb_limit_slots **slots);
void fb_limit_slots_free(fb_limit_slots *slots);

// `token` (never 0) is the caller's, random. In each case *used is how many live now, *next_us
// until the first of them ends by itself, *last_us until the last does (0: none lives).
typedef struct fb_limit_slots_answer {
    uint32_t used;
    int64_t next_us, last_us;
} fb_limit_slots_answer;
// FB_OK; FB_LIMITED: `limit` live; FB_EOVERLOAD: keys_max keys have leases; FB_ENOMEM. A lease
// that, by the clock, is to live for longer than the plan's window from now (the clock went back)
// is cut to that. A token that lives already is renewed.
FB_CHECK_RESULT int fb_limit_slots_acquire(fb_limit_slots *slots, uint64_t hash,
                                           const fb_limit_plan *plan, uint64_t token,
                                           int64_t ttl_us, int64_t now_us,
                                           fb_limit_slots_answer *answer);
// FB_OK, FB_MISS.
FB_CHECK_RESULT int fb_limit_slots_renew(fb_limit_slots *slots, uint64_t hash,
                                         const fb_limit_plan *plan, uint64_t token, int64_t ttl_us,
                                         int64_t now_us);
FB_CHECK_RESULT int fb_limit_slots_release(fb_limit_slots *slots, uint64_t hash, uint64_t token,
                                           int64_t now_us);
void fb_limit_slots_look(fb_limit_slots *slots, uint64_t hash, const fb_limit_plan *plan,
                         int64_t now_us, fb_limit_slots_answer *answer);
void fb_limit_slots_forget(fb_limit_slots *slots, uint64_t hash);
// limit, remaining, retry_us, reset_us … of a verdict: of either store's answer.
void fb_limit_slots_explain(const fb_limit_plan *plan, const fb_limit_slots_answer *answer,
                            bool allowed, fb_verdict *verdict);
void fb_limit_slots_figures_read(fb_limit_slots *slots, fb_limit_table_figures *figures);

#ifdef __cplusplus
}
#endif

#endif
