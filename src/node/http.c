// Requests: decoding, look-up in the table, and what all responses have in common.
//
// A pattern is a path; a last part in braces takes all that is left, slashes too, so that a key
// needs no escape for them. Of two parts in braces the first ends at the first slash, and so does
// one with something behind it. Of several routes that fit the last in the table is taken. There are
// five dozen routes and each comparison fails at its first bytes: looking through all of them takes
// less than decoding the path does.
//
// Decoded bytes lie in one buffer that is as long as path and query are encoded, so it never moves
// and is one allocation a request. What a handler needs after it returned FB_PENDING it has copied.
//
// A response must not fail for want of memory: where there is none it is a bare 503.

#include "node/route.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "base/utf8.h"
#include "node/command.h"
#include "node/errand.h"
#include "node/http_user.h"
#include "node/http_rules.h"
#include "node/turn.h"

enum { ALLOW_SIZE = 64 };

// ---- percent-encoding

static int hex_digit(char byte) {
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    char small = (char)(byte | 0x20);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

// Appends to `out`, which has room. What is no escape stays as it is.
static fb_str decode(fb_str text, bool plus_is_space, fb_buf *out) {
    size_t from = out->len;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (byte == '%' && text.len - i > 2 && hex_digit(text.ptr[i + 1]) >= 0 &&
            hex_digit(text.ptr[i + 2]) >= 0) {
            byte = (char)(hex_digit(text.ptr[i + 1]) * 16 + hex_digit(text.ptr[i + 2]));
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        FB_ASSERT(out->len < out->cap);
        out->ptr[out->len++] = byte;
    }
    return fb_str_make(out->ptr + from, out->len - from);
}

// "a=1&b=2". FB_ETOOBIG: more than `params` has room for.
static int decode_query(fb_str query, fb_buf *out, fb_param params[FB_HTTP_PARAMS_MAX],
                        size_t *count) {
    *count = 0;
    while (query.len > 0) {
        size_t len = fb_str_find(query, '&');
        fb_str pair = {query.ptr, len};
        size_t used = len < query.len ? len + 1 : len;
        query = fb_str_make(query.ptr + used, query.len - used);
        if (pair.len == 0) {
            continue;
        }
        if (*count == FB_HTTP_PARAMS_MAX) {
            return FB_ETOOBIG;
        }
        size_t equals = fb_str_find(pair, '=');
        size_t value = equals < pair.len ? equals + 1 : equals;
        params[*count].name = decode(fb_str_make(pair.ptr, equals), true, out);
        params[*count].value = decode(fb_str_make(pair.ptr + value, pair.len - value), true, out);
        (*count)++;
    }
    return FB_OK;
}

// ---- a header that the query asks for

bool fb_http_is_header_name(fb_str name) {
    for (size_t i = 0; i < name.len; i++) {
        char small = (char)(name.ptr[i] | 0x20);
        bool letter = small >= 'a' && small <= 'z';
        bool digit = name.ptr[i] >= '0' && name.ptr[i] <= '9';
        if (!letter && !digit && name.ptr[i] != '-' && name.ptr[i] != '_') {
            return false;
        }
    }
    return name.len > 0 && name.len < FB_HTTP_NAME_SIZE;
}

bool fb_http_key_header(fb_str query, char name[FB_HTTP_NAME_SIZE]) {
    const fb_str said = FB_STR("key_header=");
    while (query.len > 0) {
        size_t len = fb_str_find(query, '&');
        fb_str pair = {query.ptr, len};
        size_t used = len < query.len ? len + 1 : len;
        query = fb_str_make(query.ptr + used, query.len - used);
        if (fb_str_starts(pair, said)) {
            fb_str value = {pair.ptr + said.len, pair.len - said.len};
            bool is = fb_http_is_header_name(value);
            (void)snprintf(name, FB_HTTP_NAME_SIZE, "%.*s", is ? (int)value.len : 0, value.ptr);
            return is;
        }
    }
    return false;
}

// ---- responses

void fb_http_response_release(fb_http_response *response) {
    fb_buf_release(&response->body);
    response->header_count = 0;
}

const char *fb_http_status_text(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 304:
            return "Not Modified";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 410:
            return "Gone";
        case 412:
            return "Precondition Failed";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        default:
            return "Internal Server Error";
    }
}

