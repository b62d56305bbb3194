// redis/conn_inside.h -- what the parts of a connection share: conn.c (its life and its clock),
// conn_link.c (getting to HELLO), conn_io.c (bytes in and out).

#ifndef FB_REDIS_CONN_INSIDE_H
#define FB_REDIS_CONN_INSIDE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/rng.h"
#include "redis/conn_queue.h"
#include "redis/dial.h"
#include "redis/hello.h"
#include "redis/tls.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_conn_state {
    FB_CONN_PAUSE,    // until state_ns
    FB_CONN_LOOKUP,
    FB_CONN_NEXT,     // address: as soon as the loop comes by
    FB_CONN_CONNECT,
    FB_CONN_TLS,
    FB_CONN_HELLO,
    FB_CONN_UP,
    FB_CONN_CLOSED    // it is freed when the last call of ours has returned
} fb_conn_state;

struct fb_conn {
    fb_conn_state state;
    uint32_t inside;     // calls of ours that are under way
    bool reading;        // what is sent is flushed when that is done
    bool flush_wanted;
    bool writing;        // the socket is full: `writable` waits for it
    bool heard;          // a command was answered since it is up
    bool garbled;        // what is read is no RESP
    bool fatal;          // the last attempt's end
    bool stalled;        // it was given up because it hung
    int fd;              // -1: none
    fb_tls_session *session;  // NULL: plain
    fb_conn_queue queue;
    fb_buf in;
    size_t in_used;
    fb_resp_reply *reply;
    int64_t silent_ns;   // since when nothing has come
    int64_t state_ns;    // when something is to be done about the state
    int64_t armed_ns;    // when the timer comes
    struct event readable, writable, timer;
    // Getting up:
    int64_t attempt_until_ns, up_since_ns;
    uint32_t attempts;   // in vain, since it last was any good
    fb_hello_former former;       // to be ended by the greeting
    fb_hello_former self;         // what this one will be to the next
    uint32_t greeted, greetings;  // replies to the greeting that came, of how many
    fb_buf greeting;
    size_t greeting_used;
    fb_dial dial;
    fb_rng rng;
    fb_conn_server server;
    fb_conn_events events;
    fb_conn_options options;  // its texts are copies
    char name[FB_REDIS_TEXT_MAX + 16];
    char why[FB_REDIS_TEXT_MAX + 16 + 512];  // the last loss, with the name
};

// ---- conn.c

// The timer comes at at_ns, or before.
void fb_conn_arm(fb_conn *conn, int64_t at_ns);
static inline void fb_conn_enter(fb_conn *conn) {
    conn->inside++;
}
// May free it.
void fb_conn_leave(fb_conn *conn);
// Lost, or not got: tells and answers whom it concerns, and tries again later.
void fb_conn_lose(fb_conn *conn, bool fatal, const char *why);
void fb_conn_go_up(fb_conn *conn);

// ---- conn_link.c

void fb_conn_begin(fb_conn *conn);
// This address does not do: the next one, or fb_conn_lose().
void fb_conn_give_up_address(fb_conn *conn, bool fatal, const char *why);
// The time of the present state is over.
void fb_conn_give_up_waiting(fb_conn *conn);
// A reply to the greeting.
void fb_conn_take_greeting(fb_conn *conn, const fb_resp_value *value);
void fb_conn_drop_link(fb_conn *conn);
// What is due when the socket is there, or takes bytes, before it is up.
void fb_conn_go_on(fb_conn *conn);

// ---- conn_io.c

void fb_conn_on_readable(evutil_socket_t fd, short what, void *arg);
void fb_conn_on_writable(evutil_socket_t fd, short what, void *arg);
// Sees to it that what is queued is sent before the loop sleeps.
void fb_conn_want_flush(fb_conn *conn);
// Writes what the socket takes of `bytes`, and waits for it where that is not all. False: the link
// broke, and fb_conn_break() is to be called.
FB_CHECK_RESULT bool fb_conn_write(fb_conn *conn, fb_str bytes, size_t *taken, fb_error *error);
// Reads what the server said last, and gives the link up.
void fb_conn_break(fb_conn *conn, const fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
