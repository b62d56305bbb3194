// node/session_state.h -- what handlers may see and change of their connection, and the slots in
// which replies that come later keep their place.
//
// Threads: the session's own loop; what CLIENT LIST of other loops reads is atomic, or changed
// under fb_node_sessions_lock().

#ifndef FB_NODE_SESSION_STATE_H
#define FB_NODE_SESSION_STATE_H

#include "base/list.h"
#include "node/command.h"
#include "node/queued.h"
#include "node/session.h"
#include "node/slow.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_reply_mode {
    FB_REPLIES_ON,
    FB_REPLIES_OFF,
    FB_REPLIES_SKIP,
    FB_REPLIES_SKIP_NEXT
} fb_reply_mode;

// What EXEC has begun: its reply's head is said next, then what was queued runs.
typedef enum fb_exec { FB_EXEC_NONE, FB_EXEC_BEGUN, FB_EXEC_RUNS } fb_exec;

// One reply that comes later, or waits for one that does.
typedef struct fb_slot {
    fb_list list;
    fb_session *session;  // NULL: freed meanwhile; then nobody wants the reply
    fb_reply *target;     // where to write the reply
    bool queued;          // the handler has returned, and the reply is still to come
    bool done;
    bool mute;
    bool alone;      // of a change: nothing begins before it is done
    bool ends;       // so does the session, with this reply
    bool with_meta;  // FB.FETCH: the reply is a map
    bool stopped;    // it waited for jobs, and is not to any more
    bool by_error;   // and is told so by an error
    bool in_exec;    // its reply is part of an array that has been announced
    fb_buf tracked;  // hashes of the keys that it reads, where the session tracks
    fb_slow_watch slow;  // of a command whose reply comes later
    const fb_command *command;  // that command, where it is counted (node/command_stats.h)
    struct fb_queue_wait *wait;  // FB.RESERVE: for jobs; NULL: it does not
    fb_reply reply;  // into bytes
    fb_buf bytes;
} fb_slot;

struct fb_session {
    fb_node *node;
    fb_session_wake_fn wake;
    void *wake_arg;
    fb_resp_command reader;
    fb_resp_limits limits;  // of what it reads
    fb_buf out;
    fb_list slots;     // in the order of their commands; the first is not done
    fb_slot *current;  // of the command that runs, if it has one
    fb_slot *spare;
    uint32_t slot_count;
    size_t slot_bytes;  // of those that are done
    fb_encoding encoding;
    fb_reply_mode replies;
    fb_queued queued;  // by MULTI, until EXEC has run it all
    fb_exec exec;
    bool muted;          // the last command was (EXEC: so is all that it runs)
    uint64_t run_count;  // commands
    bool held;           // the next command waits for all before it
    bool feeding;
    bool ending;  // no more commands; closed once the slots are empty
    int loop;      // whose thread it is on; -1: none of the engine's
    unsigned lane;  // node/turn.h
    bool claimed;  // the turn, for EXEC
    struct fb_watched *watched;  // by WATCH (session_keys.c)
    struct fb_optimistic *optimistic;  // the same with a shared tier (node/optimistic.h)
    bool watch_failed;  // not all is watched that was to be: EXEC does nothing
    // CLIENT TRACKING (node/tracking.h)
    _Atomic(struct fb_tracker *) tracker;  // made by any thread, under the lock of the list
    bool tracks;          // what it reads is remembered
    bool opt_in, opt_out;
    bool caching;         // CLIENT CACHING was said for the next command
    bool by_error;        // CLIENT UNBLOCK … ERROR: what waited is told so
    _Atomic bool subscribed;  // to FB_TRACKING_CHANNEL
    // What other connections want of it: see fb_session_poke().
    _Atomic int wanted;
    _Atomic bool shown_blocked;
    _Atomic size_t shown_input;  // bytes that its turn has to read
    struct fb_user *user;     // node/session_user.h; NULL: it has to sign in
    uint64_t users_version;   // as of which that is known
    uint64_t all_allowed_at;  // the same where nothing is kept from it, else UINT64_MAX

    // For CLIENT LIST
    uint64_t id;
    int64_t created_us;
    _Atomic int64_t used_us;
    _Atomic(const fb_command *) last;
    _Atomic int shown_encoding;
    _Atomic int shown_queued;  // -1 outside of MULTI
    char *peer;
    fb_buf name, library, library_version;
    fb_session *prev, *next;
};

// A slot for the reply of the command that runs, which writes to slot->target whenever it can, then
// calls fb_slot_finish(); also from within the handler. If that did not happen, the handler's
// outcome is FB_PENDING. NULL: no memory.
fb_slot *fb_session_slot(fb_command_call *call);
// The reply is written. On the session's loop (or anywhere once the session is freed).
void fb_slot_finish(fb_slot *slot);

// EXEC, whose array is announced: runs what is queued next, in this turn; see session.c.
void fb_session_execute(fb_session *session);

// ---- the keys that a command reads, and those that are watched (session_keys.c)

// What `call` is about to read, where the session tracks. `slot`: its reply may come later. NULL: not.
void fb_session_track(fb_command_call *call, fb_slot *slot);
// The same for one key that is not among the words.
void fb_session_track_key(fb_session *session, fb_slot *slot, fb_str key);
// In the place of a key that there is not.
void fb_session_track_nothing(fb_slot *slot);
// Of the keys that were tracked with the slot, the one at `index`: what was found; NULL: it failed.
void fb_session_settle_at(fb_slot *slot, size_t index, const fb_value *value);
// The slot's reply is written.
void fb_session_settle(fb_slot *slot);
// The state of a key is remembered; FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_session_watch(fb_session *session, fb_str key);
void fb_session_unwatch(fb_session *session);
// Whether one of them is in another state now.
bool fb_session_is_dirty(const fb_session *session);

// Names it; says so and returns false where that is no name.
bool fb_session_name(fb_command_call *call, fb_str name);
void fb_session_stop_tracking(fb_session *session);
// RESP2 and subscribed: but for a few commands it is only told of what it has subscribed to.
static inline bool fb_session_only_listens(const fb_session *session) {
    return atomic_load_explicit(&session->subscribed, memory_order_relaxed) &&
           session->encoding == FB_ENCODING_RESP2;
}

// The turn, for EXEC (node/turn.h): nothing of any other connection comes in between, until it is
// released, which happens at the end of the feed at the latest.
void fb_session_claim(fb_session *session);
void fb_session_release(fb_session *session);
// The same for one command, from here to fb_session_release(). false: nothing to release (EXEC has it
// already, or with a shared tier there is no such thing).
bool fb_session_claim_for(fb_command_call *call);

// ---- the list of all (session_list.c)

void fb_session_enter_list(fb_session *session);
void fb_session_leave_list(fb_session *session);
enum { FB_WANTED_END = 1, FB_WANTED_UNBLOCK = 2, FB_WANTED_UNBLOCK_ERROR = 4 };
// Of another connection, under the lock of the list: to be done on its loop, after fb_session_poke_all().
void fb_session_want(fb_session *session, int what);
// Not under the lock: loops on which something is wanted come by.
void fb_session_poke_all(fb_node *node);

// Sets one of the names above. FB_OK or FB_ENOMEM. Not for names with blanks or control bytes:
// fb_session_name_fits() first.
bool fb_session_name_fits(fb_str name);
FB_CHECK_RESULT int fb_session_rename(fb_session *session, fb_buf *which, fb_str name);

#ifdef __cplusplus
}
#endif

#endif
