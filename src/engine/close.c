// The way down. Each step ends one way in which something new could still come up:
//
//   1. closing: nothing begins with a caller any more
//   2. who waits for a job is told that there will be none; built-in workers finish what they have, or
//      hand it back; what is under way gets its time. All of that within drain_ms
//   3. what the shared tier is owed gets what is left of that time
//   4. stopping: nothing more is loaded; sources interrupt what runs. Who waits for the shared tier
//      or for a load is told that it is over, again and again until no fiber waits: they can only run
//      on their loops. The loops end. Posts that come later wait on their stacks.
//   5. this thread takes the loops' place: it does what is posted, and tells who still waits that
//      it is over, again and again until nobody is left. A loader of a caller's own may take its
//      time, but nobody waits for it but this thread; and a caller that got in before step 1 may
//      only now come to post its call.
//   6. the workers end: there is nothing more for them to do
//   7. everything is freed
//
// The loops end before the workers: as long as a loop runs, it could hand over one more job.
// Half-open engines come this way too.

#include "engine/engine.h"

#include <time.h>

#include "base/mem.h"
#include "engine/limits.h"
#include "engine/mail.h"
#include "engine/queues.h"
#include "os/clock.h"

static void wait_until_idle(fb_engine *engine, int64_t wait_ns) {
    int64_t now_ns = fb_clock_now_ns();
    int64_t until_ns = wait_ns < INT64_MAX - now_ns ? now_ns + wait_ns : INT64_MAX;
    struct timespec until = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};
    pthread_mutex_lock(&engine->idle_lock);
    while (engine->busy > 0 &&
           pthread_cond_timedwait(&engine->idle, &engine->idle_lock, &until) == 0) {
    }
    pthread_mutex_unlock(&engine->idle_lock);
}

static bool is_busy(fb_engine *engine) {
    pthread_mutex_lock(&engine->idle_lock);
    bool busy = engine->busy > 0;
    pthread_mutex_unlock(&engine->idle_lock);
    return busy;
}

static void refuse_new(fb_engine *engine) {
    pthread_mutex_lock(&engine->idle_lock);
    atomic_store(&engine->closing, true);
    pthread_mutex_unlock(&engine->idle_lock);
}

static void cancel_loads(fb_engine *engine) {
    atomic_store(&engine->stopping, true);
    for (fb_supply *supply = engine->opened.supplies; supply != NULL; supply = supply->next) {
        if (supply->source != NULL) {
            supply->source->type->cancel(supply->source);
        }
    }
}

// ---- fibers

// On the lane's thread.
static void end_lane(fb_post *post) {
    fb_lane *lane = FB_LIST_OF(post, fb_lane, errand);
    fb_sleeper *closer = lane->closer;
    fb_shared_end(lane);
    fb_limits_end(lane);
    fb_queues_end(lane->engine->queues, lane->index);
    (void)fb_lane_abandon(lane);
    lane->ended = true;
    fb_sleeper_wake(closer);
}

static bool any_fiber(const fb_engine *engine) {
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        if (engine->lanes[i].fibers != NULL && fb_fiber_waiting(engine->lanes[i].fibers) > 0) {
            return true;
        }
    }
    return false;
}

static void end_lanes(fb_engine *engine) {
    fb_sleeper closer;
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        fb_lane *lane = &engine->lanes[i];
        if (lane->loop != NULL) {
            fb_sleeper_begin(&closer, 1);
            lane->errand.fn = end_lane;
            lane->closer = &closer;
            fb_loop_submit(lane->loop, &lane->errand);
            fb_sleeper_wait(&closer);
        }
    }
}

static void end_waiting(fb_engine *engine) {
    static const struct timespec moment = {0, 1000000};
    end_lanes(engine);
    while (any_fiber(engine)) {
        (void)nanosleep(&moment, NULL);  // they wait for each other, or for another engine
        end_lanes(engine);
    }
}

static void stop_loops(fb_engine *engine) {
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        if (engine->lanes[i].loop != NULL) {
            fb_loop_stop(engine->lanes[i].loop);
        }
    }
}

static bool run_left(fb_engine *engine) {
    bool any = false;
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        any = (engine->lanes[i].loop != NULL && fb_loop_run_left(engine->lanes[i].loop)) || any;
    }
    return any;
}

static bool abandon(fb_engine *engine) {
    bool any = false;
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        any = fb_lane_abandon(&engine->lanes[i]) || any;
    }
    return any;
}

static void finish(fb_engine *engine) {
    static const int64_t MOMENT_NS = 1000000;
    bool any;
    do {
        any = run_left(engine);
        any = abandon(engine) || any;
        if (!any && is_busy(engine)) {
            wait_until_idle(engine, MOMENT_NS);
            any = true;
        }
    } while (any);
}

static void release(fb_engine *engine) {
    fb_queues_close(engine->queues);
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        fb_lane_release(&engine->lanes[i]);
    }
    fb_warm_release(engine);
    fb_leases_free(engine->leases);
    fb_limits_free(engine->limits);
    fb_queues_free(engine->queues);
    fb_mailer_free(engine->mailer);
    fb_shared_free(engine->shared);
    fb_region_home_close(engine->region, engine->cache);
    fb_cache_free(engine->cache);
    fb_plan_release(&engine->opened);
    fb_supply_free(engine->callbacks);
    fb_config_free(engine->config);
    pthread_cond_destroy(&engine->idle);
    pthread_mutex_destroy(&engine->idle_lock);
    pthread_mutex_destroy(&engine->versions_lock);
    pthread_mutex_destroy(&engine->backlog.lock);
    pthread_mutex_destroy(&engine->config_lock);
    fb_mem_free(engine->lanes);
    fb_mem_free(engine);
}

void fb_close(fb_engine *engine, int64_t drain_ms) {
    if (engine == NULL || !fb_engine_is_ours(engine)) {
        return;
    }
    refuse_new(engine);
    int64_t begin_ns = fb_clock_now_ns();
    int64_t drain_ns = fb_engine_ns_of(drain_ms);
    int64_t until_ns = drain_ns < INT64_MAX - begin_ns ? begin_ns + drain_ns : INT64_MAX;
    fb_queues_stop(engine->queues, drain_ms);
    int64_t left_ns = until_ns - fb_clock_now_ns();
    wait_until_idle(engine, left_ns > 0 ? left_ns : 0);
    fb_shared_last_chance(engine, until_ns);
    cancel_loads(engine);
    end_waiting(engine);
    stop_loops(engine);
    finish(engine);
    fb_workers_free(engine->workers);
    release(engine);
}
