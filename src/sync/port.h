// sync/port.h -- the shared tier as this node asks it: requests, replies, records. redis/ implements
// it over a network, tests/sim by a model; both pass the same tests (tests/unit/sync/port_claims.h).
//
// Each request is one step that nothing comes between (a script), but SWEEP. What the shared tier
// keeps of a key: a value with its stamps, a lease, a fence (the least source version that may be
// stored) and a hold; of a log: the epoch, the sequence, the last record's nonce, and the newest
// records. Values carry the epoch of their partition: of another epoch they are void.
//
// Where a log has no epoch (a new or an emptied server), every request that needs one is answered
// NO_EPOCH, changes included, and nothing is done; the follower opens one. (Only SWEEP, STATE, EPOCH,
// NODES and ACK need none.)
//
// No wall clock decides anything: lifetimes are what is left of them.
// Memory: what a request points to is good until send() returns; what a reply points to, until the
// function that takes it returns. Threads: one at a time on one port.

#ifndef FB_SYNC_PORT_H
#define FB_SYNC_PORT_H

#include "cache/coherent.h"
#include "cache/loaded.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- records

typedef enum fb_record_kind {
    FB_RECORD_KEY,        // the key was changed: drop what is held of it
    FB_RECORD_TAG,        // the rest stand in the wide log
    FB_RECORD_CLASS,
    FB_RECORD_NAMESPACE,
    FB_RECORD_PATTERN,
    FB_RECORD_ALL
} fb_record_kind;

typedef struct fb_record {
    uint64_t seq, nonce;
    uint64_t before;   // the nonce of the record before it; 0: it is the first
    uint64_t node;     // who issued it, and applies it by himself; 0: every node applies it
    fb_record_kind kind;
    bool soft;
    bool wants_ack;    // by an ACK with its nonce, when it is applied
    int64_t hold_ms;   // KEY: fills are refused so long; 0: not
    uint64_t fence;    // KEY: older source versions are refused; 0: none
    fb_str name;       // the key, tag, class, namespace, pattern; empty for ALL
} fb_record;

// As it stands in the log and goes through the channel: text, without seq (which the log gives).
// Its first FB_RECORD_BEFORE_LEN bytes are `before`, its next as many, after a space, the nonce, both
// in hex: whoever appends it puts the first right. FB_ENOMEM.
FB_CHECK_RESULT int fb_sync_record_write(const fb_record *record, fb_buf *out);
// *record points into `text`. FB_ESYNTAX.
FB_CHECK_RESULT int fb_sync_record_read(fb_str text, uint64_t seq, fb_record *record);

enum { FB_RECORD_BEFORE_LEN = 16 };

// ---- epochs
//
// An epoch's number says which of two came later: its upper 24 bits count, its lower 40 are random. So a
// server that goes on from a copy of before an epoch is known by the older one that it shows.

static inline bool fb_epoch_is_older(uint64_t epoch, uint64_t other) {
    return epoch >> 40 < other >> 40;
}
// A number for one after `epoch` (0: the first).
static inline uint64_t fb_epoch_after(uint64_t epoch, uint64_t random) {
    return ((epoch >> 40) + 1) << 40 | (random & ((UINT64_C(1) << 40) - 1));
}

// In STATE's answer: of a log that did not answer. (No log comes so far.)
static inline bool fb_mark_is_unknown(const fb_mark *mark) {
    return mark->seq == UINT64_MAX;
}

// ---- requests

