// node/events.h -- the live figures as a server-sent event (GET /v1/events). The route says that its
// response goes on (fb_http_response.every_ms); the door sends an event so often, made once for all who
// listen.
//
// Threads: any.

#ifndef FB_NODE_EVENTS_H
#define FB_NODE_EVENTS_H

#include "base/buf.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_EVENTS_MS_MIN = 1000, FB_EVENTS_MS_MAX = 60000 };

// Appends the event of this moment, whose id is `id`. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_events_write(fb_node *node, uint64_t id, fb_buf *out);

#ifdef __cplusplus
}
#endif

#endif
