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
    bool with_meta;  // FB.FETCH: the reply is a map
    fb_reply reply;  // into bytes
    fb_buf bytes;
} fb_slot;

struct fb_session {
    fb_node *node;
    fb_session_wake_fn wake;
    void *wake_arg;
    fb_resp_command reader;
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

// Sets one of the names above. FB_OK or FB_ENOMEM. Not for names with blanks or control bytes:
// fb_session_name_fits() first.
bool fb_session_name_fits(fb_str name);
FB_CHECK_RESULT int fb_session_rename(fb_session *session, fb_buf *which, fb_str name);

#ifdef __cplusplus
}
#endif

#endif
