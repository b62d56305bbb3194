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
// for the other. HANDLING lasts as long as the node takes; reading rests meanwhile.
//
// The server frees a connection when it breaks, and the request with it, unless the request is
// being handled: then it hands the request over, to be freed by us (on_close).
//
// What the server says by itself to malformed requests is HTML. It is exchanged for a problem
// document before it leaves (replace_page). Anything that frees or rewrites waits until the
// server's own functions have returned: that is what `todo` is for.

#include "door/http_lane.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/http.h"

enum {
    REST_MS = 100,
    SWEEP_MS_MIN = 10,
    SWEEP_MS_MAX = 1000,
    SECOND_LEN = 32 * 1024,     // what adds a second
    AHEAD_LEN_MAX = 256 * 1024  // read behind a request that is not answered yet
};

typedef enum phase { IDLE, READING, HANDLING, WRITING } phase;

typedef struct waiting waiting;

typedef struct client {
    fb_list list;
    fb_list todo;
    fb_http_lane *lane;
    struct bufferevent *stream;
    struct evhttp_connection *connection;  // NULL until adopted, and the key in the map
    struct evbuffer_cb_entry *on_input, *on_output;
    waiting *request;  // the one that is being handled
    phase phase;
    int64_t since_ns;
    uint64_t moved_len;       // in this phase
    uint64_t unanswered_len;  // what it stands for in the sum
    bool overfull;            // holds too much
    bool page;                // the server said something by itself
} client;

// A request that is being handled; it outlives its client when that breaks.
struct waiting {
    client *client;  // NULL: nobody waits any more
    struct evhttp_request *request;
    bool head;
    bool last;  // the connection ends with this response
};

