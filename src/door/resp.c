// The RESP door: listeners on every loop, and the life of the whole.
//
// Each loop accepts for itself from its own socket on the shared port. A Unix socket cannot be
// shared that way: the first loop accepts for all and deals the connections out in turn.
//
// Everything of a lane is touched on its loop alone. The caller's thread gets there by posts, and
// waits until each loop has done its part; so the calls must not come from a loop. Closing takes
// two rounds, because the first loop may have dealt a connection to another one just before it
// stopped accepting: that one's post comes before the second round's.
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

enum { ACCEPT_BATCH = 64, REST_MS = 100, KEEPALIVE_S = 300, PEER_SIZE = 64 };

typedef struct lane {
    fb_lane_state state;
    fb_resp_door *door;
    uint32_t index;
    int fd;  // its listener, or -1
    struct event *accept;
    struct event *rest;  // ends a pause of `accept`
    int result;          // of opening it
} lane;

struct fb_resp_door {
    fb_node *node;
    fb_listen listen;
    bool own;  // the one at node->socket_path
    lane *lanes;
    uint32_t lane_count;
    uint32_t next_lane;  // of a Unix socket; the first loop's
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
    fb_resp_door *door = arg;
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
    if (node->connections_max > 0 && before >= node->connections_max) {
        atomic_fetch_sub_explicit(&node->connections, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&node->connections_refused, 1, memory_order_relaxed);
        return false;
    }
    atomic_fetch_add(&door->connections, 1);
    return true;
}

static void turn_away(int fd) {
    static const char text[] = "-ERR max number of clients reached\r\n";
    ssize_t sent = send(fd, text, sizeof text - 1, MSG_NOSIGNAL);
    (void)sent;  // whether he hears it or not
    (void)close(fd);
}

static void set_options(int fd) {
    int on = 1;
    int idle_s = KEEPALIVE_S;
    // Each is for speed or tidiness alone: a connection without it works as well.
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
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
        (void)snprintf(text, PEER_SIZE, "%.*s:0", PEER_SIZE - 3,
                       door->listen.address + strlen("unix:"));
    }
}

typedef struct dealt {
    lane *to;
    int fd;
} dealt;

static void take_dealt(void *arg) {
    dealt one = *(dealt *)arg;
    char peer[PEER_SIZE];
    fb_mem_free(arg);
    show_peer(one.to->door, &(struct sockaddr_storage){.ss_family = AF_UNIX}, peer);
    if (fb_connection_new(&one.to->state, one.fd, fb_str_of(peer)) < 0) {
        fb_log(FB_LOG_WARN, "connection_failed", "reason=\"out of memory\"");
    }
}

// To the loops in turn; where there is no memory to do so, this one keeps it.
static lane *deal(lane *here, int fd) {
    fb_resp_door *door = here->door;
    lane *to = &door->lanes[door->next_lane++ % door->lane_count];
    if (to == here) {
        return here;
    }
    dealt *one = fb_mem_new(sizeof *one);
    if (one == NULL) {
        return here;
    }
    *one = (dealt){to, fd};
    if (fb_loop_post(door->node->engine, to->index, take_dealt, one) != FB_OK) {
        fb_mem_free(one);
        return here;
    }
    return to;
}

static void welcome(lane *here, int fd, const struct sockaddr_storage *from) {
    fb_resp_door *door = here->door;
    char peer[PEER_SIZE];
    if (!enter(door)) {
        turn_away(fd);
        return;
    }
    if (door->listen.local) {
        if (deal(here, fd) != here) {
            return;
        }
    } else {
        set_options(fd);
    }
    show_peer(door, from, peer);
    if (fb_connection_new(&here->state, fd, fb_str_of(peer)) < 0) {
        fb_log(FB_LOG_WARN, "connection_failed", "reason=\"out of memory\"");
    }
}

static void pause_accepting(lane *one, int number) {
    static const struct timeval pause = {0, REST_MS * 1000};
    char text[128];
    fb_log(FB_LOG_WARN, "accept_failed", "address=%s reason=\"%s\" pause_ms=%d",
           one->door->listen.address, strerror_r(number, text, sizeof text), REST_MS);
    if (event_add(one->rest, &pause) == 0) {
        (void)event_del(one->accept);
    }
}

