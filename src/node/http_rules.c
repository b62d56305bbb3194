// Media types and origins.
//
// Accept is looked at where the route has one type of answer: a value has whatever type it was stored
// with. Errors are problem documents whatever is accepted.
//
// What is sent as JSON need not be called that: `curl -d` says it is a form, and leaves no doubt either
// way, since what is no JSON is refused. But something that says it is XML, or compressed, is not read.
//
// CORS is off: no page of another site may read an answer, unless `http.cors` lists its origin. Changing
// something is another matter, since a page may send a POST that it cannot read the answer of. Browsers
// say where a request comes from (Sec-Fetch-Site, "Fetch Metadata Request Headers"): what would change
// something and comes from another site is refused. The link of a mail is meant to be followed from
// anywhere.

#include "node/http_rules.h"

#include <string.h>

#include "base/str.h"

// ---- lists with commas

static fb_str next_of(fb_str *list) {
    size_t len = fb_str_find(*list, ',');
    fb_str one = fb_str_trim(fb_str_make(list->ptr, len));
    size_t used = len < list->len ? len + 1 : len;
    *list = fb_str_make(list->ptr + used, list->len - used);
    return one;
}

// ---- media types

static fb_str without_parameters(fb_str type) {
    return fb_str_trim(fb_str_make(type.ptr, fb_str_find(type, ';')));
}

// "q=0", "q=0.0": not wanted at all.
static bool is_unwanted(fb_str range) {
    while (range.len > 0) {
        size_t len = fb_str_find(range, ';');
        fb_str one = fb_str_trim(fb_str_make(range.ptr, len));
        size_t used = len < range.len ? len + 1 : len;
        range = fb_str_make(range.ptr + used, range.len - used);
        if (one.len > 2 && (one.ptr[0] | 0x20) == 'q' && one.ptr[1] == '=') {
            size_t i = 2;
            while (i < one.len && (one.ptr[i] == '0' || one.ptr[i] == '.')) {
                i++;
            }
            return i == one.len;
        }
    }
    return false;
}

// "*/*", "text/*", or the type itself.
static bool covers(fb_str range, fb_str type) {
    fb_str bare = without_parameters(range);
    size_t slash = fb_str_find(type, '/');
    if (is_unwanted(range)) {
        return false;
    }
    if (fb_str_equal(bare, FB_STR("*/*")) || fb_str_same(bare, type)) {
        return true;
    }
    return bare.len == slash + 2 && bare.ptr[bare.len - 1] == '*' &&
           fb_str_same(fb_str_make(bare.ptr, slash + 1), fb_str_make(type.ptr, slash + 1));
}

static bool is_accepted(fb_str accept, fb_str type) {
    while (accept.len > 0) {
        if (covers(next_of(&accept), type)) {
            return true;
        }
    }
    return false;
}

// Whether one of the types that a route answers with 2xx is accepted; where it has none, or one that may
// be anything, it is. *type: the first of them.
static bool answers_one_of(const fb_route *route, fb_str accept, fb_str *type) {
    fb_str all = fb_str_of(route->answers);
    *type = FB_STR("");
    while (all.len > 0) {
        fb_str one = next_of(&all);
        size_t space = fb_str_find(one, ' ');
        if (one.ptr[0] != '2') {
            continue;
        }
        if (space == one.len) {
            return true;
        }
        fb_str is = {one.ptr + space + 1, one.len - space - 1};
        if (fb_str_find(is, '/') == is.len) {
            is = FB_STR("application/json");
        }
        *type = type->len == 0 ? is : *type;
        if (is.ptr[0] == '*' || is_accepted(accept, is)) {
            return true;
        }
    }
    return false;
}

static bool accept_fits(fb_http_call *call) {
    fb_str accept = call->request->accept;
    fb_str type;
    if (accept.len == 0 || call->route->answers == NULL ||
        answers_one_of(call->route, accept, &type)) {
        return true;
    }
    fb_http_problem(call->response, 406, "this is answered with %.*s, which Accept does not name",
                    FB_STR_ARG(type));
    return false;
}

static bool may_be_json(fb_str type) {
    static const char *const fine[] = {"application/json", "application/x-www-form-urlencoded",
                                       "text/plain", "application/octet-stream", "text/json"};
    fb_str bare = without_parameters(type);
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        if (fb_str_same(bare, fb_str_of(fine[i]))) {
            return true;
        }
    }
    return fb_str_ends(bare, FB_STR("+json"));
}

