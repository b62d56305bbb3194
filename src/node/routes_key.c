// GET, PUT and DELETE /v1/keys/{key}: plain keys, and what classes have in memory under theirs.

#include "node/route.h"

#include "base/str.h"
#include "base/units.h"

// ---- GET

typedef struct reading {
    fb_http_call *call;
    int result;
} reading;

// It may be called again with a newer value, and begins anew then.
static void take(void *arg, const fb_value *value) {
    reading *one = arg;
    fb_http_response *response = one->call->response;
    one->result = fb_http_value(response, value, one->call->request->if_none_match);
    if (one->result < 0) {
        return;
    }
    if (value->ttl_ms >= 0) {
        fb_http_header_add(response, "Cache-Status", "forebay; hit; ttl=%lld%s",
                           (long long)(value->ttl_ms / 1000),
                           value->freshness != FB_FRESH ? "; detail=stale" : "");
    } else {
        fb_http_header_add(response, "Cache-Status", "forebay; hit");
    }
}

int fb_route_key_get(fb_http_call *call) {
    reading one = {call, FB_OK};
    int result = fb_get(call->node->engine, call->name, take, &one);
    if (result == FB_MISS) {
        fb_http_problem(call->response, 404, "no such key in memory");
    } else if (result == FB_NEGATIVE) {
        fb_http_problem(call->response, 404, "known not to exist");
    }
    return result < 0 ? result : one.result;
}

// ---- PUT

// "a,b" → tags. false: too many, or one that is empty or too long.
static bool read_tags(fb_str list, fb_str tags[FB_TAGS_MAX], size_t *count) {
    while (list.len > 0) {
        size_t len = fb_str_find(list, ',');
        if (len == 0 || len > FB_TAG_LEN_MAX || *count == FB_TAGS_MAX) {
            return false;
        }
        tags[(*count)++] = fb_str_make(list.ptr, len);
        size_t used = len < list.len ? len + 1 : len;
        list = fb_str_make(list.ptr + used, list.len - used);
    }
    return true;
}

int fb_route_key_put(fb_http_call *call) {
    fb_str tags[FB_TAGS_MAX];
    fb_set_options options = {.tags = tags};
    const fb_param *ttl = fb_http_param(call, "ttl");
    const fb_param *names = fb_http_param(call, "tags");
    int64_t ttl_ns = 0;
    if (ttl != NULL && (fb_units_duration(ttl->value, &ttl_ns) < 0 || ttl_ns < FB_NS_PER_MS)) {
        fb_http_problem(call->response, 400, "ttl is a time of at least 1ms, such as 5m");
        return FB_OK;
    }
    if (names != NULL && !read_tags(names->value, tags, &options.tag_count)) {
        fb_http_problem(call->response, 400,
                        "tags are at most %d names of 1 to %d bytes, as in a,b", FB_TAGS_MAX,
                        FB_TAG_LEN_MAX);
        return FB_OK;
    }
    options.ttl_ms = ttl_ns / FB_NS_PER_MS;
    int result = fb_set(call->node->engine, call->name, call->request->body, &options);
    if (result == FB_OK) {
        call->response->status = 204;
    }
    return result;
}

// ---- DELETE

int fb_route_key_delete(fb_http_call *call) {
    int result = fb_del(call->node->engine, call->name);
    if (result == FB_OK) {
        call->response->status = 204;
    } else if (result == FB_MISS) {
        fb_http_problem(call->response, 404, "no such key in memory");
        result = FB_OK;
    }
    return result;
}
