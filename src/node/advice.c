// Recommendations: one table of rules. A rule is a function that looks at one subject, writes figure,
// reason and change, and says whether it fits; who the subject is, and how urgent the rule is, stands in
// the table. Nothing is made of a rate below FB_ADVICE_READS_MIN reads: it would be chance.
//
// Rules of a class come in groups: of those of one group only the first that fits speaks, so a class has
// one sentence about its hit rate and not three.
//
// Whether several instances run without a shared tier, one of them cannot see: so that one has none is
// said once there is enough traffic to make something of it.

#include "node/advice.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "node/gain.h"
#include "node/say.h"

static const double RATE_OVER = 95, RATE_GOOD = 80, RATE_POOR = 50, ERRORS_MAX = 1;
static const double TARGET_RATE = 75, TARGET_HIT_MS = 100, TARGET_MISS_MS = 400;
static const double EXPIRED_MIN = 30, INVALIDATED_MIN = 50, COALESCED_MIN = 25, DOOMED_MIN = 10;
static const double WASTED_MIN = 50, DENIED_MIN = 50, SHARED_MS_MAX = 20;
static const int64_t QUEUE_AGE_MS = 60000;
static const uint64_t QUEUE_DEAD_MIN = 1;

// What a rule looks at; only what it is of is set.
typedef struct subject {
    const fb_stats *stats;
    const fb_cache_figures *figures;
    fb_gain gain;
    uint64_t reads;
    const fb_queue_figures *queue;
    const fb_limit_figures *limit;
} subject;

FB_PRINTF(3, 4) static void put(char *text, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, size, format, arguments);
    va_end(arguments);
}

#define FIGURE(...) put(out->figure, sizeof out->figure, __VA_ARGS__)
#define REASON(...) put(out->reason, sizeof out->reason, __VA_ARGS__)
#define CHANGE(...) put(out->change, sizeof out->change, __VA_ARGS__)

typedef unsigned long long count;

static double percent(uint64_t part, uint64_t whole) {
    return whole > 0 ? 100 * (double)part / (double)whole : 0;
}

static const char *ttl_of(const subject *on, char text[48]) {
    return on->figures->ttl_ms > 0
               ? fb_units_show_duration(on->figures->ttl_ms * FB_NS_PER_MS, text, 48)
               : "none";
}

// Keys that clients store by themselves: no option of a class is about them.
static bool is_plain(const subject *on) {
    return on->figures->name[0] == '\0';
}

// ---- rules of a class: its hit rate

static void say_rate(const subject *on, fb_advice *out) {
    FIGURE("hit rate %.1f%% of %llu reads", on->gain.hit_rate_percent, (count)on->gain.requests);
}

static bool too_few_reads(const subject *on, fb_advice *out) {
    FIGURE("%llu reads", (count)on->gain.requests);
    REASON("too few requests to judge: that takes %d", FB_ADVICE_READS_MIN);
    return on->gain.requests < FB_ADVICE_READS_MIN;
}

static bool over_caching(const subject *on, fb_advice *out) {
    char ttl[48];
    say_rate(on, out);
    REASON("performing optimally, and over %.0f%% it may be over-caching", RATE_OVER);
    if (is_plain(on)) {
        CHANGE("see that none is stored for longer (EX) than it stays true");
    } else {
        CHANGE("see that its TTL (%s) is not longer than its values stay true", ttl_of(on, ttl));
    }
    return on->gain.hit_rate_percent > RATE_OVER;
}

static bool rate_is_good(const subject *on, fb_advice *out) {
    say_rate(on, out);
    REASON("performing optimally");
    return on->gain.hit_rate_percent > RATE_GOOD;
}

