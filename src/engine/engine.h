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
//   shared.c    the shared tier on each lane       wish.c      what callers want of it
//   wait.c      callers that wait, fb_run          token.c     "not older than that change"
//   leases.c    leases of callers                  keys_shared.c  plain keys with a shared tier
//   limits*.c   limits (limits.h)           queues*.c, worker*.c, …  queues (queues.h)
//   fork.c      engines of a parent process

#ifndef FB_ENGINE_ENGINE_H
#define FB_ENGINE_ENGINE_H

#include <forebay/forebay.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/rng.h"
#include "cache/flight.h"
#include "engine/plan.h"
#include "engine/region.h"
#include "os/fiber.h"
#include "os/loop.h"
#include "redis/remote.h"
#include "sync/follow.h"
#include "sync/gate.h"

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
    fb_fiber_pool *fibers; // fb_run()
    bool ended;            // who runs on it must not wait any more
    fb_post errand;        // of the thread that closes,
    struct fb_sleeper *closer;  // who waits for it
    // With a shared tier:
    fb_gate *gate;
    fb_remote *remote;
    fb_list wishes;        // the gate has them, and has not answered
    bool heard;            // how its connection is
} fb_lane;

typedef struct fb_shared fb_shared;
typedef struct fb_leases fb_leases;
typedef struct fb_limits fb_limits;  // limits.h
struct fb_queues;                    // queues.h
struct fb_mailer;                    // mail.h

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
    fb_shared *shared;  // NULL: there is no shared tier
    _Atomic(uint32_t) transactions;  // that run (transaction.h)
    fb_leases *leases;  // of callers, where there is none
    fb_limits *limits;
    struct fb_queues *queues;
    struct fb_mailer *mailer;
    pthread_mutex_t versions_lock;  // around a local fb_set() with a source version
    uint64_t seed;
    uint32_t process;  // fb_engine_process() when it was opened
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

// ---- processes (fork.c)

extern uint32_t fb_engine_forks;
// A number that is another in a child than in its parent.
uint32_t fb_engine_process(void);
__attribute__((noreturn)) void fb_engine_of_parent(void);

static inline bool fb_engine_is_ours(const fb_engine *engine) {
    return engine->process == fb_engine_forks;
}
// What each public call begins with.
static inline void fb_engine_ours(const fb_engine *engine) {
    if (__builtin_expect(!fb_engine_is_ours(engine), 0)) {
        fb_engine_of_parent();
    }
}

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

// ---- waiting (wait.c)

// One caller who waits for `left` answers: a thread asleep, or a fiber while its loop goes on.
typedef struct fb_sleeper {
    _Atomic(uint32_t) left;
    fb_fiber *fiber;  // NULL: a thread
    fb_loop *loop;    // the fiber's
    fb_post post;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool awake;
} fb_sleeper;

// Whether the calling thread may wait for this engine: it is not one of its loops, or runs a fiber.
bool fb_engine_may_wait(const fb_engine *engine);
void fb_sleeper_begin(fb_sleeper *sleeper, uint32_t left);
// Returns when fb_sleeper_wake() was called `left` times, from any thread.
void fb_sleeper_wait(fb_sleeper *sleeper);
// The sleeper may be gone when the last of these returns.
void fb_sleeper_wake(fb_sleeper *sleeper);

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
    struct fb_waiting *waiting;  // in fb_fetch()
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

// ---- the shared tier on the lanes (shared.c)

// How many partitions the cache is to have; 0: no shared tier is configured.
uint32_t fb_shared_partitions(const fb_settings *settings);
// Whether what it needs of this machine, the files of TLS, is fit. What fb_redis_tls_new() says.
FB_CHECK_RESULT int fb_shared_check(const fb_settings *settings, fb_error *error);
// Between the cache and the lanes; nothing where none is configured.
FB_CHECK_RESULT int fb_shared_open(fb_engine *engine, const fb_settings *settings,
                                   fb_error *error);
void fb_shared_free(fb_shared *shared);  // after the lanes
// On the lane's thread, once its loop runs.
FB_CHECK_RESULT int fb_shared_begin(fb_lane *lane);
// On the lane's thread: who waits is told FB_ECLOSED, and nothing is sent any more.
void fb_shared_end(fb_lane *lane);
void fb_shared_release(fb_lane *lane);  // after the loop has ended
// A REMOTE_* action of the flights.
void fb_shared_flight(fb_lane *lane, const fb_action *action);
// Does one thing that the gate or the follower wants done; false: there is none.
bool fb_shared_step(fb_lane *lane);
int64_t fb_shared_due(const fb_lane *lane);
void fb_shared_tick(fb_lane *lane, int64_t now_ns);
// Ten times a second, on lane 0: what people are told.
void fb_shared_upkeep(fb_engine *engine);
// The classes changed. FB_ENOMEM: all is as before.
FB_CHECK_RESULT int fb_shared_reload(fb_engine *engine);
// Changes that are owed get a chance until then, unless it is away.
void fb_shared_last_chance(fb_engine *engine, int64_t until_ns);

