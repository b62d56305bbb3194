// RESERVE: who wants jobs, and perhaps waits for them.
//
// All of it happens on lane 0, which has a line for each queue. Of those who stand in a line one
// request at a time goes to the store, for as many jobs as all of them want; what comes is given
// out in the order in which they came. So a thousand workers that wait cost the store what one
// does.
//
//   arrive → stands in the line of its first queue, and has it asked
//          → of the next one, while it wants more …       (the first round)
//          → given something: answered. Nothing: in all lines at once, until its time is over
//
// A line is asked when somebody has come, when something may have become READY (`events`: enqueued
// here, or heard of), when a job is due or a lease is over by what the store said last, and each
// second in any case, should word have been lost. Of what is enqueued while a request is on its way
// it is not known whether that saw it: then another one follows.
//
// Who has left by the time that his jobs come does not get them: they go back at once, and the
// attempt does not count.

#include "engine/queues_inside.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"

static const int64_t FALLBACK_NS = FB_NS_PER_S;
static const int64_t MOMENT_NS = FB_NS_PER_MS;
enum { WORKER_MAX = 64 };

typedef struct stand {
    fb_list list;  // in queue->stands; of nobody's while it is not there
    fb_queue_wait *wait;
    const fb_queue_terms *terms;
    uint64_t since;  // a request above this one was sent when it stood there already
} stand;

struct fb_queue_wait {
    fb_post post;  // to lane 0, then to who asked
    fb_post stop;
    fb_list list;  // in queues->waits
    fb_heap_node timer;
    fb_queues *queues;
    fb_lane *origin;
    fb_sleeper *sleeper;
    fb_queue_fn fn;
    void *arg;
    _Atomic(uint32_t) refs;
    uint32_t count;
    int64_t lease_ms;
    int64_t until_ns;
    char worker[WORKER_MAX + 1];
    bool answered;
    size_t turn;  // of the first round; after it: queue_count
    // the answer
    int result;
    char error[256];
    const fb_job *jobs;
    size_t job_count;
    fb_job *own;  // where they came from several queues
    fb_queue_trip *held[FB_QUEUE_NAMES_MAX];
    size_t held_count;
    size_t queue_count;
    stand stands[];
};

static void pump(fb_queue *queue);

static bool in_first_round(const fb_queue_wait *wait) {
    return wait->turn < wait->queue_count;
}

bool fb_queues_wait_any(const fb_queues *queues) {
    return !fb_list_empty(&queues->active);
}

// ---- being answered

static void let_go(fb_queue_wait *wait) {
    if (atomic_fetch_sub(&wait->refs, 1) == 1) {
        fb_mem_free(wait);
    }
}

static void finish(fb_queue_wait *wait, fb_queue_fn fn, void *arg) {
    fb_engine *engine = wait->queues->engine;
    fb_queue_answer answer = {.result = wait->result,
                              .error = wait->error,
                              .jobs = wait->jobs,
                              .job_count = wait->job_count,
                              .look = {.store = wait->queues->store_name, .next_ms = INT64_MAX}};
    if (fn != NULL) {
        fn(arg, &answer);
    }
    for (size_t i = 0; i < wait->held_count; i++) {
        fb_queue_trip_let_go(wait->held[i]);
    }
    fb_mem_free(wait->own);
    let_go(wait);
    fb_engine_idle(engine);
}

static void arrive_back(fb_post *post) {
    fb_queue_wait *wait = FB_LIST_OF(post, fb_queue_wait, post);
    finish(wait, wait->fn, wait->arg);
}

static void leave_line(stand *one) {
    fb_queue *queue = one->terms->queue;
    if (fb_list_empty(&one->list)) {
        return;
    }
    fb_list_remove(&one->list);
    atomic_fetch_sub(&queue->waiting, 1);
    if (fb_list_empty(&queue->stands)) {
        fb_list_remove(&queue->active);
    }
}

