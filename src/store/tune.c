// Three questions that S3-FIFO answers once and for all, answered by what is seen.
//
// How much is probation? Of what left each queue unused, some comes back soon (within an eighth of
// the ghosts' memory). Where what left probation does so oftener than what left main, a larger
// probation would have had it: the share grows; where it does so less often, the share shrinks,
// down to where only what is used at once stays. ARC (FAST '03) counts all hits of its ghosts
// instead; then a loop, which comes back late but whole, makes probation take everything.
//
// Does main take in what comes back? In S3-FIFO always: main's hand goes on until it finds
// something unused. In a loop a little larger than the cache that is ruin, since what it finds is
// what will be needed next; where popularity is steady it wears down what is known of the popular.
// But where what is popular changes, it is right. So the hand goes on by `pace` bytes for every
// byte that comes back, and only what it has freed may be taken in; the rest is *denied* and goes
// through probation once more. The pace rises where the denied come back clearly oftener than what
// main has let go, and falls elsewhere. That the point lies at 1.5 (and not at 1, where both would
// be worth the same) was found by measuring: near it lie steady traces, for which the slow hand is
// better, and far beyond it those that change. At a pace of 1 main is nearly LIRS (SIGMETRICS '02):
// what is used once a round stays. At the fastest, which is nearly S3-FIFO and where a shard
// begins, hardly anything is denied by itself; so one in eight is, until enough were to tell, and
// then one in 64 while the fast hand is found right: else small shards learn next to nothing. It
// rises twice as fast as it falls: back to S3-FIFO sooner than away from it.
//
// Does one use in probation make an item fit for main, or two? Mostly one; where things are used
// twice in a row and then no more (blocks of files) main fills with what one use speaks for. A few
// of the items that come into main are followed until its hand comes by, those that came for one
// use and those that came back, and it is compared how many of each are in use.
//
// Counts span some thousand items even in a shard that holds a hundred: of those hardly one in a
// hundred comes back soon, and a share that only ever saw too few to grow could only shrink.
//
// Counts are halved when they pass what the shard holds, so that the past fades. Every number here
// may hold anything (a region found after a crash): it only makes for a while of odd choices.

#include "store/tune.h"

enum {
    ONE = 1 << 16,  // a share of all
    SHARE_START = ONE / 10,
    SHARE_MIN = ONE * 3 / 100,
    SHARE_MAX = ONE / 4,
    SHARE_SPEED = 20,  // a twentieth of all while everything is taken through once
    PACE_ONE = 1 << 8,
    PACE_MAX = 16 * PACE_ONE,
    PACE_RISE = 2,      // e^2 while everything is taken through once
    PACE_FALL = 1,      // and e
    ITEMS_MIN = 4096,   // counts are kept of at least so many: fewer tell nothing
    LEFT_MIN = 512,     // so many must have left before the share is judged
    DENIED_MIN = 128,   // so many denied must have left before the pace is
    DENY_UNKNOWN = 8,   // one in so many is denied till then
    DENY_KNOWN = 64,    // and where it is known that the pace should rise
    RARE = 160,         // one in so many back soon is as good as none
    FOLLOWED_MIN = 64,  // so many must have been followed before ways are compared
    FOLLOWED_MAX = 512,
    TRIED = 8,      // one in so many
    SOON_MIN = 48,  // so many must have come back soon before rates are compared
};

static uint64_t clamp(uint64_t number, uint64_t low, uint64_t high) {
    return number < low ? low : number > high ? high : number;
}

void fb_tune_reset(fb_tuning *tuning) {
    *tuning = (fb_tuning){.share = SHARE_START, .pace = PACE_MAX, .uses = 1};
}

// Of the items few enough are followed that their places are not taken by others before the hand
// comes by.
static bool is_followed(uint64_t items, uint64_t hash) {
    uint64_t one_in = items / (FB_FOLLOWED / 2);
    uint64_t mask = one_in < 2 ? 0 : UINT64_MAX >> __builtin_clzll(one_in);
    return (hash >> 20 & mask) == 0;
}

static uint16_t *place_of(fb_tuning *tuning, uint64_t hash) {
    return &tuning->followed[(hash >> 12) % FB_FOLLOWED];
}

// Not 0, and even.
static uint16_t mark_of(uint64_t hash) {
    return (uint16_t)((hash >> 36 | 2) & ~UINT64_C(1));
}

void fb_tune_enter(fb_tuning *tuning, uint64_t items, uint64_t hash, fb_way way) {
    if (is_followed(items, hash)) {
        *place_of(tuning, hash) = (uint16_t)(mark_of(hash) | way);
    }
}

void fb_tune_pass(fb_tuning *tuning, uint64_t items, uint64_t hash, bool used) {
    uint16_t *place = place_of(tuning, hash);
    if (is_followed(items, hash) && (*place & ~1) == mark_of(hash)) {
        fb_way way = (fb_way)(*place & 1);
        tuning->seen[way]++;
        tuning->used[way] += used;
        *place = 0;
    }
}

