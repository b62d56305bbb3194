// Recommendations. Each rests on one figure of one class and names both. Below FB_ADVICE_READS_MIN
// reads a rate is chance, so nothing is made of it.
//
// Whether several instances run without a shared tier, one of them cannot see: that rule comes with
// the shared tier.

#include "node/advice.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"
#include "base/units.h"
#include "node/gain.h"
#include "node/say.h"

static const double RATE_OVER = 95, RATE_GOOD = 80, RATE_POOR = 50, ERRORS_MAX = 1;
static const double TARGET_RATE = 75, TARGET_HIT_MS = 100, TARGET_MISS_MS = 400;

typedef struct adviser {
    fb_advice_fn fn;
    void *arg;
    size_t given;
} adviser;

FB_PRINTF(2, 3) static void say(adviser *self, const char *format, ...) {
    char text[FB_ADVICE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    self->given++;
    self->fn(self->arg, text);
}

enum { LABEL_SIZE = 80 };

// Who is spoken of, at the start of a sentence.
static const char *label(const fb_cache_figures *figures, char text[LABEL_SIZE]) {
    if (figures->name[0] == '\0') {
        return "Plain keys";
    }
    (void)snprintf(text, LABEL_SIZE, "Class '%s'", figures->name);
    return text;
}

static const char *ttl_text(const fb_cache_figures *figures, char text[48]) {
    return figures->ttl_ms > 0 ? fb_units_show_duration(figures->ttl_ms * FB_NS_PER_MS, text, 48)
                               : "none";
}

// ---- rules of a class

static void judge_rate(adviser *self, const fb_cache_figures *figures, const fb_gain *gain) {
    char who[LABEL_SIZE];
    char ttl[48];
    char basis[LABEL_SIZE + 80];
    (void)snprintf(basis, sizeof basis, "%s: hit rate %.1f%% of %llu reads", label(figures, who),
                   gain->hit_rate_percent, (unsigned long long)gain->requests);
    ttl_text(figures, ttl);
    const char *shown = figures->ttl_ms > 0 ? ttl : "none";
    if (gain->hit_rate_percent > RATE_OVER) {
        say(self,
            "%s: performing optimally. Over %.0f%% it may be over-caching: see that its TTL (%s) "
            "is "
            "not longer than its values stay true.",
            basis, RATE_OVER, shown);
    } else if (gain->hit_rate_percent > RATE_GOOD) {
        say(self, "%s: performing optimally.", basis);
    } else if (gain->hit_rate_percent >= RATE_POOR) {
        say(self,
            "%s: look for opportunities: a longer TTL (now %s), warming of what is read most, "
            "normalised parameters.",
            basis, shown);
    } else {
        say(self,
            "%s: raise its TTL (now %s) where values stay true for longer, or reduce it where they "
            "are never read again; normalise keys; review query patterns.",
            basis, shown);
    }
}

static void judge_speed(adviser *self, const fb_cache_figures *figures, const fb_gain *gain) {
    char who[LABEL_SIZE];
    char hit[FB_NUMBER_SIZE];
    char miss[FB_NUMBER_SIZE];
    if (gain->multiplier <= 0 || figures->loads == 0) {
        return;
    }
    fb_ms_text(gain->hit_ms, hit);
    fb_ms_text(gain->miss_ms, miss);
    if (gain->multiplier > 1) {
        say(self, "%s: a hit is %.*f times as fast as a miss (%s ms against %s ms).",
            label(figures, who), gain->multiplier < 100 ? 1 : 0, gain->multiplier, hit, miss);
    } else {
        say(self, "%s: a hit (%s ms) is not faster than a miss (%s ms): caching it gains nothing.",
            label(figures, who), hit, miss);
    }
}

static void judge_errors(adviser *self, const fb_cache_figures *figures, const fb_gain *gain) {
    char who[LABEL_SIZE];
    if (gain->error_rate_percent > ERRORS_MAX) {
        say(self,
            "%s: %.1f%% of %llu reads ended in an error (%llu loads failed, %llu reads timed out): "
            "look at its source; with fallback_ttl the last value answers meanwhile.",
            label(figures, who), gain->error_rate_percent, (unsigned long long)gain->requests,
            (unsigned long long)figures->load_failures, (unsigned long long)figures->timeouts);
    }
}

static void judge_class(adviser *self, const fb_stats *stats, const fb_cache_figures *figures) {
    char who[LABEL_SIZE];
    fb_gain gain = fb_gain_of(stats, figures);
    if (gain.requests == 0) {
        return;
    }
    if (gain.requests < FB_ADVICE_READS_MIN) {
        say(self, "%s: too few requests to judge (%llu of the %d reads that takes).",
            label(figures, who), (unsigned long long)gain.requests, FB_ADVICE_READS_MIN);
        return;
    }
    judge_rate(self, figures, &gain);
    judge_speed(self, figures, &gain);
    judge_errors(self, figures, &gain);
}

// ---- rules of the whole

static void judge_memory(adviser *self, const fb_stats *stats) {
    char used[48];
    char limit[48];
    if (stats->evictions > 0) {
        say(self,
            "Memory: %llu entries were evicted for want of room (%s of %s in use): raise `memory`, "
            "or "
            "keep less with shorter TTLs.",
            (unsigned long long)stats->evictions,
            fb_units_show_bytes(stats->memory_bytes, used, sizeof used),
            fb_units_show_bytes(stats->memory_limit_bytes, limit, sizeof limit));
    }
}

void fb_advice_give(const fb_stats *stats, fb_advice_fn fn, void *arg) {
    adviser self = {.fn = fn, .arg = arg};
    for (size_t i = 0; i < stats->class_count; i++) {
        judge_class(&self, stats, &stats->classes[i]);
    }
    judge_memory(&self, stats);
    if (self.given == 0) {
        say(&self, "All classes: too few requests to judge (0 reads; %d of a class are needed).",
            FB_ADVICE_READS_MIN);
    }
}

// ---- targets

static fb_met judge(bool known, double value, bool above, double bound) {
    if (!known) {
        return FB_MET_UNKNOWN;
    }
    return (above ? value > bound : value < bound) ? FB_MET_YES : FB_MET_NO;
}

static fb_target target(const char *name, const char *relation, double bound, const char *unit,
                        double value) {
    return (fb_target){
        .name = name, .relation = relation, .bound = bound, .unit = unit, .value = value};
}

void fb_advice_targets(const fb_stats *stats, fb_target targets[FB_TARGET_COUNT]) {
    fb_gain all = fb_gain_in_all(stats);
    double limit = (double)stats->memory_limit_bytes;
    targets[0] = target("hit_rate", ">", TARGET_RATE, "%", all.hit_rate_percent);
    targets[1] = target("hit_latency", "<", TARGET_HIT_MS, "ms", all.hit_ms);
    targets[2] = target("miss_latency", "<", TARGET_MISS_MS, "ms", all.miss_ms);
    targets[3] = target("memory", "<", limit, "bytes", (double)stats->memory_bytes);
    targets[4] = target("error_rate", "<", ERRORS_MAX, "%", all.error_rate_percent);
    bool enough = all.requests >= FB_ADVICE_READS_MIN;
    bool known[FB_TARGET_COUNT] = {enough, stats->all.hit.count > 0, stats->all.miss.count > 0,
                                   true, enough};
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        fb_target *one = &targets[i];
        one->met = judge(known[i], one->value, one->relation[0] == '>', one->bound);
    }
}
