// node/advice.h -- what the figures say one should do, and the targets they are held against.
//
// Recommendations are rules in one table (advice.c, and `forebay doctor` and docs/monitoring.md show
// it). Each looks at the figures of one class, of one queue or limit, or of the whole, and where it fits
// says about what, which figure, what that means and what to change.

#ifndef FB_NODE_ADVICE_H
#define FB_NODE_ADVICE_H

#include <forebay/forebay.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_ADVICE_READS_MIN = 20, FB_ADVICE_ALONE_READS_MIN = 10000, FB_ADVICE_SIZE = 640 };

typedef enum fb_advice_level {
    FB_ADVICE_FINE,   // nothing to do
    FB_ADVICE_HINT,   // something to gain
    FB_ADVICE_ACT     // something to mend
} fb_advice_level;
const char *fb_advice_level_name(fb_advice_level level);  // "fine", "hint", "act"

typedef struct fb_advice {
    const char *rule;  // its name in the table: "ttl-too-short"
    fb_advice_level level;
    char about[100];   // "class 'package'", "plain keys", "queue 'mail'", "limit 'api'", "memory"
    char figure[160];  // "hit rate 43.2% of 1000 reads"
    char reason[200];  // what it means
    char change[240];  // what to change; "" where there is nothing to do
} fb_advice;

// What the rules look at. Figures of queues and limits may be missing.
typedef struct fb_advice_basis {
    const fb_stats *stats;
    const fb_queue_figures *queues;
    size_t queue_count;
    const fb_limit_figures *limits;
    size_t limit_count;
} fb_advice_basis;

// Calls `fn` for each recommendation, at least one. The same figures give the same words.
typedef void (*fb_advice_each_fn)(void *arg, const fb_advice *advice);
void fb_advice_each(const fb_advice_basis *basis, fb_advice_each_fn fn, void *arg);
// One recommendation as a line for people; returns text.
const char *fb_advice_text(const fb_advice *advice, char text[FB_ADVICE_SIZE]);

// The same of the cache alone, as lines.
typedef void (*fb_advice_fn)(void *arg, const char *text);
void fb_advice_give(const fb_stats *stats, fb_advice_fn fn, void *arg);

// The table: name and what it is about; NULL after the last.
const char *fb_advice_rule(size_t index, const char **when);

// Met or not; unknown while there is nothing to judge by.
typedef enum fb_met { FB_MET_UNKNOWN, FB_MET_YES, FB_MET_NO } fb_met;
const char *fb_met_name(fb_met met);  // "unknown", "met", "missed"

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
