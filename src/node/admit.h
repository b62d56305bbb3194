// node/admit.h -- forebay's own limits: how often an address may connect, and fail to sign in. Both
// are asked of this process alone, and never wait.
//
// `peer` is an address with its port: "192.0.2.1:5000", "[2001:db8::1]:5000". Port 0 stands for a
// Unix socket, whose clients are not limited. Where a rule is not set, or there is none of that
// name, everybody may.
//
// Threads: any.

#ifndef FB_NODE_ADMIT_H
#define FB_NODE_ADMIT_H

#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_ADMIT_TEXT_SIZE = FB_LIMIT_MESSAGE_SIZE };

// Charges a connection. false: it may not come; `text` says when it may ("Try again in 5
// seconds."), and *retry_s how many seconds that is, or -1.
bool fb_admit_connection(fb_node *node, fb_str peer, char text[FB_ADMIT_TEXT_SIZE],
                         int64_t *retry_s);
// Whether the address may try to sign in; charges nothing. false: `text` as above.
bool fb_admit_sign_in(fb_node *node, fb_str peer, char text[FB_ADMIT_TEXT_SIZE]);
// Charges an attempt that failed.
void fb_admit_failed(fb_node *node, fb_str peer);

#ifdef __cplusplus
}
#endif

#endif
