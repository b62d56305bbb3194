// cache/flight_state.h -- the inside of fb_flights, shared by the files that make it up; nobody
// else includes it.
//
//   flight.c    events: ask, leave, tick; who joins, who leads
//   landing.c   what a load brought: stored, answered, remembered as trouble
//   waiter.c    callers: answers, deadlines
//   batch.c     LOAD: one key, or several of a class that gather
//   lease.c     the shared tier: GET, FILL, INVALIDATE
//
// What an event must have is taken when a caller asks: each object holds its own place in the queue
// of actions, in the heap of timers, and its own load. (A timer that is not set stands in the heap
// at INT64_MAX, so that setting it cannot fail.) Where more is taken later, its lack has a price
// and no more: a batch that does not grow, a failure that is not remembered, one caller's
// FB_ENOMEM.

#ifndef FB_CACHE_FLIGHT_STATE_H
#define FB_CACHE_FLIGHT_STATE_H

#include "base/check.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/rule.h"
#include "base/units.h"
#include "cache/flight.h"
#include "cache/trouble.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_party_kind { FB_PARTY_WAITER, FB_PARTY_FLIGHT, FB_PARTY_CHANGE } fb_party_kind;

// What can have an action in the queue, a timer, and a name that the driver calls it by.
typedef struct fb_party {
    fb_party_kind kind;
    fb_action_type action;  // while it is in the queue
    fb_list out;
    fb_heap_node timer;
    uint64_t id;
} fb_party;

typedef struct fb_flight fb_flight;
typedef struct fb_flight_change fb_flight_change;

// A caller who waits for an answer, or whose answer waits to be fetched.
typedef struct fb_waiter {
    fb_party party;     // id: the driver's name for it
    fb_list list;       // of its flight
    fb_flight *flight;  // NULL: answered, or not there yet
    fb_flight_change *change;  // waits for an invalidation
    uint16_t class_id;
    uint64_t since;     // flights with higher numbers were begun after it asked
    uint64_t seq;
    int64_t begin_ns;
    int64_t soft_ns;  // when something stale is good enough; INT64_MAX: not, or no more
    int64_t hard_ns;  // when its time is over; INT64_MAX: never
    bool refresh;
    bool skips;      // memory: ask.skip_memory
    bool distrusts;  // ask.distrust_memory
    bool leads;    // the flight was begun for it
    bool late;     // the load had been given out before it asked
    bool is_read;  // an ask, and counted as one
    bool answered;
    int64_t ttl_ns;    // ask.ttl_ns
    fb_loader loader;  // in case it has to lead later
    int result;
    fb_value value;
    fb_blob *error;  // NUL-terminated; NULL: no detail
} fb_waiter;

typedef enum fb_stage {
    FB_STAGE_GETTING,    // the shared tier is being asked
    FB_STAGE_HELD,       // somebody else loads: until the next look there
    FB_STAGE_GATHERING,  // in a batch that is still open
    FB_STAGE_LOADING,    // given to the driver
    FB_STAGE_FILLING     // the outcome is there; the shared tier is being told
} fb_stage;

struct fb_flight {
    fb_party party;
    fb_list list;  // of all flights
    fb_stage stage;
    fb_load_item item;  // bound points behind the struct
    const fb_class *class_;
    fb_ticket *ticket;
    fb_list waiters;
    uint32_t waiter_count;
    fb_priority priority;
    bool live;               // in the map: can be joined
    bool alone;              // of a key that is not cacheable: never was
    bool abandoned;          // by the watchdog: stores nothing
    bool refresh;            // wants no value of the shared tier
    int64_t ttl_ns;          // ask.ttl_ns
    uint32_t cost_us;        // of its loads so far; 0: not known
    int64_t fresh_until_ns;  // of what is in memory; 0: nothing is
    int64_t begun_ns;
    int64_t step_ns;      // when the next look, or the batch, is due; INT64_MAX: nothing is
    int64_t watchdog_ns;  // INT64_MAX: it is over, or has none
    // the shared tier
    uint64_t token;  // 0: none
    bool has_token;
    fb_mark wide;    // of the lease
    uint64_t fence;  // what is loaded is stored only with this source version or a later one
    bool keep_nothing;
    int64_t held_until_ns;
    int64_t poll_ns;
    int64_t age_ns;  // of an adopted value
    // the load; that of a batch is with the flight that opened it
    fb_list members;  // host: all flights of the load, in the order of the items
    fb_list member;
    uint32_t member_count;
    fb_load_item *items;  // host: more than one
    uint32_t item_cap;
    int64_t issued_ns;
    bool given_out;  // the driver has it: the source may have been read
    bool landed;     // `loaded` is the outcome
    bool from_source;
    fb_loaded loaded;
    int64_t ttl_ms;    // as stored; 0: it is not
    uint64_t version;  // likewise
    fb_blob *error;
};

// One invalidation on its way through the shared tier.
struct fb_flight_change {
    fb_party party;
    fb_list list;
    fb_waiter *waiter;  // NULL: nobody, or left
    fb_str key;         // behind the struct
};

typedef struct fb_class_state {
    fb_flight *gathering;  // the host of the batch that is open
} fb_class_state;

struct fb_flights {
    fb_cache *cache;
    bool remote;
    int64_t remote_soft_ns;
    fb_rng rng;
    fb_map live;     // key → flight
    fb_map steps;    // id → flight or change
    fb_map waiters;  // name → waiter, until its answer is fetched
    fb_heap timers;
    fb_list out;
    fb_list flights;
    fb_list changes;
    uint64_t last_id;
    size_t count;
    size_t waiting;
    fb_waiter *spent;  // its answer was the last action
    fb_class_state *classes;
    size_t class_cap;
    fb_trouble_table troubles;
};

