// route_rig.h -- a route on a loop of the test's own, what it said, and commands given to it;
// servers that answer as they are told, on the same loop.

#ifndef FB_TESTS_ROUTE_RIG_H
#define FB_TESTS_ROUTE_RIG_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "os/clock.h"
#include "redis/route.h"
#include "redis_server.h"

// Late by no more than a busy machine may be.
enum { RIG_PATIENCE_MS = 120000, RIG_DEADLINE_MS = 30000, RIG_LATE_MS = 1500 };

typedef struct rig {
    struct event_base *base;
    struct event *tick;
    struct evdns_base *dns;  // where a test wants names
    fb_redis_tls *tls;       // or TLS
    fb_redis_url url;
    bool in_parts;
    uint16_t vital;
    int64_t stall_ms;  // 0: of fakes 500; of servers 10000, who are not lost because they waited
    fb_route *route;
    // What it said:
    bool up;
    int ups, downs, changes;
    int parts;  // times that another part was away, up all the while
    char why[256];
    // For how long in all this program did not turn its loop; what was late may be so by that.
    int64_t turned_ns, stood_ns;
} rig;

enum { RIG_STOOD_NS = 20000000 };  // a turn of the loop takes no longer

// ---- the loop

static inline void rig_on_tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
}

static inline void rig_turn(rig *r) {
    assert_true(event_base_loop(r->base, EVLOOP_ONCE) >= 0);
    int64_t now_ns = fb_clock_now_ns();
    r->stood_ns += r->turned_ns > 0 && now_ns - r->turned_ns > RIG_STOOD_NS ? now_ns - r->turned_ns : 0;
    r->turned_ns = now_ns;
}

// Whether something is late by more than a busy machine, or this program, can be.
static inline bool rig_is_late(const rig *r, int64_t late_ns) {
    return late_ns > INT64_C(1000000) * RIG_LATE_MS + r->stood_ns;
}

