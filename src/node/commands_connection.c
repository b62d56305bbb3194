// Commands about the connection itself; CLIENT is commands_client.c.
//
// Users are node/users.h. An address that has been turned away too often is not listened to for a
// while, whatever it says (node/admit.h).

#include "node/command_table.h"

#include "base/str.h"
#include "node/admit.h"
#include "node/session_state.h"
#include "node/session_user.h"

void fb_connection_ping(fb_command_call *call) {
    if (call->arg_count > 2) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'ping' command");
    } else if (fb_session_only_listens(call->session)) {
        fb_reply_array(call->reply, 2);
        fb_reply_text(call->reply, "pong");
        fb_reply_bytes(call->reply, call->arg_count == 2 ? call->args[1] : FB_STR(""));
    } else if (call->arg_count == 2) {
        fb_reply_bytes(call->reply, call->args[1]);
    } else {
        fb_reply_status(call->reply, "PONG");
    }
}

void fb_connection_echo(fb_command_call *call) {
    fb_reply_bytes(call->reply, call->args[1]);
}

void fb_connection_quit(fb_command_call *call) {
    fb_reply_status(call->reply, "OK");
    call->outcome = FB_ECLOSED;
}

static void speak(fb_session *session, fb_encoding encoding) {
    session->encoding = encoding;
    atomic_store_explicit(&session->shown_encoding, (int)encoding, memory_order_relaxed);
}

void fb_connection_reset(fb_command_call *call) {
    speak(call->session, FB_ENCODING_RESP2);
    if (call->session->replies != FB_REPLIES_SKIP) {  // else this reply is the one to be skipped
        call->session->replies = FB_REPLIES_ON;
    }
    fb_queued_close(&call->session->queued);
    fb_session_unwatch(call->session);
    fb_session_stop_tracking(call->session);
    atomic_store(&call->session->subscribed, false);
    if (fb_session_rename(call->session, &call->session->name, FB_STR("")) < 0) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    fb_session_be_first(call->session);
    fb_reply_init(call->reply, FB_ENCODING_RESP2, call->reply->out);
    fb_reply_status(call->reply, "RESET");
}

void fb_connection_select(fb_command_call *call) {
    if (fb_command_db(call, 1)) {
        fb_reply_status(call->reply, "OK");
    }
}

// Says so and returns false where it failed too often before.
static bool may_sign_in(fb_command_call *call) {
    char text[FB_ADMIT_TEXT_SIZE];
    if (fb_admit_sign_in(call->node, fb_str_of(call->session->peer), text)) {
        return true;
    }
    fb_reply_error(call->reply, "ERR too many failed authentication attempts.%s%s",
                   text[0] != '\0' ? " " : "", text);
    return false;
}

// Says so and returns false where that user does not get in.
static bool sign_in(fb_command_call *call, fb_str name, fb_str password) {
    if (!may_sign_in(call)) {
        return false;
    }
    fb_user *user = fb_user_sign_in(call->node, name, password);
    if (user == NULL) {
        fb_session_failed(call, name);
        fb_reply_error(call->reply,
                       "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    fb_session_sign_in(call->session, user);
    return true;
}

// The password of "default" alone, as before there were users.
static bool may_do_without_user(fb_command_call *call) {
    fb_user *user = fb_user_first(call->node);
    bool open = user != NULL;
    fb_user_give(user);
    if (open && may_sign_in(call)) {
        fb_reply_error(call->reply,
                       "ERR AUTH <password> called without any password configured "
                       "for the default user. Are you sure your configuration is "
                       "correct?");
    }
    return !open;
}

void fb_connection_auth(fb_command_call *call) {
    bool named = call->arg_count == 3;
    if (call->arg_count > 3) {
        fb_command_syntax_error(call);
    } else if ((named || may_do_without_user(call)) &&
               sign_in(call, named ? call->args[1] : FB_STR("default"),
                       call->args[named ? 2 : 1])) {
        fb_reply_status(call->reply, "OK");
    }
}

// ---- HELLO

static bool read_protocol(fb_command_call *call, int64_t *protocol) {
    if (fb_str_int(call->args[1], protocol) != FB_OK) {
        fb_reply_error(call->reply, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (*protocol != 2 && *protocol != 3) {
        fb_reply_error(call->reply, "NOPROTO unsupported protocol version");
        return false;
    }
    return true;
}

// One word after the other is put in force, as in Redis; the protocol comes last.
static bool read_hello_options(fb_command_call *call) {
    for (size_t i = 2; i < call->arg_count; i++) {
        size_t left = call->arg_count - 1 - i;
        if (fb_command_word(call, i, "AUTH") && left >= 2) {
            if (!sign_in(call, call->args[i + 1], call->args[i + 2])) {
                return false;
            }
            i += 2;
        } else if (fb_command_word(call, i, "SETNAME") && left >= 1) {
            if (!fb_session_name(call, call->args[++i])) {
                return false;
            }
        } else {
            fb_reply_error(call->reply, "ERR Syntax error in HELLO option '%.*s'",
                           FB_STR_ARG(call->args[i]));
            return false;
        }
    }
    return true;
}

void fb_connection_hello(fb_command_call *call) {
    fb_session *session = call->session;
    int64_t protocol = session->encoding;
    if (call->arg_count > 1 && (!read_protocol(call, &protocol) || !read_hello_options(call))) {
        return;
    }
    if (session->user == NULL) {
        fb_reply_error(call->reply,
                       "NOAUTH HELLO must be called with the client already authenticated, "
                       "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                       "authenticate the client and select the RESP protocol version at the same "
                       "time");
        return;
    }
    speak(session, protocol == 3 ? FB_ENCODING_RESP3 : FB_ENCODING_RESP2);
    fb_reply *reply = call->reply;
    fb_reply_init(reply, session->encoding, reply->out);
    fb_reply_map(reply, 7);
    fb_reply_text(reply, "server");
    fb_reply_text(reply, "redis");
    fb_reply_text(reply, "version");
    fb_reply_text(reply, FB_REDIS_VERSION);
    fb_reply_text(reply, "proto");
    fb_reply_integer(reply, protocol);
    fb_reply_text(reply, "id");
    fb_reply_integer(reply, (int64_t)session->id);
    fb_reply_text(reply, "mode");
    fb_reply_text(reply, "standalone");
    fb_reply_text(reply, "role");
    fb_reply_text(reply, "master");
    fb_reply_text(reply, "modules");
    fb_reply_array(reply, 0);
}