void fb_http_header_add(fb_http_response *response, const char *name, const char *format, ...) {
    FB_ASSERT(response->header_count < FB_HTTP_HEADERS_MAX);
    fb_http_header *header = &response->headers[response->header_count++];
    header->name = name;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(header->value, sizeof header->value, format, arguments);
    va_end(arguments);
}

void fb_http_begin(fb_http_response *response, int status) {
    fb_buf_release(&response->body);
    response->header_count = 0;
    response->status = status;
    response->every_ms = 0;
}

void fb_http_json(fb_http_response *response, int status, fb_reply *reply) {
    fb_http_begin(response, status);
    fb_http_header_add(response, "Content-Type", "application/json");
    fb_reply_init(reply, FB_ENCODING_JSON, &response->body);
}

int fb_http_json_end(fb_reply *reply) {
    return fb_reply_failed(reply) ? FB_ENOMEM : fb_buf_byte(reply->out, '\n');
}

// A detail quotes what was asked, which may be any bytes; it is a string all the same.
fb_str fb_http_readable(fb_str text, char copy[FB_HTTP_DETAIL_SIZE]) {
    size_t len = text.len < FB_HTTP_DETAIL_SIZE ? text.len : fb_utf8_cut(text.ptr, FB_HTTP_DETAIL_SIZE);
    for (size_t i = 0; i < len;) {
        size_t used;
        bool valid = fb_utf8_next(fb_str_make(text.ptr + i, len - i), &used) >= 0;
        for (size_t k = 0; k < used; k++, i++) {
            copy[i] = valid ? text.ptr[i] : '?';
        }
    }
    return fb_str_make(copy, len);
}

static void write_problem(fb_http_response *response, int status, const char *code, fb_str detail) {
    char copy[FB_HTTP_DETAIL_SIZE];
    fb_reply reply;
    fb_http_begin(response, status);
    fb_http_header_add(response, "Content-Type", "application/problem+json");
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_reply_init(&reply, FB_ENCODING_JSON, &response->body);
    fb_reply_map(&reply, code != NULL ? 4 : 3);
    fb_reply_text(&reply, "title");
    fb_reply_text(&reply, fb_http_status_text(status));
    fb_reply_text(&reply, "status");
    fb_reply_integer(&reply, status);
    fb_reply_text(&reply, "detail");
    fb_reply_bytes(&reply, fb_http_readable(detail, copy));
    if (code != NULL) {
        fb_reply_text(&reply, "code");
        fb_reply_text(&reply, code);
    }
    if (fb_http_json_end(&reply) < 0) {
        fb_http_begin(response, 503);
    }
}

void fb_http_problem(fb_http_response *response, int status, const char *detail, ...) {
    char text[FB_HTTP_DETAIL_SIZE];
    va_list arguments;
    va_start(arguments, detail);
    int len = vsnprintf(text, sizeof text, detail, arguments);
    va_end(arguments);
    fb_str shown = {text, 0};
    if (len > 0) {
        shown.len = (size_t)len < sizeof text ? (size_t)len : fb_utf8_cut(text, sizeof text - 1);
    }
    write_problem(response, status, NULL, shown);
}

int fb_http_status_of(int result) {
    switch (result) {
        case FB_EINVAL:
        case FB_ESYNTAX:
        case FB_ERANGE:
        case FB_ETYPE:
            return 400;
        case FB_ENOCLASS:
        case FB_ENOLIMIT:
        case FB_ENOQUEUE:
        case FB_ENOMAIL:
            return 404;
        case FB_ECONFLICT:
        case FB_LOST:
            return 409;
        case FB_ETOOBIG:
            return 413;
        case FB_ENOSOURCE:
            return 501;
        case FB_ESOURCE:
        case FB_EDENIED:
            return 502;
        case FB_ENOMEM:
        case FB_EOVERLOAD:
        case FB_ECLOSED:
        case FB_EIO:
        case FB_EFULL:
        case FB_EVOLATILE:
            return 503;
        case FB_ETIMEDOUT:
            return 504;
        default:
            return 500;
    }
}

void fb_http_failure(fb_http_response *response, int result, const fb_error *error) {
    const char *code = fb_command_code(result);
    bool named = error != NULL && error->text[0] != '\0';
    write_problem(response, fb_http_status_of(result), strcmp(code, "ERR") != 0 ? code : NULL,
                  fb_str_of(named ? error->text : fb_result_text(result)));
    if (fb_http_status_of(result) == 503) {
        fb_http_header_add(response, "Retry-After", "1");
    }
}