static void answer(fb_queue_wait *wait, int result, const char *text) {
    if (wait->answered) {
        return;
    }
    wait->answered = true;
    wait->result = result;
    (void)snprintf(wait->error, sizeof wait->error, "%s",
                   text != NULL ? text : result < 0 ? fb_result_text(result) : "");
    for (size_t i = 0; i < wait->queue_count; i++) {
        leave_line(&wait->stands[i]);
    }
    fb_heap_remove(&wait->queues->timers, &wait->timer);
    fb_list_remove(&wait->list);
    if (wait->sleeper != NULL) {
        fb_sleeper_wake(wait->sleeper);
    } else {
        const fb_engine *engine = wait->queues->engine;
        wait->post.fn = arrive_back;
        fb_loop_submit((wait->origin != NULL ? wait->origin : &engine->lanes[0])->loop,
                       &wait->post);
    }
}

// What it has is what it gets; an error counts where it has nothing.
static void answer_with(fb_queue_wait *wait, int result, const char *text) {
    answer(wait, wait->job_count > 0 ? FB_OK : result, wait->job_count > 0 ? NULL : text);
}

// ---- the timer

static void set_timer(fb_queues *queues) {
    int64_t due_ns = INT64_MAX;
    const fb_heap_node *first = fb_heap_first(&queues->timers);
    due_ns = first != NULL ? first->key : due_ns;
    FB_LIST_EACH(node, &queues->active) {
        const fb_queue *queue = FB_LIST_OF(node, fb_queue, active);
        due_ns = queue->wake_ns < due_ns ? queue->wake_ns : due_ns;
    }
    if (due_ns >= queues->timer_ns) {
        return;
    }
    int64_t wait_ns = due_ns - fb_clock_now_ns();
    int64_t wait_us = wait_ns > 0 ? wait_ns / 1000 + 1 : 0;
    struct timeval after = {wait_us / 1000000, wait_us % 1000000};
    // Without memory for it: with the next event, or with the next request.
    queues->timer_ns = event_add(queues->timer, &after) == 0 ? due_ns : INT64_MAX;
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_queues *queues = arg;
    int64_t now_ns = fb_clock_now_ns();
    fb_heap_node *first;
    queues->timer_ns = INT64_MAX;
    while ((first = fb_heap_first(&queues->timers)) != NULL && first->key <= now_ns) {
        fb_queue_wait *wait = FB_LIST_OF(first, fb_queue_wait, timer);
        fb_heap_remove(&queues->timers, first);
        if (!in_first_round(wait)) {  // which he has in any case
            answer_with(wait, FB_OK, NULL);
        }
    }
    FB_LIST_EACH_SAFE(node, after, &queues->active) {
        fb_queue *queue = FB_LIST_OF(node, fb_queue, active);
        if (queue->wake_ns <= now_ns) {
            queue->wake_ns = now_ns + FALLBACK_NS;
            queue->forced = true;
            pump(queue);
        }
    }
    set_timer(queues);
}

int fb_queue_waits_open(fb_queues *queues) {
    queues->timer =
        evtimer_new(fb_loop_event_base(queues->engine->lanes[0].loop), on_timer, queues);
    return queues->timer != NULL ? FB_OK : FB_ENOMEM;
}

// ---- lines

static void stand_in_line(stand *one) {
    fb_queue *queue = one->terms->queue;
    if (fb_list_empty(&queue->stands)) {
        fb_list_insert(&queue->queues->active, &queue->active);
    }
    fb_list_insert(&queue->stands, &one->list);
    one->since = queue->sent;
    atomic_fetch_add(&queue->waiting, 1);
}

