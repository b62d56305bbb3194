// node/http.h -- one HTTP request without its socket: method, path, query, body in; status,
// headers, body out. Routes are one table (node/route.h), which the index, 405's Allow and OpenAPI
// derive from.
//
// Threads: the table is constant; requests of different loops run at the same time.

#ifndef FB_NODE_HTTP_H
#define FB_NODE_HTTP_H

#include "base/buf.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_HTTP_HEADERS_MAX = 20,
    FB_HTTP_HEADER_SIZE = 200,
    FB_HTTP_PARAMS_MAX = 64,
    FB_HTTP_NAME_SIZE = 64  // of a header's name, with its end
};

typedef struct fb_http_header {
    const char *name;
    char value[FB_HTTP_HEADER_SIZE];
} fb_http_header;

typedef struct fb_http_response {
    int status;
    fb_http_header headers[FB_HTTP_HEADERS_MAX];  // never Content-Length, Date, Connection, Server
    size_t header_count;
    fb_buf body;  // also for HEAD, which only wants its length
    // > 0: the body goes on, with an event (node/events.h) so often, until the client goes or the server
    // stops.
    int64_t every_ms;
} fb_http_response;

// The headers of a request that are looked at, by the member that has the value; empty where it has
// none.
#define FB_HTTP_REQUEST_HEADERS(X)                     \
    X(accept, "Accept")                                \
    X(if_match, "If-Match")                            \
    X(if_none_match, "If-None-Match")                  \
    X(content_type, "Content-Type")                    \
    X(content_encoding, "Content-Encoding")            \
    X(content_range, "Content-Range")                  \
    X(origin, "Origin")                                \
    X(fetch_site, "Sec-Fetch-Site")                    \
    X(wanted_method, "Access-Control-Request-Method")  \
    X(authorization, "Authorization")

typedef struct fb_http_request {
    fb_str method;  // "GET"
    fb_str path;    // percent-encoded: "/v1/keys/user%3A1"
    fb_str query;   // what stands after '?', percent-encoded
    fb_str body;
    fb_str peer;        // the client's address with its port, or empty (node/admit.h)
    fb_str key_header;  // the value of the header that fb_http_key_header() names, or empty
#define FB_HTTP_REQUEST_FIELD(field, name) fb_str field;
    FB_HTTP_REQUEST_HEADERS(FB_HTTP_REQUEST_FIELD)
#undef FB_HTTP_REQUEST_FIELD
    // Where a response that comes later goes: called once, on the loop that handled the request;
    // where the engine closes meanwhile, on the thread that closes it. The response is released
    // afterwards.
    void (*respond)(void *arg, fb_http_response *response);
    // For one that waits for long: gone(gone_arg) is called, on that loop and at most once, when the
    // client has gone or the server stops, before respond(). May be NULL: nobody tells.
    void (*watch)(void *arg, void (*gone)(void *gone_arg), void *gone_arg);
    void *arg;
} fb_http_request;

void fb_http_response_release(fb_http_response *response);

// Whether a query (percent-encoded) says `key_header=`, and has the name of a header behind it:
// letters, digits, '-' and '_'.
bool fb_http_key_header(fb_str query, char name[FB_HTTP_NAME_SIZE]);
// Whether `name` can be such a name.
bool fb_http_is_header_name(fb_str name);

// FB_OK: *response is filled, also with errors (404, 405 … as problem+json), and is the caller's to
// release. FB_PENDING: *response is empty, and respond() will be called. The request's bytes are
// only needed until this returns.
FB_CHECK_RESULT int fb_http_handle(fb_node *node, const fb_http_request *request,
                                   fb_http_response *response);

// Adds what lets a page of `origin` (the header's value, or empty) read the response, where
// node->http_cors has it. For every response, before it is sent.
void fb_http_cross_origin(const fb_node *node, fb_str origin, fb_http_response *response);
// Adds `Cache-Control: no-store` where nothing is said of caches. For every response, before it is sent.
void fb_http_caching(fb_http_response *response);

// "Not Found" for 404.
const char *fb_http_status_text(int status);
// Makes *response one of RFC 9457's: title and status, and `detail` for people.
FB_PRINTF(3, 4)
void fb_http_problem(fb_http_response *response, int status, const char *detail, ...);

#ifdef __cplusplus
}
#endif

#endif
