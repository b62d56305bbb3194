// world.h -- a small world on a virtual clock: nodes with real stores, caches and flights, a source
// whose every version is known, a shared tier, callers and writers; and the oracle that watches
// them.
//
// Everything that happens is an event at a time; the seed decides what happens and when. One world
// is one seed; nothing survives it, so that a seed gives the same run always.
//
//   world.c    clock, events, the nodes, the whole run
//   climate.c  what kind of world a seed is
//   source.c   the truth: versions, and loads that read it
//   driver.c   what the flights want done
//   reader.c   callers
//   writer.c   commits, SETs, invalidations
//   oracle.c   what may be answered

#ifndef FB_TESTS_WORLD_H
#define FB_TESTS_WORLD_H

#include <setjmp.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/cache.h"
#include "cache/class.h"
#include "cache/flight.h"
#include "twin.h"

enum { NODES_MAX = 3, KEYS_MAX = 16, VERSIONS_MAX = 48, GROUPS = 3, READS_MAX = 400 };

typedef struct world world;

// What kind of world it is. Percentages are of the things they are named after.
typedef struct climate {
    uint32_t nodes, keys, reads, writes;
    bool remote;
    int64_t horizon_ns;         // during which callers and writers come
    int64_t read_ns, reply_ns;  // a load: at most until the source reads, and until it replies
    int64_t hand_over_ns;       // at most from a caller's look at memory until its ask
    int64_t network_ns;         // at most, one way
    uint32_t fails, hangs, overloads, denies, unlucky;  // unlucky: a request to the shared tier
    uint32_t vanishes;                                  // of the versions: there is no such thing
    uint32_t uncacheable;                               // of the loads
    uint32_t refreshes, leaves, impatient, loaders, warms, calls;  // of the reads
    uint32_t sets, dels, reloads, wide, soft, late;                // of the writes
    uint32_t idle, silent;     // invalidate without a change, change without a word
    uint32_t own_ttl;          // of the loads
    uint32_t no_memory;        // allocations out of 1,000 that fail inside the machine
    uint32_t payload;          // bytes of a value
    fb_class_options options;  // of both classes
    bool indexed;
} climate;

// One version of a key at the source. From the step `hard` of a node on no read may begin there
// that is answered with it; from `soft` on none that is answered with it as fresh.
typedef struct version {
    bool exists;
    uint32_t group;
    int64_t committed_ns;
    uint64_t hard[NODES_MAX], soft[NODES_MAX];
} version;

typedef struct key {
    char text[40];
    fb_str name;
    uint16_t class_id;
    char id[8];
    version versions[VERSIONS_MAX];
    uint32_t version_count;
    fb_buf scratch[NODES_MAX];
    fb_bound bound[NODES_MAX];
} key;

typedef struct node {
    uint32_t index;
    fb_cache *cache;
    fb_flights *flights;
    const fb_class *classes[3];  // by id
    struct event *tick;
    int64_t tick_ns;
    fb_rng rng;
} node;

typedef struct event {
    fb_heap_node timer;
    void (*run)(world *w, void *arg);
    void *arg;
} event;

typedef enum read_state { READ_NONE, READ_BEGUN, READ_ASKED, READ_ANSWERED, READ_LEFT } read_state;

typedef struct caller {
    uint32_t index;
    read_state state;
    node *at;
    key *of;
    uint64_t begin_step;
    int64_t begin_ns, ask_ns, timeout_ns, deadline_ns;
    uint64_t seq;
    bool refresh;
    bool is_call;  // a deduplicated call
    int64_t window_ns;
    bool own_loader;
    uint32_t versions_at_ask;
} caller;

