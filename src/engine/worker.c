// A worker: threads that do jobs, and one that manages them.
//
// The manager has one RESERVE at a time on its way, for as many jobs as threads are free, and waits
// for jobs by it; it extends leases (worker_beat.c), starts and joins threads, and ends it all. A
// thread takes what is ready, does it, and tells the store itself (worker_finish.c), which it waits
// for: so a job's end is stored before the thread is free again.
//
// The end: nothing is reserved any more (what a RESERVE on its way still brings goes back), what
// was not begun goes back, what runs gets its time, is then told that it is over, and is waited
// for.
//
// The lock is never held over a call that waits. Callbacks of the engine come on lane 0 and take it
// for a moment; as long as it is held a RESERVE's handle cannot become invalid.

#include "engine/worker_inside.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"
#include "os/thread.h"

enum { CONCURRENCY_MAX = 1000 };
static const int64_t WAIT_MS = 30000;
static const int64_t PAUSE_MIN_NS = 100 * FB_NS_PER_MS;
static const int64_t PAUSE_MAX_NS = 10 * FB_NS_PER_S;

typedef struct hand {
    fb_list list;  // in worker->threads
    fb_worker *worker;
    pthread_t thread;
    bool ended;
} hand;

// ---- jobs

static void free_work(fb_work *work) {
    fb_arena_release(&work->arena);
    fb_mem_free(work);
}

static fb_work *make_work(fb_worker *worker, const fb_job *job) {
    fb_work *work = fb_mem_zero(1, sizeof *work);
    if (work == NULL) {
        return NULL;
    }
    work->worker = worker;
    work->delay_ms = -1;
    work->job = *job;
    fb_str *const texts[] = {&work->job.queue, &work->job.kind,  &work->job.payload,
                             &work->job.unique, &work->job.error, &work->job.progress};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fb_str copy = fb_arena_copy(&work->arena, *texts[i]);
        if (copy.len != texts[i]->len) {
            free_work(work);
            return NULL;
        }
        *texts[i] = copy;
    }
    fb_work_begin_lease(work, fb_clock_now_ns());
    return work;
}

static void take_in(fb_worker *worker, const fb_job *jobs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fb_work *work = make_work(worker, &jobs[i]);
        if (work == NULL) {
            const fb_queue_terms *terms = fb_queues_find(worker->queues, jobs[i].queue);
            if (terms != NULL) {
                fb_queue_hand_back(worker->queues, terms, &jobs[i], 1);
            }
            continue;
        }
        fb_list_insert(&worker->held, &work->list);
        fb_list_insert(&worker->ready, &work->line);
        worker->ready_count++;
    }
}

static void pause_for(fb_worker *worker, int result, const char *text) {
    bool first = worker->pause_ns == 0;
    worker->pause_ns = first                                 ? PAUSE_MIN_NS
                       : worker->pause_ns < PAUSE_MAX_NS / 2 ? 2 * worker->pause_ns
                                                             : PAUSE_MAX_NS;
    worker->pause_until_ns = fb_clock_now_ns() + worker->pause_ns;
    if (first && result != FB_ECLOSED) {
        fb_log(FB_LOG_WARN, "queue_worker_waits", "queue=%s result=%s why=%s", worker->names[0],
               fb_result_name(result), fb_log_quote(fb_str_of(text), FB_LOG_TEXT_MAX).text);
    }
}

// ---- threads

static void work_on(fb_worker *worker, fb_work *work) {
    fb_list_remove(&work->line);
    worker->ready_count--;
    worker->busy++;
    pthread_mutex_unlock(&worker->lock);
    int result = worker->work(worker->arg, &work->job, work);
    fb_work_finish(work, result);
    pthread_mutex_lock(&worker->lock);
    worker->busy--;
    fb_list_remove(&work->list);
    fb_worker_stir(worker);
    pthread_mutex_unlock(&worker->lock);
    free_work(work);
    pthread_mutex_lock(&worker->lock);
}

