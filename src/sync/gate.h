// sync/gate.h -- one lane's way to the shared tier: event in → actions out. Between the flights of
// that lane (cache/flight.h), which ask and fill, its callers, who read and change keys, and a
// port.
//
// It passes requests on while the breaker lets it, and answers them itself where not: a flight goes
// on without the shared tier; a change takes effect in memory and is owed (the outbox). When the
// link is back, what is owed is told first; until then no value is taken from there.
//
// A change, where it is sent: the loads under way of its key are doomed and what memory has goes,
// at once; a ticket is registered (fb_cache_begin()); the request is sent; when it is acknowledged
// the key is dropped once more, or, of SET and EDIT, the new value is stored under that ticket: so a
// record of another node's later change, if it was applied meanwhile, keeps the older value out.
// Where nothing is known of its outcome (UNKNOWN): SET, DEL and invalidations are owed and count as
// done here; an EDIT or ADD ends with FB_ETIMEDOUT, and memory has nothing of the key.
//
// A value is taken only if the reply's mark is the epoch that this node follows and not behind what
// it has applied (else the follower is told: `suspects`), and fb_sync_judge() finds it valid.
//
// An edit reads (PEEK), decides, and stores on condition of the version read; where somebody was
// faster it decides anew. All changes of a key go through the gate of the lane that owns it; wide
// ones through lane 0's.

#ifndef FB_SYNC_GATE_H
#define FB_SYNC_GATE_H

#include "cache/flight.h"
#include "sync/sync.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_gate fb_gate;

FB_CHECK_RESULT int fb_gate_new(fb_sync *sync, uint32_t lane, fb_gate **gate);
// Nobody is told any more.
void fb_gate_free(fb_gate *gate);

// ---- what callers want

// What the shared tier had of a key at one moment, and the condition that it is still so.
typedef struct fb_snapshot {
    bool found;        // a value that counts; then:
    fb_loaded loaded;  // it, with its tags; whoever asked releases it
    int64_t left_ns;   // of its lifetime; INT64_MAX: no end
    int64_t age_ns;
    fb_sync_when when;  // ABSENT, or VERSION with:
    uint64_t version, epoch;
    fb_mark wide;       // the wide log as it was applied before
} fb_snapshot;

// Changes of several keys in one step (sync/port.h). Of each item log, class and record are filled in here.
typedef struct fb_commit {
    fb_sync_item *items;
    size_t item_count;  // > 0
    fb_mark wide;       // of the oldest snapshot that they are based on; epoch 0: on none
} fb_commit;

typedef enum fb_want_kind {
    FB_WANT_READ,        // key → value (FB_OK), FB_MISS, FB_NEGATIVE; from the shared tier, into
                         // memory too
    FB_WANT_SET,
    FB_WANT_DEL,         // → FB_OK, FB_MISS
    FB_WANT_EDIT,        // → what `edit` returned
    FB_WANT_ADD,         // → FB_OK (`number`), FB_ETYPE, FB_ERANGE
    FB_WANT_INVALIDATE,  // any scope
    FB_WANT_LEASE,       // as GET of a flight, for a cache-aside client: FB_OK (value), FB_MISS
                         // (`token`), FB_PENDING (somebody else has the lease)
    FB_WANT_FILL,        // token, value → FB_OK, FB_REFUSED
    FB_WANT_SNAPSHOT,    // key → FB_OK (*snapshot), FB_EIO: it cannot be asked
    FB_WANT_COMMIT       // commit → FB_OK, FB_REFUSED: a condition does not hold, or what a wide
                         // invalidation has overtaken cannot be told any more; FB_EIO: it cannot be
                         // asked; FB_EINVAL: a plain layout; FB_ECONFLICT: not in one slot of a Cluster;
                         // of all these nothing was done; FB_ETIMEDOUT: nobody knows
} fb_want_kind;

