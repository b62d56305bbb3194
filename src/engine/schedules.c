// Jobs that begin by the clock. Every node computes when each schedule is due, and enqueues its job
// then, with a mark in the store: "schedule:NAME", which is raised to that time in the same step.
// Whoever comes second finds it there, and nothing is enqueued: so it is once over all nodes, and
// nobody has to be elected.
//
// The mark also says what was done last, which is how a node that starts finds out whether a time
// was missed while none was up: then the latest such time is made up for, once. A schedule that was
// never seen begins with a mark of now.
//
// Where the store does not answer, the time stays due, and is tried again each second.

#include "engine/queues_inside.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"
#include "os/zone.h"
#include "queue/cron.h"

static const int64_t AGAIN_MS = 1000;
static const int64_t HOUR_MS = 3600 * 1000;

typedef enum schedule_state {
    SCHEDULE_NEW,      // its mark is not known
    SCHEDULE_ASKING,   // it is being asked for, or set
    SCHEDULE_WAITS,    // for due_ms
    SCHEDULE_SENDING   // its job is on its way
} schedule_state;

typedef struct schedule {
    const fb_schedule_options *options;
    fb_cron cron;
    fb_zone *zone;
    char mark[FB_QUEUE_NAME_MAX + 16];
    schedule_state state;
    int64_t due_ms;
    int64_t again_ms;  // not before
    bool told;         // that it does not work
} schedule;

struct fb_schedules {
    schedule *items;
    size_t count;
};

// ---- making them

static int make(const fb_schedule_options *options, schedule *one, fb_error *error) {
    *one = (schedule){.options = options};
    (void)snprintf(one->mark, sizeof one->mark, "schedule:%s", options->name);
    int result = fb_cron_parse(fb_str_of(options->cron), &one->cron, NULL);
    if (result == FB_OK) {
        result = fb_zone_new(options->time_zone, &one->zone);
    }
    if (result == FB_OK || result == FB_ENOMEM) {
        return result < 0 ? fb_error_set(error, result, "schedules: out of memory") : FB_OK;
    }
    result = fb_error_set(error, FB_EINVAL,
                          "schedules.%s.time_zone: this machine knows no time zone \"%s\"",
                          options->name, options->time_zone);
    fb_error_place(error, options->file, options->line, options->column);
    return result;
}

int fb_schedules_new(const fb_settings *settings, fb_schedules **out, fb_error *error) {
    fb_schedules *schedules = fb_mem_zero(1, sizeof *schedules);
    int result = schedules != NULL ? FB_OK : FB_ENOMEM;
    *out = NULL;
    if (result == FB_OK && settings->schedule_count > 0) {
        schedules->items = fb_mem_zero(settings->schedule_count, sizeof *schedules->items);
        result = schedules->items != NULL ? FB_OK : FB_ENOMEM;
    }
    if (result < 0) {
        (void)fb_error_set(error, result, "schedules: out of memory");
    }
    for (size_t i = 0; i < settings->schedule_count && result == FB_OK; i++) {
        if (settings->schedules[i].enabled) {
            result = make(&settings->schedules[i], &schedules->items[schedules->count], error);
            schedules->count += result == FB_OK;
        }
    }
    if (result < 0) {
        fb_schedules_free(schedules);
        return result;
    }
    *out = schedules;
    return FB_OK;
}

void fb_schedules_free(fb_schedules *schedules) {
    if (schedules == NULL) {
        return;
    }
    for (size_t i = 0; i < schedules->count; i++) {
        fb_zone_free(schedules->items[i].zone);
    }
    fb_mem_free(schedules->items);
    fb_mem_free(schedules);
}

size_t fb_schedules_count(const fb_schedules *schedules) {
    return schedules->count;
}

// ---- times

static int64_t offset_at(void *zone, int64_t utc_ms) {
    return fb_zone_offset_ms(zone, utc_ms);
}

static int64_t next_after(const schedule *one, int64_t after_ms) {
    return fb_cron_next(&one->cron, after_ms, offset_at, one->zone);
}

// The latest time that is not after now, given that there is one: looked for in longer and longer
// stretches, so that a schedule of each minute need not be followed through a year.
static int64_t latest(const schedule *one, int64_t first_ms, int64_t now_ms) {
    int64_t found_ms = first_ms;
    for (int64_t back_ms = HOUR_MS; now_ms - back_ms > first_ms; back_ms *= 24) {
        int64_t at_ms = next_after(one, now_ms - back_ms);
        if (at_ms <= now_ms) {
            found_ms = at_ms;
            break;
        }
    }
    for (int64_t at_ms = found_ms; at_ms <= now_ms; at_ms = next_after(one, at_ms)) {
        found_ms = at_ms;
    }
    return found_ms;
}

// ---- what the store says

static void tell(schedule *one, const fb_queue_trip *trip) {
    if (!one->told) {
        one->told = true;
        fb_log(FB_LOG_WARN, "schedule_waits", "schedule=%s queue=%s why=%s", one->options->name,
               one->options->queue, fb_log_quote(fb_str_of(trip->error), FB_LOG_TEXT_MAX).text);
    }
}

