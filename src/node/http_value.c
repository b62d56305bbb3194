// Values as responses: bytes with their type, ETag and age, and what caches on the way may do with them.
//
// The ETag is a hash of the bytes: strong, the same on all nodes, and the same again when a value comes
// back. A value is a hit as long as its key has that hash, however often it was stored meanwhile.
//
// Age is what it is here, so max-age has to be the whole of a value's time, of which a cache takes the
// Age away (RFC 9111, 4.2.3). A key without an end may change with the next request: it is to be asked
// for again, which its ETag makes cheap.

#include "node/http_value.h"

#include <stdio.h>

#include "base/base64.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/units.h"
#include "base/utf8.h"
#include "node/say.h"

// ---- entity tags

void fb_http_tag(fb_str data, char tag[FB_HTTP_TAG_SIZE]) {
    uint8_t hash[16];
    fb_hash128(data, hash);
    char *at = tag;
    *at++ = '"';
    for (size_t i = 0; i < sizeof hash; i++) {
        at += snprintf(at, 3, "%02x", hash[i]);
    }
    *at++ = '"';
    *at = '\0';
}

bool fb_http_has_tag(fb_str list, const char *tag, bool strong) {
    fb_str own = fb_str_of(tag);
    while (list.len > 0) {
        size_t len = fb_str_find(list, ',');
        fb_str one = fb_str_trim(fb_str_make(list.ptr, len));
        size_t used = len < list.len ? len + 1 : len;
        list = fb_str_make(list.ptr + used, list.len - used);
        if (fb_str_starts(one, FB_STR("W/")) && !strong) {
            one = fb_str_make(one.ptr + 2, one.len - 2);
        }
        if (fb_str_equal(one, own) || fb_str_equal(one, FB_STR("*"))) {
            return true;
        }
    }
    return false;
}

// "W/\"a\"" without what it begins with; a `*` is nothing.
static fb_str without_tag(fb_str list) {
    fb_str rest = fb_str_starts(list, FB_STR("W/")) ? fb_str_make(list.ptr + 2, list.len - 2) : list;
    if (fb_str_starts(list, FB_STR("*"))) {
        return fb_str_make(list.ptr + 1, list.len - 1);
    }
    if (!fb_str_starts(rest, FB_STR("\""))) {
        return list;
    }
    rest = fb_str_make(rest.ptr + 1, rest.len - 1);
    size_t len = fb_str_find(rest, '"');
    return len < rest.len ? fb_str_make(rest.ptr + len + 1, rest.len - len - 1) : list;
}

bool fb_http_are_tags(fb_str list) {
    list = fb_str_trim(list);
    while (list.len > 0) {
        fb_str rest = fb_str_trim(without_tag(list));
        bool has_comma = fb_str_starts(rest, FB_STR(","));
        if (rest.len > 0 && !has_comma) {
            return false;
        }
        list = has_comma ? fb_str_trim(fb_str_make(rest.ptr + 1, rest.len - 1)) : rest;
    }
    return true;
}

bool fb_http_may_change(const fb_http_request *request, bool found, fb_str data) {
    char tag[FB_HTTP_TAG_SIZE] = "";
    if (found) {
        fb_http_tag(data, tag);
    }
    if (request->if_match.len > 0 && !(found && fb_http_has_tag(request->if_match, tag, true))) {
        return false;
    }
    return !found || request->if_none_match.len == 0 ||
           !fb_http_has_tag(request->if_none_match, tag, false);
}

// ---- responses

static void add_control(fb_http_response *response, const fb_value *value,
                        const fb_http_spans *spans) {
    char more[96] = "";
    int len = 0;
    if (value->ttl_ms < 0) {
        fb_http_header_add(response, "Cache-Control", "no-cache");
        return;
    }
    if (spans != NULL && spans->stale_s > 0) {
        len = snprintf(more, sizeof more, ", stale-while-revalidate=%lld",
                       (long long)spans->stale_s);
    }
    if (spans != NULL && spans->error_s > 0) {
        (void)snprintf(more + len, sizeof more - (size_t)len, ", stale-if-error=%lld",
                       (long long)spans->error_s);
    }
    fb_http_header_add(response, "Cache-Control", "max-age=%lld%s",
                       (long long)((value->age_ms + value->ttl_ms) / 1000), more);
}

