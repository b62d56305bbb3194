// Rule words: read, and shown again.
//
// A user keeps the words about commands as they were said, each name once and in their last order:
// what is shown makes the same user again, since a later word about a name sets all that an earlier
// one did. (Redis 7.0 works the shortest list of categories out of the bits instead, which may say
// another thing than was meant as soon as a version brings a new command.)

#include "node/user_rules.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/command_table.h"

enum { ACCESS_ALL = FB_ACCESS_READ | FB_ACCESS_WRITE, RULE_SIZE = 128 };

static const char SYNTAX[] = "Syntax error";
static const char UNKNOWN[] = "Unknown command or category name in ACL";

// Redis's, and one for each engine of forebay's.
static const char *const CATEGORIES[] = {
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap",
    "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous",
    "connection", "transaction", "scripting", "cache", "limit", "queue", "mail", NULL,
};

const char *fb_user_category(size_t index) {
    return CATEGORIES[index];
}

bool fb_user_is_category(fb_str name) {
    for (size_t i = 0; CATEGORIES[i] != NULL; i++) {
        if (fb_str_same(name, fb_str_of(CATEGORIES[i]))) {
            return true;
        }
    }
    return false;
}

bool fb_user_in_category(const fb_command *command, fb_str category) {
    const char *at = command->categories;
    while (*at != '\0') {
        size_t len = strcspn(at, " ");
        if (fb_str_same(fb_str_make(at, len), category)) {
            return true;
        }
        at += len + strspn(at + len, " ");
    }
    return false;
}

static int refuse(fb_error *error, const char *why) {
    return fb_error_set(error, FB_EINVAL, "%s", why);
}

static int refuse_memory(fb_error *error) {
    return fb_error_set(error, FB_ENOMEM, "out of memory");
}

static fb_str behind(fb_str word, size_t count) {
    return fb_str_make(word.ptr + count, word.len - count);
}

static bool is_text(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (byte == '\0' || byte == ' ' || (byte >= '\t' && byte <= '\r')) {
            return false;
        }
    }
    return text.len <= FB_USER_TEXT_MAX;
}

// One more place at the end of a list, zeroed; NULL: no memory, or too many.
static void *add_item(void *items_at, size_t *count, size_t size) {
    void *items;
    memcpy(&items, items_at, sizeof items);
    if (*count >= FB_USER_ITEMS_MAX) {
        return NULL;
    }
    char *grown = fb_mem_resize(items, (*count + 1) * size);
    if (grown == NULL) {
        return NULL;
    }
    memcpy(items_at, &grown, sizeof grown);
    memset(grown + *count * size, 0, size);
    return grown + (*count)++ * size;
}

// ---- commands

static void drop_rule(fb_user *user, size_t index) {
    fb_user_rules *rules = &user->rules;
    fb_mem_free(rules->items[index]);
    memmove(&rules->items[index], &rules->items[index + 1],
            (rules->count - index - 1) * sizeof rules->items[0]);
    rules->count--;
}

// "config" takes the words about its subcommands with it.
static bool is_about(const char *rule, fb_str name) {
    fb_str old = fb_str_of(rule + 1);
    if (!fb_str_starts(old, name)) {
        return false;
    }
    return old.len == name.len || (old.ptr[name.len] == '|' && fb_str_find(name, '|') == name.len);
}

static void drop_rules(fb_user *user, fb_str name) {
    for (size_t i = user->rules.count; i > 0; i--) {
        if (is_about(user->rules.items[i - 1], name)) {
            drop_rule(user, i - 1);
        }
    }
}

