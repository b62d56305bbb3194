// Figures: the cache's own, and what only the engine knows beside them.

#include "engine/engine.h"

#include "base/mem.h"
#include "engine/limits.h"
#include "engine/mail.h"
#include "engine/queues.h"
#include "os/clock.h"

int fb_stats_read_over(fb_engine *engine, fb_window window, fb_stats *stats) {
    fb_engine_ours(engine);
    int64_t now_ns = fb_clock_now_ns();
    *stats = (fb_stats){0};
    int result = fb_cache_stats_over(engine->cache, window, now_ns, stats);
    if (result < 0) {
        *stats = (fb_stats){0};
        return result;
    }
    fb_shared_info_read(engine, &stats->shared);
    stats->uptime_ms = (now_ns - engine->start_ns) / 1000000;
    stats->loads_running = atomic_load(&engine->jobs_running);
    stats->loads_waiting = atomic_load(&engine->jobs_waiting);
    stats->loops = engine->lane_count;
    stats->workers = fb_workers_count(engine->workers);
    return FB_OK;
}

int fb_stats_read(fb_engine *engine, fb_stats *stats) {
    fb_engine_ours(engine);
    return fb_stats_read_over(engine, FB_WINDOW_START, stats);
}

void fb_region_info_read(fb_engine *engine, fb_region_info *info) {
    fb_engine_ours(engine);
    fb_store_stats store;
    fb_store_stats_read(fb_cache_store(engine->cache), &store);
    bool shared = engine->region != NULL;
    *info = (fb_region_info){
        .file = shared ? fb_region_home_path(engine->region) : NULL,
        .hints = shared ? fb_region_home_hints_path(engine->region) : NULL,
        .generation = fb_cache_generation(engine->cache),
        .limit_bytes = store.limit_bytes,
    };
}

void fb_stats_release(fb_stats *stats) {
    fb_mem_free(stats->classes);
    *stats = (fb_stats){0};
}

void fb_stats_reset(fb_engine *engine) {
    fb_engine_ours(engine);
    fb_cache_stats_reset(engine->cache);
    fb_limits_reset_figures(engine->limits);
    fb_queues_reset_figures(engine->queues);
    fb_mailer_reset_figures(engine->mailer);
}
