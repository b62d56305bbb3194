// The store of the queues: the journal of this machine, or the shared tier.
//
// The journal. Opening a file takes its time, which nobody on a loop has; so the first request has
// one of the engine's workers open it, and requests that come meanwhile wait in a list. Where it
// cannot be opened they are told why, and for a second so is everybody who comes.
//
// The shared tier has a connection on each lane. Who asks on a lane goes by that one, others by
// turns; always by a post, as a fiber must (wait.c).

#include "engine/queues_inside.h"

#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"
#include "redis/queue.h"

static const int64_t AGAIN_NS = FB_NS_PER_S;

// ---- the journal

static void on_ready(void *arg, fb_str name) {
    fb_queues *queues = arg;
    const fb_queue_terms *terms = name.len > 0 ? fb_queues_find(queues, name) : NULL;
    if (terms != NULL) {
        fb_queue_wake(terms->queue);
    } else if (name.len == 0) {
        fb_queues_wake_all(queues);
    }
}

static const fb_queue_policy *policy_of(void *arg, fb_str name) {
    fb_queues *queues = arg;
    const fb_queue_terms *terms = fb_queues_find(queues, name);
    return terms != NULL ? &terms->policy : &queues->lost_policy;
}

fb_journal_options fb_queue_journal_options(fb_queues *queues) {
    return (fb_journal_options){.file = queues->store->file,
                                .power = queues->store->durability == FB_QUEUE_POWER,
                                .policy_of = policy_of,
                                .policy_arg = queues};
}

bool fb_queue_store_found(const fb_queues *queues) {
    return access(queues->store->file, F_OK) == 0;
}

bool fb_queue_store_is_open(fb_queues *queues) {
    if (queues->shared) {
        return true;
    }
    pthread_mutex_lock(&queues->lock);
    bool open = queues->state == FB_JOURNAL_OPEN;
    pthread_mutex_unlock(&queues->lock);
    return open;
}

static void answer_pending(fb_queues *queues, fb_list *pending) {
    while (!fb_list_empty(pending)) {
        fb_queue_trip *trip = FB_LIST_OF(pending->next, fb_queue_trip, list);
        fb_list_remove(&trip->list);
        if (queues->journal != NULL) {
            fb_queue_trip_transmit(trip, fb_journal_port(queues->journal));
        } else {
            fb_queue_trip_answer(trip, FB_EIO, queues->failed);
        }
    }
}

// What a look at a queue says that never had a job.
static void answer_nothing(fb_queue_trip *trip) {
    trip->reply.look = (fb_queue_look){.next_ms = INT64_MAX};
    fb_queue_trip_answer(trip, FB_OK, NULL);
}

static int open_journal(fb_queues *queues, fb_error *error) {
    fb_journal_options options = fb_queue_journal_options(queues);
    fb_journal *journal = NULL;
    fb_error why = {0};
    fb_list pending;
    int result = fb_journal_new(&options, &journal, &why);
    if (result == FB_OK) {
        fb_queue_port *port = fb_journal_port(journal);
        port->on_ready = on_ready;
        port->on_ready_arg = queues;
    }
    fb_list_init(&pending);
    pthread_mutex_lock(&queues->lock);
    queues->journal = journal;
    queues->state = journal != NULL ? FB_JOURNAL_OPEN : FB_JOURNAL_CLOSED;
    queues->failed_ns = journal != NULL ? 0 : fb_clock_now_ns();
    (void)snprintf(queues->failed, sizeof queues->failed, "%s", why.text);
    if (!fb_list_empty(&queues->pending)) {
        fb_list_insert(&queues->pending, &pending);  // before its first one, that is: all of them
        fb_list_remove(&queues->pending);
    }
    pthread_mutex_unlock(&queues->lock);
    answer_pending(queues, &pending);
    return result < 0 ? fb_error_set(error, result, "%s", why.text) : FB_OK;
}

static void look_for_work(void *arg) {
    fb_queue_crews_review(arg);
}

