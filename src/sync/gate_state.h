// sync/gate_state.h -- the inside of fb_gate, shared by the files that make it up; nobody else
// includes it.
//
//   gate.c    the machine: operations, what comes out, events, time, how it stands
//   want.c    what callers want, taken in; the order of changes of one key
//   change.c  changes of a key that is known: SET, DEL, INVALIDATE
//   edit.c    changes that depend on what is there: EDIT, ADD
//   read.c    values and leases: of flights, READ, LEASE and FILL
//   commit.c  several keys in one step, or none
//   wide.c    invalidations of many keys, and who has acknowledged one
//   away.c    the same changes in memory alone, while the shared tier is passed by
//   replay.c  telling it what it missed: the outbox, probes, new epochs
//
// An operation (fb_op) is one want or one flight's request, from its beginning to its end. It has
// at most one thing outstanding: a place in the queue of what comes out, or a reply of the port.
// All that its answers need is taken when it begins, so that nothing can lack later; where
// more is needed after all (a value that an edit makes), its lack is that caller's FB_ENOMEM.

#ifndef FB_SYNC_GATE_STATE_H
#define FB_SYNC_GATE_STATE_H

#include "base/check.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"
#include "sync/breaker.h"
#include "sync/gate.h"
#include "sync/outbox.h"

