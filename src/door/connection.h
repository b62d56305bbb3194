// door/connection.h -- one RESP connection: a socket, a session, and who may go on when.
//
// Threads: everything on the loop of its lane.

#ifndef FB_DOOR_CONNECTION_H
#define FB_DOOR_CONNECTION_H

#include <event2/event.h>
#include <sys/time.h>

#include "base/buf.h"
#include "base/list.h"
#include "door/tls.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_CONNECTION_READ_LEN = 64 * 1024 };

typedef struct fb_connection fb_connection;

// What may wait, in bytes; connection.c says what for.
typedef struct fb_connection_bounds {
    size_t out_soft;                 // unsent: no more commands run
    size_t in_soft;                  // read meanwhile, and kept
    size_t out_pressed, in_pressed;  // instead of these, while all hold more than
    uint64_t held_max;
    struct timeval patience;  // with who is held back and takes nothing
    struct timeval farewell;  // for what somebody still sends when he has been told it is over
    struct timeval tick;      // between two looks at all of them: fb_connection_watch_all()
    uint32_t shake_ticks;     // a TLS handshake may take so long
    uint32_t slow_ticks;      // who has something to take must take slow_len of it in so long
    size_t slow_len;
} fb_connection_bounds;

extern const fb_connection_bounds FB_CONNECTION_BOUNDS_DEFAULT;

// What the connections of one loop share.
typedef struct fb_lane_state {
    fb_node *node;
    struct event_base *base;
    fb_door_tls *tls;  // NULL: they speak RESP without it
    const fb_connection_bounds *bounds;
    fb_list connections;
    fb_list ready;                 // those whose replies have come, until `resume` runs
    struct event *resume;          // calls fb_connection_resume_all()
    char *input;                   // FB_CONNECTION_READ_LEN bytes that all of them read into
    fb_buf spare;                  // for the replies of the one whose turn it is
    _Atomic uint64_t *held_bytes;  // of all lanes together: unsent, and not yet used
    bool draining;
    // Called when one is gone.
    void (*gone)(void *arg);
    void *gone_arg;
} fb_lane_state;

// Takes `fd` over, also when it fails (then it is closed). `peer` is for CLIENT LIST.
FB_CHECK_RESULT int fb_connection_new(fb_lane_state *lane, int fd, fb_str peer);
void fb_connection_resume_all(fb_lane_state *lane);
// A tick has passed: closes those whose time is over, who are idle, slow, or hold too much.
void fb_connection_watch_all(fb_lane_state *lane);
// Answers what has arrived, and closes those with nothing left to answer, from now on.
void fb_connection_drain_all(fb_lane_state *lane);
void fb_connection_close_all(fb_lane_state *lane);

#ifdef __cplusplus
}
#endif

#endif
