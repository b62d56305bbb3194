// The RESP door: listeners on every loop, and the life of the whole.
//
// Each loop accepts from its own socket on the shared port. A Unix socket, and one that was taken
// over from somebody who opened it for us, cannot be shared that way: one loop accepts for all.
//
// Who accepts is not who serves. Connections are dealt to the first loop until it has loop_clients
// of them, then to the first two, and so on, always to the one of these that has fewest. A loop
// with few connections is woken for nearly each request and finds that one; one with many finds a
// dozen. 50 connections with one GET at a time took 4.0 us of processor time a request on two loops
// and 2.8 us on one, which also answered half as many again in a second (beside the client, on two
// processors). What was tried instead: to rest for 20 to 100 us after a turn that found little; a
// rest costs as much as a waking.
//
// Everything of a lane is touched on its loop alone. The caller's thread gets there by posts, and
// waits until each loop has done its part; so the calls must not come from a loop. Closing takes
// two rounds, because a loop may have dealt a connection to another one just before it stopped
// accepting: that one's post comes before the second round's.
//
// Without a free file descriptor accepting would fail at once, again and again, while the
// connection waits: so the listener rests for a moment.

#include "door/resp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "door/connection.h"
#include "door/listen.h"
#include "door/notice.h"
#include "node/admit.h"

enum { ACCEPT_BATCH = 64, REST_MS = 100, PEER_SIZE = 64 };

typedef struct lane {
    fb_lane_state state;
    fb_resp_door *door;
    uint32_t index;
    struct event *tick;
    int result;                    // of opening it
    _Atomic uint64_t connections;  // dealt to it, and not gone
} lane;

typedef struct listener {
    lane *lane;
    int fd;
    struct event *accept;
    struct event *rest;  // ends a pause of `accept`
} listener;

struct fb_resp_door {
    fb_node *node;
    fb_listen listen;
    fb_door_tls *tls;    // NULL: none
    const char **shown;  // in the node: where it listens
    lane *lanes;
    uint32_t lane_count;
    listener *listeners;
    size_t listener_count;
    bool accepting;
    bool ended;  // no loop has anything of it any more
    _Atomic uint64_t connections;
    _Atomic uint64_t held_bytes;
    pthread_mutex_t lock;
    pthread_cond_t change;  // `to_do` or `connections` became 0
    uint32_t to_do;         // lanes that have not done their part yet
    void (*part)(lane *one);
};

// ---- a part for each loop

static void do_part(void *arg) {
    lane *one = arg;
    fb_resp_door *door = one->door;
    door->part(one);
    pthread_mutex_lock(&door->lock);
    if (--door->to_do == 0) {
        pthread_cond_broadcast(&door->change);
    }
    pthread_mutex_unlock(&door->lock);
}

// Runs `part` on every loop and waits for all. A post needs a little memory: closing cannot do
// without, so it is tried until it is there.
static void on_all_loops(fb_resp_door *door, void (*part)(lane *one)) {
    FB_ASSERT(fb_loop_current(door->node->engine) < 0);
    door->part = part;
    door->to_do = door->lane_count;
    for (uint32_t i = 0; i < door->lane_count; i++) {
        while (fb_loop_post(door->node->engine, i, do_part, &door->lanes[i]) != FB_OK) {
            struct timespec moment = {0, 1000000};
            (void)nanosleep(&moment, NULL);
        }
    }
    pthread_mutex_lock(&door->lock);
    while (door->to_do > 0) {
        pthread_cond_wait(&door->change, &door->lock);
    }
    pthread_mutex_unlock(&door->lock);
}

// ---- accepting

static void gone(void *arg) {
    lane *one = arg;
    fb_resp_door *door = one->door;
    atomic_fetch_sub_explicit(&one->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&door->node->connections, 1, memory_order_relaxed);
    if (atomic_fetch_sub(&door->connections, 1) == 1) {
        pthread_mutex_lock(&door->lock);
        pthread_cond_broadcast(&door->change);
        pthread_mutex_unlock(&door->lock);
    }
}

// Counts one more, if there may be one.
static bool enter(fb_resp_door *door) {
    fb_node *node = door->node;
    uint64_t before = atomic_fetch_add_explicit(&node->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&node->connections_total, 1, memory_order_relaxed);
    uint64_t most = atomic_load_explicit(&node->connections_max, memory_order_relaxed);
    if (most > 0 && before >= most) {
        atomic_fetch_sub_explicit(&node->connections, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&node->connections_refused, 1, memory_order_relaxed);
        fb_door_full("resp", most);
        return false;
    }
    atomic_fetch_add(&door->connections, 1);
    return true;
}

