// One node: a cache, its flights, and, with a shared tier, a gate and a follower, wired as an event
// loop of the engine wires them. A crash takes all of it, or all but the cache (a region that is
// kept); what was on its way to the node then finds nobody.

#include <string.h>

#include "base/check.h"
#include "world.h"

int64_t node_now(const world *w, const node *at) {
    return w->now_ns + at->ahead_ns;
}

node *node_pick(world *w) {
    uint32_t first = world_pick(w, w->is.nodes);
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        node *at = &w->nodes[(first + i) % w->is.nodes];
        if (at->alive) {
            return at;
        }
    }
    return NULL;
}

// ---- timers

static void set_timer(world *w, const node *at, event *timer, int64_t *set_ns, int64_t due_ns) {
    if (due_ns == *set_ns) {
        return;
    }
    *set_ns = due_ns;
    if (due_ns == INT64_MAX) {
        fb_heap_remove(&w->events, &timer->timer);
        return;
    }
    int64_t here_ns = due_ns - at->ahead_ns;
    int result = fb_heap_put(&w->events, &timer->timer, here_ns > w->now_ns ? here_ns : w->now_ns);
    FB_ASSERT(result == FB_OK);
}

static void tick(world *w, void *arg) {
    node *at = arg;
    at->tick_ns = INT64_MAX;
    world_enter(w);
    fb_flights_tick(at->flights, node_now(w, at));
    world_leave(w);
    node_drain(w, at);
}

static void tick_gate(world *w, void *arg) {
    node *at = arg;
    at->gate_tick_ns = INT64_MAX;
    world_enter(w);
    fb_gate_tick(at->gate, node_now(w, at));
    world_leave(w);
    node_drain(w, at);
}

static void tick_follower(world *w, void *arg) {
    node *at = arg;
    at->follower_tick_ns = INT64_MAX;
    world_enter(w);
    fb_follower_tick(at->follower, node_now(w, at));
    world_leave(w);
    node_drain(w, at);
}

// ---- what the machines want

static void pass_on(world *w, node *at, const fb_action *action) {
    uint64_t remote = action->remote;
    world_enter(w);
    int result = fb_gate_flight(at->gate, action, node_now(w, at));
    if (result == FB_ENOMEM) {
        fb_remote_reply reply = {.result = FB_REMOTE_FAILED};
        fb_loaded_init(&reply.loaded);
        fb_flights_remote(at->flights, remote, &reply, node_now(w, at));
    }
    world_leave(w);
}

static void do_flights(world *w, node *at, const fb_action *action) {
    switch (action->type) {
        case FB_ACTION_ANSWER:
            reader_answered(w, at, action);
            break;
        case FB_ACTION_LOAD:
            source_load(w, at, action);
            break;
        case FB_ACTION_NONE:
            world_fail(w, "an action that is none");
        default:
            FB_ASSERT(at->gate != NULL);
            pass_on(w, at, action);
            break;
    }
}

static void answer(world *w, node *at, const fb_gate_action *action) {
    if (action->waiter == 0 || action->waiter > w->errand_count) {
        world_fail(w, "the gate answers %llu, who never was", (unsigned long long)action->waiter);
    }
    errand *one = &w->errands[action->waiter - 1];
    if (one->answered || one->at != at || one->life != at->life) {
        world_fail(w, "the gate answers %llu, who does not wait",
                   (unsigned long long)action->waiter);
    }
    one->answered = true;
    if (w->now_ns > one->latest_ns) {
        world_fail(w, "n%u want %llu is answered %.3f ms after its time", at->index,
                   (unsigned long long)action->waiter, (double)(w->now_ns - one->latest_ns) / 1e6);
    }
    one->done(w, one->of, action);
}

typedef struct hint {
    node *at;
    uint32_t life, log;
    fb_mark mark;
} hint;

static void tell_follower(world *w, void *arg) {
    const hint *what = arg;
    node *at = what->at;
    if (!at->alive || at->life != what->life) {
        return;
    }
    world_enter(w);
    fb_follower_suspect(at->follower, what->log, &what->mark, node_now(w, at));
    world_leave(w);
    node_drain(w, at);
}

static void do_gate(world *w, node *at, const fb_gate_action *action) {
    switch (action->type) {
        case FB_GATE_SEND:
            network_send(w, at, false, &action->request);
            break;
        case FB_GATE_FLIGHT:
            world_enter(w);
            fb_flights_remote(at->flights, action->remote, action->reply, node_now(w, at));
            world_leave(w);
            break;
        case FB_GATE_ANSWER:
            answer(w, at, action);
            break;
        case FB_GATE_SUSPECT: {
            hint *what = world_new(w, sizeof *what);
            *what = (hint){at, at->life, action->log, action->mark};
            SAY(w, "n%u suspects log %u", at->index, what->log);
            world_at(w, w->now_ns + world_delay(w, 50 * FB_NS_PER_US), tell_follower, what);
            break;
        }
    }
}

