// world.h -- a small world on a virtual clock: nodes with real stores, caches, flights, gates and
// followers, a source whose every version is known, a model of the shared tier behind a network,
// callers and writers, faults; and the oracle that watches them.
//
// Everything that happens is an event at a time; the seed decides what happens and when. One world
// is one seed; nothing survives it, so that a seed gives the same run always.
//
//   world.c    clock, events, memory, the whole run
//   node.c     a node: made, crashed, started again, its machines' actions
//   climate.c  what kind of world a seed is
//   source.c   the truth: versions, and loads that read it
//   reader.c   callers who fetch
//   client.c   callers who read plain keys, and cache-aside clients with leases
//   writer.c   commits, SETs, invalidations where there is no shared tier
//   change.c   the same where there is one, and counters
//   deal.c     transactions over two numbers
//   network.c  requests, replies and messages between nodes and model.h
//   faults.c   what goes wrong, and that it ends
//   oracle.c   what may be answered
//   settled.c  what must be so in the end
//   rules.c    what is no longer so without a rule
//
// Three clocks: the world's (now_ns here, also the shared tier's), and each node's own, hours away.

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
#include "model.h"
#include "sync/follow.h"
#include "sync/gate.h"

enum {
    NODES_MAX = 5,
    KEYS_MAX = 16,
    VERSIONS_MAX = 48,
    GROUPS = 3,
    READS_MAX = 1200,
    CHANGES_MAX = 160,
    ERRANDS_MAX = 2000,
    FAILOVERS_MAX = 16,
    LOG_MAX = 1000,  // more records than there are changes: nothing is trimmed
    DIGITS_MAX = 30
};

typedef struct world world;
typedef struct deal deal;

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
    uint32_t sets, dels, reloads, wide, soft, tardy;               // of the writes
    uint32_t idle, silent;  // invalidate without a change, change without a word
    uint32_t own_ttl;       // of the loads
    uint32_t no_memory;     // allocations out of 1,000 that fail inside the machine
    uint32_t payload;       // bytes of a value
    // Of worlds with a shared tier.
    uint32_t first_kind;  // of the keys
    uint32_t partitions, log_max;
    int64_t max_lag_ns, hard_ns, soft_ns, max_outage_ns;
    uint32_t outbox_max;
    uint32_t drops, doubles;                // of the messages
    uint32_t late;                          // of the requests: far too late
    uint32_t faults;                        // how many
    uint64_t fault_kinds;                   // which, by bit
    uint32_t rivals;                        // of the changes: others change the same key just then
    uint32_t probes;                        // of the changes: readers come just then
    uint32_t nodes_reach, holds, patterns;  // of the invalidations
    bool replica;  // the source is read from one that lags; versions are told
    int64_t replica_lag_ns;
    bool cluster;  // whose driver judges by itself who answers in time
    uint32_t deals;            // of the changes of numbers
    uint32_t clocks;           // 1: the nodes' clocks differ by hours
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
    // Of a SET through the shared tier: who, and from which step on it cannot take effect any more
    // (`told`: he was answered; `done`: it was stored). 0: it stands in the source alone.
    uint32_t change;  // its number + 1
} version;

typedef enum key_kind {
    KEY_CALL,  // a deduplicated call
    KEY_ITEM,  // of two classes
    KEY_PAGE,
    KEY_ASIDE,     // a plain key that cache-aside clients fill
    KEY_REGISTER,  // a plain key that is SET
    KEY_COUNT,     // ADDed to
    KEY_EDIT       // the same by edits
} key_kind;

typedef struct key {
    char text[40];
    fb_str name;
    key_kind kind;
    uint16_t class_id;
    char id[8];
    version versions[VERSIONS_MAX];
    uint32_t version_count;
    bool resurfaced;  // a SET of it was done after it was given up, and its connection with it
    fb_buf scratch[NODES_MAX];
    fb_bound bound[NODES_MAX];
} key;

typedef struct node {
    uint32_t index;
    uint32_t life;  // how often it was started
    bool alive;
    fb_cache *cache;
    fb_flights *flights;
    fb_sync *sync;  // NULL: no shared tier
    fb_gate *gate;
    fb_follower *follower;
    uint64_t id;
    int64_t ahead_ns, wall_ahead_ms;  // of the world's clock
    const fb_class *classes[3];       // by id
    struct event *tick, *gate_tick, *follower_tick;
    int64_t tick_ns, gate_tick_ns, follower_tick_ns;
    fb_rng rng;
    bool draining;
    // Its network.
    bool cut, link_up;
    uint64_t part;  // the logs that it knows to be away
    uint32_t connection;  // how many there were; each keeps the order of what goes through it
    int64_t last_arrival_ns[5], last_reply_ns[5];  // by log
} node;

typedef struct event {
    fb_heap_node timer;
    void (*run)(world *w, void *arg);
    void *arg;
} event;

typedef enum read_state { READ_NONE, READ_BEGUN, READ_ASKED, READ_ANSWERED, READ_LEFT } read_state;

// Of a change, wherever it was made, whose token the caller has.
typedef enum knowledge { KNOWS_NOTHING, KNOWS_OF_KEY, KNOWS_OF_WIDE } knowledge;

