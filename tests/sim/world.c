// The clock jumps from event to event; an event's place in time comes from the seed, so every order
// that the delays allow is some seed's order. What the threads of a real service do at the same
// time is here in one order or another: calls of the cache are atomic, and what a caller does in
// two steps (look at memory, then ask; commit, then invalidate) is two events.
//
// The run: callers and writers come until the horizon; then all that is under way ends; then every
// key is read once more on every node, and again all ends. Then nothing may be left. Some
// worlds end in the middle instead: the machine must be able to go at any moment.

#include "world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

static world *current;
static uint32_t allocations_fail;  // of 1,000
static fb_rng allocations_rng;

// ---- small things

void world_fail(world *w, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(w->what, sizeof w->what, format, arguments);
    va_end(arguments);
    SAY(w, "WRONG: %s", w->what);
    longjmp(w->out, 1);
}

void world_say(world *w, const char *format, ...) {
    va_list arguments;
    printf("%12.6f ms  #%-5llu ", (double)w->now_ns / 1e6, (unsigned long long)w->step);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    (void)putchar('\n');
}

bool world_chance(world *w, uint32_t percent) {
    return percent > 0 && fb_rng_below(&w->rng, 100) < percent;
}

int64_t world_delay(world *w, int64_t max_ns) {
    return max_ns <= 0 ? 0 : (int64_t)fb_rng_below(&w->rng, (uint64_t)max_ns + 1);
}

uint32_t world_pick(world *w, uint32_t count) {
    return (uint32_t)fb_rng_below(&w->rng, count);
}

void *world_new(world *w, size_t size) {
    void *made = fb_arena_new(&w->memory, size);
    FB_ASSERT(made != NULL);
    memset(made, 0, size);
    return made;
}

// ---- memory that fails, and mistakes that are found

static void *resize(void *arg, void *ptr, size_t size) {
    (void)arg;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    if (allocations_fail > 0 && fb_rng_below(&allocations_rng, 1000) < allocations_fail) {
        current->seen->no_memory++;
        return NULL;
    }
    return realloc(ptr, size);
}

static void panic(void *arg, const char *file, int line, const char *expression) {
    (void)arg;
    world_fail(current, "%s:%d: %s does not hold", file, line, expression);
}

static void mute(void *arg, fb_log_level level, const char *event_name, const char *fields) {
    (void)arg, (void)level, (void)event_name, (void)fields;
}

void world_enter(world *w) {
    allocations_fail = w->is.no_memory;
}

void world_leave(world *w) {
    (void)w;
    allocations_fail = 0;
}

// ---- events

event *world_at(world *w, int64_t at_ns, void (*run)(world *w, void *arg), void *arg) {
    event *made = world_new(w, sizeof *made);
    made->run = run;
    made->arg = arg;
    int result = fb_heap_put(&w->events, &made->timer, at_ns);
    FB_ASSERT(result == FB_OK);
    return made;
}

static void tick(world *w, void *arg) {
    node *at = arg;
    at->tick_ns = INT64_MAX;
    world_enter(w);
    fb_flights_tick(at->flights, w->now_ns);
    world_leave(w);
    world_drain(w, at);
}

static void set_tick(world *w, node *at) {
    int64_t due_ns = fb_flights_due(at->flights);
    if (due_ns == at->tick_ns) {
        return;
    }
    at->tick_ns = due_ns;
    if (due_ns == INT64_MAX) {
        fb_heap_remove(&w->events, &at->tick->timer);
        return;
    }
    int result = fb_heap_put(&w->events, &at->tick->timer, due_ns > w->now_ns ? due_ns : w->now_ns);
    FB_ASSERT(result == FB_OK);
}

void world_drain(world *w, node *at) {
    fb_action action;
    while (fb_flights_next(at->flights, &action)) {
        driver_do(w, at, &action);
    }
    fb_flights_check(at->flights);
    set_tick(w, at);
}

static void run_events(world *w) {
    enum { TOO_MANY = 1000000 };
    while (w->events.count > 0 && w->step < w->last_step) {
        event *next = FB_LIST_OF(fb_heap_first(&w->events), event, timer);
        fb_heap_remove(&w->events, &next->timer);
        w->now_ns = next->timer.key > w->now_ns ? next->timer.key : w->now_ns;
        if (++w->step > TOO_MANY) {
            world_fail(w, "it does not end");
        }
        next->run(w, next->arg);
    }
}

// ---- nodes

static fb_class *make_class(const world *w, const char *name, const char *pattern,
                            const char *space, char *tag, char *index, uint16_t id) {
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
    int result = fb_class_new(&options, id, NULL, 0, &made, &error);
    if (result != FB_OK) {
        world_fail(current, "class %s: %s", name, error.text);
    }
    return made;
}

static fb_catalog *make_catalog(world *w, node *at) {
    fb_class *classes[3];
    fb_catalog *catalog = NULL;
    fb_error error;
    int result = fb_class_new_plain(&classes[0]);
    FB_ASSERT(result == FB_OK);
    classes[1] = make_class(w, "item", "item:{id}", "default", (char *)"id:{id}", NULL, 1);
    classes[2] = make_class(w, "page", "page:{id}:{number}", "people", (char *)"id:{id}",
                            w->is.indexed ? (char *)"id" : NULL, 2);
    result = fb_catalog_new(classes, 3, &catalog, &error);
    if (result != FB_OK) {
        world_fail(w, "catalogue: %s", error.text);
    }
    memcpy(at->classes, classes, sizeof classes);
    return catalog;
}

