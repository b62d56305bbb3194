// node/advice.h -- what the figures say one should do, and the targets they are held against.

#ifndef FB_NODE_ADVICE_H
#define FB_NODE_ADVICE_H

#include <forebay/stats.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_ADVICE_READS_MIN = 20, FB_ADVICE_SIZE = 400 };

// Calls `fn` for each recommendation, at least one: a sentence that names the class and its
// figures. The same figures give the same sentences.
typedef void (*fb_advice_fn)(void *arg, const char *text);
void fb_advice_give(const fb_stats *stats, fb_advice_fn fn, void *arg);

// Met or not; unknown while there is nothing to judge by.
typedef enum fb_met { FB_MET_UNKNOWN, FB_MET_YES, FB_MET_NO } fb_met;

typedef struct fb_target {
    const char *name;      // "hit_rate"
    const char *relation;  // ">" or "<"
    double bound;
    const char *unit;  // "%", "ms", "bytes"
    double value;
    fb_met met;
} fb_target;

enum { FB_TARGET_COUNT = 5 };
// Hit rate, hit and miss latency, memory, errors: in all.
void fb_advice_targets(const fb_stats *stats, fb_target targets[FB_TARGET_COUNT]);

#ifdef __cplusplus
}
#endif

#endif
