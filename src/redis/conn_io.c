// Bytes in and out.
//
// What callers send in one turn of the loop goes out in one write, when the turn is over: after the
// read whose replies caused it, or by an event that is made active by the first of them. What comes
// is read into one buffer and handed out in place; only an incomplete reply's bytes are ever moved.
//
// No clock is asked on the way but once a read (when was it last heard of), and an fb_error is not
// cleared before each call that may fill it in: that is a third of what a command costs.
//
// A write that fails is not the end yet: what the server said before it went may explain it ("max
// number of clients reached"), so the rest is read first.

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/conn_inside.h"

enum {
    READ_LEN_MIN = 16 * 1024,
    IN_CAP_MIN = 64 * 1024,
    IN_CAP_KEPT = 1024 * 1024,
    ROUNDS_MAX = 16,           // reads in one turn
    TLS_WRITE_LEN = 16 * 1024,  // one record
    GARBLED_LEN_MIN = 7        // bytes to tell a TLS alert, or "HTTP/"
};

static void break_link(fb_conn *conn, bool fatal, const char *why) {
    if (conn->state == FB_CONN_UP) {
        fb_conn_lose(conn, fatal, why);
    } else {
        fb_conn_give_up_address(conn, fatal, why);
    }
}

// ---- replies

static bool confirms(const fb_resp_value *push) {
    static const char *const kinds[] = {"subscribe", "psubscribe", "ssubscribe"};
    for (size_t i = 0; push->child_count > 0 && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (fb_str_equal(push->children[0].text, fb_str_of(kinds[i]))) {
            return true;
        }
    }
    return false;
}

static void take_push(fb_conn *conn, const fb_resp_value *value) {
    fb_conn_pending *first = fb_conn_queue_owed(&conn->queue);
    conn->heard = true;
    if (first != NULL && first->by_push && confirms(value)) {
        fb_conn_pending one = *first;
        fb_conn_queue_pop(&conn->queue);
        if (one.fn != NULL) {
            one.fn(one.arg, FB_CONN_REPLIED, value, NULL);
        }
    } else if (conn->events.on_push != NULL) {
        conn->events.on_push(conn->events.arg, value);
    }
}

static void take_unasked(fb_conn *conn, const fb_resp_value *value) {
    char quoted[121];
    if (value->type != FB_RESP_ERROR) {
        fb_conn_lose(conn, false, "it answers what nobody has asked");
        return;
    }
    fb_conn_lose(conn, false, fb_hello_quote(value->text, quoted, sizeof quoted - 1));
}

// Of several commands that are one, the first that fails is the answer; what is left of them is
// passed over.
static void take_reply(fb_conn *conn, const fb_resp_value *value) {
    fb_conn_pending *first = fb_conn_queue_owed(&conn->queue);
    if (first == NULL) {
        take_unasked(conn, value);
        return;
    }
    fb_conn_reply_fn fn = first->fn;
    void *arg = first->arg;
    conn->heard = true;
    if (--first->replies == 0) {
        fb_conn_queue_pop(&conn->queue);
    } else if (value->type == FB_RESP_ERROR) {
        first->fn = NULL;
    } else {
        return;
    }
    if (fn != NULL) {
        fn(arg, FB_CONN_REPLIED, value, NULL);
    }
}

static void take(fb_conn *conn, const fb_resp_value *value) {
    if (conn->state == FB_CONN_HELLO) {
        fb_conn_take_greeting(conn, value);
    } else if (value->type == FB_RESP_PUSH) {
        take_push(conn, value);
    } else {
        take_reply(conn, value);
    }
}

static fb_str unread(const fb_conn *conn) {
    return fb_str_make(conn->in.ptr + conn->in_used, conn->in.len - conn->in_used);
}

static void explain(fb_conn *conn) {
    fb_hello_verdict verdict = {0};
    fb_hello_explain(unread(conn), &verdict);
    break_link(conn, verdict.fatal, verdict.text);
}

