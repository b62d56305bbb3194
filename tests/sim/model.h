// model.h -- the shared tier, in memory: what each script does in Redis, verb by verb as
// sync/port.h has them; and what happens to a server: keys are evicted, logs trimmed, all is
// flushed, an old copy takes over.
//
// One request is one step. It neither waits nor fails: delays and losses are the network's. SWEEP
// can also be done in its many steps, with other requests in between.
//
// One thread; time is a parameter; no wall clock. Memory: of replies, in the caller's arena.

#ifndef FB_TESTS_MODEL_H
#define FB_TESTS_MODEL_H

#include "base/arena.h"
#include "base/list.h"
#include "base/rng.h"
#include "sync/port.h"

typedef struct model_cell {  // what is kept of a key
    fb_str key;
    uint32_t log;
    bool plain;
    bool has_value;
    fb_loaded value;
    uint64_t epoch, version;
    fb_mark wide;
    int64_t filled_ns, value_until_ns;
    uint64_t token, lease_epoch;  // token 0: no lease
    int64_t lease_until_ns;
    uint64_t fence;
    int64_t fence_until_ns, hold_until_ns;
} model_cell;

typedef struct model_log {
    fb_mark mark;        // epoch 0: there is none
    fb_record *records;  // the newest, oldest first; names are owned
    size_t record_count;
    uint64_t first_seq;  // of records[0]
} model_log;

typedef struct model_node {
    uint64_t node;
    int64_t until_ns;
} model_node;

// What is told to all who listen; the record is lent.
typedef void (*model_publish_fn)(void *arg, uint32_t log, uint64_t epoch, const fb_record *record);
typedef void (*model_ack_fn)(void *arg, uint64_t nonce, uint64_t node);

typedef struct model {
    uint32_t partitions;
    size_t log_max;  // records that a log keeps
    model_cell *cells;
    size_t cell_count, cell_cap;
    model_log logs[FB_LOGS_MAX];
    fb_sync_stamp *stamps;
    size_t stamp_count;
    uint64_t stamps_epoch;  // of the wide log; another one: they are void
    model_node nodes[16];
    uint64_t last_fill;
    fb_mark lost[FB_LOGS_MAX];  // where each log was when a fail-over took it back
    uint64_t forks;             // records that took the number of one that was lost so
    uint64_t losses;            // how often values went that nobody had deleted
    model_publish_fn publish;
    model_ack_fn ack;
    void *arg;
} model;

void model_init(model *tier, uint32_t partitions, size_t log_max);
void model_release(model *tier);
// Does it. *reply is the receiver's as in the port; what it points to lies in `memory`.
void model_do(model *tier, const fb_sync_request *request, int64_t now_ns, fb_arena *memory,
              fb_sync_reply *reply);
// Copies value, tags and the rest of an outcome.
void model_copy_loaded(const fb_loaded *from, fb_loaded *to);

// ---- SWEEP, step by step: leases of all partitions in random order, then values.
typedef struct model_sweep {
    fb_str glob;
    bool values;   // the second half
    fb_str *todo;  // keys in their order
    size_t count, at;
    int64_t removed;
} model_sweep;
void model_sweep_begin(model *tier, fb_str glob, fb_rng *rng, fb_arena *memory, model_sweep *sweep);
// false: it is over.
bool model_sweep_step(model *tier, fb_rng *rng, fb_arena *memory, model_sweep *sweep);

// ---- what happens to a server (model_fate.c)
void model_flushall(model *tier);
void model_evict_value(model *tier, size_t cell);
void model_evict_lease(model *tier, size_t cell);
void model_evict_counter(model *tier, uint32_t log);  // the epoch goes with it
void model_evict_log(model *tier, uint32_t log);
void model_trim(model *tier, uint32_t log, size_t keep);
// A copy, as a replica has it. `to` is not initialised.
void model_copy(const model *from, model *to);
// The replica takes over the logs whose bit (log mod 64) is set, with their keys.
void model_fail_over(model *tier, const model *replica, uint64_t logs);

// For model_fate.c.
void model_drop_value(model_cell *at);

#endif