// To the next queue of its first round; after the last one, whose line he need not leave, to all.
// What was said to be due in them meanwhile holds still (wake_ns).
static void go_on(fb_queue_wait *wait) {
    stand *last = &wait->stands[wait->turn++];
    if (in_first_round(wait)) {
        stand *next = &wait->stands[wait->turn];
        leave_line(last);
        stand_in_line(next);
        next->terms->queue->forced = true;
        pump(next->terms->queue);
        return;
    }
    if (wait->job_count > 0 || fb_clock_now_ns() >= wait->until_ns) {
        answer_with(wait, FB_OK, NULL);
        return;
    }
    for (size_t i = 0; i < wait->queue_count; i++) {
        if (&wait->stands[i] != last) {
            stand_in_line(&wait->stands[i]);
        }
    }
    // For want of memory they may all be answered within: then he is not ours any more.
    atomic_fetch_add(&wait->refs, 1);
    for (size_t i = 0; i < wait->queue_count && !wait->answered; i++) {
        pump(wait->stands[i].terms->queue);
    }
    let_go(wait);
}

// ---- giving out

static bool keep(fb_queue_wait *wait, const fb_job *jobs, size_t count, fb_queue_trip *trip) {
    if (wait->job_count == 0) {
        wait->jobs = jobs;
    } else {
        fb_job *all = fb_mem_new((wait->job_count + count) * sizeof *all);
        if (all == NULL) {
            return false;
        }
        memcpy(all, wait->jobs, wait->job_count * sizeof *all);
        memcpy(all + wait->job_count, jobs, count * sizeof *all);
        fb_mem_free(wait->own);
        wait->jobs = wait->own = all;
    }
    wait->job_count += count;
    fb_queue_trip_hold(trip);
    FB_ASSERT(wait->held_count < FB_QUEUE_NAMES_MAX);
    wait->held[wait->held_count++] = trip;
    return true;
}

// Those in line get what came; who is served is answered, or goes on to its next queue. Returns how
// many were given.
static size_t give_out(fb_queue_trip *trip) {
    fb_queue *queue = trip->queue;
    const fb_store_reply *reply = &trip->reply;
    size_t given = 0;
    FB_LIST_EACH_SAFE(node, after, &queue->stands) {
        fb_queue_wait *wait = FB_LIST_OF(node, stand, list)->wait;
        size_t wanted = wait->count - wait->job_count;
        size_t left = reply->job_count - given;
        size_t count = left < wanted ? left : wanted;
        if (left == 0) {
            break;
        }
        if (wait->lease_ms != trip->request.lease_ms ||
            !keep(wait, reply->jobs + given, count, trip)) {
            continue;
        }
        given += count;
        if (wait->job_count == wait->count || !in_first_round(wait) ||
            wait->held_count == FB_QUEUE_NAMES_MAX) {
            answer_with(wait, FB_OK, NULL);
        }
    }
    return given;
}

// Of those in their first round whom the request stood for: there is nothing more for them here.
static void send_on(fb_queue *queue, uint64_t number) {
    bool any;
    do {
        any = false;
        FB_LIST_EACH(node, &queue->stands) {
            stand *one = FB_LIST_OF(node, stand, list);
            if (in_first_round(one->wait) && one->since < number) {
                go_on(one->wait);
                any = true;  // lines have changed
                break;
            }
        }
    } while (any);
}

static void fail_all(fb_queue *queue, int result, const char *text) {
    while (!fb_list_empty(&queue->stands)) {
        answer_with(FB_LIST_OF(queue->stands.next, stand, list)->wait, result, text);
    }
}

// What is next, by the store's clock, in ours.
static int64_t wake_at(const fb_store_reply *reply) {
    int64_t now_ns = fb_clock_now_ns();
    int64_t ahead_ms = reply->look.next_ms - reply->now_ms;
    if (reply->look.next_ms == INT64_MAX || ahead_ms >= FALLBACK_NS / FB_NS_PER_MS) {
        return now_ns + FALLBACK_NS;
    }
    return now_ns + (ahead_ms > 0 ? ahead_ms * FB_NS_PER_MS : MOMENT_NS);
}

