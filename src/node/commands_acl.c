// ACL: the users, told and changed. What SETUSER and DELUSER change holds until the next reload or
// restart: the operator's file is where users stand, and nobody writes to it but him.

#include "node/command_table.h"

#include <openssl/rand.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/session_user.h"
#include "node/user_rules.h"
#include "node/users.h"

enum { GENPASS_BITS = 256, GENPASS_BITS_MAX = 4096, LOG_SHOWN = 10 };

// ---- looking

void fb_acl_whoami(fb_command_call *call) {
    fb_reply_text(call->reply, fb_user_name(call->session->user));
}

static size_t count_categories(void) {
    size_t count = 0;
    while (fb_user_category(count) != NULL) {
        count++;
    }
    return count;
}

// Calls for each command and subcommand of the category; returns how many there are.
static size_t walk_category(fb_str category, fb_reply *reply) {
    size_t count = 0;
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        const fb_command *command = fb_command_at(i);
        char name[FB_COMMAND_NAME_SIZE];
        if (fb_user_in_category(command, category)) {
            count++;
            if (reply != NULL) {
                fb_reply_text(reply, command->name);
            }
        }
        const fb_command *sub = command->subcommands;
        for (; sub != NULL && sub->name != NULL; sub++) {
            if (fb_user_in_category(sub, category)) {
                count++;
                if (reply != NULL) {
                    fb_reply_text(reply, fb_command_full_name(sub, name));
                }
            }
        }
    }
    return count;
}

void fb_acl_cat(fb_command_call *call) {
    fb_reply *reply = call->reply;
    if (call->arg_count > 3) {
        fb_command_wrong_form(call);
    } else if (call->arg_count == 2) {
        fb_reply_array(reply, count_categories());
        for (size_t i = 0; fb_user_category(i) != NULL; i++) {
            fb_reply_text(reply, fb_user_category(i));
        }
    } else if (!fb_user_is_category(call->args[2])) {
        fb_reply_error(reply, "ERR Unknown category '%.*s'", FB_STR_ARG(call->args[2]));
    } else {
        fb_reply_array(reply, walk_category(call->args[2], NULL));
        (void)walk_category(call->args[2], reply);
    }
}

static void give_list(fb_user **list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fb_user_give(list[i]);
    }
    fb_mem_free(list);
}

static void list_users(fb_command_call *call, bool names_alone) {
    fb_user **list = NULL;
    size_t count = 0;
    int result = fb_users_list(call->node, &list, &count);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
        return;
    }
    fb_reply_array(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        fb_buf line = {0};
        if (names_alone) {
            fb_reply_text(call->reply, fb_user_name(list[i]));
        } else if (fb_user_show(list[i], &line) == FB_OK) {
            fb_reply_bytes(call->reply, fb_buf_str(&line));
        } else {
            fb_reply_null(call->reply);
        }
        fb_buf_release(&line);
    }
    give_list(list, count);
}

void fb_acl_users(fb_command_call *call) {
    list_users(call, true);
}

void fb_acl_list(fb_command_call *call) {
    list_users(call, false);
}

static void show_hashes(fb_reply *reply, const fb_user_hashes *list) {
    fb_reply_array(reply, list->count);
    for (size_t i = 0; i < list->count; i++) {
        char hex[2 * FB_USER_HASH_LEN + 1];
        fb_user_hash_hex(&list->items[i], hex);
        fb_reply_text(reply, hex);
    }
}

static void show_text(fb_command_call *call, const fb_user *user,
                      int (*show)(const fb_user *user, fb_buf *out)) {
    fb_buf text = {0};
    if (show(user, &text) == FB_OK) {
        fb_reply_bytes(call->reply, fb_buf_str(&text));
    } else {
        fb_reply_null(call->reply);
    }
    fb_buf_release(&text);
}

static void show_user(fb_command_call *call, const fb_user *user) {
    fb_reply *reply = call->reply;
    bool tokens = user->tokens.count > 0;
    fb_reply_map(reply, tokens ? 7 : 6);
    fb_reply_text(reply, "flags");
    fb_reply_set(reply, user->no_password ? 2 : 1);
    fb_reply_text(reply, user->on ? "on" : "off");
    if (user->no_password) {
        fb_reply_text(reply, "nopass");
    }
    fb_reply_text(reply, "passwords");
    show_hashes(reply, &user->passwords);
    if (tokens) {
        fb_reply_text(reply, "tokens");
        show_hashes(reply, &user->tokens);
    }
    fb_reply_text(reply, "commands");
    show_text(call, user, fb_user_show_commands);
    fb_reply_text(reply, "keys");
    show_text(call, user, fb_user_show_keys);
    fb_reply_text(reply, "channels");
    show_text(call, user, fb_user_show_channels);
    fb_reply_text(reply, "selectors");
    fb_reply_array(reply, 0);
}

