// A payload of JSON is written down again, without blanks: so it is the same value, not the same bytes.
// Whoever needs these, or more levels than a body may have, sends the body as it is (raw=1), with the
// options in the query.

#include "node/job_body.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/fields.h"

enum { PLACE_SIZE = 32 };

// ---- payloads

static int append(const char *bytes, size_t len, void *arg) {
    return fb_buf_append(arg, fb_str_make(bytes, len)) < 0 ? -1 : 0;
}

static bool refuse(fb_http_call *call, const char *place, const char *why) {
    fb_http_problem(call->response, 400, "%s%s", place, why);
    return false;
}

static bool read_payload(fb_http_call *call, const json_t *object, const char *place,
                         fb_str encoding, fb_buf *payload) {
    const json_t *value = json_object_get(object, "payload");
    int result = FB_OK;
    if (value == NULL) {
        return refuse(call, place, "payload: it is missing");
    }
    if (encoding.len == 0 || fb_str_equal(encoding, FB_STR("json"))) {
        result = json_dump_callback(value, append, payload, JSON_COMPACT | JSON_ENCODE_ANY) == 0
                     ? FB_OK
                     : FB_ENOMEM;
    } else if (!fb_str_equal(encoding, FB_STR("base64"))) {
        return refuse(call, place, "payload_encoding: expected json or base64");
    } else if (!json_is_string(value)) {
        return refuse(call, place, "payload: expected a string of base64");
    } else {
        result = fb_base64_read(
            fb_str_make(json_string_value(value), json_string_length(value)), payload);
    }
    if (result == FB_ESYNTAX) {
        return refuse(call, place, "payload: that is no base64");
    }
    if (result < 0) {
        fb_http_failure(call->response, result, NULL);
    }
    return result == FB_OK;
}

// ---- options

static bool read_spec(fb_http_call *call, json_t *object, const char *place, fb_str *encoding,
                      fb_job_spec *spec) {
    int64_t priority = FB_JOB_PRIORITY_UNSET;
    int64_t attempts = 0;
    fb_field fields[] = {
        {.name = "kind", .type = FB_FIELD_TEXT, .to = &spec->kind},
        {.name = "priority", .type = FB_FIELD_NUMBER, .to = &priority, .most = FB_JOB_PRIORITIES - 1},
        {.name = "delay_ms", .type = FB_FIELD_NUMBER, .to = &spec->delay_ms, .most = INT64_MAX / 2},
        {.name = "at_ms", .type = FB_FIELD_NUMBER, .to = &spec->at_ms, .least = 1,
         .most = INT64_MAX / 2},
        {.name = "unique", .type = FB_FIELD_TEXT, .to = &spec->unique},
        {.name = "attempts", .type = FB_FIELD_NUMBER, .to = &attempts, .least = 1,
         .most = INT32_MAX},
        {.name = "lease_ms", .type = FB_FIELD_NUMBER, .to = &spec->lease_ms, .least = 1,
         .most = INT64_MAX / 2},
        {.name = "expires_ms", .type = FB_FIELD_NUMBER, .to = &spec->expires_ms, .least = 1,
         .most = INT64_MAX / 2},
        {.name = "payload_encoding", .type = FB_FIELD_TEXT, .to = encoding},
    };
    size_t count = sizeof fields / sizeof fields[0] - (object == NULL ? 1 : 0);
    if (!fb_fields_read(call, object, place, " payload ", fields, count)) {
        return false;
    }
    if (fields[2].given && fields[3].given) {
        return refuse(call, place, "delay_ms and at_ms do not go together");
    }
    spec->priority = (int)priority;
    spec->attempts = (uint32_t)attempts;
    return true;
}

static bool read_one(fb_http_call *call, json_t *object, const char *place, fb_job_body *body) {
    fb_job_spec *spec = &body->specs[body->count];
    fb_buf *payload = &body->payloads[body->count];
    fb_str encoding = {"", 0};
    if (!json_is_object(object)) {
        return refuse(call, place, "expected an object with a payload");
    }
    if (!read_spec(call, object, place, &encoding, spec) ||
        !read_payload(call, object, place, encoding, payload)) {
        return false;
    }
    spec->payload = fb_buf_str(payload);
    body->count++;
    return true;
}

static bool make_room(fb_http_call *call, fb_str queue, size_t count, fb_job_body *body) {
    body->specs = fb_mem_zero(count, sizeof *body->specs);
    body->payloads = fb_mem_zero(count, sizeof *body->payloads);
    body->room = count;
    if (body->specs == NULL || body->payloads == NULL) {
        fb_http_failure(call->response, FB_ENOMEM, NULL);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        body->specs[i].queue = queue;
    }
    return true;
}

static bool read_list(fb_http_call *call, fb_str queue, fb_job_body *body) {
    size_t count = json_array_size(body->root);
    if (count < 1 || count > FB_JOB_BATCH_MAX) {
        fb_http_problem(call->response, 400, "expected a list of 1 to %d jobs", FB_JOB_BATCH_MAX);
        return false;
    }
    body->several = true;
    if (!make_room(call, queue, count, body)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        char place[PLACE_SIZE];
        (void)snprintf(place, sizeof place, "[%zu].", i);
        if (!read_one(call, json_array_get(body->root, i), place, body)) {
            return false;
        }
    }
    return true;
}

static bool is_raw(const fb_http_call *call) {
    const fb_param *raw = fb_http_param(call, "raw");
    return raw != NULL && !fb_str_equal(raw->value, FB_STR("0")) &&
           !fb_str_equal(raw->value, FB_STR("false"));
}

bool fb_job_body_read(fb_http_call *call, fb_str queue, fb_job_body *body) {
    json_error_t error;
    fb_str bytes = call->request->body;
    *body = (fb_job_body){.count = 0};
    if (is_raw(call)) {
        fb_str unused = {"", 0};
        bool fine = make_room(call, queue, 1, body) &&
                    read_spec(call, NULL, "", &unused, &body->specs[0]);
        if (fine) {
            body->specs[0].payload = bytes;
            body->count = 1;
        }
        return fine;
    }
    if (!fb_http_depth_fits(call)) {
        return false;
    }
    body->root = json_loadb(bytes.len > 0 ? bytes.ptr : "", bytes.len,
                            JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (body->root == NULL) {
        fb_http_problem(call->response, 400,
                        "the body is no JSON (line %d, column %d: %s); with ?raw=1 any bytes are a "
                        "payload",
                        error.line, error.column, error.text);
        return false;
    }
    if (json_is_array(body->root)) {
        return read_list(call, queue, body);
    }
    return make_room(call, queue, 1, body) && read_one(call, body->root, "", body);
}

void fb_job_body_release(fb_job_body *body) {
    for (size_t i = 0; body->payloads != NULL && i < body->room; i++) {
        fb_buf_release(&body->payloads[i]);
    }
    fb_mem_free(body->payloads);
    fb_mem_free(body->specs);
    json_decref(body->root);
    *body = (fb_job_body){.count = 0};
}
