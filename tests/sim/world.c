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
    const char *inside = strstr(file, "/src/");  // wherever it was built: its place in the tree
    file = inside != NULL ? inside + 1 : file;
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

static void run_events(world *w, int64_t until_ns) {
    enum { TOO_MANY = 1000000 };
    while (w->events.count > 0 && w->step < w->last_step) {
        event *next = FB_LIST_OF(fb_heap_first(&w->events), event, timer);
        if (next->timer.key > until_ns) {
            w->now_ns = until_ns;
            return;
        }
        fb_heap_remove(&w->events, &next->timer);
        w->now_ns = next->timer.key > w->now_ns ? next->timer.key : w->now_ns;
        if (++w->step > TOO_MANY) {
            world_fail(w, "it does not end");
        }
        next->run(w, next->arg);
    }
}

// ---- keys

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

void world_bind(world *w, node *at) {
    for (uint32_t i = 0; i < w->is.keys; i++) {
        bind(w, &w->keys[i], at);
    }
}

static key_kind choose_kind(const world *w, uint32_t index) {
    if (w->is.calls > 0 && index == 0) {
        return KEY_CALL;
    }
    if (!w->is.remote) {
        return index % 2 == 0 ? KEY_PAGE : KEY_ITEM;
    }
    static const key_kind kinds[] = {KEY_PAGE,  KEY_ITEM, KEY_REGISTER, KEY_COUNT,
                                     KEY_ASIDE, KEY_EDIT, KEY_PAGE,     KEY_ITEM};
    return kinds[(index + w->is.first_kind) % 8];
}

static void make_key(world *w, uint32_t index) {
    static const char *const shapes[] = {"call:%s",  "item:%s",  "page:%s:1", "aside:%s",
                                         "plain:%s", "count:%s", "edit:%s"};
    key *of = &w->keys[index];
    of->kind = choose_kind(w, index);
    of->class_id = of->kind == KEY_ITEM ? 1 : of->kind == KEY_PAGE ? 2 : 0;
    (void)snprintf(of->id, sizeof of->id, "%u", index / 2 % 100);
    (void)snprintf(of->text, sizeof of->text, shapes[of->kind], of->id);
    of->name = fb_str_of(of->text);
    of->version_count = 0;
    of->resurfaced = false;
    if (of->kind <= KEY_ASIDE) {
        source_begin(w, of);
    }
}

// ---- one world

static void begin(world *w, uint64_t seed) {
    w->seed = seed;
    w->now_ns = FB_NS_PER_S * 1000;
    w->step = 1;
    w->caller_count = 0;
    w->loaders_given = w->loaders_freed = 0;
    w->longest_ns = w->longest_hang_ns = w->asks = w->loads = 0;
    w->last_step = UINT64_MAX;
    w->settled_ns = INT64_MAX;
    w->failover_ns = INT64_MIN / 2;
    w->events = (fb_heap){0};
    w->change_count = w->errand_count = w->replica_count = 0;
    w->part_away = 0;
    w->deals = NULL;
    w->server_down = w->server_hangs = w->server_full = w->calm = w->has_crashed = false;
    memset(w->nodes, 0, sizeof w->nodes);
    fb_rng_init(&w->rng, seed);
    fb_rng_init(&allocations_rng, seed);
    climate_choose(w);
    model_init(&w->shared, w->is.partitions, w->is.log_max);
    network_start(w);
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        node_make(w, i);
    }
    for (uint32_t i = 0; i < w->is.keys; i++) {
        make_key(w, i);
    }
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        world_bind(w, &w->nodes[i]);
    }
}

static void end(world *w) {
    network_end(w);
    deals_end(w);
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        node_free(w, &w->nodes[i]);
    }
    for (uint32_t i = 0; i < w->is.keys; i++) {
        for (uint32_t j = 0; j < w->is.nodes; j++) {
            fb_buf_release(&w->keys[i].scratch[j]);
            w->keys[i].scratch[j] = (fb_buf){0};
        }
    }
    w->seen->forks += w->shared.forks;
    for (uint32_t i = 0; i < w->replica_count; i++) {
        model_release(w->replicas[i]);
    }
    model_release(&w->shared);
    fb_heap_release(&w->events);
    fb_arena_reset(&w->memory);
}

// ---- the run

static void run_alone(world *w) {
    run_events(w, INT64_MAX);
    if (w->last_step == UINT64_MAX) {
        reader_last(w);
        run_events(w, INT64_MAX);
        oracle_end(w);
    }
}

// Nodes of a shared tier are never quite quiet: they look at the logs. So this run ends by time.
static void run_shared(world *w) {
    run_events(w, w->now_ns + w->is.horizon_ns);
    faults_end(w);
    // A breaker's longest pause, where anything can have opened it, and what a node needs to catch
    // up.
    bool was_calm = w->is.faults == 0 && w->is.unlucky == 0 && w->is.late == 0;
    w->settled_ns =
        w->now_ns + (was_calm ? 0 : 12 * FB_NS_PER_S) + 4 * w->is.max_lag_ns + 8 * w->is.hard_ns;
    run_events(w, w->settled_ns);
    if (w->last_step != UINT64_MAX) {
        return;
    }
    settled_begin(w);
    w->first_of_last = w->caller_count + 1;
    reader_last(w);
    run_events(w, w->now_ns + 10 * FB_NS_PER_S);
    settled_check(w);
    oracle_end(w);
}

int world_run(world *w, uint64_t seed, covered *seen) {
    static const fb_hooks hooks = {.resize = resize, .log = mute, .panic = panic};
    if (current == NULL) {
        fb_hooks_set(&hooks);
    }
    current = w;
    w->seen = seen;
    w->what[0] = '\0';
    if (setjmp(w->out) != 0) {
        world_leave(w);
        return -1;  // what the world held is lost: after a mistake nothing can be freed safely
    }
    begin(w, seed);
    reader_start(w);
    if (w->is.remote) {
        change_start(w);
        faults_start(w);
        settled_watch(w);
    } else {
        writer_start(w);
    }
    if (world_chance(w, 4)) {
        w->last_step = 2 + world_pick(w, 100);
        w->seen->cut_short++;
    }
    if (w->is.remote) {
        run_shared(w);
    } else {
        run_alone(w);
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

bool world_search(world *w, uint64_t start, uint64_t seeds, covered *seen, uint64_t *seed) {
    for (uint64_t i = 0; i < seeds; i++) {
        *seed = start + i;
        if (world_run(w, *seed, seen) < 0) {
            return true;
        }
    }
    return false;
}
