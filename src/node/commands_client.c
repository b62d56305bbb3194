// CLIENT: a connection about itself, and about the others.
//
// Others run on loops of their own. What CLIENT LIST shows of them is atomic or changes under the lock of
// the list; what KILL and UNBLOCK want of them is noted there, and done by their loops
// (session_list.c). So the answer says whom it concerns; that it is done follows at once.

#include "node/command_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/session_state.h"
#include "node/session_user.h"
#include "node/tracking.h"
#include "node/users.h"

// ---- about itself

bool fb_session_name(fb_command_call *call, fb_str name) {
    if (!fb_session_name_fits(name)) {
        fb_reply_error(call->reply,
                       "ERR Client names cannot contain spaces, newlines or special "
                       "characters.");
        return false;
    }
    if (fb_session_rename(call->session, &call->session->name, name) < 0) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return false;
    }
    return true;
}

void fb_client_id(fb_command_call *call) {
    fb_reply_integer(call->reply, (int64_t)call->session->id);
}

void fb_client_getname(fb_command_call *call) {
    if (call->session->name.len == 0) {
        fb_reply_null(call->reply);
    } else {
        fb_reply_bytes(call->reply, fb_buf_str(&call->session->name));
    }
}

void fb_client_setname(fb_command_call *call) {
    if (fb_session_name(call, call->args[2])) {
        fb_reply_status(call->reply, "OK");
    }
}

void fb_client_setinfo(fb_command_call *call) {
    fb_session *session = call->session;
    bool library = fb_command_word(call, 2, "LIB-NAME");
    if (!library && !fb_command_word(call, 2, "LIB-VER")) {
        fb_reply_error(call->reply, "ERR Unrecognized option '%.*s'", FB_STR_ARG(call->args[2]));
        return;
    }
    if (!fb_session_name_fits(call->args[3])) {
        fb_reply_error(call->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                       library ? "lib-name" : "lib-ver");
        return;
    }
    fb_buf *which = library ? &session->library : &session->library_version;
    int result = fb_session_rename(session, which, call->args[3]);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_status(call->reply, "OK");
    }
}

void fb_client_no_evict(fb_command_call *call) {
    if (fb_command_word(call, 2, "ON") || fb_command_word(call, 2, "OFF")) {
        fb_reply_status(call->reply, "OK");
    } else {
        fb_command_syntax_error(call);
    }
}

void fb_client_reply(fb_command_call *call) {
    fb_session *session = call->session;
    if (fb_command_word(call, 2, "ON")) {
        session->replies = FB_REPLIES_ON;
        fb_reply_status(call->reply, "OK");
    } else if (fb_command_word(call, 2, "OFF")) {
        session->replies = FB_REPLIES_OFF;
    } else if (fb_command_word(call, 2, "SKIP")) {
        if (session->replies != FB_REPLIES_OFF) {
            session->replies = FB_REPLIES_SKIP_NEXT;
        }
    } else {
        fb_command_syntax_error(call);
    }
}

// ---- telling of one

typedef enum client_kind { KIND_ANY, KIND_NORMAL, KIND_PUBSUB, KIND_OTHER } client_kind;

static bool is_kind(const fb_session *session, client_kind kind) {
    bool subscribed = atomic_load_explicit(&session->subscribed, memory_order_relaxed);
    return kind == KIND_ANY || kind == (subscribed ? KIND_PUBSUB : KIND_NORMAL);
}

static bool read_kind(fb_command_call *call, fb_str word, client_kind *kind) {
    if (fb_str_same(word, FB_STR("normal"))) {
        *kind = KIND_NORMAL;
    } else if (fb_str_same(word, FB_STR("pubsub"))) {
        *kind = KIND_PUBSUB;
    } else if (fb_str_same(word, FB_STR("master")) || fb_str_same(word, FB_STR("replica")) ||
               fb_str_same(word, FB_STR("slave"))) {
        *kind = KIND_OTHER;
    } else {
        fb_reply_error(call->reply, "ERR Unknown client type '%.*s'",
                       (int)(word.len < 128 ? word.len : 128), word.ptr);
        return false;
    }
    return true;
}

// By a Unix socket, whose path is the address of both sides.
static bool is_local(const fb_session *session) {
    return session->peer[0] == '/';
}

static const char *own_address(const fb_session *session) {
    const char *address = session->node->resp_address;
    return is_local(session) ? session->peer : address != NULL ? address : "";
}

// As Redis has them, in its order.
static void write_flags(const fb_session *session, const fb_tracking_state *tracking,
                        char flags[16]) {
    size_t len = 0;
    if (is_kind(session, KIND_PUBSUB)) {
        flags[len++] = 'P';
    }
    if (atomic_load_explicit(&session->shown_queued, memory_order_relaxed) >= 0) {
        flags[len++] = 'x';
    }
    if (atomic_load_explicit(&session->shown_blocked, memory_order_relaxed)) {
        flags[len++] = 'b';
    }
    if (tracking->on) {
        flags[len++] = 't';
    }
    if (tracking->on && tracking->broken) {
        flags[len++] = 'R';
    }
    if (tracking->on && tracking->bcast) {
        flags[len++] = 'B';
    }
    if (is_local(session)) {
        flags[len++] = 'U';
    }
    if (len == 0) {
        flags[len++] = 'N';
    }
    flags[len] = '\0';
}

