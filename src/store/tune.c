// Two questions that S3-FIFO answers once and for all, answered by what the ghosts say.
//
// How much is probation? Of what left each queue unused, some comes back soon (within an eighth of
// the ghosts' memory). Where what left probation does so oftener than what left main, a larger
// probation would have had it: the share grows; where it does so less often, the share shrinks, down
// to where only what is used at once stays. ARC (FAST '03) counts all hits of its ghosts instead;
// then a loop, which comes back late but whole, makes probation take everything.
//
// Does main take in what comes back? In S3-FIFO always: main's hand goes on until it finds
// something unused. In a loop a little larger than the cache that is ruin, since what it finds is
// what will be needed next; where popularity is steady it wears down what is known of the popular.
// But where what is popular changes, it is right. So the hand goes on by `pace` bytes for every byte
// that comes back, and only what it has freed may be taken in; the rest is *denied* and goes through
// probation once more. The pace rises where the denied come back clearly oftener than what main has
// let go, and falls elsewhere. That the point lies at 1.6 (and not at 1, where both would be worth
// the same) was found by measuring: near it lie steady traces, for which the slow hand is better,
// and far beyond it those that change. At a pace of 1 main is nearly LIRS (SIGMETRICS '02): what is
// used once a round stays.
//
// Counts are halved when they pass what the shard holds, so that the past fades. Every number here
// may hold anything (a region found after a crash): it only makes for a while of odd choices.

#include "store/tune.h"

enum {
    ONE = 1 << 16,             // a share of all
    SHARE_START = ONE / 10,
    SHARE_MIN = ONE * 3 / 100,
    SHARE_MAX = ONE / 4,
    SHARE_SPEED = 20,          // a twentieth of all while everything is taken through once
    PACE_ONE = 1 << 8,
    PACE_MAX = 16 * PACE_ONE,
    PACE_SPEED = 2,            // e^2 while everything is taken through once
    ITEMS_MIN = 1024,          // counts are kept of at least so many: fewer tell nothing
    RARE = 160,                // one in so many back soon is as good as none
    SOON_MIN = 48,             // so many must have come back soon before rates are compared
};

static uint64_t clamp(uint64_t number, uint64_t low, uint64_t high) {
    return number < low ? low : number > high ? high : number;
}

void fb_tune_reset(fb_tuning *tuning) {
    *tuning = (fb_tuning){.share = SHARE_START, .pace = PACE_MAX};
}

void fb_tune_left(fb_tuning *tuning, fb_ghost_kind kind) {
    tuning->left[kind]++;
}

void fb_tune_back(fb_tuning *tuning, fb_ghost_kind kind, bool soon) {
    tuning->back[kind]++;
    tuning->soon[kind] += soon;
}

static void fade(fb_tuning *tuning, uint64_t items) {
    uint64_t most = items > ITEMS_MIN ? items : ITEMS_MIN;
    for (unsigned kind = 0; kind < FB_GHOST_COUNTED; kind++) {
        if (tuning->left[kind] > most) {
            tuning->left[kind] /= 2;
            tuning->back[kind] /= 2;
            tuning->soon[kind] /= 2;
        }
    }
}

// +1, 0 or -1: which way the share of probation should go.
static int judge_share(const fb_tuning *tuning, uint64_t items) {
    uint64_t left = (uint64_t)tuning->left[FB_GHOST_FRESH] + tuning->left[FB_GHOST_DENIED];
    uint64_t soon = (uint64_t)tuning->soon[FB_GHOST_FRESH] + tuning->soon[FB_GHOST_DENIED];
    uint64_t main_left = tuning->left[FB_GHOST_MAIN];
    uint64_t main_soon = tuning->soon[FB_GHOST_MAIN];
    uint64_t enough = clamp(items * 2 / 5, ITEMS_MIN / 2, UINT32_MAX);
    if (left < enough) {
        return 0;
    }
    if (soon * RARE < left) {
        return -1;
    }
    if (main_left < enough || soon + main_soon < SOON_MIN) {
        return 0;
    }
    // soon / left against main_soon / main_left.
    uint64_t probation = soon * (main_left + 1);
    uint64_t main = main_soon * (left + 1);
    return probation * 10 > main * 13 ? 1 : probation * 10 < main * 8 ? -1 : 0;
}

// +1, 0 or -1: which way the pace should go.
static int judge_pace(const fb_tuning *tuning, uint64_t items) {
    // What was denied a moment ago has had no time to come back.
    if (tuning->left[FB_GHOST_DENIED] < clamp(items / 8, ITEMS_MIN / 4, UINT32_MAX)) {
        return 0;
    }
    uint64_t denied = (tuning->back[FB_GHOST_DENIED] + UINT64_C(1)) *
                      (tuning->left[FB_GHOST_MAIN] + UINT64_C(4));
    uint64_t let_go = (tuning->back[FB_GHOST_MAIN] + UINT64_C(1)) *
                      (tuning->left[FB_GHOST_DENIED] + UINT64_C(4));
    return denied * 10 > let_go * 16 ? 1 : -1;
}

void fb_tune_step(fb_tuning *tuning, uint64_t items, uint64_t total, uint64_t bytes) {
    fade(tuning, items);
    uint64_t part = clamp(bytes * ONE / (total + 1), 1, ONE / 4);
    uint64_t step = part / SHARE_SPEED + 1;
    int way = judge_share(tuning, items);
    uint64_t share = clamp(tuning->share, SHARE_MIN, SHARE_MAX);
    share = way > 0 ? share + step : way < 0 ? share - step : share;
    tuning->share = (uint32_t)clamp(share, SHARE_MIN, SHARE_MAX);
    uint64_t pace = clamp(tuning->pace, PACE_ONE, PACE_MAX);
    uint64_t change = pace * part * PACE_SPEED / ONE + 1;
    way = judge_pace(tuning, items);
    pace = way > 0 ? pace + change : way < 0 ? pace - change : pace;
    tuning->pace = (uint32_t)clamp(pace, PACE_ONE, PACE_MAX);
}

bool fb_tune_probation_full(const fb_tuning *tuning, uint64_t probation_bytes,
                            uint64_t total_bytes) {
    return probation_bytes * ONE >= total_bytes * clamp(tuning->share, SHARE_MIN, SHARE_MAX);
}

void fb_tune_ask(fb_tuning *tuning, uint64_t size, uint64_t segment_bytes) {
    uint64_t more = size * clamp(tuning->pace, PACE_ONE, PACE_MAX) / PACE_ONE;
    tuning->credit = clamp(tuning->credit + more, 0, 2 * (more > segment_bytes ? more
                                                                             : segment_bytes));
}

bool fb_tune_spend(fb_tuning *tuning, uint64_t bytes) {
    bool enough = tuning->credit >= bytes;
    tuning->credit -= enough ? bytes : 0;
    return enough;
}

void fb_tune_freed(fb_tuning *tuning, uint64_t bytes, uint64_t segment_bytes) {
    tuning->freed = clamp(tuning->freed + bytes, 0, 2 * (bytes > segment_bytes ? bytes
                                                                             : segment_bytes));
}

bool fb_tune_take(fb_tuning *tuning, uint64_t size) {
    bool enough = tuning->freed >= size;
    tuning->freed -= enough ? size : 0;
    return enough;
}
