// COMMAND: the table, told to clients. Shapes are Redis 7's.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "node/command_details.h"
#include "node/command_keys.h"

typedef struct flag_name {
    uint32_t flag;
    const char *name;
} flag_name;

static const flag_name FLAG_NAMES[] = {
    {FB_COMMAND_WRITE, "write"},
    {FB_COMMAND_READONLY, "readonly"},
    {FB_COMMAND_DENYOOM, "denyoom"},
    {FB_COMMAND_ADMIN, "admin"},
    {FB_COMMAND_PUBSUB, "pubsub"},
    {FB_COMMAND_NOSCRIPT, "noscript"},
    {FB_COMMAND_LOADING, "loading"},
    {FB_COMMAND_STALE, "stale"},
    {FB_COMMAND_SKIP_SLOWLOG, "skip_slowlog"},
    {FB_COMMAND_FAST, "fast"},
    {FB_COMMAND_NOAUTH, "no_auth"},
    {FB_COMMAND_ALLOW_BUSY, "allow_busy"},
    {FB_COMMAND_MOVABLEKEYS, "movablekeys"},
};

enum { FLAG_NAME_COUNT = sizeof FLAG_NAMES / sizeof FLAG_NAMES[0], WORD_SIZE = 64 };

// ---- COMMAND, COMMAND INFO

static void reply_flags(fb_reply *reply, const fb_command *command) {
    size_t count = 0;
    for (size_t i = 0; i < FLAG_NAME_COUNT; i++) {
        count += (command->flags & FLAG_NAMES[i].flag) != 0;
    }
    fb_reply_set(reply, count);
    for (size_t i = 0; i < FLAG_NAME_COUNT; i++) {
        if ((command->flags & FLAG_NAMES[i].flag) != 0) {
            fb_reply_status(reply, FLAG_NAMES[i].name);
        }
    }
}

// The next word of a text with blanks between its words; empty at the end.
static fb_str next_word(const char **text) {
    while (**text == ' ') {
        (*text)++;
    }
    fb_str word = {*text, strcspn(*text, " ")};
    *text += word.len;
    return word;
}

static size_t word_count(const char *text) {
    size_t count = 0;
    while (next_word(&text).len > 0) {
        count++;
    }
    return count;
}

static void reply_categories(fb_reply *reply, const fb_command *command) {
    const char *text = command->categories;
    size_t count = word_count(text);
    fb_reply_set(reply, count);
    for (size_t i = 0; i < count; i++) {
        char name[WORD_SIZE];
        fb_str word = next_word(&text);
        (void)snprintf(name, sizeof name, "@%.*s", FB_STR_ARG(word));
        fb_reply_status(reply, name);
    }
}

static size_t sub_count(const fb_command *command) {
    size_t count = 0;
    while (command->subcommands != NULL && command->subcommands[count].name != NULL) {
        count++;
    }
    return count;
}

static void reply_name(fb_reply *reply, const fb_command *parent, const fb_command *command) {
    char name[WORD_SIZE];
    (void)snprintf(name, sizeof name, "%s%s%s", parent != NULL ? parent->name : "",
                   parent != NULL ? "|" : "", command->name);
    fb_reply_text(reply, name);
}

static void reply_tips(fb_reply *reply, const char *tips) {
    fb_reply_set(reply, word_count(tips));
    for (fb_str tip = next_word(&tips); tip.len > 0; tip = next_word(&tips)) {
        fb_reply_bytes(reply, tip);
    }
}

// The words of one key's flags: up to the end or a "/".
static void reply_key_flags(fb_reply *reply, const char *flags) {
    char text[WORD_SIZE];
    const char *rest = text;
    (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(flags, "/"), flags);
    fb_reply_set(reply, word_count(text));
    for (fb_str flag = next_word(&rest); flag.len > 0; flag = next_word(&rest)) {
        char word[WORD_SIZE];
        (void)snprintf(word, sizeof word, "%.*s", FB_STR_ARG(flag));
        fb_reply_status(reply, word);
    }
}

