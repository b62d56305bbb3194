// limit/ledger.h -- what is counted of one rule: the counters of FB_LIMIT_COUNTERS, and the keys
// that are denied most. Kept over reloads, by the rule's name.
//
// Threads: any.

#ifndef FB_LIMIT_LEDGER_H
#define FB_LIMIT_LEDGER_H

#include <forebay/limit.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_limit_counter {
#define FB_LIMIT_COUNTER_ENUM(name, help) FB_LIMIT_COUNTER_##name,
    FB_LIMIT_COUNTERS(FB_LIMIT_COUNTER_ENUM)
#undef FB_LIMIT_COUNTER_ENUM
    FB_LIMIT_COUNTER_COUNT
} fb_limit_counter;

typedef struct fb_limit_ledger fb_limit_ledger;

FB_CHECK_RESULT int fb_limit_ledger_new(fb_limit_ledger **ledger);
void fb_limit_ledger_free(fb_limit_ledger *ledger);
void fb_limit_ledger_add(fb_limit_ledger *ledger, fb_limit_counter counter, uint64_t amount);
// A question was answered with *verdict, and `charged` was taken for it.
void fb_limit_ledger_answered(fb_limit_ledger *ledger, const fb_verdict *verdict, uint32_t charged);
// A key was denied; it is shown as itself, or (show false) as its hash in hex.
void fb_limit_ledger_denied(fb_limit_ledger *ledger, uint64_t hash, fb_str key, bool show);
// The counters and the top of *figures.
void fb_limit_ledger_read(fb_limit_ledger *ledger, fb_limit_figures *figures);
void fb_limit_ledger_reset(fb_limit_ledger *ledger);

#ifdef __cplusplus
}
#endif

#endif
