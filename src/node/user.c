// A user: its life, and the questions that are asked of it.
//
// Commands have numbers: those of the table their place in it, subcommands follow, in the order of
// the words they belong to. A right to a command is one bit, so a question costs no search; that a
// subcommand's number needs one through the dozen of words that have any is as cheap, and only
// users with less than all rights are asked about.
//
// What a command reaches is told by its keys where it has any (node/user_keys.c), and Redis's own
// commands without keys (KEYS, SCAN, RANDOMKEY, DBSIZE, FLUSHALL) need the right to the command alone,
// as in Redis. A verb of forebay's whose keys cannot be told before it runs (a tag, a class as a whole,
// a queue, a pattern) may reach anything: it needs the right to all keys.

#include "node/user_state.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/glob.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "node/command_table.h"

// ---- numbers of commands

typedef struct family {
    const fb_command *first;  // subcommands
    size_t count, number;
} family;

enum { FAMILIES_MAX = 64 };

static family families[FAMILIES_MAX];
static size_t family_count, command_count;
static pthread_once_t numbered = PTHREAD_ONCE_INIT;

static void number(void) {
    command_count = fb_command_count();
    size_t next = command_count;
    for (size_t i = 0; i < command_count; i++) {
        const fb_command *subs = FB_COMMANDS[i].subcommands;
        if (subs == NULL) {
            continue;
        }
        FB_ASSERT(family_count < FAMILIES_MAX);
        family *one = &families[family_count++];
        *one = (family){.first = subs, .number = next};
        while (subs[one->count].name != NULL) {
            one->count++;
        }
        next += one->count;
    }
    FB_ASSERT(next <= FB_USER_COMMANDS_MAX);
}

static bool is_of(const fb_command *command, const fb_command *first, size_t count) {
    return (uintptr_t)command >= (uintptr_t)first && (uintptr_t)command < (uintptr_t)(first + count);
}

size_t fb_user_bit(const fb_command *command) {
    (void)pthread_once(&numbered, number);
    if (is_of(command, FB_COMMANDS, command_count)) {
        return (size_t)(command - FB_COMMANDS);
    }
    for (size_t i = 0; i < family_count; i++) {
        if (is_of(command, families[i].first, families[i].count)) {
            return families[i].number + (size_t)(command - families[i].first);
        }
    }
    FB_ASSERT(!"a command of the table");
    return 0;
}

// ---- its life

fb_user *fb_user_new(fb_str name) {
    fb_user *user = fb_mem_zero(1, sizeof *user);
    if (user == NULL) {
        return NULL;
    }
    user->name = fb_mem_text(name);
    if (user->name == NULL) {
        fb_mem_free(user);
        return NULL;
    }
    atomic_init(&user->references, 1);
    return user;
}

static bool copy_hashes(const fb_user_hashes *from, fb_user_hashes *to) {
    if (from->count == 0) {
        return true;
    }
    to->items = fb_mem_new(from->count * sizeof *to->items);
    if (to->items == NULL) {
        return false;
    }
    memcpy(to->items, from->items, from->count * sizeof *to->items);
    to->count = from->count;
    return true;
}

static bool copy_patterns(const fb_user_patterns *from, fb_user_patterns *to) {
    if (from->count == 0) {
        return true;
    }
    to->items = fb_mem_zero(from->count, sizeof *to->items);
    if (to->items == NULL) {
        return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        fb_user_pattern *one = &to->items[to->count];
        *one = from->items[i];
        one->text = fb_mem_text(fb_str_make(from->items[i].text, from->items[i].len));
        if (one->text == NULL) {
            return false;
        }
        to->count++;
    }
    return true;
}

static bool copy_rules(const fb_user_rules *from, fb_user_rules *to) {
    if (from->count == 0) {
        return true;
    }
    to->items = fb_mem_zero(from->count, sizeof *to->items);
    if (to->items == NULL) {
        return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        to->items[i] = fb_mem_text(fb_str_of(from->items[i]));
        if (to->items[i] == NULL) {
            return false;
        }
        to->count++;
    }
    return true;
}

static bool copy_first_args(const fb_user_first_args *from, fb_user_first_args *to) {
    if (from->count == 0) {
        return true;
    }
    to->items = fb_mem_zero(from->count, sizeof *to->items);
    if (to->items == NULL) {
        return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        to->items[i].command = from->items[i].command;
        to->items[i].text = fb_mem_text(fb_str_of(from->items[i].text));
        if (to->items[i].text == NULL) {
            return false;
        }
        to->count++;
    }
    return true;
}

fb_user *fb_user_copy(const fb_user *user) {
    fb_user *copy = fb_user_new(fb_str_of(user->name));
    if (copy == NULL) {
        return NULL;
    }
    copy->identity = user->identity;
    copy->on = user->on;
    copy->no_password = user->no_password;
    copy->all_keys = user->all_keys;
    copy->all_channels = user->all_channels;
    copy->all_commands = user->all_commands;
    copy->all_from = user->all_from;
    memcpy(copy->commands, user->commands, sizeof copy->commands);
    if (!copy_hashes(&user->passwords, &copy->passwords) ||
        !copy_hashes(&user->tokens, &copy->tokens) || !copy_patterns(&user->keys, &copy->keys) ||
        !copy_patterns(&user->channels, &copy->channels) ||
        !copy_rules(&user->rules, &copy->rules) ||
        !copy_first_args(&user->first_args, &copy->first_args)) {
        fb_user_give(copy);
        return NULL;
    }
    return copy;
}

fb_user *fb_user_take(fb_user *user) {
    if (user != NULL) {
        atomic_fetch_add_explicit(&user->references, 1, memory_order_relaxed);
    }
    return user;
}

