// node/http.h -- one HTTP request without its socket: method, path, query, body in; status, headers,
// body out. Routes are one table, which help, OpenAPI and 405's Allow derive from.

#ifndef FB_NODE_HTTP_H
#define FB_NODE_HTTP_H

#include "base/buf.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_HTTP_HEADERS_MAX = 12, FB_HTTP_PARAMS_MAX = 32 };

typedef struct fb_http_header {
    const char *name;
    char value[200];
} fb_http_header;

typedef struct fb_http_response fb_http_response;

typedef struct fb_http_request {
    fb_str method;                            // "GET"
    fb_str path;                              // still percent-encoded: "/v1/keys/user%3A1"
    const fb_param *query;                    // decoded
    size_t query_count;
    fb_str body;
    fb_str content_type;
    fb_str if_none_match;
    // Where a response that comes later goes; called on the request's loop.
    void (*respond)(void *arg, fb_http_response *response);
    void *arg;
} fb_http_request;

struct fb_http_response {
    int status;
    fb_http_header headers[FB_HTTP_HEADERS_MAX];
    size_t header_count;
    fb_buf body;
};

void fb_http_response_release(fb_http_response *response);

// FB_OK: *response is filled (errors too: 404, 405, 400 … as problem+json). FB_PENDING: respond() will be
// called; the request's bytes need not live that long. The response is the callee's to release then.
FB_CHECK_RESULT int fb_http_handle(fb_node *node, const fb_http_request *request, fb_http_response *response);

#ifdef __cplusplus
}
#endif

#endif
