// node/session.h -- one RESP connection without its socket.
//
// The door feeds what it read and writes what lies in `out`. Commands run in order and replies
// leave in order. A command whose answer comes later (FB.FETCH on a miss) keeps its place: commands
// flagged "overlap" that follow may begin before it ends (so a pipeline of fetches loads at once),
// every other one waits for those before it.
//
// Commands between MULTI and EXEC are queued. EXEC runs them one after the other within one feed
// (so no other connection of the loop gets a word in), fetches among them without waiting for what
// they bring; only where so many are to come that FB_SESSION_SLOTS_MAX or FB_SESSION_SLOT_BYTES_MAX
// is reached, the rest runs when these have.

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
    // A command whose reply grows beyond this ends the connection, and so does a transaction.
    FB_SESSION_REPLY_LEN_MAX = 1024 * 1024 * 1024,
    // What MULTI may queue.
    FB_SESSION_QUEUED_LEN_MAX = 512 * 1024 * 1024,
    // A feed ends after a slow command when it took so long.
    FB_SESSION_FEED_US = 5000
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
// one go (FB_SESSION_PACE_LEN and what the last command added), or it took FB_SESSION_FEED_US; feed
// the rest when what was said is written.
// FB_ECLOSED: write what is in out, then close (QUIT, protocol error, no memory for a reply).
FB_CHECK_RESULT int fb_session_feed(fb_session *session, fb_str input, size_t *used);
// The owner takes bytes from its start, and may put another (empty) buffer in its place between
// calls.
fb_buf *fb_session_out(fb_session *session);
// CLIENT KILL was said of it: nothing of what it still has to say matters. feed() is FB_ECLOSED.
bool fb_session_is_killed(const fb_session *session);
// Replies are still to come.
bool fb_session_waits(const fb_session *session);
// A command waits for jobs: it is worth knowing when the peer goes.
bool fb_session_is_blocked(const fb_session *session);
// It waits no longer: it is answered, soon or within this call, with no jobs. Not within feed().
void fb_session_unblock(fb_session *session);
// As it was given to new().
const char *fb_session_peer(const fb_session *session);
// A hint: bytes the command in progress still needs at the least. What the peer announced, so take
// it as an upper bound.
size_t fb_session_wants(const fb_session *session);

#ifdef __cplusplus
}
#endif

#endif
