// fb_queue_start() and its kin: what a call means, and whether it can be meant.
//
// All that can be said without the store is said here, before anything is sent: names, sizes,
// ranges. What is left is a request with everything filled in, copied into a trip; or, of a
// RESERVE, somebody who waits.

#include "engine/queues_inside.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/utf8.h"
#include "config/values.h"

enum { STEP_ITEMS = 1000, ATTEMPTS_MAX = 1000 };
static const uint64_t NUMBER_MAX = (UINT64_C(1) << 53) - 1;
static const int64_t AHEAD_MAX_MS = INT64_C(100) * 366 * 24 * 3600 * 1000;
static const int64_t AT_MAX_MS = INT64_C(8640000000000000);
static const int64_t LEASE_MAX_MS = INT64_C(24) * 3600 * 1000;

// ---- what a call may not be

#define REFUSE(...) fb_error_set(error, FB_EINVAL, __VA_ARGS__)

static bool has_control(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte < 0x20 || byte == 0x7f) {
            return true;
        }
    }
    return false;
}

// `item` is its place, from 0.
static int check_texts(const fb_job_spec *spec, size_t item, const fb_queue_options *options,
                       fb_error *error) {
    char limit[48];
    if (spec->kind.len > FB_JOB_KIND_MAX) {
        return fb_error_set(error, FB_ETOOBIG, "job %zu: its kind has %zu bytes, of at most %d",
                            item + 1, spec->kind.len, FB_JOB_KIND_MAX);
    }
    if (has_control(spec->kind)) {
        return REFUSE("job %zu: its kind has a control character", item + 1);
    }
    if (spec->unique.len > FB_JOB_UNIQUE_MAX) {
        return fb_error_set(error, FB_ETOOBIG,
                            "job %zu: its unique key has %zu bytes, of at most %d", item + 1,
                            spec->unique.len, FB_JOB_UNIQUE_MAX);
    }
    if (spec->payload.len > options->payload_max) {
        return fb_error_set(error, FB_ETOOBIG,
                            "job %zu: its payload has %zu bytes, of at most %s "
                            "(queues.%s.payload_max)",
                            item + 1, spec->payload.len,
                            fb_units_show_bytes(options->payload_max, limit, sizeof limit),
                            options->name);
    }
    return FB_OK;
}

static int check_numbers(const fb_job_spec *spec, size_t item, fb_error *error) {
    if (spec->priority < FB_JOB_PRIORITY_UNSET || spec->priority >= FB_JOB_PRIORITIES) {
        return REFUSE("job %zu: expected a priority from 0 to %d, found %d", item + 1,
                      FB_JOB_PRIORITIES - 1, spec->priority);
    }
    if (spec->delay_ms < 0 || spec->delay_ms > AHEAD_MAX_MS || spec->at_ms < 0 ||
        spec->at_ms > AT_MAX_MS) {
        return REFUSE("job %zu: its time is out of range", item + 1);
    }
    if (spec->delay_ms > 0 && spec->at_ms > 0) {
        return REFUSE("job %zu: it has a delay and a time: expected one of both", item + 1);
    }
    if (spec->attempts > ATTEMPTS_MAX) {
        return REFUSE("job %zu: expected at most %d attempts, found %u", item + 1, ATTEMPTS_MAX,
                      spec->attempts);
    }
    if (spec->lease_ms < 0 || spec->lease_ms > LEASE_MAX_MS) {
        return REFUSE("job %zu: expected a lease of at most 24 h", item + 1);
    }
    if (spec->expires_ms < 0 || spec->expires_ms > AHEAD_MAX_MS) {
        return REFUSE("job %zu: expires out of range", item + 1);
    }
    return FB_OK;
}

static int check_items(const fb_queue_call *call, fb_error *error) {
    size_t least = call->verb == FB_QUEUE_KICK ? 0 : 1;
    if (call->item_count < least || call->item_count > FB_JOB_BATCH_MAX) {
        return REFUSE("expected %zu to %d jobs in one call, found %zu", least, FB_JOB_BATCH_MAX,
                      call->item_count);
    }
    for (size_t i = 0; call->verb != FB_QUEUE_ENQUEUE && i < call->item_count; i++) {
        if (call->claims[i].number > NUMBER_MAX || call->claims[i].token > NUMBER_MAX) {
            return REFUSE("job %zu: its number or token is out of range", i + 1);
        }
    }
    return FB_OK;
}

