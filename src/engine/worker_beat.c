// Leases of the jobs that a worker has: each is extended when a third of it has passed, so that two
// tries may fail before it is over. What is due at the same time goes in one call; a job that has
// progress to tell goes alone, at most once a second.
//
// A lease that the store says is lost, or of which we have not heard until its end, is lost: the
// function that does the job is told so (fb_work_is_over()), since somebody else may have it by
// now.

#include "engine/worker_inside.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"

enum { BATCH_MAX = 256 };

typedef struct beat {
    fb_worker *worker;
    const char *queue;  // of the worker's names
    int64_t sent_ns;
    size_t count;
    fb_job_claim claims[];
} beat;

static int64_t lease_ns(const fb_work *work) {
    return fb_engine_ns_of(work->job.lease_ms > 0 ? work->job.lease_ms : 1);
}

void fb_work_begin_lease(fb_work *work, int64_t now_ns) {
    work->until_ns = now_ns + lease_ns(work);
    work->beat_ns = now_ns + lease_ns(work) / 3;
}

static fb_work *find(const beat *one, size_t index) {
    FB_LIST_EACH(node, &one->worker->held) {
        fb_work *work = FB_LIST_OF(node, fb_work, list);
        if (work->job.number == one->claims[index].number &&
            work->job.token == one->claims[index].token &&
            fb_str_equal(work->job.queue, fb_str_of(one->queue))) {
            return work;
        }
    }
    return NULL;
}

static void note(fb_work *work, const beat *one, int result, int64_t now_ns) {
    int64_t again_ns = lease_ns(work) / 6;
    work->beating = false;
    if (result == FB_OK) {
        work->until_ns = one->sent_ns + lease_ns(work);
        work->beat_ns = one->sent_ns + lease_ns(work) / 3;
    } else if (result == FB_LOST) {
        atomic_store(&work->lost, true);
    } else {
        work->beat_ns = now_ns + (again_ns < FB_NS_PER_S ? again_ns : FB_NS_PER_S);
    }
}

// On lane 0.
static void on_extended(void *arg, const fb_queue_answer *answer) {
    beat *one = arg;
    fb_worker *worker = one->worker;
    pthread_mutex_lock(&worker->lock);
    int64_t now_ns = fb_clock_now_ns();
    for (size_t i = 0; i < one->count; i++) {
        fb_work *work = find(one, i);
        if (work != NULL) {
            note(work, one, answer->result < 0 ? answer->result : answer->results[i], now_ns);
        }
    }
    worker->beats--;
    fb_worker_stir(worker);
    pthread_mutex_unlock(&worker->lock);
    fb_mem_free(one);
}

static const char *name_of(const fb_worker *worker, fb_str queue) {
    for (size_t i = 0; i < worker->queue_count; i++) {
        if (fb_str_equal(fb_str_of(worker->names[i]), queue)) {
            return worker->names[i];
        }
    }
    return NULL;
}

static bool is_due(const fb_work *work, int64_t now_ns) {
    return !work->beating && work->beat_ns <= now_ns && !atomic_load(&work->lost);
}

// All that are due of the first one's queue; but it alone where it has progress to tell. False:
// none.
static bool extend(fb_worker *worker, int64_t now_ns) {
    beat *one = NULL;
    char text[FB_JOB_TEXT_MAX + 1];
    bool progressed = false;
    FB_LIST_EACH(node, &worker->held) {
        fb_work *work = FB_LIST_OF(node, fb_work, list);
        if (!is_due(work, now_ns) ||
            (one != NULL && (work->progressed || one->count == BATCH_MAX ||
                             !fb_str_equal(fb_str_of(one->queue), work->job.queue)))) {
            continue;
        }
        if (one == NULL) {
            one = fb_mem_zero(1, sizeof *one + BATCH_MAX * sizeof one->claims[0]);
            if (one == NULL) {
                work->beat_ns = now_ns + FB_NS_PER_MS;
                return false;
            }
            one->worker = worker;
            one->queue = name_of(worker, work->job.queue);
            one->sent_ns = now_ns;
            progressed = work->progressed;
            memcpy(text, work->progress, sizeof text);
        }
        one->claims[one->count++] = (fb_job_claim){work->job.number, work->job.token};
        work->beating = true;
        work->beaten_ns = now_ns;
        work->progressed = false;
        if (progressed) {
            break;
        }
    }
    if (one == NULL) {
        return false;
    }
    fb_queue_call call = {.verb = FB_QUEUE_EXTEND,
                          .queue = fb_str_of(one->queue),
                          .claims = one->claims,
                          .item_count = one->count,
                          .text = progressed ? fb_str_of(text) : (fb_str){NULL, 0}};
    worker->beats++;
    // Its answer waits for the lock.
    if (fb_queues_start(worker->queues, &call, true, on_extended, one, NULL, NULL) < 0) {
        worker->beats--;
        for (size_t i = 0; i < one->count; i++) {
            note(find(one, i), one, FB_EIO, now_ns);
        }
        fb_mem_free(one);
    }
    return true;
}

void fb_worker_beat(fb_worker *worker, int64_t now_ns, int64_t *due_ns) {
    while (FB_RULE(worker_beats) && extend(worker, now_ns)) {
    }
    FB_LIST_EACH(node, &worker->held) {
        fb_work *work = FB_LIST_OF(node, fb_work, list);
        if (now_ns >= work->until_ns) {
            atomic_store(&work->lost, true);
        }
        if (atomic_load(&work->lost)) {
            continue;
        }
        int64_t next_ns = work->beating ? work->until_ns : work->beat_ns;
        *due_ns = next_ns < *due_ns ? next_ns : *due_ns;
    }
}

void fb_work_progress(fb_work *work, fb_str text) {
    fb_worker *worker = work->worker;
    pthread_mutex_lock(&worker->lock);
    (void)snprintf(work->progress, sizeof work->progress, "%.*s",
                   (int)(text.len < FB_JOB_TEXT_MAX ? text.len : FB_JOB_TEXT_MAX),
                   text.ptr != NULL ? text.ptr : "");
    work->progressed = true;
    int64_t next_ns = work->beaten_ns + FB_NS_PER_S;
    work->beat_ns = next_ns < work->beat_ns ? next_ns : work->beat_ns;
    fb_worker_stir(worker);
    pthread_mutex_unlock(&worker->lock);
}

bool fb_work_is_over(const fb_work *work) {
    return atomic_load(&work->lost) || atomic_load(&work->worker->over);
}
