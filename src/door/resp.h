// door/resp.h -- the RESP door: sockets around the node's sessions, on the engine's own loops.
//
// Threads: the calls below are made from one thread at a time, and not from a loop; close the door
// before its engine. Memory of an idle connection: measured at the top of connection.c.

#ifndef FB_DOOR_RESP_H
#define FB_DOOR_RESP_H

#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_resp_door fb_resp_door;

// Listens on every loop of node->engine, and sets node->resp_address. `address` as in
// door/listen.h. FB_EINVAL, FB_EIO (also: somebody listens there already; `error` names the
// address), FB_ENOMEM.
FB_CHECK_RESULT int fb_resp_open(fb_node *node, fb_str address, fb_resp_door **door,
                                 fb_error *error);
// The same door at a Unix socket beside it, for this user and the members of a group alone
// (door/listen.h); sets node->socket_path.
FB_CHECK_RESULT int fb_resp_open_own(fb_node *node, const char *path, uint32_t group,
                                     fb_resp_door **door, fb_error *error);
// "127.0.0.1:6380", with the port that was free where 0 was asked for; as long as the door lives.
const char *fb_resp_address(const fb_resp_door *door);
uint64_t fb_resp_connections(const fb_resp_door *door);
// Those that are connected stay.
void fb_resp_stop_accepting(fb_resp_door *door);
// Stops accepting; answers what has arrived, and closes each connection when nothing is left to
// answer.
// FB_OK: all are closed. FB_ETIMEDOUT: some are not after `timeout_ms`.
FB_CHECK_RESULT int fb_resp_drain(fb_resp_door *door, int64_t timeout_ms);
// Closes all that is left, and frees; node->resp_address is "" again, or node->socket_path NULL.
// NULL is fine.
void fb_resp_close(fb_resp_door *door);

#ifdef __cplusplus
}
#endif

#endif