typedef enum fb_sync_verb {
    // key, token, lease_ns, refresh → VALUE, LEASE, HELD. Again with the same token: LEASE again.
    // Under a hold everybody gets LEASE (with `held`), and nobody may fill.
    FB_SYNC_GET,
    // key → VALUE, NONE
    FB_SYNC_PEEK,
    // key, token, loaded, ttl_ns (0: only gives the lease back), wide → DONE, REFUSED: the lease is
    // gone, or of another epoch; a hold is on; loaded->source_version is older than what is there or
    // than the fence (0 is older than any fence: it cannot be shown to be new enough). The lease is
    // gone afterwards, either way.
    FB_SYNC_FILL,
    // key, loaded, ttl_ns (-1: no end), wide, record, when → DONE, CONFLICT, REFUSED (an older
    // loaded->source_version than what is there, or than the fence; 0 is the caller's word, and never
    // older). Takes the lease and ends a hold, as ADD and EXPIRE do.
    FB_SYNC_SET,
    // key, record, when → DONE (`found`), CONFLICT. Value and lease go; record.fence and hold_ms take
    // effect (a fence stays for FB_SYNC_FENCE_MS, a hold ends with the next KEY record without one).
    FB_SYNC_DROP,
    // key, ttl_ns, record, when → DONE, NONE, CONFLICT
    FB_SYNC_EXPIRE,
    // key, delta, ttl_ns (of a new one), record → DONE (`number`), WRONG_TYPE, OUT_OF_RANGE. An
    // absent key counts as 0; its lifetime stays as it is.
    FB_SYNC_ADD,
    // records, record_count: into the wide log, in one step; raises their stamps → DONE (`mark`: of
    // the wide log, after the last)
    FB_SYNC_BUMP,
    // key: a glob: takes every value and lease away whose key matches → DONE (`number`). Leases of
    // all partitions first, then values: so a fill under a lease from before is found as one or the
    // other. Not one step; may take seconds.
    FB_SYNC_SWEEP,
    // node, alive_ms → DONE: `marks` of all logs; of those that did not answer, while the wide one
    // did, fb_mark_is_unknown(). Says that this node lives.
    FB_SYNC_STATE,
    // log, mark.seq → DONE: `records` from that one on (it too; 0: from the first), `mark`; GONE: it
    // is not there any more (trimmed, or never was)
    FB_SYNC_LOG,
    // log, mark.epoch (as it is now for the caller; 0: there is none), token (the new one) → DONE:
    // `mark`, as it is now: the new epoch, or the one that somebody else opened first
    FB_SYNC_EPOCH,
    // → DONE: `mark` of the wide log and `stamps`
    FB_SYNC_STAMPS,
    // → DONE: `nodes` that live
    FB_SYNC_NODES,
    // token: a record's nonce; node → DONE: every node's on_ack() hears of it
    FB_SYNC_ACK,
    // items, item_count, wide: all of them, or none → DONE (`marks`: of each item's log, behind the
    // item's record), CONFLICT: a condition does not hold. Their keys may have different logs, but
    // in a Cluster all have to lie in one slot, and none may be of a plain layout.
    FB_SYNC_COMMIT
} fb_sync_verb;

// What COMMIT FAILED says where a Cluster cannot do it: Redis's own words.
#define FB_SYNC_CROSSSLOT "Keys in request don't hash to the same slot"

enum { FB_SYNC_FENCE_MS = 3600 * 1000, FB_SYNC_STAMP_SLOTS = 16384 };

// A condition on what is there, for SET, DROP, EXPIRE. Else CONFLICT, with what is there.
// "Known not to exist" (loaded.result FB_NEGATIVE) is no value for ABSENT, `found`, EXPIRE and ADD; it
// has a version, though.
typedef enum fb_sync_when {
    FB_WHEN_ANY,
    FB_WHEN_ABSENT,   // no value
    FB_WHEN_VERSION   // the value of this version, and, if mark.epoch is not 0, in that epoch
} fb_sync_when;

// One key of a COMMIT: what has to be true of it, and what is done with it.
typedef enum fb_sync_act {
    FB_ACT_NONE,   // the condition alone
    FB_ACT_SET,    // loaded, ttl_ns
    FB_ACT_DROP,
    FB_ACT_EXPIRE  // ttl_ns; no value: nothing is done
} fb_sync_act;
typedef struct fb_sync_item {
    fb_str key;
    uint32_t log;       // the partition of `key`
    fb_str class_name;  // as in a request
    fb_sync_when when;
    uint64_t version, epoch;  // with FB_WHEN_VERSION
    fb_sync_act act;
    const fb_loaded *loaded;
    int64_t ttl_ns;     // -1: no end
    fb_record record;   // unless NONE
} fb_sync_item;

