// The HTTP connections of one loop.
//
// libevent's server reads requests and writes responses; what it does not do is done around it: it
// tells nobody of a connection before its first request is whole, has no bound on how long that may
// take, and none on what all connections hold together. So each connection gets a `client` of ours
// as soon as it is there. The way to it: the server asks us for the connection's bufferevent before
// the connection exists (on_accept), and once it does, the connection is the argument of that
// bufferevent's callbacks. We look there in the same round of the loop, before anything can be read
// (adopt).
//
// A client is in one of four phases, and `since_ns` says since when:
//
//     IDLE ──first byte──▶ READING ──request whole──▶ HANDLING ──answer──▶ WRITING ──taken──▶ IDLE
//
// IDLE may last idle_ms. READING and WRITING may last slow_ms and a second more for each 32 KiB
// that got through: so neither a byte now and then nor a slow line with a large body is mistaken
// for the other. HANDLING lasts as long as the node takes; reading rests meanwhile. A response that goes
// on is HANDLING too, until its end: http_stream.c sees to who does not read it.
//
// The server frees a connection when it breaks, and the request with it, unless the request is
// being handled: then it hands the request over, to be freed by us (on_close). But behind a body it
// does not read while a request is handled, and would not know. Where an answer may be long in coming
// (watch) we look ourselves, without taking what we see, until something else than an end is there.
//
// What the server says by itself to malformed requests is HTML. It is exchanged for a problem
// document before it leaves (replace_page). Anything that frees or rewrites waits until the
// server's own functions have returned: that is what `todo` is for.

#include "door/http_lane.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "door/http_read.h"
#include "door/notice.h"
#include "node/admit.h"
#include "node/http.h"
#include "node/slow.h"

enum {
    SWEEP_MS_MIN = 10,
    SWEEP_MS_MAX = 1000,
    SECOND_LEN = 32 * 1024,     // what adds a second
    AHEAD_LEN_MAX = 256 * 1024,  // read behind a request that is not answered yet
    EVERY_METHOD = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                   EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT |
                   EVHTTP_REQ_PATCH
};

typedef enum phase { IDLE, READING, HANDLING, WRITING } phase;

typedef struct waiting waiting;

typedef struct client {
    fb_list list;
    fb_list todo;
    fb_http_lane *lane;
    struct bufferevent *stream;
    struct ssl_st *ssl;  // the stream's; NULL: plain
    struct evhttp_connection *connection;  // NULL until adopted, and the key in the map
    struct evbuffer_cb_entry *on_input, *on_output;
    waiting *request;  // the one that is being handled
    phase phase;
    int64_t since_ns;
    uint64_t moved_len;       // in this phase
    uint64_t unanswered_len;  // what it stands for in the sum
    bool overfull;            // all hold too much together
    bool endless;             // this one sends too much
    bool page;                // the server said something by itself
    bool late;                // its time is over
} client;

// A request that is being handled; it outlives its client when that breaks.
struct waiting {
    client *client;  // NULL: nobody waits any more
    struct evhttp_request *request;
    bool head;
    bool last;  // the connection ends with this response
    void (*gone)(void *arg);  // to be told of its client's end, once; or NULL
    void *gone_arg;
    struct event *look;  // for that end
    fb_http_stream *stream;  // of a response that goes on
    fb_node *node;
    fb_slow_watch slow;
};

static int64_t clock_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t figure(uint64_t given, const _Atomic uint64_t *said, uint64_t normal) {
    uint64_t configured = atomic_load_explicit(said, memory_order_relaxed);
    return given > 0 ? given : configured > 0 ? configured : normal;
}

static fb_http_limits limits_of(const fb_http_common *common) {
    const fb_http_limits *given = &common->limits;
    const fb_doors *doors = &common->node->doors;
    return (fb_http_limits){
        .idle_ms = (int64_t)figure((uint64_t)given->idle_ms, &doors->http_idle_ms, 60000),
        .slow_ms = (int64_t)figure((uint64_t)given->slow_ms, &doors->http_timeout_ms, 10000),
        .header_len_max = figure(given->header_len_max, &doors->http_header_max, 64 << 10),
        .body_len_max = figure(given->body_len_max, &doors->http_body_max, 64 << 20),
        .bodies_len_max = figure(given->bodies_len_max, &doors->http_bodies_max, 256 << 20),
    };
}