void fb_acl_getuser(fb_command_call *call) {
    fb_user *user = fb_users_find(call->node, call->args[2]);
    if (user == NULL) {
        fb_reply_null(call->reply);
        return;
    }
    show_user(call, user);
    fb_user_give(user);
}

// ---- asking

static void answer_dry_run(fb_command_call *call, const fb_user *user, const fb_command *command) {
    char name[FB_COMMAND_NAME_SIZE];
    char text[512];
    fb_str object;
    fb_command_call asked = *call;
    asked.command = command;
    asked.args += 3;
    asked.arg_count -= 3;
    switch (fb_user_check(user, &asked, &object)) {
        case FB_DENIED_NOT:
            fb_reply_status(call->reply, "OK");
            return;
        case FB_DENIED_KEY:
            if (object.ptr == asked.args[0].ptr) {
                (void)snprintf(text, sizeof text,
                               "This user has no permissions to access all keys, as the '%s' "
                               "command may",
                               fb_command_full_name(command, name));
            } else {
                (void)snprintf(text, sizeof text,
                               "This user has no permissions to access the '%.*s' key",
                               (int)(object.len < 256 ? object.len : 256), object.ptr);
            }
            break;
        case FB_DENIED_CHANNEL:
            (void)snprintf(text, sizeof text,
                           "This user has no permissions to access the '%.*s' channel",
                           (int)(object.len < 256 ? object.len : 256), object.ptr);
            break;
        default:
            (void)snprintf(text, sizeof text,
                           "This user has no permissions to run the '%s' command",
                           fb_command_full_name(command, name));
            break;
    }
    fb_reply_text(call->reply, text);
}

static const fb_command *find_command(const fb_command_call *call) {
    const fb_command *command = fb_command_find(call->args[3]);
    if (command != NULL && command->subcommands != NULL && call->arg_count > 4) {
        return fb_command_find_sub(command, call->args[4]);
    }
    return command;
}

void fb_acl_dryrun(fb_command_call *call) {
    fb_user *user = fb_users_find(call->node, call->args[2]);
    const fb_command *command = find_command(call);
    char name[FB_COMMAND_NAME_SIZE];
    if (user == NULL) {
        fb_reply_error(call->reply, "ERR User '%.*s' not found", FB_STR_ARG(call->args[2]));
    } else if (command == NULL) {
        fb_reply_error(call->reply, "ERR Command '%.*s' not found", FB_STR_ARG(call->args[3]));
    } else if (!fb_command_arity_fits(command, call->arg_count - 3)) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for '%s' command",
                       fb_command_full_name(command, name));
    } else {
        answer_dry_run(call, user, command);
    }
    fb_user_give(user);
}

// ---- changing

static bool is_name(fb_str name) {
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        if (byte == '\0' || byte == ' ' || (byte >= '\t' && byte <= '\r')) {
            return false;
        }
    }
    return true;
}

void fb_acl_setuser(fb_command_call *call) {
    fb_error error = {.text = ""};
    size_t wrong = 0;
    fb_str name = call->args[2];
    if (!is_name(name)) {
        fb_reply_error(call->reply, "ERR Usernames can't contain spaces or null characters");
        return;
    }
    if (name.len > FB_USER_NAME_MAX) {
        fb_reply_error(call->reply, "ERR Usernames have at most %d bytes", FB_USER_NAME_MAX);
        return;
    }
    int result = fb_users_set(call->node, name, call->args + 3, call->arg_count - 3, &wrong, &error);
    if (result == FB_EINVAL) {
        fb_reply_error(call->reply, "ERR Error in ACL SETUSER modifier '%.*s': %s",
                       FB_STR_ARG(call->args[3 + wrong]), error.text);
    } else if (result == FB_ETOOBIG) {
        fb_reply_error(call->reply, "ERR there are %d users already, which is the most",
                       FB_USERS_MAX);
    } else if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_status(call->reply, "OK");
    }
}

