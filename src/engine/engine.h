// engine/engine.h -- the threads behind include/forebay: lanes, calls, and what they share.
//
//   caller's thread     look up; answered there, or ─┐ post
//   lane (event loop)   flights of its share of keys ┴→ LOAD → dispatch → source or worker ─┐ post
//                       ANSWER → the caller's lane, or wake the blocked caller  ←───────────┘
//
// A lane is one event loop and the flights of the keys that hash to it; only its thread touches
// them (at the end, the thread that closes).
//
//   engine.c    open, check; loops for others      keys.c      plain keys, invalidation
//   close.c     the way down                       fetch.c     fb_fetch and its kin
//   reload.c    another configuration              call.c      one question on its way
//   plan.c      what a configuration means         lane.c      a loop and its flights
//   warm.c      loads that nobody waits for        dispatch.c  LOAD → source → back
//   stats.c     figures                            load_log.c  what is logged of loads
//   region.c    the cache in a file for others
//   scratch.c   what a thread keeps                registry.c  objects made once, on their own

#ifndef FB_ENGINE_ENGINE_H
#define FB_ENGINE_ENGINE_H

#include <forebay/forebay.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/rng.h"
#include "cache/flight.h"
#include "engine/plan.h"
#include "engine/region.h"
#include "os/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

struct event;

typedef struct fb_lane {
    fb_engine *engine;
    uint32_t index;
    fb_loop *loop;
    fb_flights *flights;
    struct event *timer;   // at fb_flights_due()
    struct event *upkeep;  // lane 0: sweeping, warming, telling of failures
    int64_t timer_due_ns;  // INT64_MAX: not set
    bool draining;         // fb_lane_drain() is on this thread's stack
    fb_list calls;         // asked, not answered
    uint32_t upkeep_turn;
} fb_lane;

// For each class: 0 in quiet times; else 1 and what has not been told yet.
typedef struct fb_load_log {
    _Atomic(uint32_t) failed[FB_CLASS_MAX], slow[FB_CLASS_MAX];
} fb_load_log;

// Parameters that wait for their turn to be loaded.
typedef struct fb_backlog {
    pthread_mutex_t lock;
    fb_list batches;
    bool feeding;               // one thread at a time
    _Atomic(uint32_t) transit;  // loads that are on their way to the gate of their source
} fb_backlog;

struct fb_engine {
    fb_config *config;  // as in force
    pthread_mutex_t config_lock;
    fb_cache *cache;
    fb_region_home *region;  // where the cache lies for others to read; NULL: private memory
    fb_workers *workers;
    fb_supply *callbacks;  // the gate in front of callers' own loaders
    fb_plan opened;        // all sources and queries, also those of earlier configurations
    fb_lane *lanes;
    uint32_t lane_count;
    uint64_t seed;
    int64_t start_ns;
    _Atomic(int64_t) slow_ns;
    fb_backlog backlog;
    fb_load_log log;
    _Atomic(uint64_t) jobs_running, jobs_waiting;
    // What a close waits for: calls not answered and jobs not ended.
    pthread_mutex_t idle_lock;
    pthread_cond_t idle;
    uint64_t busy;
    _Atomic(bool) closing;   // nothing new is taken in; set under idle_lock
    _Atomic(bool) stopping;  // nothing more is loaded either
};

// One more thing that a close waits for. enter() is for what begins with a caller, and refuses once
// the engine closes; busy() for what comes of something that has entered.
FB_CHECK_RESULT bool fb_engine_enter(fb_engine *engine);
void fb_engine_busy(fb_engine *engine);
void fb_engine_idle(fb_engine *engine);
fb_lane *fb_engine_lane_of(fb_engine *engine, fb_str key);
// The lane whose thread this is, or NULL.
fb_lane *fb_engine_here(const fb_engine *engine);
// For ms of a caller's, >= 0; INT64_MAX where it does not fit.
int64_t fb_engine_ns_of(int64_t ms);

// ---- calls (call.c): one question on its way

