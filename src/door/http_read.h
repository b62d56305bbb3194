// door/http_read.h -- what an HTTP request says, as the node wants to know it. Pure, but for the
// body, which is made one piece.

#ifndef FB_DOOR_HTTP_READ_H
#define FB_DOOR_HTTP_READ_H

#include <event2/http.h>

#include "node/http.h"

#ifdef __cplusplus
extern "C" {
#endif

// Without respond, watch and arg. Points into the request.
fb_http_request fb_http_read(struct evhttp_request *request);
// 0; or the status it is to be refused with, as HTTP (RFC 9112) does not allow it, though the server
// does: *why says for people what it is. Nothing behind it can be trusted.
int fb_http_read_fault(struct evhttp_request *request, const char **why);
// Whether its connection ends with it: because it says so, or has a body that the server does not read.
bool fb_http_read_is_last(struct evhttp_request *request);

#ifdef __cplusplus
}
#endif

#endif
