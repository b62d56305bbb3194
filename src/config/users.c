// Users: their options, and the rule words that stand for them.
//
// What a word means, and which commands there are, is not known here: the node says that, and is told
// the place of each word so that it can say where. Here is made sure only that each list holds the
// kind of words that it is for, so that no "on" or ">password" slips in among the commands.

#include "config/settings.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "config/state.h"
#include "config/tree.h"
#include "config/values.h"

#include <string.h>

enum { ITEMS_MAX = 10000, SECRET_MAX = 4096 };

#define HAS_COUNT(items, count)                                                          \
    _Static_assert(offsetof(fb_user_options, count) ==                                   \
                       offsetof(fb_user_options, items) + sizeof(void *), #count)
HAS_COUNT(tokens, token_count);
HAS_COUNT(tokens_sha256, token_sha256_count);
HAS_COUNT(commands, command_count);
HAS_COUNT(keys, key_count);
_Static_assert(offsetof(fb_user_options, name) == 0, "a named element starts with its name");

#define MEMBER(member) .offset = offsetof(fb_user_options, member), .reloadable = true

const fb_option fb_user_options_table[] = {
    {.name = "off", .type = FB_OPTION_BOOL, MEMBER(off), .default_text = "false",
     .help = "It cannot sign in."},
    {.name = "password", .type = FB_OPTION_TEXT, MEMBER(password), .max = SECRET_MAX,
     .secret = FB_OPTION_SECRET, .help = "Its password. Never shown."},
    {.name = "password_sha256", .type = FB_OPTION_TEXT, MEMBER(password_sha256), .max = 64,
     .secret = FB_OPTION_SECRET,
     .help = "The SHA-256 of its password instead, 64 hexadecimal digits. Never shown."},
    {.name = "no_password", .type = FB_OPTION_BOOL, MEMBER(no_password), .default_text = "false",
     .help = "Any password will do."},
    {.name = "tokens", .type = FB_OPTION_TEXTS, MEMBER(tokens), .default_text = "[]",
     .max = ITEMS_MAX,
     .secret = FB_OPTION_SECRET,
     .help = "What an HTTP client may show as `Authorization: Bearer`. Never shown."},
    {.name = "tokens_sha256", .type = FB_OPTION_TEXTS, MEMBER(tokens_sha256), .default_text = "[]",
     .max = ITEMS_MAX,
     .secret = FB_OPTION_SECRET,
     .help = "The same by their SHA-256. Never shown."},
    {.name = "commands", .type = FB_OPTION_TEXTS, MEMBER(commands), .default_text = "[]",
     .max = ITEMS_MAX,
     .help = "What it may run, one word after the other: `+get`, `-flushall`, `+config|get`, "
             "`+@read`, `+@all`; none unless set, and of `default` all."},
    {.name = "keys", .type = FB_OPTION_TEXTS, MEMBER(keys), .default_text = "[]",
     .max = ITEMS_MAX,
     .help = "Which keys it may use, as patterns: `user:*`, to read alone `%R~session:*`, to write "
             "alone `%W~log:*`, all `*`; none unless set, and of `default` all."},
    {.name = NULL},
};

#undef MEMBER

// ---- what only the whole shows

static bool is_default(const fb_user_options *user) {
    return strcmp(user->name, "default") == 0;
}

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

static bool is_hash(const char *text) {
    return strspn(text, "0123456789abcdefABCDEF") == 64 && text[64] == '\0';
}

static bool has_secret(const fb_user_options *user) {
    return is_set(user->password) || is_set(user->password_sha256) || user->token_count > 0 ||
           user->token_sha256_count > 0;
}

// The next of the words in a text, which blanks separate; empty: that was the last.
static fb_str next_word(fb_str *text) {
    *text = fb_str_trim(*text);
    size_t len = fb_str_find(*text, ' ');
    fb_str word = fb_str_make(text->ptr, len);
    *text = fb_str_make(text->ptr + len, text->len - len);
    return word;
}

static bool is_command_word(fb_str word) {
    return word.len > 1 && (word.ptr[0] == '+' || word.ptr[0] == '-');
}

static int check_commands(const fb_user_options *user, fb_error *error) {
    for (size_t i = 0; i < user->command_count; i++) {
        fb_str rest = fb_str_of(user->commands[i]);
        for (fb_str word = next_word(&rest); word.len > 0; word = next_word(&rest)) {
            char shown[FB_VALUE_SHOWN_SIZE];
            if (!is_command_word(word)) {
                return fb_error_set(error, FB_EINVAL,
                                    "expected words such as +@read, +get or -flushall, found \"%s\"",
                                    fb_value_shown(word, shown));
            }
        }
    }
    return FB_OK;
}

int fb_user_options_check(const fb_user_options *user, const char **option, fb_error *error) {
    static const char HASH[] = "expected the SHA-256 of a secret: 64 hexadecimal digits";
    *option = "password_sha256";
    if (is_set(user->password_sha256) && !is_hash(user->password_sha256)) {
        return fb_error_set(error, FB_EINVAL, "%s", HASH);
    }
    if (is_set(user->password_sha256) && is_set(user->password)) {
        return fb_error_set(error, FB_ECONFLICT, "there is a password already; give one of the two");
    }
    *option = "tokens_sha256";
    for (size_t i = 0; i < user->token_sha256_count; i++) {
        if (!is_hash(user->tokens_sha256[i])) {
            return fb_error_set(error, FB_EINVAL, "%s", HASH);
        }
    }
    *option = "no_password";
    if (user->no_password && has_secret(user)) {
        return fb_error_set(error, FB_ECONFLICT, "but there is a password, or a token");
    }
    *option = NULL;
    if (!is_default(user) && !user->off && !user->no_password && !has_secret(user)) {
        return fb_error_set(error, FB_EINVAL,
                            "expected a password, password_sha256 or tokens (or off: true)");
    }
    *option = "commands";
    return check_commands(user, error);
}

// ---- as rule words

typedef struct rules {
    const fb_config *config;
    fb_arena *arena;
    const char *name;
    fb_config_rule *items;
    size_t count, room;
    bool failed;  // no memory
} rules;

static fb_config_rule place_of(const rules *list, const char *option) {
    fb_path path = {.len = 0};
    (void)fb_path_push(&path, FB_STR("users"));
    (void)fb_path_push(&path, fb_str_of(list->name));
    (void)fb_path_push(&path, fb_str_of(option));
    const fb_option_mark *mark = fb_option_marks_get(&list->config->marks, fb_path_str(&path));
    fb_config_rule rule = {.option = option};
    if (mark != NULL) {
        rule.file = mark->file;
        rule.line = mark->line;
        rule.column = mark->column;
    }
    return rule;
}

// A word with what stands before it.
static void add(rules *list, const char *option, const char *before, fb_str text) {
    size_t len = strlen(before);
    char *word = fb_arena_new(list->arena, len + text.len + 1);
    if (list->count == list->room) {
        size_t room = list->room > 0 ? 2 * list->room : 16;
        fb_config_rule *items = fb_arena_new(list->arena, room * sizeof *items);
        if (items != NULL && list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->room = room;
    }
    if (word == NULL || list->items == NULL) {
        list->failed = true;
        list->count = list->room = 0;
        return;
    }
    memcpy(word, before, len);
    if (text.len > 0) {
        memcpy(word + len, text.ptr, text.len);
    }
    fb_config_rule rule = place_of(list, option);
    rule.word = fb_str_make(word, len + text.len);
    list->items[list->count++] = rule;
}

static void add_hash(rules *list, const char *option, const char *before, const char *hash) {
    char small[65];
    size_t len = strlen(hash);
    for (size_t i = 0; i < len && i < sizeof small; i++) {
        small[i] = (char)(hash[i] >= 'A' && hash[i] <= 'F' ? hash[i] - 'A' + 'a' : hash[i]);
    }
    add(list, option, before, fb_str_make(small, len < sizeof small ? len : 0));
}

static void add_secrets(rules *list, const fb_user_options *user) {
    if (is_set(user->password)) {
        add(list, "password", ">", fb_str_of(user->password));
    }
    if (is_set(user->password_sha256)) {
        add_hash(list, "password_sha256", "#", user->password_sha256);
    }
    for (size_t i = 0; i < user->token_count; i++) {
        add(list, "tokens", "token>", fb_str_of(user->tokens[i]));
    }
    for (size_t i = 0; i < user->token_sha256_count; i++) {
        add_hash(list, "tokens_sha256", "token#", user->tokens_sha256[i]);
    }
}

static void add_commands(rules *list, const fb_user_options *user) {
    if (user->command_count == 0 && is_default(user)) {
        add(list, "commands", "+@all", FB_STR(""));
    }
    for (size_t i = 0; i < user->command_count; i++) {
        fb_str rest = fb_str_of(user->commands[i]);
        for (fb_str word = next_word(&rest); word.len > 0; word = next_word(&rest)) {
            add(list, "commands", "", word);
        }
    }
}

// "*" among patterns is all of them, whatever stands beside it.
static bool has_all_keys(const fb_user_options *user) {
    for (size_t i = 0; i < user->key_count; i++) {
        if (strcmp(user->keys[i], "*") == 0 || strcmp(user->keys[i], "~*") == 0) {
            return true;
        }
    }
    return user->key_count == 0 && is_default(user);
}

static void add_keys(rules *list, const fb_user_options *user) {
    if (has_all_keys(user)) {
        add(list, "keys", "~*", FB_STR(""));
        return;
    }
    for (size_t i = 0; i < user->key_count; i++) {
        bool said = user->keys[i][0] == '~' || user->keys[i][0] == '%';
        add(list, "keys", said ? "" : "~", fb_str_of(user->keys[i]));
    }
}

static int tell(const fb_config *config, const fb_user_options *user, const char *password,
                fb_config_user_fn fn, void *arg) {
    fb_arena arena = {0};
    rules list = {.config = config, .arena = &arena, .name = user->name};
    bool default_password = is_default(user) && !has_secret(user) && is_set(password);
    add(&list, "off", user->off ? "off" : "on", FB_STR(""));
    if (default_password) {
        add(&list, "password", ">", fb_str_of(password));
    } else if (user->no_password || (is_default(user) && !has_secret(user))) {
        add(&list, "no_password", "nopass", FB_STR(""));
    }
    add_secrets(&list, user);
    add(&list, "keys", "allchannels", FB_STR(""));
    add_keys(&list, user);
    add_commands(&list, user);
    int result = list.failed ? FB_ENOMEM : fn(arg, user->name, list.items, list.count);
    fb_arena_release(&arena);
    return result;
}

int fb_config_users(const fb_config *config, fb_config_user_fn fn, void *arg) {
    static char NAME[] = "default";
    const fb_settings *settings = &config->settings;
    const fb_user_options *first = &(fb_user_options){.name = NAME};
    for (size_t i = 0; i < settings->user_count; i++) {
        if (is_default(&settings->users[i])) {
            first = &settings->users[i];
        }
    }
    int result = tell(config, first, settings->password, fn, arg);
    for (size_t i = 0; i < settings->user_count && result == FB_OK; i++) {
        if (!is_default(&settings->users[i])) {
            result = tell(config, &settings->users[i], NULL, fn, arg);
        }
    }
    return result;
}
