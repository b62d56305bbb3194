// Finding and running commands.
//
// Look-up: names are at most 16 bytes, so a name folds into two words without their case bits
// (which makes '.' another byte too, the same for all), and one multiplication of these makes the
// place in an open table of indices. What is found there is compared without regard to case. The
// table is filled by whoever comes first: all would write the same numbers into it, so nothing
// needs a lock, only that the mark that it is full is seen after what it holds. Measured: 8 ns for
// GET, 15 ns for random names in random case; a loop over the table takes 85 ns and 150 ns.

#include "node/command.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/glob.h"
#include "base/str.h"
#include "node/command_table.h"

enum { NAME_LEN_MAX = 16, PLACES = 1024, ARGS_SHOWN = 128, LINE_SIZE = 256, NAME_SIZE = 256,
       STRING_LEN_MAX = 512 * 1024 * 1024 };

#define CASE_BITS UINT64_C(0xdfdfdfdfdfdfdfdf)

static _Atomic uint16_t places[PLACES];  // an index and 1; 0: free
static _Atomic bool filled;

// ---- look-up

// The bytes of a name of 1 to 16, read as two words that may overlap.
static uint64_t fold(fb_str name) {
    uint64_t first = 0;
    uint64_t last = 0;
    if (name.len >= 8) {
        memcpy(&first, name.ptr, 8);
        memcpy(&last, name.ptr + name.len - 8, 8);
    } else if (name.len >= 4) {
        memcpy(&first, name.ptr, 4);
        memcpy(&last, name.ptr + name.len - 4, 4);
    } else {
        for (size_t i = 0; i < name.len; i++) {
            first = first << 8 | (unsigned char)name.ptr[i];
        }
    }
    return (first & CASE_BITS) * 31 + (last & CASE_BITS) + name.len;
}

static size_t place_of(fb_str name) {
    return (size_t)((fold(name) * UINT64_C(0x9e3779b97f4a7c15)) >> 54);
}

_Static_assert(PLACES == 1 << (64 - 54), "a place is the hash's highest bits");

static void fill(void) {
    uint16_t own[PLACES] = {0};
    for (size_t i = 0; FB_COMMANDS[i].name != NULL; i++) {
        fb_str name = fb_str_of(FB_COMMANDS[i].name);
        FB_ASSERT(name.len > 0 && name.len <= NAME_LEN_MAX);
        size_t place = place_of(name);
        while (own[place] != 0) {
            place = (place + 1) % PLACES;
        }
        own[place] = (uint16_t)(i + 1);
    }
    for (size_t i = 0; i < PLACES; i++) {
        atomic_store_explicit(&places[i], own[i], memory_order_relaxed);
    }
    atomic_store_explicit(&filled, true, memory_order_release);
}

const fb_command *fb_command_find(fb_str name) {
    if (name.len == 0 || name.len > NAME_LEN_MAX) {
        return NULL;
    }
    if (!atomic_load_explicit(&filled, memory_order_acquire)) {
        fill();
    }
    for (size_t place = place_of(name);; place = (place + 1) % PLACES) {
        uint16_t taken = atomic_load_explicit(&places[place], memory_order_relaxed);
        if (taken == 0) {
            return NULL;
        }
        const fb_command *command = &FB_COMMANDS[taken - 1];
        if (fb_str_same(name, fb_str_of(command->name))) {
            return command;
        }
    }
}

const fb_command *fb_command_find_sub(const fb_command *parent, fb_str name) {
    const fb_command *sub = parent->subcommands;
    while (sub != NULL && sub->name != NULL) {
        if (fb_str_same(name, fb_str_of(sub->name))) {
            return sub;
        }
        sub++;
    }
    return NULL;
}

size_t fb_command_count(void) {
    size_t count = 0;
    while (FB_COMMANDS[count].name != NULL) {
        count++;
    }
    return count;
}

const fb_command *fb_command_at(size_t index) {
    return FB_COMMANDS[index].name != NULL ? &FB_COMMANDS[index] : NULL;
}

bool fb_command_arity_fits(const fb_command *command, size_t arg_count) {
    size_t arity = (size_t)(command->arity < 0 ? -command->arity : command->arity);
    return command->arity < 0 ? arg_count >= arity : arg_count == arity;
}

// ---- running

