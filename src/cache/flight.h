// cache/flight.h -- the loads of one event loop's share of the keys: event in → actions out.
//
// A flight is the one load of a key in progress on this node. All events of a key go to the same
// fb_flights (by hash), one thread at a time; what threads share lies in fb_cache.
//
// Events are the calls below; what is to be done comes out of fb_flights_next(), to be drained
// after every event. The machine reads no clock, does no I/O and decides by its seeded generator
// only: the same events give the same actions.
//
//   ask → (shared tier: GET → VALUE | LEASE | HELD) → LOAD → loaded → fill both tiers, ANSWER
//
// A flight is joined by all who ask for its key, until it is over or an invalidation has overtaken
// it. An overtaken (doomed) flight goes on, answers those who joined before and is stored nowhere;
// whoever asks later begins a new one. Whoever cannot be answered with what a flight brought (a tag
// of it was invalidated between the load's start and the reader's, or it wanted a load of its own
// time: `refresh`) goes over to the next flight of that key, all of them to the same one.
//
// Who counts what (fb_cache_count, fb_cache_time): the machine counts every ask with a waiter as
// one hit or one miss when it is answered or leaves: hits are those answered from what a tier holds
// (with negative_hits, stale_hits, fallback_hits), misses all others (with coalesced, errors,
// timeouts, overloads). It counts loads (one for each LOAD that was run, not those refused with
// FB_EOVERLOAD or FB_ECLOSED), batches, load_failures and load_negatives (of a LOAD: at least one
// item), and by key doomed, warmed and early_refreshes. It times misses that ended in an answer,
// and loads. Reads that needed no ask are the engine's to count.

#ifndef FB_CACHE_FLIGHT_H
#define FB_CACHE_FLIGHT_H

#include "cache/cache.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_flights fb_flights;

typedef enum fb_priority {  // the lower the sooner, in the bulkhead
    FB_PRIORITY_USER,
    FB_PRIORITY_REFRESH,  // of something stale
    FB_PRIORITY_EARLY,
    FB_PRIORITY_WARM,
    FB_PRIORITY_COUNT
} fb_priority;

typedef struct fb_flights_options {
    fb_cache *cache;
    uint64_t seed;
    bool remote;  // there is a shared tier: ask it before the source, fill it, announce to it
    // With something stale at hand nobody waits longer than this for a GET; 0: as for a load.
    int64_t remote_soft_ns;
} fb_flights_options;

FB_CHECK_RESULT int fb_flights_new(const fb_flights_options *options, fb_flights **flights);
// Ends every load that is left, without an answer.
void fb_flights_free(fb_flights *flights);

// A caller's own loader, instead of the class's source; such a request joins flights like any
// other.
typedef struct fb_loader {
    fb_load_fn fn;  // NULL: the class's source
    void *arg;
    void (*free)(void *arg);  // may be NULL; called when machine and driver are done with it
} fb_loader;

typedef struct fb_ask {
    const fb_class *class_;
    const fb_bound *bound;  // copied
    uint64_t waiter;        // the driver's name for who waits; 0: nobody (refresh, warming)
    uint64_t seq;           // fb_cache_seq() as it was when this caller's read began
    int64_t begin_ns;       // when it began (for its latency and deadline)
    int64_t timeout_ns;     // 0: the class's hard time-out (and where that is 0, none)
    fb_priority priority;
    bool refresh;      // does not want what is in the cache
    // Does not want what is in memory, but the shared tier's word: `order: shared-first` (memory
    // may still answer where the shared tier does not), or after a write of the caller's that this
    // node has not seen yet (memory may not, nor what was asked for before). Without a shared tier
    // both mean nothing.
    bool skip_memory, distrust_memory;
    fb_loader loader;  // taken over, also after an error
    int64_t ttl_ns;    // -1: the class's; else the window of a deduplicated call (0: store nothing)
} fb_ask;

// FB_OK: an ANSWER for ask->waiter comes (perhaps already in this call's actions), exactly one, at
// its deadline at the latest. FB_ENOMEM: none.
//
// Without a waiter: nothing happens where a flight of that key is on already, or where there is
// nothing to do any more (fresh meanwhile; its source failed a moment ago). `refresh` means
// something with a waiter, or with FB_PRIORITY_WARM.
//
// A load that failed is remembered for a while (0.25 s, doubling to 15 s), during which whoever
// has nothing older to be answered with gets the same error; who has, gets that for 10 s, doubling
// to 5 min, without the source being asked. Not so with `refresh`, or for deduplicated calls. An
// invalidation of the key, of a tag that follows from its parameters, of its class or namespace, or
// of everything, ends that.
//
// Beside what the load itself brings, an entry has the tags that follow from its parameters.
//
// A caller who joins a load that was given out with a lesser priority does not raise it: what waits
// in the bulkhead is the driver's.
FB_CHECK_RESULT int fb_flights_ask(fb_flights *flights, const fb_ask *ask, int64_t now_ns);
// That caller does not want its answer any more; the load goes on. No ANSWER will come for it.
void fb_flights_leave(fb_flights *flights, uint64_t waiter);

