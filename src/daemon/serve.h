// daemon/serve.h -- the daemon: engine, node and doors wired together, until a signal says stop.

#ifndef FB_DAEMON_SERVE_H
#define FB_DAEMON_SERVE_H

#include "daemon/configure.h"

#ifdef __cplusplus
extern "C" {
#endif

// Exit statuses of `forebay serve`.
enum { FB_SERVE_OK = 0, FB_SERVE_FAILED = 1, FB_SERVE_CONFIG = 2, FB_SERVE_ADDRESS = 3 };

// Runs in the foreground; logs to standard error. SIGTERM and SIGINT drain and stop (a second one
// stops at once), SIGHUP reads the configuration again. Returns an exit status.
int fb_serve(const fb_configure *how);

#ifdef __cplusplus
}
#endif

#endif
