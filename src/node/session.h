// node/session.h -- one RESP connection without its socket.
//
// The door feeds what it read and writes what lies in `out`. Commands run in order and replies
// leave in order. A command whose answer comes later (FB.FETCH on a miss) keeps its place: commands
// flagged "overlap" that follow may begin before it ends (so a pipeline of fetches loads at once),
// every other one waits for those before it.

#ifndef FB_NODE_SESSION_H
#define FB_NODE_SESSION_H

#include "base/buf.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_session fb_session;

enum {
    FB_SESSION_PACE_LEN = 256 * 1024,
    // Replies to come at the same time (below what a class lets wait for one key, or for its
    // source, so that one long pipeline is not told of overload), and bytes of those that wait for
    // one before them.
    FB_SESSION_SLOTS_MAX = 256,
    FB_SESSION_SLOT_BYTES_MAX = 16 * 1024 * 1024,
    // A command whose reply grows beyond this ends the connection.
    FB_SESSION_REPLY_LEN_MAX = 1024 * 1024 * 1024
};

// Called on the session's own loop when replies that were waited for have come: out may have grown,
// and input that was held back is to be fed again (with FB_ECLOSED from feed() also where there is
// none). Not called from within feed(). It may be called when nothing of that is so.
typedef void (*fb_session_wake_fn)(void *arg);

FB_CHECK_RESULT int fb_session_new(fb_node *node, fb_str peer, fb_session_wake_fn wake, void *arg,
                                   fb_session **session);
// Answers that are still to come are dropped when they come; no wake any more.
void fb_session_free(fb_session *session);

// Runs the commands in `input`, appending replies to fb_session_out(). *used: bytes taken; feed the
// rest again with more behind it.
// FB_OK: needs more input. FB_PENDING: holds back until the wake. FB_REFUSED: enough was said in
// one go (FB_SESSION_PACE_LEN and what the last command added); feed the rest when that is written.
// FB_ECLOSED: write what is in out, then close (QUIT, protocol error, no memory for a reply).
FB_CHECK_RESULT int fb_session_feed(fb_session *session, fb_str input, size_t *used);
// The owner takes bytes from its start, and may put another (empty) buffer in its place between
// calls.
fb_buf *fb_session_out(fb_session *session);
// Replies are still to come.
bool fb_session_waits(const fb_session *session);
// A hint: bytes the command in progress still needs at the least. What the peer announced, so take
// it as an upper bound.
size_t fb_session_wants(const fb_session *session);

#ifdef __cplusplus
}
#endif

#endif
