// store/tune.h -- what a shard learns from its ghosts: how much of it is probation, and how willing
// main is to take in what comes back. Arithmetic only. Threads: under the shard's lock.

#ifndef FB_STORE_TUNE_H
#define FB_STORE_TUNE_H

#include "store/region.h"

void fb_tune_reset(fb_tuning *tuning);
// An item left unused, of `kind`; an item that had left as that came back, or soon came back.
void fb_tune_left(fb_tuning *tuning, fb_ghost_kind kind);
void fb_tune_back(fb_tuning *tuning, fb_ghost_kind kind, bool soon);
// Of `items` items, or `total` bytes, `bytes` have just been taken through.
void fb_tune_step(fb_tuning *tuning, uint64_t items, uint64_t total, uint64_t bytes);

// An item of `items` comes into main; main's hand comes by an item: whether it was used since.
void fb_tune_enter(fb_tuning *tuning, uint64_t items, uint64_t hash, fb_way way);
void fb_tune_pass(fb_tuning *tuning, uint64_t items, uint64_t hash, bool used);
// Whether main takes an item that was used so often in probation.
bool fb_tune_promotes(const fb_tuning *tuning, uint64_t items, uint64_t hash, unsigned uses);

// Whether probation has its share of the two queues.
bool fb_tune_probation_full(const fb_tuning *tuning, uint64_t probation_bytes,
                            uint64_t total_bytes);
// An item of `size` bytes came back: main may be looked through for its sake, and for what so many
// items ask together.
void fb_tune_ask(fb_tuning *tuning, uint64_t size, uint64_t segment_bytes);
// Whether main may be looked through for `bytes`; then they are spent.
bool fb_tune_spend(fb_tuning *tuning, uint64_t bytes);
// Looking through main has freed bytes; whether `size` of them are left, which are then taken.
void fb_tune_freed(fb_tuning *tuning, uint64_t bytes, uint64_t segment_bytes);
bool fb_tune_take(fb_tuning *tuning, uint64_t size);
// Whether what has just come back is to be denied whatever is free, for something to be learnt.
bool fb_tune_denies(const fb_tuning *tuning, uint64_t items);

#endif
