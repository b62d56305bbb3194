// The keys of commands, and what is done with each: what rights are asked by.
//
// Where keys stand is in the command table. What is done with them is Redis 7.0's, by its key
// specifications: what a command of the table reads, it may read, what it writes, it may write, and
// the rows here are those where that is not all of it. SET is the one whose words decide (GET makes
// it read as well). tests/system asks a Redis server the same questions.

#include "node/user.h"

#include <string.h>

#include "base/str.h"

enum { NONE = FB_ACCESS_NONE, R = FB_ACCESS_READ, W = FB_ACCESS_WRITE };

typedef struct access_row {
    const char *name;
    unsigned first, rest;  // of the first key, and of those behind it
} access_row;

static const access_row ROWS[] = {
    {"copy", R, W},
    {"decr", R | W, NONE},
    {"decrby", R | W, NONE},
    {"exists", NONE, NONE},
    {"getdel", R | W, NONE},
    {"getex", R | W, NONE},
    {"getset", R | W, NONE},
    {"incr", R | W, NONE},
    {"incrby", R | W, NONE},
    {"incrbyfloat", R | W, NONE},
    {"rename", R | W, W},
    {"renamenx", R | W, W},
    {"setbit", R | W, NONE},
    {"strlen", NONE, NONE},
    {"touch", NONE, NONE},
    {"type", NONE, NONE},
    {"watch", NONE, NONE},
    // Subcommands of OBJECT and MEMORY, which have no other namesakes.
    {"encoding", NONE, NONE},
    {"freq", NONE, NONE},
    {"idletime", NONE, NONE},
    {"refcount", NONE, NONE},
    {"usage", NONE, NONE},
};

static access_row row_of(const fb_command *command) {
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (strcmp(ROWS[i].name, command->name) == 0) {
            return ROWS[i];
        }
    }
    bool writes = (command->flags & FB_COMMAND_WRITE) != 0;
    bool reads = (command->flags & FB_COMMAND_READONLY) != 0;
    unsigned access = writes ? W : reads ? R : R | W;
    return (access_row){command->name, access, access};
}

unsigned fb_user_access(const fb_command *command) {
    return row_of(command).first;
}

static bool is_ours(const fb_command *command) {
    return strcmp(command->group, "forebay") == 0;
}

// Of forebay's own, what neither reads nor writes tells of figures and settings; but where the memory
// of all keys is to be found, and which keys of a rule are denied most, is no such thing.
static bool tells_of_keys(const fb_command *command) {
    return strcmp(command->name, "fb.region") == 0 || strcmp(command->name, "fb.rules") == 0;
}

bool fb_user_is_keyless(const fb_command *command) {
    bool touches = (command->flags & (FB_COMMAND_READONLY | FB_COMMAND_WRITE)) != 0 ||
                   tells_of_keys(command);
    return command->first_key == 0 && (command->flags & FB_COMMAND_MOVABLEKEYS) == 0 &&
           !(is_ours(command) && touches);
}

static bool says(const fb_str *args, size_t arg_count, size_t from, const char *word) {
    for (size_t i = from; i < arg_count; i++) {
        if (fb_str_same(args[i], fb_str_of(word))) {
            return true;
        }
    }
    return false;
}

// FB.LIMITS count rule key [rule key ...]. false: the count is wrong.
static bool limits(const fb_str *args, size_t arg_count, size_t *last) {
    int64_t count;
    if (fb_str_int(args[1], &count) != FB_OK || count < 1 || count > (int64_t)(arg_count - 2) / 2) {
        return false;
    }
    *last = 1 + 2 * (size_t)count;
    return true;
}

bool fb_user_keys(const fb_command *command, const fb_str *args, size_t arg_count, bool *unknown,
                  fb_user_key_fn fn, void *arg) {
    size_t first = (size_t)command->first_key;
    size_t step = (size_t)command->key_step;
    size_t last = command->last_key < 0 ? arg_count - (size_t)-command->last_key
                                        : (size_t)command->last_key;
    access_row row = row_of(command);
    *unknown = false;
    if ((command->flags & FB_COMMAND_MOVABLEKEYS) != 0) {
        first = 3;
        step = 2;
        if (!is_ours(command) || !limits(args, arg_count, &last)) {
            *unknown = true;
            return true;
        }
    } else if (first == 0) {
        *unknown = !fb_user_is_keyless(command);
        return true;
    }
    if (strcmp(command->name, "set") == 0 && says(args, arg_count, 3, "GET")) {
        row.first = R | W;
    }
    for (size_t i = first; i <= last && i < arg_count; i += step) {
        if (!fn(arg, args[i], i == first ? row.first : row.rest)) {
            return false;
        }
    }
    return true;
}
