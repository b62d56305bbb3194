// Commands about the connection itself, and CLIENT.
//
// There are no passwords yet, so AUTH and HELLO AUTH answer as a Redis does whose default user has
// none: "default" gets in with any password, everybody else is turned away.

#include "node/command_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/session_state.h"

void fb_connection_ping(fb_command_call *call) {
    if (call->arg_count > 2) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'ping' command");
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
    call->session->replies = FB_REPLIES_ON;
    fb_queued_close(&call->session->queued);
    if (fb_session_rename(call->session, &call->session->name, FB_STR("")) < 0) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    fb_reply_init(call->reply, FB_ENCODING_RESP2, call->reply->out);
    fb_reply_status(call->reply, "RESET");
}

void fb_connection_select(fb_command_call *call) {
    int64_t index = 0;
    if (!fb_command_int(call, 1, &index)) {
        return;
    }
    if (index != 0) {
        fb_reply_error(call->reply, "ERR DB index is out of range");
        return;
    }
    fb_reply_status(call->reply, "OK");
}

// Says so and returns false where that user does not get in.
static bool sign_in(fb_command_call *call, fb_str user) {
    if (!fb_str_equal(user, FB_STR("default"))) {
        fb_reply_error(call->reply,
                       "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    return true;
}

void fb_connection_auth(fb_command_call *call) {
    if (call->arg_count > 3) {
        fb_command_syntax_error(call);
    } else if (call->arg_count == 2) {
        fb_reply_error(call->reply,
                       "ERR AUTH <password> called without any password configured "
                       "for the default user. Are you sure your configuration is "
                       "correct?");
    } else if (sign_in(call, call->args[1])) {
        fb_reply_status(call->reply, "OK");
    }
}

// ---- HELLO

static bool name_session(fb_command_call *call, fb_str name) {
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

// Nothing changes before all words are understood.
static bool read_hello_options(fb_command_call *call, const fb_str **name) {
    for (size_t i = 2; i < call->arg_count; i++) {
        size_t left = call->arg_count - 1 - i;
        if (fb_command_word(call, i, "AUTH") && left >= 2) {
            if (!sign_in(call, call->args[i + 1])) {
                return false;
            }
            i += 2;
        } else if (fb_command_word(call, i, "SETNAME") && left >= 1) {
            *name = &call->args[++i];
        } else {
            fb_reply_error(call->reply, "ERR Syntax error in HELLO option '%.*s'",
                           FB_STR_ARG(call->args[i]));
            return false;
        }
    }
    return *name == NULL || name_session(call, **name);
}

void fb_connection_hello(fb_command_call *call) {
    fb_session *session = call->session;
    int64_t protocol = session->encoding;
    const fb_str *name = NULL;
    if (call->arg_count > 1 &&
        (!read_protocol(call, &protocol) || !read_hello_options(call, &name))) {
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

// ---- CLIENT

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
    if (name_session(call, call->args[2])) {
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

// One line of CLIENT LIST. The fields are Redis's; those that count what is not kept here are 0.
static int describe(const fb_session *session, int64_t now_us, fb_buf *out) {
    const fb_command *last = atomic_load_explicit(&session->last, memory_order_relaxed);
    int64_t used_us = atomic_load_explicit(&session->used_us, memory_order_relaxed);
    fb_str name = fb_buf_str(&session->name);
    fb_str library = fb_buf_str(&session->library);
    fb_str version = fb_buf_str(&session->library_version);
    int queued = atomic_load_explicit(&session->shown_queued, memory_order_relaxed);
    char last_name[FB_COMMAND_NAME_SIZE];
    return fb_buf_printf(
        out,
        "id=%llu addr=%s laddr=%s fd=-1 name=%.*s age=%lld idle=%lld flags=%s db=0 sub=0 psub=0 "
        "ssub=0 multi=%d qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 "
        "tot-mem=0 events=r cmd=%s user=default redir=-1 resp=%d lib-name=%.*s lib-ver=%.*s\n",
        (unsigned long long)session->id, session->peer,
        session->node->resp_address != NULL ? session->node->resp_address : "", FB_STR_ARG(name),
        (long long)(now_us - session->created_us) / 1000000,
        (long long)(now_us - used_us) / 1000000, queued >= 0 ? "x" : "N", queued,
        last != NULL ? fb_command_full_name(last, last_name) : "NULL",
        atomic_load_explicit(&session->shown_encoding, memory_order_relaxed), FB_STR_ARG(library),
        FB_STR_ARG(version));
}

void fb_client_info(fb_command_call *call) {
    fb_buf line = {0};
    if (describe(call->session, call->node->wall_us(), &line) < 0) {
        fb_command_failed(call, FB_ENOMEM, NULL);
    } else {
        fb_reply_verbatim(call->reply, fb_buf_str(&line));
    }
    fb_buf_release(&line);
}

static int compare_ids(const void *a, const void *b) {
    const int64_t *one = a;
    const int64_t *two = b;
    return (*one > *two) - (*one < *two);
}

// `ids` in ascending order, or NULL for all. The list stands still meanwhile, so this is quick:
// each session is looked for among the ids.
static void list(fb_command_call *call, const int64_t *ids, size_t id_count) {
    fb_buf lines = {0};
    int result = FB_OK;
    int64_t now_us = call->node->wall_us();
    fb_node_sessions_lock(call->node);
    for (fb_session *one = call->node->sessions; one != NULL && result == FB_OK; one = one->next) {
        int64_t id = (int64_t)one->id;
        if (ids == NULL || bsearch(&id, ids, id_count, sizeof *ids, compare_ids) != NULL) {
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
        list(call, ids, count);
    } else {
        fb_reply_error(call->reply, "ERR Invalid client ID");
    }
    fb_mem_free(ids);
}

static void list_type(fb_command_call *call) {
    if (fb_command_word(call, 3, "normal")) {
        list(call, NULL, 0);
    } else if (fb_command_word(call, 3, "master") || fb_command_word(call, 3, "replica") ||
               fb_command_word(call, 3, "slave") || fb_command_word(call, 3, "pubsub")) {
        fb_reply_verbatim(call->reply, FB_STR(""));
    } else {
        fb_reply_error(call->reply, "ERR Unknown client type '%.*s'", FB_STR_ARG(call->args[3]));
    }
}

void fb_client_list(fb_command_call *call) {
    if (call->arg_count == 2) {
        list(call, NULL, 0);
    } else if (call->arg_count == 4 && fb_command_word(call, 2, "TYPE")) {
        list_type(call);
    } else if (call->arg_count > 3 && fb_command_word(call, 2, "ID")) {
        list_ids(call);
    } else {
        fb_command_syntax_error(call);
    }
}

void fb_client_help(fb_command_call *call) {
    fb_command_help(call, "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_CLIENT);
}
