// GET /v1/fetch/{class}: the query's parameters are the class's own; names that begin with '_' are
// ours.
//
// The engine answers at once, from memory, or later: then what the answer needs lives in a
// `fetching` until it comes. It may also come while the handler still runs.
//
// Cache-Status follows RFC 9211. Answered from memory: "hit", also when the value is stale and
// being refreshed behind the answer. "fwd" says why the source was asked: "miss", "request"
// (_refresh), or "stale", where the source failed and the old value serves; "collapsed", that another
// request had begun that load.

#include "node/route.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "node/http_user.h"
#include "node/http_value.h"

enum { CLASS_SIZE = 80, KEY_SHOWN_SIZE = 72 };

typedef struct fetching {
    fb_node *node;
    fb_http_response *target;  // the handler's while it runs, then `later`
    fb_http_response later;
    void (*respond)(void *arg, fb_http_response *response);
    void *arg;
    char class_name[CLASS_SIZE];
    char key[KEY_SHOWN_SIZE];  // as it may stand in a header; else empty
    bool refresh;
    bool running;  // the handler has not returned yet
    bool answered;
    size_t tags_len;
    char tags[];  // If-None-Match
} fetching;

// ---- the answer

// A key as a string of RFC 8941; nothing where it has other than printable ASCII, or is long.
static void show_key(const char *key, char text[KEY_SHOWN_SIZE]) {
    size_t len = 0;
    for (const char *at = key; *at != '\0' && len + 3 < KEY_SHOWN_SIZE; at++) {
        if (*at == '"' || *at == '\\') {
            text[len++] = '\\';
        }
        text[len++] = *at;
    }
    text[len] = '\0';
}

static void add_status(fb_http_response *response, const fetching *one, const fb_value *value) {
    char ttl[40] = "";
    char key[KEY_SHOWN_SIZE + 8] = "";
    char shown[KEY_SHOWN_SIZE];
    if (value->ttl_ms >= 0) {
        (void)snprintf(ttl, sizeof ttl, "; ttl=%lld", (long long)(value->ttl_ms / 1000));
    }
    if (one->key[0] != '\0') {
        show_key(one->key, shown);
        (void)snprintf(key, sizeof key, "; key=\"%s\"", shown);
    }
    if (value->freshness == FB_FALLBACK) {
        fb_http_header_add(response, "Cache-Status", "forebay; fwd=stale%s%s; detail=source-failed",
                           ttl, key);
    } else if (value->tier == FB_TIER_SOURCE) {
        fb_http_header_add(response, "Cache-Status", "forebay; fwd=%s%s%s%s%s",
                           one->refresh ? "request" : "miss", value->ttl_ms != 0 ? "; stored" : "",
                           value->collapsed ? "; collapsed" : "", ttl, key);
    } else {
        fb_http_header_add(response, "Cache-Status", "forebay; hit%s%s%s", ttl, key,
                           value->freshness == FB_STALE       ? "; detail=stale"
                           : value->tier == FB_TIER_SHARED ? "; detail=shared"
                                                           : "");
    }
}

static void write_answer(const fetching *one, int result, const fb_value *value,
                         const fb_error *error) {
    if (result == FB_OK) {
        fb_http_spans spans = fb_http_spans_of(one->node, one->class_name);
        result = fb_http_value(one->target, value, fb_str_make(one->tags, one->tags_len), &spans);
        if (result == FB_OK) {
            add_status(one->target, one, value);
            return;
        }
        error = NULL;
    }
    if (result == FB_NEGATIVE) {
        fb_http_problem(one->target, 404, "class '%s' has nothing for these parameters",
                        one->class_name);
        // Only memory answers before the handler has returned.
        fb_http_header_add(one->target, "Cache-Status",
                           one->running ? "forebay; hit; detail=negative"
                                        : "forebay; fwd=miss; detail=negative");
    } else if (result == FB_ENOCLASS) {
        fb_http_no_class(one->node, one->target, fb_str_of(one->class_name));
    } else {
        fb_http_failure(one->target, result, error);
    }
}