static int check_times(const fb_queue_call *call, fb_error *error) {
    int64_t least_ms = call->verb == FB_QUEUE_FAIL ? -1 : 0;
    if (call->delay_ms < least_ms || call->delay_ms > AHEAD_MAX_MS) {
        return REFUSE("delay out of range");
    }
    if (call->lease_ms < 0 || call->lease_ms > LEASE_MAX_MS) {
        return REFUSE("expected a lease of at most 24 h");
    }
    return call->wait_ms < 0 ? REFUSE("expected a wait of 0 ms or more") : FB_OK;
}

static int check_count(const fb_queue_call *call, uint32_t least, fb_error *error) {
    return call->count < least || call->count > FB_JOB_BATCH_MAX
               ? REFUSE("expected a count from %u to %d, found %u", least, FB_JOB_BATCH_MAX,
                        call->count)
               : FB_OK;
}

static int check_state(const fb_queue_call *call, fb_error *error) {
    bool kick = call->verb == FB_QUEUE_KICK;
    if ((int)call->state < 0 || (int)call->state >= FB_JOB_STATE_COUNT) {
        return REFUSE("no such state");
    }
    return kick && call->state != FB_JOB_SCHEDULED && call->state != FB_JOB_DEAD
               ? REFUSE("only jobs that are scheduled or dead can be kicked")
               : FB_OK;
}

// What each verb has beside its queue.
static int check_call(const fb_queue_call *call, fb_error *error) {
    switch (call->verb) {
        case FB_QUEUE_ENQUEUE:
        case FB_QUEUE_GET:
        case FB_QUEUE_CANCEL:
            return check_items(call, error);
        case FB_QUEUE_ACK: {
            int result = check_items(call, error);
            return result == FB_OK ? check_count(call, 0, error) : result;
        }
        case FB_QUEUE_FAIL:
        case FB_QUEUE_RELEASE:
        case FB_QUEUE_EXTEND: {
            int result = check_items(call, error);
            return result == FB_OK ? check_times(call, error) : result;
        }
        case FB_QUEUE_RESERVE: {
            int result = check_count(call, 1, error);
            return result == FB_OK ? check_times(call, error) : result;
        }
        case FB_QUEUE_KICK: {
            int result = check_items(call, error);
            if (result < 0 || call->item_count > 0) {
                return result;
            }
            return call->count > 0 ? check_state(call, error)
                                   : REFUSE("expected numbers, or a count above 0");
        }
        case FB_QUEUE_PURGE:
            return check_state(call, error);
        case FB_QUEUE_LIST: {
            int result = check_state(call, error);
            return result == FB_OK ? check_count(call, 1, error) : result;
        }
        case FB_QUEUE_PAUSE:
        case FB_QUEUE_LOOK:
        case FB_QUEUE_MOVE:
            return FB_OK;
    }
    return REFUSE("no such verb");
}

// ---- the request

static bool copy_claims(const fb_queue_call *call, fb_queue_trip *trip) {
    size_t size = call->item_count * sizeof(fb_job_claim);
    fb_job_claim *claims = size > 0 ? fb_arena_new(&trip->arena, size) : NULL;
    if (claims != NULL) {
        memcpy(claims, call->claims, size);
    }
    trip->request.claims = claims;
    trip->request.item_count = call->item_count;
    return size == 0 || claims != NULL;
}

static fb_str cut(fb_str text, size_t len_max) {
    return text.len > len_max ? fb_str_make(text.ptr, fb_utf8_cut(text.ptr, len_max)) : text;
}

static bool copy_text(fb_queue_trip *trip, fb_str text) {
    fb_str wanted = cut(text, FB_JOB_TEXT_MAX);
    trip->request.text = fb_arena_copy(&trip->arena, wanted);
    // No text leaves a progress as it was; an empty one makes it empty.
    if (wanted.len == 0 && text.ptr != NULL) {
        trip->request.text.ptr = "";
    }
    return trip->request.text.len == wanted.len;
}

