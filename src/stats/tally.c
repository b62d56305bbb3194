// Counters in lanes: a row of counters for each lane, each row on cache lines of its own.
//
// More threads than lanes is allowed: two threads then share a lane, which costs time and never a
// count, because every add is atomic. (Plain adds by one owner per lane would save some nanoseconds
// and need each thread to register and to hand back its lane.)

#include "stats/tally.h"

#include <stdatomic.h>

#include "base/check.h"
#include "base/mem.h"

enum { LINE_SIZE = 64, LINE_COUNTERS = LINE_SIZE / sizeof(uint64_t) };

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit counters without a lock");

struct fb_tally {
    size_t counter_count;
    size_t row_len;             // counters from one lane's row to the next
    _Atomic uint64_t *counters;  // row after row, within `memory`
    void *memory;
};

int fb_tally_new(size_t counter_count, fb_tally **tally) {
    *tally = NULL;
    if (counter_count > SIZE_MAX / 2 / FB_TALLY_LANES / LINE_SIZE) {
        return FB_ENOMEM;
    }
    fb_tally *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->counter_count = counter_count;
    made->row_len = (counter_count + LINE_COUNTERS - 1) / LINE_COUNTERS * LINE_COUNTERS;
    // One line more than needed, so that the rows can start where a line does.
    size_t len = (FB_TALLY_LANES * made->row_len + LINE_COUNTERS) * sizeof(uint64_t);
    made->memory = fb_mem_zero(len, 1);
    if (made->memory == NULL) {
        fb_tally_free(made);
        return FB_ENOMEM;
    }
    uintptr_t start = (uintptr_t)made->memory;
    size_t skip = (LINE_SIZE - start % LINE_SIZE) % LINE_SIZE;
    made->counters = (void *)((char *)made->memory + skip);
    *tally = made;
    return FB_OK;
}

void fb_tally_free(fb_tally *tally) {
    if (tally == NULL) {
        return;
    }
    fb_mem_free(tally->memory);
    fb_mem_free(tally);
}

uint32_t fb_tally_lane(void) {
    static atomic_uint lanes_given;
    static _Thread_local uint32_t lane_kept;  // one more than the lane; 0: none yet
    if (lane_kept == 0) {
        lane_kept = 1 + atomic_fetch_add_explicit(&lanes_given, 1, memory_order_relaxed) %
                            FB_TALLY_LANES;
    }
    return lane_kept - 1;
}

void fb_tally_add(fb_tally *tally, uint32_t lane, size_t counter, uint64_t amount) {
    FB_ASSERT(lane < FB_TALLY_LANES && counter < tally->counter_count);
    atomic_fetch_add_explicit(&tally->counters[lane * tally->row_len + counter], amount,
                              memory_order_relaxed);
}

uint64_t fb_tally_sum(const fb_tally *tally, size_t counter) {
    FB_ASSERT(counter < tally->counter_count);
    uint64_t sum = 0;
    for (size_t lane = 0; lane < FB_TALLY_LANES; lane++) {
        sum += atomic_load_explicit(&tally->counters[lane * tally->row_len + counter],
                                    memory_order_relaxed);
    }
    return sum;
}

void fb_tally_reset(fb_tally *tally) {
    for (size_t i = 0; i < FB_TALLY_LANES * tally->row_len; i++) {
        atomic_store_explicit(&tally->counters[i], 0, memory_order_relaxed);
    }
}
