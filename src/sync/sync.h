// sync/sync.h -- what all threads of a node share about the shared tier: who this node is, the
// stamps of wide invalidations as far as they are applied, whether something wide is still owed,
// figures.
//
// The stamps answer one question: may a value that was stored in the shared tier with these tags,
// under a key of this class and namespace, at this place of the wide log, still be taken? A tag (a
// class, a namespace, ALL) has a slot; a slot knows the sequence of its last hard and soft
// invalidation in the epoch of the wide log. A value of another epoch, or one from before the
// stamps are known, may not.
//
// Lock order: none of its locks is held while another is taken.

#ifndef FB_SYNC_SYNC_H
#define FB_SYNC_SYNC_H

#include "cache/cache.h"
#include "sync/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_sync fb_sync;

typedef struct fb_sync_options {
    fb_cache *cache;
    uint32_t partitions;  // 1 … FB_PARTITIONS_MAX; of two the cache and the shared tier agree
    uint64_t node;        // random, never 0
    uint64_t seed;
    int64_t max_lag_ns;     // 2 s: the bound on staleness that is stated
    int64_t soft_ns;        // 5 ms: with something stale at hand, how long it is waited for
    int64_t hard_ns;        // 50 ms: how long at all
    int64_t max_outage_ns;  // after which the outbox is worth nothing any more: new epochs
    size_t outbox_max;      // entries of a lane's outbox, 100,000
} fb_sync_options;

FB_CHECK_RESULT int fb_sync_new(const fb_sync_options *options, fb_sync **sync);
void fb_sync_free(fb_sync *sync);
const fb_sync_options *fb_sync_options_of(const fb_sync *sync);

// ---- the wide stamps

// The wide log as applied: what a load or a store that begins now is stamped with.
void fb_sync_wide(const fb_sync *sync, fb_mark *mark);
typedef enum fb_verdict_wide { FB_WIDE_VALID, FB_WIDE_SOFT, FB_WIDE_GONE } fb_verdict_wide;
// What a value stored at `stored` (fb_sync_reply.wide) is worth: its own tags, and the class and
// namespace that own its key (`class_` NULL: plain), and the key's index tags.
fb_verdict_wide fb_sync_judge(const fb_sync *sync, const fb_mark *stored, fb_str key,
                              const fb_class *class_, const fb_loaded *loaded);
// The follower's. reset(): all anew, as the shared tier has them; `wide` is how far the log is
// applied. raise(): one record more, of any node; `wide` is the mark behind it. Nothing happens
// where that is of another epoch, and the mark moves by the next record only: so an issuer may call
// it too.
void fb_sync_stamps_reset(fb_sync *sync, const fb_mark *wide, const fb_sync_stamp *stamps,
                          size_t stamp_count);
void fb_sync_stamps_raise(fb_sync *sync, const fb_record *record, const fb_mark *wide);
// The same without moving the mark: it is about to be applied.
void fb_sync_stamps_warn(fb_sync *sync, const fb_record *record, const fb_mark *wide);

// ---- own records
//
// The follower passes over the records of this node: who issued one applies it when it is
// acknowledged. Where its outcome stays unknown (FB_SYNC_UNKNOWN), it may still be carried out
// later, and then nobody would: the issuer disowns it, so that the follower applies it if it comes;
// after that he drops from memory once more what it concerns. Bounded: beyond some thousand all own
// records count as disowned.
void fb_sync_disown(fb_sync *sync, uint64_t nonce);
bool fb_sync_disowned(fb_sync *sync, uint64_t nonce);

// Whoever had a change acknowledged says where the log stood then (fb_sync_reply.mark): the
// follower sees by it that a server lost the change, also where it never heard of it otherwise. The
// same where the change was a new epoch.
void fb_sync_acked(fb_sync *sync, uint32_t log, const fb_mark *mark);
// Whoever takes something from a log that stands where the follower has not come to yet, too.
void fb_sync_saw(fb_sync *sync, uint32_t log, const fb_mark *mark);
typedef struct fb_acked fb_acked;
fb_acked *fb_sync_acks(fb_sync *sync);  // the follower's

// ---- wide invalidations that are owed: until they are told, no lane takes values
void fb_sync_owe_wide(fb_sync *sync, int delta);
bool fb_sync_owes_wide(const fb_sync *sync);
// The same of one log: as many lanes more (fewer) owe something of it.
void fb_sync_owe(fb_sync *sync, uint32_t log, int delta);
bool fb_sync_owes(const fb_sync *sync, uint32_t log);
// How many wide invalidations have been applied here, to be counted when one has been: what was
// stored after a look at it and before the same look again was hit by none.
void fb_sync_wide_applied(fb_sync *sync);
uint64_t fb_sync_wides(const fb_sync *sync);

// ---- figures, and what people are told

typedef enum fb_sync_state {  // the worst of all lanes and the follower
    FB_SYNC_UNUSED,           // nobody has asked yet
    FB_SYNC_CONNECTED,        // and every partition COHERENT
    FB_SYNC_CATCHING_UP,      // reached, but some partition is DEGRADED
    FB_SYNC_AWAY              // not reached, or passed by
} fb_sync_state;

#define FB_SYNC_COUNTERS(X)                                                             \
    X(gets, "values and leases asked for")                                              \
    X(values, "values taken")                                                           \
    X(leases, "leases got")                                                             \
    X(held, "times that another node was loading")                                      \
    X(fills, "values handed over")                                                      \
    X(fills_refused, "values refused, their lease or epoch gone")                       \
    X(changes, "writes and invalidations sent")                                         \
    X(failures, "requests not answered, or with an error")                              \
    X(passed_by, "requests not sent: it was away")                                      \
    X(owed, "keys and wide invalidations put into the outbox")                          \
    X(replayed, "of those told later")                                                  \
    X(records, "records of other nodes applied")                                        \
    X(gaps, "gaps in a log, mended from it")                                            \
    X(flushes, "partitions flushed: trimmed logs, other epochs, histories that parted") \
    X(epochs, "epochs opened")                                                          \
    X(bypasses, "writes past forebay heard of")                                         \
    X(trips, "times that it was passed by from then on (the breaker opened)")

typedef enum fb_sync_counter {
#define FB_SYNC_COUNTER_ENUM(name, help) FB_SYNC_COUNT_##name,
    FB_SYNC_COUNTERS(FB_SYNC_COUNTER_ENUM)
#undef FB_SYNC_COUNTER_ENUM
        FB_SYNC_COUNTER_COUNT
} fb_sync_counter;
void fb_sync_count(fb_sync *sync, fb_sync_counter counter, uint64_t amount);

typedef struct fb_sync_figures {
    fb_sync_state state;
    char why[192];  // where it is not CONNECTED
    uint64_t counters[FB_SYNC_COUNTER_COUNT];
    uint64_t owed_now;
    uint32_t partitions, degraded;
    int64_t lag_ns;  // since the oldest partition's last proof; -1: there has been none
} fb_sync_figures;
void fb_sync_figures_read(const fb_sync *sync, int64_t now_ns, fb_sync_figures *figures);
// Each gate (by lane) and the follower (lane UINT32_MAX) say how they stand. Copies `why`.
void fb_sync_say(fb_sync *sync, uint32_t lane, fb_sync_state state, const char *why);
void fb_sync_owed_now(fb_sync *sync, int64_t delta);

#ifdef __cplusplus
}
#endif

#endif
