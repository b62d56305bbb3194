// Time saved is a sum over classes: each hit saved what a miss of its own class takes. Hits of all
// times the difference of the means of all would credit the hits of a quick class with the misses
// of a slow one. So in all it is only the same product where there is one class.
//
// A miss of a class that never loads (plain keys) is only the news that nothing is there. It saves
// nobody a load, so it counts for no time saved, and in all the mean miss is that of the classes
// that load, where there are any: or a client that looks for absent keys would make the cache seem
// useless.
//
// Requests avoided are reads less loads: a read that began a load avoided nothing, and loads that
// no read asked for (warming, early refreshes) count against it.

#include "node/gain.h"

#include <math.h>

static double ratio(double part, double whole) {
    return whole > 0 && isfinite(part) ? part / whole : 0;
}

// Hits are timed by sample, so a class may have had some, and none of them timed: then the mean of
// all classes stands for it. They read the same memory.
static double mean_hit_ms(const fb_stats *stats, const fb_cache_figures *figures) {
    const fb_latency *hit = figures->hit.count > 0 ? &figures->hit : &stats->all.hit;
    return figures->hits > 0 && hit->count > 0 ? hit->mean_ms : 0;
}

fb_gain fb_gain_of(const fb_stats *stats, const fb_cache_figures *figures) {
    fb_gain gain = {.requests = figures->hits + figures->misses};
    gain.per_second = 1000 * ratio((double)gain.requests, (double)stats->window_ms);
    gain.hit_rate_percent = 100 * ratio((double)figures->hits, (double)gain.requests);
    gain.error_rate_percent = 100 * ratio((double)figures->errors, (double)gain.requests);
    gain.hit_ms = mean_hit_ms(stats, figures);
    gain.miss_ms = figures->miss.count > 0 ? figures->miss.mean_ms : 0;
    gain.multiplier = ratio(gain.miss_ms, gain.hit_ms);
    if (figures->loads > 0 && gain.hit_ms > 0 && gain.miss_ms > 0) {
        gain.saved_per_hit_ms = gain.miss_ms - gain.hit_ms;
        gain.saved_ms = (double)figures->hits * gain.saved_per_hit_ms;
    }
    bool asks = figures->has_source || figures->loads > 0;
    gain.avoided = asks && gain.requests > figures->loads ? gain.requests - figures->loads : 0;
    return gain;
}

// Of the classes that load, where there are any.
static double mean_miss_ms(const fb_stats *stats) {
    double sum_ms = 0;
    double count = 0;
    for (size_t i = 0; i < stats->class_count; i++) {
        const fb_cache_figures *one = &stats->classes[i];
        if (one->loads > 0) {
            sum_ms += (double)one->miss.count * one->miss.mean_ms;
            count += (double)one->miss.count;
        }
    }
    return count > 0                   ? ratio(sum_ms, count)
           : stats->all.miss.count > 0 ? stats->all.miss.mean_ms
                                       : 0;
}

fb_gain fb_gain_in_all(const fb_stats *stats) {
    fb_gain all = fb_gain_of(stats, &stats->all);
    all.miss_ms = mean_miss_ms(stats);
    all.multiplier = ratio(all.miss_ms, all.hit_ms);
    all.saved_per_hit_ms = all.hit_ms > 0 && all.miss_ms > 0 ? all.miss_ms - all.hit_ms : 0;
    all.saved_ms = 0;
    all.avoided = 0;
    for (size_t i = 0; i < stats->class_count; i++) {
        fb_gain one = fb_gain_of(stats, &stats->classes[i]);
        all.saved_ms += one.saved_ms;
        all.avoided += one.avoided;
    }
    return all;
}

int64_t fb_gain_ttl_ms(const fb_stats *stats) {
    int64_t ttl_ms = stats->all.ttl_ms;
    for (size_t i = 0; i < stats->class_count && ttl_ms == 0; i++) {
        ttl_ms = stats->classes[i].ttl_ms;
    }
    return ttl_ms;
}