static void *run_hand(void *arg) {
    hand *self = arg;
    fb_worker *worker = self->worker;
    pthread_mutex_lock(&worker->lock);
    while (!worker->stopping && worker->alive <= worker->wanted) {
        if (!fb_list_empty(&worker->ready)) {
            work_on(worker, FB_LIST_OF(worker->ready.next, fb_work, line));
        } else {
            pthread_cond_wait(&worker->more, &worker->lock);
        }
    }
    self->ended = true;
    worker->alive--;
    fb_worker_stir(worker);
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

// Under the lock.
static int add_hand(fb_worker *worker) {
    hand *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    one->worker = worker;
    worker->alive++;
    int result = fb_thread_start(&one->thread, "forebay-job", run_hand, one);
    if (result < 0) {
        worker->alive--;
        fb_mem_free(one);
        return result;
    }
    fb_list_insert(&worker->threads, &one->list);
    return FB_OK;
}

static void join_ended(fb_worker *worker) {
    FB_LIST_EACH_SAFE(node, after, &worker->threads) {
        hand *one = FB_LIST_OF(node, hand, list);
        if (one->ended) {
            fb_list_remove(&one->list);
            pthread_mutex_unlock(&worker->lock);
            pthread_join(one->thread, NULL);  // it has let go of the lock, or is about to
            pthread_mutex_lock(&worker->lock);
            fb_mem_free(one);
            after = worker->threads.next;
        }
    }
}

// ---- the manager

// On lane 0.
static void on_reserved(void *arg, const fb_queue_answer *answer) {
    fb_worker *worker = arg;
    pthread_mutex_lock(&worker->lock);
    worker->wait = NULL;
    worker->asking = false;
    if (answer->result < 0) {
        pause_for(worker, answer->result, answer->error);
    } else {
        worker->pause_ns = 0;
        take_in(worker, answer->jobs, answer->job_count);
    }
    pthread_cond_broadcast(&worker->more);
    fb_worker_stir(worker);
    pthread_mutex_unlock(&worker->lock);
}

static void reserve(fb_worker *worker, int64_t now_ns, int64_t *due_ns) {
    fb_str names[FB_QUEUE_NAMES_MAX];
    fb_error error = {0};
    uint32_t taken = worker->busy + worker->ready_count;
    if (worker->asking || taken >= worker->wanted) {
        return;
    }
    if (now_ns < worker->pause_until_ns) {
        *due_ns = worker->pause_until_ns < *due_ns ? worker->pause_until_ns : *due_ns;
        return;
    }
    for (size_t i = 0; i < worker->queue_count; i++) {
        names[i] = fb_str_of(worker->names[i]);
    }
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE,
                          .queues = names,
                          .queue_count = worker->queue_count,
                          .count = worker->wanted - taken,
                          .wait_ms = WAIT_MS,
                          .worker = fb_str_of(worker->name)};
    // Its answer waits for the lock.
    int result = fb_queues_start(worker->queues, &call, worker->own, on_reserved, worker,
                                 &worker->wait, &error);
    worker->asking = result == FB_OK;
    if (result < 0) {
        pause_for(worker, result, error.text);
        *due_ns = worker->pause_until_ns < *due_ns ? worker->pause_until_ns : *due_ns;
    }
}

// What was not begun, a queue at a time.
static void hand_back(fb_worker *worker) {
    while (!fb_list_empty(&worker->ready)) {
        fb_job_claim claims[64];
        fb_list back;
        size_t count = 0;
        fb_str queue = FB_LIST_OF(worker->ready.next, fb_work, line)->job.queue;
        fb_list_init(&back);
        FB_LIST_EACH_SAFE(node, after, &worker->ready) {
            fb_work *work = FB_LIST_OF(node, fb_work, line);
            if (count < sizeof claims / sizeof claims[0] && fb_str_equal(work->job.queue, queue)) {
                claims[count++] = (fb_job_claim){work->job.number, work->job.token};
                fb_list_remove(&work->line);
                fb_list_remove(&work->list);
                fb_list_insert(&back, &work->list);
                worker->ready_count--;
            }
        }
        pthread_mutex_unlock(&worker->lock);
        fb_queue_call call = {.verb = FB_QUEUE_RELEASE, .queue = queue, .claims = claims,
                              .item_count = count};
        // Else they are claimed again when their leases end.
        FB_IGNORE(fb_queues_ask(worker->queues, &call, true, NULL, NULL, NULL));
        while (!fb_list_empty(&back)) {
            fb_work *work = FB_LIST_OF(back.next, fb_work, list);
            fb_list_remove(&work->list);
            free_work(work);
        }
        pthread_mutex_lock(&worker->lock);
    }
}