// With TLS there is nobody yet to whom anything could be said.
static void turn_away(const fb_resp_door *door, int fd, const char *why) {
    ssize_t sent = door->tls == NULL ? send(fd, why, strlen(why), MSG_NOSIGNAL) : 0;
    (void)sent;  // whether he hears it or not
    (void)close(fd);
}

// Whether its address may connect, by listen.connect_limit.
static bool admit(fb_resp_door *door, int fd, const char *peer) {
    char when[FB_ADMIT_TEXT_SIZE];
    char why[FB_ADMIT_TEXT_SIZE + 64];
    int64_t retry_s;
    if (fb_admit_connection(door->node, fb_str_of(peer), when, &retry_s)) {
        return true;
    }
    atomic_fetch_add_explicit(&door->node->connections_total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&door->node->connections_refused, 1, memory_order_relaxed);
    (void)snprintf(why, sizeof why, "-ERR max connections rate reached.%s%s\r\n",
                   when[0] != '\0' ? " " : "", when);
    turn_away(door, fd, why);
    return false;
}

// A silent peer is asked after idle_s, then three times more, a third of that apart, as Redis does.
static void set_options(const fb_resp_door *door, int fd) {
    int on = 1, times = 3;
    int idle_s = (int)atomic_load_explicit(&door->node->doors.keepalive_s, memory_order_relaxed);
    int every_s = idle_s / times > 0 ? idle_s / times : 1;
    // Each is for speed or tidiness alone: a connection without it works as well.
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (idle_s > 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    }
}

static void show_peer(const fb_resp_door *door, const struct sockaddr_storage *from,
                      char text[PEER_SIZE]) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *peer = (const struct sockaddr_in *)from;
        (void)inet_ntop(AF_INET, &peer->sin_addr, host, sizeof host);
        (void)snprintf(text, PEER_SIZE, "%s:%d", host, ntohs(peer->sin_port));
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *peer = (const struct sockaddr_in6 *)from;
        (void)inet_ntop(AF_INET6, &peer->sin6_addr, host, sizeof host);
        (void)snprintf(text, PEER_SIZE, "[%s]:%d", host, ntohs(peer->sin6_port));
    } else {
        const char *path = door->listen.local ? door->listen.address + strlen("unix:") : "unix";
        (void)snprintf(text, PEER_SIZE, "%.*s:0", PEER_SIZE - 3, path);
    }
}

// Whom the next connection is for. Loops that accept at the same time may choose the same one: it
// has one more than it should, until some go.
static lane *choose(fb_resp_door *door) {
    uint64_t fill = atomic_load_explicit(&door->node->doors.loop_clients, memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&door->connections, memory_order_relaxed) - 1;
    uint64_t used = fill > 0 ? before / fill + 1 : door->lane_count;
    lane *best = &door->lanes[0];
    for (uint32_t i = 1; i < door->lane_count && i < used; i++) {
        lane *other = &door->lanes[i];
        if (atomic_load_explicit(&other->connections, memory_order_relaxed) <
            atomic_load_explicit(&best->connections, memory_order_relaxed)) {
            best = other;
        }
    }
    return best;
}

typedef struct dealt {
    lane *to;
    int fd;
    char peer[PEER_SIZE];
} dealt;

// Counted already.
static void take_in(lane *here, int fd, const char *peer) {
    if (fb_connection_new(&here->state, fd, fb_str_of(peer)) < 0) {
        fb_log(FB_LOG_WARN, "connection_failed", "reason=\"out of memory\"");
    }
}

static void take_dealt(void *arg) {
    dealt *one = arg;
    take_in(one->to, one->fd, one->peer);
    fb_mem_free(one);
}

// Where there is no memory to do so, it stays here. Whether it went.
static bool deal(lane *to, int fd, const char *peer) {
    dealt *one = fb_mem_new(sizeof *one);
    if (one == NULL) {
        return false;
    }
    one->to = to;
    one->fd = fd;
    memcpy(one->peer, peer, sizeof one->peer);
    atomic_fetch_add_explicit(&to->connections, 1, memory_order_relaxed);
    if (fb_loop_post(to->door->node->engine, to->index, take_dealt, one) != FB_OK) {
        atomic_fetch_sub_explicit(&to->connections, 1, memory_order_relaxed);
        fb_mem_free(one);
        return false;
    }
    return true;
}

static void welcome(lane *here, int fd, const struct sockaddr_storage *from) {
    fb_resp_door *door = here->door;
    bool local = from->ss_family == AF_UNIX;
    char peer[PEER_SIZE] = "";
    show_peer(door, from, peer);
    if (!local && !admit(door, fd, peer)) {
        return;
    }
    if (!enter(door)) {
        turn_away(door, fd, "-ERR max number of clients reached\r\n");
        return;
    }
    if (!local) {
        set_options(door, fd);
    }
    lane *to = choose(door);
    if (to == here || !deal(to, fd, peer)) {
        atomic_fetch_add_explicit(&here->connections, 1, memory_order_relaxed);
        take_in(here, fd, peer);
    }
}

