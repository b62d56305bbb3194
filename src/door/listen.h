// door/listen.h -- sockets that listen at an address people wrote.
//
// "127.0.0.1:6380", "[::1]:6380", "localhost:6380", "*:6380" and ":6380" (every interface), port 0
// (any that is free), "unix:/run/forebay.sock".

#ifndef FB_DOOR_LISTEN_H
#define FB_DOOR_LISTEN_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_LISTEN_ADDRESS_SIZE = 160 };

typedef struct fb_listen {
    bool local;                            // a Unix socket: one for all
    bool taken;                            // from somebody else, whose its name is
    char address[FB_LISTEN_ADDRESS_SIZE];  // as it is bound, with the port that was free
} fb_listen;

// Opens `count` sockets, non-blocking, that share the address (of a Unix socket fds[0] alone, the
// others are -1). FB_OK; FB_EINVAL: no such form; FB_EIO: `error` names the address and what the
// system said.
FB_CHECK_RESULT int fb_listen_open(fb_str address, size_t count, int *fds, fb_listen *listen,
                                   fb_error *error);
// A Unix socket for this user alone, or for the members of a group too (a group's number;
// UINT32_MAX: none). Its address is absolute. FB_OK, FB_EINVAL, FB_EIO.
FB_CHECK_RESULT int fb_listen_open_own(const char *path, uint32_t group, int *fd,
                                       fb_listen *listen, fb_error *error);
// Makes sockets ours that somebody else opened and listens on (socket activation): non-blocking,
// and not for child processes. `listen` shows the first. FB_OK; FB_EINVAL: one is no such socket.
FB_CHECK_RESULT int fb_listen_take(const int *fds, size_t count, fb_listen *listen,
                                   fb_error *error);
void fb_listen_close(const int *fds, size_t count);
// Takes the name of a Unix socket out of its folder. The sockets are the caller's to close.
void fb_listen_release(const fb_listen *listen);

#ifdef __cplusplus
}
#endif

#endif
