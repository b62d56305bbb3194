// /v1/keys and what is below it for many keys at once, each with a result of its own.
//
// POST /v1/keys/get reads only: it is a POST because a list of keys has no place in a path. Keys are read
// at once (fb_get_many()), changed one by one.
//
// A result is what one request for that key would be answered: its status, and either the value with what
// its headers would say, or the problem. One answer holds values of 64 MiB in all; those beyond are 413
// and to be asked for again.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/http_body.h"
#include "node/http_results.h"
#include "node/http_value.h"
#include "node/say.h"

enum {
    COUNT_DEFAULT = 100,
    COUNT_MAX = 10000,
    CURSOR_SIZE = 24,
    PLACE_SIZE = 48
};
static const size_t BYTES_MAX = 64 << 20;  // of all values of an answer

// ---- GET /v1/keys

typedef struct listing {
    fb_buf lens, bytes;
    size_t count;
    bool failed;
} listing;

static void take_name(void *arg, fb_str key) {
    listing *one = arg;
    fb_str len = {(const char *)&key.len, sizeof key.len};
    one->failed = one->failed || fb_buf_append(&one->lens, len) < 0 ||
                  fb_buf_append(&one->bytes, key) < 0;
    one->count++;
}

static bool read_number(fb_http_call *call, const char *name, uint64_t *number) {
    const fb_param *param = fb_http_param(call, name);
    *number = 0;
    for (size_t i = 0; param != NULL && i < param->value.len; i++) {
        unsigned digit = (unsigned)(unsigned char)param->value.ptr[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, digit, number)) {
            fb_http_problem(call->response, 400, "%s: expected a whole number", name);
            return false;
        }
    }
    return true;
}

static int write_list(fb_http_call *call, const listing *one, uint64_t next) {
    fb_reply reply;
    char cursor[CURSOR_SIZE];
    size_t at = 0;
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 2);
    (void)snprintf(cursor, sizeof cursor, "%llu", (unsigned long long)next);
    fb_say_text(&reply, "cursor", cursor);
    fb_reply_text(&reply, "keys");
    fb_reply_array(&reply, one->count);
    for (size_t i = 0; i < one->count; i++) {
        size_t len;
        memcpy(&len, one->lens.ptr + i * sizeof len, sizeof len);
        fb_reply_bytes(&reply, fb_str_make(one->bytes.ptr + at, len));
        at += len;
    }
    return fb_http_json_end(&reply);
}

int fb_route_keys_list(fb_http_call *call) {
    const fb_param *match = fb_http_param(call, "match");
    uint64_t cursor, count, next = 0;
    listing one = {.count = 0};
    if (!read_number(call, "cursor", &cursor) || !read_number(call, "count", &count)) {
        return FB_OK;
    }
    if (count > COUNT_MAX) {
        fb_http_problem(call->response, 400, "count: at most %d", COUNT_MAX);
        return FB_OK;
    }
    count = count > 0 ? count : COUNT_DEFAULT;
    int result = fb_scan(call->node->engine, cursor, count,
                         match != NULL ? match->value : FB_STR(""), take_name, &one, &next);
    result = result == FB_OK && one.failed ? FB_ENOMEM : result;
    if (result == FB_OK) {
        result = write_list(call, &one, next);
    }
    fb_buf_release(&one.lens);
    fb_buf_release(&one.bytes);
    return result;
}

// ---- POST /v1/keys/get

typedef struct found {
    fb_value value;  // its data in `bytes`
    fb_buf bytes;
    bool failed;
} found;

// It may be called again with a newer value.
static void keep(void *arg, const fb_value *value) {
    found *one = arg;
    one->value = *value;
    one->value.content_type = (fb_str){NULL, 0};
    one->bytes.len = 0;
    one->failed = fb_buf_append(&one->bytes, value->data) < 0;
}

static int answer_get(fb_http_call *call, const fb_str *keys, found *values, int *results,
                      size_t count) {
    fb_reply reply;
    size_t bytes = 0;
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "results");
    fb_reply_array(&reply, count);
    for (size_t i = 0; i < count; i++) {
        found *one = &values[i];
        bytes += one->bytes.len;
        int result = results[i] == FB_OK && one->failed        ? FB_ENOMEM
                     : results[i] == FB_OK && bytes > BYTES_MAX ? FB_ETOOBIG
                                                                : results[i];
        one->value.data = fb_buf_str(&one->bytes);
        fb_http_say_result(&reply, &keys[i], result, &one->value, NULL);
        fb_buf_release(&one->bytes);
    }
    return fb_http_json_end(&reply);
}

static int get_all(fb_http_call *call, const fb_str *keys, size_t count) {
    found *values = fb_mem_zero(count, sizeof *values);
    void **args = fb_mem_zero(count, sizeof *args);
    int *results = fb_mem_zero(count, sizeof *results);
    int result = FB_ENOMEM;
    if (values != NULL && args != NULL && results != NULL) {
        for (size_t i = 0; i < count; i++) {
            args[i] = &values[i];
        }
        fb_get_many(call->node->engine, keys, count, keep, args, results);
        result = answer_get(call, keys, values, results, count);
    }
    fb_mem_free(values);
    fb_mem_free(args);
    fb_mem_free(results);
    return result;
}