// Runs the loop until the expression is true.
#define RUN_UNTIL(r, expression)                                          \
    do {                                                                  \
        int64_t rig_end_ms = test_redis_now_ms() + RIG_PATIENCE_MS;       \
        while (!(expression)) {                                           \
            if (test_redis_now_ms() > rig_end_ms) {                       \
                fail_msg("not in time: %s (%s)", #expression, (r)->why);  \
            }                                                             \
            rig_turn(r);                                                  \
        }                                                                 \
    } while (0)

static inline void rig_run_ms(rig *r, int64_t ms) {
    int64_t end_ms = test_redis_now_ms() + ms;
    // A tick ends a turn after 2 ms; time alone may pass without any.
    for (int64_t turns = 0; test_redis_now_ms() < end_ms || turns < ms / 4; turns++) {
        rig_turn(r);
    }
}

static inline void rig_on_link(void *arg, bool up, const char *why) {
    rig *r = arg;
    bool again = r->ups + r->downs > 0 && up == r->up;
    assert_true(!again || (up && r->in_parts));
    assert_true(r->in_parts ? up || why[0] != '\0' : up == (why[0] == '\0'));
    r->up = up;
    r->parts += again;
    r->ups += up && !again;
    r->downs += !up;
    snprintf(r->why, sizeof r->why, "%s", why);
}

static inline void rig_on_change(void *arg) {
    rig *r = arg;
    r->changes++;
}

static inline void rig_init(rig *r) {
    struct timeval often = {0, 2000};
    struct event_config *config = event_config_new();
    assert_non_null(config);
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    *r = (rig){.base = event_base_new_with_config(config)};
    event_config_free(config);
    assert_non_null(r->base);
    r->tick = event_new(r->base, -1, EV_PERSIST, rig_on_tick, NULL);
    assert_int_equal(event_add(r->tick, &often), 0);
}

static inline fb_route_options rig_options(rig *r, fb_cluster_choice cluster) {
    int64_t stall_ms = r->stall_ms > 0 ? r->stall_ms : 10000;
    return (fb_route_options){.base = r->base,
                              .dns = r->dns,
                              .url = &r->url,
                              .tls = r->tls,
                              .cluster = cluster,
                              .client_name = "forebay-test",
                              .connect_timeout_ns =
                                  INT64_C(1000000) * (stall_ms < 10000 ? 500 : 10000),
                              .stall_ns = INT64_C(1000000) * stall_ms,
                              .side_max = 2,
                              .in_parts = r->in_parts,
                              .vital = r->vital,
                              .seed = test_seed()};
}

static inline void rig_set_url(rig *r, const char *url) {
    fb_error error = {0};
    if (fb_redis_url_read(fb_str_of(url), &r->url, &error) != FB_OK) {
        fail_msg("%s: %s", url, error.text);
    }
}

// A route to what was set, which begins to connect.
static inline void rig_begin(rig *r, fb_cluster_choice cluster) {
    fb_route_events events = {.on_link = rig_on_link, .on_change = rig_on_change, .arg = r};
    fb_route_options options = rig_options(r, cluster);
    assert_ok(fb_route_new(&options, &events, &r->route));
    fb_route_open(r->route);
}

static inline void rig_open_as(rig *r, const char *url, fb_cluster_choice cluster) {
    if (r->base == NULL) {
        rig_init(r);
    }
    rig_set_url(r, url);
    rig_begin(r, cluster);
}

static inline void rig_open(rig *r, const char *url) {
    rig_open_as(r, url, FB_CLUSTER_AUTO);
}

static inline void rig_close(rig *r) {
    fb_route_free(r->route);
    event_free(r->tick);
    fb_redis_tls_free(r->tls);
    if (r->dns != NULL) {
        evdns_base_free(r->dns, 0);
    }
    // What connections left for a later turn.
    (void)event_base_loop(r->base, EVLOOP_NONBLOCK);
    event_base_free(r->base);
    *r = (rig){0};
}

// ---- commands

typedef struct rig_call {
    int calls;
    fb_conn_outcome outcome;
    char text[512];  // of the value, or why there is none
    int64_t deadline_ns, answered_ns;
} rig_call;

static inline void rig_on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                                const char *why) {
    rig_call *call = arg;
    call->calls++;
    call->outcome = outcome;
    call->answered_ns = fb_clock_now_ns();
    if (outcome == FB_CONN_REPLIED) {
        static char text[TEST_REDIS_ANSWER_MAX];
        size_t len = 0;
        test_redis_show(value, text, &len);
        snprintf(call->text, sizeof call->text, "%.500s", text);
    } else {
        assert_null(value);
        assert_true(why != NULL && *why != '\0');
        snprintf(call->text, sizeof call->text, "%s", why);
    }
}

typedef struct rig_how {
    bool once;      // not repeatable
    bool any;       // any server
    int deadline_ms;
    fb_route_server *server;
} rig_how;

// The words of one command, separated by blanks; its slot is that of the second, or of the fourth
// with EVAL.
static inline int rig_send(rig *r, rig_call *call, const rig_how *how, const char *words) {
    char copy[4096];
    fb_str args[64];
    size_t count = 0;
    char *rest = NULL;
    fb_buf out = {0};
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < 64);
        args[count++] = fb_str_of(word);
    }
    *call = (rig_call){.outcome = FB_CONN_NOT_SENT};
    int result = fb_resp_write_command(&out, args, count);
    if (result != FB_OK) {
        return result;
    }
    size_t key = fb_str_equal(args[0], FB_STR("EVAL")) ? 3 : 1;
    int64_t ms = how->deadline_ms > 0 ? how->deadline_ms : RIG_DEADLINE_MS;
    *call = (rig_call){.deadline_ns = fb_clock_now_ns() + ms * 1000000};
    fb_route_command command = {
        .command = fb_buf_str(&out),
        .slot = how->any || count <= key ? (uint16_t)FB_SLOT_ANY : fb_slot_of(args[key]),
        .repeatable = !how->once,
        .deadline_ns = call->deadline_ns,
        .fn = rig_on_reply,
        .arg = call};
    result = how->server != NULL ? fb_route_send_to(r->route, how->server, &command)
                                 : fb_route_send(r->route, &command);
    assert_int_equal(call->calls, 0);
    fb_buf_release(&out);
    return result;
}

static inline void rig_await(rig *r, rig_call *call) {
    RUN_UNTIL(r, call->calls > 0);
    assert_int_equal(call->calls, 1);
    assert_false(rig_is_late(r, call->answered_ns - call->deadline_ns));
}