static void make_node(world *w, uint32_t index) {
    node *at = &w->nodes[index];
    *at = (node){.index = index, .tick_ns = INT64_MAX};
    fb_cache_options cache = {.memory_bytes = FB_STORE_LIMIT_MIN,
                              .tag_slots = 256,
                              .seed = w->seed,
                              .catalog = make_catalog(w, at)};
    int result = fb_cache_new(&cache, &at->cache);
    FB_ASSERT(result == FB_OK);
    fb_flights_options flights = {
        .cache = at->cache, .seed = w->seed + index, .remote = w->is.remote};
    result = fb_flights_new(&flights, &at->flights);
    FB_ASSERT(result == FB_OK);
    fb_rng_init(&at->rng, w->seed ^ (index + 1));
    at->tick = world_new(w, sizeof *at->tick);
    at->tick->run = tick;
    at->tick->arg = at;
}

void world_reload(world *w, node *at) {
    w->is.indexed = world_chance(w, 50);
    SAY(w, "n%u reloads, pages %s", at->index, w->is.indexed ? "with an index" : "without index");
    int result = fb_cache_swap(at->cache, make_catalog(w, at));
    FB_ASSERT(result == FB_OK);
    w->seen->reloads++;
    world_drain(w, at);
}

static void bind(world *w, key *of, node *at) {
    fb_error error;
    int result = FB_OK;
    if (of->class_id == FB_CLASS_PLAIN) {
        of->bound[at->index] = (fb_bound){.key = of->name};
        return;
    }
    fb_param params[] = {{FB_STR("id"), fb_str_of(of->id)}, {FB_STR("number"), FB_STR("1")}};
    result = fb_class_bind(at->classes[of->class_id], params, of->class_id == 1 ? 1 : 2,
                           &of->scratch[at->index], &of->bound[at->index], &error);
    if (result != FB_OK || !fb_str_equal(of->bound[at->index].key, of->name)) {
        world_fail(w, "binding %s: %s", of->text, result < 0 ? error.text : "another key");
    }
}

static void make_key(world *w, uint32_t index) {
    key *of = &w->keys[index];
    uint32_t kind = w->is.calls > 0 && index == 0 ? 0 : 1 + index % 2;
    of->class_id = (uint16_t)kind;
    (void)snprintf(of->id, sizeof of->id, "%u", index / 2 % 100);
    (void)snprintf(of->text, sizeof of->text,
                   kind == 0   ? "call:%s"
                   : kind == 1 ? "item:%s"
                               : "page:%s:1",
                   of->id);
    of->name = fb_str_of(of->text);
    of->version_count = 0;
    source_begin(w, of);
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        bind(w, of, &w->nodes[i]);
    }
}

// ---- one world

static void begin(world *w, uint64_t seed) {
    w->seed = seed;
    w->now_ns = FB_NS_PER_S * 1000;
    w->step = 1;
    w->caller_count = 0;
    w->loaders_given = w->loaders_freed = 0;
    w->longest_ns = w->asks = w->loads = 0;
    w->last_step = UINT64_MAX;
    w->events = (fb_heap){0};
    memset(w->nodes, 0, sizeof w->nodes);
    fb_rng_init(&w->rng, seed);
    fb_rng_init(&allocations_rng, seed);
    climate_choose(w);
    twin_init(&w->shared, seed);
    fb_list_init(&w->requests);
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        make_node(w, i);
    }
    for (uint32_t i = 0; i < w->is.keys; i++) {
        make_key(w, i);
    }
}

static void end(world *w) {
    driver_end(w);
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        fb_flights_free(w->nodes[i].flights);
        fb_cache_free(w->nodes[i].cache);
    }
    for (uint32_t i = 0; i < w->is.keys; i++) {
        for (uint32_t j = 0; j < w->is.nodes; j++) {
            fb_buf_release(&w->keys[i].scratch[j]);
            w->keys[i].scratch[j] = (fb_buf){0};
        }
    }
    twin_release(&w->shared);
    fb_heap_release(&w->events);
    fb_arena_reset(&w->memory);
}

int world_run(world *w, uint64_t seed, covered *seen, bool trace) {
    static const fb_hooks hooks = {.resize = resize, .log = mute, .panic = panic};
    if (current == NULL) {
        fb_hooks_set(&hooks);
    }
    current = w;
    w->seen = seen;
    w->trace = trace;
    w->what[0] = '\0';
    if (setjmp(w->out) != 0) {
        world_leave(w);
        return -1;  // what the world held is lost: after a mistake nothing can be freed safely
    }
    begin(w, seed);
    reader_start(w);
    writer_start(w);
    if (world_chance(w, 4)) {
        w->last_step = 2 + world_pick(w, 100);
        w->seen->cut_short++;
    }
    run_events(w);
    if (w->last_step == UINT64_MAX) {
        reader_last(w);
        run_events(w);
        oracle_end(w);
    }
    end(w);
    if (w->loaders_freed != w->loaders_given) {
        SAY(w, "WRONG: %u loaders freed", w->loaders_freed);
        (void)snprintf(w->what, sizeof w->what, "%u loaders given, %u freed", w->loaders_given,
                       w->loaders_freed);
        return -1;
    }
    return 0;
}
