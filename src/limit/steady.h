// limit/steady.h -- one clock of many threads: a reading a little older than the last (up to a
// second) is the last again, so that what two threads do at once never looks as if time went back.

#ifndef FB_LIMIT_STEADY_H
#define FB_LIMIT_STEADY_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_LIMIT_JITTER_US = 1000000 };

// Whether now_us only lags behind; otherwise it is a time to go on from, even if it is far back.
static inline bool fb_limit_lags(int64_t now_us, int64_t last_us) {
    return now_us < last_us && last_us - now_us <= FB_LIMIT_JITTER_US;
}

#ifdef __cplusplus
}
#endif

#endif
