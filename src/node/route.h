// node/route.h -- the route table, and what handlers of requests share.

#ifndef FB_NODE_ROUTE_H
#define FB_NODE_ROUTE_H

#include "node/http.h"
#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_route fb_route;

typedef struct fb_http_call {
    fb_node *node;
    const fb_http_request *request;
    const fb_route *route;
    fb_str name;            // what stands in the place of {…}, decoded
    const fb_param *query;  // decoded
    size_t query_count;
    fb_http_response *response;
} fb_http_call;

// FB_OK: the response is filled. FB_PENDING. < 0: becomes the response by fb_http_failure().
typedef int (*fb_route_fn)(fb_http_call *call);

enum {                       // flags
    FB_ROUTE_ANY_QUERY = 1,  // names of parameters that are not in the list are no mistake
    FB_ROUTE_MONITORING = 2  // stands under node->http_prefix as well
};

// One parameter of the query.
typedef struct fb_route_param {
    const char *name;
    const char *help;
} fb_route_param;

struct fb_route {
    const char *method;  // of GET, HEAD comes by itself
    const char *path;    // a last part "{name}" stands for all that is left, which is not empty
    fb_route_fn run;
    unsigned flags;
    const fb_route_param *params;  // ended by one without a name; NULL: none
    const char *summary;
};

extern const fb_route FB_ROUTES[];  // ended by one without a method

int fb_route_index(fb_http_call *call);

int fb_route_fetch(fb_http_call *call);

int fb_route_key_get(fb_http_call *call);
int fb_route_key_put(fb_http_call *call);
int fb_route_key_delete(fb_http_call *call);

int fb_route_invalidate(fb_http_call *call);
int fb_route_warm(fb_http_call *call);
int fb_route_explain(fb_http_call *call);
int fb_route_classes(fb_http_call *call);

int fb_route_stats(fb_http_call *call);
int fb_route_metrics(fb_http_call *call);
int fb_route_healthz(fb_http_call *call);
int fb_route_readyz(fb_http_call *call);
int fb_route_cache_stats(fb_http_call *call);
int fb_route_cache_metrics(fb_http_call *call);
int fb_route_cache_status(fb_http_call *call);
int fb_route_dashboard(fb_http_call *call);

// ---- what handlers share

// The parameter of that name in the query, or NULL.
const fb_param *fb_http_param(const fb_http_call *call, const char *name);
// Adds a header; without its end where it is too long.
FB_PRINTF(3, 4)
void fb_http_header_add(fb_http_response *response, const char *name, const char *format, ...);
// Begins a JSON body: status, Content-Type, and the encoder to write with.
void fb_http_json(fb_http_response *response, int status, fb_reply *reply);
// Ends it, with a line end for terminals. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_http_json_end(fb_reply *reply);
// The problem for what a call of the engine returned (< 0). `error` may be NULL.
void fb_http_failure(fb_http_response *response, int result, const fb_error *error);
// The same for FB_ENOCLASS, with the nearest name there is.
void fb_http_no_class(fb_node *node, fb_http_response *response, fb_str class_name);
// The response for a value as it lies in the cache: bytes, type, ETag, Age; 304 where the client
// has it already. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_http_value(fb_http_response *response, const fb_value *value,
                                  fb_str if_none_match);

#ifdef __cplusplus
}
#endif

#endif