static bool drain_once(world *w, node *at) {
    bool any = false;
    fb_action action;
    while (fb_flights_next(at->flights, &action)) {
        do_flights(w, at, &action);
        any = true;
    }
    fb_gate_action done;
    while (at->gate != NULL && fb_gate_next(at->gate, &done)) {
        do_gate(w, at, &done);
        any = true;
    }
    fb_sync_request request;
    while (at->follower != NULL && fb_follower_next(at->follower, &request)) {
        network_send(w, at, true, &request);
        any = true;
    }
    return any;
}

void node_drain(world *w, node *at) {
    if (at->draining) {
        return;  // what was just wanted is seen to by who drains
    }
    at->draining = true;
    while (drain_once(w, at)) {
    }
    at->draining = false;
    fb_flights_check(at->flights);
    set_timer(w, at, at->tick, &at->tick_ns, fb_flights_due(at->flights));
    if (at->gate != NULL) {
        fb_gate_check(at->gate);
        fb_follower_check(at->follower);
        set_timer(w, at, at->gate_tick, &at->gate_tick_ns, fb_gate_due(at->gate));
        set_timer(w, at, at->follower_tick, &at->follower_tick_ns, fb_follower_due(at->follower));
    }
}

int node_want(world *w, node *at, const fb_want *want, int64_t patience_ns,
              void (*done)(world *w, void *of, const fb_gate_action *answer), void *of) {
    if (w->errand_count == ERRANDS_MAX) {
        return FB_EOVERLOAD;
    }
    errand *one = &w->errands[w->errand_count++];
    *one = (errand){
        .at = at, .life = at->life, .latest_ns = w->now_ns + patience_ns, .done = done, .of = of};
    fb_want sent = *want;
    sent.waiter = w->errand_count;
    world_enter(w);
    SAY(w, "n%u want %u: kind %d of %.*s", at->index, w->errand_count, (int)want->kind,
        FB_STR_ARG(want->key));
    int result = fb_gate_want(at->gate, &sent, node_now(w, at));
    world_leave(w);
    if (result < 0) {
        one->answered = true;
        if (result != FB_ENOMEM) {
            world_fail(w, "a want gave %s", fb_result_name(result));
        }
    }
    return result;
}

// ---- classes

static fb_class *make_class(world *w, const char *name, const char *pattern, const char *space,
                            char *index) {
    char *tag = (char *)(uintptr_t) "id:{id}";
    fb_class_options options = w->is.options;
    options.name = (char *)(uintptr_t)name;
    options.key = (char *)(uintptr_t)pattern;
    options.namespace_name = (char *)(uintptr_t)space;
    options.tags = &tag;
    options.tag_count = 1;
    options.index = &index;
    options.index_count = index != NULL;
    fb_class *made = NULL;
    fb_error error;
    uint16_t id = name[0] == 'i' ? 1 : 2;
    int result = fb_class_new(&options, id, NULL, 0, &made, &error);
    if (result != FB_OK) {
        world_fail(w, "class %s: %s", name, error.text);
    }
    return made;
}

static fb_catalog *make_catalog(world *w, node *at) {
    fb_class *classes[3];
    fb_catalog *catalog = NULL;
    fb_error error;
    int result = fb_class_new_plain(&classes[0]);
    FB_ASSERT(result == FB_OK);
    classes[1] = make_class(w, "item", "item:{id}", "default", NULL);
    classes[2] = make_class(w, "page", "page:{id}:{number}", "people",
                            w->is.indexed ? (char *)(uintptr_t) "id" : NULL);
    result = fb_catalog_new(classes, 3, &catalog, &error);
    if (result != FB_OK) {
        world_fail(w, "catalogue: %s", error.text);
    }
    memcpy(at->classes, classes, sizeof classes);
    return catalog;
}

void node_reload(world *w, node *at) {
    if (!w->is.remote) {  // nodes of a shared tier have the same indexes
        w->is.indexed = world_chance(w, 50);
    }
    SAY(w, "n%u reloads, pages %s", at->index, w->is.indexed ? "with an index" : "without index");
    int result = fb_cache_swap(at->cache, make_catalog(w, at));
    FB_ASSERT(result == FB_OK);
    w->seen->reloads++;
    node_drain(w, at);
}

// ---- life

static void make_cache(world *w, node *at) {
    fb_cache_options cache = {.memory_bytes = FB_STORE_LIMIT_MIN,
                              .tag_slots = 256,
                              .seed = w->seed + 1000 * at->life,
                              .partitions = w->is.remote ? w->is.partitions : 0,
                              .catalog = make_catalog(w, at)};
    int result = fb_cache_new(&cache, &at->cache);
    FB_ASSERT(result == FB_OK);
}

