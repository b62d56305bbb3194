// A connection.
//
// One turn: read once, feed the session, write once what it said, and keep what is left of a
// command that is not whole. A connection that had one turn waits for the next round of the loop,
// so no pipeline starves the others.
//
// Buffers are borrowed: the bytes are read into the loop's own buffer, and replies are written into
// the loop's own, which comes back when the socket took them all. Only the rest of a command, or
// replies that the socket did not take, are the connection's own memory, freed when they are gone.
// An idle connection is this struct, its session and the command reader's array
// (docs/operations.md has the figures).
//
// Who does not read what he asked for: when more than out_soft bytes wait to be sent, no more
// commands run until half of that is gone. What he says meanwhile is still read, up to in_soft
// bytes, and kept: many clients write a whole pipeline before they read the first reply, and would
// otherwise wait for us to read while we wait for them. (Commands are short and replies are long:
// to keep commands takes less memory than to keep their replies, which is what Redis does.) Only
// beyond that the peer is held back by his socket; who then takes nothing for `patience`, though we
// do nothing else for him, is waiting for us to read. Nothing but an end can help him, so that is
// what he gets, and the log says why. While all connections together hold more than held_max bytes,
// the bounds are out_pressed and in_pressed. Who is owed more than listen.output_hard is closed.
//
// Who waits for jobs (FB.RESERVE) may wait for hours: what he says meanwhile is read and kept, up
// to in_pressed bytes, so that his end is noticed. Then he waits no longer, and no job is given to
// him.
//
// The socket's event wants reading, writing, or both, and is only told where that changes: a
// connection that keeps up never waits for writing. A turn that stops before all is fed (its share
// is used up) asks for writing, which is true at once in the next round.

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "door/connection_inside.h"

enum {
    ROUNDS_MAX = 4,                  // × FB_SESSION_PACE_LEN: replies of one turn
    SEND_LEN_MAX = 4 * 1024 * 1024,  // bytes of one turn
    SPARE_CAP_MAX = 1024 * 1024,
    READ_LEN_MAX = 1024 * 1024
};

// What all of them do at once, and what happens around the turns: connection_life.c.

// ---- the socket, or TLS over it

static ssize_t recv_some(const fb_connection *connection, char *into, size_t len) {
    return connection->ssl == NULL ? recv(connection->fd, into, len, 0)
                                   : fb_door_tls_recv(connection->ssl, into, len);
}

static ssize_t send_some(const fb_connection *connection, const char *from, size_t len) {
    return connection->ssl == NULL ? send(connection->fd, from, len, MSG_NOSIGNAL)
                                   : fb_door_tls_send(connection->ssl, from, len);
}

// ---- writing

void fb_connection_count_held(fb_connection *connection) {
    size_t now = unsent(connection) + waiting(connection);
    if (now != connection->counted) {
        atomic_fetch_add_explicit(connection->lane->held_bytes, now - connection->counted,
                                  memory_order_relaxed);
        connection->counted = now;
    }
}

static bool pressed(const fb_connection *connection) {
    const fb_lane_state *lane = connection->lane;
    return atomic_load_explicit(lane->held_bytes, memory_order_relaxed) > lane->bounds->held_max;
}

// Half of the bound must be free before commands run again, or each write would be followed by a
// little feeding.
static bool is_full(fb_connection *connection) {
    const fb_connection_bounds *bounds = connection->lane->bounds;
    size_t bound = pressed(connection) ? bounds->out_pressed : bounds->out_soft;
    size_t left = unsent(connection);
    connection->full = connection->full ? left > bound / 2 : left >= bound;
    return connection->full;
}

static void lend_out(fb_connection *connection) {
    fb_buf *out = fb_session_out(connection->session);
    if (out->cap == 0) {
        *out = connection->lane->spare;
        connection->lane->spare = (fb_buf){0};
    }
}

void fb_connection_take_back(fb_connection *connection) {
    fb_buf *out = fb_session_out(connection->session);
    if (out->len > 0 || out->cap == 0) {
        return;
    }
    if (connection->lane->spare.cap == 0 && out->cap <= SPARE_CAP_MAX) {
        connection->lane->spare = *out;
        *out = (fb_buf){0};
    } else {
        fb_buf_release(out);
    }
}