static const char *next_key_flags(const char *flags) {
    const char *end = flags + strcspn(flags, "/");
    return *end == '/' ? end + 1 : end;
}

static void reply_pair(fb_reply *reply, const char *name, int64_t number) {
    fb_reply_text(reply, name);
    fb_reply_integer(reply, number);
}

// Where keys are: from `first` on, up to `last` behind it (< 0: from the end), each `step`.
static void reply_key_spec(fb_reply *reply, const char *flags, int first, int last, int step) {
    fb_reply_map(reply, 3);
    fb_reply_text(reply, "flags");
    reply_key_flags(reply, flags);
    fb_reply_text(reply, "begin_search");
    fb_reply_map(reply, 2);
    fb_reply_text(reply, "type");
    fb_reply_text(reply, "index");
    fb_reply_text(reply, "spec");
    fb_reply_map(reply, 1);
    reply_pair(reply, "index", first);
    fb_reply_text(reply, "find_keys");
    fb_reply_map(reply, 2);
    fb_reply_text(reply, "type");
    fb_reply_text(reply, "range");
    fb_reply_text(reply, "spec");
    fb_reply_map(reply, 3);
    reply_pair(reply, "lastkey", last);
    reply_pair(reply, "keystep", step);
    reply_pair(reply, "limit", 0);
}

// Keys of different kinds have a specification each. Keys that move have none that fits.
static void reply_key_specs(fb_reply *reply, const fb_command *command) {
    const char *flags = fb_command_key_flags(command);
    int8_t first = command->first_key;
    int last = command->last_key < 0 ? command->last_key : command->last_key - first;
    if (first == 0 || flags[0] == '\0') {
        fb_reply_set(reply, 0);
    } else if (strchr(flags, '/') == NULL) {
        fb_reply_set(reply, 1);
        reply_key_spec(reply, flags, first, last, command->key_step);
    } else {
        fb_reply_set(reply, (size_t)last + 1);
        for (int i = 0; i <= last; i++, flags = next_key_flags(flags)) {
            reply_key_spec(reply, flags, first + i, 0, 1);
        }
    }
}

// All but its subcommands.
static void reply_command(fb_reply *reply, const fb_command *parent, const fb_command *command) {
    fb_reply_array(reply, 10);
    reply_name(reply, parent, command);
    fb_reply_integer(reply, command->arity);
    reply_flags(reply, command);
    fb_reply_integer(reply, command->first_key);
    fb_reply_integer(reply, command->last_key);
    fb_reply_integer(reply, command->key_step);
    reply_categories(reply, command);
    reply_tips(reply, fb_command_tips(command));
    reply_key_specs(reply, command);
    if (sub_count(command) > 0) {
        fb_reply_array(reply, sub_count(command));
    } else {
        fb_reply_set(reply, 0);  // as Redis has it, where there are none
    }
}

static void reply_tree(fb_reply *reply, const fb_command *command) {
    reply_command(reply, NULL, command);
    for (size_t i = 0; i < sub_count(command); i++) {
        reply_command(reply, command, &command->subcommands[i]);
    }
}

void fb_command_all(fb_command_call *call) {
    fb_reply_array(call->reply, fb_command_count());
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        reply_tree(call->reply, fb_command_at(i));
    }
}

// "get", or "config|get" with *parent set.
static const fb_command *find_by_name(fb_str name, const fb_command **parent) {
    size_t bar = fb_str_find(name, '|');
    *parent = NULL;
    const fb_command *command = fb_command_find(fb_str_make(name.ptr, bar));
    if (command == NULL || bar == name.len) {
        return command;
    }
    *parent = command;
    return fb_command_find_sub(command, fb_str_make(name.ptr + bar + 1, name.len - bar - 1));
}

