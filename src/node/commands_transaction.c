// MULTI, EXEC, DISCARD, WATCH. Client libraries send a pipeline between MULTI and EXEC by default; what
// they count on is one reply for all, in order, and that nothing of it is done where a command of it was
// wrong in itself.
//
// EXEC claims the turn (node/turn.h): from its look at the watched keys to its last command no other
// connection, on whatever loop, and no HTTP request gets a word in. What is not kept out are the
// engine's own doings, which no client asked for just then: a load that lands, an entry that expires or
// is evicted. A watched key that these have changed is a changed key (session_keys.c).
//
// A transaction that has to wait (for jobs, or for so many loads that FB_SESSION_SLOTS_MAX is reached)
// is alone up to there.
//
// With a shared tier other nodes write too, and each command may wait for Redis. EXEC runs its commands
// one after the other there; after WATCH, as one transaction of the engine (node/optimistic.h).

#include "node/command_table.h"

#include "node/optimistic.h"
#include "node/session_state.h"

static fb_queued *queued_of(const fb_command_call *call) {
    return &call->session->queued;
}

void fb_multi_begin(fb_command_call *call) {
    if (queued_of(call)->open) {
        fb_reply_error(call->reply, "ERR MULTI calls can not be nested");
        return;
    }
    fb_queued_open(queued_of(call));
    fb_reply_status(call->reply, "OK");
}

void fb_multi_discard(fb_command_call *call) {
    if (!queued_of(call)->open) {
        fb_reply_error(call->reply, "ERR DISCARD without MULTI");
        return;
    }
    fb_queued_close(queued_of(call));
    fb_session_unwatch(call->session);
    fb_reply_status(call->reply, "OK");
}

// One command, too: MSET takes its keys one by one.
static bool wants_turn(const fb_session *session) {
    return !session->node->waits && (session->queued.count > 0 || session->watched != NULL);
}

void fb_multi_exec(fb_command_call *call) {
    fb_session *session = call->session;
    fb_queued *queued = queued_of(call);
    if (!queued->open) {
        fb_reply_error(call->reply, "ERR EXEC without MULTI");
        return;
    }
    if (session->optimistic != NULL && !queued->spoilt && !session->watch_failed) {
        fb_optimistic_exec(call);
        return;
    }
    bool runs = false;
    if (queued->spoilt) {
        fb_reply_error(call->reply, "EXECABORT Transaction discarded because of previous errors.");
    } else if (session->watch_failed) {
        fb_reply_error(call->reply, "EXECABORT Transaction discarded because WATCH failed");
    } else {
        if (wants_turn(session)) {
            fb_session_claim(session);
        }
        if (fb_session_is_dirty(session)) {
            fb_reply_null_array(call->reply);
        } else {
            fb_reply_array(call->reply, queued->count);
            runs = !fb_reply_failed(call->reply);
        }
    }
    fb_session_unwatch(session);
    if (runs) {
        fb_session_execute(session);
    } else {
        fb_session_release(session);
        fb_queued_close(queued);
    }
}

void fb_multi_watch(fb_command_call *call) {
    if (queued_of(call)->open) {
        fb_reply_error(call->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    if (call->node->waits) {
        fb_optimistic_watch(call);
        return;
    }
    int result = FB_OK;
    for (size_t i = 1; i < call->arg_count && result == FB_OK; i++) {
        result = fb_session_watch(call->session, call->args[i]);
    }
    if (result < 0) {
        call->session->watch_failed = true;
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_status(call->reply, "OK");
    }
}

void fb_multi_unwatch(fb_command_call *call) {
    fb_session_unwatch(call->session);
    fb_reply_status(call->reply, "OK");
}