typedef struct fb_want {
    fb_want_kind kind;
    uint64_t waiter;  // the driver's name for who waits; never 0
    fb_str key;
    // READ: after a change that this node may not have seen yet: nothing that was asked for before,
    // nor what memory has where the shared tier does not answer (FB_MISS).
    bool distrust;
    fb_str value;     // SET, FILL
    int64_t ttl_ns;   // SET, FILL: as fb_cache_put(): 0 the class's, < 0 none. LEASE: for how long
                      // it is wanted; 0: 10 s
    const fb_str *tags;
    size_t tag_count;
    uint64_t source_version;  // SET, FILL, INVALIDATE: 0: none
    fb_edit_fn edit;
    void *edit_arg;   // good until the answer
    int64_t wall_ms;  // EDIT: Unix time at now_ns
    int64_t delta;    // ADD
    uint64_t token;   // FILL
    fb_invalidation what;  // INVALIDATE; its name is copied
    fb_reach reach;        // how far it is to have reached when it is answered
    int64_t hold_ns;       // INVALIDATE of a key: refuse fills so long; 0: not
    int64_t timeout_ns;    // INVALIDATE that reaches nodes; 0: the hard limit
    fb_snapshot *snapshot;    // good until the answer
    const fb_commit *commit;  // likewise, with all that it points to
} fb_want;

// What pointers point to is copied, unless it says otherwise. An ANSWER for want->waiter comes, exactly one.
// FB_ENOMEM, FB_ETOOBIG, FB_EINVAL (tags), FB_ENOCLASS: none.
FB_CHECK_RESULT int fb_gate_want(fb_gate *gate, const fb_want *want, int64_t now_ns);
// A REMOTE_* action of the flights; a FLIGHT with its answer comes. FB_ENOMEM: none comes, and the
// caller is to say FB_REMOTE_FAILED to fb_flights_remote() himself.
FB_CHECK_RESULT int fb_gate_flight(fb_gate *gate, const fb_action *action, int64_t now_ns);

// Adds the tags that follow from a key of `class_` to what is to be stored under it. FB_EINVAL: too many.
// FB_ENOMEM. Any thread.
FB_CHECK_RESULT int fb_gate_key_tags(const fb_class *class_, fb_str key, fb_loaded *loaded);

// ---- the port's events
void fb_gate_link(fb_gate *gate, bool up, const char *why, int64_t now_ns);
void fb_gate_reply(fb_gate *gate, fb_sync_reply *reply, int64_t now_ns);
void fb_gate_ack(fb_gate *gate, uint64_t nonce, uint64_t node, int64_t now_ns);
int64_t fb_gate_due(const fb_gate *gate);
void fb_gate_tick(fb_gate *gate, int64_t now_ns);

// ---- actions

typedef enum fb_gate_action_type {
    FB_GATE_SEND,     // `request` to the port
    FB_GATE_FLIGHT,   // fb_flights_remote(remote, reply)
    FB_GATE_ANSWER,   // to `waiter`
    FB_GATE_SUSPECT   // fb_follower_suspect(log, mark), on its thread
} fb_gate_action_type;

typedef struct fb_gate_action {
    fb_gate_action_type type;
    fb_sync_request request;
    uint64_t remote;
    fb_remote_reply *reply;
    uint64_t waiter;
    int result;
    fb_value value;    // with FB_OK of READ and LEASE; value.owner holds a reference
    int64_t number;    // ADD; INVALIDATE: entries removed, or -1
    uint64_t token;    // LEASE
    fb_receipt receipt;  // of a change
    const char *error; // with result < 0; may be ""
    uint32_t log;
    fb_mark mark;
} fb_gate_action;

// The next thing to do; false: nothing. Good until the next call.
bool fb_gate_next(fb_gate *gate, fb_gate_action *action);
// Nothing is owed and nothing waits (for a close).
bool fb_gate_is_idle(const fb_gate *gate);
// For a stop: answers all who wait with FB_ECLOSED.
void fb_gate_close(fb_gate *gate);
void fb_gate_check(const fb_gate *gate);

#ifdef __cplusplus
}
#endif

#endif
