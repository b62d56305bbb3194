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
    is->wide = is->remote ? 0 : sometimes(w, 60, 70);
    is->sets = is->remote ? 0 : sometimes(w, 30, 40);
    is->dels = is->remote ? 0 : sometimes(w, 30, 20);
    is->soft = is->remote ? 0 : sometimes(w, 40, 60);
    is->reloads = sometimes(w, 15, 20);
    is->late = sometimes(w, 60, 70);
    is->idle = sometimes(w, 30, 30);
    is->silent = sometimes(w, 20, 50);
}

void climate_choose(world *w) {
    climate *is = &w->is;
    *is = (climate){.nodes = 1};
    is->remote = world_chance(w, 40);
    if (is->remote) {
        is->nodes = 1 + world_pick(w, NODES_MAX);
        is->network_ns = scaled(w, 4, 13);
        is->unlucky = sometimes(w, 30, 30);
    }
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
    // Loads that hang for a minute: the callers and the times must then be of that order too.
    if (world_chance(w, 8)) {
        is->hangs = 1 + world_pick(w, 10);
        is->horizon_ns = 120 * FB_NS_PER_S;
        is->options.memory_ttl_ns = is->options.ttl_ns = scaled(w, 22, 26);
    }
}