// There are caches that keep an answer for minutes which says nothing of them, and ours are of this moment.
void fb_http_caching(fb_http_response *response) {
    bool said = response->status == 204 || response->status == 304;
    for (size_t i = 0; i < response->header_count && !said; i++) {
        said = strcmp(response->headers[i].name, "Cache-Control") == 0;
    }
    if (!said) {
        fb_http_header_add(response, "Cache-Control", "no-store");
    }
}

// ---- routes

const fb_param *fb_http_param(const fb_http_call *call, const char *name) {
    for (size_t i = 0; i < call->query_count; i++) {
        if (fb_str_equal(call->query[i].name, fb_str_of(name))) {
            return &call->query[i];
        }
    }
    return NULL;
}

static bool matches(const fb_route *route, fb_str path, fb_str *name) {
    fb_str pattern = fb_str_of(route->path);
    size_t brace = fb_str_find(pattern, '{');
    if (brace == pattern.len) {
        *name = fb_str_make("", 0);
        return fb_str_equal(pattern, path);
    }
    *name = fb_str_make(path.ptr + brace, path.len > brace ? path.len - brace : 0);
    if (path.len <= brace || memcmp(path.ptr, pattern.ptr, brace) != 0) {
        return false;
    }
    size_t slash = fb_str_find(*name, '/');
    fb_str rest = {pattern.ptr + brace, pattern.len - brace};
    size_t end = fb_str_find(rest, '/');
    rest = fb_str_make(rest.ptr + end, rest.len - end);
    if (rest.len == 0) {
        return true;
    }
    if (rest.ptr[1] == '{') {
        return slash > 0 && slash + 1 < name->len;
    }
    bool fits = slash > 0 && fb_str_equal(rest, fb_str_make(name->ptr + slash, name->len - slash));
    name->len = slash;
    return fits;
}

static bool method_fits(const fb_route *route, fb_str method) {
    fb_str own = fb_str_of(route->method);
    return fb_str_equal(method, own) ||
           (fb_str_equal(method, FB_STR("HEAD")) && fb_str_equal(own, FB_STR("GET")));
}

typedef struct search {
    const fb_route *route;
    fb_str name;
    char allow[ALLOW_SIZE];  // the methods of all routes of that path
} search;

// Methods of which none is a part of another; several routes of a path may have the same.
static void allow(search *found, const char *method) {
    size_t len = strlen(found->allow);
    if (strstr(found->allow, method) != NULL) {
        return;
    }
    (void)snprintf(found->allow + len, sizeof found->allow - len, "%s%s", len > 0 ? ", " : "",
                   method);
    if (strcmp(method, "GET") == 0) {
        allow(found, "HEAD");
    }
}

static void look_up(fb_str method, fb_str path, bool monitoring, search *found) {
    for (const fb_route *route = FB_ROUTES; route->method != NULL; route++) {
        fb_str name;
        if ((monitoring && (route->flags & FB_ROUTE_MONITORING) == 0) ||
            !matches(route, path, &name)) {
            continue;
        }
        allow(found, route->method);
        if (method_fits(route, method)) {
            found->route = route;
            found->name = name;
        }
    }
}

// The path itself, then without the prefix of the monitoring routes.
static void find(const fb_node *node, fb_str method, fb_str path, search *found) {
    *found = (search){.route = NULL};
    look_up(method, path, false, found);
    fb_str prefix = fb_str_of(node->http_prefix);
    if (prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/') {
        prefix.len--;
    }
    if (found->allow[0] == '\0' && prefix.len > 0 && fb_str_starts(path, prefix)) {
        look_up(method, fb_str_make(path.ptr + prefix.len, path.len - prefix.len), true, found);
    }
    if (found->allow[0] != '\0') {
        allow(found, "OPTIONS");
    }
}

static bool is_declared(const fb_route *route, fb_str name) {
    for (const fb_route_param *param = route->params; param != NULL && param->name != NULL;
         param++) {
        if (fb_str_equal(name, fb_str_of(param->name))) {
            return true;
        }
    }
    return false;
}

