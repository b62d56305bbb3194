// door/connection_inside.h -- what connection.c (a turn: read, run, write) and connection_life.c
// (the beginning, the end, and what is looked at once a tick) share. For these two alone.

#ifndef FB_DOOR_CONNECTION_INSIDE_H
#define FB_DOOR_CONNECTION_INSIDE_H

#include <event2/event_struct.h>

#include "door/connection.h"
#include "node/session.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fb_connection {
    fb_list list;   // of all
    fb_list ready;  // of those to be resumed
    fb_lane_state *lane;
    fb_session *session;
    struct ssl_st *ssl;           // NULL: plain
    int fd;
    short interest;               // what the event waits for
    const struct timeval *limit;  // and how long; NULL: for ever
    bool shaking;                 // TLS's hands, and not done yet
    bool eof;                     // nothing more will come in
    bool leaving;                 // our side is closed
    bool full;                    // too much is unsent: no more commands run
    size_t sent;     // bytes at the start of the session's out that the socket has taken
    size_t counted;  // bytes this connection stands for in what all hold
    size_t used;     // bytes at the start of `in` that are done with
    size_t ignored;  // bytes that came while leaving
    uint64_t taken;  // bytes that the socket took, ever
    fb_buf in;       // what is left of a command, and what came behind it
    struct event event;

    // Counted once a tick; see connection_life.c.
    uint32_t turns, turns_seen;  // events
    uint32_t quiet_ticks;        // since the last of them
    uint32_t soft_ticks;         // with more unsent than the soft limit
    uint32_t owed_ticks;         // with anything unsent
    uint64_t owed_taken;         // `taken`, when that began
};

static inline size_t unsent(const fb_connection *connection) {
    return fb_session_out(connection->session)->len - connection->sent;
}

static inline size_t waiting(const fb_connection *connection) {
    return connection->in.len - connection->used;
}

// ---- connection.c

void fb_connection_count_held(fb_connection *connection);
// Gives the loop's buffer back if it is empty.
void fb_connection_take_back(fb_connection *connection);
// Waits for `interest`, and at most `limit` (NULL: for ever).
FB_CHECK_RESULT int fb_connection_want(fb_connection *connection, short interest,
                                       const struct timeval *limit);
bool fb_connection_last_read(const fb_connection *connection);
// One turn. It may be gone afterwards.
void fb_connection_take_input(fb_connection *connection);
// The session's: it is resumed when the loop comes round.
void fb_connection_wake(void *connection);

// ---- connection_life.c

// Frees it.
void fb_connection_drop(fb_connection *connection);
void fb_connection_shake(fb_connection *connection);
void fb_connection_say_goodbye(fb_connection *connection);
void fb_connection_ignore_input(fb_connection *connection);
void fb_connection_lose_patience(fb_connection *connection);
size_t fb_connection_output_max(const fb_connection *connection);
// `limit`: the one that it is over.
void fb_connection_close_for_output(fb_connection *connection, size_t limit);

#ifdef __cplusplus
}
#endif

#endif
