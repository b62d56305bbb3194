// From nothing to a server that has answered HELLO.
//
// One attempt has one time limit, and each address of the name has its share of what is left of
// it: an address that swallows packets does not keep us from the next. A reason that is the
// server's own (a wrong password) ends the attempt: the other addresses are the same server.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/rule.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/conn_inside.h"

static void enter_state(fb_conn *conn, fb_conn_state state, int64_t until_ns) {
    conn->state = state;
    conn->state_ns = until_ns;
    fb_conn_arm(conn, until_ns);
}

// ---- the greeting

static void write_greeting(fb_conn *conn) {
    fb_str left = {conn->greeting.ptr + conn->greeting_used,
                   conn->greeting.len - conn->greeting_used};
    size_t taken = 0;
    fb_error error = {0};
    if (left.len > 0 && !fb_conn_write(conn, left, &taken, &error)) {
        fb_conn_break(conn, &error);
    } else {
        conn->greeting_used += taken;
    }
}

static void greet(fb_conn *conn) {
    conn->state = FB_CONN_HELLO;
    conn->greeted = 0;
    conn->greeting_used = 0;
    conn->greeting.len = 0;
    if (fb_hello_write(&conn->greeting, &conn->options, &conn->former, &conn->greetings) != FB_OK ||
        event_add(&conn->readable, NULL) != 0) {
        fb_conn_give_up_address(conn, false, "out of memory");
        return;
    }
    write_greeting(conn);
}

void fb_conn_take_greeting(fb_conn *conn, const fb_resp_value *value) {
    fb_hello_verdict verdict = {0};
    if (value->type == FB_RESP_PUSH) {
        return;
    }
    bool fit = true;
    if (conn->greeted == 0) {
        fit = fb_hello_accept(value, &conn->server, &conn->self.id, &verdict);
    } else if (conn->greeted > 1 || conn->former.id == 0) {
        fit = fb_hello_accept_select(value, conn->options.db, &verdict);
    }  // CLIENT KILL may find nobody, or not be allowed: then there is no more to be done
    if (!fit) {
        fb_conn_give_up_address(conn, verdict.fatal, verdict.text);
    } else if (++conn->greeted == conn->greetings) {
        fb_conn_go_up(conn);
    }
}

// ---- TLS

static void shake_hands(fb_conn *conn) {
    fb_error error = {0};
    int result = fb_tls_shake_hands(conn->session, &error);
    if (result == FB_TLS_FAILED) {
        fb_conn_give_up_address(conn, error.code == FB_EDENIED, error.text);
    } else if (result != FB_TLS_AGAIN) {
        greet(conn);
    } else if (event_add(fb_tls_wants_write(conn->session) ? &conn->writable : &conn->readable,
                         NULL) != 0) {
        fb_conn_give_up_address(conn, false, "out of memory");
    }
}

// ---- the socket

// How the server sees this connection, where nothing between the two changes addresses.
static void note_address(fb_conn *conn) {
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    char host[INET6_ADDRSTRLEN] = "";
    char *text = conn->self.address;
    size_t size = sizeof conn->self.address;
    conn->self = (fb_hello_former){0};
    if (getsockname(conn->fd, (struct sockaddr *)&own, &len) != 0) {
        return;
    }
    if (own.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&own;
        (void)inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        (void)snprintf(text, size, "%s:%u", host, ntohs(four->sin_port));
    } else if (own.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&own;
        (void)inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        (void)snprintf(text, size, "[%s]:%u", host, ntohs(six->sin6_port));
    }
}

static void on_connected(fb_conn *conn) {
    int failed = 0;
    socklen_t len = sizeof failed;
    (void)getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &failed, &len);
    if (failed != 0) {
        fb_conn_give_up_address(conn, false, fb_dial_words(failed));
        return;
    }
    note_address(conn);
    if (conn->options.tls == NULL || conn->options.path != NULL) {
        greet(conn);
        return;
    }
    if (fb_tls_session_new(conn->options.tls, conn->fd, conn->options.host, &conn->session) !=
        FB_OK) {
        fb_conn_give_up_address(conn, false, "out of memory");
        return;
    }
    conn->state = FB_CONN_TLS;
    shake_hands(conn);
}