typedef struct fb_sync_request {
    fb_sync_verb verb;
    uint64_t id;  // in the reply again; the highest bit is the driver's, who shares a port between
                  // a gate and the follower
    fb_str key;
    uint32_t log;           // the partition of `key`; of LOG and EPOCH: which
    bool plain;             // the class's layout is plain (see decisions/0005)
    fb_str class_name;      // of the value; empty: plain keys (for dictionaries)
    uint64_t token;
    int64_t lease_ns;
    bool refresh;           // GET: no VALUE is wanted, but a lease beside the one that is there
    const fb_loaded *loaded;
    int64_t ttl_ns;
    fb_mark wide;           // the wide log as this node had applied it when the load began
    fb_record record;       // seq and before are given by the log
    fb_sync_when when;
    uint64_t version;       // with FB_WHEN_VERSION
    int64_t delta;
    const fb_record *records;
    size_t record_count;
    const fb_sync_item *items;
    size_t item_count;
    fb_mark mark;
    uint64_t node;
    int64_t alive_ms;
    // How long to wait: after that FAILED. What is repeatable is repeated by the driver within it.
    int64_t timeout_ns;
} fb_sync_request;

// ---- replies

typedef enum fb_sync_result {
    FB_SYNC_VALUE,
    FB_SYNC_NONE,
    FB_SYNC_LEASE,
    FB_SYNC_HELD,
    FB_SYNC_DONE,
    FB_SYNC_REFUSED,
    FB_SYNC_CONFLICT,   // `has_value`: loaded and so on are what is there
    FB_SYNC_WRONG_TYPE,
    FB_SYNC_OUT_OF_RANGE,
    FB_SYNC_GONE,
    FB_SYNC_NO_EPOCH,
    FB_SYNC_FAILED,     // not done: not sent, refused (`text` says why)
    FB_SYNC_UNKNOWN     // perhaps done: no answer in time, or the connection broke
} fb_sync_result;

typedef struct fb_sync_stamp {
    uint32_t slot;
    uint64_t hard, soft;  // the wide sequence of the last one; 0: none
} fb_sync_stamp;

typedef struct fb_sync_reply {
    fb_sync_result result;
    uint64_t id;
    fb_mark mark;  // of the key's partition, or the log, at that moment
    // VALUE, CONFLICT
    bool has_value;
    fb_loaded loaded;     // taken over by the receiver
    int64_t fresh_for_ns; // what is left of its lifetime; INT64_MAX: no end
    int64_t age_ns;       // by the shared tier's clock; for display
    uint64_t version;     // of the value, never 0, another one for each store in this epoch: of a SET,
                          // EXPIRE or ADD its sequence; of a FILL, which is silent, a number above 2^52
    fb_mark wide;         // as request.wide was when it was stored
    // also LEASE, HELD, NONE
    uint64_t fence;  // older source versions must not be kept; 0: none
    bool held;       // a hold is on: load, but keep nothing anywhere
    bool found;      // DROP: a value was there
    int64_t number;  // ADD, SWEEP
    const fb_mark *marks;
    size_t mark_count;
    const fb_record *records;
    size_t record_count;
    const fb_sync_stamp *stamps;
    size_t stamp_count;
    const uint64_t *nodes;
    size_t node_count;
    const char *text;  // FAILED, UNKNOWN: detail, may be ""
    // FAILED: nothing was sent, because of the part of the shared tier that is not reached
    // (`why` of on_link()); others are.
    bool away;
    // FAILED, UNKNOWN: the port finds out by itself which of its servers answer in time.
    bool judged;
} fb_sync_reply;

// ---- the port

typedef struct fb_sync_port fb_sync_port;
// What it tells of its own accord, on the same thread; never from within send().
typedef struct fb_sync_events {
    void (*on_reply)(void *arg, fb_sync_reply *reply);  // exactly one for each send()
    // It is (not) to be reached; `why` where it is not. At first it is not, until it says so. Up with
    // a `why`: part of it is not reached, which says what (never the wide log, of which everything
    // hangs); told anew whenever that part is another one.
    void (*on_link)(void *arg, bool up, const char *why);
    // Only on the port that follows:
    void (*on_record)(void *arg, uint32_t log, uint64_t epoch, const fb_record *record);
    void (*on_ack)(void *arg, uint64_t nonce, uint64_t node);
    // Somebody wrote a key of a plain layout past forebay; key.ptr NULL: any may have been written.
    void (*on_bypass)(void *arg, fb_str key);
    void *arg;
} fb_sync_events;

struct fb_sync_port {
    void (*send)(fb_sync_port *port, const fb_sync_request *request);
};

// The slot of the wide stamps for a kind and name: the same on every node. ALL has one of its own
// (0). Keys and patterns have none (not to be asked for): they stand in the log alone.
uint32_t fb_sync_slot(fb_record_kind kind, fb_str name);

#ifdef __cplusplus
}
#endif

#endif
