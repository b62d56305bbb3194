// sync/outbox.h -- changes that the shared tier has not been told yet, one entry for a key or a
// wide invalidation, the newest word on it. Bounded: beyond its room it forgets the entries of a
// log and knows only that something of that one is owed: then it is to be given a new epoch.
//
// Pure; one thread at a time. Memory: as entries come.

#ifndef FB_SYNC_OUTBOX_H
#define FB_SYNC_OUTBOX_H

#include "base/list.h"
#include "base/map.h"
#include "sync/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_owed_kind {
    FB_OWED_DROP,  // it was invalidated or deleted
    FB_OWED_SET,   // it was stored: what memory has of it then, else a drop
    FB_OWED_ADD    // `delta` was added
} fb_owed_kind;

typedef struct fb_owed {
    fb_owed_kind kind;
    uint32_t log;
    fb_record record;  // its name is the key, or what it is wide of
    fb_str tags;       // SET: the caller's, each behind a byte that says how long it is
    uint64_t version;  // SET: of the value in memory; another one there is not what was stored
    // SET of a plain key, whose value is nowhere else: the value, in case that memory is flushed
    // because the shared tier turns out to be empty; NULL: only what memory has. Referenced.
    fb_blob *value;
    fb_kind value_kind;
    int64_t expires_ns;  // of the value; INT64_MAX: never
    uint64_t wides;      // fb_sync_wides() before it was stored
    uint64_t epoch, wide_epoch;  // of its log and the wide one, as they were known then
    int64_t delta;
    int64_t since_ns;
    // The outbox's:
    fb_list list;         // oldest first
    uint64_t generation;  // raised by every owe() of its name
    bool busy;            // it is being told
    bool parked;          // what it concerns is not reached
    int64_t told_delta;   // ADD: and this of it
    uint32_t failures;
    fb_str name;          // in its map
} fb_owed;

typedef struct fb_outbox fb_outbox;

enum { FB_OUTBOX_VALUES_MAX = 64 * 1024 * 1024 };  // bytes of values that are kept

// `logs`: how many there are, the wide one among them.
FB_CHECK_RESULT int fb_outbox_new(size_t entries_max, uint32_t logs, fb_outbox **outbox);
void fb_outbox_free(fb_outbox *outbox);
// Merged with what is owed of the same name, and then the newest: SET or DROP take the place of
// all; ADD on ADD is the sum, ADD on SET or DROP is SET, of what->version; a wide one is kept once.
// Hard goes over soft, the higher fence over the lower. Copies. Never fails: without room or memory the log is overflowed.
void fb_outbox_owe(fb_outbox *outbox, const fb_owed *what, int64_t now_ns);
// The next to be told: the oldest that is not being told, but none behind a wide one that is. NULL:
// there is none. Good until the next call that changes the outbox.
const fb_owed *fb_outbox_next(const fb_outbox *outbox);
// What is owed of a key, or NULL.
const fb_owed *fb_outbox_find(const fb_outbox *outbox, fb_record_kind kind, fb_str name);
// It is being told from now on; its generation is what done() and again() are asked with.
uint64_t fb_outbox_tell(fb_outbox *outbox, const fb_owed *owed);
// It has been told: it is gone, unless something was owed of that name meanwhile.
void fb_outbox_done(fb_outbox *outbox, fb_record_kind kind, fb_str name, uint64_t generation);
// It has not, and waits again. `weight`: how much that says about this one. A SET that comes to 30
// is a DROP from then on: a full server takes no values, but must not keep all others waiting.
void fb_outbox_again(fb_outbox *outbox, fb_record_kind kind, fb_str name, uint32_t weight);

// As again(), of a key that lies in a part of the shared tier that is not reached: it keeps no other
// waiting, and is not the next until resume().
void fb_outbox_park(fb_outbox *outbox, fb_record_kind kind, fb_str name);
// The same of a log that was to be renewed, after fb_outbox_renewed(…, false).
void fb_outbox_park_log(fb_outbox *outbox, uint32_t log);
// All that is parked may be told again.
void fb_outbox_resume(fb_outbox *outbox);
bool fb_outbox_has_parked(const fb_outbox *outbox);

// A log of which entries were forgotten, and that is neither being renewed nor parked; UINT32_MAX:
// none.
uint32_t fb_outbox_overflowed(const fb_outbox *outbox);
// From now on it is being renewed: what is owed of it later is kept as ever. Then, how it went.
void fb_outbox_renew(fb_outbox *outbox, uint32_t log);
void fb_outbox_renewed(fb_outbox *outbox, uint32_t log, bool done);
// Forgets all entries (an outage that took too long): their logs are overflowed.
void fb_outbox_give_up(fb_outbox *outbox);

// Nothing is owed, and nothing is being told or renewed.
bool fb_outbox_empty(const fb_outbox *outbox);
// Whether something of this log is.
bool fb_outbox_owes(const fb_outbox *outbox, uint32_t log);
// Whether something wide is.
bool fb_outbox_owes_wide(const fb_outbox *outbox);
size_t fb_outbox_count(const fb_outbox *outbox);
void fb_outbox_check(const fb_outbox *outbox);

#ifdef __cplusplus
}
#endif

#endif
