// forebay/transaction.h -- several keys of the shared tier, read and changed in one step or not at all.
//
//     fb_transaction *transaction;
//     if (fb_transaction_new(engine, &transaction) || fb_transaction_watch(transaction, from, &error)) { … }
//     int result = fb_transaction_run(transaction, move, &amount, &error);  // move() calls fb_get(), fb_set() …
//
// The control is optimistic (Kung and Robinson, "On Optimistic Methods for Concurrency Control", ACM TODS
// 6(2), 1981): each key that is read is remembered with its version, what is changed is kept back, and at
// the end the shared tier compares all versions and stores all changes in one step (a script). Nobody waits
// for a lock, and of those who meet, one gets through. What is read in a transaction comes from the shared
// tier, never from memory. A wide invalidation (by tag, class …) counts as later than the transaction: what
// that has stored is overtaken by it.
//
// Inside are, on keys: fb_get(), fb_get_many(), fb_get_copy(), fb_exists(), fb_ttl(), fb_set() (without
// source_version), fb_del(), fb_edit_key(), fb_incr(), fb_expire(), fb_persist(). All other calls are as
// ever, and are not undone. Not for keys of classes with a plain layout.
//
// In a Cluster the keys of one transaction have to lie in one slot: give them the same {…}.
// Where there is no shared tier there are no transactions either (FB_EINVAL): in one process a lock of
// your own does that.
// Threads: one at a time; every call may wait for the shared tier.

#ifndef FOREBAY_TRANSACTION_H
#define FOREBAY_TRANSACTION_H

#include <forebay/base.h>
#include <forebay/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_TRANSACTION_KEYS_MAX = 1024 };

typedef struct fb_transaction fb_transaction;

// FB_EINVAL: there is no shared tier. FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_transaction_new(fb_engine *engine, fb_transaction **transaction);
// Before fb_close(). NULL is fine.
FB_API void fb_transaction_free(fb_transaction *transaction);

// From here to the end of fb_transaction_run() the key must not change (what was absent and is
// absent again has not). Again: as of the first time.
// FB_EIO: the shared tier is not reached, or this node is not in step with it. FB_EINVAL: a plain layout,
// or in a run. FB_ETOOBIG: too many keys, or too long a one. FB_ECLOSED, FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_transaction_watch(fb_transaction *transaction, fb_str key,
                                                fb_error *error);
// Calls fn(arg), with this thread's (or fiber's) calls inside the transaction, then commits. Where a key
// that it has read, but did not watch, was changed meanwhile, it is called once more: it is to begin anew
// each time. FB_OK: everything is done. FB_REFUSED: a watched key has changed. FB_EOVERLOAD: others changed
// its keys again and again. FB_EIO, as above. FB_ECONFLICT: not all keys are in one slot of the Cluster.
// FB_EINVAL (a plain layout), FB_ETOOBIG (too many keys), FB_ENOMEM: of a call inside; what else a call
// refuses (a key or value that is too big, a tag) is said to its caller alone, and ends nothing. After any
// of these nothing was done. FB_ETIMEDOUT: no answer came, so it may have been done, or not; FB_ECLOSED:
// likewise, the engine is being closed. Nothing is watched any more afterwards. Within `fn` of another
// transaction it is part of that one, which commits all, and may watch nothing of its own.
FB_API FB_CHECK_RESULT int fb_transaction_run(fb_transaction *transaction, void (*fn)(void *arg),
                                              void *arg, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
