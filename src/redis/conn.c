// A connection's life, and its one timer.
//
//     PAUSE → LOOKUP → CONNECT → (TLS) → HELLO → UP
//                        ↑_______|_______|            the next address, where there is one, by NEXT
//       ↑_______|________|_______|_______|______|     trouble: on_down, and a pause
//
// Callers' commands go into the queue (conn_queue.h) whatever the state; only in UP they go out.
// A loss answers those that have gone out and leaves the others, so that a server that restarts
// costs nobody anything whose deadline is later.
//
// Freeing: a callback may close its connection, which is then still in use by whoever called. So
// every way in from the loop counts itself (`inside`), and the last one out frees.
//
// The timer is armed for the soonest of what may be due, and never moved to a later time: it comes,
// finds nothing to do, and is armed anew. So a command costs it a comparison, not a call.

#include "redis/conn.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "os/clock.h"
#include "redis/conn_inside.h"

#define MS_NS INT64_C(1000000)
#define PAUSE_MIN_NS (50 * MS_NS)
#define PAUSE_MAX_NS (5000 * MS_NS)
#define GOOD_NS (5000 * MS_NS)     // up for so long, it counts as got
#define DEFAULT_NS (5000 * MS_NS)  // of the timeouts
#define TIMER_MIN_NS MS_NS         // between two walks over what waits

enum {
    DEPTH_MAX = 32,
    PAUSE_DOUBLINGS_MAX = 7
};
#define REPLY_LEN_MAX (UINT64_C(1) << 30)

static char *show_host(const fb_conn_options *options, char *text, size_t size) {
    if (options->path != NULL) {
        (void)snprintf(text, size, "unix:%s", options->path);
    } else if (strchr(options->host, ':') != NULL) {
        (void)snprintf(text, size, "[%s]:%u", options->host, (unsigned)options->port);
    } else {
        (void)snprintf(text, size, "%s:%u", options->host, (unsigned)options->port);
    }
    return text;
}

// ---- answering

static void answer(const fb_conn_pending *pending, fb_conn_outcome outcome, const char *why) {
    if (pending->fn != NULL) {
        pending->fn(pending->arg, outcome, NULL, why);
    }
}

// The oldest `count`, all alike. A callback may send anew, which comes behind them, or close, which
// answers what is left of them.
static void answer_first(fb_conn *conn, size_t count, fb_conn_outcome outcome) {
    for (size_t i = 0; i < count && conn->state != FB_CONN_CLOSED; i++) {
        fb_conn_pending one = *fb_conn_queue_at(&conn->queue, 0);
        fb_conn_queue_pop(&conn->queue);
        answer(&one, outcome, conn->why);
    }
}

static void refuse_all(fb_conn *conn) {
    answer_first(conn, fb_conn_queue_drop(&conn->queue), FB_CONN_NOT_SENT);
}

static void answer_overdue(fb_conn *conn, int64_t now_ns) {
    if (!fb_conn_queue_expire(&conn->queue, now_ns)) {
        return;
    }
    char why[sizeof conn->why + 64];
    size_t count = conn->queue.count;
    for (size_t i = 0; i < count; i++) {
        fb_conn_pending *pending = fb_conn_queue_at(&conn->queue, i);
        if (!pending->overdue) {
            continue;
        }
        fb_conn_pending one = *pending;
        pending->overdue = false;
        pending->fn = NULL;
        if (!one.removed) {
            (void)snprintf(why, sizeof why, "%s: no answer in time", conn->name);
        } else if (conn->state != FB_CONN_UP && conn->why[0] != '\0') {
            (void)snprintf(why, sizeof why, "no connection in time: %s", conn->why);
        } else {
            (void)snprintf(why, sizeof why, "%s: %s", conn->name,
                           conn->state == FB_CONN_UP ? "it does not take what is sent"
                                                     : "no connection in time");
        }
        answer(&one, one.removed ? FB_CONN_NOT_SENT : FB_CONN_UNKNOWN, why);
        if (conn->state == FB_CONN_CLOSED) {
            return;
        }
    }
    fb_conn_queue_sweep(&conn->queue);
}

// ---- the timer

void fb_conn_arm(fb_conn *conn, int64_t at_ns) {
    if (at_ns >= conn->armed_ns) {
        return;
    }
    int64_t wait_us = (at_ns - fb_clock_now_ns() + 999) / 1000;
    wait_us = wait_us > 0 ? wait_us : 0;
    struct timeval wait = {wait_us / 1000000, wait_us % 1000000};
    // It fails only where memory is short; what is armed already will come by then.
    if (event_add(&conn->timer, &wait) == 0) {
        conn->armed_ns = at_ns;
    }
}

// A reply is owed whose time is over, and nothing at all comes: then it hangs.
static void check_silence(fb_conn *conn, int64_t now_ns) {
    const fb_conn_pending *owed = fb_conn_queue_owed(&conn->queue);
    conn->state_ns = FB_CONN_NEVER;
    if (owed == NULL || owed->fn != NULL) {
        return;
    }
    int64_t until_ns = conn->silent_ns + conn->options.stall_ns;
    if (now_ns < until_ns) {
        conn->state_ns = until_ns;
        return;
    }
    char why[80];
    conn->stalled = true;
    (void)snprintf(why, sizeof why, "it hangs: no answer, not a byte, for %lld ms",
                   (long long)((now_ns - conn->silent_ns) / MS_NS));
    fb_conn_lose(conn, false, why);
}

