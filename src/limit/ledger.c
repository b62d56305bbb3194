// Counters in a tally, a row for each thread's lane, so that threads that ask for the same rule do
// not share a cache line; and the sketch of the keys denied most.

#include "limit/ledger.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "limit/top.h"
#include "stats/tally.h"

struct fb_limit_ledger {
    fb_tally *tally;
    fb_limit_top *top;
};

int fb_limit_ledger_new(fb_limit_ledger **ledger) {
    fb_limit_ledger *made = fb_mem_zero(1, sizeof *made);
    *ledger = NULL;
    if (made == NULL) {
        return FB_ENOMEM;
    }
    if (fb_tally_new(FB_LIMIT_COUNTER_COUNT, &made->tally) < 0 ||
        fb_limit_top_new(&made->top) < 0) {
        fb_limit_ledger_free(made);
        return FB_ENOMEM;
    }
    *ledger = made;
    return FB_OK;
}

void fb_limit_ledger_free(fb_limit_ledger *ledger) {
    if (ledger == NULL) {
        return;
    }
    fb_tally_free(ledger->tally);
    fb_limit_top_free(ledger->top);
    fb_mem_free(ledger);
}

void fb_limit_ledger_add(fb_limit_ledger *ledger, fb_limit_counter counter, uint64_t amount) {
    FB_ASSERT(counter < FB_LIMIT_COUNTER_COUNT);
    fb_tally_add(ledger->tally, fb_tally_lane(), (size_t)counter, amount);
}

void fb_limit_ledger_answered(fb_limit_ledger *ledger, const fb_verdict *verdict,
                              uint32_t charged) {
    fb_tally *tally = ledger->tally;
    uint32_t lane = fb_tally_lane();
    fb_tally_add(tally, lane,
                 verdict->allowed ? FB_LIMIT_COUNTER_allowed : FB_LIMIT_COUNTER_denied, 1);
    if (charged > 0) {
        fb_tally_add(tally, lane, FB_LIMIT_COUNTER_charged, charged);
    }
    if (verdict->allowed && verdict->denied) {
        fb_tally_add(tally, lane, FB_LIMIT_COUNTER_shadowed, 1);
    }
    if (verdict->degraded) {
        fb_tally_add(tally, lane, FB_LIMIT_COUNTER_degraded, 1);
    }
    if (verdict->source == FB_LIMIT_BY_REMEMBERED) {
        fb_tally_add(tally, lane, FB_LIMIT_COUNTER_remembered, 1);
    }
}

void fb_limit_ledger_denied(fb_limit_ledger *ledger, uint64_t hash, fb_str key, bool show) {
    fb_limit_top_add(ledger->top, hash, show ? key : FB_STR(""));
}

void fb_limit_ledger_read(fb_limit_ledger *ledger, fb_limit_figures *figures) {
#define READ(name, help) \
    figures->name = fb_tally_sum(ledger->tally, (size_t)FB_LIMIT_COUNTER_##name);
    FB_LIMIT_COUNTERS(READ)
#undef READ
    fb_limit_top_read(ledger->top, figures);
}

void fb_limit_ledger_reset(fb_limit_ledger *ledger) {
    fb_tally_reset(ledger->tally);
    fb_limit_top_reset(ledger->top);
}