static void count_unanswered(client *one, uint64_t len) {
    atomic_fetch_add_explicit(&one->lane->common->unanswered_len, len - one->unanswered_len,
                              memory_order_relaxed);
    one->unanswered_len = len;
}

static void enter(client *one, phase next) {
    one->phase = next;
    one->since_ns = clock_ns();
    one->moved_len = 0;
}

static void give_chore(client *one) {
    if (fb_list_empty(&one->todo)) {
        fb_list_insert(&one->lane->todo, &one->todo);
        event_active(one->lane->chores, EV_TIMEOUT, 1);
    }
}

// ---- bytes in and out

static void note_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg) {
    (void)buffer;
    client *one = arg;
    fb_http_common *common = one->lane->common;
    if (info->n_added == 0) {
        return;
    }
    atomic_fetch_add_explicit(&common->node->bytes_in, info->n_added, memory_order_relaxed);
    if (one->phase == IDLE) {
        enter(one, READING);
    }
    if (one->phase == READING) {
        one->moved_len += info->n_added;
    }
    count_unanswered(one, one->unanswered_len + info->n_added);
    uint64_t all = atomic_load_explicit(&common->unanswered_len, memory_order_relaxed);
    fb_http_limits limits = limits_of(common);
    one->endless = one->moved_len / 2 > limits.header_len_max + limits.body_len_max;
    one->overfull = one->unanswered_len > limits.header_len_max && all > limits.bodies_len_max;
    if (one->phase == READING && (one->endless || one->overfull)) {
        give_chore(one);
    }
}

static void note_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg) {
    (void)buffer;
    client *one = arg;
    atomic_fetch_add_explicit(&one->lane->common->node->bytes_out, info->n_deleted,
                              memory_order_relaxed);
    if (one->phase == WRITING) {
        one->moved_len += info->n_deleted;
    } else if (info->n_added > 0 && one->phase == READING && !one->page) {
        one->page = true;
        give_chore(one);
    }
}

// ---- ends

enum { DATE_SIZE = 32 };

static const char *date_of_now(char text[DATE_SIZE]) {
    time_t now = time(NULL);
    struct tm parts;
    (void)evutil_date_rfc1123(text, DATE_SIZE, gmtime_r(&now, &parts));
    return text;
}

static void stop_looking(waiting *one) {
    if (one->look != NULL) {
        event_free(one->look);
        one->look = NULL;
    }
}

// It may answer the request meanwhile, which frees it.
static void tell_gone(waiting *one) {
    void (*gone)(void *arg) = one->gone;
    stop_looking(one);
    one->gone = NULL;
    if (gone != NULL) {
        gone(one->gone_arg);
    }
}

