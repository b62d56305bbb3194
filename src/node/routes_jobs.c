// Single jobs by HTTP: /v1/jobs/{id} and what is below it.
//
//     GET, DELETE /v1/jobs/reports.1042
//     POST /v1/jobs/reports.1042/retry
//     POST /v1/jobs/reports.1042/ack       {"token": 17, "reserve": 1}
//                               /fail      {"token": 17, "error": "…", "delay_ms": 500, "permanent": true}
//                               /release   {"token": 17, "delay_ms": 500}
//                               /extend    {"token": 17, "lease_ms": 60000, "progress": "…"}
//                               /progress  {"token": 17, "text": "…"}
//
// What is done is answered 204, with the jobs that were reserved 200; whose lease is over is told 409
// with the code LEASELOST.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>

#include "base/str.h"
#include "node/fields.h"
#include "node/http_ask.h"
#include "node/jobs.h"
#include "node/say.h"

enum { SHOWN = 80 };

// The path's job; said why not where it is none.
static bool read_id(fb_http_call *call, fb_str *queue, uint64_t *number, fb_http_ask *ask) {
    fb_str id = call->name;
    *ask = (fb_http_ask){.count = 1};
    if (fb_job_id_parse(id, queue, number) != FB_OK || id.len >= sizeof ask->id) {
        fb_http_problem(call->response, 400, "'%.*s' is no id of a job, such as default.64",
                        (int)(id.len < SHOWN ? id.len : SHOWN), id.ptr);
        return false;
    }
    (void)snprintf(ask->id, sizeof ask->id, "%.*s", FB_STR_ARG(id));
    return true;
}

static int no_job(const fb_http_ask *ask, fb_http_response *response) {
    fb_http_problem(response, 404, "there is no job %s: it is done, or was cancelled or removed",
                    ask->id);
    return FB_OK;
}

// ---- looking, cancelling, trying again

static int write_job(const fb_http_ask *ask, fb_http_response *response,
                     const fb_queue_answer *answer) {
    fb_reply reply;
    if (answer->results[0] != FB_OK || answer->job_count == 0) {
        return no_job(ask, response);
    }
    fb_http_json(response, 200, &reply);
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_jobs_say(&reply, ask->node->engine, &answer->jobs[0], true);
    return fb_http_json_end(&reply);
}

static int write_found(const fb_http_ask *ask, fb_http_response *response,
                       const fb_queue_answer *answer) {
    if (answer->results[0] == FB_REFUSED) {
        fb_http_problem(response, 409, "its unique key has another job");
        return FB_OK;
    }
    if (answer->results[0] != FB_OK) {
        return no_job(ask, response);
    }
    response->status = 204;
    return FB_OK;
}

static int ask_by_number(fb_http_call *call, fb_queue_verb verb, fb_http_ask_fn write) {
    fb_job_claim claim = {0, 0};
    fb_queue_call what = {.verb = verb, .claims = &claim, .item_count = 1};
    fb_http_ask ask;
    return read_id(call, &what.queue, &claim.number, &ask)
               ? fb_http_ask_start(call, &what, &ask, write)
               : FB_OK;
}

int fb_route_job(fb_http_call *call) {
    return ask_by_number(call, FB_QUEUE_GET, write_job);
}

int fb_route_job_cancel(fb_http_call *call) {
    return ask_by_number(call, FB_QUEUE_CANCEL, write_found);
}

int fb_route_job_retry(fb_http_call *call) {
    return ask_by_number(call, FB_QUEUE_KICK, write_found);
}

// ---- who has it

static int lost(fb_http_response *response) {
    fb_http_failure(response, FB_LOST, NULL);
    return FB_OK;
}

static int write_done(const fb_http_ask *ask, fb_http_response *response,
                      const fb_queue_answer *answer) {
    (void)ask;
    if (answer->results[0] != FB_OK) {
        return lost(response);
    }
    response->status = 204;
    return FB_OK;
}