static void on_reserved(fb_queue_trip *trip) {
    fb_queue *queue = trip->queue;
    fb_queues *queues = trip->queues;
    queue->asking = false;
    if (trip->result < 0) {
        fail_all(queue, trip->result, trip->error);
    } else {
        size_t given = give_out(trip);
        if (given < trip->reply.job_count && FB_RULE(queue_gone)) {
            fb_queue_hand_back(queues, trip->terms, trip->reply.jobs + given,
                               trip->reply.job_count - given);
        }
        if (trip->reply.job_count < trip->request.count) {
            queue->wake_ns = wake_at(&trip->reply);
            send_on(queue, trip->number);
        } else {
            queue->forced = true;  // there may be more
        }
    }
    pump(queue);
    set_timer(queues);
}

// ---- asking

// As many as those in line want who want a lease like the first one's.
static uint32_t count_wanted(const fb_queue *queue) {
    const fb_queue_wait *first = FB_LIST_OF(queue->stands.next, stand, list)->wait;
    size_t wanted = 0;
    FB_LIST_EACH(node, &queue->stands) {
        const fb_queue_wait *wait = FB_LIST_OF(node, stand, list)->wait;
        wanted += wait->lease_ms == first->lease_ms ? wait->count - wait->job_count : 0;
        if (wanted >= FB_JOB_BATCH_MAX) {
            break;
        }
    }
    return (uint32_t)(wanted < FB_JOB_BATCH_MAX ? wanted : FB_JOB_BATCH_MAX);
}

static int ask(fb_queue *queue) {
    const stand *first = FB_LIST_OF(queue->stands.next, stand, list);
    fb_queue_trip *trip = NULL;
    // Who waits has entered the engine already.
    int result = fb_queue_trip_new(queue->queues, first->terms, FB_STORE_RESERVE, true, &trip);
    if (result < 0) {
        return result;
    }
    fb_str worker = fb_str_of(first->wait->worker);
    trip->request.text = fb_arena_copy(&trip->arena, worker);
    trip->request.count = count_wanted(queue);
    trip->request.lease_ms = first->wait->lease_ms;
    trip->request.token = fb_queues_token(queue->queues, trip->request.count);
    trip->done = on_reserved;
    trip->number = ++queue->sent;
    trip->origin = &queue->queues->engine->lanes[0];
    queue->asking = true;
    fb_queue_trip_send(trip);
    return FB_OK;
}

static void pump(fb_queue *queue) {
    uint64_t events = atomic_load(&queue->events);
    if (queue->asking || fb_list_empty(&queue->stands) ||
        (!queue->forced && events == queue->seen)) {
        return;
    }
    queue->forced = false;
    queue->seen = events;
    queue->wake_ns = fb_clock_now_ns() + FALLBACK_NS;  // until the reply says when
    int result = ask(queue);
    if (result < 0) {
        fail_all(queue, result, NULL);
    }
}

// ---- something may have become READY

static void on_wake(fb_post *post) {
    fb_queue *queue = FB_LIST_OF(post, fb_queue, wake);
    atomic_store(&queue->woken, false);
    if (atomic_load(&queue->queues->stopped)) {
        return;
    }
    if (atomic_exchange(&queue->crew_wanted, false) && atomic_load(&queue->idle_crew)) {
        fb_queue_crew_begin(queue);
    }
    pump(queue);
    set_timer(queue->queues);
}

static void wake(fb_queue *queue, bool wanted) {
    atomic_fetch_add(&queue->events, 1);
    if ((atomic_load(&queue->waiting) > 0 || wanted) && !atomic_load(&queue->queues->stopped) &&
        !atomic_exchange(&queue->woken, true)) {
        queue->wake.fn = on_wake;
        fb_loop_submit(queue->queues->engine->lanes[0].loop, &queue->wake);
    }
}

void fb_queue_wake(fb_queue *queue) {
    bool begins = atomic_load(&queue->idle_crew);
    if (begins) {
        atomic_store(&queue->crew_wanted, true);
    }
    wake(queue, begins);
}

void fb_queues_wake_all(fb_queues *queues) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    for (size_t i = 0; i < catalog->count; i++) {
        wake(catalog->terms[i].queue, false);
    }
}

// ---- coming, and going

