// node/http_rules.h -- what HTTP itself asks of every request: media types, and who may ask from a page
// of another site.
//
// Threads: any.

#ifndef FB_NODE_HTTP_RULES_H
#define FB_NODE_HTTP_RULES_H

#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

// Whether the request's headers fit its route; if not the response says so: 406, 415, 403.
bool fb_http_is_fit(fb_http_call *call);
// Adds what a browser asks before a request to another site, where node->http_cors has its origin.
void fb_http_preflight(const fb_node *node, const fb_http_request *request, const char *methods,
                       fb_http_response *response);

#ifdef __cplusplus
}
#endif

#endif
