// queue/machine.h -- the job state machine: all jobs of all queues of one store, in memory, without
// their payloads. No I/O, no clock, no threads: a step is a function of the machine, the request
// and now_ms, and the redis scripts are the same functions over other structures
// (docs/decisions/0008).
//
// What a step changed stays in a list, until it is kept (it is on disk) or undone (it could not be
// written): undo brings every job, order, counter and mark back to what it was.
//
// Order: a job that becomes READY stands last among those of its priority; one that was abandoned
// or handed back stands first. A claim takes the most urgent level that has a job, but after a
// level was passed over 8 times (since a claim of its own, or since it was empty) it is its turn;
// of several, the most urgent one's.
//
// Memory: about 200 bytes a job; steps return FB_ENOMEM with nothing changed.

#ifndef FB_QUEUE_MACHINE_H
#define FB_QUEUE_MACHINE_H

#include "queue/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_machine fb_machine;

FB_CHECK_RESULT int fb_machine_new(fb_machine **machine);
void fb_machine_free(fb_machine *machine);

// ---- loading what is on disk

// Jobs (payloads are not looked at), each with its order; then marks and states of queues; numbers
// go on above the highest. FB_OK, FB_ENOMEM; FB_EINVAL: it cannot be so.
FB_CHECK_RESULT int fb_machine_load(fb_machine *machine, const fb_job *job, int64_t order);
FB_CHECK_RESULT int fb_machine_load_mark(fb_machine *machine, fb_str queue,
                                         const fb_store_mark *mark, int64_t until_ms);
FB_CHECK_RESULT int fb_machine_load_queue(fb_machine *machine, fb_str queue, bool paused,
                                          uint64_t last_number);

// ---- steps

// Every verb of the port at now_ms (> 0). Payloads: of ENQUEUE and IMPORT the caller keeps them
// until it keeps or undoes; of RESERVE, GET and LIST jobs come without (ptr NULL), but for those
// that were made since it was kept last, and the caller adds them. What the reply points to is good
// until it is kept or undone, however many steps follow: so keep (or undo) also where nothing
// changed. FB_OK, with reply->result DONE, MISS, FULL (nothing changed); FB_ENOMEM: nothing
// changed.
FB_CHECK_RESULT int fb_machine_step(fb_machine *machine, const fb_store_request *request,
                                    int64_t now_ms, fb_store_reply *reply);

// What is different since it was kept last, each job once, however often it changed.
typedef enum fb_change_kind {
    FB_CHANGE_NEW,     // payload and all; over what is on disk under its number (after an IMPORT)
    FB_CHANGE_JOB,     // changed: all but the payload
    FB_CHANGE_GONE,    // not there any more (never of one that was NEW and not kept)
    FB_CHANGE_MARK,    // mark, mark_until_ms
    FB_CHANGE_MARK_GONE,
    FB_CHANGE_QUEUE    // paused, last_number
} fb_change_kind;
typedef struct fb_change {
    fb_change_kind kind;
    fb_str queue;
    fb_job job;        // GONE: its number; NEW: with the payload, where the request has it
    int64_t order;     // of the job among the READY ones
    size_t item;       // NEW: which of its request's jobs
    fb_store_mark mark;
    int64_t mark_until_ms;
    bool paused;
    uint64_t last_number;
} fb_change;
// NULL: no more. Start with *place = 0. Good until the next call.
const fb_change *fb_machine_change(fb_machine *machine, size_t *place);
void fb_machine_keep(fb_machine *machine);
void fb_machine_undo(fb_machine *machine);

// What is due without being asked for: expired jobs, leases that are over, SCHEDULED ones whose
// time has come, DEAD ones that are old or too many, marks that are over; at most `most` of all.
// Its changes are as of a step. policy_of: NULL for a queue that nobody knows any more. *next_ms:
// when to call it again; ≤ now_ms: there is more. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_machine_sweep(fb_machine *machine,
                                     const fb_queue_policy *(*policy_of)(void *arg, fb_str queue),
                                     void *arg, int64_t now_ms, uint32_t most, int64_t *next_ms);

size_t fb_machine_jobs(const fb_machine *machine);
uint64_t fb_machine_bytes(const fb_machine *machine);
// O(n): for tests.
void fb_machine_check(const fb_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
