// One read may ask all three tiers, so their requests are no parts of a whole: of 100 reads that found
// 90 in memory, 10 asked the shared tier, and of those 3 the source.
//
// Counters are read one after the other while others add to them, so a part may be more than its whole
// by what came in between. Then the rest is 0.

#include "node/tiers.h"

#include "base/str.h"
#include "node/say.h"

static uint64_t less(uint64_t whole, uint64_t part) {
    return whole > part ? whole - part : 0;
}

void fb_tiers_of(const fb_cache_figures *figures, fb_tier_figures tiers[FB_TIER_FIGURES]) {
    uint64_t reads = figures->hits + figures->misses;
    uint64_t in_memory = less(figures->hits, figures->shared_hits);
    uint64_t not_there = less(less(figures->shared_reads, figures->shared_hits),
                              figures->shared_failures);
    uint64_t loaded = less(less(figures->loads, figures->load_failures), figures->load_negatives);
    tiers[0] = (fb_tier_figures){.name = "memory",
                                 .requests = reads,
                                 .hits = in_memory,
                                 .misses = less(reads, in_memory),
                                 .latency = &figures->hit};
    tiers[1] = (fb_tier_figures){.name = "shared",
                                 .requests = figures->shared_reads,
                                 .hits = figures->shared_hits,
                                 .misses = not_there,
                                 .failures = figures->shared_failures,
                                 .fallbacks = figures->shared_passed_by,
                                 .latency = &figures->shared};
    tiers[2] = (fb_tier_figures){.name = "source",
                                 .requests = figures->loads,
                                 .hits = loaded,
                                 .misses = figures->load_negatives,
                                 .failures = figures->load_failures,
                                 .fallbacks = figures->fallback_hits,
                                 .latency = &figures->load};
    for (size_t i = 0; i < FB_TIER_FIGURES; i++) {
        fb_tier_figures *one = &tiers[i];
        one->hit_rate_percent =
            one->requests > 0 ? 100 * (double)one->hits / (double)one->requests : 0;
    }
}

static void say_double(fb_reply *reply, const char *name, double number) {
    fb_reply_text(reply, name);
    fb_reply_double(reply, number);
}

void fb_tiers_say(fb_reply *reply, const fb_cache_figures *figures) {
    fb_tier_figures tiers[FB_TIER_FIGURES];
    fb_tiers_of(figures, tiers);
    fb_reply_text(reply, "tiers");
    fb_reply_map(reply, FB_TIER_FIGURES);
    for (size_t i = 0; i < FB_TIER_FIGURES; i++) {
        const fb_tier_figures *one = &tiers[i];
        fb_reply_text(reply, one->name);
        fb_reply_map(reply, 10);
        fb_say_count(reply, "requests", one->requests);
        fb_say_count(reply, "hits", one->hits);
        fb_say_count(reply, "misses", one->misses);
        fb_say_count(reply, "failures", one->failures);
        fb_say_count(reply, "fallbacks", one->fallbacks);
        say_double(reply, "hit_rate_percent", one->hit_rate_percent);
        say_double(reply, "mean_ms", one->latency->mean_ms);
        say_double(reply, "p50_ms", one->latency->p50_ms);
        say_double(reply, "p95_ms", one->latency->p95_ms);
        say_double(reply, "p99_ms", one->latency->p99_ms);
    }
}

static const char *const WINDOWS[] = {
    [FB_WINDOW_START] = "start", [FB_WINDOW_MINUTE] = "minute", [FB_WINDOW_HOUR] = "hour"};

bool fb_window_read(fb_str word, fb_window *window) {
    for (size_t i = 0; i < sizeof WINDOWS / sizeof WINDOWS[0]; i++) {
        if (fb_str_same(word, fb_str_of(WINDOWS[i]))) {
            *window = (fb_window)i;
            return true;
        }
    }
    return false;
}

const char *fb_window_name(fb_window window) {
    return WINDOWS[window];
}