void fb_command_info(fb_command_call *call) {
    if (call->arg_count == 2) {
        fb_command_all(call);
        return;
    }
    fb_reply_array(call->reply, call->arg_count - 2);
    for (size_t i = 2; i < call->arg_count; i++) {
        const fb_command *parent = NULL;
        const fb_command *command = find_by_name(call->args[i], &parent);
        if (command == NULL) {
            fb_reply_null(call->reply);
        } else if (parent != NULL) {
            reply_command(call->reply, parent, command);
        } else {
            reply_tree(call->reply, command);
        }
    }
}

void fb_command_how_many(fb_command_call *call) {
    fb_reply_integer(call->reply, (int64_t)fb_command_count());
}

// ---- COMMAND DOCS

// One argument whose name is all of the syntax: redis-cli shows it as the hint behind the cursor.
static void reply_syntax(fb_reply *reply, const char *syntax) {
    fb_reply_text(reply, "arguments");
    fb_reply_array(reply, 1);
    fb_reply_map(reply, 2);
    fb_reply_text(reply, "name");
    fb_reply_text(reply, syntax);
    fb_reply_text(reply, "type");
    fb_reply_text(reply, "string");
}

static void reply_docs(fb_reply *reply, const fb_command *parent, const fb_command *command) {
    size_t subs = sub_count(command);
    bool bare = command->syntax[0] == '\0';
    reply_name(reply, parent, command);
    fb_reply_map(reply, 3 + (bare ? 0u : 1u) + (subs > 0 ? 1u : 0u));
    fb_reply_text(reply, "summary");
    fb_reply_text(reply, command->summary);
    fb_reply_text(reply, "since");
    fb_reply_text(reply, command->since);
    fb_reply_text(reply, "group");
    fb_reply_text(reply, command->group);
    if (!bare) {
        reply_syntax(reply, command->syntax);
    }
    if (subs > 0) {
        fb_reply_text(reply, "subcommands");
        fb_reply_map(reply, subs);
    }
}

static void reply_docs_tree(fb_reply *reply, const fb_command *parent, const fb_command *command) {
    reply_docs(reply, parent, command);
    for (size_t i = 0; i < sub_count(command); i++) {
        reply_docs(reply, command, &command->subcommands[i]);
    }
}

void fb_command_docs(fb_command_call *call) {
    fb_reply *reply = call->reply;
    if (call->arg_count == 2) {
        fb_reply_map(reply, fb_command_count());
        for (size_t i = 0; fb_command_at(i) != NULL; i++) {
            reply_docs_tree(reply, NULL, fb_command_at(i));
        }
        return;
    }
    const fb_command *parent;
    size_t known = 0;
    for (size_t i = 2; i < call->arg_count; i++) {
        known += find_by_name(call->args[i], &parent) != NULL;
    }
    fb_reply_map(reply, known);
    for (size_t i = 2; i < call->arg_count; i++) {
        const fb_command *command = find_by_name(call->args[i], &parent);
        if (command != NULL) {
            reply_docs_tree(reply, parent, command);
        }
    }
}

// ---- COMMAND LIST

typedef enum filter { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN } filter;

static bool in_category(const fb_command *command, fb_str category) {
    const char *text = command->categories;
    for (fb_str word = next_word(&text); word.len > 0; word = next_word(&text)) {
        if (fb_str_same(word, category)) {
            return true;
        }
    }
    return false;
}

static bool passes(const fb_command *command, const char *name, filter kind, fb_str value) {
    switch (kind) {
        case FILTER_NONE:
            return true;
        case FILTER_MODULE:
            return false;
        case FILTER_CATEGORY:
            return in_category(command, value);
        case FILTER_PATTERN:
            return fb_command_name_matches(value, fb_str_of(name));
    }
    return false;
}

