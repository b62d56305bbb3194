// What may be answered. Without a shared tier: for each version of each key, the step at which an
// invalidation that bars it came into force. A read that began later must not get it: not at all
// after a hard one, not as fresh after a soft one. It is said of every answer, wherever it came
// from.
//
// With a shared tier: a change replaces versions, and binds a reader who began
//   - on the node that made it (and has not crashed since), after it was answered;
//   - anywhere, knowing of it (a token), after it was answered as in the shared tier;
//   - on a node that was COHERENT for that key just then: max_lag after it was answered as in the
//     shared tier; at once where it was answered as in force on all nodes;
//   - anywhere, once all faults are over and all is settled, unless its node has crashed since.
// It binds nobody while a fail-over may have taken it back: one that happened before it was
// answered, or that lost what was done when it was. Then it binds again max_lag after its node was
// coherent with the new server, having been so for max_lag; never, if that node crashed before:
// nobody may know of it then. (Redis promises no more.) What is bound must not get a version whose
// own writer was done before the change began. Two SETs at the same time may come out in either
// order; one that has not reached the shared tier (an outage) may come later than any that did.
//
// Beside that: age (no version is served longer after its replacement than its class allows,
// invalidated or not), deadlines, refreshes that really loaded, and errors that have a cause.

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
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

// ---- changes through the shared tier

// What binds and what is lost: see above.
static bool binds(const world *w, const change *one, const caller *who) {
    if (w->is.replica && one->want.source_version == 0) {
        return false;  // a source that lags may bring what was there before
    }
    if (w->is.replica && w->is.log_max < LOG_MAX && who->of->kind == KEY_CALL &&
        one->at != who->at) {
        return false;  // a fence in a record that was trimmed; a call asks nobody for it
    }
    if (!one->in_force || (one->lost_ns <= w->now_ns && who->begin_ns < one->found_ns)) {
        return false;
    }
    if (one->at == who->at && one->life == who->life) {
        return one->answer_step < who->begin_step;
    }
    if (w->calm && who->begin_ns >= w->settled_ns && one->life == one->at->life) {
        return true;
    }
    if (one->reached < FB_REACH_SHARED) {
        return false;
    }
    bool wide = one->kind == CHANGE_DROP && one->want.what.scope != FB_SCOPE_KEY;
    if (who->knows == KNOWS_OF_WIDE || (who->knows == KNOWS_OF_KEY && !wide) ||
        (who->coherent && one->reached == FB_REACH_NODES && one->result == FB_OK)) {
        return one->answer_step < who->begin_step;
    }
    return who->coherent && one->answer_ns + w->is.max_lag_ns <= who->begin_ns;
}

// Whether the writer of a version was done before a change began.
static bool was_before(const world *w, const key *of, const version *got, const change *one) {
    if (got->change == 0) {
        return true;  // it stands in the source
    }
    const change *writer = &w->changes[got->change - 1];
    if (writer == one || !writer->answered || writer->answer_step >= one->call_step) {
        return false;
    }
    return (writer->at == one->at && writer->life == one->life && !of->resurfaced) ||
           (writer->in_force && writer->reached >= FB_REACH_SHARED);
}

static bool replaces(const world *w, const change *one, const key *of, uint32_t index) {
    const version *got = &of->versions[index];
    return index < one->below[of - w->keys] &&
           (one->group < 0 || (got->exists && got->group == (uint32_t)one->group)) &&
           was_before(w, of, got, one);
}

// The change that forbids a version; NULL: none.
static const change *forbids(const world *w, const caller *who, uint32_t index,
                             fb_freshness freshness) {
    for (uint32_t i = 0; i < w->change_count; i++) {
        const change *one = &w->changes[i];
        if ((!one->want.what.soft || freshness == FB_FRESH) && binds(w, one, who) &&
            replaces(w, one, who->of, index)) {
            return one;
        }
    }
    return NULL;
}