static void on_rested(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    lane *one = arg;
    (void)event_add(one->accept, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    lane *one = arg;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int peer = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer >= 0) {
            welcome(one, peer, &from);
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

static void open_part(lane *one) {
    fb_resp_door *door = one->door;
    fb_lane_state *state = &one->state;
    struct event_base *base = fb_loop_base(door->node->engine, one->index);
    state->node = door->node;
    state->base = base;
    state->bounds = &FB_CONNECTION_BOUNDS_DEFAULT;
    state->held_bytes = &door->held_bytes;
    state->gone = gone;
    state->gone_arg = door;
    state->input = fb_mem_new(FB_CONNECTION_READ_LEN);
    state->resume = event_new(base, -1, 0, on_resume, state);
    one->result = state->input != NULL && state->resume != NULL ? FB_OK : FB_ENOMEM;
}

// Not before every loop's part is open: one may be dealt a connection by another.
static void accept_part(lane *one) {
    if (one->fd >= 0) {
        one->rest = evtimer_new(one->state.base, on_rested, one);
        one->accept = event_new(one->state.base, one->fd, EV_READ | EV_PERSIST, on_accept, one);
        bool ready = one->rest != NULL && one->accept != NULL && event_add(one->accept, NULL) == 0;
        one->result = ready ? FB_OK : FB_ENOMEM;
    }
}

static void stop_part(lane *one) {
    if (one->rest != NULL) {
        event_free(one->rest);
        one->rest = NULL;
    }
    if (one->accept != NULL) {
        event_free(one->accept);
        one->accept = NULL;
    }
    if (one->fd >= 0) {
        (void)close(one->fd);
        one->fd = -1;
    }
}

static void drain_part(lane *one) {
    fb_connection_drain_all(&one->state);
}

static void close_part(lane *one) {
    fb_connection_close_all(&one->state);
    if (one->state.resume != NULL) {
        event_free(one->state.resume);
    }
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
        door->lanes[i].fd = -1;
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
    fb_mem_free(door->lanes);
    fb_mem_free(door);
}

static int open_sockets(fb_resp_door *door, fb_str address, fb_error *error) {
    int *fds = fb_mem_zero(door->lane_count, sizeof *fds);
    if (fds == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = fb_listen_open(address, door->lane_count, fds, &door->listen, error);
    for (uint32_t i = 0; i < door->lane_count && result == FB_OK; i++) {
        door->lanes[i].fd = fds[i];
    }
    fb_mem_free(fds);
    return result;
}

// Sessions may ask for the address as soon as it is listened on.
static void show_address(fb_resp_door *door, bool open) {
    if (door->own) {
        door->node->socket_path = open ? door->listen.address + strlen("unix:") : NULL;
    } else {
        door->node->resp_address = open ? door->listen.address : "";
    }
}

static bool all_well(const fb_resp_door *door) {
    bool well = true;
    for (uint32_t i = 0; i < door->lane_count; i++) {
        well = well && door->lanes[i].result == FB_OK;
    }
    return well;
}

// With its sockets open (`result`), or not.
static int start_door(fb_resp_door *door, int result, fb_resp_door **out, fb_error *error) {
    if (result < 0) {
        free_door(door);
        return result;
    }
    show_address(door, true);
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
    fb_resp_door *door = new_door(node);
    if (door == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    return start_door(door, open_sockets(door, address, error), out, error);
}

int fb_resp_open_own(fb_node *node, const char *path, uint32_t group, fb_resp_door **out,
                     fb_error *error) {
    fb_resp_door *door = new_door(node);
    if (door == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    door->own = true;
    int result = fb_listen_open_own(path, group, &door->lanes[0].fd, &door->listen, error);
    return start_door(door, result, out, error);
}

const char *fb_resp_address(const fb_resp_door *door) {
    return door->listen.address;
}

uint64_t fb_resp_connections(const fb_resp_door *door) {
    return atomic_load(&door->connections);
}

void fb_resp_stop_accepting(fb_resp_door *door) {
    bool accepting = door->listen.address[0] != '\0' && door->lanes[0].fd >= 0;
    if (accepting) {
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

void fb_resp_close(fb_resp_door *door) {
    if (door == NULL) {
        return;
    }
    fb_resp_stop_accepting(door);
    on_all_loops(door, close_part);
    show_address(door, false);
    free_door(door);
}
