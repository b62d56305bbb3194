// What is counted and measured of queues, and whether their store is well.
//
// Counters and times are of this process: whatever goes through its doors. What is in the store
// (how long the lines are) is asked for once a second while somebody has asked for figures within
// the last minute; figures are read without waiting.

#include "engine/queues_inside.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"

static const int64_t FRESH_NS = 3 * FB_NS_PER_S;
static const int64_t INTEREST_NS = 60 * FB_NS_PER_S;
#define COUNT(queue, field, amount)                                                        \
    atomic_fetch_add_explicit(&(queue)->counters[FB_QUEUE_COUNT_##field], (uint64_t)(amount), \
                              memory_order_relaxed)

// ---- meters

int fb_queue_meters_new(fb_queue *queue) {
    int result = fb_histogram_new(&queue->enqueue);
    if (result == FB_OK) {
        result = fb_histogram_new(&queue->wait);
    }
    if (result == FB_OK) {
        result = fb_histogram_new(&queue->run);
    }
    return result == FB_OK ? fb_limit_top_new(&queue->reasons) : result;
}

void fb_queue_meters_free(fb_queue *queue) {
    fb_histogram_free(queue->enqueue);
    fb_histogram_free(queue->wait);
    fb_histogram_free(queue->run);
    fb_limit_top_free(queue->reasons);
}

void fb_queue_meters_reset(fb_queue *queue) {
    for (size_t i = 0; i < FB_QUEUE_COUNTER_COUNT; i++) {
        atomic_store_explicit(&queue->counters[i], 0, memory_order_relaxed);
    }
    fb_histogram_reset(queue->enqueue);
    fb_histogram_reset(queue->wait);
    fb_histogram_reset(queue->run);
    fb_limit_top_reset(queue->reasons);
}

void fb_queues_reset_figures(fb_queues *queues) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    for (size_t i = 0; i < catalog->count; i++) {
        fb_queue_meters_reset(catalog->terms[i].queue);
    }
}

// ---- one reply

// Milliseconds of the store's clock; they are kept as µs, so that weeks fit.
static void record(fb_histogram *histogram, int64_t ms) {
    fb_histogram_record(histogram, ms > 0 ? ms * 1000 : 0);
}

static void note_jobs(fb_queue *queue, const fb_store_reply *reply) {
    COUNT(queue, reserved, reply->job_count);
    for (size_t i = 0; i < reply->job_count; i++) {
        record(queue->wait, reply->jobs[i].claimed_ms - reply->jobs[i].due_ms);
    }
}

static size_t count_results(const fb_queue_trip *trip, const fb_store_reply *reply, int result) {
    size_t count = 0;
    for (size_t i = 0; reply->results != NULL && i < trip->request.item_count; i++) {
        count += reply->results[i] == result;
    }
    return count;
}

static void note_enqueued(const fb_queue_trip *trip, const fb_store_reply *reply) {
    size_t taken = count_results(trip, reply, FB_OK);
    size_t there = count_results(trip, reply, FB_REFUSED);
    COUNT(trip->queue, enqueued, taken);
    COUNT(trip->queue, duplicate, there);
    if (reply->results != NULL) {
        COUNT(trip->queue, refused, trip->request.item_count - taken - there);
    }
    fb_histogram_record(trip->queue->enqueue, (fb_clock_now_ns() - trip->begin_ns) / 1000);
}

static void note_finished(const fb_queue_trip *trip, const fb_store_reply *reply) {
    for (size_t i = 0; reply->ran_ms != NULL && i < trip->request.item_count; i++) {
        if (reply->results[i] == FB_OK) {
            record(trip->queue->run, reply->ran_ms[i]);
        }
    }
}

static void note_failed(const fb_queue_trip *trip, const fb_store_reply *reply) {
    fb_str text = trip->request.text;
    size_t failed = count_results(trip, reply, FB_OK);
    COUNT(trip->queue, failed, failed);
    for (size_t i = 0; reply->ends != NULL && i < trip->request.item_count; i++) {
        bool died = reply->results[i] == FB_OK && reply->ends[i] != FB_JOB_END_NONE;
        COUNT(trip->queue, died, died ? 1 : 0);
    }
    text = text.len > 0 ? text : FB_STR("(no reason)");
    text.len = text.len < sizeof((fb_queue_figures *)0)->reasons[0].text
                   ? text.len
                   : sizeof((fb_queue_figures *)0)->reasons[0].text - 1;
    for (size_t i = 0; i < failed; i++) {
        fb_limit_top_add(trip->queue->reasons, fb_hash64(text, 0), text);
    }
}