static void check_changes(world *w, const caller *who, uint32_t index, fb_freshness freshness) {
    const change *one = forbids(w, who, index, freshness);
    if (one != NULL) {
        world_fail(w,
                   "r%u began at step %llu on %s n%u and gets %s v%u%s; change %u (%s) of n%u, "
                   "answered at step %llu, %.3f ms before, replaced it",
                   who->index, (unsigned long long)who->begin_step,
                   who->coherent ? "coherent" : "degraded", who->at->index, who->of->text, index,
                   freshness == FB_FRESH ? "" : " (not fresh)", (uint32_t)(one - w->changes),
                   one->text, one->at->index, (unsigned long long)one->answer_step,
                   (double)(who->begin_ns - one->answer_ns) / 1e6);
    }
}

// Whether nothing else can have ended the hold: any other change of that key does, when it is done.
static bool holds_alone(const world *w, const change *hold) {
    for (uint32_t i = 0; i < w->change_count; i++) {
        const change *one = &w->changes[i];
        bool over = one->answered && one->answer_step < hold->call_step &&
                    (one->reached >= FB_REACH_SHARED || !one->in_force);
        if (one != hold && one->of == hold->of && one->call_step > 0 && !over) {
            return false;
        }
    }
    return true;
}

static bool is_changed_by_others(const world *w, const change *hold) {
    for (uint32_t i = 0; i < w->change_count; i++) {
        const change *one = &w->changes[i];
        if (one->of == hold->of && one->call_step > 0 &&
            (one->at != hold->at || one->life != hold->life)) {
            return true;
        }
    }
    return false;
}

// A server that loses things loses holds, be it between the doing and the answer. The node that
// issued one keeps it all the same, if it had the memory for that. There it is in force before its
// record comes by; so an older change of another node that comes by between ends it, until the record
// does (docs/shared-tier.md says so).
static bool is_kept(const world *w, const change *hold, const caller *who) {
    bool issuer = hold->at == who->at && hold->life == who->life;
    bool kept = hold->losses == w->shared.losses;
    if (issuer && w->is.no_memory == 0) {
        kept = !is_changed_by_others(w, hold);
    }
    return hold->reached >= FB_REACH_SHARED && kept;
}

static void check_holds(world *w, const caller *who, const fb_value *value) {
    for (uint32_t i = 0; i < w->change_count; i++) {
        const change *one = &w->changes[i];
        if (one->want.hold_ns > 0 && one->of == who->of && w->now_ns < one->held_until_ns &&
            is_kept(w, one, who) && binds(w, one, who) && holds_alone(w, one)) {
            w->seen->held_reads++;
            if (value->tier != FB_TIER_SOURCE) {
                world_fail(w, "r%u gets %s from tier %d, which change %u holds", who->index,
                           who->of->text, (int)value->tier, i);
            }
        }
    }
}

static void check_degraded(world *w, const caller *who, const fb_value *value) {
    const fb_class_options *options = &w->is.options;
    bool coherent_now = fb_cache_is_coherent(who->at->cache, who->of->name, node_now(w, who->at));
    if (who->coherent || coherent_now || value->tier != FB_TIER_MEMORY ||
        who->of->class_id == FB_CLASS_PLAIN) {
        return;
    }
    if (options->degraded == FB_DEGRADED_BYPASS ||
        (options->degraded == FB_DEGRADED_CAP_TTL && value->freshness != FB_FALLBACK &&
         value->age_ms > options->degraded_ttl_ns / FB_NS_PER_MS + 1)) {
        world_fail(w, "r%u gets %s from memory, %lld ms old, which is degraded (policy %d)",
                   who->index, who->of->text, (long long)value->age_ms, options->degraded);
    }
}

void oracle_failover(world *w, int64_t from_ns, int64_t to_ns, bool partial) {
    w->failover_ns = to_ns;
    for (uint32_t i = 0; i < w->change_count; i++) {
        change *one = &w->changes[i];
        if (one->call_step > 0 && one->call_ns <= to_ns &&
            (!one->answered || one->answer_ns > from_ns || one->reached == FB_REACH_LOCAL)) {
            SAY(w, "  change %u (%s) may be lost by it", i, one->text);
            w->seen->lost_by_failover += one->in_force;
            one->lost_ns = to_ns;
            one->found_ns = INT64_MAX;
            // What a sweep took from one shard nobody else knows of.
            one->is_gone = one->is_gone || (partial && one->want.what.scope == FB_SCOPE_PATTERN);
        }
    }
}