// ---- wishes (wish.c): what a caller wants of the shared tier, waiting for it

typedef struct fb_wish {
    fb_want want;
    // the answer
    int result;
    fb_value value;  // with FB_OK of READ and LEASE; owned
    int64_t number;
    uint64_t token;
    fb_receipt receipt;
    fb_error *error;  // with result < 0, what was wrong; NULL: nobody wants to know
    // on its way
    fb_post post;
    fb_list list;  // in lane->wishes
    fb_lane *owner;
    fb_sleeper *sleeper;
} fb_wish;

// All of them at once, each by the lane that owns its key; returns when all are answered. Where the
// engine is closing, or the calling thread may not wait: FB_ECLOSED or FB_EINVAL for each.
void fb_wishes_wait(fb_engine *engine, fb_wish *wishes, size_t count);
// One: its result.
int fb_wish_wait(fb_engine *engine, fb_wish *wish);
// On the lane's thread: an ANSWER.
void fb_wish_answer(const fb_gate_action *action);

// ---- what a value is stored with (keys.c)

// Room for a media type beside the tags.
typedef struct fb_typed {
    fb_set_options options;
    fb_str tags[FB_TAGS_MAX];
    char type[1 + FB_CONTENT_TYPE_LEN_MAX];
} fb_typed;
// *options (which may be NULL) becomes what the cache takes: never NULL, and the media type one of the
// tags, in `with`. FB_EINVAL.
FB_CHECK_RESULT int fb_options_take(const fb_set_options **options, fb_typed *with);

// ---- plain keys with a shared tier (keys_shared.c): as in forebay/cache.h, but nothing is counted

// What is in the shared tier goes to `fn`.
FB_CHECK_RESULT int fb_shared_get(fb_engine *engine, fb_str key, fb_value_fn fn, void *arg);
// The shared tier's word alone, asked for now.
FB_CHECK_RESULT int fb_shared_get_new(fb_engine *engine, fb_str key, fb_value_fn fn, void *arg);
// keys[which[i]] for i < count, all at once, each with its args and results.
void fb_shared_get_many(fb_engine *engine, const fb_str *keys, const uint32_t *which, size_t count,
                        fb_value_fn fn, void *const *args, int *results);
// *ttl_ms (may be NULL): as of fb_value.
FB_CHECK_RESULT int fb_shared_peek(fb_engine *engine, fb_str key, int64_t *ttl_ms);
FB_CHECK_RESULT int fb_shared_set(fb_engine *engine, fb_str key, fb_str value,
                                  const fb_set_options *options);
FB_CHECK_RESULT int fb_shared_del(fb_engine *engine, fb_str key);
FB_CHECK_RESULT int fb_shared_edit(fb_engine *engine, fb_str key, fb_edit_fn fn, void *arg);
FB_CHECK_RESULT int fb_shared_add(fb_engine *engine, fb_str key, int64_t delta, int64_t *result);
FB_CHECK_RESULT int fb_shared_invalidate(fb_engine *engine, const fb_invalidation *what,
                                         const fb_invalidate_options *options, int64_t *removed,
                                         fb_receipt *receipt);

// ---- tokens of changes (token.c)

typedef enum fb_cover { FB_COVERED, FB_NOT_COVERED, FB_NOT_COVERED_WIDE } fb_cover;
// Whether this node has applied the change that `token` is from, as far as it concerns `key`.
// FB_EINVAL: it is no token.
FB_CHECK_RESULT int fb_token_cover(const fb_engine *engine, fb_str token, fb_str key,
                                   fb_cover *cover);

// ---- leases of callers on this node alone (leases.c)

FB_CHECK_RESULT int fb_leases_new(fb_cache *cache, uint64_t seed, fb_leases **leases);
void fb_leases_free(fb_leases *leases);

// ---- dispatch (dispatch.c): LOAD actions → sources

void fb_dispatch(fb_lane *lane, const fb_action *action);

// ---- what is logged of loads (load_log.c)

void fb_load_log_failed(fb_engine *engine, const fb_class *class_, fb_str key,
                        const fb_loaded *loaded);
void fb_load_log_slow(fb_engine *engine, const fb_source_job *job, int64_t took_ns);
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
