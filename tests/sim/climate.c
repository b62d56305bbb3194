// A seed's kind of world. Each trouble is absent in most worlds, so that each is also seen by
// itself and in few others' company; times are drawn over several orders of magnitude, so that
// everything overtakes everything.

#include "world.h"

static uint32_t sometimes(world *w, uint32_t worlds_percent, uint32_t max) {
    return world_chance(w, worlds_percent) ? 1 + world_pick(w, max) : 0;
}

// Between 1 µs × 2^low and 1 µs × 2^high, even in the logarithm.
static int64_t scaled(world *w, uint32_t low, uint32_t high) {
    int64_t unit_ns = FB_NS_PER_US << (low + world_pick(w, high - low));
    return unit_ns + world_delay(w, unit_ns);
}

static void choose_class(world *w, fb_class_options *options) {
    *options = (fb_class_options){0};
    options->memory_ttl_ns = scaled(w, 8, 20);
    options->ttl_ns = options->memory_ttl_ns + (world_chance(w, 50) ? scaled(w, 8, 20) : 0);
    options->negative_ttl_ns = world_chance(w, 80) ? scaled(w, 8, 18) : 0;
    options->jitter = world_chance(w, 50) ? 0.3 : 0;
    options->stale_ttl_ns = world_chance(w, 50) ? scaled(w, 8, 20) : 0;
    options->fallback_ttl_ns = world_chance(w, 40) ? scaled(w, 10, 24) : 0;
    options->soft_timeout_ns = world_chance(w, 50) ? scaled(w, 4, 12) : 0;
    options->hard_timeout_ns = scaled(w, 12, 20);
    options->waiters_max = world_chance(w, 20) ? 1 + world_pick(w, 4) : 1000;
    options->early_beta = world_chance(w, 50) ? 1 + (double)world_pick(w, 4) : 0;
    options->early_budget = 1;
    if (world_chance(w, 40)) {
        options->batch_query = (char *)"many";
        options->batch_by = (char *)"id";
        options->batch_wait_ns = scaled(w, 4, 12);
        options->batch_max = 2 + world_pick(w, 3);
    }
}

static void choose_traffic(world *w, climate *is) {
    is->keys = 1 + world_pick(w, 8);
    is->reads = 10 + world_pick(w, 60);
    is->writes = world_pick(w, 16);
    is->horizon_ns = scaled(w, 12, 20);
    is->hand_over_ns = world_chance(w, 70) ? scaled(w, 2, 10) : 0;
    is->refreshes = sometimes(w, 30, 30);
    is->leaves = sometimes(w, 20, 30);
    is->impatient = sometimes(w, 30, 40);
    is->loaders = sometimes(w, 30, 30);
    is->warms = sometimes(w, 30, 20);
    is->calls = sometimes(w, 30, 1);
    is->wide = sometimes(w, 60, 70);
    is->sets = sometimes(w, 30, 40);
    is->dels = sometimes(w, 30, 20);
    is->soft = sometimes(w, 40, 60);
    is->reloads = sometimes(w, 15, 20);
    is->tardy = sometimes(w, 60, 70);
    is->idle = sometimes(w, 30, 30);
    is->silent = sometimes(w, 20, 50);
}

// What goes wrong with the shared tier, and the network before it. Many worlds have one kind of
// fault only, many none.
static void choose_faults(world *w, climate *is) {
    is->unlucky = sometimes(w, 30, world_chance(w, 20) ? 70 : 20);
    is->drops = sometimes(w, 40, 60);
    is->doubles = sometimes(w, 30, 30);
    is->late = sometimes(w, 30, 10);
    if (world_chance(w, 25)) {
        return;
    }
    is->faults = 1 + world_pick(w, 6);
    is->fault_kinds = UINT64_MAX;
    if (world_chance(w, 60)) {
        is->fault_kinds = UINT64_C(1) << world_pick(w, 12) | UINT64_C(1) << world_pick(w, 12);
    }
}