// Hands out what is complete. Whether the link still is what it was.
static bool hand_out(fb_conn *conn) {
    fb_error error;
    while (conn->in_used < conn->in.len && !conn->garbled) {
        const fb_resp_value *value = NULL;
        ssize_t used = fb_resp_reply_read(conn->reply, unread(conn), &value, &error);
        if (used == 0) {
            break;
        }
        if (used < 0 && conn->state == FB_CONN_HELLO && used == FB_ESYNTAX) {
            conn->garbled = true;
            break;
        }
        if (used < 0) {
            break_link(conn, false, error.text);
            return false;
        }
        conn->in_used += (size_t)used;
        take(conn, value);
        if (conn->fd < 0) {
            return false;
        }
    }
    if (conn->garbled && unread(conn).len >= GARBLED_LEN_MIN) {
        explain(conn);
        return false;
    }
    return true;
}

// ---- reading

static bool make_room(fb_conn *conn) {
    fb_buf *in = &conn->in;
    if (conn->in_used == in->len) {
        conn->in_used = 0;
        in->len = 0;
        if (in->cap > IN_CAP_KEPT) {
            fb_buf_release(in);
        }
    }
    if (in->cap - in->len < READ_LEN_MIN && conn->in_used > 0) {
        fb_buf_consume(in, conn->in_used);
        conn->in_used = 0;
    }
    if (in->cap - in->len >= READ_LEN_MIN) {
        return true;
    }
    return fb_buf_reserve(in, in->cap < IN_CAP_MIN ? IN_CAP_MIN - in->len : READ_LEN_MIN) == FB_OK;
}

static ssize_t read_plain(fb_conn *conn, void *bytes, size_t len, fb_error *error) {
    ssize_t got = recv(conn->fd, bytes, len, 0);
    if (got >= 0) {
        return got;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return FB_TLS_AGAIN;
    }
    (void)fb_error_set(error, FB_EIO, "%s", fb_dial_words(errno));
    return FB_TLS_FAILED;
}

static void end_of_input(fb_conn *conn, ssize_t got, const fb_error *error) {
    if (conn->garbled) {
        explain(conn);
    } else if (conn->state == FB_CONN_HELLO && conn->session == NULL) {
        break_link(conn, false,
                   "it closed the connection without an answer (it may want TLS: rediss://)");
    } else if (got == FB_TLS_FAILED) {
        break_link(conn, error->code == FB_EDENIED, error->text);
    } else {
        break_link(conn, false, "it closed the connection");
    }
}

// Whether there may be more, at once.
static bool read_once(fb_conn *conn) {
    if (!make_room(conn)) {
        break_link(conn, false, "out of memory");
        return false;
    }
    fb_error error;
    size_t room = conn->in.cap - conn->in.len;
    char *to = conn->in.ptr + conn->in.len;
    ssize_t got = conn->session == NULL ? read_plain(conn, to, room, &error)
                                        : fb_tls_read(conn->session, to, room, &error);
    if (got == FB_TLS_AGAIN) {
        return false;
    }
    if (got <= 0) {
        end_of_input(conn, got, &error);
        return false;
    }
    conn->in.len += (size_t)got;
    return hand_out(conn) && (conn->session != NULL || (size_t)got == room);
}

static void read_all(fb_conn *conn) {
    conn->reading = true;
    conn->silent_ns = fb_clock_now_ns();
    int rounds = 0;
    while (rounds < ROUNDS_MAX && read_once(conn)) {
        rounds++;
    }
    if (conn->fd < 0) {
        return;
    }
    conn->reading = false;
    if (conn->session != NULL && fb_tls_has_more(conn->session)) {
        event_active(&conn->readable, EV_READ, 0);
    }
    if (conn->session != NULL && fb_tls_wants_write(conn->session) && !conn->writing) {
        conn->writing = event_add(&conn->writable, NULL) == 0;
    }
}