static void pause_accepting(listener *one, int number) {
    static const struct timeval pause = {0, REST_MS * 1000};
    static fb_door_notice notice;
    char text[128];
    uint64_t more;
    if (fb_door_notice_due(&notice, &more)) {
        fb_log(FB_LOG_WARN, "accept_failed", "address=%s reason=\"%s\" pause_ms=%d more=%llu",
               one->lane->door->listen.address, strerror_r(number, text, sizeof text), REST_MS,
               (unsigned long long)more);
    }
    if (event_add(one->rest, &pause) == 0) {
        (void)event_del(one->accept);
    }
}

static void on_rested(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    listener *one = arg;
    (void)event_add(one->accept, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    listener *one = arg;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int peer = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer >= 0) {
            welcome(one->lane, peer, &from);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            pause_accepting(one, errno);
            return;
        }
    }
}

// ---- parts

static void on_resume(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_connection_resume_all(arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_connection_watch_all(arg);
}

static void open_part(lane *one) {
    fb_resp_door *door = one->door;
    fb_lane_state *state = &one->state;
    struct event_base *base = fb_loop_base(door->node->engine, one->index);
    state->node = door->node;
    state->base = base;
    state->tls = door->tls;
    state->bounds = &FB_CONNECTION_BOUNDS_DEFAULT;
    state->held_bytes = &door->held_bytes;
    state->gone = gone;
    state->gone_arg = one;
    state->input = fb_mem_new(FB_CONNECTION_READ_LEN);
    state->resume = event_new(base, -1, 0, on_resume, state);
    one->tick = event_new(base, -1, EV_PERSIST, on_tick, state);
    bool ready = state->input != NULL && state->resume != NULL && one->tick != NULL &&
                 event_add(one->tick, &state->bounds->tick) == 0;
    one->result = ready ? FB_OK : FB_ENOMEM;
}

static void accept_at(listener *one) {
    struct event_base *base = one->lane->state.base;
    one->rest = evtimer_new(base, on_rested, one);
    one->accept = event_new(base, one->fd, EV_READ | EV_PERSIST, on_accept, one);
    bool ready = one->rest != NULL && one->accept != NULL && event_add(one->accept, NULL) == 0;
    if (!ready) {
        one->lane->result = FB_ENOMEM;
    }
}

// Not before every loop's part is open: one may be dealt a connection by another.
static void accept_part(lane *one) {
    for (size_t i = 0; i < one->door->listener_count; i++) {
        if (one->door->listeners[i].lane == one) {
            accept_at(&one->door->listeners[i]);
        }
    }
}

static void free_event(struct event **event) {
    if (*event != NULL) {
        event_free(*event);
        *event = NULL;
    }
}

static void stop_part(lane *one) {
    for (size_t i = 0; i < one->door->listener_count; i++) {
        listener *at = &one->door->listeners[i];
        if (at->lane == one) {
            free_event(&at->rest);
            free_event(&at->accept);
            (void)close(at->fd);
            at->fd = -1;
        }
    }
}

static void drain_part(lane *one) {
    fb_connection_drain_all(&one->state);
}

static void close_part(lane *one) {
    fb_connection_close_all(&one->state);
    free_event(&one->state.resume);
    free_event(&one->tick);
    fb_buf_release(&one->state.spare);
    fb_mem_free(one->state.input);
}

// ---- the door

static fb_resp_door *new_door(fb_node *node) {
    fb_resp_door *door = fb_mem_zero(1, sizeof *door);
    if (door == NULL) {
        return NULL;
    }
    door->node = node;
    door->lane_count = fb_loop_count(node->engine);
    door->lanes = fb_mem_zero(door->lane_count, sizeof *door->lanes);
    if (door->lanes == NULL) {
        fb_mem_free(door);
        return NULL;
    }
    for (uint32_t i = 0; i < door->lane_count; i++) {
        door->lanes[i].door = door;
        door->lanes[i].index = i;
        fb_list_init(&door->lanes[i].state.connections);
        fb_list_init(&door->lanes[i].state.ready);
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&door->lock, NULL);
    pthread_cond_init(&door->change, &attributes);
    pthread_condattr_destroy(&attributes);
    return door;
}

static void free_door(fb_resp_door *door) {
    pthread_cond_destroy(&door->change);
    pthread_mutex_destroy(&door->lock);
    fb_mem_free(door->listeners);
    fb_mem_free(door->lanes);
    fb_mem_free(door);
}

// Listener i is loop i's; more than there are loops begin again with the first.
static void use_sockets(fb_resp_door *door, const int *fds, size_t count) {
    for (size_t i = 0; i < count && fds[i] >= 0; i++) {
        door->listeners[i].lane = &door->lanes[i % door->lane_count];
        door->listeners[i].fd = fds[i];
        door->listener_count = i + 1;
    }
}

static int open_sockets(fb_resp_door *door, const fb_resp_options *options, fb_error *error) {
    bool taken = options->fd_count > 0;
    size_t count = taken ? options->fd_count : door->lane_count;
    int *fds = fb_mem_zero(count, sizeof *fds);
    int result = FB_ENOMEM;
    door->listeners = fb_mem_zero(count, sizeof *door->listeners);
    if (fds == NULL || door->listeners == NULL) {
        (void)fb_error_set(error, FB_ENOMEM, "out of memory");
    } else if (taken) {
        memcpy(fds, options->fds, count * sizeof *fds);
        result = fb_listen_take(fds, count, &door->listen, error);
    } else if (options->path != NULL) {
        fds[0] = -1;
        result = fb_listen_open_own(options->path, options->group, fds, &door->listen, error);
        count = 1;
    } else {
        result = fb_listen_open(options->address, count, fds, &door->listen, error);
    }
    if (result == FB_OK) {
        use_sockets(door, fds, count);
    } else if (taken) {
        fb_listen_close(options->fds, options->fd_count);
    }
    fb_mem_free(fds);
    return result;
}

static bool all_well(const fb_resp_door *door) {
    bool well = true;
    for (uint32_t i = 0; i < door->lane_count; i++) {
        well = well && door->lanes[i].result == FB_OK;
    }
    return well;
}

int fb_resp_open_with(fb_node *node, const fb_resp_options *options, fb_resp_door **out,
                      fb_error *error) {
    fb_resp_door *door = new_door(node);
    if (door == NULL) {
        fb_listen_close(options->fds, options->fd_count);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    door->tls = options->tls;
    door->shown = options->path != NULL  ? &node->socket_path
                  : options->tls != NULL ? &node->resp_tls_address
                                         : &node->resp_address;
    int result = open_sockets(door, options, error);
    if (result < 0) {
        free_door(door);
        return result;
    }
    // Sessions may ask for it as soon as it is listened on.
    *door->shown = door->listen.address + (options->path != NULL ? strlen("unix:") : 0);
    door->accepting = true;
    on_all_loops(door, open_part);
    if (all_well(door)) {
        on_all_loops(door, accept_part);
    }
    if (!all_well(door)) {
        fb_resp_close(door);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    *out = door;
    return FB_OK;
}

int fb_resp_open(fb_node *node, fb_str address, fb_resp_door **out, fb_error *error) {
    fb_resp_options options = {.address = address};
    return fb_resp_open_with(node, &options, out, error);
}

int fb_resp_open_own(fb_node *node, const char *path, uint32_t group, fb_resp_door **out,
                     fb_error *error) {
    fb_resp_options options = {.path = path, .group = group};
    return fb_resp_open_with(node, &options, out, error);
}

const char *fb_resp_address(const fb_resp_door *door) {
    return door->listen.address;
}

uint64_t fb_resp_connections(const fb_resp_door *door) {
    return atomic_load(&door->connections);
}

uint64_t fb_resp_connections_on(const fb_resp_door *door, uint32_t loop) {
    FB_ASSERT(loop < door->lane_count);
    return atomic_load(&door->lanes[loop].connections);
}

void fb_resp_stop_accepting(fb_resp_door *door) {
    if (door->accepting) {
        door->accepting = false;
        on_all_loops(door, stop_part);
        fb_listen_release(&door->listen);
    }
}

int fb_resp_drain(fb_resp_door *door, int64_t timeout_ms) {
    fb_resp_stop_accepting(door);
    on_all_loops(door, drain_part);
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t until_ns = (int64_t)until.tv_sec * 1000000000 + until.tv_nsec + timeout_ms * 1000000;
    until.tv_sec = (time_t)(until_ns / 1000000000);
    until.tv_nsec = (long)(until_ns % 1000000000);
    int waited = 0;
    pthread_mutex_lock(&door->lock);
    while (atomic_load(&door->connections) > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&door->change, &door->lock, &until);
    }
    pthread_mutex_unlock(&door->lock);
    return atomic_load(&door->connections) == 0 ? FB_OK : FB_ETIMEDOUT;
}

void fb_resp_end(fb_resp_door *door) {
    if (!door->ended) {
        door->ended = true;
        fb_resp_stop_accepting(door);
        on_all_loops(door, close_part);
    }
}

void fb_resp_close(fb_resp_door *door) {
    if (door == NULL) {
        return;
    }
    fb_resp_end(door);
    *door->shown = door->shown == &door->node->resp_address ? "" : NULL;
    free_door(door);
}