typedef struct caller {
    uint32_t index;
    read_state state;
    node *at;
    uint32_t life;
    key *of;
    bool coherent;    // at its node, when it began
    knowledge knows;  // of a change that it comes after
    bool skips_memory;
    bool of_shared;    // asked the gate
    bool from_memory;  // answered at once
    uint64_t begin_step;
    int64_t begin_ns, ask_ns, timeout_ns, deadline_ns;
    uint64_t seq;
    bool refresh;
    bool is_call;  // a deduplicated call
    int64_t window_ns;
    bool own_loader;
    uint32_t versions_at_ask;
    fb_str got;  // the value it was answered with, or enough of it
} caller;

// A change of a caller's, through the shared tier: what it replaces, and how far it has reached.
typedef enum change_kind {
    CHANGE_SET,
    CHANGE_DEL,
    CHANGE_DROP,
    CHANGE_ADD,
    CHANGE_EDIT,
    CHANGE_DEAL  // a transaction's
} change_kind;

typedef struct change {
    change_kind kind;
    node *at;
    uint32_t life;
    key *of;
    fb_want want;
    char text[48];
    uint32_t below[KEYS_MAX];  // versions of each key that are replaced
    int group;                 // only of one group; -1: of all
    uint32_t made;             // SET: the version; ADD, EDIT: the digit
    int64_t call_ns, answer_ns;
    uint64_t call_step, answer_step;
    bool answered, in_force;  // in_force: with a result that promises it
    int result;
    fb_reach reached;
    int64_t held_until_ns;  // a hold: nothing of the key is stored
    uint64_t losses;        // of the shared tier, when it was called
    // A fail-over may have lost it at lost_ns; so it does not bind before found_ns.
    int64_t lost_ns, found_ns;
    bool is_gone;  // and nobody can find out
} change;

// A caller's want at a gate.
typedef struct errand {
    node *at;
    uint32_t life;
    bool answered;
    int64_t latest_ns;
    void (*done)(world *w, void *of, const fb_gate_action *answer);
    void *of;
} errand;

// What happened in all worlds of a run: that nothing was left untried.
#define COVERED(X) \
    X(hits) X(misses) X(stale) X(fallback) X(negative) X(early) X(refreshed) X(coalesced) \
    X(timeouts) X(overloads) X(source_errors) X(left) X(batches) X(doomed) X(hard) X(soft) X(patterns) \
    X(tags) X(classes) X(namespaces) X(all) X(sets) X(dels) X(calls) X(uncacheable) \
    X(no_memory) X(evictions) X(hangs) X(warmed) X(own_loaders) X(cut_short) X(reloads) \
    X(shared_gets) X(shared_values) X(shared_leases) X(shared_held) X(shared_fills) \
    X(shared_refused) \
    X(shared_changes) X(shared_failures) X(passed_by) X(owed) X(replayed) X(records) X(gaps) \
    X(flushes) X(epochs) X(trips) X(forks) X(lost_requests) X(lost_replies) X(late_requests) \
    X(resurfaced) X(lost_messages) X(doubled_messages) X(sweeps) X(holds) X(held_reads) \
    X(fences) X(fences_refused) X(conflicts) X(adds) X(edits) X(ambiguous) X(node_acks) \
    X(node_refusals) X(local_only) X(token_reads) X(lease_clients) X(lease_waits) \
    X(plain_reads) X(degraded_reads) X(degraded_bypassed) X(cuts) X(bounces) X(parts) \
    X(part_requests) X(server_hangs) X(server_downs) X(emptied) X(flushalls) X(failovers) \
    X(deals) X(deals_again) X(deals_checked) X(partial_failovers) X(evicted_values) X(evicted_leases) X(evicted_counters) \
    X(evicted_logs) X(trims) X(full) X(crashes) X(adopted_regions) X(lost_by_failover)
typedef struct covered {
#define COVERED_FIELD(name) uint64_t name;
    COVERED(COVERED_FIELD)
#undef COVERED_FIELD
} covered;

typedef enum world_kind { WORLD_ANY, WORLD_ALONE, WORLD_SHARED } world_kind;

