// engine/queues_inside.h -- what the files of the queues share.
//
// A queue (fb_queue) is there from the first configuration that names it until the engine closes;
// what a configuration says of it are its terms. Each configuration makes a catalogue of terms, and
// earlier ones stay until the close, since whoever is on his way points into them.
//
// A trip is one request on its way to the store and back. It belongs to who asked, until he has
// been answered, and to the store, until that has replied: whichever comes last frees it. He is
// answered once: with the reply, or when the time is over, or when the engine ends.

#ifndef FB_ENGINE_QUEUES_INSIDE_H
#define FB_ENGINE_QUEUES_INSIDE_H

#include "base/arena.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "engine/queues.h"
#include "journal/journal.h"
#include "limit/top.h"
#include "os/workers.h"
#include "stats/histogram.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_queue fb_queue;
typedef struct fb_queue_trip fb_queue_trip;
typedef struct fb_queue_crew fb_queue_crew;  // the built-in worker of a queue (queues_crew.c)
typedef struct fb_schedules fb_schedules;    // schedules.c

typedef struct fb_queue_terms {
    fb_queue *queue;
    const fb_queue_options *options;
    fb_queue_policy policy;
} fb_queue_terms;

struct fb_queue_catalog {
    fb_config *config;      // a copy of its own
    fb_queue_terms *terms;  // of those that are not switched off, in the order of the configuration
    size_t count;
    fb_map by_name;
    fb_schedules *schedules;
    fb_queue_catalog *before;
};

enum {
#define FB_QUEUE_COUNTER_ENUM(field, help) FB_QUEUE_COUNT_##field,
    FB_QUEUE_COUNTERS(FB_QUEUE_COUNTER_ENUM)
#undef FB_QUEUE_COUNTER_ENUM
    FB_QUEUE_COUNTER_COUNT
};

struct fb_queue {
    char name[FB_QUEUE_NAME_MAX + 1];
    fb_queues *queues;
    fb_queue *next;
    // Who waits (queues_wait.c): of lane 0, but `events`, `waiting` and `woken`.
    fb_list stands;             // of those who wait for jobs, in the order they came
    fb_list active;             // in queues->active while there are any
    bool asking;                // a RESERVE is on its way
    bool forced;                // ask, whatever is known
    uint64_t sent;              // requests so far
    uint64_t seen;              // `events` when the last one was sent
    int64_t wake_ns;            // when to ask again
    _Atomic(uint64_t) events;   // times that there may be something new
    _Atomic(uint32_t) waiting;  // stands
    _Atomic(bool) woken;        // `wake` is on its way
    fb_post wake;
    // The built-in worker: of lane 0, but `idle_crew` and `crew_wanted`.
    fb_queue_crew *crew;
    _Atomic(bool) idle_crew;    // it is to begin with the first job,
    _Atomic(bool) crew_wanted;  // which has come
    // Figures.
    _Atomic(uint64_t) counters[FB_QUEUE_COUNTER_COUNT];
    fb_histogram *enqueue, *wait, *run;  // ns; µs of the store
    fb_limit_top *reasons;
    pthread_mutex_t look_lock;
    fb_queue_look look;
    int64_t look_ns;            // when it was; 0: never
    _Atomic(bool) looking;
};

typedef enum fb_journal_state {
    FB_JOURNAL_CLOSED,
    FB_JOURNAL_OPENING,
    FB_JOURNAL_OPEN
} fb_journal_state;

enum { FB_QUEUE_SHELVES = 16 };
typedef struct fb_queue_shelf {
    pthread_mutex_t lock;
    fb_list trips;              // sent and not replied, the oldest first
} fb_queue_shelf;

