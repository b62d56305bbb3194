// Queues by HTTP: /v1/queues and what is below it.
//
//     POST /v1/queues/reports/jobs     {"payload": {"user": 42}, "kind": "monthly", "delay_ms": 500}
//                                      or a list of such          → 201 {"id": …, "new": true}
//     POST /v1/queues/reports/reserve  {"count": 10, "wait_ms": 30000}     → 200 {"jobs": […]}
//     POST /v1/queues/reports/ack      {"jobs": [{"id": …, "token": …}], "reserve": 10}
//     GET  /v1/queues/reports/jobs?state=dead&after=reports.64&count=100
//     POST /v1/queues/reports/pause, resume, purge, kick, move
//
// What has a body may have its options in the query instead. To reserve from several queues, name them
// with commas between them: no queue's name has one.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/fields.h"
#include "node/http_ask.h"
#include "node/job_body.h"
#include "node/job_words.h"
#include "node/jobs.h"
#include "node/later.h"
#include "node/say.h"

enum { LIST_COUNT = 100 };

static fb_http_ask about(fb_str queue) {
    fb_http_ask ask = {.count = 0};
    size_t most = sizeof ask.queue - 1;
    (void)snprintf(ask.queue, sizeof ask.queue, "%.*s", (int)(queue.len < most ? queue.len : most),
                   queue.ptr);
    return ask;
}

// ---- jobs in

static void say_enqueued(fb_reply *reply, const fb_http_ask *ask, const fb_queue_answer *answer,
                         size_t at) {
    char id[FB_JOB_ID_SIZE];
    int result = answer->results[at];
    fb_reply_map(reply, 2);
    if (result < 0) {  // of a queue in several partitions each has its own end
        fb_say_text(reply, "error", fb_result_text(result));
    } else {
        fb_say_text(reply, "id", fb_job_id_write(fb_str_of(ask->queue), answer->numbers[at], id));
    }
    fb_say_boolean(reply, "new", result == FB_OK);
}

static int write_enqueued(const fb_http_ask *ask, fb_http_response *response,
                          const fb_queue_answer *answer) {
    fb_reply reply;
    size_t new_count = 0;
    for (size_t i = 0; i < ask->count; i++) {
        new_count += answer->results[i] == FB_OK;
    }
    fb_http_json(response, new_count > 0 ? 201 : 200, &reply);
    if (!ask->several) {
        char id[FB_JOB_ID_SIZE];
        fb_http_header_add(response, "Location", "/v1/jobs/%s",
                           fb_job_id_write(fb_str_of(ask->queue), answer->numbers[0], id));
        say_enqueued(&reply, ask, answer, 0);
        return fb_http_json_end(&reply);
    }
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "jobs");
    fb_reply_array(&reply, ask->count);
    for (size_t i = 0; i < ask->count; i++) {
        say_enqueued(&reply, ask, answer, i);
    }
    return fb_http_json_end(&reply);
}

int fb_route_enqueue(fb_http_call *call) {
    fb_job_body body;
    int result = FB_OK;
    if (fb_job_body_read(call, call->name, &body)) {
        fb_http_ask ask = about(call->name);
        ask.count = body.count;
        ask.several = body.several;
        fb_queue_call what = {.verb = FB_QUEUE_ENQUEUE,
                              .queue = call->name,
                              .specs = body.specs,
                              .item_count = body.count};
        result = fb_http_ask_start(call, &what, &ask, write_enqueued);
    }
    fb_job_body_release(&body);
    return result;
}

// ---- jobs out

static void say_jobs(fb_reply *reply, const fb_http_ask *ask, const fb_queue_answer *answer) {
    fb_reply_text(reply, "jobs");
    fb_reply_array(reply, answer->job_count);
    for (size_t i = 0; i < answer->job_count; i++) {
        fb_jobs_say_claimed(reply, ask->node->engine, &answer->jobs[i]);
    }
}

static int write_reserved(const fb_http_ask *ask, fb_http_response *response,
                          const fb_queue_answer *answer) {
    fb_reply reply;
    fb_http_json(response, 200, &reply);
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 1);
    say_jobs(&reply, ask, answer);
    return fb_http_json_end(&reply);
}