static void unknown(fb_command_call *call) {
    char shown[ARGS_SHOWN + 8];
    size_t len = 0;
    for (size_t i = 1; i < call->arg_count && len < ARGS_SHOWN; i++) {
        fb_str arg = call->args[i];
        size_t room = ARGS_SHOWN - len;
        size_t part = arg.len < room ? arg.len : room;
        part = part > 0 ? strnlen(arg.ptr, part) : 0;  // as C has it, so that the quote is closed
        shown[len++] = '\'';
        memcpy(shown + len, part > 0 ? arg.ptr : "", part);
        len += part;
        shown[len++] = '\'';
        shown[len++] = ' ';
    }
    fb_str name = call->args[0];
    fb_reply_error(call->reply, "ERR unknown command '%.*s', with args beginning with: %.*s",
                   (int)(name.len < ARGS_SHOWN ? name.len : ARGS_SHOWN), name.ptr, (int)len, shown);
}

static void wrong_arity(fb_command_call *call, const fb_command *parent,
                        const fb_command *command) {
    // What EXEC says must be known for the end of the transaction.
    bool exec = command->run == fb_multi_exec;
    fb_reply_error(call->reply, "%s wrong number of arguments for '%s%s%s' command",
                   exec ? "EXECABORT Transaction discarded because of:" : "ERR",
                   parent != NULL ? parent->name : "", parent != NULL ? "|" : "", command->name);
}

static void to_upper(const char *name, char text[NAME_LEN_MAX + 1]) {
    size_t len = 0;
    for (; name[len] != '\0' && len < NAME_LEN_MAX; len++) {
        bool small = name[len] >= 'a' && name[len] <= 'z';
        text[len] = (char)(small ? name[len] - 'a' + 'A' : name[len]);
    }
    text[len] = '\0';
}

static void unknown_sub(fb_command_call *call, const fb_command *parent) {
    char name[NAME_LEN_MAX + 1];
    to_upper(parent->name, name);
    fb_str sub = call->args[1];
    fb_reply_error(call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                   (int)(sub.len < ARGS_SHOWN ? sub.len : ARGS_SHOWN), sub.ptr, name);
}

bool fb_command_prepare(fb_command_call *call, const fb_command *found) {
    FB_ASSERT(call->arg_count > 0);
    const fb_command *parent = NULL;
    const fb_command *command = found;
    call->outcome = FB_OK;
    call->command = command;
    if (command == NULL) {
        unknown(call);
        return false;
    }
    if (command->subcommands != NULL && call->arg_count > 1) {
        parent = command;
        command = fb_command_find_sub(parent, call->args[1]);
        if (command == NULL) {
            unknown_sub(call, parent);
            return false;
        }
        call->command = command;
    }
    if (!fb_command_arity_fits(command, call->arg_count) || command->run == NULL) {
        wrong_arity(call, parent, command);
        return false;
    }
    return true;
}

// A subcommand does not know its parent; it is asked for by people who look around, so a search
// will do.
static const fb_command *parent_of(const fb_command *command) {
    for (size_t i = 0; FB_COMMANDS[i].name != NULL; i++) {
        const fb_command *sub = FB_COMMANDS[i].subcommands;
        for (; sub != NULL && sub->name != NULL; sub++) {
            if (sub == command) {
                return &FB_COMMANDS[i];
            }
        }
    }
    return NULL;
}

const char *fb_command_full_name(const fb_command *command, char text[FB_COMMAND_NAME_SIZE]) {
    const fb_command *parent = parent_of(command);
    (void)snprintf(text, FB_COMMAND_NAME_SIZE, "%s%s%s", parent != NULL ? parent->name : "",
                   parent != NULL ? "|" : "", command->name);
    return text;
}

// ---- what handlers share

bool fb_command_word(const fb_command_call *call, size_t index, const char *word) {
    return fb_str_same(call->args[index], fb_str_of(word));
}

static fb_str lower(fb_str name, char text[NAME_SIZE]) {
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        text[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
    }
    return fb_str_make(text, name.len);
}

bool fb_command_name_matches(fb_str pattern, fb_str name) {
    char pattern_text[NAME_SIZE];
    char name_text[NAME_SIZE];
    return pattern.len <= NAME_SIZE && name.len <= NAME_SIZE &&
           fb_glob_match(lower(pattern, pattern_text), lower(name, name_text));
}

bool fb_command_int(fb_command_call *call, size_t index, int64_t *number) {
    if (fb_str_int(call->args[index], number) != FB_OK) {
        fb_reply_error(call->reply, "ERR value is not an integer or out of range");
        return false;
    }
    return true;
}

