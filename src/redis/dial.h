// redis/dial.h -- sockets to the addresses of one server, one after the other.
//
// Threads: its loop's only. Zero-initialise; release it.

#ifndef FB_REDIS_DIAL_H
#define FB_REDIS_DIAL_H

#include <event2/util.h>
#include <sys/socket.h>

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct evdns_base;

typedef struct fb_dial_address {
    struct sockaddr_storage bytes;
    socklen_t len;
} fb_dial_address;

typedef struct fb_dial {
    struct fb_dial_lookup *lookup;  // under way
    struct evutil_addrinfo *list;   // what was found
    struct evutil_addrinfo *next;   // of it
    fb_dial_address alone;          // where no name had to be looked up; len 0: no more
} fb_dial;

typedef struct fb_dial_target {
    const char *path;  // of a Unix socket; else NULL
    const char *host;
    uint16_t port;
    struct evdns_base *dns;  // NULL: `host` must be an address
} fb_dial_target;

// `error` is FB_OK, or why there is no address.
typedef void (*fb_dial_fn)(void *arg, const fb_error *error);

// Calls `fn` when there are addresses, or when there are none: perhaps at once. What was there
// before is released.
void fb_dial_find(fb_dial *dial, const fb_dial_target *target, fb_dial_fn fn, void *arg);
// How many addresses are left.
size_t fb_dial_left(const fb_dial *dial);
// A socket on its way to the next address: writable when it is there. FB_EIO: not to this one.
FB_CHECK_RESULT int fb_dial_next(fb_dial *dial, int *fd, fb_error *error);
void fb_dial_release(fb_dial *dial);

// "connection refused" and the like, for what connect() or a socket says.
const char *fb_dial_words(int system_error);

#ifdef __cplusplus
}
#endif

#endif