// 0: more than there may be.
static size_t split_names(fb_str names, fb_str queues[FB_QUEUE_NAMES_MAX]) {
    size_t count = 0;
    for (bool more = true; more && count <= FB_QUEUE_NAMES_MAX; count++) {
        size_t len = fb_str_find(names, ',');
        more = len < names.len;
        if (count == FB_QUEUE_NAMES_MAX) {
            return 0;
        }
        queues[count] = fb_str_make(names.ptr, len);
        names = more ? fb_str_make(names.ptr + len + 1, names.len - len - 1) : FB_STR("");
    }
    return count;
}

static bool read_reserve(fb_http_call *call, json_t *object, fb_queue_call *what) {
    int64_t count = 1;
    fb_field fields[] = {
        {.name = "count", .type = FB_FIELD_NUMBER, .to = &count, .least = 1, .most = FB_JOB_BATCH_MAX},
        {.name = "wait_ms", .type = FB_FIELD_NUMBER, .to = &what->wait_ms, .most = FB_JOB_WAIT_MAX_MS},
        {.name = "lease_ms", .type = FB_FIELD_NUMBER, .to = &what->lease_ms, .least = 1,
         .most = INT64_MAX / 2},
        {.name = "worker", .type = FB_FIELD_TEXT, .to = &what->worker},
    };
    bool fine = fb_fields_read(call, object, "", "", fields, sizeof fields / sizeof fields[0]);
    what->count = (uint32_t)count;
    return fine;
}

int fb_route_reserve(fb_http_call *call) {
    json_t *object;
    fb_str queues[FB_QUEUE_NAMES_MAX];
    fb_queue_call what = {.verb = FB_QUEUE_RESERVE, .queues = queues};
    fb_http_ask ask = {.may_stop = true};
    int result = FB_OK;
    what.queue_count = split_names(call->name, queues);
    if (what.queue_count == 0) {
        fb_http_problem(call->response, 400, "at most %d queues", FB_QUEUE_NAMES_MAX);
        return FB_OK;
    }
    if (fb_fields_body(call, &object) && read_reserve(call, object, &what)) {
        what.wait_ms = atomic_load(&call->node->draining) ? 0 : what.wait_ms;
        result = fb_http_ask_start(call, &what, &ask, write_reserved);
    }
    json_decref(object);
    return result;
}

// ---- several jobs done

static int write_acknowledged(const fb_http_ask *ask, fb_http_response *response,
                              const fb_queue_answer *answer) {
    fb_reply reply;
    int64_t done = 0;
    fb_http_json(response, 200, &reply);
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 3);
    fb_reply_text(&reply, "results");
    fb_reply_array(&reply, ask->count);
    for (size_t i = 0; i < ask->count; i++) {
        int result = answer->results[i];
        fb_reply_text(&reply, result == FB_OK ? "done" : result < 0 ? fb_result_text(result) : "lost");
        done += result == FB_OK;
    }
    fb_say_integer(&reply, "acknowledged", done);
    say_jobs(&reply, ask, answer);
    return fb_http_json_end(&reply);
}

static bool read_claim(fb_http_call *call, json_t *object, size_t at, fb_job_claim *claim) {
    char place[32];
    fb_str id = {"", 0};
    fb_str queue = {"", 0};
    int64_t token = 0;
    fb_field fields[] = {
        {.name = "id", .type = FB_FIELD_TEXT, .to = &id, .needed = true},
        {.name = "token", .type = FB_FIELD_NUMBER, .to = &token, .most = INT64_MAX, .needed = true},
    };
    (void)snprintf(place, sizeof place, "jobs[%zu].", at);
    if (!json_is_object(object)) {
        fb_http_problem(call->response, 400, "jobs: expected objects with id and token");
        return false;
    }
    fb_http_call alone = *call;  // the query's are not theirs
    alone.query_count = 0;
    if (!fb_fields_read(&alone, object, place, "", fields, 2)) {
        return false;
    }
    if (fb_job_id_parse(id, &queue, &claim->number) != FB_OK || !fb_str_equal(queue, call->name)) {
        fb_http_problem(call->response, 400, "%sid: that is no job of this queue", place);
        return false;
    }
    claim->token = (uint64_t)token;
    return true;
}

static bool read_claims(fb_http_call *call, const json_t *list, fb_job_claim *claims, size_t count) {
    size_t read = 0;
    while (read < count && read_claim(call, json_array_get(list, read), read, &claims[read])) {
        read++;
    }
    return read == count;
}

