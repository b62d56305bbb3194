// daemon/doors.h -- all the doors that the configuration asks for, as one: at their addresses or at
// sockets that were passed to us, with TLS or without.
//
// Threads: the main thread; prepare and publish under the caller's lock.

#ifndef FB_DAEMON_DOORS_H
#define FB_DAEMON_DOORS_H

#include "daemon/serve.h"
#include "door/http.h"
#include "door/listen.h"
#include "door/resp.h"
#include "node/users.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_daemon_doors {
    fb_node *node;
    fb_door_tls *tls;  // NULL: no door needs any
    fb_resp_door *resp, *resp_tls, *own;  // `own`: at listen.socket
    fb_http *http, *http_tls;
    char http_address[300], http_tls_address[300];
    // Of a socket that was passed and that other hosts can reach: its door; NULL: there is none.
    const char *passed_name;
    char passed_address[FB_LISTEN_ADDRESS_SIZE];
} fb_daemon_doors;

// Opens all; zeros before. What is wrong has been logged: FB_SERVE_OK, FB_SERVE_CONFIG
// (certificates, passed sockets), FB_SERVE_ADDRESS. Close it in any case.
int fb_daemon_doors_open(fb_daemon_doors *doors, fb_node *node, const fb_config *config);
// Reads the certificates that `config` names, to be put in force, or dropped, by the others.
FB_CHECK_RESULT int fb_daemon_doors_prepare(const fb_daemon_doors *doors, const fb_config *config,
                                            fb_door_tls_context **next, fb_error *error);
void fb_daemon_doors_publish(fb_daemon_doors *doors, fb_door_tls_context *next);
void fb_daemon_doors_drop(fb_door_tls_context *next);
// Whether `users` may be in force where sockets were passed that other hosts can reach: FB_EDENIED, as
// fb_guard_read() of addresses in the configuration.
FB_CHECK_RESULT int fb_daemon_doors_check(const fb_daemon_doors *doors, const fb_config *config,
                                          fb_users *users, fb_error *error);
// The address of each, "off" where there is none: for a line of log.
const char *fb_daemon_doors_resp(const fb_daemon_doors *doors);
const char *fb_daemon_doors_http(const fb_daemon_doors *doors);
const char *fb_daemon_doors_resp_tls(const fb_daemon_doors *doors);
const char *fb_daemon_doors_http_tls(const fb_daemon_doors *doors);
// Accepts no more.
void fb_daemon_doors_stop(fb_daemon_doors *doors);
// Answers what has arrived. Whether all are gone, `timeout_ms` for each door later at most.
bool fb_daemon_doors_drain(fb_daemon_doors *doors, int64_t timeout_ms);
void fb_daemon_doors_close(fb_daemon_doors *doors);

#ifdef __cplusplus
}
#endif

#endif