static bool rate_is_middling(const subject *on, fb_advice *out) {
    char ttl[48];
    say_rate(on, out);
    REASON("look for opportunities");
    if (is_plain(on)) {
        CHANGE("store them for longer (EX) where they stay true, and what is read most before it is read");
    } else {
        CHANGE("a longer TTL (now %s), warming of what is read most, normalised parameters",
               ttl_of(on, ttl));
    }
    return on->gain.hit_rate_percent >= RATE_POOR;
}

static bool rate_is_poor(const subject *on, fb_advice *out) {
    char ttl[48];
    say_rate(on, out);
    REASON("most reads find nothing");
    if (is_plain(on)) {
        CHANGE("see whether who reads them and who stores them spell keys alike, and whether they are "
               "stored for long enough (EX); or declare a class, which loads what is not there");
    } else {
        CHANGE("raise its TTL (now %s) where values stay true for longer, or reduce it where they are "
               "never read again; normalise keys; review query patterns",
               ttl_of(on, ttl));
    }
    return true;
}

// ---- of a class: what it gains

static bool gains(const subject *on, fb_advice *out) {
    char hit[FB_NUMBER_SIZE];
    char miss[FB_NUMBER_SIZE];
    double times = on->gain.multiplier;
    FIGURE("a hit takes %s ms, a miss %s ms", fb_ms_text(on->gain.hit_ms, hit),
           fb_ms_text(on->gain.miss_ms, miss));
    REASON("a hit is %.*f times as fast as a miss", times < 100 ? 1 : 0, times);
    return times > 1 && on->figures->loads > 0;
}

static bool gains_nothing(const subject *on, fb_advice *out) {
    bool fits = on->gain.multiplier > 0 && on->gain.multiplier <= 1 && on->figures->loads > 0;
    char hit[FB_NUMBER_SIZE];
    char miss[FB_NUMBER_SIZE];
    FIGURE("a hit takes %s ms, a miss %s ms", fb_ms_text(on->gain.hit_ms, hit),
           fb_ms_text(on->gain.miss_ms, miss));
    REASON("a hit is not faster than a miss: caching it gains nothing");
    CHANGE("ask the source itself, or look why memory is slow here (swapping, a loop that hangs)");
    return fits;
}

// ---- of a class: its source

static bool loads_fail(const subject *on, fb_advice *out) {
    const fb_cache_figures *figures = on->figures;
    FIGURE("%.1f%% of %llu loads failed", percent(figures->load_failures, figures->loads),
           (count)figures->loads);
    REASON("its source does not answer, or with errors; %llu reads got an old value instead",
           (count)figures->fallback_hits);
    CHANGE("look at its source (load_failed in the log); with fallback_ttl the last value answers "
           "meanwhile");
    return figures->loads >= FB_ADVICE_READS_MIN &&
           percent(figures->load_failures, figures->loads) > ERRORS_MAX;
}

static bool reads_fail(const subject *on, fb_advice *out) {
    const fb_cache_figures *figures = on->figures;
    FIGURE("%.1f%% of %llu reads ended in an error", on->gain.error_rate_percent,
           (count)on->gain.requests);
    REASON("%llu loads failed, %llu reads timed out, %llu found too many waiting",
           (count)figures->load_failures, (count)figures->timeouts, (count)figures->overloads);
    CHANGE("look at its source; a longer hard_timeout where it is only slow; with fallback_ttl the "
           "last value answers meanwhile");
    return on->gain.error_rate_percent > ERRORS_MAX;
}

static bool source_is_slow(const subject *on, fb_advice *out) {
    const fb_latency *load = &on->figures->load;
    FIGURE("p95 of %llu loads is %.0f ms", (count)load->count, load->p95_ms);
    REASON("one miss in twenty waits longer than %.0f ms for its source", TARGET_MISS_MS);
    CHANGE("an index or a LIMIT for its query (slow_load in the log names the keys), warming, or "
           "soft_timeout, so that a stale value answers meanwhile");
    return load->count >= FB_ADVICE_READS_MIN && load->p95_ms > TARGET_MISS_MS;
}