void fb_acl_deluser(fb_command_call *call) {
    int64_t deleted = 0;
    for (size_t i = 2; i < call->arg_count; i++) {
        if (fb_str_equal(call->args[i], FB_STR("default"))) {
            fb_reply_error(call->reply, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    for (size_t i = 2; i < call->arg_count; i++) {
        deleted += fb_users_delete(call->node, call->args[i]) == FB_OK;
    }
    if (deleted > 0) {
        fb_session_end_deleted(call->node, call->session);
        fb_user *self = fb_user_current(call->node, call->session->user);
        call->outcome = self == NULL ? FB_ECLOSED : call->outcome;
        fb_user_give(self);
    }
    fb_reply_integer(call->reply, deleted);
}

static void refuse_file(fb_command_call *call) {
    fb_reply_error(call->reply,
                   "ERR There is no ACL file: users stand in the configuration, under `users`, which "
                   "is the operator's; what ACL SETUSER changes holds until it is read again");
}

void fb_acl_load(fb_command_call *call) {
    refuse_file(call);
}

void fb_acl_save(fb_command_call *call) {
    refuse_file(call);
}

void fb_acl_genpass(fb_command_call *call) {
    static const char DIGITS[] = "0123456789abcdef";
    unsigned char bytes[GENPASS_BITS_MAX / 8];
    char text[GENPASS_BITS_MAX / 4];
    int64_t bits = GENPASS_BITS;
    if (call->arg_count > 3) {
        fb_command_wrong_form(call);
        return;
    }
    if (call->arg_count == 3 && !fb_command_int(call, 2, &bits)) {
        return;
    }
    if (bits < 1 || bits > GENPASS_BITS_MAX) {
        fb_reply_error(call->reply,
                       "ERR ACL GENPASS argument must be the number of bits for the output "
                       "password, a positive number up to %d",
                       GENPASS_BITS_MAX);
        return;
    }
    size_t len = (size_t)(bits + 3) / 4;
    if (RAND_bytes(bytes, (int)(len + 1) / 2) != 1) {
        fb_reply_error(call->reply, "ERR the system has no random bytes");
        return;
    }
    for (size_t i = 0; i < len; i++) {
        text[i] = DIGITS[bytes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    }
    fb_reply_bytes(call->reply, fb_str_make(text, len));
}

// ---- the log

static void show_entry(fb_reply *reply, const fb_users_entry *entry, int64_t now_us) {
    fb_reply_map(reply, 7);
    fb_reply_text(reply, "count");
    fb_reply_integer(reply, (int64_t)entry->count);
    fb_reply_text(reply, "reason");
    fb_reply_text(reply, entry->reason);
    fb_reply_text(reply, "context");
    fb_reply_text(reply, entry->context);
    fb_reply_text(reply, "object");
    fb_reply_bytes(reply, fb_str_make(entry->object, entry->object_len));
    fb_reply_text(reply, "username");
    fb_reply_text(reply, entry->user);
    fb_reply_text(reply, "age-seconds");
    fb_reply_double(reply, now_us > entry->at_us ? (double)(now_us - entry->at_us) / 1e6 : 0);
    fb_reply_text(reply, "client-info");
    fb_reply_text(reply, entry->client);
}

void fb_acl_log(fb_command_call *call) {
    int64_t max = LOG_SHOWN;
    fb_users_entry *entries = NULL;
    size_t count = 0;
    if (call->arg_count > 3) {
        fb_command_wrong_form(call);
        return;
    }
    if (call->arg_count == 3 && fb_command_word(call, 2, "RESET")) {
        fb_users_forget(call->node);
        fb_reply_status(call->reply, "OK");
        return;
    }
    if (call->arg_count == 3 && !fb_command_int(call, 2, &max)) {
        return;
    }
    int result = fb_users_entries(call->node, max > 0 ? (size_t)max : 0, &entries, &count);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
        return;
    }
    fb_reply_array(call->reply, count);
    int64_t now_us = call->node->wall_us();
    for (size_t i = 0; i < count; i++) {
        show_entry(call->reply, &entries[i], now_us);
    }
    fb_users_entries_free(entries, count);
}

void fb_acl_help(fb_command_call *call) {
    fb_command_help(call, "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_ACL);
}
