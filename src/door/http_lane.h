// door/http_lane.h -- the HTTP connections of one loop: libevent's server, with the bounds it
// lacks.
//
// Threads: everything on the lane's loop.

#ifndef FB_DOOR_HTTP_LANE_H
#define FB_DOOR_HTTP_LANE_H

#include "base/list.h"
#include "base/map.h"
#include "door/http.h"
#include "door/http_listen.h"
#include "door/http_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

// What the lanes of one door share.
typedef struct fb_http_common {
    fb_node *node;
    fb_http_limits limits;            // as they were given, 0 too
    fb_door_tls *tls;                 // NULL: none
    fb_http_feed feed;
    _Atomic uint64_t connections;
    _Atomic uint64_t unanswered_len;  // bytes of requests that are not answered yet
    void (*empty)(void *arg);         // called when no connection is left
    void *empty_arg;
} fb_http_common;

typedef struct fb_http_lane {
    fb_http_common *common;
    struct event_base *base;
    struct evhttp *server;
    fb_http_listeners listeners;
    struct event *chores;  // what must not be done where it is noticed
    struct event *sweep;   // looks for connections whose time is over
    fb_list clients;
    fb_list todo;  // those with chores
    fb_http_streams streams;
    fb_map by_connection;
    bool draining;
} fb_http_lane;

// Serves what comes in at FB_HTTP_LISTENERS_MAX sockets (-1: none), which it takes over, also when
// it fails. FB_ENOMEM.
FB_CHECK_RESULT int fb_http_lane_open(fb_http_lane *lane, fb_http_common *common,
                                      struct event_base *base, const int *fds);
void fb_http_lane_stop(fb_http_lane *lane);
// Closes those that wait for nothing, and each other one with its next answer.
void fb_http_lane_drain(fb_http_lane *lane);
// Closes every connection. Answers that come later go nowhere.
void fb_http_lane_close(fb_http_lane *lane);

#ifdef __cplusplus
}
#endif

#endif