// What is no line of text cannot be a header; a value that is read while it changes may have such.
static bool is_line(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] > '~') {
            return false;
        }
    }
    return text.len > 0 && text.len <= FB_CONTENT_TYPE_LEN_MAX;
}

// Whatever somebody has stored, a browser is to run nothing of it as if it were ours: it would have the
// rights of who has signed in here.
static void add_type(fb_http_response *response, const fb_value *value) {
    fb_str type = value->content_type;
    if (!is_line(type)) {
        type = value->kind == FB_KIND_JSON ? FB_STR("application/json")
                                           : FB_STR("application/octet-stream");
    }
    fb_http_header_add(response, "Content-Type", "%.*s", FB_STR_ARG(type));
    fb_http_header_add(response, "X-Content-Type-Options", "nosniff");
    if (value->content_type.len > 0) {
        fb_http_header_add(response, "Content-Security-Policy", "sandbox");
    }
}

int fb_http_value(fb_http_response *response, const fb_value *value, fb_str if_none_match,
                  const fb_http_spans *spans) {
    char tag[FB_HTTP_TAG_SIZE];
    fb_http_tag(value->data, tag);
    bool known = if_none_match.len > 0 && fb_http_has_tag(if_none_match, tag, false);
    fb_http_begin(response, known ? 304 : 200);
    if (!known) {
        add_type(response, value);
    }
    fb_http_header_add(response, "ETag", "%s", tag);
    fb_http_header_add(response, "Age", "%lld", (long long)(value->age_ms / 1000));
    add_control(response, value, spans);
    return known ? FB_OK : fb_buf_append(&response->body, value->data);
}

bool fb_http_type_to_keep(fb_str said, fb_str *type) {
    static const char *const told_anyway[] = {"application/json", "application/octet-stream",
                                              "application/x-www-form-urlencoded"};
    *type = fb_str_trim(said);
    for (size_t i = 0; i < sizeof told_anyway / sizeof told_anyway[0]; i++) {
        if (fb_str_same(*type, fb_str_of(told_anyway[i]))) {
            type->len = 0;
        }
    }
    return type->len == 0 || is_line(*type);
}

// ---- of a class

static int64_t seconds_of(const fb_config *config, const char *class_name, const char *option) {
    char path[128];
    char text[64];
    int64_t ns = 0;
    (void)snprintf(path, sizeof path, "classes.%s.%s", class_name, option);
    if (fb_config_get(config, fb_str_of(path), text, sizeof text) != FB_OK ||
        fb_units_duration(fb_str_of(text), &ns) < 0) {
        return 0;
    }
    return ns / FB_NS_PER_S;
}

fb_http_spans fb_http_spans_of(fb_node *node, const char *class_name) {
    fb_http_spans spans = {0};
    const fb_config *config = fb_node_config_take(node);
    if (config != NULL) {
        spans.stale_s = seconds_of(config, class_name, "stale_ttl");
        spans.error_s = spans.stale_s + seconds_of(config, class_name, "fallback_ttl");
    }
    fb_node_config_give(node);
    return spans;
}

// ---- in documents

void fb_http_say_value(fb_reply *reply, const fb_value *value) {
    bool json = value->kind == FB_KIND_JSON;
    bool text = !json && fb_utf8_valid(value->data);
    fb_buf base64 = {0};
    fb_reply_text(reply, "value");
    if (json) {
        fb_reply_json(reply, value->data);
    } else if (text) {
        fb_reply_bytes(reply, value->data);
    } else if (fb_base64_write(value->data, &base64) == FB_OK) {
        fb_reply_bytes(reply, fb_buf_str(&base64));
    } else {
        reply->failed = true;
    }
    fb_buf_release(&base64);
    fb_say_text(reply, "value_encoding", json ? "json" : text ? "text" : "base64");
}