// One line of CLIENT LIST, under the lock of the list. The fields are Redis's; those that count what is
// not kept here are 0.
static int describe(fb_session *session, int64_t now_us, fb_buf *out) {
    const fb_command *last = atomic_load_explicit(&session->last, memory_order_relaxed);
    int64_t used_us = atomic_load_explicit(&session->used_us, memory_order_relaxed);
    fb_str name = fb_buf_str(&session->name);
    fb_str library = fb_buf_str(&session->library);
    fb_str version = fb_buf_str(&session->library_version);
    char last_name[FB_COMMAND_NAME_SIZE];
    char flags[16];
    fb_tracking_state tracking;
    fb_tracking_state_read(session, &tracking);
    write_flags(session, &tracking, flags);
    return fb_buf_printf(
        out,
        "id=%llu addr=%s laddr=%s fd=-1 name=%.*s age=%lld idle=%lld flags=%s db=0 sub=%d psub=0 "
        "ssub=0 multi=%d qbuf=%zu qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 "
        "omem=0 tot-mem=0 events=r cmd=%s user=%s redir=%lld resp=%d lib-name=%.*s "
        "lib-ver=%.*s\n",
        (unsigned long long)session->id, session->peer, own_address(session), FB_STR_ARG(name),
        (long long)(now_us - session->created_us) / 1000000,
        (long long)(now_us - used_us) / 1000000, flags, is_kind(session, KIND_PUBSUB) ? 1 : 0,
        atomic_load_explicit(&session->shown_queued, memory_order_relaxed),
        atomic_load_explicit(&session->shown_input, memory_order_relaxed),
        last != NULL ? fb_command_full_name(last, last_name) : "NULL",
        session->user != NULL ? fb_user_name(session->user) : "default",
        tracking.on ? (long long)tracking.redirect : -1LL,
        atomic_load_explicit(&session->shown_encoding, memory_order_relaxed), FB_STR_ARG(library),
        FB_STR_ARG(version));
}

void fb_client_info(fb_command_call *call) {
    fb_buf line = {0};
    fb_node_sessions_lock(call->node);
    int result = describe(call->session, call->node->wall_us(), &line);
    fb_node_sessions_unlock(call->node);
    if (result < 0) {
        fb_command_failed(call, FB_ENOMEM, NULL);
    } else {
        fb_reply_verbatim(call->reply, fb_buf_str(&line));
    }
    fb_buf_release(&line);
}

// ---- LIST

static int compare_ids(const void *a, const void *b) {
    const int64_t *one = a;
    const int64_t *two = b;
    return (*one > *two) - (*one < *two);
}

// `ids` in ascending order, or NULL for all. The list stands still meanwhile, so this is quick:
// each session is looked for among the ids.
static void list(fb_command_call *call, const int64_t *ids, size_t id_count, client_kind kind) {
    fb_buf lines = {0};
    int result = FB_OK;
    int64_t now_us = call->node->wall_us();
    fb_node_sessions_lock(call->node);
    for (fb_session *one = call->node->sessions; one != NULL && result == FB_OK; one = one->next) {
        int64_t id = (int64_t)one->id;
        if (is_kind(one, kind) &&
            (ids == NULL || bsearch(&id, ids, id_count, sizeof *ids, compare_ids) != NULL)) {
            result = describe(one, now_us, &lines);
        }
    }
    fb_node_sessions_unlock(call->node);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_verbatim(call->reply, fb_buf_str(&lines));
    }
    fb_buf_release(&lines);
}

