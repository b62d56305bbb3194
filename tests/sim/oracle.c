// What may be answered. For each version of each key and each node: the step at which an
// invalidation that bars it came into force there. A read that began later must not get it: not at
// all after a hard one, not as fresh after a soft one. It is said of every answer, wherever it came
// from.
//
// Beside that: age (no version is served longer after its replacement than its class allows,
// invalidated or not), deadlines, refreshes that really loaded, and errors that have a cause.

#include <string.h>

#include "base/mem.h"
#include "world.h"

void oracle_bar(world *w, const node *at, key *of, uint32_t below, int group, bool soft) {
    for (uint32_t i = 0; i < below && i < of->version_count; i++) {
        version *one = &of->versions[i];
        if (group >= 0 && (!one->exists || one->group != (uint32_t)group)) {
            continue;
        }
        uint64_t *step = soft ? &one->soft[at->index] : &one->hard[at->index];
        if (w->step < *step) {
            *step = w->step;
        }
    }
    SAY(w, "  (n%u may answer %s with v%u and later%s from now on)", at->index, of->text, below,
        soft ? ", or stale," : "");
}

static void check_deadline(world *w, const caller *who) {
    int64_t latest_ns = who->deadline_ns > who->ask_ns ? who->deadline_ns : who->ask_ns;
    if (w->now_ns > latest_ns) {
        world_fail(w, "r%u is answered %lld ns after its time", who->index,
                   (long long)(w->now_ns - latest_ns));
    }
}

// How long after its replacement a version may still be served to who begins to read.
static int64_t lag_max_ns(const world *w, const caller *who, fb_freshness freshness) {
    const fb_class_options *options = &w->is.options;
    int64_t lag_ns =
        options->ttl_ns > options->memory_ttl_ns ? options->ttl_ns : options->memory_ttl_ns;
    if (who->is_call) {
        // The longest window, rounded up; or a SET, which has no TTL, until it is invalidated.
        lag_ns = options->memory_ttl_ns + FB_NS_PER_MS + w->is.read_ns;
    }
    if (w->is.remote) {
        lag_ns += options->memory_ttl_ns;
    }
    lag_ns += freshness >= FB_STALE ? options->stale_ttl_ns : 0;
    lag_ns += freshness == FB_FALLBACK ? options->fallback_ttl_ns : 0;
    // The times count from the fill, which comes after the source's read.
    return lag_ns + w->longest_ns + 4 * w->is.network_ns + 200 * FB_NS_PER_MS * w->is.remote;
}

static void check_lag(world *w, const caller *who, uint32_t index, fb_freshness freshness) {
    const key *of = who->of;
    if (index + 1 == of->version_count) {
        return;
    }
    int64_t lag_ns = who->begin_ns - of->versions[index + 1].committed_ns;
    if (lag_ns > lag_max_ns(w, who, freshness)) {
        world_fail(w, "r%u gets %s v%u %.3f ms after it was replaced; %.3f are allowed", who->index,
                   of->text, index, (double)lag_ns / 1e6,
                   (double)lag_max_ns(w, who, freshness) / 1e6);
    }
}

static void check_freshness(world *w, const caller *who, fb_freshness freshness) {
    const fb_class_options *options = &w->is.options;
    if (freshness == FB_STALE && options->stale_ttl_ns == 0) {
        world_fail(w, "r%u gets something stale, which its class forbids", who->index);
    }
    if (freshness == FB_FALLBACK && options->fallback_ttl_ns == 0) {
        world_fail(w, "r%u gets a fallback, which its class forbids", who->index);
    }
    if (freshness != FB_FRESH && (who->refresh || who->is_call)) {
        world_fail(w, "r%u wanted something new and gets something old", who->index);
    }
}

static void check_version(world *w, const caller *who, uint32_t index, fb_freshness freshness) {
    const version *got = &who->of->versions[index];
    uint32_t at = who->at->index;
    if (got->hard[at] < who->begin_step) {
        world_fail(w, "r%u began at step %llu and gets %s v%u, which was invalidated at step %llu",
                   who->index, (unsigned long long)who->begin_step, who->of->text, index,
                   (unsigned long long)got->hard[at]);
    }
    if (freshness == FB_FRESH && got->soft[at] < who->begin_step) {
        world_fail(
            w, "r%u began at step %llu and gets %s v%u as fresh, invalidated softly at step %llu",
            who->index, (unsigned long long)who->begin_step, who->of->text, index,
            (unsigned long long)got->soft[at]);
    }
    if (who->refresh && index + 1 < who->versions_at_ask) {
        world_fail(w, "r%u wanted a load of its own time and gets %s v%u of %u", who->index,
                   who->of->text, index, who->versions_at_ask - 1);
    }
}