static bool is_given_before(const fb_http_call *call, size_t index) {
    size_t i = 0;
    while (i < index && !fb_str_equal(call->query[i].name, call->query[index].name)) {
        i++;
    }
    return i < index;
}

// A mistyped ?tll=5m must not store a value for ever, nor one of ?ttl=5m&ttl=1h be left out in silence.
static bool query_fits(const fb_http_call *call) {
    bool any = (call->route->flags & FB_ROUTE_ANY_QUERY) != 0;
    for (size_t i = 0; i < call->query_count; i++) {
        fb_str name = call->query[i].name;
        bool declared = is_declared(call->route, name);
        if (!declared && !any) {
            fb_http_problem(call->response, 400, "%s %s takes no parameter '%.*s'",
                            call->route->method, call->route->path,
                            (int)(name.len < 64 ? name.len : 64), name.ptr);
            return false;
        }
        if (declared && is_given_before(call, i)) {
            fb_http_problem(call->response, 400, "%.*s is given twice", FB_STR_ARG(name));
            return false;
        }
    }
    return true;
}

static int run(fb_http_call *call, const search *found, fb_buf *decoded) {
    fb_param params[FB_HTTP_PARAMS_MAX];
    const fb_http_request *request = call->request;
    if (fb_buf_reserve(decoded, request->path.len + request->query.len + 1) < 0) {
        return FB_ENOMEM;
    }
    call->route = found->route;
    call->name = decode(found->name, false, decoded);
    call->query = params;
    if (decode_query(request->query, decoded, params, &call->query_count) < 0) {
        fb_http_problem(call->response, 400, "more than %d parameters", FB_HTTP_PARAMS_MAX);
        return FB_OK;
    }
    bool fits = fb_http_may(call) && query_fits(call) && fb_http_is_fit(call);
    return fits ? call->route->run(call) : FB_OK;
}

static void answer_without_route(const fb_node *node, const search *found,
                                 const fb_http_request *request, fb_http_response *response) {
    bool options = fb_str_equal(request->method, FB_STR("OPTIONS"));
    if (options && fb_str_equal(request->path, FB_STR("*"))) {  // the server as a whole
        fb_http_begin(response, 204);
        fb_http_header_add(response, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
    } else if (found->allow[0] == '\0') {
        fb_http_problem(response, 404, "there is nothing at this path; GET / lists what there is");
    } else if (options) {
        fb_http_begin(response, 204);
        fb_http_header_add(response, "Allow", "%s", found->allow);
        fb_http_preflight(node, request, found->allow, response);
    } else {
        fb_http_problem(response, 405, "this path takes %s", found->allow);
        fb_http_header_add(response, "Allow", "%s", found->allow);
    }
}

static int handle_found(fb_node *node, const fb_http_request *request, const search *found,
                        fb_http_response *response) {
    *response = (fb_http_response){.status = 500};
    if (found->route == NULL) {
        answer_without_route(node, found, request, response);
        return FB_OK;
    }
    fb_http_call call = {.node = node, .request = request, .response = response};
    fb_buf decoded = {0};
    int result = run(&call, found, &decoded);
    fb_http_user_done(&call);
    fb_buf_release(&decoded);
    if (result < 0) {
        fb_http_failure(response, result, NULL);
        return FB_OK;
    }
    return result;
}

static int handle(fb_node *node, const fb_http_request *request, fb_http_response *response) {
    search found;
    find(node, request->method, request->path, &found);
    return handle_found(node, request, &found, response);
}

int fb_http_handle(fb_node *node, const fb_http_request *request, fb_http_response *response) {
    atomic_fetch_add_explicit(&node->http_requests, 1, memory_order_relaxed);
    if (!node->waits) {
        search found;
        find(node, request->method, request->path, &found);
        if (found.route == NULL || (found.route->flags & FB_ROUTE_WAITS) == 0) {
            unsigned lane = fb_turn_lane(node);
            fb_turn_enter(node, lane);  // not between the commands of a transaction
            int result = handle_found(node, request, &found, response);
            fb_turn_leave(node, lane);
            return result;
        }
    }
    int result = fb_errand_request(node, request, handle, response);
    if (result < 0) {
        *response = (fb_http_response){.status = 500};
        fb_http_failure(response, result, NULL);
        return FB_OK;
    }
    return result;
}