struct fb_queues {
    fb_engine *engine;
    bool shared;                // the store is the shared tier
    const char *store_name;
    _Atomic(fb_queue_catalog *) catalog;
    const fb_queue_store_options *store;  // as it was at the start, which it is opened by
    fb_queue *all;
    fb_queue_policy lost_policy;  // of queues that are no longer configured
    _Atomic(bool) stopped;      // no retries, no new waits
    pthread_mutex_t lock;       // what follows
    fb_rng rng;
    // The store (queues_store.c).
    fb_journal *journal;
    fb_journal_state state;
    fb_list pending;            // trips that wait for it to be open
    fb_task opening;
    int64_t failed_ns;          // when opening failed last; 0: it did not
    char failed[512];
    bool asked_for;             // by the configuration
    fb_queue_shelf shelves[FB_QUEUE_SHELVES];
    _Atomic(uint32_t) next_lane, next_shelf;
    // What people are told (queues_figures.c).
    pthread_mutex_t trouble_lock;
    char trouble[256];          // of the last reply; "": it was well
    char refusal[256];          // of the last ENQUEUE, by a store that may lose it
    _Atomic(int64_t) figures_ns;  // when they were asked for
    // Who waits (queues_wait.c), on lane 0.
    fb_list active, waits;
    fb_heap timers;
    struct event *timer;
    int64_t timer_ns;
    bool listening;
    // Built-in workers.
    struct {
        fb_work_fn work;
        void *arg;
    } builtins[FB_QUEUE_WORKER_WEBHOOK + 1];
    struct fb_webhook *webhook;
    fb_list crews;              // of lane 0; then of the thread that closes
    fb_list retired;
    uint32_t upkeep_turn;
    // Moving (queues_move.c).
    _Atomic(bool) moving;       // who sets it has what follows
    pthread_t mover;
    bool mover_runs;            // or is to be joined
    _Atomic(int64_t) shift_ms;  // tests move the clock of schedules
};

// ---- queues.c

// The queue as it is configured now, or NULL.
const fb_queue_terms *fb_queues_find(fb_queues *queues, fb_str name);
// As it was configured last, if it ever was: for what is under way.
const fb_queue_terms *fb_queues_find_ever(fb_queues *queues, fb_str name);
// As it is configured now, or FB_ENOQUEUE with the nearest name.
FB_CHECK_RESULT int fb_queues_need(fb_queues *queues, fb_str name, const fb_queue_terms **terms,
                                   fb_error *error);
int64_t fb_queues_timeout_ns(const fb_queues *queues);
// A random token with room for `count` more above it; below 2^53, not 0. And 0 … 1023.
uint64_t fb_queues_token(fb_queues *queues, uint32_t count);
uint32_t fb_queues_jitter(fb_queues *queues);
int64_t fb_queues_wall_ms(const fb_queues *queues);

// ---- trips (queues_trip.c)

struct fb_queue_trip {
    fb_post post;
    fb_list list;
    fb_queue_shelf *shelf;
    fb_queues *queues;
    fb_queue *queue;
    const fb_queue_terms *terms;
    fb_store_request request;   // what it points to lies in the arena
    fb_arena arena;
    uint32_t lane;              // whose connection; UINT32_MAX: none
    bool own;                   // also while the engine closes, and of queues that are gone
    bool quiet;                 // says nothing of the store's health: it asks the other one
    uint64_t number;            // of a RESERVE for those who wait
    uint64_t left;              // of a verb in several steps: items that it may still take
    uint64_t value;             // and what the steps before brought
    int64_t begin_ns, until_ns;
    _Atomic(bool) answered;
    bool doubt;                 // it may have been done, although it failed
    _Atomic(uint32_t) refs;
    // The answer.
    int result;
    char error[256];
    fb_store_reply reply;       // a copy, in the arena
    // Who asked: `done` is called on the lane of `origin`, or of lane 0 where that is NULL; or the
    // sleeper is woken, and takes the answer himself. Neither: nobody wants to know.
    fb_lane *origin;
    fb_sleeper *sleeper;
    void (*done)(fb_queue_trip *trip);
    union {
        fb_queue_fn fn;
        fb_queue_marked_fn marked;
    } told;
    void *arg;
};

// For a request of this verb. `own`: also while the engine closes. FB_ENOMEM, FB_ECLOSED.
FB_CHECK_RESULT int fb_queue_trip_new(fb_queues *queues, const fb_queue_terms *terms,
                                      fb_store_verb verb, bool own, fb_queue_trip **trip);
// Not sent.
void fb_queue_trip_drop(fb_queue_trip *trip);
// Takes it over: it will be answered, later. Any thread.
void fb_queue_trip_send(fb_queue_trip *trip);
// The same, waiting for the answer, on a thread that may: then it is the caller's again, to be let
// go.
void fb_queue_trip_wait(fb_queue_trip *trip);
// Keeps the reply's memory beyond `done`.
void fb_queue_trip_hold(fb_queue_trip *trip);
void fb_queue_trip_let_go(fb_queue_trip *trip);
// After fb_queue_trip_wait(): as if `done` had returned.
void fb_queue_trip_end(fb_queue_trip *trip);
// Answers it where nobody did yet; `text` NULL: what the result means.
void fb_queue_trip_answer(fb_queue_trip *trip, int result, const char *text);
// Jobs that nobody waits for any more go back. Any thread.
void fb_queue_hand_back(fb_queues *queues, const fb_queue_terms *terms, const fb_job *jobs,
                        size_t count);