static bool read_filter(const fb_command_call *call, filter *kind, fb_str *value) {
    static const char *const words[] = {"", "MODULE", "ACLCAT", "PATTERN"};
    if (call->arg_count == 2) {
        *kind = FILTER_NONE;
        return true;
    }
    if (call->arg_count != 5 || !fb_command_word(call, 2, "FILTERBY")) {
        return false;
    }
    for (filter one = FILTER_MODULE; one <= FILTER_PATTERN; one++) {
        if (fb_command_word(call, 3, words[one])) {
            *kind = one;
            *value = call->args[4];
            return true;
        }
    }
    return false;
}

typedef struct listing {
    filter kind;
    fb_str value;
    fb_reply *reply;  // NULL: they are only counted
    size_t count;
} listing;

static void list_one(listing *list, const fb_command *command) {
    char name[FB_COMMAND_NAME_SIZE];
    (void)fb_command_full_name(command, name);
    if (passes(command, name, list->kind, list->value)) {
        list->count++;
        if (list->reply != NULL) {
            fb_reply_text(list->reply, name);
        }
    }
}

static void list_all(listing *list) {
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        const fb_command *command = fb_command_at(i);
        list_one(list, command);
        for (size_t k = 0; k < sub_count(command); k++) {
            list_one(list, &command->subcommands[k]);
        }
    }
}

void fb_command_list(fb_command_call *call) {
    listing list = {.kind = FILTER_NONE};
    if (!read_filter(call, &list.kind, &list.value)) {
        fb_command_syntax_error(call);
        return;
    }
    list_all(&list);
    fb_reply_array(call->reply, list.count);
    list.reply = call->reply;
    list_all(&list);
}

// ---- COMMAND GETKEYS

static const fb_command *find_asked(const fb_command_call *call) {
    const fb_command *command = fb_command_find(call->args[2]);
    if (command != NULL && command->subcommands != NULL && call->arg_count > 3) {
        return fb_command_find_sub(command, call->args[3]);
    }
    return command;
}

// false: the reply says why there are none.
static bool find_asked_keys(fb_command_call *call, fb_command_call *asked, fb_key_places *keys) {
    fb_reply *reply = call->reply;
    *asked = *call;
    asked->command = find_asked(call);
    asked->args += 2;
    asked->arg_count -= 2;
    if (asked->command == NULL) {
        fb_reply_error(reply, "ERR Invalid command specified");
    } else if (asked->command->first_key == 0 &&
               (asked->command->flags & FB_COMMAND_MOVABLEKEYS) == 0) {
        fb_reply_error(reply, "ERR The command has no key arguments");
    } else if (!fb_command_arity_fits(asked->command, asked->arg_count)) {
        fb_reply_error(reply, "ERR Invalid number of arguments specified for command");
    } else if (!fb_command_keys(asked, keys)) {
        fb_reply_error(reply, "ERR Invalid arguments specified for command");
    } else {
        return true;
    }
    return false;
}

void fb_command_getkeys(fb_command_call *call) {
    fb_command_call asked;
    fb_key_places keys;
    if (!find_asked_keys(call, &asked, &keys)) {
        return;
    }
    fb_reply_array(call->reply, keys.count);
    for (size_t i = 0; i < keys.count; i++) {
        fb_reply_bytes(call->reply, asked.args[keys.first + i * keys.step]);
    }
}

void fb_command_getkeys_and_flags(fb_command_call *call) {
    fb_command_call asked;
    fb_key_places keys;
    if (!find_asked_keys(call, &asked, &keys)) {
        return;
    }
    const char *flags = fb_command_key_flags_of(asked.command, asked.args, asked.arg_count);
    bool many = strchr(flags, '/') != NULL;
    fb_reply_array(call->reply, keys.count);
    for (size_t i = 0; i < keys.count; i++) {
        fb_reply_array(call->reply, 2);
        fb_reply_bytes(call->reply, asked.args[keys.first + i * keys.step]);
        reply_key_flags(call->reply, flags);
        flags = many ? next_key_flags(flags) : flags;
    }
}

void fb_command_show_help(fb_command_call *call) {
    fb_command_help(call, "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_COMMAND);
}