struct world {
    world_kind kind;  // which there may be
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
    model shared;
    bool server_down, server_hangs, server_full;
    int64_t hangs_since_ns, longest_hang_ns;
    uint64_t part_away;  // logs, by bit, never the wide one: of a Cluster a master is gone
    model *replicas[FAILOVERS_MAX];
    uint32_t replica_count;
    fb_list requests;  // to the shared tier, on their way
    fb_list waiting;   // of those, at a server that hangs
    change changes[CHANGES_MAX];
    uint32_t change_count;
    deal *deals;
    errand errands[ERRANDS_MAX];
    uint32_t errand_count;
    int64_t failover_ns;     // the last one
    int64_t settled_ns;      // when all must be well again
    bool calm;               // no more faults
    bool has_crashed;        // some node
    uint32_t first_of_last;  // caller of those who read in the end
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
int world_run(world *w, uint64_t seed, covered *seen);
// The first seed that goes wrong is in *seed; false: none does.
bool world_search(world *w, uint64_t start, uint64_t seeds, covered *seen, uint64_t *seed);
event *world_at(world *w, int64_t at_ns, void (*run)(world *w, void *arg), void *arg);
void *world_new(world *w, size_t size);
// What each key is to a node, whose classes are new.
void world_bind(world *w, node *at);
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

// ---- climate.c
void climate_choose(world *w);

// ---- source.c
void source_begin(world *w, key *of);
// A new version; false: there were enough.
bool source_commit(world *w, key *of);
// The bytes of a version, `payload` long.
fb_str source_bytes(world *w, const key *of, uint32_t version_index, char *bytes);
void source_load(world *w, node *at, const fb_action *action);
// How far behind the replica is that a load reads from; and the newest version there.
int64_t source_lag(world *w);
uint32_t source_newest(const world *w, const key *of, int64_t lag_ns);
key *source_key(world *w, fb_str name);
fb_str source_group_tag(uint32_t group);

// ---- node.c
void node_make(world *w, uint32_t index);
void node_crash(world *w, node *at, bool keeps_cache);
void node_start(world *w, node *at);
void node_free(world *w, node *at);
// After every event of a node: does what its machines want, sets its timers.
void node_drain(world *w, node *at);
// The node's own clock.
int64_t node_now(const world *w, const node *at);
// FB_OK: `done` will be called, once, within `patience_ns`.
int node_want(world *w, node *at, const fb_want *want, int64_t patience_ns,
              void (*done)(world *w, void *of, const fb_gate_action *answer), void *of);
// Puts a new catalogue of the same classes in force, as a reload of the configuration does.
void node_reload(world *w, node *at);
// One that is alive, or NULL.
node *node_pick(world *w);

// ---- network.c
void network_start(world *w);
void network_send(world *w, node *at, bool of_follower, const fb_sync_request *request);
// Tells a node that the shared tier is (not) to be reached.
void network_link(world *w, node *at, bool up, const char *why);
// The same of a part of it: what w->part_away says.
void network_part(world *w, node *at);
// What waited at a server that hung goes on.
void network_resume(world *w);
// Lets go of what is on its way.
void network_end(world *w);

// ---- faults.c
void faults_start(world *w);
// A change is about to be made: a replica that will not have it may take over just then.
void faults_aim(world *w);
// Ends all that is wrong.
void faults_end(world *w);

// ---- reader.c
void reader_begin(world *w, node *at, key *of, knowledge knows);
void reader_answered(world *w, node *at, const fb_action *action);
void reader_start(world *w);
// Reads every key on every node once more.
void reader_last(world *w);

// What is kept of a load or a caller whose node has crashed.
void reader_crashed(world *w, node *at);
// A caller of a kind that reader.c does not know: the same fields, no fetch.
caller *reader_new(world *w, node *at, key *of);
// Looks at memory: true where that has answered.
bool reader_look(world *w, caller *who);
void reader_end(world *w, caller *who, const fb_gate_action *answer);

// ---- client.c
// Somebody reads `of`, as keys of its kind are read.
void client_begin(world *w, node *at, key *of, knowledge knows);

// ---- writer.c
void writer_start(world *w);
// Something that covers the key, of which version `was` is to go; sometimes far more than that.
void writer_choose_scope(world *w, fb_invalidation *what, char *text, int *group, const key *of);
bool writer_covers(const fb_invalidation *what, int group, const key *of);
void writer_count(world *w, const fb_invalidation *what);

// ---- change.c
void change_start(world *w);
// Perhaps somebody changes something within a few round trips.
void change_soon(world *w);
void change_crashed(world *w, node *at);
// For deal.c: a new one (NULL: there were enough); it begins; it is answered. And its digit.
change *change_make(world *w, node *at, key *of, change_kind kind);
void change_begins(world *w, change *one);
void change_answered(world *w, void *of, const fb_gate_action *answer);
int64_t change_digit(uint32_t index);
// The number a counter has, as the shared tier or a node says it.
void change_check_number(world *w, const key *of, int64_t number, bool final);

// ---- deal.c
void deal_begin(world *w, node *at, key *of);
// In the end: each was done to both its numbers, or to none.
void deals_check(world *w);
void deals_end(world *w);

// ---- oracle.c
void oracle_value(world *w, caller *who, const fb_value *value);
void oracle_negative(world *w, const caller *who);
void oracle_error(world *w, const caller *who, int result);
// An invalidation of versions before `below` is in force at a node. `group`: -1, or only those of
// one group.
void oracle_bar(world *w, const node *at, key *of, uint32_t below, int group, bool soft);
void oracle_end(world *w);
// The server lost what it was told between the two moments.
void oracle_failover(world *w, int64_t from_ns, int64_t to_ns, bool partial);

// ---- rules.c
// Rows of a table: each rule, and the seed that shows that it is needed. Not 0: one shows nothing.
int rules_show(world *w, uint64_t start, uint64_t seeds);
bool rules_without(const char *name);

// ---- settled.c
void settled_watch(world *w);
void settled_begin(world *w);
void settled_check(world *w);

#endif
