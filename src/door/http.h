// door/http.h -- the HTTP door: libevent's HTTP server around the node's routes, on the engine's
// own loops.
//
// Threads: the calls below are made from one thread at a time, and not from a loop; close the door
// before its engine.

#ifndef FB_DOOR_HTTP_H
#define FB_DOOR_HTTP_H

#include "door/tls.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_http fb_http;

// 0 stands for what the configuration says (node->doors), which may change at any time, or, where that
// says nothing, the default. Sizes of one request hold for connections that are made from then on.
typedef struct fb_http_limits {
    int64_t idle_ms;  // until a connection on which nothing happens is closed (60 s)
    int64_t slow_ms;  // for a request to come in, or an answer to be taken (10 s), to which each
                      // 32 KiB that did get through add a second
    size_t header_len_max;  // 64 KiB; beyond it: 431
    size_t body_len_max;    // 64 MiB; beyond it: 413
    size_t bodies_len_max;  // of all connections together (256 MiB); beyond it those that send
                            // bodies: 503
} fb_http_limits;

enum { FB_HTTP_LISTENERS_MAX = 4 };

typedef struct fb_http_options {
    const char *address;           // as in door/listen.h; of no use where there are fds
    const fb_http_limits *limits;  // NULL: the defaults
    const int *fds;    // sockets that somebody opened for us, which are the door's from now on
    size_t fd_count;   // at most FB_HTTP_LISTENERS_MAX
    fb_door_tls *tls;  // NULL: no TLS; outlives the door
} fb_http_options;

// Listens on every loop of node->engine. `address` as in door/listen.h. FB_EINVAL, FB_EIO (also:
// somebody listens there already; `error` names the address), FB_ENOMEM.
FB_CHECK_RESULT int fb_http_open(fb_node *node, const char *address, fb_http **http,
                                 fb_error *error);
// The same with other limits.
FB_CHECK_RESULT int fb_http_open_with(fb_node *node, const char *address,
                                      const fb_http_limits *limits, fb_http **http,
                                      fb_error *error);
// The same with more to say. Sockets that are given are closed also when this fails.
FB_CHECK_RESULT int fb_http_open_as(fb_node *node, const fb_http_options *options, fb_http **http,
                                    fb_error *error);
// "127.0.0.1:8080", with the port that was free where 0 was asked for.
void fb_http_address(const fb_http *http, char *text, size_t text_size);
uint64_t fb_http_connections(const fb_http *http);
// Stops accepting; those that are connected are answered, and closed with their next answer. Twice
// is fine.
void fb_http_stop(fb_http *http);
// Stops accepting; answers what has arrived, and closes each connection when nothing is left to
// answer. FB_OK: all are closed. FB_ETIMEDOUT: some are not after `timeout_ms`.
FB_CHECK_RESULT int fb_http_drain(fb_http *http, int64_t timeout_ms);
// Stops, closes all that is left, and frees. NULL is fine.
void fb_http_close(fb_http *http);

#ifdef __cplusplus
}
#endif

#endif
