// Opening, checking, and the loops for others.
//
// Workers come first, since sources want to know how many there are; then the sources and the
// cache; then the lanes, which need all of that. What fails on the way is closed as an engine is
// (close.c), which copes with a part.

#include "engine/engine.h"

#include <event2/event.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/units.h"
#include "engine/limits.h"
#include "engine/mail.h"
#include "engine/queues.h"
#include "os/clock.h"

enum { LOOPS_MAX = 256, WORKERS_MIN = 4, WORKERS_MAX = 32, CALLBACK_QUEUE_MAX = 65536 };

const char *fb_version(void) {
    return FB_VERSION;
}

// ---- what lanes and calls need

bool fb_engine_enter(fb_engine *engine) {
    pthread_mutex_lock(&engine->idle_lock);
    bool open = !atomic_load(&engine->closing);
    engine->busy += open ? 1 : 0;
    pthread_mutex_unlock(&engine->idle_lock);
    return open;
}

void fb_engine_busy(fb_engine *engine) {
    pthread_mutex_lock(&engine->idle_lock);
    engine->busy++;
    pthread_mutex_unlock(&engine->idle_lock);
}

// The lock is held to the end, so that a close that finds nobody busy can be sure that nobody is in
// here either.
void fb_engine_idle(fb_engine *engine) {
    pthread_mutex_lock(&engine->idle_lock);
    FB_ASSERT(engine->busy > 0);
    if (--engine->busy == 0) {
        pthread_cond_broadcast(&engine->idle);
    }
    pthread_mutex_unlock(&engine->idle_lock);
}

fb_lane *fb_engine_lane_of(fb_engine *engine, fb_str key) {
    return &engine->lanes[fb_hash64(key, engine->seed) % engine->lane_count];
}

fb_lane *fb_engine_here(const fb_engine *engine) {
    fb_loop *here = fb_loop_here();
    uint32_t index = here != NULL ? fb_loop_index(here) : UINT32_MAX;
    return index < engine->lane_count && engine->lanes[index].loop == here ? &engine->lanes[index]
                                                                           : NULL;
}

int64_t fb_engine_ns_of(int64_t ms) {
    return ms <= 0 ? 0 : ms <= INT64_MAX / FB_NS_PER_MS ? ms * FB_NS_PER_MS : INT64_MAX;
}

// ---- opening

static uint32_t count_loops(const fb_settings *settings) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t count =
        settings->loops > 0 ? settings->loops : (uint32_t)(processors > 0 ? processors : 1);
    return count < LOOPS_MAX ? count : LOOPS_MAX;
}

static uint32_t count_workers(const fb_settings *settings) {
    if (settings->workers > 0) {
        return settings->workers;
    }
    uint64_t wanted = 0;
    for (size_t i = 0; i < settings->source_count; i++) {
        wanted += settings->sources[i].concurrency;
    }
    wanted = wanted > WORKERS_MIN ? wanted : WORKERS_MIN;
    return (uint32_t)(wanted < WORKERS_MAX ? wanted : WORKERS_MAX);
}

static void begin_upkeep(void *arg) {
    static const struct timeval every = {0, 100000};
    (void)event_add(((fb_lane *)arg)->upkeep, &every);
}

static int open_lanes(fb_engine *engine, const fb_settings *settings) {
    uint32_t wanted = count_loops(settings);
    engine->lanes = fb_mem_zero(wanted, sizeof *engine->lanes);
    if (engine->lanes == NULL) {
        return FB_ENOMEM;
    }
    while (engine->lane_count < wanted) {
        fb_lane *lane = &engine->lanes[engine->lane_count];
        engine->lane_count++;  // also a half-made one is released
        int result = fb_lane_init(lane, engine, engine->lane_count - 1);
        if (result < 0) {
            return result;
        }
    }
    return FB_OK;
}