static int note_rule(fb_user *user, fb_str word) {
    char small[RULE_SIZE];
    if (word.len >= sizeof small) {
        return FB_EINVAL;
    }
    for (size_t i = 0; i < word.len; i++) {
        char byte = word.ptr[i];
        small[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
    }
    drop_rules(user, fb_str_make(small + 1, word.len - 1));
    char *text = fb_mem_text(fb_str_make(small, word.len));
    if (text == NULL) {
        return FB_ENOMEM;
    }
    char **place = add_item(&user->rules.items, &user->rules.count, sizeof *place);
    if (place == NULL) {
        fb_mem_free(text);
        return FB_ENOMEM;
    }
    *place = text;
    return FB_OK;
}

static void drop_first_args(fb_user *user, const fb_command *command) {
    fb_user_first_args *list = &user->first_args;
    for (size_t i = list->count; i > 0; i--) {
        if (command == NULL || list->items[i - 1].command == command) {
            fb_mem_free(list->items[i - 1].text);
            list->items[i - 1] = list->items[--list->count];
        }
    }
}

static bool has_all_bits(const fb_user *user) {
    uint64_t all = UINT64_MAX;
    for (size_t i = 0; i < sizeof user->commands / sizeof user->commands[0]; i++) {
        all &= user->commands[i];
    }
    return all == UINT64_MAX;
}

static void set_bit(fb_user *user, const fb_command *command, bool allow) {
    size_t bit = fb_user_bit(command);
    uint64_t mask = UINT64_C(1) << bit % 64;
    if (allow) {
        user->commands[bit / 64] |= mask;
        user->all_commands = has_all_bits(user);
    } else {
        user->commands[bit / 64] &= ~mask;
        user->all_commands = false;
    }
    drop_first_args(user, command);
}

// With all its subcommands.
static void set_command(fb_user *user, const fb_command *command, bool allow) {
    set_bit(user, command, allow);
    const fb_command *sub = command->subcommands;
    for (; sub != NULL && sub->name != NULL; sub++) {
        set_bit(user, sub, allow);
    }
}

static int set_all(fb_user *user, bool allow) {
    memset(user->commands, allow ? 0xff : 0, sizeof user->commands);
    user->all_commands = user->all_from = allow;
    while (user->rules.count > 0) {
        drop_rule(user, user->rules.count - 1);
    }
    drop_first_args(user, NULL);
    return FB_OK;
}

static int set_category(fb_user *user, fb_str word, bool allow, fb_error *error) {
    fb_str name = behind(word, 2);
    if (fb_str_same(name, FB_STR("all"))) {
        return set_all(user, allow);
    }
    if (!fb_user_is_category(name)) {
        return refuse(error, UNKNOWN);
    }
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        const fb_command *command = fb_command_at(i);
        if (fb_user_in_category(command, name)) {
            set_command(user, command, allow);
        }
        const fb_command *sub = command->subcommands;
        for (; sub != NULL && sub->name != NULL; sub++) {
            if (fb_user_in_category(sub, name)) {
                set_bit(user, sub, allow);
            }
        }
    }
    return note_rule(user, word);
}

static int allow_first_arg(fb_user *user, const fb_command *command, fb_str arg, fb_error *error) {
    if (arg.len == 0 || !is_text(arg)) {
        return refuse(error, SYNTAX);
    }
    fb_user_first_arg *place =
        add_item(&user->first_args.items, &user->first_args.count, sizeof *place);
    if (place == NULL) {
        return FB_ENOMEM;
    }
    place->command = command;
    place->text = fb_mem_text(arg);
    if (place->text == NULL) {
        user->first_args.count--;
        return FB_ENOMEM;
    }
    return FB_OK;
}

static int set_named(fb_user *user, fb_str word, bool allow, fb_error *error) {
    fb_str whole = behind(word, 1);
    size_t bar = fb_str_find(whole, '|');
    const fb_command *command = fb_command_find(fb_str_make(whole.ptr, bar));
    if (command == NULL) {
        return refuse(error, UNKNOWN);
    }
    if (bar == whole.len) {
        set_command(user, command, allow);
        return note_rule(user, word);
    }
    fb_str name = behind(whole, bar + 1);
    const fb_command *sub = fb_command_find_sub(command, name);
    if (sub != NULL) {
        set_bit(user, sub, allow);
        return note_rule(user, word);
    }
    if (allow && fb_str_find(name, '|') < name.len) {
        return refuse(error, "Allowing first-arg of a subcommand is not supported");
    }
    if (!allow || command->subcommands != NULL) {
        return refuse(error, UNKNOWN);
    }
    int result = allow_first_arg(user, command, name, error);
    return result == FB_OK ? note_rule(user, word) : result;
}

static int read_command(fb_user *user, fb_str word, fb_error *error) {
    bool allow = word.ptr[0] == '+';
    int result = word.len > 1 && word.ptr[1] == '@' ? set_category(user, word, allow, error)
                                                    : set_named(user, word, allow, error);
    // Longer than any name: an argument that is.
    return result == FB_EINVAL && error->text[0] == '\0' ? refuse(error, SYNTAX) : result;
}