static void choose_shared(world *w, climate *is) {
    is->nodes = world_chance(w, 85) ? 2 + world_pick(w, 2) : 1 + world_pick(w, NODES_MAX);
    is->first_kind = world_pick(w, 8);
    is->partitions = 1 + world_pick(w, 4);
    is->log_max = world_chance(w, 30) ? 1 + world_pick(w, 6) : LOG_MAX;
    is->max_lag_ns = 250 * FB_NS_PER_MS << world_pick(w, 4);
    is->hard_ns = (20 + world_pick(w, 60)) * FB_NS_PER_MS;
    is->soft_ns = world_pick(w, 20) * FB_NS_PER_MS;
    is->max_outage_ns = world_chance(w, 30) ? scaled(w, 16, 22) : 600 * FB_NS_PER_S;
    is->outbox_max = world_chance(w, 30) ? 1 + world_pick(w, 3) : 1000;
    is->network_ns = scaled(w, 4, 13);
    is->clocks = world_chance(w, 50);
    is->probes = world_chance(w, 80) ? 30 + world_pick(w, 70) : 0;
    is->rivals = sometimes(w, 40, 50);
    is->nodes_reach = sometimes(w, 30, 60);
    is->holds = sometimes(w, 30, 40);
    is->horizon_ns = scaled(w, 18, 23);
    is->cluster = is->partitions > 1 && world_chance(w, 40);
    choose_faults(w, is);
    // By seed, and not by chance: so all other seeds are the worlds that they were before.
    is->deals = w->seed % 16 == 8 ? 60 : 0;
    // Fences are kept by the server, and by nodes that have heard of them: a node that is new and
    // does not reach the server knows of none.
    if (world_chance(w, 12)) {
        is->replica = true;
        is->replica_lag_ns = scaled(w, 12, 20);
        is->faults = is->unlucky = is->late = is->no_memory = 0;
        is->wide = 0;
        is->horizon_ns += 2 * is->max_lag_ns;
    }
    fb_class_options *options = &is->options;
    options->memory_ttl_ns = scaled(w, 12, 26);
    options->ttl_ns = options->memory_ttl_ns + (world_chance(w, 50) ? scaled(w, 12, 26) : 0);
    options->hard_timeout_ns = scaled(w, 14, 20);
    options->degraded = (int)world_pick(w, 3);
    options->degraded_ttl_ns = scaled(w, 12, 22);
}

void climate_choose(world *w) {
    climate *is = &w->is;
    *is = (climate){.nodes = 1};
    is->remote = w->kind == WORLD_ANY ? world_chance(w, 60) : w->kind == WORLD_SHARED;
    choose_traffic(w, is);
    is->read_ns = scaled(w, 4, 16);
    is->reply_ns = scaled(w, 4, 16);
    is->fails = sometimes(w, 30, 60);
    is->denies = sometimes(w, 15, 20);
    is->overloads = sometimes(w, 15, 30);
    is->vanishes = sometimes(w, 40, 40);
    is->uncacheable = sometimes(w, 15, 40);
    is->own_ttl = sometimes(w, 20, 30);
    is->no_memory = sometimes(w, 15, 40);
    is->payload = 16;
    if (world_chance(w, 3)) {  // more than there is room for
        is->keys = KEYS_MAX;
        is->reads = 100;
        is->payload = 80000 + world_pick(w, 50000);
    }
    is->indexed = world_chance(w, 50);
    choose_class(w, &is->options);
    if (is->remote) {
        choose_shared(w, is);
    } else if (world_chance(w, 8)) {
        // Loads that hang for a minute: the callers and the times must then be of that order too.
        is->hangs = 1 + world_pick(w, 10);
        is->horizon_ns = 120 * FB_NS_PER_S;
        is->options.memory_ttl_ns = is->options.ttl_ns = scaled(w, 22, 26);
    }
}