// ---- writing

static ssize_t write_some(fb_conn *conn, fb_str bytes, fb_error *error) {
    if (conn->session != NULL) {
        size_t len = bytes.len < TLS_WRITE_LEN ? bytes.len : TLS_WRITE_LEN;
        return fb_tls_write(conn->session, fb_str_make(bytes.ptr, len), error);
    }
    ssize_t took = send(conn->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    if (took >= 0) {
        return took;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return FB_TLS_AGAIN;
    }
    (void)fb_error_set(error, FB_EIO, "%s", fb_dial_words(errno));
    return FB_TLS_FAILED;
}

// Waits for whatever the write waits for.
static bool wait_for_room(fb_conn *conn, fb_error *error) {
    if (conn->session != NULL && !fb_tls_wants_write(conn->session)) {
        conn->flush_wanted = true;  // after the next read
        return true;
    }
    conn->writing = event_add(&conn->writable, NULL) == 0;
    if (!conn->writing) {
        (void)fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    return conn->writing;
}

bool fb_conn_write(fb_conn *conn, fb_str bytes, size_t *taken, fb_error *error) {
    *taken = 0;
    while (*taken < bytes.len) {
        fb_str rest = {bytes.ptr + *taken, bytes.len - *taken};
        ssize_t took = write_some(conn, rest, error);
        if (took == FB_TLS_AGAIN) {
            return wait_for_room(conn, error);
        }
        if (took < 0) {
            return false;
        }
        *taken += (size_t)took;
    }
    return true;
}

void fb_conn_break(fb_conn *conn, const fb_error *error) {
    read_all(conn);
    if (conn->fd >= 0) {
        break_link(conn, error->code == FB_EDENIED, error->text);
    }
}

static void flush(fb_conn *conn) {
    conn->flush_wanted = false;
    fb_str unsent = fb_conn_queue_unsent(&conn->queue);
    if (unsent.len == 0) {
        return;
    }
    if (fb_conn_queue_owed(&conn->queue) == NULL) {
        conn->silent_ns = fb_clock_now_ns();
    }
    size_t taken = 0;
    fb_error error;
    bool alive = fb_conn_write(conn, unsent, &taken, &error);
    fb_conn_queue_sent(&conn->queue, taken);
    if (conn->session != NULL && taken < unsent.len) {
        size_t left = unsent.len - taken;
        conn->queue.held = left < TLS_WRITE_LEN ? left : TLS_WRITE_LEN;
    }
    if (!alive) {
        fb_conn_break(conn, &error);
    }
}

void fb_conn_want_flush(fb_conn *conn) {
    if (conn->flush_wanted || conn->writing) {
        return;
    }
    conn->flush_wanted = true;
    if (!conn->reading) {
        event_active(&conn->writable, EV_WRITE, 0);
    }
}

// ---- events

void fb_conn_on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_conn *conn = arg;
    fb_conn_enter(conn);
    if (conn->state == FB_CONN_TLS) {
        fb_conn_go_on(conn);
    } else {
        read_all(conn);
    }
    if (conn->state == FB_CONN_UP && conn->flush_wanted) {
        flush(conn);
    } else if (conn->state == FB_CONN_HELLO && conn->flush_wanted) {
        conn->flush_wanted = false;
        fb_conn_go_on(conn);
    }
    fb_conn_leave(conn);
}

void fb_conn_on_writable(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_conn *conn = arg;
    fb_conn_enter(conn);
    conn->writing = false;
    if (conn->state != FB_CONN_UP) {
        fb_conn_go_on(conn);
    } else {
        flush(conn);
        if (conn->session != NULL && conn->state == FB_CONN_UP) {
            read_all(conn);
        }
        if (conn->state == FB_CONN_UP && conn->flush_wanted && !conn->writing) {
            flush(conn);  // what was sent on those replies
        }
    }
    fb_conn_leave(conn);
}
