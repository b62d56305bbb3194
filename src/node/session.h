// node/session.h -- one RESP connection without its socket.
//
// The door feeds what it read and writes what lies in `out`. Commands run in order and replies leave
// in order. A command whose answer comes later (FB.FETCH on a miss) keeps its place: commands flagged
// "overlap" that follow may begin before it ends (so a pipeline of fetches loads at once), every other
// one waits for those before it.

#ifndef FB_NODE_SESSION_H
#define FB_NODE_SESSION_H

#include "base/buf.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_session fb_session;

// Called on the session's own loop when replies that were waited for have come (out may have grown, and
// input that was held back may now be fed). Not called from within feed().
typedef void (*fb_session_wake_fn)(void *arg);

FB_CHECK_RESULT int fb_session_new(fb_node *node, fb_str peer, fb_session_wake_fn wake, void *arg,
                                   fb_session **session);
// Answers that are still to come are dropped when they come; no wake any more.
void fb_session_free(fb_session *session);

// Runs the commands in `input`, appending replies to fb_session_out(). *used: bytes taken; feed the rest again
// with more behind it. FB_OK: needs more input. FB_PENDING: holds back until the wake. FB_ECLOSED: write what is in
// out, then close (QUIT, protocol error).
FB_CHECK_RESULT int fb_session_feed(fb_session *session, fb_str input, size_t *used);
fb_buf *fb_session_out(fb_session *session);
// A hint: bytes the command in progress still needs at the least.
size_t fb_session_wants(const fb_session *session);

#ifdef __cplusplus
}
#endif

#endif