#define FB_FIND_BIT(find) (1u << (unsigned)(find))
enum {
    FB_FINDS_OLD =
        FB_FIND_BIT(FB_FIND_FRESH) | FB_FIND_BIT(FB_FIND_EARLY) | FB_FIND_BIT(FB_FIND_STALE),
    FB_FINDS_ALL = FB_FINDS_OLD | FB_FIND_BIT(FB_FIND_FALLBACK)
};

// Whether what memory has will do for a caller, where nothing better is to be had.
static inline bool fb_waiter_takes_memory(const fb_waiter *waiter) {
    return !waiter->refresh && !waiter->distrusts;
}

static inline int64_t fb_flight_after(int64_t now_ns, int64_t wait_ns) {
    return wait_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + wait_ns;
}

// ---- events (flight.c): the first thing that each does
void fb_flights_begin(fb_flights *flights);

// ---- parties (flight.c)
FB_CHECK_RESULT int fb_party_init(fb_flights *flights, fb_party *party, fb_party_kind kind,
                                  uint64_t id);
void fb_party_release(fb_flights *flights, fb_party *party);
// Puts an action into the queue.
void fb_party_act(fb_flights *flights, fb_party *party, fb_action_type action);
void fb_party_wake(fb_flights *flights, fb_party *party, int64_t at_ns);

// ---- flights (flight.c)
void fb_flight_wake(fb_flights *flights, fb_flight *flight);
// Nobody can join it any more.
void fb_flight_detach(fb_flights *flights, fb_flight *flight);
void fb_flight_free(fb_flights *flights, fb_flight *flight);
// Of a waiter that the flight it waited for cannot answer: over to the next one.
void fb_flight_rejoin(fb_flights *flights, fb_waiter *waiter, const fb_flight *from,
                      int64_t now_ns);

// ---- landing (landing.c)
// Failures that say nothing about the thing asked for, only that the source cannot be asked now:
// they excuse a fallback.
bool fb_flight_excuses(int result);
// The outcome is in flight->loaded.
void fb_flight_land(fb_flights *flights, fb_flight *flight, int64_t now_ns);
// The last step: into memory (where `store`), answers, and the flight is gone.
void fb_flight_finish(fb_flights *flights, fb_flight *flight, bool store, int64_t now_ns);
// It ends with nothing to show: nobody waits.
void fb_flight_drop(fb_flights *flights, fb_flight *flight);
// Whether the outcome is there and is one that this waiter may have.
bool fb_flight_satisfies(const fb_flights *flights, const fb_flight *flight,
                         const fb_waiter *waiter);
// Answers with the outcome.
void fb_flight_answer(fb_flights *flights, fb_flight *flight, fb_waiter *waiter, int64_t now_ns);

// ---- waiters (waiter.c)
FB_CHECK_RESULT int fb_waiter_new(fb_flights *flights, uint64_t name, fb_waiter **waiter);
// Takes it out of everything.
void fb_waiter_free(fb_flights *flights, fb_waiter *waiter);
void fb_waiter_join(fb_flights *flights, fb_waiter *waiter, fb_flight *flight);
void fb_waiter_unjoin(fb_waiter *waiter);
// Answers with what memory has, where that is one of `finds`; else false and nothing happened.
FB_CHECK_RESULT bool fb_waiter_serve(fb_flights *flights, fb_waiter *waiter, fb_str key,
                                     unsigned finds, int64_t now_ns);
// `value` (bytes and reference taken over) with FB_OK. `error` is referenced.
void fb_waiter_answer(fb_flights *flights, fb_waiter *waiter, int result, const fb_value *value,
                      fb_blob *error);
void fb_waiter_fail(fb_flights *flights, fb_waiter *waiter, int result, fb_blob *error);
void fb_waiter_tick(fb_flights *flights, fb_waiter *waiter, int64_t now_ns);
void fb_loader_drop(fb_loader *loader);

// ---- loads (batch.c)
// From here the flight is in a batch, or given out.
void fb_batch_start(fb_flights *flights, fb_flight *flight, int64_t now_ns);
void fb_batch_issue(fb_flights *flights, fb_flight *host, int64_t now_ns);
void fb_batch_action(fb_flight *host, fb_action *action);
void fb_batch_loaded(fb_flights *flights, fb_flight *host, fb_loaded *loaded, size_t item_count,
                     int64_t now_ns);
void fb_batch_failed(fb_flights *flights, fb_flight *host, int result, fb_str text, int64_t now_ns);

// ---- the shared tier (lease.c)
void fb_lease_ask(fb_flights *flights, fb_flight *flight, bool refresh, int64_t now_ns);
// The GET takes long: who has something stale at hand takes that.
void fb_lease_overdue(fb_flights *flights, fb_flight *flight, int64_t now_ns);
// Whether what was loaded may be stored at all: no hold, and no fence that it is older than.
bool fb_lease_permits(const fb_flight *flight);
void fb_lease_hand_over(fb_flights *flights, fb_flight *flight);
void fb_lease_action(const fb_flights *flights, const fb_party *party, fb_action *action);
void fb_change_free(fb_flights *flights, fb_flight_change *change);

#ifdef __cplusplus
}
#endif

#endif
