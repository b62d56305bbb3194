// A connection.
//
// One turn: read once, feed the session, write once what it said, and keep what is left of a
// command that is not whole. A connection that had one turn waits for the next round of the loop,
// so no pipeline starves the others.
//
// Buffers are borrowed: the bytes are read into the loop's own buffer, and replies are written into
// the loop's own, which comes back when the socket took them all. Only the rest of a command, or
// replies that the socket did not take, are the connection's own memory, freed when they are gone.
// An idle connection is this struct, its session and the command reader's array: 950 bytes of
// resident memory each, measured over 5,000 that had asked once, beside what the kernel keeps.
//
// Who does not read what he asked for: when more than out_soft bytes wait to be sent, no more
// commands run until half of that is gone. What he says meanwhile is still read, up to in_soft
// bytes, and kept: many clients write a whole pipeline before they read the first reply, and would
// otherwise wait for us to read while we wait for them. (Commands are short and replies are long:
// to keep commands takes less memory than to keep their replies, which is what Redis does.) Only
// beyond that the peer is held back by his socket; who then takes nothing for `patience`, though we
// do nothing else for him, is waiting for us to read. Nothing but an end can help him, so that is
// what he gets, and the log says why. While all connections together hold more than held_max bytes,
// the bounds are out_pressed and in_pressed. A reply that is larger than OUT_HARD ends the
// connection.
//
// Who is told goodbye may still be sending: to close then would make his system throw away what he
// has not read yet, the last reply, which says what was wrong. So only our side is closed, and what
// he sends is thrown away until he closes his, or sends nothing for a moment.
//
// The socket's event wants reading, writing, or both, and is only told where that changes: a
// connection that keeps up never waits for writing. A turn that stops before all is fed (its share
// is used up) asks for writing, which is true at once in the next round.

#include "door/connection.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/session.h"

const fb_connection_bounds FB_CONNECTION_BOUNDS_DEFAULT = {
    .out_soft = 16 * 1024 * 1024,
    .in_soft = 256 * 1024 * 1024,
    .out_pressed = FB_SESSION_PACE_LEN,
    .in_pressed = 1024 * 1024,
    .held_max = UINT64_C(512) << 20,
    .patience = {60, 0},
    .farewell = {1, 0},
};

enum {
    ROUNDS_MAX = 4,                  // × FB_SESSION_PACE_LEN: replies of one turn
    SEND_LEN_MAX = 4 * 1024 * 1024,  // bytes of one turn
    SPARE_CAP_MAX = 1024 * 1024,
    READ_LEN_MAX = 1024 * 1024,
    FAREWELL_LEN_MAX = 64 * 1024 * 1024
};
#define OUT_HARD ((size_t)FB_SESSION_REPLY_LEN_MAX)

struct fb_connection {
    fb_list list;   // of all
    fb_list ready;  // of those to be resumed
    fb_lane_state *lane;
    fb_session *session;
    int fd;
    short interest;               // what the event waits for
    const struct timeval *limit;  // and how long; NULL: for ever
    bool eof;                     // nothing more will come in
    bool leaving;                 // our side is closed
    bool full;                    // too much is unsent: no more commands run
    size_t sent;     // bytes at the start of the session's out that the socket has taken
    size_t counted;  // bytes this connection stands for in what all hold
    size_t used;     // bytes at the start of `in` that are done with
    size_t ignored;  // bytes that came while leaving
    fb_buf in;       // what is left of a command, and what came behind it
    struct event event;
};

static void drop(fb_connection *connection);

// ---- writing

static size_t unsent(fb_connection *connection) {
    return fb_session_out(connection->session)->len - connection->sent;
}

static size_t waiting(const fb_connection *connection) {
    return connection->in.len - connection->used;
}

static void count_held(fb_connection *connection) {
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

static void take_back_out(fb_connection *connection) {
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
        ssize_t count = send(connection->fd, out->ptr + connection->sent,
                             out->len - connection->sent, MSG_NOSIGNAL);
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
        cut(out, &connection->sent);
    }
    return true;
}

// ---- what to wait for

static void on_event(evutil_socket_t fd, short what, void *arg);

