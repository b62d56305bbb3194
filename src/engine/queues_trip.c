// One request on its way to the store, and its answer's way back.
//
// The reply is copied where it comes, on the journal's thread or on a lane, into the trip's own
// memory, and the trip goes on to who asked: as a post to his lane, or by waking him. A reply that
// comes when he has been answered already (the time was over, the engine ends) brings nothing any
// more, but jobs that it claimed are handed back, and what it says is counted.
//
// PURGE and KICK of many go in steps, so that no step keeps the store for long: the reply of one
// sends the next.

#include "engine/queues_inside.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

enum { STEP_ITEMS = 1000 };

int fb_queue_trip_new(fb_queues *queues, const fb_queue_terms *terms, fb_store_verb verb, bool own,
                      fb_queue_trip **out) {
    *out = NULL;
    fb_queue_trip *trip = fb_mem_zero(1, sizeof *trip);
    if (trip == NULL) {
        return FB_ENOMEM;
    }
    if (own) {
        fb_engine_busy(queues->engine);
    } else if (!fb_engine_enter(queues->engine)) {
        fb_mem_free(trip);
        return FB_ECLOSED;
    }
    trip->queues = queues;
    trip->terms = terms;
    trip->queue = terms->queue;
    trip->own = own;
    trip->lane = UINT32_MAX;
    trip->origin = fb_engine_here(queues->engine);
    trip->request = (fb_store_request){.verb = verb,
                                       .queue = fb_str_of(terms->queue->name),
                                       .policy = &terms->policy};
    atomic_init(&trip->refs, 1);
    fb_list_init(&trip->list);
    *out = trip;
    return FB_OK;
}

void fb_queue_trip_hold(fb_queue_trip *trip) {
    atomic_fetch_add(&trip->refs, 1);
}

void fb_queue_trip_let_go(fb_queue_trip *trip) {
    if (atomic_fetch_sub(&trip->refs, 1) == 1) {
        fb_arena_release(&trip->arena);
        fb_mem_free(trip);
    }
}

void fb_queue_trip_end(fb_queue_trip *trip) {
    fb_engine *engine = trip->queues->engine;
    fb_queue_trip_let_go(trip);
    fb_engine_idle(engine);
}

void fb_queue_trip_drop(fb_queue_trip *trip) {
    fb_queue_trip_end(trip);
}

// ---- back to who asked

static void arrive(fb_post *post) {
    fb_queue_trip *trip = FB_LIST_OF(post, fb_queue_trip, post);
    trip->done(trip);
    fb_queue_trip_end(trip);
}

// Never on the stack of who asked: he is in the middle of something.
static void deliver(fb_queue_trip *trip) {
    fb_engine *engine = trip->queues->engine;
    if (trip->sleeper != NULL) {
        fb_sleeper_wake(trip->sleeper);
    } else if (trip->done == NULL) {
        fb_queue_trip_end(trip);
    } else {
        trip->post.fn = arrive;
        fb_loop_submit((trip->origin != NULL ? trip->origin : &engine->lanes[0])->loop,
                       &trip->post);
    }
}

static bool take(fb_queue_trip *trip) {
    return !atomic_exchange(&trip->answered, true);
}

static bool only_reads(fb_store_verb verb) {
    return verb == FB_STORE_GET || verb == FB_STORE_LIST || verb == FB_STORE_LOOK ||
           verb == FB_STORE_MARK_GET || verb == FB_STORE_MARK_LIST;
}

static void settle(fb_queue_trip *trip, int result, const char *text) {
    trip->result = result;
    const char *shown = text != NULL && text[0] != '\0' ? text
                        : result < 0                    ? fb_result_text(result)
                                                        : "";
    (void)snprintf(trip->error, sizeof trip->error, "%.200s", shown);
    if (result < 0) {
        fb_queue_note_failure(trip);
    }
    if (result < 0 && trip->doubt) {
        size_t len = strlen(trip->error);
        (void)snprintf(trip->error + len, sizeof trip->error - len,
                       ": no answer came, it may have been done");
    }
}

void fb_queue_trip_answer(fb_queue_trip *trip, int result, const char *text) {
    if (take(trip)) {
        settle(trip, result, text);
        deliver(trip);
    }
}

void fb_queue_trip_wait(fb_queue_trip *trip) {
    fb_sleeper sleeper;
    trip->sleeper = &sleeper;
    fb_sleeper_begin(&sleeper, 1);
    fb_queue_trip_send(trip);
    fb_sleeper_wait(&sleeper);
}

void fb_queue_trip_send(fb_queue_trip *trip) {
    int64_t timeout_ns = fb_queues_timeout_ns(trip->queues);
    trip->begin_ns = fb_clock_now_ns();
    trip->until_ns = trip->begin_ns + timeout_ns;
    fb_queue_store_send(trip);
}

// ---- to the store

static void put_on_shelf(fb_queue_trip *trip) {
    fb_queues *queues = trip->queues;
    uint32_t turn = atomic_fetch_add_explicit(&queues->next_shelf, 1, memory_order_relaxed);
    trip->shelf = &queues->shelves[turn % FB_QUEUE_SHELVES];
    pthread_mutex_lock(&trip->shelf->lock);
    fb_list_insert(&trip->shelf->trips, &trip->list);
    pthread_mutex_unlock(&trip->shelf->lock);
}

