// engine/worker_inside.h -- what the files of workers share.

#ifndef FB_ENGINE_WORKER_INSIDE_H
#define FB_ENGINE_WORKER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/list.h"
#include "engine/queues_inside.h"
#include "engine/worker.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_WORKER_NAME_MAX = 64 };

struct fb_worker {
    fb_queues *queues;
    bool own;
    char names[FB_QUEUE_NAMES_MAX][FB_QUEUE_NAME_MAX + 1];
    size_t queue_count;
    fb_work_fn work;
    void *arg;
    char name[FB_WORKER_NAME_MAX + 1];
    pthread_t manager;
    pthread_mutex_t lock;   // what follows
    pthread_cond_t more;    // for threads: something is ready
    pthread_cond_t turn;    // for the manager: something has changed,
    bool changed;           // since it began to look: it may not be waiting yet
    fb_list threads;
    uint32_t wanted, alive, busy;
    fb_list held;           // all jobs that it has
    fb_list ready;          // those not begun
    uint32_t ready_count;
    bool stopping;
    int64_t drain_until_ns;
    _Atomic(bool) over;     // that time has passed
    fb_queue_wait *wait;    // of the RESERVE that is on its way
    bool asking, called_off;
    int64_t pause_ns, pause_until_ns;  // after errors
    uint32_t beats;         // EXTENDs on their way
};

struct fb_work {
    fb_list list;           // in worker->held
    fb_list line;           // in worker->ready
    fb_worker *worker;
    fb_arena arena;
    fb_job job;
    // Its lease, under the lock.
    int64_t beat_ns;        // when to extend it
    int64_t beaten_ns;      // when it was
    int64_t until_ns;       // it is over then, as far as we know
    bool beating;
    char progress[FB_JOB_TEXT_MAX + 1];
    bool progressed;
    _Atomic(bool) lost;
    // What its function said, on its thread.
    char text[FB_JOB_TEXT_MAX + 1];
    bool permanent, released;
    int64_t delay_ms;
};

// Under the lock: the manager looks again, whether it waits or is looking with the lock let go.
static inline void fb_worker_stir(fb_worker *worker) {
    worker->changed = true;
    pthread_cond_signal(&worker->turn);
}

// ---- worker_beat.c, under the lock, on the manager's thread

// Extends what is due; *due_ns becomes when the next one is, if that is sooner.
void fb_worker_beat(fb_worker *worker, int64_t now_ns, int64_t *due_ns);
// A job was claimed just now.
void fb_work_begin_lease(fb_work *work, int64_t now_ns);

// ---- worker_finish.c, on the job's thread

// Tells the store what became of it: until that has answered, or the lease is over.
void fb_work_finish(fb_work *work, int result);

#ifdef __cplusplus
}
#endif

#endif