void fb_conn_go_on(fb_conn *conn) {
    switch (conn->state) {
    case FB_CONN_CONNECT:
        on_connected(conn);
        break;
    case FB_CONN_TLS:
        shake_hands(conn);
        break;
    default:
        FB_ASSERT(conn->state == FB_CONN_HELLO);
        write_greeting(conn);
        break;
    }
}

static bool open_link(fb_conn *conn, int fd) {
    struct event_base *base = conn->options.base;
    conn->fd = fd;
    return event_assign(&conn->readable, base, fd, EV_READ | EV_PERSIST, fb_conn_on_readable,
                        conn) == 0 &&
           event_assign(&conn->writable, base, fd, EV_WRITE, fb_conn_on_writable, conn) == 0 &&
           event_add(&conn->writable, NULL) == 0;
}

void fb_conn_drop_link(fb_conn *conn) {
    if (conn->fd < 0) {
        return;
    }
    (void)event_del(&conn->readable);
    (void)event_del(&conn->writable);
    fb_tls_session_free(conn->session);
    conn->session = NULL;
    (void)close(conn->fd);
    conn->fd = -1;
    conn->reading = conn->writing = conn->flush_wanted = conn->garbled = false;
    if (FB_RULE(conn_fresh)) {
        conn->in_used = 0;
        conn->in.len = 0;
        fb_resp_reply_reset(conn->reply);
    }
}

// ---- one address after the other

static void try_addresses(fb_conn *conn) {
    fb_error error = {0};
    FB_ASSERT(fb_dial_left(&conn->dial) > 0);
    while (fb_dial_left(&conn->dial) > 0) {
        int64_t now_ns = fb_clock_now_ns();
        int64_t share_ns =
            (conn->attempt_until_ns - now_ns) / (int64_t)fb_dial_left(&conn->dial);
        int fd = -1;
        if (fb_dial_next(&conn->dial, &fd, &error) != FB_OK) {
            continue;
        }
        if (!open_link(conn, fd)) {
            fb_conn_lose(conn, false, "out of memory");
            return;
        }
        enter_state(conn, FB_CONN_CONNECT, now_ns + share_ns);
        return;
    }
    fb_conn_lose(conn, false, error.text);
}

static void on_addresses(void *arg, const fb_error *error) {
    fb_conn *conn = arg;
    fb_conn_enter(conn);
    if (error->code != FB_OK) {
        fb_conn_lose(conn, error->code == FB_EINVAL, error->text);
    } else {
        try_addresses(conn);
    }
    fb_conn_leave(conn);
}

void fb_conn_begin(fb_conn *conn) {
    const fb_conn_options *options = &conn->options;
    fb_dial_target target = {.path = options->path,
                             .host = options->host,
                             .port = options->port,
                             .dns = options->dns};
    conn->attempt_until_ns = fb_clock_now_ns() + options->connect_timeout_ns;
    enter_state(conn, FB_CONN_LOOKUP, conn->attempt_until_ns);
    fb_dial_find(&conn->dial, &target, on_addresses, conn);
}

void fb_conn_give_up_address(fb_conn *conn, bool fatal, const char *why) {
    if (fatal || fb_dial_left(&conn->dial) == 0 || fb_clock_now_ns() >= conn->attempt_until_ns) {
        fb_conn_lose(conn, fatal, why);
        return;
    }
    fb_conn_drop_link(conn);
    enter_state(conn, FB_CONN_NEXT, 0);
}

void fb_conn_give_up_waiting(fb_conn *conn) {
    switch (conn->state) {
    case FB_CONN_LOOKUP:
        fb_conn_lose(conn, false, "the name is not found in time");
        break;
    case FB_CONN_NEXT:
        try_addresses(conn);
        break;
    case FB_CONN_CONNECT:
        fb_conn_give_up_address(conn, false, "no connection in time");
        break;
    case FB_CONN_TLS:
        fb_conn_give_up_address(conn, false,
                                "it does not answer the TLS handshake (does it speak TLS?)");
        break;
    default:
        FB_ASSERT(conn->state == FB_CONN_HELLO);
        fb_conn_give_up_address(conn, false, "it takes connections, but does not answer");
        break;
    }
}