static int make_cache(fb_engine *engine, const fb_settings *settings, fb_plan *plan,
                      fb_error *error) {
    fb_cache_options options = {
        .memory_bytes = settings->memory_bytes,
        .seed = engine->seed,
        .catalog = plan->catalog,
        .partitions = fb_shared_partitions(settings)};
    if (engine->region != NULL) {
        int result = fb_region_home_cache(engine->region, &options, &engine->cache, error);
        plan->catalog = options.catalog;
        return result;
    }
    int result = fb_cache_new(&options, &engine->cache);  // takes the catalogue over
    if (result < 0) {
        return fb_error_set(error, result, "cannot make a cache of %llu bytes: %s",
                            (unsigned long long)settings->memory_bytes, fb_result_text(result));
    }
    plan->catalog = NULL;
    return FB_OK;
}

static int open_cache(fb_engine *engine, const fb_settings *settings, fb_error *error) {
    fb_plan plan;
    int result = fb_region_home_open(settings, &engine->region, error);
    if (result < 0) {
        return result;
    }
    fb_plan_basis basis = {.workers = engine->workers,
                           .found = fb_region_home_classes(engine->region)};
    result = fb_plan_make(settings, &basis, &plan, error);
    if (result < 0) {
        return result;
    }
    result = make_cache(engine, settings, &plan, error);
    fb_plan_merge(&engine->opened, &plan);
    fb_plan_release(&plan);
    return result;
}

// A lane's own part of opening, on its thread, while this one waits.
typedef struct beginning {
    fb_post post;
    fb_lane *lane;
    fb_sleeper *opener;
    int result;
} beginning;

static void begin_lane(fb_post *post) {
    beginning *one = FB_LIST_OF(post, beginning, post);
    one->result = fb_shared_begin(one->lane);
    fb_sleeper_wake(one->opener);
}

static int begin_shared(fb_engine *engine) {
    int result = FB_OK;
    for (uint32_t i = 0; i < engine->lane_count && engine->shared != NULL && result == FB_OK; i++) {
        fb_sleeper opener;
        beginning one = {.post.fn = begin_lane, .lane = &engine->lanes[i], .opener = &opener};
        fb_sleeper_begin(&opener, 1);
        fb_loop_submit(one.lane->loop, &one.post);
        fb_sleeper_wait(&opener);
        result = one.result;
    }
    return result;
}

static int open_parts(fb_engine *engine, const fb_config *config, fb_error *error) {
    int result = fb_config_copy(config, &engine->config);
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    const fb_settings *settings = fb_config_settings(engine->config);
    engine->slow_ns = settings->slow_ns;
    uint32_t workers = count_workers(settings);
    result = fb_workers_new(workers, &engine->workers);
    if (result == FB_OK) {
        result = fb_supply_new("", workers, CALLBACK_QUEUE_MAX, &engine->callbacks);
    }
    if (result < 0) {
        return fb_error_set(error, result, "cannot start %u worker threads: %s", workers,
                            fb_result_text(result));
    }
    result = open_cache(engine, settings, error);
    if (result < 0) {
        return result;
    }
    result = fb_shared_open(engine, settings, error);
    if (result < 0) {
        return result;
    }
    result = open_lanes(engine, settings);
    if (result == FB_OK) {
        result = fb_limits_open(engine, settings, error);
        if (result < 0) {
            return result;
        }
    }
    if (result == FB_OK) {
        result = fb_leases_new(engine->cache, engine->seed, &engine->leases);
    }
    if (result == FB_OK) {
        result = fb_queues_open(engine, config, error);
        if (result < 0) {
            return result;
        }
        result = fb_mailer_open(engine, settings, error);
        if (result < 0) {
            return result;
        }
        fb_queues_builtin(engine->queues, FB_QUEUE_WORKER_MAIL, fb_mailer_work, engine->mailer);
    }
    if (result == FB_OK) {
        result = begin_shared(engine);
    }
    if (result == FB_OK) {
        result = fb_queues_begin(engine, error);
        if (result < 0) {
            return result;
        }
    }
    if (result == FB_OK) {
        fb_cache_stats_tick(engine->cache, fb_clock_now_ns());  // windows begin here
        result = fb_loop_post(engine, 0, begin_upkeep, &engine->lanes[0]);
    }
    return result < 0 ? fb_error_set(error, result, "cannot start the event loops: %s",
                                     fb_result_text(result))
                      : FB_OK;
}

