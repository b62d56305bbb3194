// node/http_user.h -- who sends a request, and whether that user may: the same users and rights as on
// RESP (node/user.h).
//
// A route names the command whose right it takes (fb_route.command), and its keys are those of its
// path or its query, so a user needs for GET /v1/keys/x what it needs for GET x. What a body names, or
// a class makes of parameters, cannot be told from here: such a route needs the right to all keys,
// unless it is flagged FB_ROUTE_OWN_KEYS and asks for each key itself.
//
// Threads: as handlers of requests.

#ifndef FB_NODE_HTTP_USER_H
#define FB_NODE_HTTP_USER_H

#include "node/route.h"
#include "node/user.h"

#ifdef __cplusplus
extern "C" {
#endif

// Whether who sends it may have this route: `call` has route, name and query. false: the response says
// so (401, 403, 429). Sets call->user, to be given by fb_http_user_done().
bool fb_http_may(fb_http_call *call);
// Whether it may use a key, as the route's command does. false: the response says so (403).
bool fb_http_may_key(fb_http_call *call, fb_str key);
// The key that a request for a class makes; `place` is said before ("requests[2]: ", or ""). true where it
// makes none: then there is nothing to reach, and fetching it says what is wrong.
bool fb_http_may_request(fb_http_call *call, const fb_request *request, const char *place);
// For what may reach any key.
bool fb_http_may_all_keys(fb_http_call *call);
void fb_http_user_done(fb_http_call *call);

#ifdef __cplusplus
}
#endif

#endif