// ---- of a class: why reads miss

static bool ttl_is_short(const subject *on, fb_advice *out) {
    char ttl[48];
    const fb_cache_figures *figures = on->figures;
    double part = percent(figures->expired, figures->misses);
    FIGURE("%.0f%% of %llu misses had expired", part < 100 ? part : 100, (count)figures->misses);
    REASON("the values were wanted again after their TTL (%s)", ttl_of(on, ttl));
    CHANGE("a longer ttl and memory_ttl, or stale_ttl, so that the old value answers while the new "
           "one is loaded");
    return figures->misses >= FB_ADVICE_READS_MIN && part >= EXPIRED_MIN &&
           on->gain.hit_rate_percent <= RATE_OVER;
}

static bool invalidated_much(const subject *on, fb_advice *out) {
    const fb_cache_figures *figures = on->figures;
    double part = percent(figures->invalidated, figures->misses);
    FIGURE("%.0f%% of %llu misses had been invalidated", part < 100 ? part : 100,
           (count)figures->misses);
    REASON("invalidations reach values that are still wanted");
    CHANGE("narrower tags, or keys instead of patterns and classes; --soft, so that the old value "
           "answers while the new one is loaded");
    return figures->misses >= FB_ADVICE_READS_MIN && part >= INVALIDATED_MIN;
}

static bool coalesces(const subject *on, fb_advice *out) {
    const fb_cache_figures *figures = on->figures;
    FIGURE("%.0f%% of %llu misses waited for a load that somebody else had begun",
           percent(figures->coalesced, figures->misses), (count)figures->misses);
    REASON("many want the same value at once when it goes; each such load spared the others");
    CHANGE("early refresh (early.beta) or stale_ttl, so that nobody has to wait; warm it");
    return figures->misses >= FB_ADVICE_READS_MIN &&
           percent(figures->coalesced, figures->misses) >= COALESCED_MIN;
}

static bool refreshes_in_vain(const subject *on, fb_advice *out) {
    const fb_cache_figures *figures = on->figures;
    FIGURE("%.0f%% of %llu early refreshes were never read",
           percent(figures->early_wasted, figures->early_refreshes),
           (count)figures->early_refreshes);
    REASON("values are loaded again that nobody wants any more");
    CHANGE("a smaller early.beta");
    return figures->early_refreshes >= FB_ADVICE_READS_MIN &&
           percent(figures->early_wasted, figures->early_refreshes) > WASTED_MIN;
}

static bool loads_are_doomed(const subject *on, fb_advice *out) {
    const fb_cache_figures *figures = on->figures;
    FIGURE("%.0f%% of %llu loads were overtaken by an invalidation",
           percent(figures->doomed, figures->loads), (count)figures->loads);
    REASON("what they brought was stored nowhere, and the next read loads again");
    CHANGE("invalidate once for a change, not before and after; a faster query");
    return figures->loads >= FB_ADVICE_READS_MIN &&
           percent(figures->doomed, figures->loads) >= DOOMED_MIN;
}

// ---- rules of the whole

static bool has_no_traffic(const subject *on, fb_advice *out) {
    FIGURE("%llu reads", (count)on->reads);
    REASON("too few requests to judge: of a class it takes %d", FB_ADVICE_READS_MIN);
    return on->reads == 0;
}

static bool evicts(const subject *on, fb_advice *out) {
    const fb_stats *stats = on->stats;
    char used[48];
    char limit[48];
    bool hot = on->gain.hit_rate_percent >= RATE_POOR && on->reads >= FB_ADVICE_READS_MIN;
    FIGURE("%llu entries were evicted for want of room (%s of %s in use)", (count)stats->evictions,
           fb_units_about_bytes(stats->memory_bytes, used, sizeof used),
           fb_units_show_bytes(stats->memory_limit_bytes, limit, sizeof limit));
    REASON("%s", hot ? "what is evicted may be wanted again: reads find much of it"
                     : "values leave before their time");
    CHANGE("raise `memory`, or keep less with shorter TTLs");
    return stats->evictions > 0;
}