static void wind_up(fb_worker *worker, int64_t now_ns, int64_t *due_ns) {
    if (worker->wait != NULL && !worker->called_off) {
        worker->called_off = true;
        fb_queue_stop(worker->queues->engine, worker->wait);
    }
    hand_back(worker);
    if (now_ns >= worker->drain_until_ns) {
        atomic_store(&worker->over, true);
    } else if (worker->drain_until_ns < *due_ns) {
        *due_ns = worker->drain_until_ns;
    }
}

static bool has_ended(const fb_worker *worker) {
    return worker->stopping && !worker->asking && fb_list_empty(&worker->held) &&
           fb_list_empty(&worker->threads) && worker->beats == 0;
}

static void wait_for_turn(fb_worker *worker, int64_t due_ns) {
    if (due_ns == INT64_MAX) {
        pthread_cond_wait(&worker->turn, &worker->lock);
        return;
    }
    struct timespec until = {(time_t)(due_ns / FB_NS_PER_S), (long)(due_ns % FB_NS_PER_S)};
    (void)pthread_cond_timedwait(&worker->turn, &worker->lock, &until);
}

static void *manage(void *arg) {
    fb_worker *worker = arg;
    pthread_mutex_lock(&worker->lock);
    while (true) {
        int64_t now_ns = fb_clock_now_ns();
        int64_t due_ns = INT64_MAX;
        worker->changed = false;
        join_ended(worker);
        if (worker->stopping) {
            wind_up(worker, now_ns, &due_ns);
        } else {
            while (worker->alive < worker->wanted && add_hand(worker) == FB_OK) {
            }
            reserve(worker, now_ns, &due_ns);
        }
        fb_worker_beat(worker, now_ns, &due_ns);
        if (has_ended(worker)) {
            break;
        }
        // Joining a thread and handing jobs back let go of the lock: what came meanwhile woke
        // nobody.
        if (!worker->changed) {
            wait_for_turn(worker, due_ns);
        }
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

// ---- beginning and end

static int check_options(fb_queues *queues, const fb_worker_options *options, fb_error *error) {
    if (options->work == NULL || options->queue_count < 1 ||
        options->queue_count > FB_QUEUE_NAMES_MAX || options->concurrency > CONCURRENCY_MAX) {
        return fb_error_set(error, FB_EINVAL,
                            "expected a function, 1 to %d queues and at most %d threads",
                            FB_QUEUE_NAMES_MAX, CONCURRENCY_MAX);
    }
    for (size_t i = 0; i < options->queue_count; i++) {
        const fb_queue_terms *terms = NULL;
        int result = fb_queues_need(queues, options->queues[i], &terms, error);
        if (result < 0) {
            return result;
        }
    }
    return FB_OK;
}

static void name_worker(fb_worker *worker, fb_str name) {
    if (name.len > 0) {
        (void)snprintf(worker->name, sizeof worker->name, "%.*s",
                       (int)(name.len < FB_WORKER_NAME_MAX ? name.len : FB_WORKER_NAME_MAX),
                       name.ptr);
        return;
    }
    char host[FB_WORKER_NAME_MAX - 16] = "";
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(worker->name, sizeof worker->name, "%s:%ld", host, (long)getpid());
}

static fb_worker *new_worker(fb_queues *queues, const fb_worker_options *options, bool own) {
    fb_worker *worker = fb_mem_zero(1, sizeof *worker);
    if (worker == NULL) {
        return NULL;
    }
    worker->queues = queues;
    worker->own = own;
    worker->work = options->work;
    worker->arg = options->arg;
    worker->wanted = options->concurrency > 0 ? options->concurrency : 1;
    worker->queue_count = options->queue_count;
    for (size_t i = 0; i < options->queue_count; i++) {
        (void)snprintf(worker->names[i], sizeof worker->names[i], "%.*s",
                       FB_STR_ARG(options->queues[i]));
    }
    name_worker(worker, options->name);
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->more, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->turn, &attributes);
    pthread_condattr_destroy(&attributes);
    fb_list_init(&worker->threads);
    fb_list_init(&worker->held);
    fb_list_init(&worker->ready);
    return worker;
}

static void release(fb_worker *worker) {
    pthread_cond_destroy(&worker->turn);
    pthread_cond_destroy(&worker->more);
    pthread_mutex_destroy(&worker->lock);
    fb_mem_free(worker);
}

static int start_threads(fb_worker *worker) {
    int result = FB_OK;
    pthread_mutex_lock(&worker->lock);
    while (worker->alive < worker->wanted && result == FB_OK) {
        result = add_hand(worker);
    }
    worker->stopping = result < 0;
    pthread_cond_broadcast(&worker->more);
    if (result == FB_OK) {
        result = fb_thread_start(&worker->manager, "forebay-jobs", manage, worker);
    }
    worker->stopping = result < 0;
    pthread_cond_broadcast(&worker->more);
    while (result < 0 && !fb_list_empty(&worker->threads)) {
        while (worker->alive > 0) {
            pthread_cond_wait(&worker->turn, &worker->lock);
        }
        join_ended(worker);
    }
    pthread_mutex_unlock(&worker->lock);
    return result;
}

int fb_worker_make(fb_queues *queues, const fb_worker_options *options, bool own,
                   fb_worker **out, fb_error *error) {
    *out = NULL;
    int result = check_options(queues, options, error);
    if (result < 0) {
        return result;
    }
    fb_worker *worker = new_worker(queues, options, own);
    result = worker != NULL ? start_threads(worker) : FB_ENOMEM;
    if (result < 0) {
        if (worker != NULL) {
            release(worker);
        }
        return fb_error_set(error, result, "cannot start a worker: %s", fb_result_text(result));
    }
    *out = worker;
    return FB_OK;
}

int fb_worker_new(fb_engine *engine, const fb_worker_options *options, fb_worker **worker,
                  fb_error *error) {
    fb_engine_ours(engine);
    return fb_worker_make(engine->queues, options, false, worker, error);
}

void fb_worker_quit(fb_worker *worker, int64_t drain_ms) {
    int64_t now_ns = fb_clock_now_ns();
    int64_t drain_ns = fb_engine_ns_of(drain_ms);
    int64_t until_ns = drain_ns < INT64_MAX - now_ns ? now_ns + drain_ns : INT64_MAX;
    pthread_mutex_lock(&worker->lock);
    if (!worker->stopping || until_ns < worker->drain_until_ns) {
        worker->drain_until_ns = until_ns;
    }
    worker->stopping = true;
    pthread_cond_broadcast(&worker->more);
    fb_worker_stir(worker);
    pthread_mutex_unlock(&worker->lock);
}

void fb_worker_resize(fb_worker *worker, uint32_t concurrency) {
    pthread_mutex_lock(&worker->lock);
    worker->wanted = concurrency;
    pthread_cond_broadcast(&worker->more);
    fb_worker_stir(worker);
    pthread_mutex_unlock(&worker->lock);
}

// In a child its threads are the parent's, as the engine's are in fb_close().
void fb_worker_free(fb_worker *worker, int64_t drain_ms) {
    if (worker == NULL || !fb_engine_is_ours(worker->queues->engine)) {
        return;
    }
    fb_worker_quit(worker, drain_ms);
    pthread_join(worker->manager, NULL);
    release(worker);
}