static bool resolve_job(const fb_job_spec *spec, fb_queue_trip *trip, fb_store_job *job) {
    const fb_queue_options *options = trip->terms->options;
    *job = (fb_store_job){
        .job = {.queue = fb_str_of(trip->queue->name),
                .kind = fb_arena_copy(&trip->arena, spec->kind),
                .payload = fb_arena_copy(&trip->arena, spec->payload),
                .unique = fb_arena_copy(&trip->arena, spec->unique),
                .priority = (uint8_t)(spec->priority >= 0 ? (uint32_t)spec->priority
                                                          : options->priority),
                .attempts = spec->attempts > 0 ? spec->attempts : options->attempts,
                .lease_ms =
                    spec->lease_ms > 0 ? spec->lease_ms : options->lease_ns / FB_NS_PER_MS,
                .due_ms = spec->at_ms},
        .delay_ms = spec->delay_ms,
        .life_ms =
            spec->expires_ms > 0 ? spec->expires_ms : options->expires_ns / FB_NS_PER_MS};
    return job->job.kind.len == spec->kind.len && job->job.payload.len == spec->payload.len &&
           job->job.unique.len == spec->unique.len;
}

static bool copy_jobs(const fb_queue_call *call, fb_queue_trip *trip) {
    fb_store_job *jobs = fb_arena_new(&trip->arena, call->item_count * sizeof *jobs);
    bool whole = jobs != NULL;
    for (size_t i = 0; i < call->item_count && whole; i++) {
        whole = resolve_job(&call->specs[i], trip, &jobs[i]);
    }
    trip->request.jobs = jobs;
    trip->request.item_count = call->item_count;
    return whole;
}

static void limit_steps(fb_queue_trip *trip, uint64_t most) {
    trip->left = most;
    trip->request.count = (uint32_t)(most < STEP_ITEMS ? most : STEP_ITEMS);
}

static bool fill(const fb_queue_call *call, fb_queue_trip *trip) {
    fb_store_request *request = &trip->request;
    request->count = call->count;
    request->lease_ms = call->lease_ms;
    request->delay_ms = call->delay_ms;
    request->permanent = call->permanent;
    request->state = (int)call->state;
    request->after = call->after;
    switch (call->verb) {
        case FB_QUEUE_ENQUEUE:
            return copy_jobs(call, trip);
        case FB_QUEUE_ACK:
            request->token = call->count > 0 ? fb_queues_token(trip->queues, call->count) : 0;
            return copy_claims(call, trip);
        case FB_QUEUE_FAIL:
            request->random = fb_queues_jitter(trip->queues);
            return copy_claims(call, trip) && copy_text(trip, call->text);
        case FB_QUEUE_EXTEND:
            return copy_claims(call, trip) && copy_text(trip, call->text);
        case FB_QUEUE_RELEASE:
        case FB_QUEUE_GET:
        case FB_QUEUE_CANCEL:
            return copy_claims(call, trip);
        case FB_QUEUE_KICK:
            limit_steps(trip, call->count);
            return copy_claims(call, trip);
        case FB_QUEUE_PURGE:
            limit_steps(trip, UINT64_MAX);
            return true;
        case FB_QUEUE_PAUSE:
            request->flag = call->flag;
            return true;
        default:
            return true;
    }
}

static const fb_store_verb verbs[] = {
    [FB_QUEUE_ENQUEUE] = FB_STORE_ENQUEUE, [FB_QUEUE_RESERVE] = FB_STORE_RESERVE,
    [FB_QUEUE_ACK] = FB_STORE_ACK,         [FB_QUEUE_FAIL] = FB_STORE_FAIL,
    [FB_QUEUE_RELEASE] = FB_STORE_RELEASE, [FB_QUEUE_EXTEND] = FB_STORE_EXTEND,
    [FB_QUEUE_GET] = FB_STORE_GET,         [FB_QUEUE_CANCEL] = FB_STORE_CANCEL,
    [FB_QUEUE_KICK] = FB_STORE_KICK,       [FB_QUEUE_PURGE] = FB_STORE_PURGE,
    [FB_QUEUE_PAUSE] = FB_STORE_PAUSE,     [FB_QUEUE_LIST] = FB_STORE_LIST,
    [FB_QUEUE_LOOK] = FB_STORE_LOOK,       [FB_QUEUE_MOVE] = FB_STORE_LOOK,
};

