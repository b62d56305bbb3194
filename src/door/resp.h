// door/resp.h -- the RESP door: sockets around the node's sessions, on the engine's own loops.
//
// Threads: the calls below are made from one thread at a time, and not from a loop; close the door
// before its engine. Memory of an idle connection: docs/operations.md.

#ifndef FB_DOOR_RESP_H
#define FB_DOOR_RESP_H

#include "door/tls.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_resp_door fb_resp_door;

// Where to listen: one of the three.
typedef struct fb_resp_options {
    fb_str address;    // as in door/listen.h
    const char *path;  // a Unix socket for this user and the members of a group alone
    uint32_t group;    // (UINT32_MAX: none)
    const int *fds;    // sockets that somebody opened for us, which are the door's from now on
    size_t fd_count;
    fb_door_tls *tls;  // NULL: no TLS; outlives the door
} fb_resp_options;

// Listens on every loop of node->engine, and sets node->resp_address. `address` as in
// door/listen.h. FB_EINVAL, FB_EIO (also: somebody listens there already; `error` names the
// address), FB_ENOMEM.
FB_CHECK_RESULT int fb_resp_open(fb_node *node, fb_str address, fb_resp_door **door,
                                 fb_error *error);
// The same with more to say: sets node->socket_path where there is a path, else
// node->resp_tls_address with TLS. Sockets that are given are closed also when this fails.
FB_CHECK_RESULT int fb_resp_open_with(fb_node *node, const fb_resp_options *options,
                                      fb_resp_door **door, fb_error *error);
// The same door at a Unix socket beside it, for this user and the members of a group alone
// (door/listen.h); sets node->socket_path.
FB_CHECK_RESULT int fb_resp_open_own(fb_node *node, const char *path, uint32_t group,
                                     fb_resp_door **door, fb_error *error);
// "127.0.0.1:6380", with the port that was free where 0 was asked for; as long as the door lives.
const char *fb_resp_address(const fb_resp_door *door);
uint64_t fb_resp_connections(const fb_resp_door *door);
// Those that this loop serves (or is about to).
uint64_t fb_resp_connections_on(const fb_resp_door *door, uint32_t loop);
// Those that are connected stay.
void fb_resp_stop_accepting(fb_resp_door *door);
// Stops accepting; answers what has arrived, and closes each connection when nothing is left to
// answer.
// FB_OK: all are closed. FB_ETIMEDOUT: some are not after `timeout_ms`.
FB_CHECK_RESULT int fb_resp_drain(fb_resp_door *door, int64_t timeout_ms);
// Closes all that is left. Its address stays: sessions at other doors may be telling it.
void fb_resp_end(fb_resp_door *door);
// The same, and frees; node->resp_address is "" again, or the other one NULL. NULL is fine.
void fb_resp_close(fb_resp_door *door);

#ifdef __cplusplus
}
#endif

#endif
