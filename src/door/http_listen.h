// door/http_listen.h -- the sockets at which one loop's HTTP server accepts, and their rests.
//
// Threads: everything on the lane's loop.

#ifndef FB_DOOR_HTTP_LISTEN_H
#define FB_DOOR_HTTP_LISTEN_H

#include <event2/http.h>

#include "door/http.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_http_listener {
    struct evhttp_bound_socket *bound;
    struct evconnlistener *events;
} fb_http_listener;

typedef struct fb_http_listeners {
    struct evhttp *server;
    fb_http_listener all[FB_HTTP_LISTENERS_MAX];
    size_t count;
} fb_http_listeners;

// Accepts at FB_HTTP_LISTENERS_MAX sockets (-1: none) for a server (NULL: there was no memory for
// it), and takes them over, also when it fails. FB_ENOMEM.
FB_CHECK_RESULT int fb_http_listeners_open(fb_http_listeners *listeners, struct event_base *base,
                                           struct evhttp *server, const int *fds);
// Goes on with those that rest: who could not accept, for want of a file descriptor, does not try
// again before. To be called about once a second.
void fb_http_listeners_resume(fb_http_listeners *listeners);
// Accepts no more. Before the server is freed; twice is fine.
void fb_http_listeners_stop(fb_http_listeners *listeners);

#ifdef __cplusplus
}
#endif

#endif