bool fb_tune_promotes(const fb_tuning *tuning, uint64_t items, uint64_t hash, unsigned uses) {
    // Where two are asked, some of those with one come in to be followed, or nothing would be
    // learnt.
    bool tried = is_followed(items, hash) && (hash >> 45) % TRIED == 0;
    return uses >= 2 || (uses == 1 && (tuning->uses != 2 || tried));
}

// Main asks for two uses where those it took for one are in use clearly less often, when its hand
// comes by, than those it took for coming back; and for one again where that is no longer so.
static void judge_uses(fb_tuning *tuning) {
    uint64_t once = (uint64_t)tuning->used[FB_WAY_ONCE] * tuning->seen[FB_WAY_BACK];
    uint64_t back = (uint64_t)tuning->used[FB_WAY_BACK] * tuning->seen[FB_WAY_ONCE];
    if (tuning->seen[FB_WAY_ONCE] >= FOLLOWED_MIN && tuning->seen[FB_WAY_BACK] >= FOLLOWED_MIN) {
        tuning->uses = once * 20 < back * 17 ? 2 : once > back ? 1 : tuning->uses;
    }
    for (unsigned way = 0; way < FB_WAYS; way++) {
        if (tuning->seen[way] > FOLLOWED_MAX) {
            tuning->seen[way] /= 2;
            tuning->used[way] /= 2;
        }
    }
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
    uint64_t enough = clamp(items * 2 / 5, LEFT_MIN, UINT32_MAX);
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
    if (tuning->left[FB_GHOST_DENIED] < clamp(items / 16, DENIED_MIN, UINT32_MAX)) {
        return 0;
    }
    uint64_t denied =
        (tuning->back[FB_GHOST_DENIED] + UINT64_C(1)) * (tuning->left[FB_GHOST_MAIN] + UINT64_C(4));
    uint64_t let_go =
        (tuning->back[FB_GHOST_MAIN] + UINT64_C(1)) * (tuning->left[FB_GHOST_DENIED] + UINT64_C(4));
    return denied * 10 > let_go * 15 ? 1 : -1;
}

void fb_tune_step(fb_tuning *tuning, uint64_t items, uint64_t total, uint64_t bytes) {
    fade(tuning, items);
    judge_uses(tuning);
    // More is never freed at a time; anything found here must not last.
    tuning->freed = clamp(tuning->freed, 0, total);
    uint64_t part = clamp(bytes * ONE / (total + 1), 1, ONE / 4);
    uint64_t step = part / SHARE_SPEED + 1;
    int way = judge_share(tuning, items);
    uint64_t share = clamp(tuning->share, SHARE_MIN, SHARE_MAX);
    share = way > 0 ? share + step : way < 0 ? share - step : share;
    tuning->share = (uint32_t)clamp(share, SHARE_MIN, SHARE_MAX);
    uint64_t pace = clamp(tuning->pace, PACE_ONE, PACE_MAX);
    uint64_t change = pace * part / ONE + 1;
    way = judge_pace(tuning, items);
    pace = way > 0 ? pace + PACE_RISE * change : way < 0 ? pace - PACE_FALL * change : pace;
    tuning->pace = (uint32_t)clamp(pace, PACE_ONE, PACE_MAX);
}

bool fb_tune_probation_full(const fb_tuning *tuning, uint64_t probation_bytes,
                            uint64_t total_bytes) {
    return probation_bytes * ONE >= total_bytes * clamp(tuning->share, SHARE_MIN, SHARE_MAX);
}

void fb_tune_ask(fb_tuning *tuning, uint64_t size, uint64_t segment_bytes) {
    uint64_t more = size * clamp(tuning->pace, PACE_ONE, PACE_MAX) / PACE_ONE;
    tuning->credit =
        clamp(tuning->credit + more, 0, 2 * (more > segment_bytes ? more : segment_bytes));
}

bool fb_tune_spend(fb_tuning *tuning, uint64_t bytes) {
    bool enough = tuning->credit >= bytes;
    tuning->credit -= enough ? bytes : 0;
    return enough;
}

void fb_tune_freed(fb_tuning *tuning, uint64_t bytes, uint64_t segment_bytes) {
    tuning->freed =
        clamp(tuning->freed + bytes, 0, 2 * (bytes > segment_bytes ? bytes : segment_bytes));
}

bool fb_tune_take(fb_tuning *tuning, uint64_t size) {
    bool enough = tuning->freed >= size;
    tuning->freed -= enough ? size : 0;
    return enough;
}

bool fb_tune_denies(const fb_tuning *tuning, uint64_t items) {
    uint64_t back = (uint64_t)tuning->back[FB_GHOST_FRESH] + tuning->back[FB_GHOST_DENIED];
    return back % (judge_pace(tuning, items) > 0 ? DENY_KNOWN : DENY_UNKNOWN) == 0;
}
