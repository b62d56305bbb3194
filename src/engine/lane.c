// A lane: an event loop and its flights. Everything that reaches the flights comes through the
// loop's queue, and what the flights want done is done here, in drain(), one action at a time. An
// action may lead to another event of the same lane (an answered connection asks again): such an
// event only adds to the machine's actions, and the drain that is on the stack already goes on with
// them.

#include "engine/engine.h"

#include <event2/event.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/limits.h"
#include "engine/queues.h"
#include "os/clock.h"

enum { SWEEP_ITEMS = 2000, TURNS_A_SECOND = 10, FIBERS_MAX = 4096 };

static void set_timer(fb_lane *lane) {
    int64_t due_ns = fb_flights_due(lane->flights);
    int64_t shared_ns = fb_shared_due(lane);
    due_ns = shared_ns < due_ns ? shared_ns : due_ns;
    // One that is set for earlier stays: with a request in flight the next deadline moves on with
    // each answer, and a tick too many costs less than setting the clock each time.
    if (due_ns >= lane->timer_due_ns) {
        return;
    }
    lane->timer_due_ns = due_ns;
    int64_t wait_ns = due_ns - fb_clock_now_ns();
    int64_t wait_us = wait_ns > 0 ? wait_ns / 1000 + 1 : 0;
    struct timeval after = {wait_us / 1000000, wait_us % 1000000};
    if (event_add(lane->timer, &after) != 0) {
        lane->timer_due_ns = INT64_MAX;  // no memory: again after the next event
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_lane *lane = arg;
    lane->timer_due_ns = INT64_MAX;
    int64_t now_ns = fb_clock_now_ns();
    fb_flights_tick(lane->flights, now_ns);
    fb_shared_tick(lane, now_ns);
    fb_lane_drain(lane);
}

// A bounded share of the housekeeping, ten times a second.
static void on_upkeep(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_lane *lane = arg;
    fb_engine *engine = lane->engine;
    if (engine->region != NULL) {
        fb_region_home_upkeep(engine->region, engine->cache, fb_clock_now_ns());
    }
    (void)fb_store_sweep(fb_cache_store(engine->cache), fb_clock_now_ns(), SWEEP_ITEMS);
    fb_cache_stats_tick(engine->cache, fb_clock_now_ns());
    fb_warm_feed(engine);
    fb_shared_upkeep(engine);
    fb_limits_upkeep(engine->limits);
    fb_queues_upkeep(engine->queues);
    if (++lane->upkeep_turn % TURNS_A_SECOND == 0) {
        fb_warm_look(engine);
        fb_load_log_tell(engine);
    }
}

static void answer_at_origin(fb_post *post) {
    fb_call *call = FB_LIST_OF(post, fb_call, post);
    call->answered(call);
}

static void answer(fb_call *call) {
    fb_list_remove(&call->list);
    if (call->answered == NULL) {
        fb_value_release(&call->value);
        fb_call_free(call);
    } else if (call->origin == NULL || call->origin == call->owner) {
        call->answered(call);
    } else {
        call->post.fn = answer_at_origin;
        fb_loop_submit(call->origin->loop, &call->post);
    }
}

static void take_answer(const fb_action *action) {
    fb_call *call = (fb_call *)(uintptr_t)action->waiter;
    call->result = action->result;
    call->value = action->value;
    fb_str text = fb_str_of(action->result < 0 ? action->error : "");
    size_t len = text.len < sizeof call->error ? text.len : sizeof call->error - 1;
    memcpy(call->error, text.ptr != NULL ? text.ptr : "", len);
    call->error[len] = '\0';
    answer(call);
}

static bool do_flights(fb_lane *lane) {
    fb_action action;
    if (!fb_flights_next(lane->flights, &action)) {
        return false;
    }
    if (action.type == FB_ACTION_ANSWER) {
        take_answer(&action);
    } else if (action.type == FB_ACTION_LOAD) {
        fb_dispatch(lane, &action);
    } else {
        fb_shared_flight(lane, &action);
    }
    return true;
}

void fb_lane_drain(fb_lane *lane) {
    FB_ASSERT(fb_fiber_here() == NULL);  // see wait.c
    if (lane->draining) {
        return;
    }
    lane->draining = true;
    while (do_flights(lane) || fb_shared_step(lane)) {
    }
    lane->draining = false;
    set_timer(lane);
}

void fb_lane_ask(fb_lane *lane, fb_call *call) {
    bool waits = call->answered != NULL;
    call->ask.bound = &call->bound;
    call->ask.waiter = waits ? (uint64_t)(uintptr_t)call : 0;
    if (waits) {
        fb_list_insert(&lane->calls, &call->list);
    }
    int result = fb_flights_ask(lane->flights, &call->ask, fb_clock_now_ns());
    if (result < 0) {
        call->result = result;
        answer(call);
    }
    fb_lane_drain(lane);
    if (!waits && result == FB_OK) {
        fb_call_free(call);
    }
}

int fb_lane_init(fb_lane *lane, fb_engine *engine, uint32_t index) {
    lane->engine = engine;
    lane->index = index;
    lane->timer_due_ns = INT64_MAX;
    fb_list_init(&lane->calls);
    fb_list_init(&lane->wishes);
    fb_flights_options options = {.cache = engine->cache,
                                  .seed = engine->seed + index + 1,
                                  .remote = engine->shared != NULL};
    int result = fb_flights_new(&options, &lane->flights);
    if (result < 0) {
        return result;
    }
    result = fb_fiber_pool_new(FIBERS_MAX, &lane->fibers);
    if (result < 0) {
        return result;
    }
    result = fb_loop_new(index, &lane->loop);
    if (result < 0) {
        return result;
    }
    // Nothing has been posted yet, so the loop's thread does not touch its base beside its own
    // wake-up.
    struct event_base *base = fb_loop_event_base(lane->loop);
    lane->timer = evtimer_new(base, on_timer, lane);
    lane->upkeep = index == 0 ? event_new(base, -1, EV_PERSIST, on_upkeep, lane) : NULL;
    return lane->timer != NULL && (index != 0 || lane->upkeep != NULL) ? FB_OK : FB_ENOMEM;
}

bool fb_lane_abandon(fb_lane *lane) {
    bool any = !fb_list_empty(&lane->calls);
    while (!fb_list_empty(&lane->calls)) {
        fb_call *call = FB_LIST_OF(lane->calls.next, fb_call, list);
        fb_flights_leave(lane->flights, call->ask.waiter);
        call->result = FB_ECLOSED;
        answer(call);
    }
    return any;
}

void fb_lane_release(fb_lane *lane) {
    if (lane->loop != NULL) {
        fb_loop_stop(lane->loop);
    }
    fb_shared_release(lane);
    fb_fiber_pool_free(lane->fibers);
    lane->fibers = NULL;
    if (lane->timer != NULL) {
        event_free(lane->timer);
    }
    if (lane->upkeep != NULL) {
        event_free(lane->upkeep);
    }
    fb_loop_free(lane->loop);
    fb_flights_free(lane->flights);
}
