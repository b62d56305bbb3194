// From a LOAD action to its source and back.
//
// A job stands for one LOAD: it passes the gate of its source (the bulkhead: so many at once, so
// many waiting, callers before refreshes before warming), runs, and comes back to its lane as a
// post. A job that the gate refuses, or pushes out for a more important one, comes back the same
// way with FB_EOVERLOAD. So the flights hear of every load exactly once, always from their own
// loop.
//
// What runs and what waits is counted under the lock of its gate, so that the sums are right at any
// moment.

#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

typedef struct job {
    fb_source_job job;  // first: what the source sees
    fb_bulkhead_node gate;
    fb_post post;  // back to the lane
    fb_task task;  // of a caller's loader
    fb_lane *lane;
    fb_supply *supply;
    uint64_t load;     // the flights' name for it
    int64_t start_ns;  // when it passed the gate; 0: it has not
    fb_loaded loaded[];
} job;

static void come_back(fb_post *post) {
    job *one = FB_LIST_OF(post, job, post);
    fb_lane *lane = one->lane;
    fb_engine *engine = lane->engine;
    bool warming = one->gate.priority == FB_PRIORITY_WARM;
    fb_flights_loaded(lane->flights, one->load, one->loaded, one->job.item_count,
                      fb_clock_now_ns());
    for (size_t i = 0; i < one->job.item_count; i++) {
        fb_loaded_release(&one->loaded[i]);
    }
    fb_mem_free(one);
    fb_lane_drain(lane);
    if (warming) {
        fb_warm_feed(engine);
    }
    fb_engine_idle(engine);
}

static void send_back(job *one) {
    for (size_t i = 0; i < one->job.item_count; i++) {
        if (one->loaded[i].result < 0) {
            fb_load_log_failed(one->lane->engine, one->job.class_, one->job.items[i].bound.key,
                               &one->loaded[i]);
        }
    }
    one->post.fn = come_back;
    fb_loop_submit(one->lane->loop, &one->post);
}

static void say(fb_loaded *loaded, int result, const char *text) {
    loaded->result = result;
    fb_loaded_error(loaded, fb_str_of(text));
}

static void fail(job *one, int result, const char *text) {
    for (size_t i = 0; i < one->job.item_count; i++) {
        say(&one->loaded[i], result, text);
    }
    send_back(one);
}

static void start(job *one);

// A job that ran is done; any thread. Whoever waits at the gate goes next.
static void leave_gate(job *one) {
    fb_supply *supply = one->supply;
    fb_engine *engine = one->lane->engine;
    pthread_mutex_lock(&supply->lock);
    fb_bulkhead_node *next = fb_bulkhead_leave(&supply->bulkhead);
    if (next != NULL) {
        atomic_fetch_sub(&engine->jobs_waiting, 1);
    } else {
        atomic_fetch_sub(&engine->jobs_running, 1);
    }
    pthread_mutex_unlock(&supply->lock);
    // The next one makes the engine busy itself: it is there until it has been started.
    send_back(one);
    if (next != NULL) {
        start(FB_LIST_OF(next, job, gate));
    }
}

static void done(fb_source_job *base) {
    job *one = FB_LIST_OF(base, job, job);
    fb_load_log_slow(one->lane->engine, &one->job, fb_clock_now_ns() - one->start_ns);
    leave_gate(one);
}

static void load_item(fb_source_job *base, size_t index) {
    const fb_load_item *item = &base->items[index];
    fb_loaded *loaded = &base->loaded[index];
    fb_load load = {
        .class_name = base->class_->name,
        .key = item->bound.key,
        .params = item->bound.params,
        .param_count = item->bound.param_count,
        .deadline_ns = base->deadline_ns,
    };
    int64_t begin_ns = fb_clock_now_ns();
    loaded->result = item->loader.fn(item->loader.arg, &load, loaded);
    loaded->took_ns = fb_clock_now_ns() - begin_ns;
}

// A caller's loader is not begun where nobody waits for it any more: it waited for its turn too
// long, or a close does not wait for it.
static void run_loader(fb_task *task, uint32_t worker) {
    (void)worker;
    job *one = FB_LIST_OF(task, job, task);
    bool stopping = atomic_load(&one->lane->engine->stopping);
    for (size_t i = 0; i < one->job.item_count; i++) {
        if (stopping) {
            say(&one->loaded[i], FB_ECLOSED, "shutting down");
        } else if (fb_source_job_is_late(&one->job, fb_clock_now_ns())) {
            say(&one->loaded[i], FB_ETIMEDOUT, "its time was over before the loader's turn came");
        } else {
            load_item(&one->job, i);
        }
    }
    one->job.done(&one->job);
}

static void start(job *one) {
    one->start_ns = fb_clock_now_ns();
    if (one->supply->source != NULL) {
        fb_source_start(one->supply->source, &one->job);
    } else {
        one->task.run = run_loader;
        fb_workers_submit(one->lane->engine->workers, &one->task);
    }
}

static void enter_gate(job *one, fb_priority priority) {
    fb_supply *supply = one->supply;
    fb_engine *engine = one->lane->engine;
    fb_bulkhead_node *displaced = NULL;
    pthread_mutex_lock(&supply->lock);
    int result = fb_bulkhead_enter(&supply->bulkhead, &one->gate, priority, &displaced);
    if (result == FB_OK) {
        atomic_fetch_add(&engine->jobs_running, 1);
    } else if (result == FB_PENDING && displaced == NULL) {
        atomic_fetch_add(&engine->jobs_waiting, 1);
    }
    pthread_mutex_unlock(&supply->lock);
    if (result == FB_OK) {
        start(one);
    } else if (result == FB_EOVERLOAD) {
        fail(one, FB_EOVERLOAD, "too many loads wait for this source already");
    }
    if (displaced != NULL) {
        fail(FB_LIST_OF(displaced, job, gate), FB_EOVERLOAD, "pushed out by more important loads");
    }
}

// Without memory, without a source, or at the end: the load fails here and now.
static void refuse(fb_lane *lane, const fb_action *action, int result, const char *text) {
    fb_flights_failed(lane->flights, action->load, result, text, fb_clock_now_ns());
}

void fb_dispatch(fb_lane *lane, const fb_action *action) {
    fb_engine *engine = lane->engine;
    bool own_loader = action->items[0].loader.fn != NULL;
    fb_supply *supply = own_loader ? engine->callbacks : action->class_->source;
    if (atomic_load(&engine->stopping)) {
        refuse(lane, action, FB_ECLOSED, "shutting down");
        return;
    }
    if (supply == NULL) {
        refuse(lane, action, FB_ENOSOURCE,
               "the class has no source and the request brought no loader");
        return;
    }
    job *one = fb_mem_zero(1, sizeof *one + action->item_count * sizeof one->loaded[0]);
    if (one == NULL) {
        refuse(lane, action, FB_ENOMEM, "out of memory");
        return;
    }
    one->job = (fb_source_job){.class_ = action->class_,
                        .items = action->items,
                        .loaded = one->loaded,
                        .item_count = action->item_count,
                        .begin_by_ns = action->begin_by_ns,
                        .deadline_ns = action->deadline_ns,
                        .done = done};
    for (size_t i = 0; i < action->item_count; i++) {
        fb_loaded_init(&one->loaded[i]);
    }
    one->lane = lane;
    one->supply = supply;
    one->load = action->load;
    fb_list_init(&one->gate.list);
    fb_engine_busy(engine);
    enter_gate(one, action->priority);
}