static int acknowledge(fb_http_call *call, json_t *object, const json_t *list) {
    size_t count = json_array_size(list);
    int64_t reserve = 0;
    fb_queue_call what = {.verb = FB_QUEUE_ACK, .queue = call->name, .item_count = count};
    fb_field fields[] = {
        {.name = "reserve", .type = FB_FIELD_NUMBER, .to = &reserve, .most = FB_JOB_BATCH_MAX},
        {.name = "lease_ms", .type = FB_FIELD_NUMBER, .to = &what.lease_ms, .least = 1,
         .most = INT64_MAX / 2},
        {.name = "worker", .type = FB_FIELD_TEXT, .to = &what.worker},
    };
    if (!fb_fields_read(call, object, "", " jobs ", fields, 3)) {
        return FB_OK;
    }
    if (count < 1 || count > FB_JOB_BATCH_MAX) {
        fb_http_problem(call->response, 400, "jobs: expected a list of 1 to %d", FB_JOB_BATCH_MAX);
        return FB_OK;
    }
    fb_job_claim *claims = fb_mem_zero(count, sizeof *claims);
    int result = claims != NULL ? FB_OK : FB_ENOMEM;
    if (claims != NULL && read_claims(call, list, claims, count)) {
        fb_http_ask ask = {.count = count, .may_stop = true};
        what.claims = claims;
        what.count = (uint32_t)reserve;
        result = fb_http_ask_start(call, &what, &ask, write_acknowledged);
    }
    fb_mem_free(claims);
    return result;
}

int fb_route_queue_ack(fb_http_call *call) {
    json_t *object = fb_http_object(call);
    int result =
        object != NULL ? acknowledge(call, object, json_object_get(object, "jobs")) : FB_OK;
    json_decref(object);
    return result;
}

// ---- looking

static void write_queues(void *arg, int result, const fb_queue_figures *queues, size_t count) {
    fb_later *later = arg;
    fb_reply reply;
    fb_http_json(later->target, 200, &reply);
    fb_http_header_add(later->target, "Cache-Control", "no-store");
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "queues");
    fb_reply_array(&reply, count);
    for (size_t i = 0; i < count; i++) {
        fb_jobs_queue_say(&reply, &queues[i], NULL);
    }
    result = result < 0 ? result : fb_http_json_end(&reply);
    if (result < 0) {
        fb_http_failure(later->target, result, NULL);
    }
    if (fb_later_answered(later)) {
        fb_mem_free(later);
    }
}

int fb_route_queues(fb_http_call *call) {
    return fb_later_roll(call, write_queues);
}

static int write_look(const fb_http_ask *ask, fb_http_response *response,
                      const fb_queue_answer *answer) {
    fb_reply reply;
    fb_queue_figures figures;
    int result = fb_jobs_queue_find(ask->node->engine, fb_str_of(ask->queue), &figures);
    if (result != FB_OK) {
        return result < 0 ? result : FB_ENOQUEUE;
    }
    fb_http_json(response, 200, &reply);
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_jobs_queue_say(&reply, &figures, &answer->look);
    return fb_http_json_end(&reply);
}

int fb_route_queue(fb_http_call *call) {
    fb_queue_call what = {.verb = FB_QUEUE_LOOK, .queue = call->name};
    fb_http_ask ask = about(call->name);
    return fb_http_ask_start(call, &what, &ask, write_look);
}

static int write_list(const fb_http_ask *ask, fb_http_response *response,
                      const fb_queue_answer *answer) {
    fb_reply reply;
    fb_http_json(response, 200, &reply);
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "jobs");
    fb_reply_array(&reply, answer->job_count);
    for (size_t i = 0; i < answer->job_count; i++) {
        fb_jobs_say(&reply, ask->node->engine, &answer->jobs[i], false);
    }
    return fb_http_json_end(&reply);
}

static bool take_state(fb_http_call *call, fb_str text, fb_job_state *state) {
    if (!fb_jobs_state(text, state)) {
        fb_http_problem(call->response, 400, "state: expected %s", fb_jobs_state_names());
        return false;
    }
    return true;
}

// "64" or "reports.64".
static bool take_after(fb_http_call *call, fb_str text, uint64_t *after) {
    fb_str queue;
    int64_t number = 0;
    if (text.len == 0 || fb_job_id_parse(text, &queue, after) == FB_OK) {
        return true;
    }
    bool fine = fb_str_int(text, &number) == FB_OK && number >= 0;
    *after = fine ? (uint64_t)number : 0;
    if (!fine) {
        fb_http_problem(call->response, 400, "after: expected the id of a job");
    }
    return fine;
}

