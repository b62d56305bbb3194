// Marks for others in the engine: a trip whose answer is a number, or a list of them.

#include "engine/queues_inside.h"

#include "base/error.h"
#include "base/str.h"

static void answer_of(const fb_queue_trip *trip, fb_queue_marked *marked) {
    const fb_store_reply *reply = &trip->reply;
    bool lists = trip->request.verb == FB_STORE_MARK_LIST;
    bool missing = trip->request.verb == FB_STORE_MARK_DROP && trip->result == FB_OK &&
                   reply->value == 0;
    *marked = (fb_queue_marked){.result = missing ? FB_MISS : trip->result,
                                .value = (int64_t)reply->value,
                                .marks = lists ? reply->marks : NULL,
                                .mark_count = lists ? reply->mark_count : 0,
                                .error = trip->error};
}

static void tell(fb_queue_trip *trip) {
    fb_queue_marked marked;
    answer_of(trip, &marked);
    trip->told.marked(trip->arg, &marked);
}

static int prepare(fb_queues *queues, const fb_queue_mark_call *call, fb_queue_trip **trip,
                   fb_error *error) {
    const fb_queue_terms *terms = NULL;
    int result = fb_queues_need(queues, call->queue, &terms, error);
    if (result < 0) {
        return result;
    }
    result = fb_queue_trip_new(queues, terms, call->verb, call->own, trip);
    if (result < 0) {
        return fb_error_set(error, result, "%s", fb_result_text(result));
    }
    fb_store_request *request = &(*trip)->request;
    request->mark = fb_arena_copy(&(*trip)->arena, call->mark);
    request->after_mark = fb_arena_copy(&(*trip)->arena, call->after);
    request->mark_value = call->value;
    request->life_ms = call->life_ms;
    request->count = call->count;
    if (request->mark.len != call->mark.len || request->after_mark.len != call->after.len) {
        fb_queue_trip_drop(*trip);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    return FB_OK;
}

int fb_queues_mark_start(fb_queues *queues, const fb_queue_mark_call *call, fb_queue_marked_fn fn,
                         void *arg, fb_error *error) {
    fb_queue_trip *trip = NULL;
    int result = prepare(queues, call, &trip, error);
    if (result == FB_OK) {
        trip->done = tell;
        trip->told.marked = fn;
        trip->arg = arg;
        fb_queue_trip_send(trip);
    }
    return result;
}

int fb_queues_mark_ask(fb_queues *queues, const fb_queue_mark_call *call, fb_queue_marked_fn fn,
                       void *arg, fb_error *error) {
    fb_queue_trip *trip = NULL;
    if (!fb_engine_may_wait(queues->engine)) {
        return fb_error_set(error, FB_EINVAL, "on a loop only a fiber may wait: fb_run()");
    }
    int result = prepare(queues, call, &trip, error);
    if (result < 0) {
        return result;
    }
    fb_queue_trip_wait(trip);
    fb_queue_marked marked;
    answer_of(trip, &marked);
    if (marked.result < 0) {
        (void)fb_error_set(error, marked.result, "%s", marked.error);
    }
    if (fn != NULL) {
        fn(arg, &marked);
    }
    result = marked.result;
    fb_queue_trip_end(trip);
    return result;
}