static void note_trouble(const fb_queue_trip *trip, const fb_store_reply *reply) {
    fb_queues *queues = trip->queues;
    if (trip->quiet) {
        return;
    }
    bool well = reply->result != FB_STORE_FAILED && reply->result != FB_STORE_UNKNOWN;
    pthread_mutex_lock(&queues->trouble_lock);
    if (well) {
        queues->trouble[0] = '\0';
    }
    if (trip->request.verb == FB_STORE_ENQUEUE && well) {
        bool refused = reply->result == FB_STORE_VOLATILE;
        (void)snprintf(queues->refusal, sizeof queues->refusal, "%s",
                       !refused                                     ? ""
                       : reply->text != NULL && reply->text[0] != '\0' ? reply->text
                                                                    : fb_result_text(FB_EVOLATILE));
    }
    pthread_mutex_unlock(&queues->trouble_lock);
}

void fb_queue_note(const fb_queue_trip *trip, const fb_store_reply *reply) {
    note_trouble(trip, reply);
    if (reply->result != FB_STORE_DONE) {
        return;
    }
    switch (trip->request.verb) {
        case FB_STORE_ENQUEUE:
            note_enqueued(trip, reply);
            break;
        case FB_STORE_RESERVE:
            note_jobs(trip->queue, reply);
            break;
        case FB_STORE_ACK:
            COUNT(trip->queue, done, count_results(trip, reply, FB_OK));
            COUNT(trip->queue, lost, count_results(trip, reply, FB_LOST));
            note_finished(trip, reply);
            note_jobs(trip->queue, reply);
            break;
        case FB_STORE_FAIL:
            note_failed(trip, reply);
            COUNT(trip->queue, lost, count_results(trip, reply, FB_LOST));
            note_finished(trip, reply);
            break;
        case FB_STORE_RELEASE:
            COUNT(trip->queue, released, count_results(trip, reply, FB_OK));
            COUNT(trip->queue, lost, count_results(trip, reply, FB_LOST));
            break;
        case FB_STORE_EXTEND:
            COUNT(trip->queue, lost, count_results(trip, reply, FB_LOST));
            break;
        default:
            break;
    }
}

void fb_queue_note_failure(const fb_queue_trip *trip) {
    fb_queues *queues = trip->queues;
    if (trip->request.verb == FB_STORE_ENQUEUE) {
        COUNT(trip->queue, refused, trip->request.item_count);
    }
    if (!trip->quiet && (trip->result == FB_EIO || trip->result == FB_ETIMEDOUT)) {
        COUNT(trip->queue, errors, 1);
        pthread_mutex_lock(&queues->trouble_lock);
        (void)snprintf(queues->trouble, sizeof queues->trouble, "%s", trip->error);
        pthread_mutex_unlock(&queues->trouble_lock);
    }
}

// ---- what is in the store

static void on_look(fb_queue_trip *trip) {
    fb_queue *queue = trip->queue;
    if (trip->result == FB_OK) {
        pthread_mutex_lock(&queue->look_lock);
        queue->look = trip->reply.look;
        queue->look.store = trip->queues->store_name;
        queue->look_ns = fb_clock_now_ns();
        pthread_mutex_unlock(&queue->look_lock);
    }
    atomic_store(&queue->looking, false);
}

static void look(fb_queues *queues, const fb_queue_terms *terms) {
    fb_queue_trip *trip = NULL;
    if (atomic_exchange(&terms->queue->looking, true)) {
        return;
    }
    if (fb_queue_trip_new(queues, terms, FB_STORE_LOOK, false, &trip) < 0) {
        atomic_store(&terms->queue->looking, false);
        return;
    }
    trip->done = on_look;
    fb_queue_trip_send(trip);
}

static void look_at_all(fb_queues *queues) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    for (size_t i = 0; i < catalog->count; i++) {
        look(queues, &catalog->terms[i]);
    }
}

// Also while there is trouble: somebody has to find out that it is over.
void fb_queue_figures_tick(fb_queues *queues, int64_t now_ns) {
    int64_t asked_ns = atomic_load(&queues->figures_ns);
    pthread_mutex_lock(&queues->trouble_lock);
    bool trouble = queues->trouble[0] != '\0';
    pthread_mutex_unlock(&queues->trouble_lock);
    if ((asked_ns != 0 && now_ns - asked_ns < INTEREST_NS) || trouble) {
        look_at_all(queues);
    }
}

// ---- reading

static struct fb_queue_times read_times(const fb_histogram *histogram) {
    return (struct fb_queue_times){
        .count = fb_histogram_count(histogram),
        .mean_us = (uint64_t)fb_histogram_mean(histogram),
        .p50_us = (uint64_t)fb_histogram_quantile(histogram, 0.5),
        .p95_us = (uint64_t)fb_histogram_quantile(histogram, 0.95),
        .p99_us = (uint64_t)fb_histogram_quantile(histogram, 0.99)};
}