// What is done with at the start of a buffer is cut off when it is half of it, so that each byte
// moves at most once or so.
static void cut(fb_buf *buf, size_t *done) {
    if (*done >= buf->len - *done) {
        fb_buf_consume(buf, *done);
        *done = 0;
    }
}

// false: the peer is gone.
static bool flush(fb_connection *connection) {
    fb_buf *out = fb_session_out(connection->session);
    size_t before = connection->sent;
    while (connection->sent < out->len && connection->sent - before < SEND_LEN_MAX) {
        ssize_t count =
            send_some(connection, out->ptr + connection->sent, out->len - connection->sent);
        if (count > 0) {
            connection->sent += (size_t)count;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            return false;
        }
    }
    if (connection->sent > before) {
        atomic_fetch_add_explicit(&connection->lane->node->bytes_out, connection->sent - before,
                                  memory_order_relaxed);
        connection->taken += connection->sent - before;
        cut(out, &connection->sent);
    }
    return true;
}

// ---- what to wait for

static void on_event(evutil_socket_t fd, short what, void *arg);

// Each event begins the limit anew.
int fb_connection_want(fb_connection *connection, short interest, const struct timeval *limit) {
    if (interest == connection->interest && limit == connection->limit) {
        return FB_OK;
    }
    if (connection->interest != 0) {
        (void)event_del(&connection->event);
    }
    connection->interest = interest;
    connection->limit = limit;
    if (interest == 0) {
        return FB_OK;
    }
    bool added = event_assign(&connection->event, connection->lane->base, connection->fd,
                              (short)(interest | EV_PERSIST), on_event, connection) == 0 &&
                 event_add(&connection->event, limit) == 0;
    return added ? FB_OK : FB_ENOMEM;
}