// As much as the socket takes.
static void send_at_once(client *to, fb_str bytes) {
    if (to->ssl == NULL) {
        (void)!send(bufferevent_getfd(to->stream), bytes.ptr, bytes.len,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
    }
    ssize_t sent = 1;
    while (fb_door_tls_is_shaken(to->ssl) && bytes.len > 0 && sent > 0) {
        sent = fb_door_tls_send(to->ssl, bytes.ptr, bytes.len);
        size_t done = sent > 0 ? (size_t)sent : 0;
        bytes = fb_str_make(bytes.ptr + done, bytes.len - done);
    }
}

// Says why, and after how many seconds to come again (0: nothing of that), as far as the socket
// takes it at once, and closes.
static void cut_until(client *one, int status, const char *why, int64_t retry_s) {
    fb_http_response response = {0};
    fb_buf out = {0};
    char retry[48] = "";
    char date[DATE_SIZE];
    if (retry_s > 0) {
        (void)snprintf(retry, sizeof retry, "Retry-After: %lld\r\n", (long long)retry_s);
    }
    fb_http_problem(&response, status, "%s", why);
    int result =
        fb_buf_printf(&out,
                      "HTTP/1.1 %d %s\r\nServer: forebay\r\nConnection: close\r\n%sDate: %s\r\n"
                      "Cache-Control: no-store\r\nContent-Type: application/problem+json\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      status, fb_http_status_text(status), retry, date_of_now(date),
                      response.body.len);
    if (result == FB_OK && fb_buf_append(&out, fb_buf_str(&response.body)) == FB_OK) {
        send_at_once(one, fb_buf_str(&out));
    }
    fb_buf_release(&out);
    fb_http_response_release(&response);
    evhttp_connection_free(one->connection);
}

static void cut(client *one, int status, const char *why) {
    cut_until(one, status, why, 0);
}

static void forget(client *one) {
    fb_list_remove(&one->list);
    fb_list_remove(&one->todo);
    count_unanswered(one, 0);
    fb_mem_free(one);
}

// TLS's part of an end: a goodbye, or what the handshake failed of.
static void end_tls(client *one) {
    static fb_door_notice notice;
    fb_http_lane *lane = one->lane;
    uint64_t more;
    if (one->ssl == NULL || fb_door_tls_is_shaken(one->ssl) || lane->draining) {
        if (one->ssl != NULL) {
            fb_door_tls_goodbye(one->ssl);
        }
        return;
    }
    atomic_fetch_add_explicit(&lane->common->node->tls_failed, 1, memory_order_relaxed);
    if (fb_door_notice_due(&notice, &more)) {
        unsigned long code = bufferevent_get_openssl_error(one->stream);
        const char *why = code != 0    ? fb_door_tls_words(code)
                          : one->late  ? "it took too long"
                                       : "the client hung up";
        fb_log(FB_LOG_WARN, "tls_handshake_failed", "door=http reason=%s more=%llu",
               fb_log_quote(fb_str_of(why), FB_LOG_KEY_MAX).text, (unsigned long long)more);
    }
}

// The server is about to free the connection.
static void on_close(struct evhttp_connection *connection, void *arg) {
    client *one = arg;
    fb_http_lane *lane = one->lane;
    waiting *request = one->request;
    end_tls(one);
    if (request != NULL) {
        if (evhttp_request_get_connection(request->request) != connection) {
            evhttp_request_free(request->request);  // handed over to us
        }
        request->request = NULL;
        request->client = NULL;
    }
    struct evbuffer *input = bufferevent_get_input(one->stream);
    struct evbuffer *output = bufferevent_get_output(one->stream);
    (void)evbuffer_remove_cb_entry(input, one->on_input);
    (void)evbuffer_remove_cb_entry(output, one->on_output);
    (void)fb_map_remove(&lane->by_connection,
                        fb_str_make((const char *)&one->connection, sizeof one->connection));
    atomic_fetch_sub_explicit(&lane->common->node->connections, 1, memory_order_relaxed);
    forget(one);
    if (atomic_fetch_sub(&lane->common->connections, 1) == 1) {
        lane->common->empty(lane->common->empty_arg);
    }
    if (request != NULL) {
        tell_gone(request);
    }
}

// ---- answering

static void on_sent(struct evhttp_request *request, void *arg) {
    (void)request;
    client *one = arg;
    size_t ahead = evbuffer_get_length(bufferevent_get_input(one->stream));
    bufferevent_setwatermark(one->stream, EV_READ, 0, 0);
    enter(one, ahead > 0 ? READING : IDLE);
    count_unanswered(one, ahead);
}

static void free_body(const void *bytes, size_t len, void *arg) {
    (void)bytes, (void)len;
    fb_mem_free(arg);
}

// The bytes go to the socket from where they are.
static void add_body(struct evhttp_request *request, fb_buf *body) {
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    if (body->len > 0 &&
        evbuffer_add_reference(out, body->ptr, body->len, free_body, body->ptr) == 0) {
        *body = (fb_buf){0};
    }
}

static void add_headers(struct evhttp_request *request, const fb_http_response *response, bool last) {
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    char date[DATE_SIZE];
    (void)evhttp_add_header(headers, "Server", "forebay");
    if (request->minor == 0) {  // to others the server says it
        (void)evhttp_add_header(headers, "Date", date_of_now(date));
    }
    for (size_t i = 0; i < response->header_count; i++) {
        (void)evhttp_add_header(headers, response->headers[i].name, response->headers[i].value);
    }
    if (response->status != 204 && response->status != 304 && response->every_ms == 0) {
        char len[24];
        (void)snprintf(len, sizeof len, "%zu", response->body.len);
        (void)evhttp_add_header(headers, "Content-Length", len);
    }
    if (last) {
        (void)evhttp_add_header(headers, "Connection", "close");
    }
}

// Its client has gone, or is to go, as the server stops.
static void end_stream(void *arg) {
    waiting *one = arg;
    client *to = one->client;
    fb_http_stream_free(one->stream);
    if (to != NULL) {
        to->request = NULL;
        evhttp_request_set_on_complete_cb(one->request, on_sent, to);
        enter(to, WRITING);
        evhttp_send_reply_end(one->request);
    }
    fb_mem_free(one);
}

static void cut_stream(void *arg) {
    waiting *one = arg;
    evhttp_connection_free(one->client->connection);
}

// The connection ends with it, and *one.
static void begin_stream(waiting *one, fb_http_response *response) {
    client *to = one->client;
    struct evhttp_request *request = one->request;
    struct evbuffer *chunk = evbuffer_new();
    add_headers(request, response, true);
    evhttp_send_reply_start(request, response->status, fb_http_status_text(response->status));
    if (chunk != NULL) {
        (void)evbuffer_add(chunk, response->body.ptr, response->body.len);
        evhttp_send_reply_chunk(request, chunk);
        evbuffer_free(chunk);
    }
    one->gone = end_stream;
    one->gone_arg = one;
    one->stream =
        fb_http_stream_new(&to->lane->streams, request, response->every_ms, cut_stream, one);
    if (one->stream == NULL || to->lane->draining) {
        tell_gone(one);
    }
}

// Takes the response's body. False: *one is needed no more.
static bool answer(waiting *one, fb_http_response *response) {
    client *to = one->client;
    struct evhttp_request *request = one->request;
    const char *origin =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Origin");
    fb_http_cross_origin(to->lane->common->node, fb_str_of(origin), response);
    fb_http_caching(response);
    if (!one->head && response->every_ms > 0) {
        begin_stream(one, response);
        return true;
    }
    bool last = one->last || to->lane->draining ||
                atomic_load_explicit(&to->lane->common->node->draining, memory_order_relaxed);
    to->request = NULL;
    add_headers(request, response, last);
    if (!one->head) {
        add_body(request, &response->body);
    }
    evhttp_request_set_on_complete_cb(request, on_sent, to);
    enter(to, WRITING);
    evhttp_send_reply(request, response->status, fb_http_status_text(response->status), NULL);
    return false;
}

static void respond(void *arg, fb_http_response *response) {
    waiting *one = arg;
    stop_looking(one);
    fb_slow_end(one->node, &one->slow, "");
    if (one->client == NULL || !answer(one, response)) {
        fb_mem_free(one);
    }
}

// ---- who waits for long

// (With TLS what is there to be seen says nothing, but the end of the socket does.)
static void look(evutil_socket_t fd, short what, void *arg) {
    waiting *one = arg;
    char byte;
    if ((what & EV_CLOSED) != 0) {
        tell_gone(one);
        return;
    }
    ssize_t count = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    bool later = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (count > 0) {
        stop_looking(one);  // there is another request: its end would be behind that
    } else if (!later) {
        tell_gone(one);
    }
}

// Without memory for it nobody looks: the answer comes in its time.
static void watch(void *arg, void (*gone)(void *gone_arg), void *gone_arg) {
    waiting *one = arg;
    one->gone = gone;
    one->gone_arg = gone_arg;
    if (one->client == NULL) {
        tell_gone(one);
        return;
    }
    short what = one->client->ssl != NULL ? EV_CLOSED : EV_READ;
    one->look = event_new(one->client->lane->base, bufferevent_getfd(one->client->stream),
                          (short)(what | EV_PERSIST), look, one);
    if (one->look != NULL) {
        (void)event_add(one->look, NULL);
    }
}

// ---- requests

enum { PEER_SIZE = 128 };

static fb_str peer_of(client *one, char text[PEER_SIZE]) {
    char *host = NULL;
    ev_uint16_t port = 0;
    evhttp_connection_get_peer(one->connection, &host, &port);
    (void)snprintf(text, PEER_SIZE, "%s:%u", host != NULL ? host : "", (unsigned)port);
    return fb_str_of(text);
}

static void handle(client *from, waiting *one) {
    fb_http_response response;
    char peer[PEER_SIZE];
    fb_http_request is = fb_http_read(one->request);
    is.respond = respond;
    is.watch = watch;
    is.arg = one;
    is.peer = peer_of(from, peer);
    one->head = fb_str_equal(is.method, FB_STR("HEAD"));
    one->last = fb_http_read_is_last(one->request);
    one->node = from->lane->common->node;
    fb_slow_request_begin(one->node, &one->slow, is.method, is.path);
    from->request = one;
    enter(from, HANDLING);
    bufferevent_setwatermark(from->stream, EV_READ, 0, AHEAD_LEN_MAX);
    const char *why;
    int wrong = fb_http_read_fault(one->request, &why);
    if (wrong != 0) {
        response = (fb_http_response){.status = wrong};
        fb_http_problem(&response, wrong, "%s", why);
        one->last = true;
    }
    if (wrong != 0 || fb_http_handle(one->node, &is, &response) == FB_OK) {
        respond(one, &response);
        fb_http_response_release(&response);
    }
}

static void on_request(struct evhttp_request *request, void *arg) {
    fb_http_lane *lane = arg;
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    client *from =
        fb_map_get(&lane->by_connection, fb_str_make((const char *)&connection, sizeof connection));
    waiting *one = fb_mem_zero(1, sizeof *one);
    if (from == NULL || one == NULL) {
        fb_mem_free(one);
        evhttp_send_error(request, 503, NULL);
        return;
    }
    one->client = from;
    one->request = request;
    handle(from, one);
}

// ---- chores

static bool enter_count(fb_http_common *common) {
    fb_node *node = common->node;
    uint64_t most = atomic_load_explicit(&node->connections_max, memory_order_relaxed);
    uint64_t before = atomic_fetch_add_explicit(&node->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&node->connections_total, 1, memory_order_relaxed);
    atomic_fetch_add(&common->connections, 1);
    if (most > 0 && before >= most) {
        fb_door_full("http", most);
        return false;
    }
    return true;
}

static void refuse(client *one, int status, const char *why, int64_t retry_s) {
    atomic_fetch_add_explicit(&one->lane->common->node->connections_refused, 1,
                              memory_order_relaxed);
    cut_until(one, status, why, retry_s);
}

// Whether its address may connect, by listen.connect_limit; else it is gone.
static bool admit(client *one) {
    char peer[PEER_SIZE];
    char when[FB_ADMIT_TEXT_SIZE];
    char why[FB_ADMIT_TEXT_SIZE + 64];
    int64_t retry_s;
    if (fb_admit_connection(one->lane->common->node, peer_of(one, peer), when, &retry_s)) {
        return true;
    }
    (void)snprintf(why, sizeof why, "too many connections from this address.%s%s",
                   when[0] != '\0' ? " " : "", when);
    refuse(one, 429, why, retry_s);
    return false;
}

static void adopt(client *one) {
    fb_http_lane *lane = one->lane;
    void *connection = NULL;
    bufferevent_getcb(one->stream, NULL, NULL, NULL, &connection);
    int references = bufferevent_decref(one->stream);
    if (connection == NULL || references != 0) {
        forget(one);  // there was no memory for the connection
        return;
    }
    one->connection = connection;
    bool may_come = enter_count(lane->common);
    evhttp_connection_set_closecb(connection, on_close, one);
    fb_str key = {(const char *)&one->connection, sizeof one->connection};
    int result = fb_map_put(&lane->by_connection, key, one);
    one->on_input = evbuffer_add_cb(bufferevent_get_input(one->stream), note_input, one);
    one->on_output = evbuffer_add_cb(bufferevent_get_output(one->stream), note_output, one);
    int on = 1;
    (void)setsockopt(bufferevent_getfd(one->stream), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!may_come) {
        refuse(one, 503, "all connections that may be open are open (listen.connections)", 0);
    } else if (!admit(one)) {
        return;
    } else if (result < 0 || one->on_input == NULL || one->on_output == NULL) {
        evhttp_connection_free(connection);
    }
}

static const char *page_detail(int status) {
    switch (status) {
        case 413:
            return "the body is larger than the limit (http.max_body), or its chunks are malformed";
        case 431:
            return "the request line and the headers are longer than the limit (http.max_header)";
        case 417:
            return "the only expectation that can be met is 100-continue";
        case 501:
            return "this method is unknown";
        case 503:
            return "out of memory";
        default:
            return "this is not a request of HTTP/1.1 that can be understood";
    }
}

// The server's page in the output begins with "HTTP/1.1 400 ".
static void replace_page(client *one) {
    struct evbuffer *output = bufferevent_get_output(one->stream);
    char head[13] = "";
    one->page = false;
    if (evbuffer_copyout(output, head, sizeof head - 1) != sizeof head - 1) {
        return;
    }
    int status = (int)strtol(head + strlen("HTTP/1.1 "), NULL, 10);
    if (status == 400 && one->unanswered_len > limits_of(one->lane->common).header_len_max) {
        status = 431;  // the server has no other word for what is too long
    }
    if (status >= 400) {
        cut(one, status, page_detail(status));
    }
}

static void do_chores(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_http_lane *lane = arg;
    while (!fb_list_empty(&lane->todo)) {
        client *one = FB_LIST_OF(lane->todo.next, client, todo);
        fb_list_remove(&one->todo);
        if (one->connection == NULL) {
            adopt(one);
        } else if (one->page) {
            replace_page(one);
        } else if (one->endless && one->phase == READING) {
            cut(one, 413, page_detail(413));
        } else if (one->overfull && one->phase == READING) {
            cut(one, 503, "too much is being sent to this server at once");
        }
    }
}

static struct bufferevent *new_stream(fb_http_lane *lane, struct event_base *base,
                                      struct ssl_st **ssl) {
    if (lane->common->tls == NULL) {
        return bufferevent_socket_new(base, -1, 0);
    }
    *ssl = fb_door_tls_accept(lane->common->tls, -1);
    // Which frees it also where it fails.
    struct bufferevent *stream =
        *ssl != NULL ? bufferevent_openssl_socket_new(base, -1, *ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                      BEV_OPT_CLOSE_ON_FREE)
                     : NULL;
    if (stream != NULL) {
        bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
    }
    return stream;
}

static struct bufferevent *on_accept(struct event_base *base, void *arg) {
    fb_http_lane *lane = arg;
    client *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        return NULL;
    }
    fb_http_limits limits = limits_of(lane->common);
    evhttp_set_max_headers_size(lane->server, (ev_ssize_t)limits.header_len_max);
    evhttp_set_max_body_size(lane->server, (ev_ssize_t)limits.body_len_max);
    one->lane = lane;
    one->stream = new_stream(lane, base, &one->ssl);
    if (one->stream == NULL) {
        fb_mem_free(one);
        return NULL;
    }
    bufferevent_incref(one->stream);  // until it is adopted
    fb_list_init(&one->todo);
    fb_list_insert(&lane->clients, &one->list);
    enter(one, IDLE);
    give_chore(one);
    return one->stream;
}