static bool is_alone(const subject *on, fb_advice *out) {
    FIGURE("%llu reads on this instance alone, no shared tier", (count)on->reads);
    REASON("where several instances run, each loads for itself, and knows nothing of the others' "
           "changes");
    CHANGE("consider Redis (redis.url), so that they load once for all and stay coherent");
    return on->stats->shared.state == FB_SHARED_NONE && on->reads >= FB_ADVICE_ALONE_READS_MIN;
}

static bool shared_is_away(const subject *on, fb_advice *out) {
    const fb_shared_info *shared = &on->stats->shared;
    FIGURE("away, %llu changes are owed to it", (count)shared->owed);
    REASON("%.150s: memory and the sources answer meanwhile", shared->why);
    CHANGE("bring it back");
    return shared->state == FB_SHARED_AWAY;
}

static bool shared_is_unfit(const subject *on, fb_advice *out) {
    const fb_shared_info *shared = &on->stats->shared;
    if (shared->unfit_count == 0) {
        return false;
    }
    FIGURE("%u of its settings %s not fit", shared->unfit_count,
           shared->unfit_count == 1 ? "is" : "are");
    REASON("%s", shared->unfit[0]);
    CHANGE("%s%s%s", shared->unfit_count > 1 ? shared->unfit[1] : "set it on that server",
           shared->unfit_count > 2 ? "; " : "", shared->unfit_count > 2 ? shared->unfit[2] : "");
    return true;
}

static bool shared_is_slow(const subject *on, fb_advice *out) {
    const fb_latency *took = &on->stats->all.shared;
    FIGURE("p95 of %llu answers is %.1f ms", (count)took->count, took->p95_ms);
    REASON("every miss of memory waits for it first");
    CHANGE("a server nearer by, less load on it (SLOWLOG there), or a longer memory_ttl");
    return took->count >= FB_ADVICE_READS_MIN && took->p95_ms > SHARED_MS_MAX;
}

static bool shared_fails(const subject *on, fb_advice *out) {
    const fb_cache_figures *all = &on->stats->all;
    FIGURE("%.1f%% of %llu questions were not answered",
           percent(all->shared_failures, all->shared_reads), (count)all->shared_reads);
    REASON("late, with an error, or not at all");
    CHANGE("look at that server and the way to it; redis.hard_timeout says what is late");
    return all->shared_reads >= FB_ADVICE_READS_MIN &&
           percent(all->shared_failures, all->shared_reads) > ERRORS_MAX;
}

static bool loads_wait(const subject *on, fb_advice *out) {
    const fb_stats *stats = on->stats;
    FIGURE("%llu loads wait, %llu run", (count)stats->loads_waiting, (count)stats->loads_running);
    REASON("sources are asked for more than they may do at once");
    CHANGE("a larger concurrency of the source, if it bears that; faster queries; batches "
           "(batch.query)");
    return stats->loads_waiting > 2 * stats->loads_running && stats->loads_waiting >= 10;
}

// ---- rules of a queue, of a limit

static bool queue_is_silent(const subject *on, fb_advice *out) {
    FIGURE("its store (%s) does not answer", on->queue->store);
    REASON("no jobs are taken, and none handed out");
    CHANGE("bring it back; what was accepted is kept there");
    return !on->queue->reachable;
}

static bool queue_is_old(const subject *on, fb_advice *out) {
    char age[48];
    const fb_queue_look *look = &on->queue->look;
    int64_t age_ns = look->oldest_ms < INT64_MAX / FB_NS_PER_MS ? look->oldest_ms * FB_NS_PER_MS : 0;
    FIGURE("%llu jobs are ready, the oldest since %s", (count)look->counts[FB_JOB_READY],
           fb_units_show_duration(age_ns / FB_NS_PER_S * FB_NS_PER_S, age, sizeof age));
    REASON("%s", look->paused ? "it is paused" : "jobs come faster than they are done");
    CHANGE("%s", look->paused ? "resume it: forebay jobs resume"
                              : "more workers, or more concurrency for them");
    return look->oldest_ms >= QUEUE_AGE_MS;
}

