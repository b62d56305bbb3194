// node/tiers.h -- the figures by tier: what was asked of memory, of the shared tier and of the source,
// and what came of it.

#ifndef FB_NODE_TIERS_H
#define FB_NODE_TIERS_H

#include <forebay/stats.h>

#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_tier_figures {
    const char *name;           // "memory", "shared", "source"
    uint64_t requests;          // reads of memory, questions to the shared tier, loads
    uint64_t hits, misses;      // it had something; it had nothing
    uint64_t failures;          // it did not answer, or with an error
    uint64_t fallbacks;         // what stood in for it then: shared: the source, or memory alone; source: an
                                // old value
    double hit_rate_percent;    // of the requests
    const fb_latency *latency;  // of its answers alone
} fb_tier_figures;

enum { FB_TIER_FIGURES = 3 };

// Of a class, or of all. What a flight got from the shared tier is a hit to everybody who waited for it;
// of those only the first counts as the shared tier's, the others as memory's.
void fb_tiers_of(const fb_cache_figures *figures, fb_tier_figures tiers[FB_TIER_FIGURES]);
// "tiers": a map of them by name, as one pair of the map that is being written. RESP and JSON.
void fb_tiers_say(fb_reply *reply, const fb_cache_figures *figures);

// "minute", "hour", "start"; false: it is none of them.
bool fb_window_read(fb_str word, fb_window *window);
const char *fb_window_name(fb_window window);

#ifdef __cplusplus
}
#endif

#endif