// ---- time

static bool is_over(const client *one, const fb_http_limits *limits, int64_t now_ns) {
    int64_t allowed_ms = limits->idle_ms;
    if (one->ssl != NULL && !fb_door_tls_is_shaken(one->ssl)) {
        allowed_ms = limits->slow_ms;
    } else if (one->phase == READING || one->phase == WRITING) {
        allowed_ms = limits->slow_ms + (int64_t)(one->moved_len * 1000 / SECOND_LEN);
    }
    return one->phase != HANDLING && now_ns - one->since_ns > allowed_ms * 1000000;
}

static void look_round(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_http_lane *lane = arg;
    int64_t now_ns = clock_ns();
    fb_http_limits limits = limits_of(lane->common);
    fb_http_listeners_resume(&lane->listeners);
    FB_LIST_EACH_SAFE(node, after, &lane->clients) {
        client *one = FB_LIST_OF(node, client, list);
        if (one->connection == NULL || !is_over(one, &limits, now_ns)) {
            continue;
        }
        one->late = true;
        if (one->phase == READING) {
            cut(one, 408, "the request took too long to come in");
        } else {
            evhttp_connection_free(one->connection);
        }
    }
}

// ---- its life

static int begin_sweep(fb_http_lane *lane) {
    fb_http_limits limits = limits_of(lane->common);
    int64_t ms = (limits.idle_ms < limits.slow_ms ? limits.idle_ms : limits.slow_ms) / 4;
    ms = ms < SWEEP_MS_MIN ? SWEEP_MS_MIN : ms > SWEEP_MS_MAX ? SWEEP_MS_MAX : ms;
    struct timeval every = {ms / 1000, ms % 1000 * 1000};
    return event_add(lane->sweep, &every) == 0 ? FB_OK : FB_ENOMEM;
}

