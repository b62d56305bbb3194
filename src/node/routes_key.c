// GET, PUT and DELETE /v1/keys/{key}: plain keys, and what classes have in memory under theirs.
//
// A change on a condition (If-Match, If-None-Match) is one edit of the key: what is compared and what is
// changed are the same, whoever else is at it. An edit knows no tags and no versions, so these do not go
// together with a condition; without `ttl` it leaves the time that the key has, and always its media type.

#include "node/route.h"

#include "base/str.h"
#include "base/units.h"
#include "node/http_value.h"

// ---- GET

typedef struct reading {
    fb_http_call *call;
    int result;
    bool from_shared;
} reading;

// It may be called again with a newer value, and begins anew then.
static void take(void *arg, const fb_value *value) {
    reading *one = arg;
    fb_http_response *response = one->call->response;
    one->from_shared = value->tier == FB_TIER_SHARED;
    one->result = fb_http_value(response, value, one->call->request->if_none_match, NULL);
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

// Not older than the change that the token is from.
static int get_after(reading *one, fb_str token) {
    fb_value value = {0};
    fb_http_call *call = one->call;
    int result = fb_get_after(call->node->engine, call->name, token, &value);
    if (result == FB_OK) {
        take(one, &value);
    }
    fb_value_release(&value);
    return result;
}

// A value that has just come from the shared tier lies in memory now, and its media type beside it.
static int get(fb_http_call *call, reading *one) {
    int result = fb_get(call->node->engine, call->name, take, one);
    if (result == FB_OK && one->from_shared) {
        result = fb_get(call->node->engine, call->name, take, one);
    }
    return result;
}

int fb_route_key_get(fb_http_call *call) {
    reading one = {.call = call, .result = FB_OK};
    const fb_param *after = fb_http_param(call, "minseq");
    int result = after != NULL && after->value.len > 0
                     ? get_after(&one, after->value)
                     : get(call, &one);
    if (result == FB_EINVAL && after != NULL) {
        fb_http_problem(call->response, 400, "minseq: this is no token of a change");
        return FB_OK;
    }
    if (result == FB_MISS) {
        fb_http_problem(call->response, 404, "no such key");
        fb_http_header_add(call->response, "Cache-Status", "forebay; detail=miss");
    } else if (result == FB_NEGATIVE) {
        fb_http_problem(call->response, 404, "known not to exist");
        fb_http_header_add(call->response, "Cache-Status", "forebay; hit; detail=negative");
    }
    return result < 0 ? result : one.result;
}

// ---- on a condition

typedef struct condition {
    const fb_http_call *call;
    fb_edit_action action;
    int64_t expires_ms;  // 0: as it is
    char tag[FB_HTTP_TAG_SIZE];  // of what is there; empty: nothing
} condition;

static bool has_condition(const fb_http_call *call) {
    return call->request->if_match.len > 0 || call->request->if_none_match.len > 0;
}

// It may be called again, with what is there then.
static int change(void *arg, fb_edit *edit) {
    condition *one = arg;
    const fb_http_request *request = one->call->request;
    one->tag[0] = '\0';
    if (edit->found) {
        fb_http_tag(edit->value.data, one->tag);
    }
    if (!fb_http_may_change(request, edit->found, edit->value.data)) {
        return FB_REFUSED;
    }
    if (one->action == FB_EDIT_DELETE && !edit->found) {
        return FB_MISS;
    }
    edit->action = one->action;
    edit->data = request->body;
    if (one->expires_ms != 0) {
        edit->expires_ms = one->expires_ms;
    }
    return FB_OK;
}

static int change_if(fb_http_call *call, fb_edit_action action, int64_t ttl_ms) {
    condition one = {.call = call, .action = action};
    if (!fb_http_are_tags(call->request->if_match) || !fb_http_are_tags(call->request->if_none_match)) {
        fb_http_problem(call->response, 400, "If-Match and If-None-Match are tags in quotes, or *");
        return FB_OK;
    }
    if (ttl_ms > 0 && __builtin_add_overflow(call->node->wall_us() / 1000, ttl_ms, &one.expires_ms)) {
        one.expires_ms = -1;
    }
    int result = fb_edit_key(call->node->engine, call->name, change, &one);
    if (result == FB_REFUSED) {
        fb_http_problem(call->response, 412, "%s",
                        one.tag[0] != '\0' ? "the key has another value by now" : "no such key");
        if (one.tag[0] != '\0') {
            fb_http_header_add(call->response, "ETag", "%s", one.tag);
        }
        return FB_OK;
    }
    return result;
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
    const fb_param *version = fb_http_param(call, "srcver");
    fb_receipt receipt = {.reached = FB_REACH_LOCAL};
    int64_t number = 0;
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
    if (version != NULL && (fb_str_int(version->value, &number) < 0 || number < 1)) {
        fb_http_problem(call->response, 400, "srcver is a whole number of at least 1");
        return FB_OK;
    }
    if (has_condition(call) && (names != NULL || version != NULL)) {
        fb_http_problem(call->response, 400,
                        "tags and srcver do not go together with If-Match or If-None-Match");
        return FB_OK;
    }
    if (!fb_http_type_to_keep(call->request->content_type, &options.content_type) ||
        (options.content_type.len > 0 && options.tag_count == FB_TAGS_MAX)) {
        fb_http_problem(call->response, 400,
                        "Content-Type: at most %d bytes of text, which count as one of the tags",
                        FB_CONTENT_TYPE_LEN_MAX);
        return FB_OK;
    }
    options.ttl_ms = ttl_ns / FB_NS_PER_MS;
    options.source_version = (uint64_t)number;
    options.receipt = &receipt;
    call->response->status = 204;
    int result = has_condition(call)
                     ? change_if(call, FB_EDIT_PUT, options.ttl_ms)
                     : fb_set(call->node->engine, call->name, call->request->body, &options);
    if (result == FB_OK && call->response->status == 204) {
        char tag[FB_HTTP_TAG_SIZE];
        fb_http_tag(call->request->body, tag);
        fb_http_header_add(call->response, "ETag", "%s", tag);
        if (receipt.token[0] != '\0') {
            fb_http_header_add(call->response, "Forebay-Token", "%s", receipt.token);
        }
    } else if (result == FB_REFUSED) {
        fb_http_problem(call->response, 409, "a newer source version is known");
        result = FB_OK;
    }
    return result;
}

// ---- DELETE

int fb_route_key_delete(fb_http_call *call) {
    call->response->status = 204;
    int result = has_condition(call) ? change_if(call, FB_EDIT_DELETE, 0)
                                     : fb_del(call->node->engine, call->name);
    if (result == FB_MISS) {
        fb_http_problem(call->response, 404, "no such key");
        result = FB_OK;
    }
    return result;
}