// The load asked for by a LOAD action ended; loaded[i] belongs to item i and is taken over (left
// initialised and empty). To be called once for each LOAD, however late.
void fb_flights_loaded(fb_flights *flights, uint64_t load, fb_loaded *loaded, size_t item_count,
                       int64_t now_ns);

// The same where no item could even be begun (no memory, no source, shutting down): all fail alike.
void fb_flights_failed(fb_flights *flights, uint64_t load, int result, const char *text,
                       int64_t now_ns);

// Answers of the shared tier to a REMOTE action.
typedef enum fb_remote_result {
    FB_REMOTE_VALUE,    // `loaded` and its remaining lifetime
    FB_REMOTE_LEASE,    // `token`: load, and you may fill
    FB_REMOTE_HELD,     // someone else loads
    FB_REMOTE_DONE,     // a FILL was stored, an INVALIDATE is in force
    FB_REMOTE_REFUSED,  // a FILL whose lease was gone
    FB_REMOTE_FAILED    // no answer in time, or none at all: go on without
} fb_remote_result;
typedef struct fb_remote_reply {
    fb_remote_result result;
    uint64_t token;
    fb_loaded loaded;      // VALUE: taken over
    int64_t fresh_for_ns;  // VALUE: what is left of its TTL
    int64_t age_ns;        // VALUE
    fb_mark wide;          // LEASE: the wide log as applied when it was asked, for the FILL
    uint64_t fence;        // older source versions, and values without one, are stored nowhere
                           // (they answer); 0: none
    bool keep_nothing;     // a hold is on: what is loaded is stored nowhere
} fb_remote_reply;
// To be called once for each REMOTE action.
void fb_flights_remote(fb_flights *flights, uint64_t remote, fb_remote_reply *reply,
                       int64_t now_ns);

// Invalidates over both tiers: in memory at once, in the shared tier by a REMOTE_INVALIDATE action,
// in memory again when that is acknowledged; then an ANSWER (FB_OK; FB_ESOURCE where the shared
// tier failed) for `waiter`. Without a shared tier the ANSWER comes at once. For keys only; the
// wider scopes go through fb_cache_invalidate().
FB_CHECK_RESULT int fb_flights_invalidate(fb_flights *flights, fb_str key, uint64_t waiter,
                                          int64_t now_ns);
// Another node changed `key`: drop what is here and doom the loads.
void fb_flights_notice(fb_flights *flights, fb_str key, int64_t now_ns);

// Time: call tick() at fb_flights_due() (INT64_MAX: nothing is due), or later.
int64_t fb_flights_due(const fb_flights *flights);
void fb_flights_tick(fb_flights *flights, int64_t now_ns);

typedef enum fb_action_type {
    FB_ACTION_NONE,
    FB_ACTION_ANSWER,
    FB_ACTION_LOAD,
    FB_ACTION_REMOTE_GET,        // key, refresh, ttl_ns → VALUE, LEASE, HELD, FAILED
    FB_ACTION_REMOTE_FILL,       // key, token, loaded, ttl_ns → DONE, REFUSED, FAILED
    FB_ACTION_REMOTE_INVALIDATE  // key → DONE, FAILED
} fb_action_type;

typedef struct fb_load_item {
    fb_bound bound;    // copied out of the flight: good until the load is answered
    fb_loader loader;  // fn NULL: the class's source (then all items of the LOAD are of one class).
                       // Still owned by the machine.
} fb_load_item;

typedef struct fb_action {
    fb_action_type type;
    // ANSWER
    uint64_t waiter;
    int result;  // FB_OK, FB_NEGATIVE or < 0 (FB_ETIMEDOUT, FB_EOVERLOAD, or what the load ended
                 // with)
    fb_value value;     // with result FB_OK; value.owner holds a reference: fb_value_release() it
    const char *error;  // with result < 0: detail, good until the next call; may be ""
    // LOAD
    uint64_t load;  // its name, for fb_flights_loaded()
    const fb_class *class_;
    const fb_load_item *items;  // good until the load is answered
    size_t item_count;
    fb_priority priority;
    int64_t begin_by_ns;  // if its turn comes later, nobody waits: FB_ETIMEDOUT will do
    int64_t deadline_ns;  // after that nobody waits, and what it brings is not kept
    // REMOTE_*
    uint64_t remote;  // its name, for fb_flights_remote()
    fb_str key;
    uint64_t token;
    fb_mark wide;             // FILL: as the GET's reply had it
    const fb_loaded *loaded;  // FILL; good until the next call
    int64_t ttl_ns;  // FILL: lifetime in the shared tier; 0: store nothing, give the lease back.
                     // GET: how long a lease should live
    bool refresh;    // GET: no VALUE is wanted, but a lease beside the one that is there
} fb_action;

// The next thing to do; false: nothing. Good until the next call of any fb_flights function.
bool fb_flights_next(fb_flights *flights, fb_action *action);

// Flights in progress and callers waiting for them.
size_t fb_flights_count(const fb_flights *flights);
size_t fb_flights_waiting(const fb_flights *flights);
// Asserts every invariant; O(flights and callers). For tests, between an event and the next.
void fb_flights_check(const fb_flights *flights);

#ifdef __cplusplus
}
#endif

#endif
