// node/tracking.h -- near caches: which connections keep what they read here, and telling them when a
// key is no longer what they read (CLIENT TRACKING).
//
// A connection that tracks is registered for a key before the key is read. The first change after that
// takes it out again, and a notice for it is put by, which leaves behind the reply of that read. So a
// client never keeps something whose notice it has had already.
//
// A tracker is a connection's part in this: made when it begins to track, or when another one's notices
// are redirected to it. Notices wait there until the connection's own loop writes them; beyond some
// amount they become one that says "everything".
//
// Threads: any, under one lock for each node; what is said to be the session's is its loop's alone.

#ifndef FB_NODE_TRACKING_H
#define FB_NODE_TRACKING_H

#include "base/buf.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fb_session;
typedef struct fb_tracking fb_tracking;
typedef struct fb_tracker fb_tracker;

#define FB_TRACKING_CHANNEL "__redis__:invalidate"

enum {
    // Bytes of notices that wait for one connection; then they become one.
    FB_TRACKING_WAITING_MAX = 1024 * 1024
};

typedef struct fb_tracking_wish {
    bool bcast, noloop;
    uint64_t redirect;  // a connection's number; 0: none
    const fb_str *prefixes;
    size_t prefix_count;
} fb_tracking_wish;

// What became of it, as CLIENT TRACKINGINFO tells.
typedef struct fb_tracking_state {
    bool on, bcast, noloop, broken;
    uint64_t redirect;
    size_t prefix_count;
} fb_tracking_state;

// ---- by the session, on its loop

// Begins, or changes what is asked for (of BCAST the prefixes are added to those that are there).
// FB_OK, FB_ENOMEM; FB_MISS: no connection has the number `redirect`; FB_EFULL: the engine has too many
// who watch.
FB_CHECK_RESULT int fb_tracking_begin(struct fb_session *session, const fb_tracking_wish *wish);
void fb_tracking_end(struct fb_session *session);
void fb_tracking_state_read(struct fb_session *session, fb_tracking_state *state);
// Each prefix, in the order in which they came.
typedef void (*fb_tracking_prefix_fn)(void *arg, fb_str prefix);
void fb_tracking_prefixes(struct fb_session *session, fb_tracking_prefix_fn fn, void *arg);
// Registers it for a key that is about to be read. *hash (may be NULL) is for settle(); where it is
// given, what a load brings meanwhile is no change. Without memory it is told that the key has changed,
// which is safe.
void fb_tracking_read(struct fb_session *session, fb_str key, uint64_t *hash);
// The reply is there, of a value of that version (0: not known). `kept`: and this node's memory keeps
// what it says; else it is told so. Once more changes nothing.
void fb_tracking_settle(struct fb_session *session, uint64_t hash, uint64_t version, bool kept);
// Whose turn it is on this thread: whose changes are NOLOOP's, and whose notices are written at its end
// anyway. NULL: nobody's.
void fb_tracking_turn(const struct fb_session *session);
// Whether notices wait for it: one load.
bool fb_tracking_waiting(const struct fb_session *session);
// Writes them all, in the session's encoding. FB_OK; FB_ENOMEM: all of them wait still.
FB_CHECK_RESULT int fb_tracking_write(struct fb_session *session, fb_buf *out);
// Nothing more is said to it: it has ended, though its peer may not have closed yet.
void fb_tracking_retire(struct fb_session *session);
// It goes.
void fb_tracking_leave(struct fb_session *session);

// ---- for all

typedef struct fb_tracking_figures {
    uint64_t clients, keys, readers, prefixes;
} fb_tracking_figures;
void fb_tracking_figures_read(fb_node *node, fb_tracking_figures *figures);
// The bound of how many keys are remembered (node->doors.tracking_keys_max) may be lower now.
void fb_tracking_make_room(fb_node *node);

#ifdef __cplusplus
}
#endif

#endif