static void make_shared(world *w, node *at) {
    do {
        at->id = fb_rng_next(&w->rng);
    } while (at->id == 0);
    fb_sync_options options = {.cache = at->cache,
                               .partitions = w->is.partitions,
                               .node = at->id,
                               .seed = fb_rng_next(&w->rng),
                               .max_lag_ns = w->is.max_lag_ns,
                               .soft_ns = w->is.soft_ns,
                               .hard_ns = w->is.hard_ns,
                               .max_outage_ns = w->is.max_outage_ns,
                               .outbox_max = w->is.outbox_max};
    int result = fb_sync_new(&options, &at->sync);
    FB_ASSERT(result == FB_OK);
    result = fb_gate_new(at->sync, 0, &at->gate);
    FB_ASSERT(result == FB_OK);
    result = fb_follower_new(at->sync, fb_rng_next(&w->rng), &at->follower);
    FB_ASSERT(result == FB_OK);
}

static void make_machines(world *w, node *at) {
    fb_flights_options flights = {
        .cache = at->cache, .seed = w->seed + at->index, .remote = w->is.remote};
    int result = fb_flights_new(&flights, &at->flights);
    FB_ASSERT(result == FB_OK);
    if (w->is.remote) {
        make_shared(w, at);
    }
    at->alive = true;
    at->tick_ns = at->gate_tick_ns = at->follower_tick_ns = INT64_MAX;
}

static event *make_timer(world *w, node *at, void (*run)(world *w, void *arg)) {
    event *made = world_new(w, sizeof *made);
    made->run = run;
    made->arg = at;
    return made;
}

void node_make(world *w, uint32_t index) {
    node *at = &w->nodes[index];
    *at = (node){.index = index};
    if (w->is.clocks > 0) {
        at->ahead_ns = world_delay(w, 5 * 3600 * FB_NS_PER_S) - 900 * FB_NS_PER_S;
        at->wall_ahead_ms = world_delay(w, 100000000) - 50000000;
    }
    make_cache(w, at);
    make_machines(w, at);
    fb_rng_init(&at->rng, w->seed ^ (index + 1));
    at->tick = make_timer(w, at, tick);
    at->gate_tick = make_timer(w, at, tick_gate);
    at->follower_tick = make_timer(w, at, tick_follower);
}

static void count_figures(world *w, node *at) {
    fb_sync_figures figures;
    fb_sync_figures_read(at->sync, node_now(w, at), &figures);
    const uint64_t *counters = figures.counters;
    covered *seen = w->seen;
    seen->shared_gets += counters[FB_SYNC_COUNT_gets];
    seen->shared_values += counters[FB_SYNC_COUNT_values];
    seen->shared_leases += counters[FB_SYNC_COUNT_leases];
    seen->shared_held += counters[FB_SYNC_COUNT_held];
    seen->shared_fills += counters[FB_SYNC_COUNT_fills];
    seen->shared_refused += counters[FB_SYNC_COUNT_fills_refused];
    seen->shared_changes += counters[FB_SYNC_COUNT_changes];
    seen->shared_failures += counters[FB_SYNC_COUNT_failures];
    seen->passed_by += counters[FB_SYNC_COUNT_passed_by];
    seen->owed += counters[FB_SYNC_COUNT_owed];
    seen->replayed += counters[FB_SYNC_COUNT_replayed];
    seen->records += counters[FB_SYNC_COUNT_records];
    seen->gaps += counters[FB_SYNC_COUNT_gaps];
    seen->flushes += counters[FB_SYNC_COUNT_flushes];
    seen->epochs += counters[FB_SYNC_COUNT_epochs];
    seen->trips += counters[FB_SYNC_COUNT_trips];
}

static void free_machines(world *w, node *at) {
    if (at->gate != NULL) {
        count_figures(w, at);
    }
    fb_flights_free(at->flights);
    fb_gate_free(at->gate);
    fb_follower_free(at->follower);
    fb_sync_free(at->sync);
    at->flights = NULL;
    at->gate = NULL;
    at->follower = NULL;
    at->sync = NULL;
}

void node_crash(world *w, node *at, bool keeps_cache) {
    SAY(w, "n%u crashes%s", at->index, keeps_cache ? ", its memory is kept" : "");
    w->seen->crashes++;
    w->has_crashed = true;
    reader_crashed(w, at);
    change_crashed(w, at);
    free_machines(w, at);
    at->alive = at->link_up = false;
    at->life++;
    fb_heap_remove(&w->events, &at->tick->timer);
    fb_heap_remove(&w->events, &at->gate_tick->timer);
    fb_heap_remove(&w->events, &at->follower_tick->timer);
    if (keeps_cache) {
        w->seen->adopted_regions++;
        return;
    }
    fb_cache_free(at->cache);
    make_cache(w, at);
    world_bind(w, at);
}

void node_start(world *w, node *at) {
    SAY(w, "n%u starts again", at->index);
    make_machines(w, at);
    node_drain(w, at);
}

void node_free(world *w, node *at) {
    if (at->alive) {
        free_machines(w, at);
    }
    fb_cache_free(at->cache);
    at->cache = NULL;
}