// ---- patterns

static void clear_patterns(fb_user_patterns *list) {
    for (size_t i = 0; i < list->count; i++) {
        fb_mem_free(list->items[i].text);
    }
    list->count = 0;
}

static int add_pattern(fb_user_patterns *list, fb_str text, unsigned access, fb_error *error) {
    if (!is_text(text)) {
        return refuse(error, SYNTAX);
    }
    for (size_t i = 0; i < list->count; i++) {
        fb_user_pattern *one = &list->items[i];
        if (fb_str_equal(fb_str_make(one->text, one->len), text)) {
            one->access |= access;
            return FB_OK;
        }
    }
    char *copy = fb_mem_text(text);
    fb_user_pattern *place =
        copy != NULL ? add_item(&list->items, &list->count, sizeof *place) : NULL;
    if (place == NULL) {
        fb_mem_free(copy);
        return FB_ENOMEM;
    }
    *place = (fb_user_pattern){copy, text.len, access};
    return FB_OK;
}

static int set_all_keys(fb_user *user, bool all) {
    clear_patterns(&user->keys);
    user->all_keys = all;
    return FB_OK;
}

// Of "%R~*" and "%W~*" the sum is "~*".
static bool has_all(const fb_user_patterns *list) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].access == ACCESS_ALL && strcmp(list->items[i].text, "*") == 0) {
            return true;
        }
    }
    return false;
}

static int read_key(fb_user *user, fb_str word, fb_error *error) {
    unsigned access = ACCESS_ALL;
    size_t at = 1;
    if (word.ptr[0] == '%') {
        for (access = 0; at < word.len && word.ptr[at] != '~'; at++) {
            char letter = (char)(word.ptr[at] & ~0x20);
            if (letter != 'R' && letter != 'W') {
                return refuse(error, SYNTAX);
            }
            access |= letter == 'R' ? FB_ACCESS_READ : FB_ACCESS_WRITE;
        }
        if (access == 0 || at == word.len) {
            return refuse(error, SYNTAX);
        }
        at++;
    } else if (fb_str_equal(word, FB_STR("~*"))) {
        return set_all_keys(user, true);
    }
    if (user->all_keys) {
        return refuse(error, "Adding a pattern after the * pattern (or the 'allkeys' flag) is not "
                             "valid and does not have any effect. Try 'resetkeys' to start with an "
                             "empty list of patterns");
    }
    int result = add_pattern(&user->keys, behind(word, at), access, error);
    return result == FB_OK && has_all(&user->keys) ? set_all_keys(user, true) : result;
}

static int set_all_channels(fb_user *user, bool all) {
    clear_patterns(&user->channels);
    user->all_channels = all;
    return FB_OK;
}

static int read_channel(fb_user *user, fb_str word, fb_error *error) {
    if (fb_str_equal(word, FB_STR("&*"))) {
        return set_all_channels(user, true);
    }
    if (user->all_channels) {
        return refuse(error, "Adding a pattern after the * pattern (or the 'allchannels' flag) is "
                             "not valid and does not have any effect. Try 'resetchannels' to start "
                             "with an empty list of channels");
    }
    return add_pattern(&user->channels, behind(word, 1), 0, error);
}

// ---- secrets

