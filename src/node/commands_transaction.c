// MULTI, EXEC, DISCARD. Client libraries send a pipeline between MULTI and EXEC by default; what
// they count on is one reply for all, in order, and that nothing of it is done where a command of
// it was wrong in itself. That is promised, and that no other command of the same connection, nor
// of any other on the same loop, comes in between. Other loops, HTTP and loads work on meanwhile:
// there is no isolation from them.
//
// So WATCH is refused. It would have to promise that nobody changes the keys between EXEC's look at
// their versions and its last command, which only a lock that every writer takes could keep. A
// check that fails to notice now and then is worse than an error: who uses WATCH relies on it.

#include "node/command_table.h"

#include "node/session_state.h"

static fb_queued *queued_of(const fb_command_call *call) {
    return &call->session->queued;
}

void fb_transaction_multi(fb_command_call *call) {
    if (queued_of(call)->open) {
        fb_reply_error(call->reply, "ERR MULTI calls can not be nested");
        return;
    }
    fb_queued_open(queued_of(call));
    fb_reply_status(call->reply, "OK");
}

void fb_transaction_discard(fb_command_call *call) {
    if (!queued_of(call)->open) {
        fb_reply_error(call->reply, "ERR DISCARD without MULTI");
        return;
    }
    fb_queued_close(queued_of(call));
    fb_reply_status(call->reply, "OK");
}

void fb_transaction_exec(fb_command_call *call) {
    fb_queued *queued = queued_of(call);
    if (!queued->open) {
        fb_reply_error(call->reply, "ERR EXEC without MULTI");
        return;
    }
    if (queued->spoilt) {
        fb_reply_error(call->reply, "EXECABORT Transaction discarded because of previous errors.");
    } else {
        fb_reply_array(call->reply, queued->count);
        if (!fb_reply_failed(call->reply)) {
            fb_session_execute(call->session);
            return;
        }
    }
    fb_queued_close(queued);
}

void fb_transaction_watch(fb_command_call *call) {
    if (queued_of(call)->open) {
        fb_reply_error(call->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    fb_reply_error(
        call->reply,
        "ERR WATCH is not supported: what runs in other threads is not kept from changing "
        "the keys while EXEC runs");
}

void fb_transaction_unwatch(fb_command_call *call) {
    fb_reply_status(call->reply, "OK");
}
