// The HTTP door: a listener and a server on every loop, and the life of the whole.
//
// Each loop accepts for itself from its own socket on the shared port. A Unix socket, and one that
// somebody opened for us, cannot be shared that way: all loops wait at the same one, and whoever
// comes first accepts.
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
    int fds[FB_HTTP_LISTENERS_MAX];
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
    one->result = fb_http_lane_open(&one->lane, &one->http->common, base, one->fds);
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
    fb_http_feed_init(&http->common.feed, node);
    if (limits != NULL) {
        http->common.limits = *limits;
    }
    http->part_count = fb_loop_count(node->engine);
    http->parts = fb_mem_zero(http->part_count, sizeof *http->parts);
    if (http->parts == NULL) {
        fb_mem_free(http);
        return NULL;
    }
    for (uint32_t i = 0; i < http->part_count; i++) {
        http->parts[i].http = http;
        http->parts[i].index = i;
        for (size_t j = 0; j < FB_HTTP_LISTENERS_MAX; j++) {
            http->parts[i].fds[j] = -1;
        }
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
    fb_http_feed_release(&http->common.feed);
    pthread_cond_destroy(&http->change);
    pthread_mutex_destroy(&http->lock);
    fb_mem_free(http->parts);
    fb_mem_free(http);
}

// One socket for all loops. Without one of its own a loop serves nobody, and the others do.
static void share(fb_http *http, size_t place, int fd) {
    http->parts[0].fds[place] = fd;
    for (uint32_t i = 1; i < http->part_count; i++) {
        http->parts[i].fds[place] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
}

static int take_sockets(fb_http *http, const fb_http_options *options, fb_error *error) {
    int result = options->fd_count <= FB_HTTP_LISTENERS_MAX
                     ? fb_listen_take(options->fds, options->fd_count, &http->listen, error)
                     : fb_error_set(error, FB_EINVAL, "%zu sockets for one door: at most %d",
                                    options->fd_count, FB_HTTP_LISTENERS_MAX);
    if (result < 0) {
        fb_listen_close(options->fds, options->fd_count);
        return result;
    }
    for (size_t i = 0; i < options->fd_count; i++) {
        share(http, i, options->fds[i]);
    }
    return FB_OK;
}

static int open_sockets(fb_http *http, const char *address, fb_error *error) {
    int *fds = fb_mem_zero(http->part_count, sizeof *fds);
    if (fds == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = fb_listen_open(fb_str_of(address), http->part_count, fds, &http->listen, error);
    if (result == FB_OK && http->listen.local) {
        share(http, 0, fds[0]);
    }
    for (uint32_t i = 0; i < http->part_count && result == FB_OK && !http->listen.local; i++) {
        http->parts[i].fds[0] = fds[i];
    }
    fb_mem_free(fds);
    return result;
}

int fb_http_open(fb_node *node, const char *address, fb_http **out, fb_error *error) {
    return fb_http_open_with(node, address, NULL, out, error);
}

int fb_http_open_with(fb_node *node, const char *address, const fb_http_limits *limits,
                      fb_http **out, fb_error *error) {
    fb_http_options options = {.address = address, .limits = limits};
    return fb_http_open_as(node, &options, out, error);
}

int fb_http_open_as(fb_node *node, const fb_http_options *options, fb_http **out,
                    fb_error *error) {
    fb_http *http = new_door(node, options->limits);
    if (http == NULL) {
        fb_listen_close(options->fds, options->fd_count);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    http->common.tls = options->tls;
    int result = options->fd_count > 0 ? take_sockets(http, options, error)
                                       : open_sockets(http, options->address, error);
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