// Nothing more will be read: the peer said so, or we are to stop and nothing has arrived.
bool fb_connection_last_read(const fb_connection *connection) {
    char byte;
    if (connection->eof || !connection->lane->draining) {
        return connection->eof;
    }
    return waiting(connection) == 0 &&
           recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

// Whether more input has a place: commands run, or it can be kept until they do.
static bool may_read(const fb_connection *connection, int result) {
    if (connection->eof || result == FB_ECLOSED) {
        return false;
    }
    if (result == FB_PENDING) {
        return fb_session_is_blocked(connection->session) &&
               waiting(connection) < connection->lane->bounds->in_pressed;
    }
    if (result == FB_OK && !connection->full) {
        return true;
    }
    const fb_connection_bounds *bounds = connection->lane->bounds;
    return waiting(connection) < (pressed(connection) ? bounds->in_pressed : bounds->in_soft);
}

// After a turn whose last feed gave `result`; FB_REFUSED also where none was made.
static void settle(fb_connection *connection, int result) {
    fb_connection_count_held(connection);
    size_t left = unsent(connection);
    bool over = result == FB_ECLOSED;
    bool waits = result == FB_PENDING || fb_session_waits(connection->session);
    bool idle = result == FB_OK && !waits && left == 0;
    if (over && left == 0) {
        fb_connection_say_goodbye(connection);
        return;
    }
    if (idle && fb_connection_last_read(connection)) {
        fb_connection_drop(connection);
        return;
    }
    if (left > 0 && left > fb_connection_output_max(connection)) {
        fb_connection_close_for_output(connection, fb_connection_output_max(connection));
        return;
    }
    (void)is_full(connection);
    bool reading = may_read(connection, result);
    bool writing = left > 0 || result == FB_REFUSED;
    bool stuck = writing && !reading && result != FB_PENDING;
    fb_connection_take_back(connection);
    short interest = (short)((reading ? EV_READ : 0) | (writing ? EV_WRITE : 0));
    const struct timeval *limit = stuck ? &connection->lane->bounds->patience : NULL;
    if (fb_connection_want(connection, interest, limit) < 0) {
        fb_connection_drop(connection);
    }
}

// ---- a turn

// Keeps what was not used of `input`, which is the rest of our own buffer or in the loop's.
static int keep_rest(fb_connection *connection, fb_str input, size_t used) {
    if (connection->in.len == 0) {
        return fb_buf_append(&connection->in, fb_str_make(input.ptr + used, input.len - used));
    }
    connection->used += used;
    cut(&connection->in, &connection->used);
    if (connection->in.len == 0) {
        fb_buf_release(&connection->in);
    }
    return FB_OK;
}

static fb_str kept(const fb_connection *connection) {
    return connection->in.len == 0
               ? (fb_str){NULL, 0}
               : fb_str_make(connection->in.ptr + connection->used, waiting(connection));
}

static void take_turn(fb_connection *connection, fb_str input) {
    size_t used = 0;
    int result = FB_REFUSED;
    bool there = true;
    lend_out(connection);
    for (unsigned rounds = 0; there && result == FB_REFUSED && rounds < ROUNDS_MAX; rounds++) {
        size_t count = 0;
        fb_str rest = {input.len > 0 ? input.ptr + used : NULL, input.len - used};
        if (is_full(connection)) {
            break;
        }
        result = fb_session_feed(connection->session, rest, &count);
        used += count;
        there = flush(connection);
    }
    if (!there || keep_rest(connection, input, used) < 0) {
        fb_connection_drop(connection);
        return;
    }
    settle(connection, result);
}

// Where bytes are read to: the loop's buffer, or behind what is kept.
static char *room(fb_connection *connection, size_t *len) {
    fb_buf *in = &connection->in;
    if (in->len == 0) {
        *len = FB_CONNECTION_READ_LEN;
        return connection->lane->input;
    }
    // As much as is wanted, but in proportion to what has come.
    size_t most = waiting(connection) < READ_LEN_MAX ? waiting(connection) : READ_LEN_MAX;
    size_t wanted = fb_session_wants(connection->session);
    *len = wanted < most ? wanted : most;
    *len = *len < FB_CONNECTION_READ_LEN ? FB_CONNECTION_READ_LEN : *len;
    return fb_buf_reserve(in, *len) == FB_OK ? in->ptr + in->len : NULL;
}

void fb_connection_take_input(fb_connection *connection) {
    size_t len = 0;
    char *into = room(connection, &len);
    ssize_t count = into != NULL ? recv_some(connection, into, len) : -1;
    if (into == NULL) {
        fb_connection_drop(connection);
    } else if (count > 0) {
        atomic_fetch_add_explicit(&connection->lane->node->bytes_in, (uint64_t)count,
                                  memory_order_relaxed);
        fb_str input = {into, (size_t)count};
        if (connection->in.len > 0) {
            connection->in.len += (size_t)count;
            input = kept(connection);
        }
        take_turn(connection, input);
    } else if (count == 0) {
        connection->eof = true;
        fb_session_unblock(connection->session);
        take_turn(connection, kept(connection));
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        fb_connection_drop(connection);
    }
}

// Goes on with what is kept.
static void go_on(fb_connection *connection) {
    if (flush(connection) && !fb_session_is_killed(connection->session)) {
        take_turn(connection, kept(connection));
    } else {
        fb_connection_drop(connection);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    fb_connection *connection = arg;
    connection->turns++;
    // One or the other a turn: input is read when there is nothing to be written, which comes
    // round.
    if (connection->leaving && (what & EV_TIMEOUT) == 0) {
        fb_connection_ignore_input(connection);
    } else if (connection->leaving) {
        fb_connection_drop(connection);
    } else if (connection->shaking) {
        fb_connection_shake(connection);
    } else if ((what & EV_TIMEOUT) != 0) {
        fb_connection_lose_patience(connection);
    } else if ((what & EV_WRITE) != 0) {
        go_on(connection);
    } else {
        fb_connection_take_input(connection);
    }
}

// ---- replies that came later

// The session's loop is ours, but we may be deep in the engine: go on when the loop comes round,
// which also lets answers that come together leave together.
void fb_connection_wake(void *arg) {
    fb_connection *connection = arg;
    if (fb_list_empty(&connection->ready)) {
        fb_list_insert(&connection->lane->ready, &connection->ready);
        event_active(connection->lane->resume, EV_TIMEOUT, 1);
    }
}

void fb_connection_resume_all(fb_lane_state *lane) {
    fb_list now;
    fb_list_init(&now);
    while (!fb_list_empty(&lane->ready)) {
        fb_list *node = lane->ready.next;
        fb_list_remove(node);
        fb_list_insert(&now, node);
    }
    while (!fb_list_empty(&now)) {
        fb_connection *connection = FB_LIST_OF(now.next, fb_connection, ready);
        fb_list_remove(&connection->ready);
        go_on(connection);
    }
}
