// engine/queues.h -- the queues of an engine: forebay/queue.h over one store, the journal of this
// machine or the shared tier.
//
//   queues.c          opening, reloading, closing; what a configuration means
//   queues_store.c    the store: opening the journal, sending, deadlines
//   queues_trip.c     one request on its way to the store, and its answer's way back
//   queues_call.c     fb_queue_start() and its kin: what a call means
//   queues_wait.c     RESERVE: who waits for jobs
//   queues_mark.c     marks, for others in the engine
//   queues_move.c     a queue from the other store into this one
//   queues_figures.c  figures, health
//   worker.c          fb_worker_*; worker_beat.c leases; worker_run.c until a signal
//   webhook.c         the built-in worker that posts jobs
//   schedules.c       jobs that begin by the clock
//
// Time: Unix milliseconds of the store for jobs, the monotonic clock for deadlines.

#ifndef FB_ENGINE_QUEUES_H
#define FB_ENGINE_QUEUES_H

#include <forebay/queue.h>

#include "config/settings.h"
#include "queue/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_queues fb_queues;                // engine->queues
typedef struct fb_queue_catalog fb_queue_catalog;  // what a configuration means

// ---- for the engine (queues.c)

// After the limits; nothing is sent before fb_queues_begin(). After an error fb_queues_free() is
// called as ever.
FB_CHECK_RESULT int fb_queues_open(fb_engine *engine, const fb_config *config, fb_error *error);
// Once the loops and the shared tier run: opens the journal where there is one already, or somebody
// asked for it; begins schedules and built-in workers. FB_EIO: what was asked for cannot be opened.
FB_CHECK_RESULT int fb_queues_begin(fb_engine *engine, fb_error *error);
// Whether what they need of this machine, time zones, is there: for fb_check().
FB_CHECK_RESULT int fb_queues_fit(const fb_settings *settings, fb_error *error);
// Another configuration: prepared, then published, which cannot fail, or dropped.
FB_CHECK_RESULT int fb_queues_prepare(fb_queues *queues, const fb_config *config,
                                      fb_queue_catalog **catalog, fb_error *error);
void fb_queues_publish(fb_queues *queues, fb_queue_catalog *catalog);
void fb_queues_drop(fb_queue_catalog *catalog);  // NULL is fine
void fb_queues_reset_figures(fb_queues *queues);
// Ten times a second, on lane 0.
void fb_queues_upkeep(fb_queues *queues);
// The way down, in this order. Nothing new begins (the engine is closing already): who waits for
// jobs is told so, schedules and moves end, the built-in workers finish within drain_ms or hand
// back.
void fb_queues_stop(fb_queues *queues, int64_t drain_ms);
// On a lane's thread, which is about to end: who waits for the shared tier is told FB_ECLOSED.
void fb_queues_end(fb_queues *queues, uint32_t lane);
// Before the lanes are freed: closes the journal.
void fb_queues_close(fb_queues *queues);
void fb_queues_free(fb_queues *queues);  // after the lanes. NULL is fine

// ---- for built-in workers

// What a built-in worker does; said before fb_queues_begin(). The worker of mails is the mailer's
// (engine/mail.h): fb_queues_builtin(engine->queues, FB_QUEUE_WORKER_MAIL, fb_mailer_work, mailer).
void fb_queues_builtin(fb_queues *queues, fb_queue_worker which, fb_work_fn work, void *arg);

// ---- for mails: jobs

// As fb_queue_start() and fb_queue_ask(); `own`: for what the engine itself does, a built-in
// worker, which may also go on while it closes.
FB_CHECK_RESULT int fb_queues_start(fb_queues *queues, const fb_queue_call *call, bool own,
                                    fb_queue_fn fn, void *arg, fb_queue_wait **wait,
                                    fb_error *error);
FB_CHECK_RESULT int fb_queues_ask(fb_queues *queues, const fb_queue_call *call, bool own,
                                  fb_queue_fn fn, void *arg, fb_error *error);
// The queue of a name as it is configured, or NULL: there is none, or it is switched off. Good
// until the engine closes, whatever is reloaded.
const fb_queue_options *fb_queues_options(fb_queues *queues, fb_str name);

// ---- marks: small durable numbers by name, of a queue (queues_mark.c)

typedef struct fb_queue_mark_call {
    fb_store_verb verb;   // FB_STORE_MARK_SET, _GET, _DROP, _LIST
    fb_str queue;
    fb_str mark;          // its name; of LIST what the names begin with
    fb_str after;         // LIST: the last name of the answer before
    int64_t value;        // SET
    int64_t life_ms;      // SET; 0: for ever
    uint32_t count;       // LIST; 1 … 1000
    bool own;             // as above
} fb_queue_mark_call;
typedef struct fb_queue_marked {
    int result;           // FB_OK; GET, DROP: FB_MISS: not there; errors as of a fb_queue_answer
    int64_t value;        // GET
    const fb_store_mark *marks;  // LIST
    size_t mark_count;
    const char *error;    // may be ""
} fb_queue_marked;
typedef void (*fb_queue_marked_fn)(void *arg, const fb_queue_marked *marked);
// Calls `fn` later, as fb_queue_start() does. FB_OK; FB_ENOQUEUE, FB_EINVAL, FB_ENOMEM, FB_ECLOSED.
FB_CHECK_RESULT int fb_queues_mark_start(fb_queues *queues, const fb_queue_mark_call *call,
                                         fb_queue_marked_fn fn, void *arg, fb_error *error);
// The same, waiting: `fn` is called on this thread. What start returns, or the answer's result.
FB_CHECK_RESULT int fb_queues_mark_ask(fb_queues *queues, const fb_queue_mark_call *call,
                                       fb_queue_marked_fn fn, void *arg, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
