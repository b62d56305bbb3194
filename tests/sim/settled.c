// What must be so once all faults are over and some time has passed: every node is COHERENT in
// every partition, owes nothing, waits for nothing; what was acknowledged is counted; what nodes
// read of a key is the same on all of them. (That it is also new enough is the oracle's to say.)
//
// And one thing that is watched all along: when the node of a change that a fail-over may have
// taken back has been coherent with the new server for so long that it must have found out.

#include "base/check.h"
#include "base/str.h"
#include "world.h"

static void watch(world *w, void *arg) {
    (void)arg;
    for (uint32_t i = 0; i < w->change_count; i++) {
        change *one = &w->changes[i];
        const node *at = one->at;
        if (one->lost_ns != INT64_MAX && one->found_ns == INT64_MAX && !one->is_gone && at->alive &&
            at->life == one->life && one->lost_ns + w->is.max_lag_ns <= w->now_ns &&
            fb_cache_degraded(at->cache, node_now(w, at)) == 0) {
            one->found_ns = w->now_ns + w->is.max_lag_ns;
        }
    }
    world_at(w, w->now_ns + w->is.max_lag_ns / 8, watch, NULL);
}

void settled_watch(world *w) {
    if (w->is.faults > 0) {
        world_at(w, w->now_ns, watch, NULL);
    }
}

void settled_begin(world *w) {
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        node *at = &w->nodes[i];
        fb_sync_figures figures;
        fb_sync_figures_read(at->sync, node_now(w, at), &figures);
        uint32_t degraded = fb_cache_degraded(at->cache, node_now(w, at));
        if (degraded > 0 || !fb_follower_is_settled(at->follower)) {
            world_fail(w, "n%u is not coherent in the end: %u partitions are degraded (%s)", i,
                       degraded, figures.why);
        }
        if (figures.owed_now > 0 || fb_sync_owes_wide(at->sync)) {
            world_fail(w, "n%u owes %llu changes in the end", i,
                       (unsigned long long)figures.owed_now);
        }
        if (figures.state != FB_SYNC_CONNECTED && figures.state != FB_SYNC_UNUSED) {
            world_fail(w, "n%u says that it is in state %d: %s", i, (int)figures.state,
                       figures.why);
        }
    }
}

// A fail-over may have lost a change whose node crashed, and goes on with the memory that it had: then
// it alone has what is lost (docs/shared-tier.md says so).
static bool is_kept_by_one(const world *w, const key *of) {
    for (uint32_t i = 0; i < w->change_count; i++) {
        const change *one = &w->changes[i];
        if (one->of == of && one->lost_ns > 0 && one->life != one->at->life) {
            return true;
        }
    }
    return false;
}

// All who read the same plain key in the end are told the same, or nothing.
static void check_agreement(world *w, const key *of) {
    const caller *first = NULL;
    if (is_kept_by_one(w, of)) {
        return;
    }
    for (uint32_t i = w->first_of_last; i <= w->caller_count; i++) {
        const caller *who = &w->callers[i];
        if (who->of != of || who->got.ptr == NULL) {
            continue;
        }
        first = first != NULL ? first : who;
        if (!fb_str_equal(first->got, who->got)) {
            world_fail(w, "in the end n%u and n%u (r%u, r%u) read different things of %s",
                       first->at->index, who->at->index, first->index, who->index, of->text);
        }
    }
}

void settled_check(world *w) {
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        const node *at = &w->nodes[i];
        if (!fb_gate_is_idle(at->gate)) {
            world_fail(w, "the gate of n%u is not idle in the end", i);
        }
    }
    for (uint32_t i = 0; i < w->errand_count; i++) {
        const errand *one = &w->errands[i];
        if (!one->answered && one->at->life == one->life) {
            world_fail(w, "want %u was never answered", i + 1);
        }
    }
    for (uint32_t i = 0; i < w->is.keys; i++) {
        key_kind kind = w->keys[i].kind;
        if (kind == KEY_REGISTER || kind == KEY_COUNT || kind == KEY_EDIT) {
            check_agreement(w, &w->keys[i]);
        }
    }
    deals_check(w);
}