// What is due next after what was done last.
static void plan(schedule *one, int64_t done_ms, int64_t now_ms) {
    one->due_ms = next_after(one, done_ms);
    if (one->due_ms <= now_ms) {
        one->due_ms = latest(one, one->due_ms, now_ms);
    }
    one->state = SCHEDULE_WAITS;
}

static void on_sent(fb_queue_trip *trip) {
    schedule *one = trip->arg;
    int64_t now_ms = fb_queues_wall_ms(trip->queues);
    if (trip->result < 0) {
        tell(one, trip);
        one->state = SCHEDULE_WAITS;
        one->again_ms = now_ms + AGAIN_MS;
        return;
    }
    one->told = false;
    plan(one, one->due_ms, now_ms);
}

static void on_begun(fb_queue_trip *trip) {
    schedule *one = trip->arg;
    int64_t now_ms = fb_queues_wall_ms(trip->queues);
    if (trip->result < 0) {
        tell(one, trip);
        one->state = SCHEDULE_NEW;
        one->again_ms = now_ms + AGAIN_MS;
        return;
    }
    plan(one, trip->request.mark_value, now_ms);
}

static bool ask_mark(fb_queues *queues, schedule *one, fb_store_verb verb, int64_t value,
                     void (*done)(fb_queue_trip *trip)) {
    const fb_queue_terms *terms = fb_queues_find(queues, fb_str_of(one->options->queue));
    fb_queue_trip *trip = NULL;
    if (terms == NULL || fb_queue_trip_new(queues, terms, verb, false, &trip) < 0) {
        return false;
    }
    trip->request.mark = fb_str_of(one->mark);  // good as long as the catalogue
    trip->request.mark_value = value;
    trip->done = done;
    trip->arg = one;
    trip->origin = &queues->engine->lanes[0];
    one->state = SCHEDULE_ASKING;
    fb_queue_trip_send(trip);
    return true;
}

static void on_mark(fb_queue_trip *trip) {
    schedule *one = trip->arg;
    fb_queues *queues = trip->queues;
    int64_t now_ms = fb_queues_wall_ms(queues);
    if (trip->result == FB_OK) {
        plan(one, (int64_t)trip->reply.value, now_ms);
        return;
    }
    one->state = SCHEDULE_NEW;
    one->again_ms = now_ms + AGAIN_MS;
    if (trip->result < 0) {
        tell(one, trip);
    } else {
        (void)ask_mark(queues, one, FB_STORE_MARK_SET, now_ms, on_begun);  // else once more
    }
}

// ---- the clock

static bool enqueue(fb_queues *queues, schedule *one) {
    const fb_schedule_options *options = one->options;
    const fb_queue_terms *terms = fb_queues_find(queues, fb_str_of(options->queue));
    fb_queue_trip *trip = NULL;
    if (terms == NULL ||
        fb_queue_trip_new(queues, terms, FB_STORE_ENQUEUE, false, &trip) < 0) {
        return false;
    }
    fb_store_job *job = fb_arena_new(&trip->arena, sizeof *job);
    if (job == NULL) {
        fb_queue_trip_drop(trip);
        return false;
    }
    const char *kind = options->kind != NULL ? options->kind : options->name;
    *job = (fb_store_job){
        .job = {.queue = fb_str_of(terms->queue->name),
                .kind = fb_str_of(kind),
                .payload = fb_str_of(options->payload),
                .priority = (uint8_t)terms->options->priority,
                .attempts = terms->options->attempts,
                .lease_ms = terms->options->lease_ns / FB_NS_PER_MS},
        .life_ms = terms->options->expires_ns / FB_NS_PER_MS};
    trip->request.jobs = job;
    trip->request.item_count = 1;
    trip->request.mark = fb_str_of(one->mark);
    trip->request.mark_value = one->due_ms;
    trip->done = on_sent;
    trip->arg = one;
    trip->origin = &queues->engine->lanes[0];
    one->state = SCHEDULE_SENDING;
    fb_queue_trip_send(trip);
    return true;
}

static void tick(fb_queues *queues, schedule *one, int64_t now_ms) {
    bool done = true;
    if (now_ms < one->again_ms && one->again_ms - now_ms <= AGAIN_MS) {
        return;  // (a clock that was set back does not count)
    }
    if (one->state == SCHEDULE_NEW) {
        done = ask_mark(queues, one, FB_STORE_MARK_GET, 0, on_mark);
    } else if (one->state == SCHEDULE_WAITS && one->due_ms <= now_ms) {
        done = enqueue(queues, one);
    }
    if (!done) {
        one->again_ms = now_ms + AGAIN_MS;
    }
}

bool fb_schedules_are_ahead(const fb_queues *queues, const fb_queue_catalog *catalog) {
    int64_t now_ms = fb_queues_wall_ms(queues);
    bool ahead = true;
    for (size_t i = 0; i < catalog->schedules->count; i++) {
        const schedule *one = &catalog->schedules->items[i];
        ahead = ahead && one->state == SCHEDULE_WAITS && one->due_ms > now_ms;
    }
    return ahead;
}

void fb_schedules_tick(fb_queues *queues, fb_queue_catalog *catalog) {
    fb_schedules *schedules = catalog->schedules;
    int64_t now_ms = fb_queues_wall_ms(queues);
    for (size_t i = 0; i < schedules->count; i++) {
        tick(queues, &schedules->items[i], now_ms);
    }
}