// What happened in all worlds of a run: that nothing was left untried.
#define COVERED(X)                                                                               \
    X(hits)                                                                                      \
    X(misses)                                                                                    \
    X(stale)                                                                                     \
    X(fallback)                                                                                  \
    X(negative)                                                                                  \
    X(early) X(refreshed) X(coalesced) X(timeouts) X(overloads) X(source_errors) X(left)         \
        X(batches) X(doomed) X(hard) X(soft) X(patterns) X(tags) X(classes) X(namespaces) X(all) \
            X(sets) X(dels) X(calls) X(uncacheable) X(adopted) X(leases) X(held) X(refused)      \
                X(lost) X(notices) X(no_memory) X(evictions) X(hangs) X(warmed) X(own_loaders)   \
                    X(cut_short) X(reloads)
typedef struct covered {
#define COVERED_FIELD(name) uint64_t name;
    COVERED(COVERED_FIELD)
#undef COVERED_FIELD
} covered;

struct world {
    uint64_t seed;
    bool trace;
    climate is;
    fb_rng rng;
    int64_t now_ns;
    uint64_t step, last_step;
    fb_heap events;
    fb_arena memory;
    node nodes[NODES_MAX];
    key keys[KEYS_MAX];
    twin shared;
    fb_list requests;  // to the shared tier, on their way
    caller callers[READS_MAX];
    uint32_t caller_count;
    uint32_t loaders_given, loaders_freed;
    int64_t longest_ns;  // from a source's read to the fill
    int64_t asks, loads;
    covered *seen;
    jmp_buf out;
    char what[256];  // was wrong
};

// ---- world.c
// 0: all was well; else w->what says what was not.
int world_run(world *w, uint64_t seed, covered *seen, bool trace);
event *world_at(world *w, int64_t at_ns, void (*run)(world *w, void *arg), void *arg);
void *world_new(world *w, size_t size);
// Puts a new catalogue of the same classes in force, as a reload of the configuration does.
void world_reload(world *w, node *at);
__attribute__((format(printf, 2, 3), noreturn)) void world_fail(world *w, const char *format, ...);
__attribute__((format(printf, 2, 3))) void world_say(world *w, const char *format, ...);
#define SAY(w, ...) ((w)->trace ? world_say((w), __VA_ARGS__) : (void)0)
// Chance, and times in [0, max].
bool world_chance(world *w, uint32_t percent);
int64_t world_delay(world *w, int64_t max_ns);
uint32_t world_pick(world *w, uint32_t count);
// Around every call of the machine: allocations may fail in between.
void world_enter(world *w);
void world_leave(world *w);
// After every event of a node: does what its flights want, sets its timer.
void world_drain(world *w, node *at);

// ---- climate.c
void climate_choose(world *w);

// ---- source.c
void source_begin(world *w, key *of);
// A new version; false: there were enough.
bool source_commit(world *w, key *of);
// The bytes of a version, `payload` long.
fb_str source_bytes(world *w, const key *of, uint32_t version_index, char *bytes);
void source_load(world *w, node *at, const fb_action *action);
key *source_key(world *w, fb_str name);
fb_str source_group_tag(uint32_t group);

// ---- driver.c
void driver_do(world *w, node *at, const fb_action *action);
// Lets go of what is on its way.
void driver_end(world *w);

// ---- reader.c
void reader_begin(world *w, node *at, key *of);
void reader_answered(world *w, node *at, const fb_action *action);
void reader_start(world *w);
// Reads every key on every node once more.
void reader_last(world *w);

// ---- writer.c
void writer_start(world *w);
// The answer to an invalidation through both tiers.
void writer_answered(world *w, node *at, uint64_t waiter, int result);
// Another node's notice arrives.
void writer_notice(world *w, node *at, key *of, uint32_t version_count);

// ---- oracle.c
void oracle_value(world *w, const caller *who, const fb_value *value);
void oracle_negative(world *w, const caller *who);
void oracle_error(world *w, const caller *who, int result);
// An invalidation of versions before `below` is in force at a node. `group`: -1, or only those of
// one group.
void oracle_bar(world *w, const node *at, key *of, uint32_t below, int group, bool soft);
void oracle_end(world *w);

#endif