static void do_what_is_due(fb_conn *conn, int64_t now_ns) {
    answer_overdue(conn, now_ns);
    if (conn->state == FB_CONN_PAUSE && conn->fatal) {
        refuse_all(conn);
    }
    if (conn->state == FB_CONN_UP) {
        check_silence(conn, now_ns);
    } else if (conn->state == FB_CONN_PAUSE && now_ns >= conn->state_ns) {
        fb_conn_begin(conn);
    } else if (conn->state != FB_CONN_CLOSED && now_ns >= conn->state_ns) {
        fb_conn_give_up_waiting(conn);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_conn *conn = arg;
    int64_t now_ns = fb_clock_now_ns();
    fb_conn_enter(conn);
    conn->armed_ns = FB_CONN_NEVER;
    do_what_is_due(conn, now_ns);
    if (conn->state != FB_CONN_CLOSED) {
        int64_t next_ns = conn->queue.soonest_ns < conn->state_ns ? conn->queue.soonest_ns
                                                                  : conn->state_ns;
        if (next_ns < FB_CONN_NEVER) {
            int64_t earliest_ns = now_ns + TIMER_MIN_NS;
            fb_conn_arm(conn, next_ns > earliest_ns ? next_ns : earliest_ns);
        }
    }
    fb_conn_leave(conn);
}

// ---- up and down

// Half of the pause is certain, the rest chance: a thousand nodes do not come back at once.
static int64_t next_pause_ns(fb_conn *conn) {
    uint32_t doublings =
        conn->attempts < PAUSE_DOUBLINGS_MAX ? conn->attempts : PAUSE_DOUBLINGS_MAX;
    int64_t pause_ns = PAUSE_MIN_NS << doublings;
    if (conn->fatal || pause_ns > PAUSE_MAX_NS) {
        pause_ns = PAUSE_MAX_NS;
    }
    conn->attempts++;
    return pause_ns / 2 + (int64_t)fb_rng_below(&conn->rng, (uint64_t)(pause_ns / 2));
}

void fb_conn_lose(fb_conn *conn, bool fatal, const char *why) {
    int64_t now_ns = fb_clock_now_ns();
    bool was_good = conn->state == FB_CONN_UP &&
                    (conn->heard || now_ns - conn->up_since_ns >= GOOD_NS);
    // Of a Unix socket there is no address to know it by again: only where it surely is still there.
    if (conn->state == FB_CONN_UP && (conn->self.address[0] != '\0' || conn->stalled)) {
        conn->former = conn->self;
    }
    conn->stalled = false;
    fb_conn_drop_link(conn);
    fb_dial_release(&conn->dial);
    (void)snprintf(conn->why, sizeof conn->why, "%s: %s", conn->name, why);
    if (was_good) {
        conn->attempts = 0;
    }
    conn->state = FB_CONN_PAUSE;
    conn->fatal = fatal;
    conn->state_ns = now_ns + next_pause_ns(conn);
    size_t out = fb_conn_queue_cut(&conn->queue);
    conn->events.on_down(conn->events.arg, conn->why, fatal);
    answer_first(conn, out, FB_CONN_UNKNOWN);
    if (fatal && conn->state != FB_CONN_CLOSED) {
        refuse_all(conn);
    }
    if (conn->state != FB_CONN_CLOSED) {
        fb_conn_arm(conn, conn->state_ns);
    }
}

void fb_conn_go_up(fb_conn *conn) {
    conn->state = FB_CONN_UP;
    conn->former = (fb_hello_former){0};
    conn->state_ns = FB_CONN_NEVER;
    conn->up_since_ns = conn->silent_ns;
    conn->heard = false;
    conn->fatal = false;
    conn->why[0] = '\0';
    fb_dial_release(&conn->dial);
    fb_buf_release(&conn->greeting);
    conn->events.on_up(conn->events.arg);
    if (conn->state == FB_CONN_UP && fb_conn_queue_unsent(&conn->queue).len > 0) {
        fb_conn_want_flush(conn);
    }
}

// ---- life

static int copy_text(const char **text) {
    if (*text == NULL) {
        return FB_OK;
    }
    fb_str bytes = {*text, strlen(*text)};
    *text = fb_mem_text(bytes);
    return *text != NULL ? FB_OK : FB_ENOMEM;
}

// Servers refuse names with blanks or control characters.
static void mend_name(char *name) {
    for (; name != NULL && *name != '\0'; name++) {
        if (*name <= ' ' || *name > '~') {
            *name = '-';
        }
    }
}

static int copy_options(fb_conn *conn, const fb_conn_options *options) {
    conn->options = *options;
    fb_conn_options *own = &conn->options;
    const char **texts[] = {&own->host, &own->path, &own->user, &own->password,
                            &own->client_name};
    int result = FB_OK;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (result == FB_OK) {
            result = copy_text(texts[i]);
        } else {
            *texts[i] = NULL;  // the caller's: not ours to free
        }
    }
    mend_name((char *)own->client_name);
    if (own->connect_timeout_ns <= 0) {
        own->connect_timeout_ns = DEFAULT_NS;
    }
    if (own->stall_ns <= 0) {
        own->stall_ns = DEFAULT_NS;
    }
    return result;
}