static void take_off_shelf(fb_queue_trip *trip) {
    pthread_mutex_lock(&trip->shelf->lock);
    fb_list_remove(&trip->list);
    pthread_mutex_unlock(&trip->shelf->lock);
}

static const char *away(const fb_queue_trip *trip, char *text, size_t size) {
    fb_shared_info info;
    if (!trip->queues->shared) {
        return "the journal does not answer";
    }
    fb_shared_info_read(trip->queues->engine, &info);
    // What the cache does meanwhile is no comfort to a queue.
    static const char cache[] = "Using in-memory fallback: ";
    const char *why = strncmp(info.why, cache, sizeof cache - 1) == 0 ? info.why + sizeof cache - 1
                                                                     : info.why;
    (void)snprintf(text, size, "the shared tier is away%s%.200s", why[0] != '\0' ? ": " : "", why);
    return text;
}

void fb_queue_trip_transmit(fb_queue_trip *trip, fb_queue_port *port) {
    char text[256];
    int64_t left_ns = trip->until_ns - fb_clock_now_ns();
    if (left_ns <= 0) {
        fb_queue_trip_answer(trip, FB_ETIMEDOUT, NULL);
        return;
    }
    trip->request.timeout_ns = left_ns;
    fb_queue_trip_hold(trip);  // the store's
    put_on_shelf(trip);
    int result = port->send(port, &trip->request, fb_queue_trip_reply, trip);
    if (result < 0) {
        take_off_shelf(trip);
        fb_queue_trip_answer(trip, result, result == FB_EIO ? away(trip, text, sizeof text) : NULL);
        fb_queue_trip_let_go(trip);
    }
}

// ---- the reply

static void *copy_array(fb_arena *arena, const void *from, size_t count, size_t size, bool *whole) {
    if (from == NULL || count == 0) {
        return NULL;
    }
    void *to = fb_arena_new(arena, count * size);
    *whole = *whole && to != NULL;
    if (to != NULL) {
        memcpy(to, from, count * size);
    }
    return to;
}

static void copy_text(fb_arena *arena, fb_str *text, bool *whole) {
    fb_str copy = fb_arena_copy(arena, *text);
    *whole = *whole && copy.len == text->len;
    *text = copy;
}

// Tokens are told to who claims alone; a move needs them too.
static void copy_jobs(fb_queue_trip *trip, fb_store_reply *to, bool *whole) {
    bool hides = trip->request.verb == FB_STORE_GET ||
                 (trip->request.verb == FB_STORE_LIST && !trip->request.flag);
    fb_job *jobs = copy_array(&trip->arena, to->jobs, to->job_count, sizeof *jobs, whole);
    to->jobs = jobs;
    for (size_t i = 0; jobs != NULL && i < to->job_count; i++) {
        fb_str *const texts[] = {&jobs[i].kind, &jobs[i].payload, &jobs[i].unique, &jobs[i].error,
                                 &jobs[i].progress};
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++) {
            copy_text(&trip->arena, texts[j], whole);
        }
        jobs[i].queue = fb_str_of(trip->queue->name);
        jobs[i].token = hides ? 0 : jobs[i].token;
    }
}

static void copy_marks(fb_queue_trip *trip, fb_store_reply *to, bool *whole) {
    fb_store_mark *marks =
        copy_array(&trip->arena, to->marks, to->mark_count, sizeof *marks, whole);
    to->marks = marks;
    for (size_t i = 0; marks != NULL && i < to->mark_count; i++) {
        copy_text(&trip->arena, &marks[i].name, whole);
    }
}

static int copy_reply(fb_queue_trip *trip, const fb_store_reply *reply) {
    fb_store_reply *to = &trip->reply;
    size_t count = trip->request.item_count;
    bool whole = true;
    *to = *reply;
    copy_jobs(trip, to, &whole);
    copy_marks(trip, to, &whole);
    to->results = copy_array(&trip->arena, to->results, count, sizeof *to->results, &whole);
    to->numbers = copy_array(&trip->arena, to->numbers, count, sizeof *to->numbers, &whole);
    to->ran_ms = NULL;  // they have been counted
    to->ends = NULL;
    to->text = "";
    if (!whole) {
        to->job_count = to->mark_count = 0;
    }
    return whole ? FB_OK : FB_ENOMEM;
}

static int result_of(const fb_queue_trip *trip, const fb_store_reply *reply) {
    switch (reply->result) {
        case FB_STORE_DONE:
            return FB_OK;
        case FB_STORE_MISS:
            return FB_MISS;
        case FB_STORE_FULL:
            return FB_EFULL;
        case FB_STORE_VOLATILE:
            return FB_EVOLATILE;
        case FB_STORE_UNKNOWN:
            return fb_clock_now_ns() >= trip->until_ns ? FB_ETIMEDOUT : FB_EIO;
        default:
            return FB_EIO;
    }
}