static void run_opening(fb_task *task, uint32_t worker) {
    fb_queues *queues = FB_LIST_OF(task, fb_queues, opening);
    fb_error error = {0};
    (void)worker;
    if (open_journal(queues, &error) < 0) {
        fb_log(FB_LOG_WARN, "queue_store_failed", "store=journal why=%s",
               fb_log_quote(fb_str_of(error.text), FB_LOG_TEXT_MAX).text);
    } else {
        FB_IGNORE(fb_loop_post(queues->engine, 0, look_for_work, queues));
    }
    fb_engine_idle(queues->engine);
}

int fb_queue_store_open(fb_queues *queues, fb_error *error) {
    return open_journal(queues, error);
}

void fb_queue_store_close(fb_queues *queues) {
    fb_journal_free(queues->journal);
    queues->journal = NULL;
}

static void send_to_journal(fb_queue_trip *trip) {
    fb_queues *queues = trip->queues;
    char failed[512] = "";
    bool begins = false, waits = false;
    bool nothing = trip->request.verb == FB_STORE_LOOK && !fb_queue_store_is_open(queues) &&
                   !fb_queue_store_found(queues);
    if (nothing) {
        answer_nothing(trip);
        return;
    }
    pthread_mutex_lock(&queues->lock);
    if (queues->state == FB_JOURNAL_CLOSED && queues->failed_ns != 0 &&
        fb_clock_now_ns() - queues->failed_ns < AGAIN_NS) {
        (void)snprintf(failed, sizeof failed, "%s", queues->failed);
    } else if (queues->state != FB_JOURNAL_OPEN) {
        begins = queues->state == FB_JOURNAL_CLOSED;
        waits = true;
        queues->state = FB_JOURNAL_OPENING;
        fb_list_insert(&queues->pending, &trip->list);
    }
    pthread_mutex_unlock(&queues->lock);
    if (failed[0] != '\0') {
        fb_queue_trip_answer(trip, FB_EIO, failed);
    } else if (begins) {
        fb_engine_busy(queues->engine);
        queues->opening.run = run_opening;
        fb_workers_submit(queues->engine->workers, &queues->opening);
    } else if (!waits) {
        fb_queue_trip_transmit(trip, fb_journal_port(queues->journal));
    }
}

// ---- the shared tier

static void listen_once(fb_queues *queues, fb_lane *lane) {
    fb_queue_port *port = fb_remote_queue_port(lane->remote);
    if (port->on_ready == NULL) {
        port->on_ready_arg = queues;
        port->on_ready = on_ready;
        fb_remote_queue_allow_volatile(lane->remote, queues->store->allow_volatile);
    }
    // Only who waits wants to hear of others' jobs, and they are lane 0's.
    if (lane->index == 0 && !queues->listening && fb_queues_wait_any(queues)) {
        queues->listening = fb_remote_queue_listen(lane->remote) == FB_OK;
    }
}

static void send_from_lane(fb_post *post) {
    fb_queue_trip *trip = FB_LIST_OF(post, fb_queue_trip, post);
    fb_lane *lane = &trip->queues->engine->lanes[trip->lane];
    if (lane->ended) {
        fb_queue_trip_answer(trip, FB_ECLOSED, NULL);
        return;
    }
    listen_once(trip->queues, lane);
    fb_queue_trip_transmit(trip, fb_remote_queue_port(lane->remote));
}

void fb_queue_store_send(fb_queue_trip *trip) {
    fb_queues *queues = trip->queues;
    fb_engine *engine = queues->engine;
    if (!queues->shared) {
        send_to_journal(trip);
        return;
    }
    const fb_lane *here = fb_engine_here(engine);
    trip->lane = here != NULL
                     ? here->index
                     : atomic_fetch_add_explicit(&queues->next_lane, 1, memory_order_relaxed) %
                           engine->lane_count;
    trip->post.fn = send_from_lane;
    fb_loop_submit(engine->lanes[trip->lane].loop, &trip->post);
}