// A counter, as a number: what was added by changes that bind must be in it, unless values were
// lost, or this node counts for itself during an outage.
static void check_number(world *w, const caller *who, const fb_value *value) {
    int64_t number;
    if (fb_str_int(value->data, &number) != FB_OK) {
        world_fail(w, "r%u gets %.*s of %s", who->index, FB_STR_ARG(value->data), who->of->text);
    }
    bool last = w->calm && who->begin_ns >= w->settled_ns;
    SAY(w, "n%u r%u gets %s: %lld of tier %d", who->at->index, who->index, who->of->text,
        (long long)number, (int)value->tier);
    change_check_number(w, who->of, number, last);
    bool alone = false;
    for (uint32_t i = 0; i < w->change_count; i++) {
        const change *one = &w->changes[i];
        alone = alone || (one->of == who->of && one->in_force && one->reached == FB_REACH_LOCAL);
    }
    for (uint32_t i = 0; i < w->change_count && !alone && w->shared.losses == 0; i++) {
        const change *one = &w->changes[i];
        if (one->of == who->of && binds(w, one, who) && (number >> (2 * one->made) & 3) == 0) {
            world_fail(w, "r%u gets %s without digit %u, added by change %u", who->index,
                       who->of->text, one->made, i);
        }
    }
}

// ---- one answer

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
    if (w->is.remote) {
        lag_ns += 8 * w->is.hard_ns + 8 * w->is.network_ns + w->is.replica_lag_ns;
        lag_ns += w->longest_hang_ns;  // a fill waits at the server, and its lease with it
    }
    return lag_ns + w->longest_ns;
}

static void check_lag(world *w, const caller *who, uint32_t index, fb_freshness freshness) {
    const key *of = who->of;
    if (index + 1 == of->version_count || (w->is.remote && of->class_id == FB_CLASS_PLAIN)) {
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
    if (w->is.remote && who->of->class_id == FB_CLASS_PLAIN) {
        return;
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
    if (who->refresh && !w->is.replica && index + 1 < who->versions_at_ask) {
        world_fail(w, "r%u wanted a load of its own time and gets %s v%u of %u", who->index,
                   who->of->text, index, who->versions_at_ask - 1);
    }
}

void oracle_value(world *w, caller *who, const fb_value *value) {
    uint32_t stamp[2];
    who->got = (fb_str){NULL, 0};
    if (who->of->kind == KEY_COUNT || who->of->kind == KEY_EDIT) {
        who->got = fb_arena_copy(&w->memory, value->data);
        check_number(w, who, value);
        return;
    }
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
    who->got = fb_arena_copy(&w->memory, fb_str_make(value->data.ptr, sizeof stamp));
    w->seen->stale += value->freshness == FB_STALE;
    w->seen->fallback += value->freshness == FB_FALLBACK;
    w->seen->misses += value->tier == FB_TIER_SOURCE;
    check_deadline(w, who);
    check_version(w, who, stamp[1], value->freshness);
    if (w->is.remote) {
        // What a source that lags was asked for by itself is as old as that.
        if (!w->is.replica || value->tier != FB_TIER_SOURCE) {
            check_changes(w, who, stamp[1], value->freshness);
        }
        check_holds(w, who, value);
        check_degraded(w, who, value);
    }
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
        if (w->is.remote &&
            (w->is.replica || (!one->exists && forbids(w, who, i, FB_FRESH) == NULL))) {
            return;
        }
        if (!w->is.remote && !one->exists && one->hard[at] >= who->begin_step &&
            one->soft[at] >= who->begin_step && (!who->refresh || i + 1 >= who->versions_at_ask)) {
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
            (!w->is.remote && fb_flights_due(at->flights) != INT64_MAX)) {
            world_fail(w, "n%u is not quiet: %zu flights, %zu callers", i,
                       fb_flights_count(at->flights), fb_flights_waiting(at->flights));
        }
        fb_store_check(fb_cache_store(at->cache));
        if (w->seed % 16 == 0 && !w->has_crashed) {
            check_figures(w, at, &asks);
        }
    }
    if (w->seed % 16 == 0 && !w->has_crashed && asks != w->asks) {
        world_fail(w, "%lld asks, but %lld hits and misses", (long long)w->asks, (long long)asks);
    }
}