void oracle_value(world *w, const caller *who, const fb_value *value) {
    uint32_t stamp[2];
    if (value->data.len < sizeof stamp) {
        world_fail(w, "r%u gets %zu bytes", who->index, value->data.len);
    }
    memcpy(stamp, value->data.ptr, sizeof stamp);
    SAY(w, "n%u r%u gets %s v%u, freshness %d of tier %d", who->at->index, who->index,
        who->of->text, stamp[1], (int)value->freshness, (int)value->tier);
    const key *of = who->of;
    if (stamp[0] != (uint32_t)(of - w->keys) || stamp[1] >= of->version_count ||
        !of->versions[stamp[1]].exists) {
        world_fail(w, "r%u of %s gets key %u v%u", who->index, of->text, stamp[0], stamp[1]);
    }
    w->seen->stale += value->freshness == FB_STALE;
    w->seen->fallback += value->freshness == FB_FALLBACK;
    w->seen->misses += value->tier == FB_TIER_SOURCE;
    check_deadline(w, who);
    check_version(w, who, stamp[1], value->freshness);
    check_freshness(w, who, value->freshness);
    check_lag(w, who, stamp[1], value->freshness);
}

// Which version said "nothing" cannot be seen: there must be one that may be answered.
void oracle_negative(world *w, const caller *who) {
    SAY(w, "n%u r%u is told that there is no %s", who->at->index, who->index, who->of->text);
    uint32_t at = who->at->index;
    w->seen->negative++;
    check_deadline(w, who);
    for (uint32_t i = 0; i < who->of->version_count; i++) {
        const version *one = &who->of->versions[i];
        if (!one->exists && one->hard[at] >= who->begin_step && one->soft[at] >= who->begin_step &&
            (!who->refresh || i + 1 >= who->versions_at_ask)) {
            return;
        }
    }
    world_fail(w, "r%u is told that there is no %s", who->index, who->of->text);
}

void oracle_error(world *w, const caller *who, int result) {
    const climate *is = &w->is;
    SAY(w, "n%u r%u gets %s", who->at->index, who->index, fb_result_name(result));
    w->seen->timeouts += result == FB_ETIMEDOUT;
    w->seen->overloads += result == FB_EOVERLOAD;
    w->seen->source_errors += result == FB_ESOURCE || result == FB_EDENIED;
    check_deadline(w, who);
    bool caused =
        (result == FB_ETIMEDOUT && (w->now_ns >= who->deadline_ns || is->fails > 0)) ||
        (result == FB_EOVERLOAD && (is->overloads > 0 || is->options.waiters_max < 1000)) ||
        (result == FB_ESOURCE && is->fails > 0) || (result == FB_EDENIED && is->denies > 0) ||
        (result == FB_ENOMEM && is->no_memory > 0);
    if (!caused) {
        world_fail(w, "r%u gets %s for no reason", who->index, fb_result_name(result));
    }
}

// ---- the end

// Costs as much as the rest of a world: some seeds do it for all.
static void check_figures(world *w, const node *at, int64_t *asks) {
    fb_stats stats = {0};
    if (fb_cache_stats(at->cache, &stats) != FB_OK) {
        world_fail(w, "no figures");
    }
    const fb_cache_figures *all = &stats.all;
    *asks += (int64_t)(all->hits + all->misses);
    w->seen->coalesced += all->coalesced;
    w->seen->doomed += all->doomed;
    w->seen->evictions += stats.evictions;
    if (all->load_failures > all->loads || all->load_negatives > all->loads ||
        all->coalesced > all->misses || all->errors > all->misses ||
        all->timeouts + all->overloads > all->errors ||
        all->stale_hits + all->fallback_hits > all->hits) {
        world_fail(w, "the figures contradict each other");
    }
    fb_mem_free(stats.classes);
}

void oracle_end(world *w) {
    int64_t asks = 0;
    for (uint32_t i = 1; i <= w->caller_count; i++) {
        read_state state = w->callers[i].state;
        if (state != READ_ANSWERED && state != READ_LEFT) {
            world_fail(w, "r%u was never answered", i);
        }
    }
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        const node *at = &w->nodes[i];
        if (fb_flights_count(at->flights) != 0 || fb_flights_waiting(at->flights) != 0 ||
            fb_flights_due(at->flights) != INT64_MAX) {
            world_fail(w, "n%u is not quiet: %zu flights, %zu callers", i,
                       fb_flights_count(at->flights), fb_flights_waiting(at->flights));
        }
        fb_store_check(fb_cache_store(at->cache));
        if (w->seed % 16 == 0) {
            check_figures(w, at, &asks);
        }
    }
    if (w->seed % 16 == 0 && asks != w->asks) {
        world_fail(w, "%lld asks, but %lld hits and misses", (long long)w->asks, (long long)asks);
    }
}