// ---- whose queue

static int find_queue(fb_queues *queues, const fb_queue_call *call, bool own,
                      const fb_queue_terms **terms, fb_error *error) {
    fb_str name = call->queue;
    if (call->verb == FB_QUEUE_ENQUEUE) {
        name = call->specs[0].queue.len > 0 ? call->specs[0].queue : name;
        for (size_t i = 0; i < call->item_count; i++) {
            if (call->specs[i].queue.len > 0 && !fb_str_equal(call->specs[i].queue, name)) {
                return REFUSE("job %zu: its queue is another than the first one's", i + 1);
            }
        }
    }
    *terms = own ? fb_queues_find_ever(queues, name) : NULL;
    int result = *terms != NULL ? FB_OK : fb_queues_need(queues, name, terms, error);
    for (size_t i = 0;
         result == FB_OK && call->verb == FB_QUEUE_ENQUEUE && i < call->item_count; i++) {
        result = check_texts(&call->specs[i], i, (*terms)->options, error);
        if (result == FB_OK) {
            result = check_numbers(&call->specs[i], i, error);
        }
    }
    return result;
}

static int find_queues(fb_queues *queues, const fb_queue_call *call, const fb_queue_terms **terms,
                       fb_error *error) {
    if (call->queue_count < 1 || call->queue_count > FB_QUEUE_NAMES_MAX) {
        return REFUSE("expected 1 to %d queues, found %zu", FB_QUEUE_NAMES_MAX, call->queue_count);
    }
    for (size_t i = 0; i < call->queue_count; i++) {
        int result = fb_queues_need(queues, call->queues[i], &terms[i], error);
        if (result < 0) {
            return result;
        }
        for (size_t j = 0; j < i; j++) {
            if (terms[j]->queue == terms[i]->queue) {
                return REFUSE("queue \"%s\" is named twice", terms[i]->queue->name);
            }
        }
    }
    return FB_OK;
}

static int say(fb_error *error, int result) {
    return fb_error_set(error, result, "%s", fb_result_text(result));
}

static int prepare_wait(fb_queues *queues, const fb_queue_call *call, bool own,
                        fb_queue_wait **wait, fb_error *error) {
    const fb_queue_terms *terms[FB_QUEUE_NAMES_MAX];
    int result = find_queues(queues, call, terms, error);
    if (result < 0) {
        return result;
    }
    result = fb_queue_wait_new(queues, call, terms, own, wait);
    return result < 0 ? say(error, result) : FB_OK;
}

static int prepare_trip(fb_queues *queues, const fb_queue_call *call, bool own,
                        fb_queue_trip **trip, fb_error *error) {
    const fb_queue_terms *terms = NULL;
    int result = find_queue(queues, call, own, &terms, error);
    if (result < 0) {
        return result;
    }
    result = fb_queue_trip_new(queues, terms, verbs[call->verb], own, trip);
    if (result < 0) {
        return say(error, result);
    }
    if (!fill(call, *trip)) {
        fb_queue_trip_drop(*trip);
        return say(error, FB_ENOMEM);
    }
    return FB_OK;
}

// ---- the calls

void fb_queue_answer_of(const fb_queue_trip *trip, fb_queue_answer *answer) {
    const fb_store_reply *reply = &trip->reply;
    *answer = (fb_queue_answer){.result = trip->result,
                                .error = trip->error,
                                .jobs = reply->jobs,
                                .job_count = reply->job_count,
                                .results = reply->results,
                                .numbers = reply->numbers,
                                .value = trip->value > 0 ? trip->value : reply->value,
                                .look = reply->look};
    answer->look.store = trip->queues->store_name;
}

static void tell(fb_queue_trip *trip) {
    fb_queue_answer answer;
    fb_queue_answer_of(trip, &answer);
    trip->told.fn(trip->arg, &answer);
}

static int start_trip(fb_queue_trip *trip, fb_queue_verb verb, fb_error *error) {
    if (verb != FB_QUEUE_MOVE) {
        fb_queue_trip_send(trip);
        return FB_OK;
    }
    int result = fb_queue_move_start(trip, error);
    if (result < 0) {
        fb_queue_trip_drop(trip);
    }
    return result;
}