static bool queue_has_dead(const subject *on, fb_advice *out) {
    const fb_queue_figures *queue = on->queue;
    FIGURE("%llu jobs are dead", (count)queue->look.counts[FB_JOB_DEAD]);
    REASON("all their attempts failed%s%.80s", queue->reason_count > 0 ? "; most often: " : "",
           queue->reason_count > 0 ? queue->reasons[0].text : "");
    CHANGE("look at them (forebay jobs list QUEUE --state dead), then retry or purge them");
    return queue->look.counts[FB_JOB_DEAD] >= QUEUE_DEAD_MIN;
}

static bool limit_denies(const subject *on, fb_advice *out) {
    const fb_limit_figures *limit = on->limit;
    uint64_t asked = limit->allowed + limit->denied;
    FIGURE("%.0f%% of %llu questions were denied", percent(limit->denied, asked), (count)asked);
    REASON("%s%.40s", limit->top_count > 0 ? "most denied: " : "more is asked for than it gives",
           limit->top_count > 0 ? limit->top[0].key : "");
    CHANGE("a larger limit where that is honest use; else find who asks (forebay limit show)");
    return asked >= FB_ADVICE_READS_MIN && percent(limit->denied, asked) >= DENIED_MIN;
}

static bool limit_is_full(const subject *on, fb_advice *out) {
    FIGURE("%llu questions were allowed unseen", (count)on->limit->untracked);
    REASON("its table was full of keys that are being denied");
    CHANGE("a larger keys_max for it");
    return on->limit->untracked > 0;
}

// ---- the table

typedef enum scope { OF_CLASS, OF_WHOLE, OF_QUEUE, OF_LIMIT } scope;

typedef struct rule {
    const char *name;
    scope scope;
    int group;  // of those of one group only the first that fits speaks; 0: it is by itself
    fb_advice_level level;
    const char *about;  // OF_WHOLE
    bool (*fits)(const subject *on, fb_advice *out);
    const char *when;
} rule;

enum { ALONE, RATE, SPEED, SOURCE };