static void set_up(fb_http_lane *lane) {
    evhttp_set_allowed_methods(lane->server, EVERY_METHOD);
    evhttp_set_default_content_type(lane->server, NULL);
    (void)evhttp_set_flags(lane->server, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_bevcb(lane->server, on_accept, lane);
    evhttp_set_gencb(lane->server, on_request, lane);
}

int fb_http_lane_open(fb_http_lane *lane, fb_http_common *common, struct event_base *base,
                      const int *fds) {
    *lane = (fb_http_lane){.common = common, .base = base};
    fb_list_init(&lane->clients);
    fb_list_init(&lane->todo);
    lane->server = evhttp_new(base);
    lane->chores = event_new(base, -1, 0, do_chores, lane);
    lane->sweep = event_new(base, -1, EV_PERSIST, look_round, lane);
    bool ready = lane->server != NULL && lane->chores != NULL &&
                 lane->sweep != NULL && begin_sweep(lane) == FB_OK &&
                 fb_http_streams_init(&lane->streams, &common->feed, base) == FB_OK;
    if (ready) {
        set_up(lane);
    }
    int result = fb_http_listeners_open(&lane->listeners, base, ready ? lane->server : NULL, fds);
    return ready ? result : FB_ENOMEM;
}

void fb_http_lane_stop(fb_http_lane *lane) {
    fb_http_listeners_stop(&lane->listeners);
}

// What has been sent to us and not been read yet is a request too.
static bool waits_for_nothing(const client *one) {
    char byte;
    return one->phase == IDLE &&
           recv(bufferevent_getfd(one->stream), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

void fb_http_lane_drain(fb_http_lane *lane) {
    lane->draining = true;
    fb_http_lane_stop(lane);
    do_chores(-1, 0, lane);  // those that have just come have to be known
    FB_LIST_EACH_SAFE(node, after, &lane->clients) {
        client *one = FB_LIST_OF(node, client, list);
        if (waits_for_nothing(one)) {
            evhttp_connection_free(one->connection);
        } else if (one->request != NULL) {
            tell_gone(one->request);
        }
    }
}

static void free_event(struct event *event) {
    if (event != NULL) {
        event_free(event);
    }
}

void fb_http_lane_close(fb_http_lane *lane) {
    fb_http_lane_stop(lane);
    lane->draining = true;
    if (lane->server != NULL) {
        do_chores(-1, 0, lane);  // those that have just come have to be known
        evhttp_free(lane->server);
        FB_ASSERT(fb_list_empty(&lane->clients));
    }
    free_event(lane->chores);
    free_event(lane->sweep);
    fb_http_streams_release(&lane->streams);
    fb_map_release(&lane->by_connection);
}
