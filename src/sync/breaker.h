// sync/breaker.h -- whether the shared tier is worth asking: CLOSED → OPEN → HALF_OPEN → CLOSED.
//
// It opens where half of at least 20 calls within 5 s failed, or the 99th percentile of their times
// was over the hard limit for 3 s, or the link went down; and lets one probe through after 0.5 s,
// which doubles with each failed probe up to 10 s, each with a jitter of ± 20 %. It never stays
// open for good. (Nygard, "Release It!", 2007, has the pattern.)
//
// Pure; one thread at a time; no memory.

#ifndef FB_SYNC_BREAKER_H
#define FB_SYNC_BREAKER_H

#include "base/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_breaker_state {
    FB_BREAKER_CLOSED,
    FB_BREAKER_OPEN,
    FB_BREAKER_HALF_OPEN
} fb_breaker_state;

enum { FB_BREAKER_BUCKETS = 10 };

typedef struct fb_breaker {
    fb_breaker_state state;
    int64_t slow_ns;     // the hard limit
    int64_t probe_ns;    // OPEN: when the next probe may go
    int64_t back_off_ns;
    int64_t slow_since_ns;  // INT64_MAX: it is not slow
    struct {
        int64_t at;  // which half second it counts
        uint32_t calls, failed, slow;
    } buckets[FB_BREAKER_BUCKETS];
    fb_rng rng;
} fb_breaker;

void fb_breaker_init(fb_breaker *breaker, int64_t slow_ns, uint64_t seed);
// Whether a request may go now; in HALF_OPEN one at a time (the probe).
bool fb_breaker_allows(fb_breaker *breaker, int64_t now_ns);
// How one that went ended. Whether the state changed.
bool fb_breaker_ended(fb_breaker *breaker, bool failed, int64_t took_ns, int64_t now_ns);
// The link went down: OPEN. It is up again: a probe may go at once. Whether the state changed.
bool fb_breaker_link(fb_breaker *breaker, bool up, int64_t now_ns);
// When allows() may change its mind; INT64_MAX: not by time.
int64_t fb_breaker_due(const fb_breaker *breaker);

#ifdef __cplusplus
}
#endif

#endif