static const rule RULES[] = {
    {"no-traffic", OF_WHOLE, ALONE, FB_ADVICE_FINE, "all classes", has_no_traffic,
     "nothing has been read"},
    {"too-few-reads", OF_CLASS, RATE, FB_ADVICE_FINE, NULL, too_few_reads,
     "a class has fewer than 20 reads"},
    {"over-caching", OF_CLASS, RATE, FB_ADVICE_FINE, NULL, over_caching, "hit rate over 95 %"},
    {"hit-rate-good", OF_CLASS, RATE, FB_ADVICE_FINE, NULL, rate_is_good, "hit rate over 80 %"},
    {"hit-rate-middling", OF_CLASS, RATE, FB_ADVICE_HINT, NULL, rate_is_middling,
     "hit rate from 50 to 80 %"},
    {"hit-rate-poor", OF_CLASS, RATE, FB_ADVICE_ACT, NULL, rate_is_poor, "hit rate under 50 %"},
    {"speed-up", OF_CLASS, SPEED, FB_ADVICE_FINE, NULL, gains, "a hit is faster than a miss"},
    {"no-speed-up", OF_CLASS, SPEED, FB_ADVICE_ACT, NULL, gains_nothing,
     "a hit is not faster than a miss"},
    {"loads-fail", OF_CLASS, SOURCE, FB_ADVICE_ACT, NULL, loads_fail,
     "more than 1 % of at least 20 loads fail"},
    {"reads-fail", OF_CLASS, SOURCE, FB_ADVICE_ACT, NULL, reads_fail,
     "more than 1 % of the reads end in an error"},
    {"source-slow", OF_CLASS, ALONE, FB_ADVICE_HINT, NULL, source_is_slow,
     "p95 of at least 20 loads is over 400 ms"},
    {"ttl-too-short", OF_CLASS, ALONE, FB_ADVICE_HINT, NULL, ttl_is_short,
     "30 % or more of at least 20 misses had expired"},
    {"invalidated-often", OF_CLASS, ALONE, FB_ADVICE_HINT, NULL, invalidated_much,
     "50 % or more of at least 20 misses had been invalidated"},
    {"stampedes", OF_CLASS, ALONE, FB_ADVICE_HINT, NULL, coalesces,
     "25 % or more of at least 20 misses waited for somebody else's load"},
    {"refreshed-in-vain", OF_CLASS, ALONE, FB_ADVICE_HINT, NULL, refreshes_in_vain,
     "more than half of at least 20 early refreshes were never read"},
    {"loads-overtaken", OF_CLASS, ALONE, FB_ADVICE_HINT, NULL, loads_are_doomed,
     "10 % or more of at least 20 loads were overtaken by an invalidation"},
    {"evictions", OF_WHOLE, ALONE, FB_ADVICE_HINT, "memory", evicts,
     "entries are evicted for want of room"},
    {"no-shared-tier", OF_WHOLE, ALONE, FB_ADVICE_HINT, "shared tier", is_alone,
     "10,000 reads or more, and no Redis"},
    {"shared-away", OF_WHOLE, ALONE, FB_ADVICE_ACT, "shared tier", shared_is_away,
     "Redis is configured and does not answer"},
    {"shared-unfit", OF_WHOLE, ALONE, FB_ADVICE_ACT, "shared tier", shared_is_unfit,
     "Redis has settings that lose or evict what is kept there"},
    {"shared-fails", OF_WHOLE, ALONE, FB_ADVICE_ACT, "shared tier", shared_fails,
     "more than 1 % of at least 20 questions to Redis fail"},
    {"shared-slow", OF_WHOLE, ALONE, FB_ADVICE_HINT, "shared tier", shared_is_slow,
     "p95 of Redis's answers is over 20 ms"},
    {"loads-wait", OF_WHOLE, ALONE, FB_ADVICE_HINT, "sources", loads_wait,
     "more loads wait than twice those that run"},
    {"queue-silent", OF_QUEUE, SOURCE, FB_ADVICE_ACT, NULL, queue_is_silent,
     "the store of a queue does not answer"},
    {"queue-old", OF_QUEUE, ALONE, FB_ADVICE_ACT, NULL, queue_is_old,
     "a job is ready for a minute or more"},
    {"queue-dead", OF_QUEUE, ALONE, FB_ADVICE_HINT, NULL, queue_has_dead, "jobs are dead"},
    {"limit-denies", OF_LIMIT, ALONE, FB_ADVICE_HINT, NULL, limit_denies,
     "half or more of at least 20 questions are denied"},
    {"limit-full", OF_LIMIT, ALONE, FB_ADVICE_ACT, NULL, limit_is_full,
     "a limit has more keys than it has room for"},
};
enum { RULE_COUNT = sizeof RULES / sizeof RULES[0] };

const char *fb_advice_rule(size_t index, const char **when) {
    if (index >= RULE_COUNT) {
        return NULL;
    }
    *when = RULES[index].when;
    return RULES[index].name;
}

// ---- asking them

typedef struct adviser {
    fb_advice_each_fn fn;
    void *arg;
    size_t given;
} adviser;