static void arrive(fb_post *post) {
    fb_queue_wait *wait = FB_LIST_OF(post, fb_queue_wait, post);
    fb_queues *queues = wait->queues;
    fb_list_insert(&queues->waits, &wait->list);
    if (atomic_load(&queues->stopped)) {
        answer(wait, FB_ECLOSED, NULL);
        return;
    }
    if (wait->until_ns > fb_clock_now_ns() &&
        fb_heap_put(&queues->timers, &wait->timer, wait->until_ns) < 0) {
        answer(wait, FB_ENOMEM, NULL);
        return;
    }
    stand *first = &wait->stands[0];
    stand_in_line(first);
    first->terms->queue->forced = true;
    pump(first->terms->queue);
    set_timer(queues);
}

static void on_stop(fb_post *post) {
    fb_queue_wait *wait = FB_LIST_OF(post, fb_queue_wait, stop);
    answer_with(wait, FB_OK, NULL);
    let_go(wait);
}

int fb_queue_wait_new(fb_queues *queues, const fb_queue_call *call,
                      const fb_queue_terms *const *terms, bool own, fb_queue_wait **out) {
    size_t count = call->queue_count;
    *out = NULL;
    fb_queue_wait *wait = fb_mem_zero(1, sizeof *wait + count * sizeof wait->stands[0]);
    if (wait == NULL) {
        return FB_ENOMEM;
    }
    if (own) {
        fb_engine_busy(queues->engine);
    } else if (!fb_engine_enter(queues->engine)) {
        fb_mem_free(wait);
        return FB_ECLOSED;
    }
    int64_t now_ns = fb_clock_now_ns();
    int64_t wait_ns = fb_engine_ns_of(call->wait_ms);
    wait->queues = queues;
    wait->origin = fb_engine_here(queues->engine);
    wait->count = call->count;
    wait->lease_ms = call->lease_ms;
    wait->until_ns = wait_ns < INT64_MAX - now_ns ? now_ns + wait_ns : INT64_MAX;
    (void)snprintf(wait->worker, sizeof wait->worker, "%.*s",
                   (int)(call->worker.len < WORKER_MAX ? call->worker.len : WORKER_MAX),
                   call->worker.ptr != NULL ? call->worker.ptr : "");
    wait->queue_count = count;
    for (size_t i = 0; i < count; i++) {
        wait->stands[i] = (stand){.wait = wait, .terms = terms[i]};
        fb_list_init(&wait->stands[i].list);
    }
    fb_list_init(&wait->list);
    atomic_init(&wait->refs, 1);
    *out = wait;
    return FB_OK;
}

static void submit(fb_queue_wait *wait) {
    wait->post.fn = arrive;
    fb_loop_submit(wait->queues->engine->lanes[0].loop, &wait->post);
}

void fb_queue_wait_start(fb_queue_wait *wait, fb_queue_fn fn, void *arg) {
    wait->fn = fn;
    wait->arg = arg;
    submit(wait);
}

int fb_queue_wait_ask(fb_queue_wait *wait, fb_queue_fn fn, void *arg, fb_error *error) {
    fb_sleeper sleeper;
    wait->sleeper = &sleeper;
    fb_sleeper_begin(&sleeper, 1);
    submit(wait);
    fb_sleeper_wait(&sleeper);
    int result = wait->result;
    if (result < 0) {
        (void)fb_error_set(error, result, "%s", wait->error);
    }
    finish(wait, fn, arg);
    return result;
}

void fb_queue_stop(fb_engine *engine, fb_queue_wait *wait) {
    fb_engine_ours(engine);
    FB_ASSERT(wait->queues->engine == engine);
    if (wait->stop.fn != NULL) {
        return;
    }
    atomic_fetch_add(&wait->refs, 1);
    wait->stop.fn = on_stop;
    fb_loop_submit(engine->lanes[0].loop, &wait->stop);
}

void fb_queue_waits_end(fb_queues *queues) {
    while (!fb_list_empty(&queues->waits)) {
        answer_with(FB_LIST_OF(queues->waits.next, fb_queue_wait, list), FB_ECLOSED, NULL);
    }
}