static int64_t clock_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
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
    bool endless = one->moved_len / 2 > common->limits.header_len_max + common->limits.body_len_max;
    bool large = one->unanswered_len > common->limits.header_len_max;
    if (endless || (large && all > common->limits.bodies_len_max && one->phase == READING)) {
        one->overfull = true;
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

// Says why, as far as the socket takes it at once, and closes.
static void cut(client *one, int status, const char *why) {
    fb_http_response response = {0};
    fb_buf out = {0};
    fb_http_problem(&response, status, "%s", why);
    int result =
        fb_buf_printf(&out,
                      "HTTP/1.1 %d %s\r\nServer: forebay\r\nConnection: close\r\n"
                      "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n",
                      status, fb_http_status_text(status), response.body.len);
    if (result == FB_OK && fb_buf_append(&out, fb_buf_str(&response.body)) == FB_OK) {
        (void)!send(bufferevent_getfd(one->stream), out.ptr, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    fb_buf_release(&out);
    fb_http_response_release(&response);
    evhttp_connection_free(one->connection);
}

static void forget(client *one) {
    fb_list_remove(&one->list);
    fb_list_remove(&one->todo);
    count_unanswered(one, 0);
    fb_mem_free(one);
}

// The server is about to free the connection.
static void on_close(struct evhttp_connection *connection, void *arg) {
    client *one = arg;
    fb_http_lane *lane = one->lane;
    waiting *request = one->request;
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

static void add_headers(struct evhttp_request *request, const fb_http_response *response,
                        bool last) {
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    (void)evhttp_add_header(headers, "Server", "forebay");
    for (size_t i = 0; i < response->header_count; i++) {
        (void)evhttp_add_header(headers, response->headers[i].name, response->headers[i].value);
    }
    if (response->status != 204 && response->status != 304) {
        char len[24];
        (void)snprintf(len, sizeof len, "%zu", response->body.len);
        (void)evhttp_add_header(headers, "Content-Length", len);
    }
    if (last) {
        (void)evhttp_add_header(headers, "Connection", "close");
    }
}

// Takes the response's body.
static void answer(waiting *one, fb_http_response *response) {
    client *to = one->client;
    struct evhttp_request *request = one->request;
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
}

static void respond(void *arg, fb_http_response *response) {
    waiting *one = arg;
    if (one->client != NULL) {
        answer(one, response);
    }
    fb_mem_free(one);
}

// ---- requests

static const char *method_name(enum evhttp_cmd_type type) {
    switch (type) {
        case EVHTTP_REQ_GET:
            return "GET";
        case EVHTTP_REQ_POST:
            return "POST";
        case EVHTTP_REQ_HEAD:
            return "HEAD";
        case EVHTTP_REQ_PUT:
            return "PUT";
        case EVHTTP_REQ_DELETE:
            return "DELETE";
        case EVHTTP_REQ_OPTIONS:
            return "OPTIONS";
        case EVHTTP_REQ_TRACE:
            return "TRACE";
        case EVHTTP_REQ_CONNECT:
            return "CONNECT";
        case EVHTTP_REQ_PATCH:
            return "PATCH";
    }
    return "?";
}

enum {
    EVERY_METHOD = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                   EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT |
                   EVHTTP_REQ_PATCH,
    WITH_BODY = EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH
};

// "/a?b", or with a proxy's "http://host" before it.
static void split_target(const char *uri, fb_str *path, fb_str *query) {
    const char *host = uri[0] != '/' ? strstr(uri, "://") : NULL;
    if (host != NULL) {
        const char *slash = strchr(host + 3, '/');
        uri = slash != NULL ? slash : "/";
    }
    fb_str all = fb_str_of(uri);
    size_t mark = fb_str_find(all, '?');
    *path = fb_str_make(uri, mark);
    *query = mark < all.len ? fb_str_make(uri + mark + 1, all.len - mark - 1) : fb_str_make("", 0);
}

static bool comes_twice(const struct evkeyvalq *headers, const char *name) {
    unsigned count = 0;
    for (const struct evkeyval *one = headers->tqh_first; one != NULL; one = one->next.tqe_next) {
        count += strcasecmp(one->key, name) == 0;
    }
    return count > 1;
}

// The server takes no body for some methods, and reads one that is there as the next request; and
// where it does take one, a coding it does not know, or a second length, of which it believes the
// first, makes the same mistake possible.
static bool body_is_unread(struct evhttp_request *request) {
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const char *len = evhttp_find_header(headers, "Content-Length");
    const char *coding = evhttp_find_header(headers, "Transfer-Encoding");
    if ((evhttp_request_get_command(request) & WITH_BODY) != 0) {
        return comes_twice(headers, "Content-Length") || comes_twice(headers, "Transfer-Encoding") ||
               (coding != NULL && (len != NULL || strcasecmp(coding, "chunked") != 0));
    }
    return coding != NULL || (len != NULL && strcmp(len, "0") != 0);
}

static fb_http_request describe(struct evhttp_request *request) {
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(body);
    const char *bytes = len > 0 ? (const char *)evbuffer_pullup(body, -1) : NULL;
    fb_http_request is = {
        .method = fb_str_of(method_name(evhttp_request_get_command(request))),
        .body = {bytes, bytes != NULL ? len : 0},
        .if_none_match = fb_str_of(
            evhttp_find_header(evhttp_request_get_input_headers(request), "If-None-Match")),
        .respond = respond,
    };
    split_target(evhttp_request_get_uri(request), &is.path, &is.query);
    return is;
}

static void handle(client *from, waiting *one) {
    fb_http_response response;
    fb_http_request is = describe(one->request);
    is.arg = one;
    one->head = fb_str_equal(is.method, FB_STR("HEAD"));
    one->last = body_is_unread(one->request);
    from->request = one;
    enter(from, HANDLING);
    bufferevent_setwatermark(from->stream, EV_READ, 0, AHEAD_LEN_MAX);
    if (fb_http_handle(from->lane->common->node, &is, &response) == FB_OK) {
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
    uint64_t before = atomic_fetch_add_explicit(&node->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&node->connections_total, 1, memory_order_relaxed);
    atomic_fetch_add(&common->connections, 1);
    return node->connections_max == 0 || before < node->connections_max;
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
        atomic_fetch_add_explicit(&lane->common->node->connections_refused, 1,
                                  memory_order_relaxed);
        cut(one, 503, "all connections that may be open are open (limits.connections)");
    } else if (result < 0 || one->on_input == NULL || one->on_output == NULL) {
        evhttp_connection_free(connection);
    }
}

static const char *page_detail(int status) {
    switch (status) {
        case 413:
            return "the request is larger than the limit, or its chunks are malformed";
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
        } else if (one->overfull && one->phase == READING) {
            cut(one, 503, "too much is being sent to this server at once");
        }
    }
}

static struct bufferevent *on_accept(struct event_base *base, void *arg) {
    fb_http_lane *lane = arg;
    client *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        return NULL;
    }
    one->lane = lane;
    one->stream = bufferevent_socket_new(base, -1, 0);
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

static bool is_over(const client *one, int64_t now_ns) {
    const fb_http_limits *limits = &one->lane->common->limits;
    int64_t allowed_ms = limits->idle_ms;
    if (one->phase == READING || one->phase == WRITING) {
        allowed_ms = limits->slow_ms + (int64_t)(one->moved_len * 1000 / SECOND_LEN);
    }
    return one->phase != HANDLING && now_ns - one->since_ns > allowed_ms * 1000000;
}

static void look_round(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_http_lane *lane = arg;
    int64_t now_ns = clock_ns();
    FB_LIST_EACH_SAFE(node, after, &lane->clients) {
        client *one = FB_LIST_OF(node, client, list);
        if (one->connection == NULL || !is_over(one, now_ns)) {
            continue;
        }
        if (one->phase == READING) {
            cut(one, 408, "the request took too long to come in");
        } else {
            evhttp_connection_free(one->connection);
        }
    }
}

// ---- accepting

// Without a free file descriptor accepting would fail at once, again and again.
static void on_accept_error(struct evconnlistener *listener, void *arg) {
    static const struct timeval pause = {0, REST_MS * 1000};
    fb_http_lane *lane = arg;
    char text[128];
    fb_log(FB_LOG_WARN, "accept_failed", "door=http reason=\"%s\" pause_ms=%d",
           strerror_r(errno, text, sizeof text), REST_MS);
    if (event_add(lane->rest, &pause) == 0) {
        (void)evconnlistener_disable(listener);
    }
}

static void on_rested(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    (void)evconnlistener_enable(((fb_http_lane *)arg)->listener);
}

static int listen_at(fb_http_lane *lane, int fd) {
    lane->listener = evconnlistener_new(lane->base, NULL, NULL,
                                        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (lane->listener == NULL) {
        (void)close(fd);
        return FB_ENOMEM;
    }
    lane->bound = evhttp_bind_listener(lane->server, lane->listener);
    if (lane->bound == NULL) {
        evconnlistener_free(lane->listener);
        return FB_ENOMEM;
    }
    evconnlistener_set_error_cb(lane->listener, on_accept_error);
    return FB_OK;
}

static int begin_sweep(fb_http_lane *lane) {
    const fb_http_limits *limits = &lane->common->limits;
    int64_t ms = (limits->idle_ms < limits->slow_ms ? limits->idle_ms : limits->slow_ms) / 4;
    ms = ms < SWEEP_MS_MIN ? SWEEP_MS_MIN : ms > SWEEP_MS_MAX ? SWEEP_MS_MAX : ms;
    struct timeval every = {ms / 1000, ms % 1000 * 1000};
    return event_add(lane->sweep, &every) == 0 ? FB_OK : FB_ENOMEM;
}

static void set_up(fb_http_lane *lane) {
    const fb_http_limits *limits = &lane->common->limits;
    evhttp_set_max_headers_size(lane->server, (ev_ssize_t)limits->header_len_max);
    evhttp_set_max_body_size(lane->server, (ev_ssize_t)limits->body_len_max);
    evhttp_set_allowed_methods(lane->server, EVERY_METHOD);
    evhttp_set_default_content_type(lane->server, NULL);
    (void)evhttp_set_flags(lane->server, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_bevcb(lane->server, on_accept, lane);
    evhttp_set_gencb(lane->server, on_request, lane);
}

int fb_http_lane_open(fb_http_lane *lane, fb_http_common *common, struct event_base *base, int fd) {
    *lane = (fb_http_lane){.common = common, .base = base};
    fb_list_init(&lane->clients);
    fb_list_init(&lane->todo);
    lane->server = evhttp_new(base);
    lane->rest = event_new(base, -1, 0, on_rested, lane);
    lane->chores = event_new(base, -1, 0, do_chores, lane);
    lane->sweep = event_new(base, -1, EV_PERSIST, look_round, lane);
    if (lane->server == NULL || lane->rest == NULL || lane->chores == NULL || lane->sweep == NULL ||
        begin_sweep(lane) < 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return FB_ENOMEM;
    }
    set_up(lane);
    return fd >= 0 ? listen_at(lane, fd) : FB_OK;
}

void fb_http_lane_stop(fb_http_lane *lane) {
    if (lane->bound != NULL) {
        evhttp_del_accept_socket(lane->server, lane->bound);
        lane->bound = NULL;
        lane->listener = NULL;
        (void)event_del(lane->rest);
    }
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
    if (lane->server != NULL) {
        do_chores(-1, 0, lane);  // those that have just come have to be known
        evhttp_free(lane->server);
        FB_ASSERT(fb_list_empty(&lane->clients));
    }
    free_event(lane->rest);
    free_event(lane->chores);
    free_event(lane->sweep);
    fb_map_release(&lane->by_connection);
}