// A coding is not kept with the bytes: who gets them back could not read them. And a part of something
// must not be taken for the whole (RFC 9110, 14.5).
static bool is_whole(fb_http_call *call) {
    const fb_http_request *request = call->request;
    if (request->content_range.len > 0) {
        fb_http_problem(call->response, 400, "a body is the whole, without Content-Range");
        return false;
    }
    if (request->content_encoding.len > 0 &&
        !fb_str_same(request->content_encoding, FB_STR("identity"))) {
        fb_http_problem(call->response, 415, "a body is what it is, without Content-Encoding");
        fb_http_header_add(call->response, "Accept-Encoding", "identity");
        return false;
    }
    return true;
}

static bool body_fits(fb_http_call *call) {
    const fb_http_request *request = call->request;
    const char *body = call->route->body;
    if (body == NULL || request->body.len == 0) {
        return true;
    }
    if (!is_whole(call)) {
        return false;
    }
    bool any_type = strchr(body, '/') != NULL;
    if (!any_type && request->content_type.len > 0 && !may_be_json(request->content_type)) {
        fb_http_problem(call->response, 415, "the body is JSON: application/json");
        return false;
    }
    return true;
}

// ---- origins

// Of node->http_cors, "https://a.example https://b.example", or "*".
static bool is_listed(const char *list, fb_str origin, bool *any) {
    fb_str rest = fb_str_of(list);
    *any = false;
    while (rest.len > 0 && origin.len > 0) {
        size_t len = fb_str_find(rest, ' ');
        fb_str one = {rest.ptr, len};
        size_t used = len < rest.len ? len + 1 : len;
        rest = fb_str_make(rest.ptr + used, rest.len - used);
        if (fb_str_equal(one, origin)) {
            *any = false;
            return true;
        }
        *any = *any || fb_str_equal(one, FB_STR("*"));
    }
    return *any;
}

static bool has_list(const fb_node *node) {
    const char *list = node->http_cors;
    return list != NULL && list[strspn(list, " ")] != '\0';
}

void fb_http_cross_origin(const fb_node *node, fb_str origin, fb_http_response *response) {
    bool any;
    if (!has_list(node)) {
        return;
    }
    fb_http_header_add(response, "Vary", "Origin");
    if (origin.len >= FB_HTTP_HEADER_SIZE || !is_listed(node->http_cors, origin, &any)) {
        return;
    }
    fb_http_header_add(response, "Access-Control-Allow-Origin", "%.*s", any ? 1 : (int)origin.len,
                       any ? "*" : origin.ptr);
    if (!any) {
        fb_http_header_add(response, "Access-Control-Allow-Credentials", "true");
    }
    fb_http_header_add(response, "Access-Control-Expose-Headers",
                       "Age, Allow, Cache-Status, ETag, Forebay-Token, Location, RateLimit, "
                       "RateLimit-Policy, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, "
                       "X-RateLimit-Reset");
}

void fb_http_preflight(const fb_node *node, const fb_http_request *request, const char *methods,
                       fb_http_response *response) {
    bool any;
    if (request->wanted_method.len == 0 || !has_list(node) ||
        !is_listed(node->http_cors, request->origin, &any)) {
        return;
    }
    fb_http_header_add(response, "Access-Control-Allow-Methods", "%s", methods);
    fb_http_header_add(response, "Access-Control-Allow-Headers",
                       "Accept, Authorization, Content-Type, If-Match, If-None-Match");
    fb_http_header_add(response, "Access-Control-Max-Age", "600");
}

static bool site_fits(fb_http_call *call) {
    const fb_http_request *request = call->request;
    bool any;
    bool reads = fb_str_equal(request->method, FB_STR("GET")) ||
                 fb_str_equal(request->method, FB_STR("HEAD"));
    if (reads || (call->route->flags & FB_ROUTE_ANY_SITE) != 0 ||
        !fb_str_equal(request->fetch_site, FB_STR("cross-site")) ||
        (has_list(call->node) && is_listed(call->node->http_cors, request->origin, &any))) {
        return true;
    }
    fb_http_problem(call->response, 403,
                    "a page of another site may change nothing here; http.cors lists those that may");
    return false;
}

bool fb_http_is_fit(fb_http_call *call) {
    return site_fits(call) && accept_fits(call) && body_fits(call);
}