// Each event begins the limit anew.
static int want(fb_connection *connection, short interest, const struct timeval *limit) {
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
static bool last_read(const fb_connection *connection) {
    char byte;
    if (connection->eof || !connection->lane->draining) {
        return connection->eof;
    }
    return waiting(connection) == 0 && recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

// Whether more input has a place: commands run, or it can be kept until they do.
static bool may_read(const fb_connection *connection, int result) {
    if (connection->eof || result == FB_ECLOSED || result == FB_PENDING) {
        return false;
    }
    if (result == FB_OK && !connection->full) {
        return true;
    }
    const fb_connection_bounds *bounds = connection->lane->bounds;
    return waiting(connection) < (pressed(connection) ? bounds->in_pressed : bounds->in_soft);
}

static void say_goodbye(fb_connection *connection) {
    connection->leaving = true;
    fb_list_remove(&connection->ready);
    fb_buf_release(&connection->in);
    connection->used = 0;
    count_held(connection);
    take_back_out(connection);
    if (connection->eof || shutdown(connection->fd, SHUT_WR) != 0 ||
        want(connection, EV_READ, &connection->lane->bounds->farewell) < 0) {
        drop(connection);
    }
}

static void ignore_input(fb_connection *connection) {
    ssize_t count = recv(connection->fd, connection->lane->input, FB_CONNECTION_READ_LEN, 0);
    connection->ignored += count > 0 ? (size_t)count : 0;
    bool later = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if ((count <= 0 && !later) || connection->ignored > FAREWELL_LEN_MAX) {
        drop(connection);
    }
}

// After a turn whose last feed gave `result`; FB_REFUSED also where none was made.
static void settle(fb_connection *connection, int result) {
    count_held(connection);
    size_t left = unsent(connection);
    bool over = result == FB_ECLOSED;
    bool waits = result == FB_PENDING || fb_session_waits(connection->session);
    bool idle = result == FB_OK && !waits && left == 0;
    if (over && left == 0) {
        say_goodbye(connection);
        return;
    }
    if ((idle && last_read(connection)) || left > OUT_HARD) {
        drop(connection);
        return;
    }
    (void)is_full(connection);
    bool reading = may_read(connection, result);
    bool writing = left > 0 || result == FB_REFUSED;
    bool stuck = writing && !reading && result != FB_PENDING;
    take_back_out(connection);
    short interest = (short)((reading ? EV_READ : 0) | (writing ? EV_WRITE : 0));
    if (want(connection, interest, stuck ? &connection->lane->bounds->patience : NULL) < 0) {
        drop(connection);
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
        drop(connection);
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

static void take_input(fb_connection *connection) {
    size_t len = 0;
    char *into = room(connection, &len);
    ssize_t count = into != NULL ? recv(connection->fd, into, len, 0) : -1;
    if (into == NULL) {
        drop(connection);
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
        take_turn(connection, kept(connection));
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        drop(connection);
    }
}

// Goes on with what is kept.
static void go_on(fb_connection *connection) {
    if (flush(connection)) {
        take_turn(connection, kept(connection));
    } else {
        drop(connection);
    }
}

static void lose_patience(fb_connection *connection) {
    fb_log(FB_LOG_WARN, "connection_stuck",
           "peer=%s unsent_bytes=%zu waiting_bytes=%zu hint=\"it takes none of its replies\"",
           fb_log_quote(fb_str_of(fb_session_peer(connection->session)), FB_LOG_KEY_MAX).text,
           unsent(connection), waiting(connection));
    drop(connection);
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    fb_connection *connection = arg;
    // One or the other a turn: input is read when there is nothing to be written, which comes
    // round.
    if (connection->leaving && (what & EV_TIMEOUT) == 0) {
        ignore_input(connection);
    } else if (connection->leaving) {
        drop(connection);
    } else if ((what & EV_TIMEOUT) != 0) {
        lose_patience(connection);
    } else if ((what & EV_WRITE) != 0) {
        go_on(connection);
    } else {
        take_input(connection);
    }
}

// ---- replies that came later

// The session's loop is ours, but we may be deep in the engine: go on when the loop comes round,
// which also lets answers that come together leave together.
static void wake(void *arg) {
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

// ---- its life

static void drop(fb_connection *connection) {
    fb_lane_state *lane = connection->lane;
    if (connection->interest != 0) {
        (void)event_del(&connection->event);
    }
    if (connection->session != NULL) {
        atomic_fetch_sub_explicit(lane->held_bytes, connection->counted, memory_order_relaxed);
        fb_session_free(connection->session);
    }
    (void)close(connection->fd);
    fb_list_remove(&connection->list);
    fb_list_remove(&connection->ready);
    fb_buf_release(&connection->in);
    fb_mem_free(connection);
    lane->gone(lane->gone_arg);
}

int fb_connection_new(fb_lane_state *lane, int fd, fb_str peer) {
    fb_connection *connection = fb_mem_zero(1, sizeof *connection);
    if (connection == NULL) {
        (void)close(fd);
        lane->gone(lane->gone_arg);
        return FB_ENOMEM;
    }
    connection->lane = lane;
    connection->fd = fd;
    fb_list_init(&connection->ready);
    fb_list_insert(&lane->connections, &connection->list);
    int result = fb_session_new(lane->node, peer, wake, connection, &connection->session);
    if (result == FB_OK) {
        result = want(connection, EV_READ, NULL);
    }
    if (result < 0) {
        drop(connection);
    }
    return result;
}

void fb_connection_drain_all(fb_lane_state *lane) {
    lane->draining = true;
    FB_LIST_EACH_SAFE(node, after, &lane->connections) {
        fb_connection *connection = FB_LIST_OF(node, fb_connection, list);
        bool busy = unsent(connection) > 0 || fb_session_waits(connection->session);
        if (busy || connection->leaving || (connection->interest & EV_READ) == 0) {
            continue;  // settle() sees to it later
        }
        if (last_read(connection)) {
            drop(connection);
        } else {
            take_input(connection);
        }
    }
}

void fb_connection_close_all(fb_lane_state *lane) {
    while (!fb_list_empty(&lane->connections)) {
        drop(FB_LIST_OF(lane->connections.next, fb_connection, list));
    }
}
