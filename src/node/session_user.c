// Who a connection is.
//
// The user is looked up again when the set has changed, by its identity: rights take effect with the
// next command, and a session whose user is gone ends without an answer, as a connection that was
// killed does. Who has not signed in becomes "default" as soon as that needs no password.

#include "node/session_user.h"

#include "base/buf.h"
#include "base/str.h"
#include "node/admit.h"
#include "node/command_table.h"
#include "node/users.h"

#define NEVER UINT64_MAX

// Takes the reference.
static void become(fb_session *session, fb_user *user, uint64_t version) {
    fb_node_sessions_lock(session->node);
    fb_user *before = session->user;
    session->user = user;
    fb_node_sessions_unlock(session->node);
    fb_user_give(before);
    session->users_version = version;
    session->all_allowed_at = fb_user_may_all(user) ? version : NEVER;
}

// Read before the user is looked up: what changes in between is looked for again.
static uint64_t version_now(const fb_session *session) {
    return atomic_load_explicit(&session->node->users_version, memory_order_acquire);
}

void fb_session_be_first(fb_session *session) {
    uint64_t version = version_now(session);
    become(session, fb_user_first(session->node), version);
}

void fb_session_sign_in(fb_session *session, fb_user *user) {
    become(session, user, NEVER);  // it may have changed since
}

void fb_session_sign_off(fb_session *session) {
    become(session, NULL, NEVER);
}

// false: its user was deleted.
static bool look_again(fb_session *session) {
    uint64_t version = version_now(session);
    if (session->users_version == version) {
        return true;
    }
    fb_user *user = session->user != NULL ? fb_user_current(session->node, session->user)
                                          : fb_user_first(session->node);
    bool gone = session->user != NULL && user == NULL;
    become(session, user, version);
    return !gone;
}

static bool is_deleted(fb_node *node, const fb_user *user) {
    fb_user *now = user != NULL ? fb_user_current(node, user) : NULL;
    fb_user_give(now);
    return user != NULL && now == NULL;
}

// Those that say something end by themselves; what is idle, or only listens, is told here.
void fb_session_end_deleted(fb_node *node, const fb_session *but) {
    bool any = false;
    fb_node_sessions_lock(node);
    for (fb_session *one = node->sessions; one != NULL; one = one->next) {
        if (one != but && is_deleted(node, one->user)) {
            fb_session_want(one, FB_WANTED_END);
            any = true;
        }
    }
    fb_node_sessions_unlock(node);
    if (any) {
        fb_session_poke_all(node);
    }
}

// ---- what is denied

static void note(fb_command_call *call, const char *reason, fb_str object, fb_str user) {
    const fb_session *session = call->session;
    char name[FB_COMMAND_NAME_SIZE];
    fb_buf client = {0};
    if (fb_buf_printf(&client, "id=%llu addr=%s name=%.*s cmd=%s user=%s",
                      (unsigned long long)session->id, session->peer, (int)session->name.len,
                      session->name.len > 0 ? session->name.ptr : "",
                      fb_command_full_name(call->command, name),
                      fb_user_name(session->user)) == FB_OK) {
        fb_users_event event = {
            .reason = reason,
            .context = session->queued.open ? "multi" : "toplevel",
            .object = object,
            .user = user,
            .client = fb_buf_str(&client),
        };
        fb_users_note(call->node, &event);
    }
    fb_buf_release(&client);
}

void fb_session_failed(fb_command_call *call, fb_str name) {
    char text[FB_COMMAND_NAME_SIZE];
    fb_admit_failed(call->node, fb_str_of(call->session->peer));
    note(call, "auth", fb_str_of(fb_command_full_name(call->command, text)), name);
}

static void say(fb_command_call *call, fb_denial denial) {
    const fb_session *session = call->session;
    char name[FB_COMMAND_NAME_SIZE];
    const char *prefix =
        call->command->run == fb_multi_exec ? "EXECABORT Transaction discarded because of: "
                                                  : "";
    if (denial == FB_DENIED_NO_USER) {
        fb_reply_error(call->reply, "%sNOAUTH Authentication required.", prefix);
    } else if (session->exec == FB_EXEC_RUNS) {
        fb_reply_error(call->reply,
                       "NOPERM ACLs rules changed between the moment the transaction was "
                       "accumulated and the EXEC call. This command is no longer allowed for the "
                       "following reason: %s",
                       denial == FB_DENIED_COMMAND
                           ? "no permission to execute the command or subcommand"
                           : "no permission to touch the specified keys");
    } else if (denial == FB_DENIED_COMMAND) {
        fb_reply_error(call->reply,
                       "%sNOPERM this user has no permissions to run the '%s' command", prefix,
                       fb_command_full_name(call->command, name));
    } else {
        fb_reply_error(call->reply,
                       "%sNOPERM this user has no permissions to access one of the %s used as "
                       "arguments",
                       prefix, denial == FB_DENIED_KEY ? "keys" : "channels");
    }
}

bool fb_session_ask(fb_command_call *call) {
    fb_session *session = call->session;
    fb_str object;
    if (!look_again(session)) {
        session->ending = true;
        call->outcome = FB_ECLOSED;
        return false;
    }
    fb_denial denial = fb_user_check(session->user, call, &object);
    if (denial == FB_DENIED_NOT) {
        return true;
    }
    if (denial != FB_DENIED_NO_USER) {
        char name[FB_COMMAND_NAME_SIZE];
        bool command = denial == FB_DENIED_COMMAND;
        note(call, command ? "command" : denial == FB_DENIED_KEY ? "key" : "channel",
             command ? fb_str_of(fb_command_full_name(call->command, name)) : object,
             fb_str_of(fb_user_name(session->user)));
    }
    say(call, denial);
    return false;
}
