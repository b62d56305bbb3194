// POST /v1/fetch: many values of any classes at once, each with a result of its own; and the key that
// parameters make.
//
//     {"requests": [{"class": "package", "params": {"name": "curl"}}, …]}      → {"results": [{…}, …]}
//       beside them: refresh, timeout_ms, minseq
//
// What has to be loaded gathers in the batches of its class (fb_fetch_start_many()). Results come in any
// order, each into bytes of its own; the last one puts them together.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/http_body.h"
#include "node/http_results.h"
#include "node/http_user.h"
#include "node/later.h"
#include "node/say.h"

enum { NUMBER_SIZE = 24, PLACE_SIZE = 48 };

typedef struct many many;
typedef struct part {
    many *all;
    fb_buf bytes;
} part;
struct many {
    fb_later later;
    bool failed;         // no memory for one of them
    size_t count, left;  // parts; those not answered, and one until all have been asked
    fb_request *requests;
    fb_param **params;  // of each
    fb_buf numbers;     // parameters that came as numbers, as texts
    void **args;
    part *parts;
};

static void free_many(many *all) {
    for (size_t i = 0; i < all->count; i++) {
        if (all->parts != NULL) {
            fb_buf_release(&all->parts[i].bytes);
        }
        if (all->params != NULL) {
            fb_mem_free(all->params[i]);
        }
    }
    fb_buf_release(&all->numbers);
    fb_mem_free(all->requests);
    fb_mem_free(all->params);
    fb_mem_free(all->args);
    fb_mem_free(all->parts);
    fb_mem_free(all);
}

static many *make_many(size_t count) {
    many *all = fb_mem_zero(1, sizeof *all);
    if (all == NULL) {
        return NULL;
    }
    all->count = count;
    all->left = count + 1;
    all->requests = fb_mem_zero(count, sizeof *all->requests);
    all->params = fb_mem_zero(count, sizeof *all->params);
    all->args = fb_mem_zero(count, sizeof *all->args);
    all->parts = fb_mem_zero(count, sizeof *all->parts);
    if (all->requests == NULL || all->params == NULL || all->args == NULL || all->parts == NULL) {
        free_many(all);
        return NULL;
    }
    return all;
}

// ---- the questions

// A string, or an integer, whose text it then is. FB_EINVAL: neither.
static int read_param(many *all, const char *name, const json_t *value, fb_param *param) {
    param->name = fb_str_of(name);
    if (json_is_string(value)) {
        param->value = fb_str_make(json_string_value(value), json_string_length(value));
        return FB_OK;
    }
    if (!json_is_integer(value)) {
        return FB_EINVAL;
    }
    // The buffer has room for all of them, and does not move (read_all()).
    size_t from = all->numbers.len;
    int result = fb_buf_printf(&all->numbers, "%lld", (long long)json_integer_value(value));
    param->value = fb_str_make(all->numbers.ptr + from, all->numbers.len - from);
    return result;
}

static bool read_params(fb_http_call *call, many *all, size_t index, json_t *params) {
    fb_request *request = &all->requests[index];
    const char *name;
    json_t *value;
    size_t count = json_object_size(params);
    if (params != NULL && (!json_is_object(params) || count > FB_HTTP_PARAMS_MAX)) {
        fb_http_problem(call->response, 400,
                        "requests[%zu]: params: expected an object of at most %d", index,
                        FB_HTTP_PARAMS_MAX);
        return false;
    }
    all->params[index] = fb_mem_zero(count + 1, sizeof **all->params);
    if (all->params[index] == NULL) {
        fb_http_failure(call->response, FB_ENOMEM, NULL);
        return false;
    }
    request->params = all->params[index];
    json_object_foreach(params, name, value) {
        int result = read_param(all, name, value, &all->params[index][request->param_count]);
        if (result == FB_ENOMEM) {
            fb_http_failure(call->response, result, NULL);
            return false;
        }
        if (result < 0) {
            fb_http_problem(call->response, 400,
                            "requests[%zu]: params.%.64s: expected a string or a whole number",
                            index, name);
            return false;
        }
        request->param_count++;
    }
    return true;
}

static bool is_known(fb_str name) {
    static const char *const names[] = {"class", "params", "refresh", "timeout_ms", "minseq"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (fb_str_equal(name, fb_str_of(names[i]))) {
            return true;
        }
    }
    return false;
}

static const char *mistake(json_t *object) {
    const char *name;
    json_t *value;
    const json_t *refresh = json_object_get(object, "refresh");
    const json_t *timeout = json_object_get(object, "timeout_ms");
    const json_t *after = json_object_get(object, "minseq");
    if (!json_is_object(object)) {
        return "expected an object with class and params";
    }
    json_object_foreach(object, name, value) {
        if (!is_known(fb_str_of(name))) {
            return "there are class, params, refresh, timeout_ms and minseq";
        }
    }
    return !json_is_string(json_object_get(object, "class")) ? "class: expected the name of a class"
           : refresh != NULL && !json_is_boolean(refresh)    ? "refresh: expected true or false"
           : timeout != NULL && json_integer_value(timeout) < 1
               ? "timeout_ms: expected a whole number of at least 1"
           : after != NULL && !json_is_string(after) ? "minseq: expected a Forebay-Token"
                                                     : NULL;
}