// A command that is refused for as long as it may wait, and what is said of it then. Where the last
// try's answer came too late, or none was made, that says nothing. Returns how often it was sent.
static inline int rig_await_refusal(rig *r, int deadline_ms, const char *words, const char *why) {
    rig_call call;
    int tries = 0;
    do {
        assert_ok(rig_send(r, &call, &(rig_how){.deadline_ms = deadline_ms}, words));
        rig_await(r, &call);
        assert_int_not_equal(call.outcome, FB_CONN_REPLIED);
    } while ((call.outcome != FB_CONN_NOT_SENT || strstr(call.text, why) == NULL) && ++tries < 20);
    assert_int_equal(call.outcome, FB_CONN_NOT_SENT);
    assert_non_null(strstr(call.text, why));
    return tries + 1;
}

// Until a server did it, however often that was refused.
static inline void rig_ask_until_answered(rig *r, const char *words) {
    rig_call call = {.outcome = FB_CONN_NOT_SENT};
    int64_t end_ms = test_redis_now_ms() + RIG_PATIENCE_MS;
    while (call.outcome != FB_CONN_REPLIED) {
        if (test_redis_now_ms() > end_ms) {
            fail_msg("%s: %s", words, call.text);
        }
        if (rig_send(r, &call, &(rig_how){0}, words) == FB_OK) {
            rig_await(r, &call);
        }
        rig_turn(r);
    }
}