typedef int (*keys_fn)(fb_http_call *call, const fb_str *keys, size_t count);

static int with_keys(fb_http_call *call, keys_fn fn) {
    json_t *root = fb_http_object_of(call, " keys ");
    fb_buf scratch = {0};
    fb_str *keys = NULL;
    size_t count = 0;
    int result = FB_OK;
    if (root != NULL &&
        fb_http_read_keys(call, json_object_get(root, "keys"), &scratch, &keys, &count)) {
        result = fn(call, keys, count);
    }
    fb_mem_free(keys);
    fb_buf_release(&scratch);
    json_decref(root);
    return result;
}

int fb_route_keys_get(fb_http_call *call) {
    return with_keys(call, get_all);
}

// ---- POST /v1/keys/delete

static int delete_all(fb_http_call *call, const fb_str *keys, size_t count) {
    fb_reply reply;
    fb_http_json(call->response, 200, &reply);
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "results");
    fb_reply_array(&reply, count);
    for (size_t i = 0; i < count; i++) {
        fb_http_say_result(&reply, &keys[i], fb_del(call->node->engine, keys[i]), NULL, NULL);
    }
    return fb_http_json_end(&reply);
}

int fb_route_keys_delete(fb_http_call *call) {
    return with_keys(call, delete_all);
}

// ---- POST /v1/keys/set

typedef struct item {
    fb_str key;
    fb_set_options options;
    fb_str tags[FB_TAGS_MAX];
} item;

static bool read_item(fb_http_call *call, json_t *object, size_t index, fb_buf *scratch,
                      fb_buf *value, item *one) {
    static const char known[] = " key value value_encoding ttl tags srcver ";
    char place[PLACE_SIZE];
    const char *name;
    json_t *member;
    (void)snprintf(place, sizeof place, "items[%zu]: ", index);
    if (!json_is_object(object)) {
        fb_http_problem(call->response, 400, "%sexpected an object with key and value", place);
        return false;
    }
    json_object_foreach(object, name, member) {
        char wanted[PLACE_SIZE];
        (void)snprintf(wanted, sizeof wanted, " %.40s ", name);
        if (strstr(known, wanted) == NULL) {
            fb_http_problem(call->response, 400, "%s'%.64s' is unknown here: there are%.*s", place,
                            name, (int)sizeof known - 2, known);
            return false;
        }
    }
    return fb_http_read_key(call, json_object_get(object, "key"), place, scratch, &one->key) &&
           fb_http_read_value(call, object, place, value) &&
           fb_http_read_options(call, object, place, one->tags, &one->options);
}

// All of them are looked at before the first is stored.
static bool items_fit(fb_http_call *call, const json_t *list, fb_buf *scratch, fb_buf *value) {
    size_t count = json_array_size(list);
    if (count < 1 || count > FB_HTTP_MANY_MAX) {
        fb_http_problem(call->response, 400, "items: expected a list of 1 to %d", FB_HTTP_MANY_MAX);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        item one;
        scratch->len = 0;
        if (!read_item(call, json_array_get(list, i), i, scratch, value, &one)) {
            return false;
        }
    }
    return true;
}

static int set_all(fb_http_call *call, const json_t *list, fb_buf *scratch, fb_buf *value) {
    fb_buf out = {0};
    fb_reply reply;
    size_t count = json_array_size(list);
    fb_reply_init(&reply, FB_ENCODING_JSON, &out);
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "results");
    fb_reply_array(&reply, count);
    for (size_t i = 0; i < count; i++) {
        item one;
        scratch->len = 0;
        if (!read_item(call, json_array_get(list, i), i, scratch, value, &one)) {
            fb_buf_release(&out);  // no memory, which the response says
            return FB_OK;
        }
        int result = fb_set(call->node->engine, one.key, fb_buf_str(value), &one.options);
        fb_http_say_result(&reply, &one.key, result, NULL, NULL);
    }
    fb_http_begin(call->response, 200);
    fb_http_header_add(call->response, "Content-Type", "application/json");
    int result = fb_http_json_end(&reply);
    call->response->body = out;
    return result;
}

int fb_route_keys_set(fb_http_call *call) {
    json_t *root = fb_http_object_of(call, " items ");
    fb_buf scratch = {0};
    fb_buf value = {0};
    int result = FB_OK;
    if (root != NULL) {
        const json_t *list = json_object_get(root, "items");
        result = items_fit(call, list, &scratch, &value) ? set_all(call, list, &scratch, &value)
                                                         : FB_OK;
    }
    fb_buf_release(&scratch);
    fb_buf_release(&value);
    json_decref(root);
    return result;
}