#ifdef __cplusplus
extern "C" {
#endif

// A place in the queue of what comes out.
typedef struct fb_exit {
    fb_list list;
    fb_gate_action_type type;
} fb_exit;

// A timer, of an operation or of a lease.
typedef struct fb_alarm {
    fb_heap_node node;
    bool of_grant;
} fb_alarm;

// A caller who waits, or whose answer waits to be fetched.
typedef struct fb_asker {
    fb_exit exit;
    fb_list list;  // of its operation
    uint64_t waiter;
    int result;
    fb_value value;
    int64_t number;
    uint64_t token;
    fb_receipt receipt;
    char error[192];
} fb_asker;

// INCR as an edit.
typedef struct fb_adding {
    int64_t delta, number;
    char text[24];
} fb_adding;

typedef enum fb_op_kind {
    FB_OP_GET,   // of a flight
    FB_OP_FILL,  // likewise
    FB_OP_READ,
    FB_OP_LEASE,
    FB_OP_LEASE_FILL,
    FB_OP_SET,
    FB_OP_DROP,  // DEL, INVALIDATE of a key; also a flight's
    FB_OP_EDIT,
    FB_OP_ADD,
    FB_OP_WIDE,
    FB_OP_SNAPSHOT,
    FB_OP_COMMIT,
    FB_OP_PROBE,
    FB_OP_EPOCH
} fb_op_kind;

// The changes of one key that wait for each other; the first is under way.
typedef struct fb_line {
    fb_list ops;
    fb_list ready;  // of the lines whose first is to begin
    fb_str key;  // behind the struct
} fb_line;

// Who has said that a record is in force.
typedef struct fb_acks {
    bool waits;  // the change is done; for these alone it is not answered
    bool asking;  // who lives is being asked
    bool asked;   // and is known
    bool sure;    // all of those who live
    fb_mark mark;
    uint64_t *said;
    size_t said_count, said_cap;
    uint64_t *alive;
    size_t alive_count;
} fb_acks;

typedef struct fb_op {
    fb_exit exit;
    fb_list list;  // of all
    fb_alarm alarm;
    fb_op_kind kind;
    fb_str key;  // or what a wide one is named after; behind the struct
    const fb_class *class_;
    fb_list askers;
    fb_line *line;
    fb_list turn;  // of its line
    fb_ticket *ticket;
    int64_t begun_ns;
    int64_t until_ns;   // of reads: what is sent is waited for no longer
    bool distrusts;     // READ: memory may not answer
    fb_sync_request request;
    int64_t sent_ns;
    fb_mark base;       // its log as applied when the request was sent
    fb_loaded loaded;   // what is to be stored
    int64_t memory_ns;  // how long that is fresh in memory
    uint64_t remote;    // of a flight; 0: of none
    fb_remote_reply reply;
    // changes
    fb_reach reach;
    int64_t hold_ns;
    int64_t removed;
    int64_t ttl_ns;  // as it was asked for
    bool is_del;     // DROP: DEL, not an invalidation
    bool had;        // DEL: memory had it, which counts where nobody else is asked
    bool is_unsure;  // memory's keeper knows that it is under way
    bool is_local;   // it was answered before it was told
    bool is_told;    // it tells what was owed: nobody waits for it
    uint64_t generation;  // of that
    uint64_t told_before;
    fb_acks acks;
    // edits
    fb_edit_fn edit;
    void *edit_arg;
    fb_adding adding;  // of ADD
    int64_t wall_ms;
    int edit_result;
    bool decided;
    bool drops;  // it deleted the key, or changed its time alone
    bool swept;      // a pattern: for the first time
    uint32_t tries;
    bool is_answered;  // who waits has gone; the reply that is on its way ends it
    fb_snapshot *snapshot;
} fb_op;

// A lease of a cache-aside client.
typedef struct fb_grant {
    fb_list list;
    fb_alarm alarm;
    uint64_t token;
    bool shared;  // the shared tier knows of it
    fb_ticket *ticket;
    fb_mark wide;
    uint64_t fence;
    bool keep_nothing;
    fb_str key;  // behind the struct
} fb_grant;

typedef struct fb_log {
    fb_exit exit;  // while the follower is to be told of `mark`
    fb_mark mark;
    bool owes;  // something is owed of it, and memory's keeper knows
    uint64_t epoch;    // as it was when it was last looked at,
    int64_t since_ns;  // and when it was first seen
} fb_log;

struct fb_gate {
    fb_sync *sync;
    fb_cache *cache;
    uint32_t lane;
    uint32_t partitions;
    uint64_t node;
    int64_t hard_ns;
    fb_rng rng;
    bool link_up;
    bool was_up;  // ever: until then nobody has found it away
    int64_t lost_ns;  // when its link was lost the last time; INT64_MIN: never
    bool closed;
    fb_breaker breaker;
    fb_outbox *outbox;
    char why[160];
    bool unproven;  // it was passed by for its answers; not all that is owed has been told since
    char part[160];  // what part of it is not reached; empty: none
    char failure[160];  // what the last request that failed was told
    int64_t failed_ns;
    fb_sync_state said;
    char said_why[192];
    int64_t away_ns;  // since when something has been owed without a break; INT64_MAX: nothing is
    bool owes_wide;
    // Before the change that is made in memory now: fb_sync_wides(), and what is followed.
    uint64_t wides, epoch, wide_epoch;
    uint32_t local_wide;  // wide ones that were answered before they were told
    size_t owed_count;
    int64_t retry_ns;  // no telling before
    int64_t pause_ns;
    int64_t resume_ns;  // when what is parked is tried again; INT64_MAX: nothing is
    int64_t parked_ns;  // the time from one such trial to the next
    uint32_t telling;
    uint64_t told;  // how often it went well
    bool probing;
    fb_map ops;     // id → operation
    fb_map lines;   // key → line
    fb_map reads;   // key → READ that can be joined
    fb_map grants;  // token → lease
    fb_map leased;  // key → the newest of these
    fb_heap timers;
    fb_list out;
    fb_list all, ready, leases;
    fb_asker *spent_asker;  // what the last action pointed into
    fb_op *spent_op;
    fb_log *logs;
    int64_t look_ns;  // when their epochs are to be looked at
};

static inline int64_t fb_gate_after(int64_t now_ns, int64_t wait_ns) {
    return wait_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + wait_ns;
}

// ---- gate.c

// An operation with a copy of `key`, in the map of all. NULL: no memory.
FB_CHECK_RESULT fb_op *fb_op_new(fb_gate *gate, fb_op_kind kind, fb_str key, int64_t now_ns);
void fb_op_free(fb_gate *gate, fb_op *op);
FB_CHECK_RESULT fb_asker *fb_asker_new(uint64_t waiter);
void fb_asker_free(fb_asker *asker);
uint64_t fb_gate_random(fb_gate *gate);  // never 0
// Sends op->request, whose verb and what goes with it are set.
void fb_op_send(fb_gate *gate, fb_op *op, fb_sync_verb verb, int64_t now_ns);
// Tells the flight op->reply; then the operation is over.
void fb_op_tell_flight(fb_gate *gate, fb_op *op);
// All who wait for it are told, and it is over.
typedef struct fb_outcome {
    int result;
    const fb_value *value;  // referenced
    int64_t number;
    uint64_t token;
    fb_receipt receipt;
    const char *error;
} fb_outcome;
void fb_op_answer(fb_gate *gate, fb_op *op, const fb_outcome *outcome);
// The same where it is not over.
void fb_op_answer_early(fb_gate *gate, fb_op *op, const fb_outcome *outcome);
void fb_gate_answer(fb_gate *gate, fb_asker *asker, const fb_outcome *outcome);
// Whether changes of a log go to the shared tier, and whether this value is taken from there.
bool fb_gate_tells(const fb_gate *gate, uint32_t log);
bool fb_gate_takes(const fb_gate *gate, const fb_op *op);
// Whether the reply's mark goes on from what this node has applied of the log; where not, the
// follower is told.
bool fb_op_fits(fb_gate *gate, fb_op *op, const fb_sync_reply *reply);
// It has been done; to be called before memory follows.
void fb_op_acked(fb_gate *gate, fb_op *op, const fb_sync_reply *reply);
void fb_gate_suspect(fb_gate *gate, uint32_t log, const fb_mark *mark);
void fb_gate_count(fb_gate *gate, fb_sync_counter counter);
// FAILED or UNKNOWN.
static inline bool fb_reply_failed(const fb_sync_reply *reply) {
    return reply->result == FB_SYNC_FAILED || reply->result == FB_SYNC_UNKNOWN ||
           reply->result == FB_SYNC_NO_EPOCH;
}
// A change is under way: who finds our memory without us must not believe what it has of that log.
void fb_op_unsure(fb_gate *gate, fb_op *op);
// The same while something is owed of a log; to be called when the outbox has changed.
void fb_gate_note(fb_gate *gate, uint32_t log);
// How the gate stands may have changed: people are told, and what is owed is.
void fb_gate_settle(fb_gate *gate, int64_t now_ns);
// *to is a reference to the same value, with tags of its own. FB_ENOMEM.
FB_CHECK_RESULT int fb_loaded_copy(const fb_loaded *from, fb_loaded *to);

// ---- want.c
// SET, DEL, EDIT, ADD, INVALIDATE of a key; and a flight's.
FB_CHECK_RESULT int fb_change_want(fb_gate *gate, const fb_want *want, int64_t now_ns);
FB_CHECK_RESULT int fb_change_flight(fb_gate *gate, const fb_action *action, int64_t now_ns);
// It is at the head of its line.
void fb_change_begin(fb_gate *gate, fb_op *op, int64_t now_ns);
// Behind all other changes of its key that wait. FB_ENOMEM: it is in no line.
FB_CHECK_RESULT int fb_line_join(fb_gate *gate, fb_op *op);
bool fb_line_is_first(const fb_op *op);
// It is in no line any more; the next of it begins at the end of the event (a long line of changes
// that all end at once would nest as deep).
void fb_line_leave(fb_gate *gate, fb_op *op);
// Whether a change of `key` that was answered already is still to be told: the shared tier may have
// what was there before.
bool fb_line_is_local(const fb_gate *gate, fb_str key);
void fb_lines_step(fb_gate *gate, int64_t now_ns);
// A new record about op->key, as this node issues it.
void fb_op_record(fb_gate *gate, fb_op *op, fb_record_kind kind);
fb_receipt fb_receipt_of(fb_reach reached, uint32_t log, const fb_mark *mark);
// It is in force this far (`mark`: where its record stands; NULL: nowhere): leaves its line, and
// answers; FB_REFUSED where it was to have reached further.
void fb_change_end(fb_gate *gate, fb_op *op, fb_outcome *outcome, fb_reach reached,
                   const fb_mark *mark);
// The shared tier has done it.
void fb_change_done(fb_gate *gate, fb_op *op, fb_outcome *outcome, const fb_mark *mark,
                    int64_t now_ns);
// It has not, or nobody knows.
void fb_change_failed(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, int64_t now_ns);
// Value, tags (also those that follow from the key), lifetimes: op->loaded, ttl_ns, memory_ns.
// FB_EINVAL, FB_ENOMEM, FB_ETOOBIG.
FB_CHECK_RESULT int fb_op_take_value(fb_gate *gate, fb_op *op, const fb_want *want);
// Adds the tags that follow from op->key to op->loaded. FB_EINVAL: too many. FB_ENOMEM.
FB_CHECK_RESULT int fb_op_take_key_tags(fb_op *op);

// ---- change.c
void fb_set_send(fb_gate *gate, fb_op *op, int64_t now_ns);
void fb_set_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
void fb_drop_send(fb_gate *gate, fb_op *op, int64_t now_ns);
void fb_drop_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
// Memory: the key is dropped (softened), its loads are doomed.
void fb_op_forget(fb_gate *gate, fb_op *op, int64_t now_ns);
// The same, unless something newer is owed of the key, which memory has.
void fb_op_forget_again(fb_gate *gate, fb_op *op, int64_t now_ns);
bool fb_op_overtaken(const fb_gate *gate, const fb_op *op);
// Before a value is sent: what is there goes, and a ticket is taken. FB_ENOMEM: nothing is sent.
FB_CHECK_RESULT int fb_op_claim(fb_gate *gate, fb_op *op, int64_t now_ns);
// op->loaded is in the shared tier now: into memory, too, where nothing has come after it.
void fb_op_keep(fb_gate *gate, fb_op *op, int64_t now_ns);

// ---- edit.c
void fb_edit_begin(fb_gate *gate, fb_op *op, int64_t now_ns);
void fb_edit_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
void fb_add_send(fb_gate *gate, fb_op *op, int64_t now_ns);
void fb_add_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
// Adds: `arg` is an fb_adding.
int fb_add_edit(void *arg, fb_edit *edit);

// ---- read.c
FB_CHECK_RESULT int fb_read_flight(fb_gate *gate, const fb_action *action, int64_t now_ns);
FB_CHECK_RESULT int fb_read_want(fb_gate *gate, const fb_want *want, int64_t now_ns);
FB_CHECK_RESULT int fb_lease_want(fb_gate *gate, const fb_want *want, int64_t now_ns);
FB_CHECK_RESULT int fb_lease_fill_want(fb_gate *gate, const fb_want *want, int64_t now_ns);
void fb_get_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
void fb_fill_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
void fb_read_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
void fb_lease_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
void fb_lease_fill_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
void fb_grant_free(fb_gate *gate, fb_grant *grant);

// ---- commit.c
FB_CHECK_RESULT int fb_snapshot_want(fb_gate *gate, const fb_want *want, int64_t now_ns);
void fb_snapshot_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
FB_CHECK_RESULT int fb_commit_want(fb_gate *gate, const fb_want *want, int64_t now_ns);
void fb_commit_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);