bool fb_command_db(fb_command_call *call, size_t index) {
    int64_t db = 0;
    if (!fb_command_int(call, index, &db)) {
        return false;
    }
    if (db < INT_MIN || db > INT_MAX) {
        fb_reply_error(call->reply, "ERR value is out of range, value must between %d and %d", INT_MIN,
                       INT_MAX);
    } else if (db != 0) {
        fb_reply_error(call->reply, "ERR DB index is out of range");
    }
    return db == 0;
}

uint64_t fb_command_string_max(const fb_command_call *call) {
    uint64_t most = atomic_load_explicit(&call->node->doors.bulk_max, memory_order_relaxed);
    return most > 0 ? most : STRING_LEN_MAX;
}

bool fb_command_params(fb_command_call *call, size_t index, fb_param params[FB_COMMAND_PARAMS_MAX],
                       size_t *count) {
    size_t left = call->arg_count - index;
    if (left % 2 != 0) {
        fb_reply_error(
            call->reply, "ERR parameter '%.*s' has no value",
            (int)(call->args[call->arg_count - 1].len < 128 ? call->args[call->arg_count - 1].len
                                                            : 128),
            call->args[call->arg_count - 1].ptr);
        return false;
    }
    if (left / 2 > FB_COMMAND_PARAMS_MAX) {
        fb_reply_error(call->reply, "ERR at most %d parameters", FB_COMMAND_PARAMS_MAX);
        return false;
    }
    *count = left / 2;
    for (size_t i = 0; i < *count; i++) {
        params[i].name = call->args[index + 2 * i];
        params[i].value = call->args[index + 2 * i + 1];
    }
    return true;
}

void fb_command_wrong_form(fb_command_call *call) {
    char parent[NAME_LEN_MAX + 1];
    to_upper(fb_command_find(call->args[0])->name, parent);
    fb_reply_error(call->reply,
                   "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
                   FB_STR_ARG(call->args[1]), parent);
}

void fb_command_syntax_error(fb_command_call *call) {
    fb_reply_error(call->reply, "ERR syntax error");
}

const char *fb_command_code(int result) {
    switch (result) {
        case FB_ENOCLASS:
            return "NOCLASS";
        case FB_ENOSOURCE:
            return "NOSOURCE";
        case FB_ENOLIMIT:
            return "NOLIMIT";
        case FB_ETIMEDOUT:
            return "TIMEOUT";
        case FB_EOVERLOAD:
            return "OVERLOAD";
        case FB_ESOURCE:
            return "SOURCE";
        case FB_EDENIED:
            return "DENIED";
        case FB_ECLOSED:
            return "CLOSING";
        case FB_ENOMEM:
            return "OOM";
        case FB_EIO:
            return "IOERR";
        case FB_LOST:
            return "LEASELOST";
        case FB_ENOQUEUE:
            return "NOQUEUE";
        case FB_EFULL:
            return "FULL";
        case FB_EVOLATILE:
            return "VOLATILE";
        case FB_ENOMAIL:
            return "NOMAIL";
        default:
            return "ERR";
    }
}

void fb_command_failed(fb_command_call *call, int result, const fb_error *error) {
    if (error != NULL && error->text[0] != '\0') {
        fb_reply_error(call->reply, "%s %s", fb_command_code(result), error->text);
    } else if (result == FB_ENOMEM) {
        fb_reply_error(call->reply, "OOM command not allowed when used memory > 'maxmemory'.");
    } else if (result == FB_ETOOBIG) {
        fb_reply_error(call->reply, "ERR key or value is larger than one entry may be");
    } else {
        fb_reply_error(call->reply, "%s %s", fb_command_code(result), fb_result_text(result));
    }
}

// As Redis does it: a line of syntax, then an indented one that says what it does.
void fb_command_help_lines(fb_reply *reply, const fb_command *command) {
    char line[LINE_SIZE];
    char name[NAME_LEN_MAX + 1];
    to_upper(command->name, name);
    bool bare = command->syntax[0] == '\0';
    (void)snprintf(line, sizeof line, "%s%s%s", name, bare ? "" : " ", command->syntax);
    fb_reply_status(reply, line);
    (void)snprintf(line, sizeof line, "    %s", command->summary);
    fb_reply_status(reply, line);
}

void fb_command_help(fb_command_call *call, const char *title, const fb_command *first) {
    size_t count = 0;
    while (first[count].name != NULL) {
        count++;
    }
    fb_reply_array(call->reply, 2 * count + 1);
    fb_reply_status(call->reply, title);
    for (size_t i = 0; i < count; i++) {
        fb_command_help_lines(call->reply, &first[i]);
    }
}
