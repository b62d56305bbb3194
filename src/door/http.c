// The HTTP door: a listener and a server on every loop, and the life of the whole.
//
// Each loop accepts for itself from its own socket on the shared port. A Unix socket cannot be
// shared that way: all loops wait at the same one, and whoever comes first accepts.
//
// Everything of a lane is touched on its loop alone. The caller's thread gets there by posts, and
// waits until each loop has done its part.

#include "door/http.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "door/http_lane.h"
#include "door/listen.h"

typedef struct part {
    fb_http *http;
    fb_http_lane lane;
    uint32_t index;
    int fd;
    int result;
} part;

struct fb_http {
    fb_http_common common;
    fb_listen listen;
    part *parts;
    uint32_t part_count;
    bool accepting;
    pthread_mutex_t lock;
    pthread_cond_t change;  // `to_do` or the connections became 0
    uint32_t to_do;         // loops that have not done their part yet
    void (*work)(part *one);
};

// ---- a part for each loop

static void do_part(void *arg) {
    part *one = arg;
    fb_http *http = one->http;
    http->work(one);
    pthread_mutex_lock(&http->lock);
    if (--http->to_do == 0) {
        pthread_cond_broadcast(&http->change);
    }
    pthread_mutex_unlock(&http->lock);
}

// A post needs a little memory. Closing cannot do without, so it is tried until it is there.
static void on_all_loops(fb_http *http, void (*work)(part *one)) {
    fb_engine *engine = http->common.node->engine;
    FB_ASSERT(fb_loop_current(engine) < 0);
    http->work = work;
    http->to_do = http->part_count;
    for (uint32_t i = 0; i < http->part_count; i++) {
        while (fb_loop_post(engine, i, do_part, &http->parts[i]) != FB_OK) {
            static const struct timespec moment = {0, 1000000};
            (void)nanosleep(&moment, NULL);
        }
    }
    pthread_mutex_lock(&http->lock);
    while (http->to_do > 0) {
        pthread_cond_wait(&http->change, &http->lock);
    }
    pthread_mutex_unlock(&http->lock);
}

static void open_part(part *one) {
    struct event_base *base = fb_loop_base(one->http->common.node->engine, one->index);
    one->result = fb_http_lane_open(&one->lane, &one->http->common, base, one->fd);
}

static void stop_part(part *one) {
    fb_http_lane_stop(&one->lane);
}

static void drain_part(part *one) {
    fb_http_lane_drain(&one->lane);
}

static void close_part(part *one) {
    fb_http_lane_close(&one->lane);
}

// ---- opening

static int64_t or_default(int64_t given, int64_t normal) {
    return given > 0 ? given : normal;
}

static fb_http_limits complete(const fb_http_limits *given) {
    fb_http_limits none = {0};
    const fb_http_limits *from = given != NULL ? given : &none;
    return (fb_http_limits){
        .idle_ms = or_default(from->idle_ms, 60000),
        .slow_ms = or_default(from->slow_ms, 10000),
        .header_len_max = (size_t)or_default((int64_t)from->header_len_max, 64 << 10),
        .body_len_max = (size_t)or_default((int64_t)from->body_len_max, 64 << 20),
        .bodies_len_max = (size_t)or_default((int64_t)from->bodies_len_max, 256 << 20),
    };
}

static void wake(void *arg) {
    fb_http *http = arg;
    pthread_mutex_lock(&http->lock);
    pthread_cond_broadcast(&http->change);
    pthread_mutex_unlock(&http->lock);
}

static fb_http *new_door(fb_node *node, const fb_http_limits *limits) {
    fb_http *http = fb_mem_zero(1, sizeof *http);
    if (http == NULL) {
        return NULL;
    }
    http->common.node = node;
    http->common.limits = complete(limits);
    http->part_count = fb_loop_count(node->engine);
    http->parts = fb_mem_zero(http->part_count, sizeof *http->parts);
    if (http->parts == NULL) {
        fb_mem_free(http);
        return NULL;
    }
    for (uint32_t i = 0; i < http->part_count; i++) {
        http->parts[i].http = http;
        http->parts[i].index = i;
        http->parts[i].fd = -1;
    }
    http->common.empty = wake;
    http->common.empty_arg = http;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->change, &attributes);
    pthread_condattr_destroy(&attributes);
    return http;
}

static void free_door(fb_http *http) {
    pthread_cond_destroy(&http->change);
    pthread_mutex_destroy(&http->lock);
    fb_mem_free(http->parts);
    fb_mem_free(http);
}

static int open_sockets(fb_http *http, const char *address, fb_error *error) {
    int *fds = fb_mem_zero(http->part_count, sizeof *fds);
    if (fds == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = fb_listen_open(fb_str_of(address), http->part_count, fds, &http->listen, error);
    for (uint32_t i = 0; i < http->part_count && result == FB_OK; i++) {
        // Without a socket of its own a loop serves nobody, and the others do.
        bool shared = http->listen.local && i > 0;
        http->parts[i].fd = shared ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : fds[i];
    }
    fb_mem_free(fds);
    return result;
}

int fb_http_open(fb_node *node, const char *address, fb_http **out, fb_error *error) {
    return fb_http_open_with(node, address, NULL, out, error);
}

int fb_http_open_with(fb_node *node, const char *address, const fb_http_limits *limits,
                      fb_http **out, fb_error *error) {
    fb_http *http = new_door(node, limits);
    if (http == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = open_sockets(http, address, error);
    if (result < 0) {
        free_door(http);
        return result;
    }
    http->accepting = true;
    on_all_loops(http, open_part);
    for (uint32_t i = 0; i < http->part_count; i++) {
        if (http->parts[i].result < 0) {
            fb_http_close(http);
            return fb_error_set(error, FB_ENOMEM, "out of memory");
        }
    }
    *out = http;
    return FB_OK;
}

void fb_http_address(const fb_http *http, char *text, size_t text_size) {
    (void)snprintf(text, text_size, "%s", http->listen.address);
}

uint64_t fb_http_connections(const fb_http *http) {
    return atomic_load(&http->common.connections);
}

// ---- closing

void fb_http_stop(fb_http *http) {
    if (http->accepting) {
        http->accepting = false;
        on_all_loops(http, stop_part);
        fb_listen_release(&http->listen);
    }
}

int fb_http_drain(fb_http *http, int64_t timeout_ms) {
    struct timespec until;
    int waited = 0;
    fb_http_stop(http);
    on_all_loops(http, drain_part);
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t until_ns = (int64_t)until.tv_sec * 1000000000 + until.tv_nsec + timeout_ms * 1000000;
    until.tv_sec = (time_t)(until_ns / 1000000000);
    until.tv_nsec = (long)(until_ns % 1000000000);
    pthread_mutex_lock(&http->lock);
    while (fb_http_connections(http) > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&http->change, &http->lock, &until);
    }
    pthread_mutex_unlock(&http->lock);
    return fb_http_connections(http) == 0 ? FB_OK : FB_ETIMEDOUT;
}

void fb_http_close(fb_http *http) {
    if (http == NULL) {
        return;
    }
    fb_http_stop(http);
    on_all_loops(http, close_part);
    free_door(http);
}