static void answer(void *arg, int result, const fb_value *value, const fb_error *error) {
    fetching *one = arg;
    write_answer(one, result, value, error);
    one->answered = true;
    if (!one->running) {
        one->respond(one->arg, &one->later);
        fb_http_response_release(&one->later);
        fb_mem_free(one);
    }
}

// ---- the question

static bool read_refresh(fb_str value, bool *refresh) {
    *refresh = fb_str_equal(value, FB_STR("1"));
    return *refresh || fb_str_equal(value, FB_STR("0"));
}

static bool read_timeout(fb_str value, int64_t *timeout_ms) {
    int64_t ns = 0;
    if (fb_units_duration(value, &ns) < 0 || ns < FB_NS_PER_MS) {
        return false;
    }
    *timeout_ms = ns / FB_NS_PER_MS;
    return true;
}

// Takes our own names out of the query. FB_EINVAL with the response filled.
static int read_request(fb_http_call *call, fb_param params[FB_HTTP_PARAMS_MAX],
                        fb_request *request) {
    for (size_t i = 0; i < call->query_count; i++) {
        fb_param one = call->query[i];
        bool fits = true;
        if (fb_str_equal(one.name, FB_STR("_refresh"))) {
            fits = read_refresh(one.value, &request->refresh);
        } else if (fb_str_equal(one.name, FB_STR("_minseq"))) {
            request->after = one.value;
        } else if (fb_str_equal(one.name, FB_STR("_timeout"))) {
            fits = read_timeout(one.value, &request->timeout_ms);
        } else if (fb_str_starts(one.name, FB_STR("_"))) {
            fb_http_problem(call->response, 400,
                            "'%.*s' is no option: there are _minseq, _refresh and _timeout",
                            (int)(one.name.len < 64 ? one.name.len : 64), one.name.ptr);
            return FB_EINVAL;
        } else {
            params[request->param_count++] = one;
        }
        if (!fits) {
            fb_http_problem(
                call->response, 400,
                "_refresh is 0 or 1, and _timeout a time of at least 1ms, such as 500ms");
            return FB_EINVAL;
        }
    }
    request->class_name = call->name;
    request->params = params;
    return FB_OK;
}

static void take_key(void *arg, fb_str key) {
    char *text = arg;
    bool fits = key.len < KEY_SHOWN_SIZE;
    for (size_t i = 0; i < key.len && fits; i++) {
        fits = key.ptr[i] >= ' ' && key.ptr[i] < 127;
    }
    (void)snprintf(text, KEY_SHOWN_SIZE, "%.*s", fits ? (int)key.len : 0, key.ptr);
}

static fetching *new_fetching(fb_http_call *call, const fb_request *request) {
    fb_str tags = call->request->if_none_match;
    fetching *one = fb_mem_zero(1, sizeof *one + tags.len);
    if (one == NULL) {
        return NULL;
    }
    one->node = call->node;
    one->target = call->response;
    one->respond = call->request->respond;
    one->arg = call->request->arg;
    one->refresh = request->refresh;
    one->tags_len = tags.len;
    if (tags.len > 0) {
        memcpy(one->tags, tags.ptr, tags.len);
    }
    (void)snprintf(
        one->class_name, sizeof one->class_name, "%.*s",
        (int)(request->class_name.len < CLASS_SIZE ? request->class_name.len : CLASS_SIZE - 1),
        request->class_name.ptr);
    return one;
}

int fb_route_fetch(fb_http_call *call) {
    fb_param params[FB_HTTP_PARAMS_MAX];
    fb_request request = {.timeout_ms = 0};
    if (read_request(call, params, &request) < 0 || !fb_http_may_request(call, &request, "")) {
        return FB_OK;
    }
    fetching *one = new_fetching(call, &request);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    one->running = true;
    // What is wrong with the request the answer will say.
    FB_IGNORE(fb_fetch_key(call->node->engine, &request, take_key, one->key, NULL));
    int result = fb_fetch_start(call->node->engine, &request, answer, one);
    FB_ASSERT(result == FB_PENDING || one->answered);
    if (one->answered) {
        fb_mem_free(one);
        return FB_OK;
    }
    one->running = false;
    one->target = &one->later;
    return FB_PENDING;
}