int fb_queues_start(fb_queues *queues, const fb_queue_call *call, bool own, fb_queue_fn fn,
                    void *arg, fb_queue_wait **wait, fb_error *error) {
    fb_queue_wait *waits = NULL;
    fb_queue_trip *trip = NULL;
    int result = check_call(call, error);
    if (result < 0) {
        return result;
    }
    if (call->verb == FB_QUEUE_RESERVE) {
        result = prepare_wait(queues, call, own, &waits, error);
        if (result == FB_OK) {
            if (wait != NULL) {
                *wait = waits;
            }
            fb_queue_wait_start(waits, fn, arg);
        }
        return result;
    }
    result = prepare_trip(queues, call, own, &trip, error);
    if (result < 0) {
        return result;
    }
    trip->done = tell;
    trip->told.fn = fn;
    trip->arg = arg;
    return start_trip(trip, call->verb, error);
}

static int ask_trip(fb_queue_trip *trip, fb_queue_verb verb, fb_queue_fn fn, void *arg,
                    fb_error *error) {
    fb_sleeper sleeper;
    trip->sleeper = &sleeper;
    fb_sleeper_begin(&sleeper, 1);
    int result = start_trip(trip, verb, error);
    if (result < 0) {
        fb_sleeper_wake(&sleeper);
        fb_sleeper_wait(&sleeper);
        return result;
    }
    fb_sleeper_wait(&sleeper);
    result = trip->result;
    if (result < 0) {
        (void)fb_error_set(error, result, "%s", trip->error);
    }
    if (fn != NULL) {
        fb_queue_answer answer;
        fb_queue_answer_of(trip, &answer);
        fn(arg, &answer);
    }
    fb_queue_trip_end(trip);
    return result;
}

int fb_queues_ask(fb_queues *queues, const fb_queue_call *call, bool own, fb_queue_fn fn, void *arg,
                  fb_error *error) {
    fb_queue_wait *wait = NULL;
    fb_queue_trip *trip = NULL;
    int result = check_call(call, error);
    if (result < 0) {
        return result;
    }
    if (!fb_engine_may_wait(queues->engine)) {
        return REFUSE("on a loop only a fiber may wait: fb_run(), or fb_queue_start()");
    }
    if (call->verb == FB_QUEUE_RESERVE) {
        result = prepare_wait(queues, call, own, &wait, error);
        return result < 0 ? result : fb_queue_wait_ask(wait, fn, arg, error);
    }
    result = prepare_trip(queues, call, own, &trip, error);
    return result < 0 ? result : ask_trip(trip, call->verb, fn, arg, error);
}

int fb_queue_start(fb_engine *engine, const fb_queue_call *call, fb_queue_fn fn, void *arg,
                   fb_queue_wait **wait, fb_error *error) {
    fb_engine_ours(engine);
    if (wait != NULL) {
        *wait = NULL;
    }
    return fb_queues_start(engine->queues, call, false, fn, arg, wait, error);
}

int fb_queue_ask(fb_engine *engine, const fb_queue_call *call, fb_queue_fn fn, void *arg,
                 fb_error *error) {
    fb_engine_ours(engine);
    return fb_queues_ask(engine->queues, call, false, fn, arg, error);
}

// ---- for programs

typedef struct enqueuing {
    fb_str queue;
    fb_enqueued *jobs;
    size_t count;
} enqueuing;

static void note_enqueued(void *arg, const fb_queue_answer *answer) {
    const enqueuing *one = arg;
    for (size_t i = 0; answer->result == FB_OK && i < one->count; i++) {
        one->jobs[i].result = answer->results[i];
        one->jobs[i].id[0] = '\0';
        if (answer->results[i] >= 0) {
            (void)fb_job_id_write(one->queue, answer->numbers[i], one->jobs[i].id);
        }
    }
}

int fb_queue_enqueue(fb_engine *engine, const fb_job_spec *specs, size_t count, fb_enqueued *jobs,
                     fb_error *error) {
    fb_engine_ours(engine);
    fb_queue_call call = {.verb = FB_QUEUE_ENQUEUE, .specs = specs, .item_count = count};
    enqueuing one = {
        .queue = count > 0 ? specs[0].queue : FB_STR(""), .jobs = jobs, .count = count};
    return fb_queue_ask(engine, &call, note_enqueued, &one, error);
}