// The jobs that came with it must not be lost with an error: so there is none.
static int write_next(const fb_http_ask *ask, fb_http_response *response,
                      const fb_queue_answer *answer) {
    fb_reply reply;
    fb_http_json(response, 200, &reply);
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 2);
    fb_say_integer(&reply, "acknowledged", answer->results[0] == FB_OK);
    fb_reply_text(&reply, "jobs");
    fb_reply_array(&reply, answer->job_count);
    for (size_t i = 0; i < answer->job_count; i++) {
        fb_jobs_say_claimed(&reply, ask->node->engine, &answer->jobs[i]);
    }
    return fb_http_json_end(&reply);
}

// The token is the first of the fields.
static int ask_by_token(fb_http_call *call, fb_queue_call *what, fb_field *fields, size_t count,
                        const int64_t *reserve) {
    fb_job_claim claim = {0, 0};
    int64_t token = 0;
    fb_http_ask ask;
    json_t *object = NULL;
    int result = FB_OK;
    fields[0] = (fb_field){
        .name = "token", .type = FB_FIELD_NUMBER, .to = &token, .most = INT64_MAX, .needed = true};
    if (read_id(call, &what->queue, &claim.number, &ask) && fb_fields_body(call, &object) &&
        fb_fields_read(call, object, "", "", fields, count)) {
        claim.token = (uint64_t)token;
        what->claims = &claim;
        what->item_count = 1;
        what->count = reserve != NULL ? (uint32_t)*reserve : 0;
        ask.may_stop = what->count > 0;
        result = fb_http_ask_start(call, what, &ask, what->count > 0 ? write_next : write_done);
    }
    json_decref(object);
    return result;
}

int fb_route_job_ack(fb_http_call *call) {
    int64_t reserve = 0;
    fb_queue_call what = {.verb = FB_QUEUE_ACK};
    fb_field fields[] = {
        {.name = NULL},
        {.name = "reserve", .type = FB_FIELD_NUMBER, .to = &reserve, .most = FB_JOB_BATCH_MAX},
        {.name = "lease_ms", .type = FB_FIELD_NUMBER, .to = &what.lease_ms, .least = 1,
         .most = INT64_MAX / 2},
        {.name = "worker", .type = FB_FIELD_TEXT, .to = &what.worker},
    };
    return ask_by_token(call, &what, fields, 4, &reserve);
}

int fb_route_job_fail(fb_http_call *call) {
    fb_queue_call what = {.verb = FB_QUEUE_FAIL, .delay_ms = -1};
    fb_field fields[] = {
        {.name = NULL},
        {.name = "error", .type = FB_FIELD_TEXT, .to = &what.text},
        {.name = "delay_ms", .type = FB_FIELD_NUMBER, .to = &what.delay_ms, .most = INT64_MAX / 2},
        {.name = "permanent", .type = FB_FIELD_FLAG, .to = &what.permanent},
    };
    return ask_by_token(call, &what, fields, 4, NULL);
}

int fb_route_job_release(fb_http_call *call) {
    fb_queue_call what = {.verb = FB_QUEUE_RELEASE};
    fb_field fields[] = {
        {.name = NULL},
        {.name = "delay_ms", .type = FB_FIELD_NUMBER, .to = &what.delay_ms, .most = INT64_MAX / 2},
    };
    return ask_by_token(call, &what, fields, 2, NULL);
}

int fb_route_job_extend(fb_http_call *call) {
    fb_queue_call what = {.verb = FB_QUEUE_EXTEND};
    fb_field fields[] = {
        {.name = NULL},
        {.name = "lease_ms", .type = FB_FIELD_NUMBER, .to = &what.lease_ms, .least = 1,
         .most = INT64_MAX / 2},
        {.name = "progress", .type = FB_FIELD_TEXT, .to = &what.text},
    };
    return ask_by_token(call, &what, fields, 3, NULL);
}

int fb_route_job_progress(fb_http_call *call) {
    fb_queue_call what = {.verb = FB_QUEUE_EXTEND};
    fb_field fields[] = {
        {.name = NULL},
        {.name = "text", .type = FB_FIELD_TEXT, .to = &what.text, .needed = true},
    };
    return ask_by_token(call, &what, fields, 2, NULL);
}