static void name_subject(const rule *one, const subject *on, fb_advice *out) {
    switch (one->scope) {
        case OF_WHOLE:
            put(out->about, sizeof out->about, "%s", one->about);
            break;
        case OF_QUEUE:
            put(out->about, sizeof out->about, "queue '%s'", on->queue->name);
            break;
        case OF_LIMIT:
            put(out->about, sizeof out->about, "limit '%s'", on->limit->name);
            break;
        case OF_CLASS:
            if (on->figures->name[0] == '\0') {
                put(out->about, sizeof out->about, "plain keys");
            } else {
                put(out->about, sizeof out->about, "class '%s'", on->figures->name);
            }
            break;
    }
}

static void ask_rules(adviser *self, scope which, const subject *on) {
    int spoken = ALONE;
    for (size_t i = 0; i < RULE_COUNT; i++) {
        const rule *one = &RULES[i];
        fb_advice advice = {.rule = one->name, .level = one->level};
        if (one->scope != which || (one->group != ALONE && one->group == spoken) ||
            !one->fits(on, &advice)) {
            continue;
        }
        spoken = one->group != ALONE ? one->group : spoken;
        name_subject(one, on, &advice);
        self->given++;
        self->fn(self->arg, &advice);
        if (one->fits == too_few_reads) {
            return;  // the others would judge by chance
        }
    }
}

void fb_advice_each(const fb_advice_basis *basis, fb_advice_each_fn fn, void *arg) {
    adviser self = {.fn = fn, .arg = arg};
    const fb_stats *stats = basis->stats;
    subject whole = {.stats = stats, .figures = &stats->all, .gain = fb_gain_in_all(stats)};
    for (size_t i = 0; i < stats->class_count; i++) {
        subject on = {.stats = stats, .figures = &stats->classes[i]};
        on.gain = fb_gain_of(stats, on.figures);
        whole.reads += on.gain.requests;
        if (on.gain.requests > 0) {
            ask_rules(&self, OF_CLASS, &on);
        }
    }
    uint64_t counted = stats->all.hits + stats->all.misses;
    whole.reads = whole.reads > counted ? whole.reads : counted;
    ask_rules(&self, OF_WHOLE, &whole);
    for (size_t i = 0; i < basis->queue_count; i++) {
        ask_rules(&self, OF_QUEUE, &(subject){.stats = stats, .queue = &basis->queues[i]});
    }
    for (size_t i = 0; i < basis->limit_count; i++) {
        ask_rules(&self, OF_LIMIT, &(subject){.stats = stats, .limit = &basis->limits[i]});
    }
}

const char *fb_advice_text(const fb_advice *advice, char text[FB_ADVICE_SIZE]) {
    int len = snprintf(text, FB_ADVICE_SIZE, "%s: %s: %s%s%s.", advice->about, advice->figure,
                       advice->reason, advice->change[0] != '\0' ? ": " : "", advice->change);
    if (len > 0 && text[0] >= 'a' && text[0] <= 'z') {
        text[0] = (char)(text[0] - 'a' + 'A');
    }
    return text;
}

typedef struct lines {
    fb_advice_fn fn;
    void *arg;
} lines;

static void give_line(void *arg, const fb_advice *advice) {
    const lines *to = arg;
    char text[FB_ADVICE_SIZE];
    to->fn(to->arg, fb_advice_text(advice, text));
}

void fb_advice_give(const fb_stats *stats, fb_advice_fn fn, void *arg) {
    fb_advice_basis basis = {.stats = stats};
    lines to = {.fn = fn, .arg = arg};
    fb_advice_each(&basis, give_line, &to);
}

const char *fb_advice_level_name(fb_advice_level level) {
    static const char *const names[] = {
        [FB_ADVICE_FINE] = "fine", [FB_ADVICE_HINT] = "hint", [FB_ADVICE_ACT] = "act"};
    return names[level];
}

const char *fb_met_name(fb_met met) {
    static const char *const names[] = {
        [FB_MET_UNKNOWN] = "unknown", [FB_MET_YES] = "met", [FB_MET_NO] = "missed"};
    return names[met];
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
