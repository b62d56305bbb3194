// A decoded key is never longer than its base64, so a buffer with room for the whole body does not move
// while keys are put into it one behind the other.

#include "node/http_body.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "node/http_user.h"

enum { PLACE_SIZE = 48, WORD_SIZE = 72 };

static fb_str text_of(const json_t *string) {
    return fb_str_make(json_string_value(string), json_string_length(string));
}

static bool refuse(fb_http_call *call, const char *place, const char *why) {
    fb_http_problem(call->response, 400, "%s%s", place, why);
    return false;
}

json_t *fb_http_object_of(fb_http_call *call, const char *known) {
    json_t *root = fb_http_object(call);
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value) {
        char wanted[WORD_SIZE];
        int len = snprintf(wanted, sizeof wanted, " %s ", name);
        if (len <= 2 || (size_t)len >= sizeof wanted || strstr(known, wanted) == NULL) {
            fb_http_problem(call->response, 400, "'%.64s' is unknown here: there are%.*s", name,
                            (int)strlen(known) - 1, known);
            json_decref(root);
            return NULL;
        }
    }
    return root;
}

// ---- keys

static bool take_base64(fb_http_call *call, const json_t *json, const char *place, fb_buf *scratch,
                        fb_str *key) {
    fb_str text = text_of(json_object_get(json, "base64"));
    size_t from = scratch->len;
    if (scratch->cap == 0 && fb_buf_reserve(scratch, call->request->body.len) < 0) {
        fb_http_failure(call->response, FB_ENOMEM, NULL);
        return false;
    }
    int result = fb_base64_read(text, scratch);
    if (result < 0) {
        return refuse(call, place, "that is no base64");
    }
    *key = fb_str_make(scratch->ptr + from, scratch->len - from);
    return true;
}

bool fb_http_read_key(fb_http_call *call, const json_t *json, const char *place, fb_buf *scratch,
                      fb_str *key) {
    if (json_is_string(json)) {
        *key = text_of(json);
    } else if (!json_is_object(json) || json_object_size(json) != 1 ||
               !json_is_string(json_object_get(json, "base64"))) {
        return refuse(call, place, "expected a key: a string, or {\"base64\": \"…\"}");
    } else if (!take_base64(call, json, place, scratch, key)) {
        return false;
    }
    if (key->len < 1 || key->len > FB_KEY_LEN_MAX) {
        return refuse(call, place, "a key has from 1 to 65535 bytes");
    }
    return fb_http_may_key(call, *key);
}

bool fb_http_read_keys(fb_http_call *call, const json_t *list, fb_buf *scratch, fb_str **keys,
                       size_t *count) {
    size_t all = json_array_size(list);
    *count = 0;
    if (all < 1 || all > FB_HTTP_MANY_MAX) {
        fb_http_problem(call->response, 400, "keys: expected a list of 1 to %d", FB_HTTP_MANY_MAX);
        return false;
    }
    *keys = fb_mem_zero(all, sizeof **keys);
    if (*keys == NULL) {
        fb_http_failure(call->response, FB_ENOMEM, NULL);
        return false;
    }
    for (; *count < all; (*count)++) {
        char place[PLACE_SIZE];
        (void)snprintf(place, sizeof place, "keys[%zu]: ", *count);
        if (!fb_http_read_key(call, json_array_get(list, *count), place, scratch,
                              &(*keys)[*count])) {
            fb_mem_free(*keys);
            *keys = NULL;
            return false;
        }
    }
    return true;
}

// ---- values

static int append(const char *bytes, size_t len, void *arg) {
    return fb_buf_append(arg, fb_str_make(bytes, len)) < 0 ? -1 : 0;
}

static int write_value(const json_t *value, fb_str encoding, fb_buf *out) {
    if (fb_str_equal(encoding, FB_STR("json"))) {
        bool fits = json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
        return fits ? FB_OK : FB_ENOMEM;
    }
    if (!json_is_string(value)) {
        return FB_ETYPE;
    }
    return fb_str_equal(encoding, FB_STR("base64")) ? fb_base64_read(text_of(value), out)
                                                    : fb_buf_append(out, text_of(value));
}

bool fb_http_read_value(fb_http_call *call, const json_t *object, const char *place, fb_buf *out) {
    const json_t *value = json_object_get(object, "value");
    const json_t *said = json_object_get(object, "value_encoding");
    fb_str encoding = said != NULL ? text_of(said)
                      : json_is_string(value) ? FB_STR("text")
                                              : FB_STR("json");
    if (value == NULL) {
        return refuse(call, place, "value: it is missing");
    }
    if (!fb_str_equal(encoding, FB_STR("json")) && !fb_str_equal(encoding, FB_STR("text")) &&
        !fb_str_equal(encoding, FB_STR("base64"))) {
        return refuse(call, place, "value_encoding: expected json, text or base64");
    }
    out->len = 0;
    int result = write_value(value, encoding, out);
    if (result == FB_ENOMEM) {
        fb_http_failure(call->response, result, NULL);
    } else if (result < 0) {
        return refuse(call, place, result == FB_ETYPE ? "value: expected a string, as value_encoding says"
                                                      : "value: that is no base64");
    }
    return result == FB_OK;
}

// ---- options

static bool read_tags(const json_t *list, fb_str *tags, size_t *count) {
    if (!json_is_array(list) || json_array_size(list) > FB_TAGS_MAX) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        fb_str tag = text_of(json_array_get(list, i));
        if (tag.len < 1 || tag.len > FB_TAG_LEN_MAX) {
            return false;
        }
        tags[(*count)++] = tag;
    }
    return true;
}

bool fb_http_read_options(fb_http_call *call, const json_t *object, const char *place, fb_str *tags,
                          fb_set_options *options) {
    const json_t *ttl = json_object_get(object, "ttl");
    const json_t *names = json_object_get(object, "tags");
    const json_t *version = json_object_get(object, "srcver");
    int64_t ttl_ns = 0;
    *options = (fb_set_options){.tags = tags};
    if (ttl != NULL && (!json_is_string(ttl) || fb_units_duration(text_of(ttl), &ttl_ns) < 0 ||
                        ttl_ns < FB_NS_PER_MS)) {
        return refuse(call, place, "ttl: expected a time of at least 1ms, such as \"5m\"");
    }
    if (names != NULL && !read_tags(names, tags, &options->tag_count)) {
        return refuse(call, place, "tags: expected a list of at most 16 names of 1 to 128 bytes");
    }
    if (version != NULL && (!json_is_integer(version) || json_integer_value(version) < 1)) {
        return refuse(call, place, "srcver: expected a whole number of at least 1");
    }
    options->ttl_ms = ttl_ns / FB_NS_PER_MS;
    options->source_version = (uint64_t)json_integer_value(version);
    return true;
}