static bool read_one(fb_http_call *call, many *all, size_t index, json_t *object) {
    fb_request *request = &all->requests[index];
    const char *wrong = mistake(object);
    if (wrong != NULL) {
        fb_http_problem(call->response, 400, "requests[%zu]: %s", index, wrong);
        return false;
    }
    const json_t *name = json_object_get(object, "class");
    const json_t *after = json_object_get(object, "minseq");
    request->class_name = fb_str_make(json_string_value(name), json_string_length(name));
    request->refresh = json_is_true(json_object_get(object, "refresh"));
    request->timeout_ms = json_integer_value(json_object_get(object, "timeout_ms"));
    request->after = fb_str_make(json_string_value(after), json_string_length(after));
    return read_params(call, all, index, json_object_get(object, "params"));
}

static bool read_all(fb_http_call *call, many *all, const json_t *list) {
    // A number is no longer as a text than in the body, but for a minus of zero.
    if (fb_buf_reserve(&all->numbers, call->request->body.len + NUMBER_SIZE) < 0) {
        fb_http_failure(call->response, FB_ENOMEM, NULL);
        return false;
    }
    for (size_t i = 0; i < all->count; i++) {
        char place[PLACE_SIZE];
        (void)snprintf(place, sizeof place, "requests[%zu]: ", i);
        if (!read_one(call, all, i, json_array_get(list, i)) ||
            !fb_http_may_request(call, &all->requests[i], place)) {
            return false;
        }
    }
    return true;
}

// ---- the answers

static int write_all(many *all) {
    fb_reply reply;
    if (all->failed) {
        return FB_ENOMEM;
    }
    fb_http_json(all->later.target, 200, &reply);
    fb_http_header_add(all->later.target, "Cache-Control", "no-store");
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "results");
    fb_reply_array(&reply, all->count);
    for (size_t i = 0; i < all->count; i++) {
        fb_reply_json(&reply, fb_buf_str(&all->parts[i].bytes));
    }
    return fb_http_json_end(&reply);
}

static void part_is_there(many *all) {
    if (--all->left > 0) {
        return;
    }
    int result = write_all(all);
    if (result < 0) {
        fb_http_failure(all->later.target, result, NULL);
    }
    if (fb_later_answered(&all->later)) {
        free_many(all);
    }
}

static void answer(void *arg, int result, const fb_value *value, const fb_error *error) {
    part *one = arg;
    fb_reply reply;
    fb_reply_init(&reply, FB_ENCODING_JSON, &one->bytes);
    fb_http_say_result(&reply, NULL, result, value, error);
    one->all->failed = one->all->failed || fb_reply_failed(&reply);
    part_is_there(one->all);
}

static int ask(fb_http_call *call, many *all) {
    fb_later_begin(&all->later, call);
    for (size_t i = 0; i < all->count; i++) {
        all->parts[i].all = all;
        all->args[i] = &all->parts[i];
    }
    fb_fetch_start_many(call->node->engine, all->requests, all->count, answer, all->args);
    part_is_there(all);
    int result = fb_later_end(&all->later);
    if (result == FB_OK) {
        free_many(all);
    }
    return result;
}

int fb_route_fetch_many(fb_http_call *call) {
    json_t *root = fb_http_object_of(call, " requests ");
    const json_t *list = json_object_get(root, "requests");
    size_t count = json_array_size(list);
    int result = FB_OK;
    if (root != NULL && (count < 1 || count > FB_HTTP_MANY_MAX)) {
        fb_http_problem(call->response, 400, "requests: expected a list of 1 to %d",
                        FB_HTTP_MANY_MAX);
    } else if (root != NULL) {
        many *all = make_many(count);
        if (all == NULL) {
            result = FB_ENOMEM;
        } else if (read_all(call, all, list)) {
            result = ask(call, all);
        } else {
            free_many(all);
        }
    }
    json_decref(root);
    return result;
}

// ---- GET /v1/key/{class}

static void say_key(void *arg, fb_str key) {
    fb_reply *reply = arg;
    fb_reply_map(reply, 1);
    fb_reply_text(reply, "key");
    fb_reply_bytes(reply, key);
}

int fb_route_fetch_key(fb_http_call *call) {
    fb_request request = {
        .class_name = call->name, .params = call->query, .param_count = call->query_count};
    fb_error error = {0};
    fb_reply reply;
    if (!fb_http_may_request(call, &request, "")) {
        return FB_OK;
    }
    fb_http_json(call->response, 200, &reply);
    int result = fb_fetch_key(call->node->engine, &request, say_key, &reply, &error);
    if (result == FB_ENOCLASS) {
        fb_http_no_class(call->node, call->response, call->name);
    } else if (result < 0) {
        fb_http_failure(call->response, result, &error);
    }
    return result < 0 ? FB_OK : fb_http_json_end(&reply);
}