static void list_ids(fb_command_call *call) {
    size_t count = call->arg_count - 3;
    int64_t *ids = fb_mem_new(count * sizeof *ids);
    if (ids == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    bool valid = true;
    for (size_t i = 0; i < count && valid; i++) {
        valid = fb_str_int(call->args[3 + i], &ids[i]) == FB_OK;
    }
    if (valid) {
        qsort(ids, count, sizeof *ids, compare_ids);
        list(call, ids, count, KIND_ANY);
    } else {
        fb_reply_error(call->reply, "ERR Invalid client ID");
    }
    fb_mem_free(ids);
}

void fb_client_list(fb_command_call *call) {
    client_kind kind;
    if (call->arg_count == 2) {
        list(call, NULL, 0, KIND_ANY);
    } else if (call->arg_count == 4 && fb_command_word(call, 2, "TYPE")) {
        if (read_kind(call, call->args[3], &kind)) {
            list(call, NULL, 0, kind);
        }
    } else if (call->arg_count > 3 && fb_command_word(call, 2, "ID")) {
        list_ids(call);
    } else {
        fb_command_syntax_error(call);
    }
}

// ---- KILL

typedef struct victims {
    uint64_t id;  // 0: any
    fb_str address, own_address;
    fb_user *user;
    client_kind kind;
    bool spares_me;
} victims;

static bool read_victim(fb_command_call *call, size_t at, victims *which) {
    fb_str value = call->args[at + 1];
    int64_t id = 0;
    if (fb_command_word(call, at, "ID")) {
        if (fb_str_int(value, &id) != FB_OK || id < 1) {
            fb_reply_error(call->reply, "ERR client-id should be greater than 0");
            return false;
        }
        which->id = (uint64_t)id;
    } else if (fb_command_word(call, at, "TYPE")) {
        return read_kind(call, value, &which->kind);
    } else if (fb_command_word(call, at, "ADDR")) {
        which->address = value;
    } else if (fb_command_word(call, at, "LADDR")) {
        which->own_address = value;
    } else if (fb_command_word(call, at, "USER")) {
        fb_user_give(which->user);
        which->user = fb_users_find(call->node, value);
        if (which->user == NULL) {
            fb_reply_error(call->reply, "ERR No such user '%.*s'",
                           (int)(value.len < 128 ? value.len : 128), value.ptr);
            return false;
        }
    } else if (fb_command_word(call, at, "SKIPME") &&
               (fb_command_word(call, at + 1, "YES") || fb_command_word(call, at + 1, "NO"))) {
        which->spares_me = fb_command_word(call, at + 1, "YES");
    } else {
        fb_command_syntax_error(call);
        return false;
    }
    return true;
}

static bool read_victims(fb_command_call *call, victims *which) {
    if (call->arg_count == 3) {
        which->address = call->args[2];
        return true;
    }
    which->spares_me = true;
    for (size_t i = 2; i < call->arg_count; i += 2) {
        if (i + 1 == call->arg_count) {
            fb_command_syntax_error(call);
            return false;
        }
        if (!read_victim(call, i, which)) {
            return false;
        }
    }
    return true;
}

static bool is_victim(const fb_session *session, const victims *which) {
    const char *user = session->user != NULL ? fb_user_name(session->user) : "default";
    return (which->id == 0 || which->id == session->id) && is_kind(session, which->kind) &&
           (which->address.ptr == NULL ||
            fb_str_equal(which->address, fb_str_of(session->peer))) &&
           (which->own_address.ptr == NULL ||
            fb_str_equal(which->own_address, fb_str_of(own_address(session)))) &&
           (which->user == NULL ||
            fb_str_equal(fb_str_of(fb_user_name(which->user)), fb_str_of(user)));
}

static size_t kill_all(fb_command_call *call, const victims *which) {
    size_t count = 0;
    fb_node_sessions_lock(call->node);
    for (fb_session *one = call->node->sessions; one != NULL; one = one->next) {
        if (!is_victim(one, which) || (one == call->session && which->spares_me)) {
            continue;
        }
        count++;
        if (one == call->session) {
            call->outcome = FB_ECLOSED;
        } else {
            fb_session_want(one, FB_WANTED_END);
        }
    }
    fb_node_sessions_unlock(call->node);
    fb_session_poke_all(call->node);
    return count;
}

void fb_client_kill(fb_command_call *call) {
    victims which = {.kind = KIND_ANY};
    if (read_victims(call, &which)) {
        size_t count = kill_all(call, &which);
        if (call->arg_count > 3) {
            fb_reply_integer(call->reply, (int64_t)count);
        } else if (count > 0) {
            fb_reply_status(call->reply, "OK");
        } else {
            fb_reply_error(call->reply, "ERR No such client");
        }
    }
    fb_user_give(which.user);
}

// ---- UNBLOCK

void fb_client_unblock(fb_command_call *call) {
    int64_t id = 0;
    bool by_error = call->arg_count == 4 && fb_command_word(call, 3, "ERROR");
    if (call->arg_count > 4) {
        fb_command_wrong_form(call);
        return;
    }
    if (call->arg_count == 4 && !by_error && !fb_command_word(call, 3, "TIMEOUT")) {
        fb_reply_error(call->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!fb_command_int(call, 2, &id)) {
        return;
    }
    bool found = false;
    fb_node_sessions_lock(call->node);
    for (fb_session *one = call->node->sessions; one != NULL; one = one->next) {
        if ((int64_t)one->id == id &&
            atomic_load_explicit(&one->shown_blocked, memory_order_relaxed)) {
            fb_session_want(one, by_error ? FB_WANTED_UNBLOCK_ERROR : FB_WANTED_UNBLOCK);
            found = true;
        }
    }
    fb_node_sessions_unlock(call->node);
    if (found) {
        fb_session_poke_all(call->node);
    }
    fb_reply_integer(call->reply, found);
}

void fb_client_help(fb_command_call *call) {
    fb_command_help(call, "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_CLIENT);
}