typedef struct fb_call fb_call;
struct fb_call {
    fb_post post;  // to the owning lane, then back to the origin
    fb_list list;  // in lane->calls
    fb_engine *engine;
    fb_lane *owner;
    fb_lane *origin;  // where to answer; NULL: on the owner's thread
    fb_ask ask;
    fb_bound bound;                   // ask.bound
    void (*answered)(fb_call *call);  // takes the call over; NULL: nobody waits
    // the answer
    int result;
    fb_value value;  // with FB_OK; owned
    char error[256];
    // of the public call behind it
    fb_fetch_fn done;
    void *done_arg;
    struct fb_waiting *waiting;
};

// A call with the class, key and parameters of `bound` copied. FB_ENOMEM, FB_ECLOSED.
FB_CHECK_RESULT int fb_call_new(fb_engine *engine, const fb_class *class_, const fb_bound *bound,
                                fb_call **call);
void fb_call_free(fb_call *call);
// Hands it to the owning lane (or asks at once, where this is its thread). The call is taken over.
void fb_call_send(fb_call *call);
// Loads in the background with nobody waiting; `loader` (NULL: the class's source) is taken over
// with FB_OK. FB_ENOMEM, FB_ECLOSED.
FB_CHECK_RESULT int fb_call_background(fb_engine *engine, const fb_class *class_,
                                       const fb_bound *bound, fb_priority priority,
                                       const fb_loader *loader);

// ---- values (keys.c)

// An fb_value_fn that copies: `arg` is a zeroed fb_value, to be released whatever comes of the
// read. Without memory its owner is NULL.
void fb_value_keep(void *arg, const fb_value *value);

// ---- lanes (lane.c)

FB_CHECK_RESULT int fb_lane_init(fb_lane *lane, fb_engine *engine, uint32_t index);
void fb_lane_release(fb_lane *lane);
// On the lane's thread: asks the machine, then does what it says.
void fb_lane_ask(fb_lane *lane, fb_call *call);
// Does all that the machine wants done, and sets the timer.
void fb_lane_drain(fb_lane *lane);
// After the loops ended: answers what is left with FB_ECLOSED. Whether there was any.
bool fb_lane_abandon(fb_lane *lane);

// ---- dispatch (dispatch.c): LOAD actions → sources

void fb_dispatch(fb_lane *lane, const fb_action *action);

// ---- what is logged of loads (load_log.c)

void fb_load_log_failed(fb_engine *engine, const fb_class *class_, fb_str key,
                        const fb_loaded *loaded);
void fb_load_log_slow(fb_engine *engine, const fb_job *job, int64_t took_ns);
// Once a second: how many more there were.
void fb_load_log_tell(fb_engine *engine);

// ---- warming (warm.c)

// A sample of the reads: remembers the parameters of what is read most.
void fb_warm_note(fb_engine *engine, const fb_class *class_, const fb_bound *bound);
void fb_warm_at_start(fb_engine *engine);
// Loads as much of what waits for it as its source has room for: whenever such a load is done, and
// ten times a second.
void fb_warm_feed(fb_engine *engine);
// Once a second: looks at what is read most.
void fb_warm_look(fb_engine *engine);
void fb_warm_release(fb_engine *engine);

// ---- per-thread scratch (scratch.c)

enum { FB_SCRATCH_SAMPLES = 64, FB_SCRATCH_COPY_MAX = 1024 * 1024 };

typedef struct fb_scratch {
    fb_buf bind;    // of fb_class_bind()
    fb_buf copy;    // bytes of a hit; empty while they are lent
    fb_buf packed;  // parameters of a read that is one of the sample
    fb_rng rng;
    uint8_t reads[FB_SCRATCH_SAMPLES];  // by class: count up to the next one that is timed
} fb_scratch;
// The calling thread's; NULL: no memory.
fb_scratch *fb_scratch_get(void);
// Whether this read is one of the sample that is timed: a thread's first of a class, then one in
// sixteen. (Classes that share a counter share the sample.)
static inline bool fb_scratch_sample(fb_scratch *scratch, uint16_t class_id) {
    return scratch->reads[class_id % FB_SCRATCH_SAMPLES]++ % 16 == 0;
}

#ifdef __cplusplus
}
#endif

#endif
