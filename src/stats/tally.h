// stats/tally.h -- counters that many threads raise without sharing a cache line.
//
// A tally has one row of counters per lane; a thread adds in its own lane (fb_tally_lane()), a
// reader sums over lanes. Sums are exact once the adders have stopped; while they run a sum is some
// moment's value of each counter. All memory is taken in new(). Threads: any.

#ifndef FB_STATS_TALLY_H
#define FB_STATS_TALLY_H

#include <stdatomic.h>

#include "base/check.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_TALLY_LANES = 32, FB_TALLY_OWN_LANES = 16 };

typedef struct fb_tally {
    // tally.c's own
    size_t counter_count;
    size_t row_len;              // counters from one lane's row to the next
    _Atomic uint64_t *counters;  // row after row, within `memory`
    _Atomic uint64_t *before;    // a row as well: the sums at the last reset
    void *memory;
} fb_tally;

FB_CHECK_RESULT int fb_tally_new(size_t counter_count, fb_tally **tally);
void fb_tally_free(fb_tally *tally);
// The calling thread's lane, the same in every tally: one below FB_TALLY_OWN_LANES is its alone
// until it ends. Where so many threads have one already it is one of the others, which threads
// share: that costs time, not counts.
uint32_t fb_tally_lane(void);
// lane: the calling thread's.
static inline void fb_tally_add(fb_tally *tally, uint32_t lane, size_t counter, uint64_t amount) {
    FB_ASSERT(lane < FB_TALLY_LANES && counter < tally->counter_count);
    _Atomic uint64_t *at = &tally->counters[lane * tally->row_len + counter];
    if (lane < FB_TALLY_OWN_LANES) {
        uint64_t sum = atomic_load_explicit(at, memory_order_relaxed) + amount;
        atomic_store_explicit(at, sum, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(at, amount, memory_order_relaxed);
    }
}
// What was added in this lane so far, resets or not.
static inline uint64_t fb_tally_own(const fb_tally *tally, uint32_t lane, size_t counter) {
    FB_ASSERT(lane < FB_TALLY_LANES && counter < tally->counter_count);
    return atomic_load_explicit(&tally->counters[lane * tally->row_len + counter],
                                memory_order_relaxed);
}
uint64_t fb_tally_sum(const fb_tally *tally, size_t counter);
// What is added meanwhile counts as before it or after it.
void fb_tally_reset(fb_tally *tally);

#ifdef __cplusplus
}
#endif

#endif