// The answer's text, good until the next call; fails unless there is one.
FB_PRINTF(2, 3) static inline const char *rig_ask(rig *r, const char *format, ...) {
    static rig_call call;
    char words[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(words, sizeof words, format, list);
    va_end(list);
    assert_ok(rig_send(r, &call, &(rig_how){0}, words));
    rig_await(r, &call);
    if (call.outcome != FB_CONN_REPLIED) {
        fail_msg("%s: %s", words, call.text);
    }
    return call.text;
}

// ---- a load: counters that are raised, each command once, by so many at a time

enum { LOAD_KEYS = 48 };

typedef struct rig_load rig_load;
typedef struct rig_counter {
    rig_load *load;
    int id;
    rig_call call;
    bool busy;
    int done, perhaps, not_done;
} rig_counter;

struct rig_load {
    rig *r;
    bool stop;
    int busy, errors;
    int64_t fed_ms;
    int64_t longest_ns;  // over its deadline
    char error[512];
    rig_counter counters[LOAD_KEYS];
};

static inline void rig_load_send(rig_counter *counter);

static inline void rig_load_on_reply(void *arg, fb_conn_outcome outcome,
                                     const fb_resp_value *value, const char *why) {
    rig_counter *counter = arg;
    rig_load *load = counter->load;
    int64_t late_ns = fb_clock_now_ns() - counter->call.deadline_ns;
    assert_true(counter->busy);
    counter->busy = false;
    load->busy--;
    load->longest_ns = late_ns > load->longest_ns ? late_ns : load->longest_ns;
    if (outcome == FB_CONN_REPLIED && value->type == FB_RESP_INTEGER) {
        counter->done++;
    } else if (outcome == FB_CONN_REPLIED) {
        load->errors++;
        snprintf(load->error, sizeof load->error, "%.*s", FB_STR_ARG(value->text));
    } else {
        counter->perhaps += outcome == FB_CONN_UNKNOWN;
        counter->not_done += outcome == FB_CONN_NOT_SENT;
        snprintf(load->error, sizeof load->error, "%s", why);
    }
}

static inline void rig_load_send(rig_counter *counter) {
    char text[128];
    rig_load *load = counter->load;
    counter->call.deadline_ns = fb_clock_now_ns() + INT64_C(1000000) * RIG_DEADLINE_MS;
    char key[32];
    snprintf(key, sizeof key, "counter:%d", counter->id);
    snprintf(text, sizeof text, "*2\r\n$4\r\nINCR\r\n$%zu\r\n%s\r\n", strlen(key), key);
    fb_route_command command = {.command = fb_str_of(text),
                                .slot = fb_slot_of(fb_str_of(key)),
                                .deadline_ns = counter->call.deadline_ns,
                                .fn = rig_load_on_reply,
                                .arg = counter};
    assert_ok(fb_route_send(load->r->route, &command));
    counter->busy = true;
    load->busy++;
}

// Keeps every counter busy while the loop runs, without wearing the machine out; call it each turn.
static inline void rig_load_feed(rig_load *load) {
    int64_t now_ms = test_redis_now_ms();
    if (now_ms == load->fed_ms) {
        return;
    }
    load->fed_ms = now_ms;
    for (int i = 0; i < LOAD_KEYS && !load->stop; i++) {
        if (!load->counters[i].busy) {
            rig_load_send(&load->counters[i]);
        }
    }
}

static inline rig_load *rig_load_new(rig *r) {
    rig_load *load = calloc(1, sizeof *load);
    assert_non_null(load);
    load->r = r;
    for (int i = 0; i < LOAD_KEYS; i++) {
        load->counters[i] = (rig_counter){.load = load, .id = i};
        (void)rig_ask(r, "SET counter:%d 0", i);
    }
    return load;
}

#define LOAD_UNTIL(load, expression) \
    RUN_UNTIL((load)->r, (rig_load_feed(load), (expression)))

static inline void rig_load_ms(rig_load *load, int64_t ms) {
    int64_t end_ms = test_redis_now_ms() + ms;
    LOAD_UNTIL(load, test_redis_now_ms() > end_ms);
}

// Ends it: every command was answered in time and none was done twice; nor, where no server was
// lost, was one lost. Returns for how many it is not known whether they were done.
static inline int rig_load_end(rig_load *load, bool may_lose) {
    int unsure = 0, done = 0, not_done = 0;
    load->stop = true;
    RUN_UNTIL(load->r, load->busy == 0);
    if (load->errors > 0) {
        fail_msg("%d errors, the last one: %s", load->errors, load->error);
    }
    assert_false(rig_is_late(load->r, load->longest_ns));
    for (int i = 0; i < LOAD_KEYS; i++) {
        rig_counter *counter = &load->counters[i];
        int value = atoi(rig_ask(load->r, "GET counter:%d", i));
        if (value > counter->done + counter->perhaps || (!may_lose && value < counter->done)) {
            fail_msg("counter %d: %d after %d done and %d perhaps", i, value, counter->done,
                     counter->perhaps);
        }
        unsure += counter->perhaps;
        not_done += counter->not_done;
        done += counter->done;
    }
    printf("%d done, %d perhaps, %d not (%s)\n", done, unsure, not_done, load->error);
    free(load);
    return unsure;
}

// ---- a server that answers as it is told

typedef struct fake_redis fake_redis;
// The answer to a command ("GET k"), encoded; NULL: none. `text` may be used for it.
typedef const char *(*fake_redis_fn)(fake_redis *fake, const char *words, char *text,
                                     size_t text_size);

enum { FAKE_REDIS_CONNS = 16 };

struct fake_redis {
    struct evconnlistener *listener;
    struct bufferevent *conns[FAKE_REDIS_CONNS];
    fake_redis_fn fn;
    void *arg;
    const char *mode, *role;  // as HELLO says; "standalone", "master" unless set
    int port;
    int commands, connections;  // but HELLO and the like
    bool ends;  // set by fn: everybody is hung up on, and what was answered is not sent
};

static inline void fake_redis_hello(fake_redis *fake, struct evbuffer *out) {
    const char *mode = fake->mode != NULL ? fake->mode : "standalone";
    const char *role = fake->role != NULL ? fake->role : "master";
    evbuffer_add_printf(out,
                        "%%5\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n"
                        "$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$%zu\r\n%s\r\n"
                        "$4\r\nrole\r\n$%zu\r\n%s\r\n",
                        strlen(mode), mode, strlen(role), role);
}

static inline void fake_redis_answer(fake_redis *fake, struct bufferevent *conn,
                                     const fb_resp_command *command) {
    char words[512] = "";
    static char text[65536];
    struct evbuffer *out = bufferevent_get_output(conn);
    for (size_t i = 0; i < command->arg_count; i++) {
        size_t len = strlen(words);
        snprintf(words + len, sizeof words - len, "%s%.*s", i > 0 ? " " : "",
                 FB_STR_ARG(command->args[i]));
    }
    if (strncmp(words, "HELLO", 5) == 0) {
        fake_redis_hello(fake, out);
    } else if (strncmp(words, "CLIENT", 6) == 0 || strncmp(words, "SELECT", 6) == 0) {
        evbuffer_add_printf(out, "+OK\r\n");
    } else if (strncmp(words, "SUBSCRIBE ", 10) == 0) {
        evbuffer_add_printf(out, ">3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:1\r\n",
                            strlen(words + 10), words + 10);
    } else {
        fake->commands++;
        const char *answer = fake->fn(fake, words, text, sizeof text);
        if (answer != NULL) {
            evbuffer_add(out, answer, strlen(answer));
        }
    }
}

static inline void fake_redis_hang_up(fake_redis *fake) {
    for (int i = 0; i < FAKE_REDIS_CONNS; i++) {
        if (fake->conns[i] != NULL) {
            bufferevent_free(fake->conns[i]);
            fake->conns[i] = NULL;
        }
    }
}

static inline void fake_redis_on_read(struct bufferevent *conn, void *arg) {
    fake_redis *fake = arg;
    struct evbuffer *in = bufferevent_get_input(conn);
    size_t len = evbuffer_get_length(in);
    fb_str input = {(const char *)evbuffer_pullup(in, -1), len};
    fb_resp_command command = {0};
    while (input.len > 0 && !fake->ends) {
        ssize_t used = fb_resp_command_read(&command, input, &FB_RESP_LIMITS_DEFAULT, NULL);
        if (used == FB_ENOMEM) {
            continue;  // a sweep over allocations met us, who are not meant
        }
        if (used <= 0) {
            break;
        }
        fake_redis_answer(fake, conn, &command);
        input.ptr += used;
        input.len -= (size_t)used;
        fb_resp_command_reset(&command);
    }
    fb_resp_command_release(&command);
    (void)evbuffer_drain(in, len - input.len);
    if (fake->ends) {
        fake->ends = false;
        fake_redis_hang_up(fake);
    }
}

static inline void fake_redis_on_event(struct bufferevent *conn, short what, void *arg) {
    fake_redis *fake = arg;
    (void)what;
    for (int i = 0; i < FAKE_REDIS_CONNS; i++) {
        if (fake->conns[i] == conn) {
            fake->conns[i] = NULL;
        }
    }
    bufferevent_free(conn);
}

static inline void fake_redis_on_accept(struct evconnlistener *listener, evutil_socket_t fd,
                                        struct sockaddr *from, int from_len, void *arg) {
    fake_redis *fake = arg;
    (void)from, (void)from_len;
    struct bufferevent *conn =
        bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(conn);
    int place = 0;
    while (fake->conns[place] != NULL) {
        assert_true(++place < FAKE_REDIS_CONNS);
    }
    fake->conns[place] = conn;
    fake->connections++;
    bufferevent_setcb(conn, fake_redis_on_read, NULL, fake_redis_on_event, fake);
    (void)bufferevent_enable(conn, EV_READ | EV_WRITE);
}

static inline fake_redis *fake_redis_new(rig *r, fake_redis_fn fn, void *arg) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    fake_redis *fake = calloc(1, sizeof *fake);
    assert_non_null(fake);
    if (r->base == NULL) {
        rig_init(r);
    }
    fake->fn = fn;
    fake->arg = arg;
    r->stall_ms = r->stall_ms > 0 ? r->stall_ms : 500;
    fake->listener = evconnlistener_new_bind(
        r->base, fake_redis_on_accept, fake, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 16,
        (struct sockaddr *)&address, sizeof address);
    assert_non_null(fake->listener);
    assert_int_equal(getsockname(evconnlistener_get_fd(fake->listener),
                                 (struct sockaddr *)&address, &len),
                     0);
    fake->port = ntohs(address.sin_port);
    return fake;
}

// To all that are connected, as they are.
static inline void fake_redis_push(fake_redis *fake, const char *bytes) {
    for (int i = 0; i < FAKE_REDIS_CONNS; i++) {
        if (fake->conns[i] != NULL) {
            (void)bufferevent_write(fake->conns[i], bytes, strlen(bytes));
        }
    }
}

static inline void fake_redis_free(fake_redis *fake) {
    fake_redis_hang_up(fake);
    evconnlistener_free(fake->listener);
    free(fake);
}

#endif