static void read_reasons(fb_limit_top *top, fb_limit_figures *room, fb_queue_figures *figures) {
    enum { REASONS = sizeof figures->reasons / sizeof figures->reasons[0] };
    room->top_count = 0;
    fb_limit_top_read(top, room);
    for (uint32_t i = 0; i < room->top_count && i < REASONS; i++) {
        (void)snprintf(figures->reasons[i].text, sizeof figures->reasons[i].text, "%s",
                       room->top[i].key);
        figures->reasons[i].count = room->top[i].count;
        figures->reasons[i].error = room->top[i].error;
        figures->reason_count++;
    }
}

// Of one that never had a job it is known what is in it.
static void read_look(fb_queue *queue, bool unused, int64_t now_ns, fb_queue_figures *figures) {
    pthread_mutex_lock(&queue->look_lock);
    figures->look = queue->look;
    figures->reachable = unused || (queue->look_ns != 0 && now_ns - queue->look_ns < FRESH_NS);
    pthread_mutex_unlock(&queue->look_lock);
}

static void read_queue(const fb_queue_terms *terms, fb_limit_figures *room,
                       fb_queue_figures *figures) {
    static const char *const workers[] = {[FB_QUEUE_WORKER_NONE] = "",
                                          [FB_QUEUE_WORKER_MAIL] = "mail",
                                          [FB_QUEUE_WORKER_WEBHOOK] = "webhook"};
    fb_queue *queue = terms->queue;
    uint64_t *const fields[] = {
#define FIELD(field, help) &figures->field,
        FB_QUEUE_COUNTERS(FIELD)
#undef FIELD
    };
    memcpy(figures->name, queue->name, sizeof figures->name);
    figures->store = queue->queues->store_name;
    figures->worker = workers[terms->options->worker];
    for (size_t i = 0; i < FB_QUEUE_COUNTER_COUNT; i++) {
        *fields[i] = atomic_load_explicit(&queue->counters[i], memory_order_relaxed);
    }
    figures->enqueue = read_times(queue->enqueue);
    figures->wait = read_times(queue->wait);
    figures->run = read_times(queue->run);
    read_reasons(queue->reasons, room, figures);
}

int fb_queue_figures_read(fb_engine *engine, fb_queue_figures_fn fn, void *arg) {
    fb_engine_ours(engine);
    fb_queues *queues = engine->queues;
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    fb_limit_figures *room = fb_mem_zero(1, sizeof *room);
    if (room == NULL) {
        return FB_ENOMEM;
    }
    int64_t now_ns = fb_clock_now_ns();
    bool unused = !queues->shared && !fb_queue_store_is_open(queues) &&
                  !fb_queue_store_found(queues);
    int64_t before_ns = atomic_exchange(&queues->figures_ns, now_ns);
    if (before_ns == 0 || now_ns - before_ns > INTEREST_NS) {
        look_at_all(queues);  // for the next time
    }
    for (size_t i = 0; i < catalog->count; i++) {
        fb_queue_figures figures = {0};
        read_queue(&catalog->terms[i], room, &figures);
        read_look(catalog->terms[i].queue, unused, now_ns, &figures);
        fn(arg, &figures);
    }
    fb_mem_free(room);
    return FB_OK;
}

// What went wrong while a shared tier was away says nothing any more when it is back.
static bool has_returned(const fb_queues *queues, const fb_shared_info *shared) {
    fb_shared_info now;
    if (queues->shared && shared == NULL) {
        fb_shared_info_read(queues->engine, &now);
        shared = &now;
    }
    return queues->shared && shared->state == FB_SHARED_CONNECTED;
}

bool fb_queue_healthy(fb_engine *engine, const fb_shared_info *shared, char *text) {
    fb_engine_ours(engine);
    enum { TEXT_SIZE = 256 };
    fb_queues *queues = engine->queues;
    text[0] = '\0';
    pthread_mutex_lock(&queues->lock);
    fb_journal *journal = queues->state == FB_JOURNAL_OPEN ? queues->journal : NULL;
    if (queues->failed_ns != 0 && journal == NULL) {
        (void)snprintf(text, TEXT_SIZE, "%.*s", TEXT_SIZE - 1, queues->failed);
    }
    pthread_mutex_unlock(&queues->lock);
    if (text[0] != '\0' || (journal != NULL && !fb_journal_healthy(journal, text))) {
        return false;
    }
    bool returned = has_returned(queues, shared);
    pthread_mutex_lock(&queues->trouble_lock);
    bool trouble = queues->trouble[0] != '\0' && !returned;
    (void)snprintf(text, TEXT_SIZE, "%s", trouble ? queues->trouble : queues->refusal);
    pthread_mutex_unlock(&queues->trouble_lock);
    return text[0] == '\0';
}

const char *fb_queue_store_name(const fb_engine *engine) {
    fb_engine_ours(engine);
    return engine->queues->store_name;
}
