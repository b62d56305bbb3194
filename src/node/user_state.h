// node/user_state.h -- what a user is inside, and how one is made. Private to node/user*.c and
// node/users.c.

#ifndef FB_NODE_USER_STATE_H
#define FB_NODE_USER_STATE_H

#include <stdatomic.h>

#include "node/user.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_USER_COMMANDS_MAX = 512,  // commands and subcommands there can be
    FB_USER_NAME_MAX = 256,
    FB_USER_ITEMS_MAX = 10000,  // patterns, passwords, tokens, rules of one user, of each
    FB_USER_TEXT_MAX = 4096,     // bytes of a pattern or a password
    FB_USER_HASH_LEN = 32
};

typedef struct fb_user_hash {
    unsigned char bytes[FB_USER_HASH_LEN];  // SHA-256
} fb_user_hash;

typedef struct fb_user_hashes {
    fb_user_hash *items;
    size_t count;
} fb_user_hashes;

typedef struct fb_user_pattern {
    char *text;
    size_t len;
    unsigned access;  // of keys; channels have none
} fb_user_pattern;

typedef struct fb_user_patterns {
    fb_user_pattern *items;
    size_t count;
} fb_user_patterns;

// "+get", "-@dangerous", "+select|0", as they were said, in small letters; of two for one name the
// later alone.
typedef struct fb_user_rules {
    char **items;
    size_t count;
} fb_user_rules;

// +select|0: of a command without subcommands, one first argument.
typedef struct fb_user_first_arg {
    const fb_command *command;
    char *text;
} fb_user_first_arg;

typedef struct fb_user_first_args {
    fb_user_first_arg *items;
    size_t count;
} fb_user_first_args;

struct fb_user {
    _Atomic uint32_t references;
    uint64_t identity;  // the same of all that follow each other under one name
    char *name;
    bool on, no_password;
    bool all_keys, all_channels;
    bool all_commands;  // and nothing was taken away
    bool all_from;      // the rules start with all commands, not with none
    fb_user_hashes passwords, tokens;
    fb_user_patterns keys, channels;
    fb_user_rules rules;
    fb_user_first_args first_args;
    uint64_t commands[FB_USER_COMMANDS_MAX / 64];
};

// Off, without any right. NULL: no memory.
fb_user *fb_user_new(fb_str name);
// The same with references of its own; NULL: no memory.
fb_user *fb_user_copy(const fb_user *user);
// The place of its bit; of a command that is in the table.
size_t fb_user_bit(const fb_command *command);
// SHA-256. false: OpenSSL has none, or no memory.
bool fb_user_hash_of(fb_str secret, fb_user_hash *hash);
// In constant time for one number of them.
bool fb_user_hashes_have(const fb_user_hashes *list, const fb_user_hash *hash);

#ifdef __cplusplus
}
#endif

#endif
