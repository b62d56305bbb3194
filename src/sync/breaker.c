// Calls are counted in half seconds, ten of them in a ring: their sum is what happened within 5 s,
// and the newest two are what happens now. So nothing has to be remembered of single calls, and
// what is too old goes by itself.
//
// Slow is not failed: an answer that takes longer than anybody waits for it is of no use, but one
// slow call in a quiet second is no reason to give the shared tier up. So slowness counts when it
// goes on: more than one call in a hundred of each second, for 3 s.
//
// While it is open nothing goes but a probe, one at a time. The gate sends something of no
// consequence as a probe, so that no caller has to pay for it.

#include "sync/breaker.h"

#include "base/check.h"
#include "base/units.h"

static const int64_t BUCKET_NS = FB_NS_PER_S / 2;
static const int64_t SLOW_FOR_NS = 3 * FB_NS_PER_S;
static const int64_t BACK_OFF_MIN_NS = FB_NS_PER_S / 2;
static const int64_t BACK_OFF_MAX_NS = 10 * FB_NS_PER_S;
static const double JITTER = 0.2;
enum { CALLS_MIN = 20, NOW_BUCKETS = 2 };

typedef struct tally {
    uint64_t calls, failed, slow;
} tally;

void fb_breaker_init(fb_breaker *breaker, int64_t slow_ns, uint64_t seed) {
    *breaker = (fb_breaker){.slow_ns = slow_ns,
                            .probe_ns = INT64_MAX,
                            .back_off_ns = BACK_OFF_MIN_NS,
                            .slow_since_ns = INT64_MAX};
    fb_rng_init(&breaker->rng, seed);
}

static void open_it(fb_breaker *breaker, int64_t now_ns) {
    double share = 1 - JITTER + 2 * JITTER * fb_rng_unit(&breaker->rng);
    breaker->state = FB_BREAKER_OPEN;
    breaker->probe_ns = now_ns + (int64_t)((double)breaker->back_off_ns * share);
}

static void close_it(fb_breaker *breaker) {
    breaker->state = FB_BREAKER_CLOSED;
    breaker->probe_ns = INT64_MAX;
    breaker->back_off_ns = BACK_OFF_MIN_NS;
    breaker->slow_since_ns = INT64_MAX;
    for (int i = 0; i < FB_BREAKER_BUCKETS; i++) {
        breaker->buckets[i].calls = breaker->buckets[i].failed = breaker->buckets[i].slow = 0;
    }
}

bool fb_breaker_allows(fb_breaker *breaker, int64_t now_ns) {
    if (breaker->state == FB_BREAKER_OPEN && now_ns >= breaker->probe_ns) {
        breaker->state = FB_BREAKER_HALF_OPEN;
        breaker->probe_ns = INT64_MAX;
        return true;
    }
    return breaker->state == FB_BREAKER_CLOSED;
}

// What the newest `count` half seconds had.
static tally sum(const fb_breaker *breaker, int64_t at, int64_t count) {
    tally all = {0};
    for (int i = 0; i < FB_BREAKER_BUCKETS; i++) {
        if (breaker->buckets[i].at > at - count && breaker->buckets[i].at <= at) {
            all.calls += breaker->buckets[i].calls;
            all.failed += breaker->buckets[i].failed;
            all.slow += breaker->buckets[i].slow;
        }
    }
    return all;
}

static void note(fb_breaker *breaker, bool failed, bool slow, int64_t at) {
    int place = (int)(at % FB_BREAKER_BUCKETS);
    if (breaker->buckets[place].at != at) {
        breaker->buckets[place].at = at;
        breaker->buckets[place].calls = 0;
        breaker->buckets[place].failed = 0;
        breaker->buckets[place].slow = 0;
    }
    breaker->buckets[place].calls++;
    breaker->buckets[place].failed += failed;
    breaker->buckets[place].slow += slow;
}

static bool is_bad(fb_breaker *breaker, int64_t at, int64_t now_ns) {
    tally all = sum(breaker, at, FB_BREAKER_BUCKETS);
    tally now = sum(breaker, at, NOW_BUCKETS);
    if (now.slow * 100 <= now.calls) {
        breaker->slow_since_ns = INT64_MAX;
    } else if (breaker->slow_since_ns == INT64_MAX) {
        breaker->slow_since_ns = now_ns;
    }
    if (all.calls < CALLS_MIN) {
        return false;
    }
    bool slow = breaker->slow_since_ns != INT64_MAX &&
                now_ns - breaker->slow_since_ns >= SLOW_FOR_NS;
    return all.failed * 2 >= all.calls || slow;
}

bool fb_breaker_ended(fb_breaker *breaker, bool failed, int64_t took_ns, int64_t now_ns) {
    FB_ASSERT(now_ns >= 0);
    if (breaker->state == FB_BREAKER_OPEN) {
        return false;  // it was sent before
    }
    if (breaker->state == FB_BREAKER_HALF_OPEN) {
        if (!failed) {
            close_it(breaker);
            return true;
        }
        breaker->back_off_ns =
            breaker->back_off_ns > BACK_OFF_MAX_NS / 2 ? BACK_OFF_MAX_NS : 2 * breaker->back_off_ns;
        open_it(breaker, now_ns);
        return true;
    }
    int64_t at = now_ns / BUCKET_NS;
    note(breaker, failed, took_ns > breaker->slow_ns, at);
    if (!is_bad(breaker, at, now_ns)) {
        return false;
    }
    open_it(breaker, now_ns);
    return true;
}

bool fb_breaker_link(fb_breaker *breaker, bool up, int64_t now_ns) {
    fb_breaker_state before = breaker->state;
    if (!up) {
        breaker->state = FB_BREAKER_OPEN;
        breaker->probe_ns = INT64_MAX;
    } else if (before == FB_BREAKER_OPEN) {
        breaker->probe_ns = now_ns;
        breaker->back_off_ns = BACK_OFF_MIN_NS;
    }
    return breaker->state != before;
}

int64_t fb_breaker_due(const fb_breaker *breaker) {
    return breaker->state == FB_BREAKER_OPEN ? breaker->probe_ns : INT64_MAX;
}
