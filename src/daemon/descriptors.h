// daemon/descriptors.h -- as many file descriptors as the system allows, and how many clients that
// is enough for.

#ifndef FB_DAEMON_DESCRIPTORS_H
#define FB_DAEMON_DESCRIPTORS_H

#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

// Raises the soft limit, sets node->connections_possible, and where that is less than
// node->connections_max, that too, with a warning that says so.
void fb_descriptors_raise(fb_node *node);

#ifdef __cplusplus
}
#endif

#endif