// ---- wide.c
FB_CHECK_RESULT int fb_wide_want(fb_gate *gate, const fb_want *want, int64_t now_ns);
// Memory: once more.
void fb_wide_apply(fb_gate *gate, fb_op *op, int64_t now_ns);
void fb_wide_send(fb_gate *gate, fb_op *op, int64_t now_ns);
void fb_wide_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
// The change is done; answered when the nodes have said so, or when time is over.
void fb_acks_begin(fb_gate *gate, fb_op *op, const fb_mark *mark, int64_t now_ns);
void fb_acks_reply(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, int64_t now_ns);
// Remembers since when each log has had its epoch.
void fb_acks_watch(fb_gate *gate, int64_t now_ns);
void fb_acks_hear(fb_gate *gate, uint64_t nonce, uint64_t node);
void fb_acks_time_out(fb_gate *gate, fb_op *op, int64_t now_ns);

// ---- away.c
void fb_away_do(fb_gate *gate, fb_op *op, int64_t now_ns);

// ---- replay.c
void fb_replay_step(fb_gate *gate, int64_t now_ns);
int64_t fb_replay_due(const fb_gate *gate);
// Another part of the shared tier is reached: what is parked is tried again.
void fb_replay_resume(fb_gate *gate);
// What was told has been, or has not.
void fb_replay_done(fb_gate *gate, fb_op *op, int64_t now_ns);
// `reply` NULL: it was not even sent.
void fb_replay_failed(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, int64_t now_ns);
void fb_probe_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);
// Whether this node follows the epoch that was opened.
void fb_epoch_look(fb_gate *gate, fb_op *op, int64_t now_ns);
void fb_epoch_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
