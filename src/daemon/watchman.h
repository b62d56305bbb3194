// daemon/watchman.h -- what the main thread does between signals: it looks whether the loops turn and the
// targets are met, and tells the service manager.
//
// Threads: the main one.

#ifndef FB_DAEMON_WATCHMAN_H
#define FB_DAEMON_WATCHMAN_H

#include <signal.h>

#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_watchman fb_watchman;

// The node's engine is open. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_watchman_new(fb_node *node, fb_watchman **watchman);
// After fb_close(). NULL is fine.
void fb_watchman_free(fb_watchman *watchman);
// Does what is due. Often is fine: in between nothing is.
void fb_watchman_turn(fb_watchman *watchman);
// The next signal of the set; turns until it comes.
int fb_watchman_wait(fb_watchman *watchman, const sigset_t *set);

#ifdef __cplusplus
}
#endif

#endif
