// stats/tally.h -- counters that many threads raise without sharing a cache line.
//
// A tally has one row of counters per lane; a thread adds in its own lane (fb_tally_lane()), a
// reader sums over lanes. Sums are exact once the adders have stopped; while they run a sum is some
// moment's value of each counter. All memory is taken in new(). Threads: any.

#ifndef FB_STATS_TALLY_H
#define FB_STATS_TALLY_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_TALLY_LANES = 16 };

typedef struct fb_tally fb_tally;

FB_CHECK_RESULT int fb_tally_new(size_t counter_count, fb_tally **tally);
void fb_tally_free(fb_tally *tally);
// The calling thread's lane, 0 … FB_TALLY_LANES - 1: given out in turn, kept for the thread's life.
// The same in every tally. Threads that share a lane lose time, not counts.
uint32_t fb_tally_lane(void);
void fb_tally_add(fb_tally *tally, uint32_t lane, size_t counter, uint64_t amount);
uint64_t fb_tally_sum(const fb_tally *tally, size_t counter);
// Counts that are added meanwhile may be lost.
void fb_tally_reset(fb_tally *tally);

#ifdef __cplusplus
}
#endif

#endif