static int hex_digit(char byte) {
    return byte >= '0' && byte <= '9' ? byte - '0' : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool read_hex(fb_str text, fb_user_hash *hash) {
    for (size_t i = 0; i < FB_USER_HASH_LEN && text.len == 2 * sizeof hash->bytes; i++) {
        int high = hex_digit(text.ptr[2 * i]);
        int low = hex_digit(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        hash->bytes[i] = (unsigned char)(high * 16 + low);
    }
    return text.len == 2 * sizeof hash->bytes;
}

static int remove_hash(fb_user_hashes *list, const fb_user_hash *hash, fb_error *error) {
    for (size_t i = 0; i < list->count; i++) {
        if (memcmp(&list->items[i], hash, sizeof *hash) == 0) {
            memmove(&list->items[i], &list->items[i + 1],
                    (list->count - i - 1) * sizeof list->items[0]);
            list->count--;
            return FB_OK;
        }
    }
    return refuse(error, "The password you are trying to remove from the user does not exist");
}

// `sign`: one of "> < # !", and the secret or its hash.
static int read_secret(fb_user_hashes *list, char sign, fb_str text, fb_error *error) {
    fb_user_hash hash;
    bool hex = sign == '#' || sign == '!';
    if (hex && !read_hex(text, &hash)) {
        return refuse(error, "The password hash must be exactly 64 characters and contain only "
                             "lowercase hexadecimal characters");
    }
    if (!hex && !fb_user_hash_of(text, &hash)) {
        return refuse_memory(error);
    }
    if (sign == '<' || sign == '!') {
        return remove_hash(list, &hash, error);
    }
    if (fb_user_hashes_have(list, &hash)) {
        return FB_OK;
    }
    fb_user_hash *place = add_item(&list->items, &list->count, sizeof *place);
    if (place == NULL) {
        return FB_ENOMEM;
    }
    *place = hash;
    return FB_OK;
}

static bool is_sign(char byte) {
    return byte == '>' || byte == '<' || byte == '#' || byte == '!';
}

static bool is_token_word(fb_str word) {
    return word.len > 5 && fb_str_same(fb_str_make(word.ptr, 5), FB_STR("token")) &&
           is_sign(word.ptr[5]);
}

bool fb_user_rule_is_secret(fb_str word) {
    return (word.len > 0 && is_sign(word.ptr[0])) || is_token_word(word);
}

static int read_password(fb_user *user, fb_str word, fb_error *error) {
    int result = read_secret(&user->passwords, word.ptr[0], behind(word, 1), error);
    if (result == FB_OK && (word.ptr[0] == '>' || word.ptr[0] == '#')) {
        user->no_password = false;
    }
    return result;
}

// A bearer token says who it is by itself, so an empty one would let in whoever says nothing.
static int read_token(fb_user *user, fb_str word, fb_error *error) {
    fb_str text = behind(word, 6);
    return text.len == 0 ? refuse(error, "A token must not be empty")
                         : read_secret(&user->tokens, word.ptr[5], text, error);
}

// ---- words

static int set_password_free(fb_user *user, bool free) {
    user->passwords.count = 0;
    user->no_password = free;
    return FB_OK;
}

static int reset(fb_user *user) {
    (void)set_all(user, false);
    (void)set_all_keys(user, false);
    (void)set_all_channels(user, false);
    user->on = false;
    user->tokens.count = 0;
    return set_password_free(user, false);
}

typedef enum word_kind {
    WORD_ON, WORD_OFF, WORD_NOPASS, WORD_RESETPASS, WORD_ALLCOMMANDS, WORD_NOCOMMANDS, WORD_ALLKEYS,
    WORD_RESETKEYS, WORD_ALLCHANNELS, WORD_RESETCHANNELS, WORD_RESETTOKENS, WORD_RESET,
    WORD_SANITIZE, WORD_SKIP_SANITIZE, WORD_CLEARSELECTORS, WORD_COUNT
} word_kind;

static const char *const WORDS[WORD_COUNT] = {
    "on",         "off",         "nopass",        "resetpass",   "allcommands",
    "nocommands", "allkeys",     "resetkeys",     "allchannels", "resetchannels",
    "resettokens", "reset",      "sanitize-payload", "skip-sanitize-payload",
    "clearselectors",
};

static int apply_word(fb_user *user, word_kind kind) {
    switch (kind) {
        case WORD_ON:
        case WORD_OFF:
            user->on = kind == WORD_ON;
            return FB_OK;
        case WORD_NOPASS:
        case WORD_RESETPASS:
            return set_password_free(user, kind == WORD_NOPASS);
        case WORD_ALLCOMMANDS:
        case WORD_NOCOMMANDS:
            return set_all(user, kind == WORD_ALLCOMMANDS);
        case WORD_ALLKEYS:
        case WORD_RESETKEYS:
            return set_all_keys(user, kind == WORD_ALLKEYS);
        case WORD_ALLCHANNELS:
        case WORD_RESETCHANNELS:
            return set_all_channels(user, kind == WORD_ALLCHANNELS);
        case WORD_RESETTOKENS:
            user->tokens.count = 0;
            return FB_OK;
        case WORD_RESET:
            return reset(user);
        default:
            return FB_OK;  // there are no payloads to look through, and no selectors
    }
}

static int read_word(fb_user *user, fb_str word, fb_error *error) {
    for (int i = 0; i < WORD_COUNT; i++) {
        if (fb_str_same(word, fb_str_of(WORDS[i]))) {
            return apply_word(user, (word_kind)i);
        }
    }
    return refuse(error, SYNTAX);
}

int fb_user_rule(fb_user *user, fb_str word, fb_error *error) {
    int result;
    char first = word.len > 0 ? word.ptr[0] : '\0';
    error->text[0] = '\0';
    if (is_sign(first)) {
        result = read_password(user, word, error);
    } else if (first == '+' || first == '-') {
        result = read_command(user, word, error);
    } else if (first == '~' || first == '%') {
        result = read_key(user, word, error);
    } else if (first == '&') {
        result = read_channel(user, word, error);
    } else if (word.len == 0) {
        result = FB_OK;  // as in Redis
    } else if (first == '(') {
        result = refuse(error, "Selectors are not supported");
    } else {
        result = is_token_word(word) ? read_token(user, word, error) : read_word(user, word, error);
    }
    return result == FB_ENOMEM ? refuse_memory(error) : result;
}

// ---- shown again

void fb_user_hash_hex(const fb_user_hash *hash, char text[2 * FB_USER_HASH_LEN + 1]) {
    for (size_t i = 0; i < FB_USER_HASH_LEN; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
    }
}

int fb_user_show_commands(const fb_user *user, fb_buf *out) {
    int result = fb_buf_append(out, user->all_from ? FB_STR("+@all") : FB_STR("-@all"));
    for (size_t i = 0; i < user->rules.count && result == FB_OK; i++) {
        result = fb_buf_printf(out, " %s", user->rules.items[i]);
    }
    return result;
}

static int show_patterns(const fb_user_patterns *list, bool keys, fb_buf *out) {
    int result = FB_OK;
    for (size_t i = 0; i < list->count && result == FB_OK; i++) {
        const fb_user_pattern *one = &list->items[i];
        const char *sign = !keys                              ? "&"
                           : one->access == ACCESS_ALL        ? "~"
                           : one->access == FB_ACCESS_READ    ? "%R~"
                                                              : "%W~";
        result = fb_buf_append(out, i > 0 ? FB_STR(" ") : FB_STR(""));
        if (result == FB_OK) {
            result = fb_buf_append(out, fb_str_of(sign));
        }
        if (result == FB_OK) {
            result = fb_buf_append(out, fb_str_make(one->text, one->len));
        }
    }
    return result;
}

int fb_user_show_keys(const fb_user *user, fb_buf *out) {
    return user->all_keys ? fb_buf_append(out, FB_STR("~*")) : show_patterns(&user->keys, true, out);
}

int fb_user_show_channels(const fb_user *user, fb_buf *out) {
    return user->all_channels ? fb_buf_append(out, FB_STR("&*"))
                              : show_patterns(&user->channels, false, out);
}

static int show_hashes(const fb_user_hashes *list, const char *before, fb_buf *out) {
    int result = FB_OK;
    for (size_t i = 0; i < list->count && result == FB_OK; i++) {
        char hex[2 * FB_USER_HASH_LEN + 1];
        fb_user_hash_hex(&list->items[i], hex);
        result = fb_buf_printf(out, " %s%s", before, hex);
    }
    return result;
}

int fb_user_show(const fb_user *user, fb_buf *out) {
    int result = fb_buf_printf(out, "user %s %s%s", user->name, user->on ? "on" : "off",
                               user->no_password ? " nopass" : "");
    if (result == FB_OK) {
        result = show_hashes(&user->passwords, "#", out);
    }
    if (result == FB_OK) {
        result = show_hashes(&user->tokens, "token#", out);
    }
    if (result == FB_OK && (user->all_keys || user->keys.count > 0)) {
        result = fb_buf_byte(out, ' ');
    }
    if (result == FB_OK) {
        result = fb_user_show_keys(user, out);
    }
    if (result == FB_OK) {
        result = fb_buf_append(out, user->all_channels ? FB_STR(" ") : FB_STR(" resetchannels"));
    }
    if (result == FB_OK && user->channels.count > 0) {
        result = fb_buf_byte(out, ' ');
    }
    if (result == FB_OK) {
        result = fb_user_show_channels(user, out);
    }
    if (result == FB_OK) {
        result = fb_buf_byte(out, ' ');
    }
    return result == FB_OK ? fb_user_show_commands(user, out) : result;
}
