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

enum { FB_HTTP_HEADERS_MAX = 12, FB_HTTP_HEADER_SIZE = 200, FB_HTTP_PARAMS_MAX = 64 };

typedef struct fb_http_header {
    const char *name;
    char value[FB_HTTP_HEADER_SIZE];
} fb_http_header;

typedef struct fb_http_response {
    int status;
    fb_http_header headers[FB_HTTP_HEADERS_MAX];  // never Content-Length, Date, Connection, Server
    size_t header_count;
    fb_buf body;  // also for HEAD, which only wants its length
} fb_http_response;

typedef struct fb_http_request {
    fb_str method;  // "GET"
    fb_str path;    // percent-encoded: "/v1/keys/user%3A1"
    fb_str query;   // what stands after '?', percent-encoded
    fb_str body;
    fb_str if_none_match;  // the header's value, or empty
    // Where a response that comes later goes: called once, on the loop that handled the request;
    // where the engine closes meanwhile, on the thread that closes it. The response is released
    // afterwards.
    void (*respond)(void *arg, fb_http_response *response);
    void *arg;
} fb_http_request;

void fb_http_response_release(fb_http_response *response);

// FB_OK: *response is filled, also with errors (404, 405 … as problem+json), and is the caller's to
// release. FB_PENDING: *response is empty, and respond() will be called. The request's bytes are
// only needed until this returns.
FB_CHECK_RESULT int fb_http_handle(fb_node *node, const fb_http_request *request,
                                   fb_http_response *response);

// "Not Found" for 404.
const char *fb_http_status_text(int status);
// Makes *response one of RFC 9457's: title and status, and `detail` for people.
FB_PRINTF(3, 4)
void fb_http_problem(fb_http_response *response, int status, const char *detail, ...);

#ifdef __cplusplus
}
#endif

#endif
