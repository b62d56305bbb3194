// node/errand.h -- a command, or a request, run so that the engine's calls in it may wait for the
// shared tier: as a fiber (fb_run()), while the loop goes on with other connections.
//
// Where there is no shared tier (node->waits is false) only those come here that wait for the
// queues' store (FB_COMMAND_WAITS, FB_ROUTE_WAITS): other handlers then run on the spot, as they
// always do, and know no difference.
//
// Threads: the session's own loop.

#ifndef FB_NODE_ERRAND_H
#define FB_NODE_ERRAND_H

#include "node/http.h"
#include "node/session_state.h"

#ifdef __cplusplus
extern "C" {
#endif

// Whether a command is run that way: those that read or change keys, but not those that bring slots
// of their own (fetches).
bool fb_errand_suits(const fb_command_call *call);
// Runs call->command with copies of its words, the reply into the slot's bytes. call->outcome is
// FB_PENDING where it waits: then the slot is finished later, on this loop. Without memory the reply
// (call->reply) says so.
void fb_errand_command(fb_command_call *call, fb_slot *slot);

// The same for a request: `handle` gets a copy of it. FB_PENDING: request->respond() is called later.
typedef int (*fb_errand_handle_fn)(fb_node *node, const fb_http_request *request,
                                   fb_http_response *response);
FB_CHECK_RESULT int fb_errand_request(fb_node *node, const fb_http_request *request,
                                      fb_errand_handle_fn handle, fb_http_response *response);

#ifdef __cplusplus
}
#endif

#endif
