// The list of all connections, and what one may want of another: that it ends, or waits no longer.
//
// A session belongs to its loop. So what is wanted of it is noted, under the lock of the list, which
// keeps it from going; then each loop is asked to look through the list for its own.

#include "node/session_state.h"

#include "base/check.h"

void fb_session_enter_list(fb_session *session) {
    fb_node *node = session->node;
    fb_node_sessions_lock(node);
    session->next = node->sessions;
    if (session->next != NULL) {
        session->next->prev = session;
    }
    node->sessions = session;
    fb_node_sessions_unlock(node);
}

void fb_session_leave_list(fb_session *session) {
    fb_node *node = session->node;
    fb_node_sessions_lock(node);
    if (session->prev != NULL) {
        session->prev->next = session->next;
    } else {
        node->sessions = session->next;
    }
    if (session->next != NULL) {
        session->next->prev = session->prev;
    }
    fb_node_sessions_unlock(node);
}

bool fb_session_name_fits(fb_str name) {
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] < '!' || name.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

int fb_session_rename(fb_session *session, fb_buf *which, fb_str name) {
    fb_buf renamed = {0};
    int result = fb_buf_append(&renamed, name);
    if (result < 0) {
        return result;
    }
    fb_node_sessions_lock(session->node);
    fb_buf before = *which;
    *which = renamed;
    fb_node_sessions_unlock(session->node);
    fb_buf_release(&before);
    return FB_OK;
}

// ---- wishes

void fb_session_want(fb_session *session, int what) {
    (void)atomic_fetch_or(&session->wanted, what);
}

// The next of this loop's that waits for something and is not to. Under the lock, those that are to end
// are woken: their next turn is their last.
static fb_session *next_to_unblock(fb_node *node, int loop, int *what) {
    fb_session *found = NULL;
    fb_node_sessions_lock(node);
    for (fb_session *one = node->sessions; one != NULL && found == NULL; one = one->next) {
        int wanted = one->loop == loop ? atomic_load(&one->wanted) : 0;
        if ((wanted & FB_WANTED_END) != 0) {
            one->wake(one->wake_arg);
        } else if (wanted != 0) {
            *what = atomic_fetch_and(&one->wanted, FB_WANTED_END);
            found = one;
        }
    }
    fb_node_sessions_unlock(node);
    return found;
}

static void come_by(void *arg) {
    fb_node *node = arg;
    int loop = fb_loop_current(node->engine);
    int what = 0;
    fb_session *session;
    while ((session = next_to_unblock(node, loop, &what)) != NULL) {
        session->by_error = (what & FB_WANTED_UNBLOCK_ERROR) != 0;
        fb_session_unblock(session);
        session->by_error = false;
    }
}

// Out of memory: it is seen to at the session's next turn.
void fb_session_poke_all(fb_node *node) {
    for (uint32_t i = 0; i < fb_loop_count(node->engine); i++) {
        int result = fb_loop_post(node->engine, i, come_by, node);
        FB_ASSERT(result == FB_OK || result == FB_ENOMEM);
    }
}
