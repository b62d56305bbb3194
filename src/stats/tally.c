// Counters in lanes: a row of counters for each lane, each row on cache lines of its own.
//
// The first lanes have an owner each, a thread that hands its lane back when it ends: nobody else
// writes there, so an add is a load and a store, and no instruction that all processors have to
// agree about. Threads beyond that share the other lanes, and add there atomically. An owner's last
// adds happen before the next owner's first ones, by the word that says which lanes are free.
//
// A reset must not write into rows of others: it remembers what the sums were, and that is taken
// off from then on.

#include "stats/tally.h"

#include <pthread.h>

#include "base/mem.h"

enum { LINE_SIZE = 64, LINE_COUNTERS = LINE_SIZE / sizeof(uint64_t) };

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit counters without a lock");

int fb_tally_new(size_t counter_count, fb_tally **tally) {
    *tally = NULL;
    if (counter_count > SIZE_MAX / 2 / (FB_TALLY_LANES + 1) / LINE_SIZE) {
        return FB_ENOMEM;
    }
    fb_tally *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->counter_count = counter_count;
    made->row_len = (counter_count + LINE_COUNTERS - 1) / LINE_COUNTERS * LINE_COUNTERS;
    // One line more than needed, so that the rows can start where a line does.
    size_t len = ((FB_TALLY_LANES + 1) * made->row_len + LINE_COUNTERS) * sizeof(uint64_t);
    made->memory = fb_mem_zero(len, 1);
    if (made->memory == NULL) {
        fb_tally_free(made);
        return FB_ENOMEM;
    }
    uintptr_t start = (uintptr_t)made->memory;
    size_t skip = (LINE_SIZE - start % LINE_SIZE) % LINE_SIZE;
    made->counters = (void *)((char *)made->memory + skip);
    made->before = made->counters + FB_TALLY_LANES * made->row_len;
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

// ---- lanes

enum { OWN = FB_TALLY_OWN_LANES, SHARED = FB_TALLY_LANES - FB_TALLY_OWN_LANES };
_Static_assert(OWN < 32, "a word says which are free");

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key;
static _Atomic(uint32_t) free_lanes = (UINT32_C(1) << OWN) - 1;
static _Thread_local uint32_t lane_kept;  // one more than the lane; 0: none yet

static void hand_back(void *arg) {
    uint32_t lane = (uint32_t)(uintptr_t)arg - 1;
    // This thread may count on: others' destructors may come after this one.
    lane_kept = 1 + OWN + lane % SHARED;
    atomic_fetch_or_explicit(&free_lanes, UINT32_C(1) << lane, memory_order_release);
}

static void make_key(void) {
    has_key = pthread_key_create(&key, hand_back) == 0;
}

// One of the calling thread's own; false: all have an owner.
static bool take_own(uint32_t *lane) {
    uint32_t unowned = atomic_load_explicit(&free_lanes, memory_order_relaxed);
    while (unowned != 0) {
        *lane = (uint32_t)__builtin_ctz(unowned);
        if (!atomic_compare_exchange_weak_explicit(&free_lanes, &unowned, unowned & (unowned - 1),
                                                   memory_order_acquire, memory_order_relaxed)) {
            continue;
        }
        if (pthread_setspecific(key, (void *)(uintptr_t)(*lane + 1)) == 0) {
            return true;
        }
        hand_back((void *)(uintptr_t)(*lane + 1));
        return false;
    }
    return false;
}

static uint32_t take_lane(void) {
    static atomic_uint lanes_given;
    uint32_t lane;
    (void)pthread_once(&once, make_key);
    if (!has_key || !take_own(&lane)) {
        lane = OWN + atomic_fetch_add_explicit(&lanes_given, 1, memory_order_relaxed) % SHARED;
    }
    lane_kept = 1 + lane;
    return lane;
}

uint32_t fb_tally_lane(void) {
    return lane_kept != 0 ? lane_kept - 1 : take_lane();
}

// ---- counting

static uint64_t sum_lanes(const fb_tally *tally, size_t counter) {
    uint64_t sum = 0;
    for (size_t lane = 0; lane < FB_TALLY_LANES; lane++) {
        sum += atomic_load_explicit(&tally->counters[lane * tally->row_len + counter],
                                    memory_order_relaxed);
    }
    return sum;
}

uint64_t fb_tally_sum(const fb_tally *tally, size_t counter) {
    FB_ASSERT(counter < tally->counter_count);
    // Before the lanes: whoever reset it had read them, so they are not less now.
    uint64_t before = atomic_load_explicit(&tally->before[counter], memory_order_acquire);
    return sum_lanes(tally, counter) - before;
}

void fb_tally_reset(fb_tally *tally) {
    for (size_t i = 0; i < tally->counter_count; i++) {
        atomic_store_explicit(&tally->before[i], sum_lanes(tally, i), memory_order_release);
    }
}