static void free_text(const char *text) {
    fb_mem_free((char *)text);
}

static void free_conn(fb_conn *conn) {
    fb_conn_queue_release(&conn->queue);
    fb_resp_reply_free(conn->reply);
    fb_buf_release(&conn->in);
    fb_buf_release(&conn->greeting);
    free_text(conn->options.host);
    free_text(conn->options.path);
    free_text(conn->options.user);
    free_text(conn->options.password);
    free_text(conn->options.client_name);
    fb_mem_free(conn);
}

void fb_conn_leave(fb_conn *conn) {
    FB_ASSERT(conn->inside > 0);
    if (--conn->inside == 0 && conn->state == FB_CONN_CLOSED) {
        free_conn(conn);
    }
}

int fb_conn_new(const fb_conn_options *options, const fb_conn_events *events, fb_conn **out) {
    FB_ASSERT((options->host != NULL) != (options->path != NULL));
    FB_ASSERT(events->on_up != NULL && events->on_down != NULL);
    *out = NULL;
    fb_conn *conn = fb_mem_zero(1, sizeof *conn);
    if (conn == NULL) {
        return FB_ENOMEM;
    }
    *conn = (fb_conn){.fd = -1, .events = *events, .armed_ns = FB_CONN_NEVER};
    fb_conn_queue_init(&conn->queue);
    fb_rng_init(&conn->rng, options->seed);
    if (copy_options(conn, options) != FB_OK ||
        fb_resp_reply_new(DEPTH_MAX, REPLY_LEN_MAX, &conn->reply) != FB_OK ||
        event_assign(&conn->timer, options->base, -1, 0, on_timer, conn) != 0) {
        free_conn(conn);
        return FB_ENOMEM;
    }
    (void)show_host(&conn->options, conn->name, sizeof conn->name);
    fb_conn_arm(conn, 0);
    if (conn->armed_ns != 0) {
        free_conn(conn);
        return FB_ENOMEM;
    }
    *out = conn;
    return FB_OK;
}

void fb_conn_close(fb_conn *conn) {
    if (conn == NULL) {
        return;
    }
    FB_ASSERT(conn->state != FB_CONN_CLOSED);
    fb_conn_enter(conn);
    fb_conn_drop_link(conn);
    fb_dial_release(&conn->dial);
    (void)event_del(&conn->timer);
    conn->state = FB_CONN_CLOSED;
    (void)snprintf(conn->why, sizeof conn->why, "%s: the connection is closed", conn->name);
    while (conn->queue.count > 0) {
        fb_conn_pending one = *fb_conn_queue_at(&conn->queue, 0);
        bool is_out = fb_conn_queue_is_out(&conn->queue, &one);
        fb_conn_queue_pop(&conn->queue);
        answer(&one, is_out ? FB_CONN_UNKNOWN : FB_CONN_NOT_SENT, conn->why);
    }
    fb_conn_leave(conn);
}

static int send_pending(fb_conn *conn, fb_str command, const fb_conn_pending *pending) {
    if (conn->state == FB_CONN_CLOSED) {
        return FB_ECLOSED;
    }
    int result = fb_conn_queue_add(&conn->queue, command, pending);
    if (result != FB_OK) {
        return result;
    }
    if (conn->state == FB_CONN_UP) {
        fb_conn_want_flush(conn);
    }
    bool at_once = conn->state == FB_CONN_PAUSE && conn->fatal;
    fb_conn_arm(conn, at_once ? 0 : pending->deadline_ns);
    return FB_OK;
}

int fb_conn_send(fb_conn *conn, fb_str command, uint32_t command_count, int64_t deadline_ns,
                 fb_conn_reply_fn fn, void *arg) {
    fb_conn_pending pending = {
        .fn = fn, .arg = arg, .deadline_ns = deadline_ns, .replies = command_count};
    return send_pending(conn, command, &pending);
}

int fb_conn_subscribe(fb_conn *conn, fb_str command, int64_t deadline_ns, fb_conn_reply_fn fn,
                      void *arg) {
    fb_conn_pending pending = {
        .fn = fn, .arg = arg, .deadline_ns = deadline_ns, .replies = 1, .by_push = true};
    return send_pending(conn, command, &pending);
}

bool fb_conn_is_up(const fb_conn *conn) {
    return conn->state == FB_CONN_UP;
}

size_t fb_conn_waiting(const fb_conn *conn) {
    return conn->queue.count;
}

const char *fb_conn_name(const fb_conn *conn) {
    return conn->name;
}

const fb_conn_server *fb_conn_server_of(const fb_conn *conn) {
    return &conn->server;
}
