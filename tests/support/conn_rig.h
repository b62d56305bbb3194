// conn_rig.h -- one loop, one connection (redis/conn.h), and what it reported.

#ifndef FB_TESTS_CONN_RIG_H
#define FB_TESTS_CONN_RIG_H

#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <event2/event.h>
#include <fcntl.h>

#include "fake_redis.h"
#include "os/clock.h"
#include "redis/conn.h"
#include "support.h"

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define PATIENCE (120 * SECOND)

typedef struct rig {
    struct event_base *base;
    struct event *tick;
    fake_redis fake;
    fb_conn *conn;
    fb_conn_options options;
    fb_conn_events events;
    int ups, downs, pushes;
    bool fatal;
    bool close_on_up, close_on_down, close_on_push, close_on_answer;
    char why[1024];
    char push[256];
    int replied, not_sent, unknown;
    char value[256];
    char last_why[1024];
} rig;

static inline void close_if(rig *r, bool wanted) {
    if (wanted) {
        fb_conn *conn = r->conn;
        r->conn = NULL;
        r->close_on_answer = false;
        fb_conn_close(conn);
    }
}

static inline void on_up(void *arg) {
    rig *r = arg;
    r->ups++;
    close_if(r, r->close_on_up);
}

static inline void on_down(void *arg, const char *why, bool fatal) {
    rig *r = arg;
    r->downs++;
    r->fatal = fatal;
    snprintf(r->why, sizeof r->why, "%s", why);
    close_if(r, r->close_on_down);
}

static inline void show(const fb_resp_value *value, char *text, size_t size) {
    switch (value->type) {
    case FB_RESP_NULL:
        snprintf(text, size, "null");
        break;
    case FB_RESP_INTEGER:
    case FB_RESP_BOOLEAN:
        snprintf(text, size, "%lld", (long long)value->integer);
        break;
    case FB_RESP_ERROR:
        snprintf(text, size, "-%.*s", FB_STR_ARG(value->text));
        break;
    default:
        snprintf(text, size, "%.*s", FB_STR_ARG(value->text));
        break;
    }
    for (size_t i = 0; i < value->child_count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%s", len > 0 ? " " : "");
        len = strlen(text);
        show(&value->children[i], text + len, size - len);
    }
}

static inline void on_push(void *arg, const fb_resp_value *push) {
    rig *r = arg;
    r->pushes++;
    show(push, r->push, sizeof r->push);
    close_if(r, r->close_on_push);
}

static inline void on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why) {
    rig *r = arg;
    if (outcome == FB_CONN_REPLIED) {
        r->replied++;
        assert_non_null(value);
        show(value, r->value, sizeof r->value);
    } else {
        assert_null(value);
        assert_non_null(why);
        snprintf(r->last_why, sizeof r->last_why, "%s", why);
        r->not_sent += outcome == FB_CONN_NOT_SENT;
        r->unknown += outcome == FB_CONN_UNKNOWN;
    }
    close_if(r, r->close_on_answer);
}

static inline void on_tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
}

static inline void rig_init(rig *r) {
    struct event_config *config = event_config_new();
    *r = (rig){0};
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
    r->base = event_base_new_with_config(config);
    event_config_free(config);
    assert_non_null(r->base);
    r->tick = event_new(r->base, -1, 0, on_tick, NULL);
    r->options = (fb_conn_options){.base = r->base,
                                   .host = "127.0.0.1",
                                   .client_name = "forebay-test",
                                   .connect_timeout_ns = 20 * SECOND,
                                   .stall_ns = 20 * SECOND,
                                   .seed = test_seed()};
    r->events = (fb_conn_events){on_up, on_down, on_push, r};
}

static inline void rig_init_fake(rig *r) {
    rig_init(r);
    fake_redis_init(&r->fake, r->base);
    r->options.port = (uint16_t)r->fake.port;
}

static inline void rig_open(rig *r) {
    assert_ok(fb_conn_new(&r->options, &r->events, &r->conn));
}

static inline void rig_release(rig *r) {
    fb_conn_close(r->conn);
    r->conn = NULL;
    if (r->fake.base != NULL) {
        fake_redis_release(&r->fake);
    }
    event_free(r->tick);
    event_base_free(r->base);
}