int fb_route_queue_jobs(fb_http_call *call) {
    fb_str state = {"ready", 5};
    fb_str after = {"", 0};
    int64_t count = LIST_COUNT;
    fb_queue_call what = {.verb = FB_QUEUE_LIST, .queue = call->name};
    fb_http_ask ask = about(call->name);
    fb_field fields[] = {
        {.name = "state", .type = FB_FIELD_TEXT, .to = &state},
        {.name = "after", .type = FB_FIELD_TEXT, .to = &after},
        {.name = "count", .type = FB_FIELD_NUMBER, .to = &count, .least = 1, .most = FB_JOB_BATCH_MAX},
    };
    if (!fb_fields_read(call, NULL, "", "", fields, 3) ||
        !take_state(call, state, &what.state) || !take_after(call, after, &what.after)) {
        return FB_OK;
    }
    what.count = (uint32_t)count;
    return fb_http_ask_start(call, &what, &ask, write_list);
}

// ---- all of a queue

static int write_value(const fb_http_ask *ask, fb_http_response *response,
                       const fb_queue_answer *answer) {
    fb_reply reply;
    fb_http_json(response, 200, &reply);
    fb_reply_map(&reply, 1);
    fb_say_count(&reply, ask->name, answer->value);
    return fb_http_json_end(&reply);
}

static int write_changed(const fb_http_ask *ask, fb_http_response *response,
                         const fb_queue_answer *answer) {
    fb_reply reply;
    fb_http_json(response, 200, &reply);
    fb_reply_map(&reply, 2);
    fb_say_boolean(&reply, "paused", ask->several);
    fb_say_boolean(&reply, "changed", answer->value != 0);
    return fb_http_json_end(&reply);
}

static int pause_or_resume(fb_http_call *call, bool pause) {
    fb_queue_call what = {.verb = FB_QUEUE_PAUSE, .queue = call->name, .flag = pause};
    fb_http_ask ask = about(call->name);
    ask.several = pause;
    return fb_http_ask_start(call, &what, &ask, write_changed);
}

int fb_route_queue_pause(fb_http_call *call) {
    return pause_or_resume(call, true);
}

int fb_route_queue_resume(fb_http_call *call) {
    return pause_or_resume(call, false);
}

int fb_route_queue_move(fb_http_call *call) {
    fb_queue_call what = {.verb = FB_QUEUE_MOVE, .queue = call->name};
    fb_http_ask ask = about(call->name);
    ask.name = "moved";
    return fb_http_ask_start(call, &what, &ask, write_value);
}

// state, and for kick count.
static int purge_or_kick(fb_http_call *call, json_t *object, fb_queue_verb verb) {
    fb_str state = {"", 0};
    int64_t count = FB_JOB_BATCH_MAX;
    bool kick = verb == FB_QUEUE_KICK;
    fb_queue_call what = {.verb = verb, .queue = call->name};
    fb_http_ask ask = about(call->name);
    fb_field fields[] = {
        {.name = "state", .type = FB_FIELD_TEXT, .to = &state, .needed = true},
        {.name = "count", .type = FB_FIELD_NUMBER, .to = &count, .least = 1, .most = FB_JOB_BATCH_MAX},
    };
    if (!fb_fields_read(call, object, "", "", fields, kick ? 2 : 1) ||
        !take_state(call, state, &what.state)) {
        return FB_OK;
    }
    if (kick && what.state != FB_JOB_SCHEDULED && what.state != FB_JOB_DEAD) {
        fb_http_problem(call->response, 400, "state: expected scheduled or dead");
        return FB_OK;
    }
    what.count = (uint32_t)count;
    ask.name = kick ? "kicked" : "removed";
    return fb_http_ask_start(call, &what, &ask, write_value);
}

static int with_body(fb_http_call *call, fb_queue_verb verb) {
    json_t *object;
    int result = fb_fields_body(call, &object) ? purge_or_kick(call, object, verb) : FB_OK;
    json_decref(object);
    return result;
}

int fb_route_queue_purge(fb_http_call *call) {
    return with_body(call, FB_QUEUE_PURGE);
}

int fb_route_queue_kick(fb_http_call *call) {
    return with_body(call, FB_QUEUE_KICK);
}