static void init_locks(fb_engine *engine) {
    pthread_mutex_init(&engine->config_lock, NULL);
    pthread_mutex_init(&engine->idle_lock, NULL);
    pthread_mutex_init(&engine->versions_lock, NULL);
    pthread_mutex_init(&engine->backlog.lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->idle, &attributes);
    pthread_condattr_destroy(&attributes);
}

static fb_engine *new_engine(void) {
    fb_engine *engine = fb_mem_zero(1, sizeof *engine);
    if (engine == NULL) {
        return NULL;
    }
    engine->process = fb_engine_process();
    init_locks(engine);
    fb_list_init(&engine->backlog.batches);
    engine->start_ns = fb_clock_now_ns();
    if (getrandom(&engine->seed, sizeof engine->seed, 0) != (ssize_t)sizeof engine->seed) {
        engine->seed = (uint64_t)engine->start_ns;
    }
    return engine;
}

int fb_open(const fb_config *config, fb_engine **out, fb_error *error) {
    *out = NULL;
    int result = fb_config_check(config, error);
    if (result < 0) {
        return result;
    }
    fb_engine *engine = new_engine();
    if (engine == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    result = open_parts(engine, config, error);
    if (result < 0) {
        fb_close(engine, 0);
        return result;
    }
    fb_warm_at_start(engine);
    *out = engine;
    return FB_OK;
}

int fb_check(const fb_config *config, fb_error *error) {
    int result = fb_config_check(config, error);
    if (result == FB_OK) {
        result = fb_shared_check(fb_config_settings(config), error);
    }
    if (result == FB_OK) {
        result = fb_limits_fit(fb_config_settings(config), error);
    }
    if (result == FB_OK) {
        result = fb_queues_fit(fb_config_settings(config), error);
    }
    if (result == FB_OK) {
        result = fb_mailer_check(fb_config_settings(config), error);
    }
    if (result < 0) {
        return result;
    }
    fb_plan plan;
    fb_plan_basis nothing = {0};
    result = fb_plan_make(fb_config_settings(config), &nothing, &plan, error);
    if (result == FB_OK) {
        fb_plan_release(&plan);
    }
    return result;
}

// ---- loops for others

uint32_t fb_loop_count(const fb_engine *engine) {
    fb_engine_ours(engine);
    return engine->lane_count;
}

struct event_base *fb_loop_base(const fb_engine *engine, uint32_t index) {
    fb_engine_ours(engine);
    FB_ASSERT(index < engine->lane_count);
    return fb_loop_event_base(engine->lanes[index].loop);
}

typedef struct errand {
    fb_post post;
    void (*fn)(void *arg);
    void *arg;
} errand;

static void run_errand(fb_post *post) {
    errand one = *FB_LIST_OF(post, errand, post);
    fb_mem_free(FB_LIST_OF(post, errand, post));
    one.fn(one.arg);
}

int fb_loop_post(fb_engine *engine, uint32_t index, void (*fn)(void *arg), void *arg) {
    fb_engine_ours(engine);
    FB_ASSERT(index < engine->lane_count);
    errand *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    *one = (errand){.post.fn = run_errand, .fn = fn, .arg = arg};
    fb_loop_submit(engine->lanes[index].loop, &one->post);
    return FB_OK;
}

int fb_loop_current(const fb_engine *engine) {
    fb_engine_ours(engine);
    const fb_lane *here = fb_engine_here(engine);
    return here != NULL ? (int)here->index : -1;
}