// By an engine that ends: those on this lane's connection.
void fb_queue_trips_end(fb_queues *queues, uint32_t lane);
// Those whose time is over.
void fb_queue_trips_tick(fb_queues *queues, int64_t now_ns);

// ---- the store (queues_store.c)

// Sends it on its way: fb_queue_trip_reply() is called later, or the trip is answered.
void fb_queue_store_send(fb_queue_trip *trip);
// An fb_store_reply_fn; arg: the trip.
void fb_queue_trip_reply(void *arg, const fb_store_reply *reply);
// A port that was made for this: of a trip that is in no hurry, as those of a move.
void fb_queue_trip_transmit(fb_queue_trip *trip, fb_queue_port *port);
// Opens the journal, and waits for it. FB_EIO, FB_ENOMEM.
FB_CHECK_RESULT int fb_queue_store_open(fb_queues *queues, fb_error *error);
// Whether there is a journal's file.
bool fb_queue_store_found(const fb_queues *queues);
// Whether requests go to a store that is open, or to the shared tier.
bool fb_queue_store_is_open(fb_queues *queues);
void fb_queue_store_close(fb_queues *queues);
fb_journal_options fb_queue_journal_options(fb_queues *queues);

// ---- public calls (queues_call.c)

// The answer as the public call gives it; good as long as the trip.
void fb_queue_answer_of(const fb_queue_trip *trip, fb_queue_answer *answer);

// ---- who waits (queues_wait.c)

// The timer. FB_ENOMEM.
FB_CHECK_RESULT int fb_queue_waits_open(fb_queues *queues);
// A RESERVE that was checked; its queues are `terms`. FB_ENOMEM, FB_ECLOSED.
FB_CHECK_RESULT int fb_queue_wait_new(fb_queues *queues, const fb_queue_call *call,
                                      const fb_queue_terms *const *terms, bool own,
                                      fb_queue_wait **wait);
// Takes it over: `fn` will be called, later.
void fb_queue_wait_start(fb_queue_wait *wait, fb_queue_fn fn, void *arg);
// Until it is answered; then calls `fn` (NULL is fine) and frees it. Its result.
int fb_queue_wait_ask(fb_queue_wait *wait, fb_queue_fn fn, void *arg, fb_error *error);
// There is a job in it that may be new. Any thread.
void fb_queue_wake(fb_queue *queue);
// There may be something new in any of them. Any thread.
void fb_queues_wake_all(fb_queues *queues);
// On lane 0: whether anybody waits.
bool fb_queues_wait_any(const fb_queues *queues);
// On lane 0: everybody is told that it is over.
void fb_queue_waits_end(fb_queues *queues);

// ---- built-in workers (queues_crew.c), on lane 0

// Begins those that are wanted, changes or ends others: after each configuration.
void fb_queue_crews_review(fb_queues *queues);
void fb_queue_crew_begin(fb_queue *queue);
// After lane 0 has stopped beginning any: finishes, or hands back.
void fb_queue_crews_end(fb_queues *queues, int64_t drain_ms);

// ---- schedules (schedules.c)

FB_CHECK_RESULT int fb_schedules_new(const fb_settings *settings, fb_schedules **schedules,
                                     fb_error *error);
void fb_schedules_free(fb_schedules *schedules);
size_t fb_schedules_count(const fb_schedules *schedules);
// On lane 0: whether all that was due has been done. For tests.
bool fb_schedules_are_ahead(const fb_queues *queues, const fb_queue_catalog *catalog);
// On lane 0.
void fb_schedules_tick(fb_queues *queues, fb_queue_catalog *catalog);

// ---- moving (queues_move.c)

// Takes the trip over, which has no request.
FB_CHECK_RESULT int fb_queue_move_start(fb_queue_trip *trip, fb_error *error);
void fb_queue_move_join(fb_queues *queues);

// ---- figures (queues_figures.c)

FB_CHECK_RESULT int fb_queue_meters_new(fb_queue *queue);
void fb_queue_meters_free(fb_queue *queue);
void fb_queue_meters_reset(fb_queue *queue);
// A reply came, in time or not.
void fb_queue_note(const fb_queue_trip *trip, const fb_store_reply *reply);
// None did, or the store did not do it: how the trip was answered.
void fb_queue_note_failure(const fb_queue_trip *trip);
// Once a second.
void fb_queue_figures_tick(fb_queues *queues, int64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
