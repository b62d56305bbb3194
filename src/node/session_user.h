// node/session_user.h -- as whom a connection has signed in, and what that lets it do.
//
// A session that may do anything compares one number for a command; that number is
// node->users_version, so that a change of any user makes each session look who it is now.
//
// Threads: the session's own loop; what CLIENT LIST reads is changed under fb_node_sessions_lock().

#ifndef FB_NODE_SESSION_USER_H
#define FB_NODE_SESSION_USER_H

#include "node/session_state.h"
#include "node/user.h"

#ifdef __cplusplus
extern "C" {
#endif

// As whom it starts, and is after RESET.
void fb_session_be_first(fb_session *session);
// Takes the reference; not NULL.
void fb_session_sign_in(fb_session *session, fb_user *user);
void fb_session_sign_off(fb_session *session);

// Ends all connections whose users were deleted, but for this one (may be NULL).
void fb_session_end_deleted(fb_node *node, const fb_session *but);

// Looks who it is now, and asks whether that user may run the command that is prepared. Says so and
// returns false where it may not, or ends the session where the user was deleted.
bool fb_session_ask(fb_command_call *call);
static inline bool fb_session_may(fb_command_call *call) {
    const fb_session *session = call->session;
    return session->all_allowed_at ==
               atomic_load_explicit(&session->node->users_version, memory_order_acquire) ||
           fb_session_ask(call);
}
// For the log: an attempt to sign in that failed, which is charged too.
void fb_session_failed(fb_command_call *call, fb_str name);

#ifdef __cplusplus
}
#endif

#endif