// Whether the next step was sent.
static bool goes_on(fb_queue_trip *trip, const fb_store_reply *reply) {
    bool steps = (trip->request.verb == FB_STORE_PURGE || trip->request.verb == FB_STORE_KICK) &&
                 trip->request.item_count == 0;
    if (!steps || reply->result != FB_STORE_DONE) {
        return false;
    }
    trip->value += reply->value;
    trip->left -= reply->value < trip->left ? reply->value : trip->left;
    // Jobs that cannot be kicked are no reason to leave out those behind them.
    bool over = trip->request.verb == FB_STORE_KICK ? reply->value == 0
                                                    : reply->value < trip->request.count;
    if (trip->left == 0 || over) {
        return false;
    }
    trip->request.count = (uint32_t)(trip->left < STEP_ITEMS ? trip->left : STEP_ITEMS);
    atomic_store(&trip->answered, false);
    fb_queue_trip_send(trip);
    return true;
}

static bool brings_news(const fb_queue_trip *trip, const fb_store_reply *reply) {
    switch (trip->request.verb) {
        case FB_STORE_ENQUEUE:
        case FB_STORE_FAIL:
        case FB_STORE_RELEASE:
        case FB_STORE_KICK:
        case FB_STORE_PAUSE:
        case FB_STORE_IMPORT:
            return reply->result == FB_STORE_DONE;
        default:
            return false;
    }
}

void fb_queue_trip_reply(void *arg, const fb_store_reply *reply) {
    fb_queue_trip *trip = arg;
    take_off_shelf(trip);
    fb_queue_note(trip, reply);
    if (brings_news(trip, reply)) {
        fb_queue_wake(trip->queue);
    }
    if (!take(trip)) {
        if (reply->job_count > 0 &&
            (trip->request.verb == FB_STORE_RESERVE || trip->request.verb == FB_STORE_ACK)) {
            fb_queue_hand_back(trip->queues, trip->terms, reply->jobs, reply->job_count);
        }
    } else if (!goes_on(trip, reply)) {
        int result = result_of(trip, reply);
        trip->doubt = reply->result == FB_STORE_UNKNOWN && !only_reads(trip->request.verb);
        int copied = copy_reply(trip, reply);
        settle(trip, result >= 0 && copied < 0 ? copied : result, reply->text);
        deliver(trip);
    }
    fb_queue_trip_let_go(trip);
}

// ---- jobs that nobody waits for

// Where this does not work they are claimed again when their leases end.
void fb_queue_hand_back(fb_queues *queues, const fb_queue_terms *terms, const fb_job *jobs,
                        size_t count) {
    fb_queue_trip *trip = NULL;
    if (count == 0 || fb_queue_trip_new(queues, terms, FB_STORE_RELEASE, true, &trip) < 0) {
        return;
    }
    fb_job_claim *claims = fb_arena_new(&trip->arena, count * sizeof *claims);
    if (claims == NULL) {
        fb_queue_trip_drop(trip);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        claims[i] = (fb_job_claim){jobs[i].number, jobs[i].token};
    }
    trip->request.claims = claims;
    trip->request.item_count = count;
    fb_queue_trip_send(trip);
}

// ---- those whose time is over

// The first of a shelf for which `wants` holds, not answered yet; held, and to be answered by the
// caller: it is taken under the lock, since a reply that comes in between may send it once more.
static fb_queue_trip *take_late(fb_queue_shelf *shelf,
                           bool (*wants)(const fb_queue_trip *trip, int64_t what), int64_t what) {
    fb_queue_trip *found = NULL;
    pthread_mutex_lock(&shelf->lock);
    FB_LIST_EACH(node, &shelf->trips) {
        fb_queue_trip *trip = FB_LIST_OF(node, fb_queue_trip, list);
        if (wants(trip, what) && take(trip)) {
            fb_queue_trip_hold(trip);
            found = trip;
            break;
        }
    }
    pthread_mutex_unlock(&shelf->lock);
    return found;
}

static void answer_all(fb_queues *queues, bool (*wants)(const fb_queue_trip *trip, int64_t what),
                       int64_t what, int result) {
    for (size_t i = 0; i < FB_QUEUE_SHELVES; i++) {
        fb_queue_trip *trip;
        while ((trip = take_late(&queues->shelves[i], wants, what)) != NULL) {
            trip->doubt = !only_reads(trip->request.verb);
            settle(trip, result, NULL);
            deliver(trip);
            fb_queue_trip_let_go(trip);
        }
    }
}

static bool is_late(const fb_queue_trip *trip, int64_t now_ns) {
    return trip->until_ns <= now_ns;
}

static bool is_of_lane(const fb_queue_trip *trip, int64_t lane) {
    return trip->lane == (uint32_t)lane;
}

void fb_queue_trips_tick(fb_queues *queues, int64_t now_ns) {
    answer_all(queues, is_late, now_ns, FB_ETIMEDOUT);
}

void fb_queue_trips_end(fb_queues *queues, uint32_t lane) {
    answer_all(queues, is_of_lane, lane, FB_ECLOSED);
}