// Turns of the loop until `condition`; fails after PATIENCE.
#define AWAIT(r, condition)                                                        \
    do {                                                                           \
        int64_t until_ns = fb_clock_now_ns() + PATIENCE;                           \
        while (!(condition)) {                                                     \
            turn(r);                                                               \
            if (fb_clock_now_ns() > until_ns) {                                    \
                fail_msg("never: %s (why: %s; %s)", #condition, (r)->why,          \
                         (r)->last_why);                                           \
            }                                                                      \
        }                                                                          \
    } while (0)

// One turn of the loop, of at most 5 ms.
static inline void turn(rig *r) {
    struct timeval moment = {0, 5000};
    assert_int_equal(event_add(r->tick, &moment), 0);
    assert_true(event_base_loop(r->base, EVLOOP_ONCE) >= 0);
}

static inline void encode(fb_buf *out, const char *words) {
    fb_str args[16];
    size_t count = 0;
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", words);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        args[count++] = fb_str_of(word);
    }
    assert_ok(fb_resp_write_command(out, args, count));
}

static inline void send_text(rig *r, const char *words, int64_t timeout_ns) {
    fb_buf out = {0};
    encode(&out, words);
    assert_ok(fb_conn_send(r->conn, fb_buf_str(&out), 1, fb_clock_now_ns() + timeout_ns, on_reply,
                           r));
    fb_buf_release(&out);
}

// For test_memory_sweep(), with a rig: connects, sends PING, and closes.
static inline int ping_once(void *arg) {
    rig *r = arg;
    r->replied = r->not_sent = r->unknown = 0;
    int result = fb_conn_new(&r->options, &r->events, &r->conn);
    if (result == FB_OK) {
        result = fb_conn_send(r->conn, FB_STR("*1\r\n$4\r\nPING\r\n"), 1,
                              fb_clock_now_ns() + 10 * SECOND, on_reply, r);
    }
    if (result == FB_OK) {
        AWAIT(r, r->replied + r->not_sent + r->unknown == 1);
        result = r->replied == 1 ? FB_OK : FB_ENOMEM;
    }
    fb_conn_close(r->conn);
    r->conn = NULL;
    return result;
}

// ---- a server of names, on the same loop

typedef struct fake_names {
    int fd;
    struct evdns_server_port *port;
    bool mute;
    int asked;
} fake_names;

// "two.test" has two addresses, of which the first refuses; "one.test" has the second; no others.
static inline void fake_names_answer(struct evdns_server_request *request, void *arg) {
    fake_names *names = arg;
    names->asked++;
    if (names->mute) {
        (void)evdns_server_request_drop(request);
        return;
    }
    bool found = false;
    for (int i = 0; i < request->nquestions; i++) {
        const struct evdns_server_question *question = request->questions[i];
        uint32_t addresses[2] = {htonl(0x7f000002), htonl(0x7f000001)};
        bool two = evutil_ascii_strcasecmp(question->name, "two.test") == 0;
        bool known = two || evutil_ascii_strcasecmp(question->name, "one.test") == 0;
        found = found || known;
        if (known && question->type == EVDNS_TYPE_A) {
            (void)evdns_server_request_add_a_reply(request, question->name, two ? 2 : 1,
                                                   addresses + (two ? 0 : 1), 60);
        }
    }
    (void)evdns_server_request_respond(request, found ? DNS_ERR_NONE : DNS_ERR_NOTEXIST);
}

static inline void rig_serve_names(rig *r, fake_names *names) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char text[40];
    *names = (fake_names){.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(names->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(names->fd, (struct sockaddr *)&address, &len), 0);
    names->port = evdns_add_server_port_with_base(r->base, names->fd, 0, fake_names_answer, names);
    assert_non_null(names->port);
    r->options.dns = evdns_base_new(r->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    assert_non_null(r->options.dns);
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(evdns_base_nameserver_ip_add(r->options.dns, text), 0);
}

// After the connection is closed.
static inline void rig_release_names(rig *r, fake_names *names) {
    evdns_base_free(r->options.dns, 1);
    turn(r);
    turn(r);
    evdns_close_server_port(names->port);
    (void)close(names->fd);
    turn(r);
}

#endif