static void release_patterns(fb_user_patterns *list) {
    for (size_t i = 0; i < list->count; i++) {
        fb_mem_free(list->items[i].text);
    }
    fb_mem_free(list->items);
}

void fb_user_give(fb_user *user) {
    if (user == NULL ||
        atomic_fetch_sub_explicit(&user->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    fb_mem_free(user->name);
    fb_mem_free(user->passwords.items);
    fb_mem_free(user->tokens.items);
    release_patterns(&user->keys);
    release_patterns(&user->channels);
    for (size_t i = 0; i < user->rules.count; i++) {
        fb_mem_free(user->rules.items[i]);
    }
    fb_mem_free(user->rules.items);
    for (size_t i = 0; i < user->first_args.count; i++) {
        fb_mem_free(user->first_args.items[i].text);
    }
    fb_mem_free(user->first_args.items);
    fb_mem_free(user);
}

// ---- secrets

static EVP_MD *sha256;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

bool fb_user_hash_of(fb_str secret, fb_user_hash *hash) {
    unsigned len = 0;
    (void)pthread_once(&fetched, fetch);
    return sha256 != NULL &&
           EVP_Digest(secret.len > 0 ? secret.ptr : "", secret.len, hash->bytes, &len, sha256,
                      NULL) == 1 &&
           len == FB_USER_HASH_LEN;
}

bool fb_user_hashes_have(const fb_user_hashes *list, const fb_user_hash *hash) {
    bool found = false;
    for (size_t i = 0; i < list->count; i++) {
        bool same = CRYPTO_memcmp(list->items[i].bytes, hash->bytes, sizeof hash->bytes) == 0;
        found = found || same;
    }
    return found;
}

// ---- questions

const char *fb_user_name(const fb_user *user) {
    return user != NULL ? user->name : "";
}

bool fb_user_may_all(const fb_user *user) {
    return user != NULL && user->all_commands && user->all_keys && user->all_channels;
}

bool fb_user_is_open(const fb_user *user) {
    return user != NULL && user->on && user->no_password;
}

static bool has_bit(const fb_user *user, const fb_command *command) {
    size_t bit = fb_user_bit(command);
    return (user->commands[bit / 64] >> bit % 64 & 1) != 0;
}

bool fb_user_may_run(const fb_user *user, const fb_command *command) {
    if ((command->flags & FB_COMMAND_NOAUTH) != 0) {
        return true;
    }
    return user != NULL && (user->all_commands || has_bit(user, command));
}

static bool may_first_arg(const fb_user *user, const fb_command *command, fb_str arg) {
    for (size_t i = 0; i < user->first_args.count; i++) {
        const fb_user_first_arg *one = &user->first_args.items[i];
        if (one->command == command && fb_str_same(fb_str_of(one->text), arg)) {
            return true;
        }
    }
    return false;
}

bool fb_user_may_all_keys(const fb_user *user) {
    return user != NULL && user->all_keys;
}

bool fb_user_may_key(const fb_user *user, fb_str key, unsigned access) {
    if (user == NULL || user->all_keys) {
        return user != NULL;
    }
    for (size_t i = 0; i < user->keys.count; i++) {
        const fb_user_pattern *one = &user->keys.items[i];
        // Both rights have to come from one pattern, as in Redis.
        if ((one->access & access) == access &&
            fb_glob_match(fb_str_make(one->text, one->len), key)) {
            return true;
        }
    }
    return false;
}

typedef struct question {
    const fb_user *user;
    fb_str denied;
} question;

static bool ask(void *arg, fb_str key, unsigned access) {
    question *asked = arg;
    if (!FB_RULE(user_keys) || fb_user_may_key(asked->user, key, access)) {
        return true;
    }
    asked->denied = key;
    return false;
}

static bool may_channel(const fb_user *user, fb_str channel) {
    for (size_t i = 0; i < user->channels.count; i++) {
        const fb_user_pattern *one = &user->channels.items[i];
        if (fb_glob_match(fb_str_make(one->text, one->len), channel)) {
            return true;
        }
    }
    return false;
}

// SUBSCRIBE is the one command with channels; it has no keys.
static bool may_channels(question *asked, const fb_command_call *call) {
    if (asked->user->all_channels || strcmp(call->command->name, "subscribe") != 0) {
        return true;
    }
    for (size_t i = 1; i < call->arg_count; i++) {
        if (!may_channel(asked->user, call->args[i])) {
            asked->denied = call->args[i];
            return false;
        }
    }
    return true;
}

static bool may_keys(question *asked, const fb_command_call *call) {
    bool unknown = false;
    return asked->user->all_keys ||
           (fb_user_keys(call, &unknown, ask, asked) && !(FB_RULE(user_reach) && unknown));
}

fb_denial fb_user_check(const fb_user *user, const fb_command_call *call, fb_str *object) {
    const fb_command *command = call->command;
    question asked = {.user = user, .denied = call->args[0]};
    fb_denial denial = FB_DENIED_NOT;
    if ((command->flags & FB_COMMAND_NOAUTH) != 0) {
        return FB_DENIED_NOT;
    }
    if (user == NULL) {
        denial = FB_DENIED_NO_USER;
    } else if (FB_RULE(user_commands) && !fb_user_may_run(user, command) &&
               (call->arg_count < 2 || !may_first_arg(user, command, call->args[1]))) {
        denial = FB_DENIED_COMMAND;
    } else if (!may_channels(&asked, call)) {
        denial = FB_DENIED_CHANNEL;
    } else if (!may_keys(&asked, call)) {
        denial = FB_DENIED_KEY;
    }
    if (object != NULL) {
        *object = asked.denied;
    }
    return denial;
}
