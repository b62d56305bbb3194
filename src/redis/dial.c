// From a name to a socket.
//
// Addresses in figures, and paths, need no lookup. A name is asked for both kinds of address at
// once; they are tried in the order in which libevent hands them out.
//
// A lookup that is not wanted any more is cancelled, but libevent reports that too, later and by
// the same callback. So the callback's argument is an object of its own, which knows whether
// somebody still waits, and which the callback frees in any case.

#include "redis/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"

enum { KEEP_IDLE_S = 15, KEEP_INTERVAL_S = 5, KEEP_COUNT = 3 };

typedef struct fb_dial_lookup {
    fb_dial *dial;  // NULL: nobody waits any more
    fb_dial_fn fn;
    void *arg;
    struct evdns_getaddrinfo_request *request;
    char host[256];
} lookup;

// ---- addresses

static bool read_figures(const char *host, uint16_t port, fb_dial_address *address) {
    struct sockaddr_in *four = (struct sockaddr_in *)&address->bytes;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->bytes;
    *address = (fb_dial_address){.len = 0};
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        address->len = sizeof *four;
        return true;
    }
    // With a zone, "fe80::1%eth0", it is more than inet_pton() reads.
    int len = (int)sizeof *six;
    char text[300];
    (void)snprintf(text, sizeof text, "[%s]", host);
    if (strchr(host, ':') == NULL ||
        evutil_parse_sockaddr_port(text, (struct sockaddr *)six, &len) != 0) {
        return false;
    }
    six->sin6_port = htons(port);
    address->len = sizeof *six;
    return true;
}

static bool read_path(const char *path, fb_dial_address *address) {
    struct sockaddr_un *local = (struct sockaddr_un *)&address->bytes;
    *address = (fb_dial_address){.len = 0};
    if (strlen(path) >= sizeof local->sun_path) {
        return false;
    }
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path, strlen(path) + 1);
    address->len = sizeof *local;
    return true;
}

// ---- names

static void on_found(int result, struct evutil_addrinfo *list, void *arg) {
    lookup *one = arg;
    fb_dial *dial = one->dial;
    fb_dial_fn fn = one->fn;
    void *fn_arg = one->arg;
    fb_error error = {0};
    if (result == EVUTIL_EAI_NONAME || result == EVUTIL_EAI_NODATA) {
        (void)fb_error_set(&error, FB_EIO, "no such name: %s", one->host);
    } else if (result != 0) {
        (void)fb_error_set(&error, FB_EIO, "the name %s cannot be looked up: %s", one->host,
                           evutil_gai_strerror(result));
    }
    fb_mem_free(one);
    if (dial == NULL) {
        if (list != NULL) {
            evutil_freeaddrinfo(list);
        }
        return;
    }
    dial->lookup = NULL;
    dial->list = dial->next = list;
    fn(fn_arg, &error);
}

static void look_up(fb_dial *dial, const fb_dial_target *target, fb_dial_fn fn, void *arg) {
    fb_error error = {0};
    lookup *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        (void)fb_error_set(&error, FB_ENOMEM, "out of memory");
        fn(arg, &error);
        return;
    }
    *one = (lookup){.dial = dial, .fn = fn, .arg = arg};
    (void)snprintf(one->host, sizeof one->host, "%s", target->host);
    dial->lookup = one;
    struct evutil_addrinfo hints = {.ai_family = PF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)target->port);
    struct evdns_getaddrinfo_request *request =
        evdns_getaddrinfo(target->dns, target->host, port, &hints, on_found, one);
    // NULL: it has been answered already, and `one` is gone.
    if (request != NULL) {
        one->request = request;
    }
}

// ---- sockets

static void set_up(int fd, int family) {
    if (family == AF_UNIX) {
        return;
    }
    // A peer that vanished without a word is noticed within half a minute even where nothing is
    // sent to it.
    const int on = 1;
    const int idle = KEEP_IDLE_S;
    const int interval = KEEP_INTERVAL_S;
    const int count = KEEP_COUNT;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

// The next address, which is then no longer left.
static const struct sockaddr *take(fb_dial *dial, socklen_t *len) {
    if (dial->alone.len > 0) {
        *len = dial->alone.len;
        dial->alone.len = 0;
        return (const struct sockaddr *)&dial->alone.bytes;
    }
    struct evutil_addrinfo *one = dial->next;
    FB_ASSERT(one != NULL);
    dial->next = one->ai_next;
    *len = (socklen_t)one->ai_addrlen;
    return one->ai_addr;
}

// ---- public

const char *fb_dial_words(int system_error) {
    switch (system_error) {
    case ECONNREFUSED:
        return "connection refused";
    case ECONNRESET:
    case EPIPE:
        return "connection reset";
    case ETIMEDOUT:
        return "timed out";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "no route to it";
    case ENOENT:
        return "there is no such socket";
    case EACCES:
    case EPERM:
        return "permission denied";
    case EAGAIN:
        return "too many connections wait to be accepted there";
    default:
        return strerror(system_error);
    }
}

void fb_dial_find(fb_dial *dial, const fb_dial_target *target, fb_dial_fn fn, void *arg) {
    fb_dial_release(dial);
    fb_error error = {0};
    if (target->path != NULL) {
        if (!read_path(target->path, &dial->alone)) {
            (void)fb_error_set(&error, FB_EINVAL, "the path of the socket is too long");
        }
    } else if (!read_figures(target->host, target->port, &dial->alone)) {
        if (target->dns != NULL) {
            look_up(dial, target, fn, arg);
            return;
        }
        (void)fb_error_set(&error, FB_EINVAL, "%s is no address, and names are not looked up here",
                           target->host);
    }
    fn(arg, &error);
}

size_t fb_dial_left(const fb_dial *dial) {
    size_t count = dial->alone.len > 0 ? 1 : 0;
    for (const struct evutil_addrinfo *one = dial->next; one != NULL; one = one->ai_next) {
        count++;
    }
    return count;
}

int fb_dial_next(fb_dial *dial, int *fd, fb_error *error) {
    socklen_t len = 0;
    const struct sockaddr *address = take(dial, &len);
    *fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        return fb_error_set(error, FB_EIO, "no socket to be had: %s", strerror(errno));
    }
    set_up(*fd, address->sa_family);
    if (connect(*fd, address, len) == 0 || errno == EINPROGRESS) {
        return FB_OK;
    }
    int why = errno;
    (void)close(*fd);
    *fd = -1;
    return fb_error_set(error, FB_EIO, "%s", fb_dial_words(why));
}

void fb_dial_release(fb_dial *dial) {
    if (dial->lookup != NULL) {
        dial->lookup->dial = NULL;
        evdns_getaddrinfo_cancel(dial->lookup->request);
    }
    if (dial->list != NULL) {
        evutil_freeaddrinfo(dial->list);
    }
    *dial = (fb_dial){0};
}
