// daemon/activation.h -- sockets that whoever started us has opened and listens on already, as
// systemd passes them (sd_listen_fds): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES.
//
// The names say which door each is for: resp, http, resp-tls, http-tls; a name may come several
// times. A door that is given sockets listens there instead of at its listen.* address.
// Threads: one.

#ifndef FB_DAEMON_ACTIVATION_H
#define FB_DAEMON_ACTIVATION_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_ACTIVATION_SOCKETS_MAX = 4 };  // for one door

typedef enum fb_activation_door {
    FB_ACTIVATION_RESP,
    FB_ACTIVATION_HTTP,
    FB_ACTIVATION_RESP_TLS,
    FB_ACTIVATION_HTTP_TLS,
    FB_ACTIVATION_DOORS
} fb_activation_door;

typedef struct fb_activation {
    int fds[FB_ACTIVATION_DOORS][FB_ACTIVATION_SOCKETS_MAX];
    size_t counts[FB_ACTIVATION_DOORS];
} fb_activation;

// What the environment says, which says it no more afterwards (a child of ours is not meant). Empty
// where nothing was passed, or not to this process. FB_EINVAL: `error` says what is wrong.
FB_CHECK_RESULT int fb_activation_take(fb_activation *activation, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
