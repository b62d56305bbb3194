// user_oracle.h -- random rules of users, and a simple reading of them: what they say of one command
// and one key is worked out word by word from the texts, without any table of bits.

#ifndef FB_TESTS_USER_ORACLE_H
#define FB_TESTS_USER_ORACLE_H

#include "support.h"

#include "base/glob.h"
#include "base/rng.h"
#include "node/user_rules.h"

enum { ORACLE_WORDS_MAX = 24, ORACLE_WORD_SIZE = 96 };

typedef struct oracle_rules {
    char words[ORACLE_WORDS_MAX][ORACLE_WORD_SIZE];
    size_t count;
} oracle_rules;

// ---- words

static inline const fb_command *oracle_any_command(fb_rng *rng) {
    const fb_command *command = fb_command_at((size_t)fb_rng_below(rng, fb_command_count()));
    size_t subs = 0;
    while (command->subcommands != NULL && command->subcommands[subs].name != NULL) {
        subs++;
    }
    return subs > 0 && fb_rng_below(rng, 3) > 0 ? &command->subcommands[fb_rng_below(rng, subs)]
                                                : command;
}

static inline void oracle_pattern(fb_rng *rng, char text[32]) {
    static const char *const PARTS[] = {"a", "b", "*", "?", "ab", "[ab]", ":", "a*"};
    size_t count = 1 + (size_t)fb_rng_below(rng, 3);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(text, PARTS[fb_rng_below(rng, sizeof PARTS / sizeof PARTS[0])]);
    }
}

static inline void oracle_key(fb_rng *rng, char text[32]) {
    size_t count = 1 + (size_t)fb_rng_below(rng, 4);
    for (size_t i = 0; i < count; i++) {
        text[i] = "ab:c"[fb_rng_below(rng, 4)];
    }
    text[count] = '\0';
}

static inline void oracle_key_word(fb_rng *rng, char word[ORACLE_WORD_SIZE]) {
    static const char *const SIGNS[] = {"~", "%R~", "%W~", "%RW~", "%wr~"};
    char pattern[32];
    oracle_pattern(rng, pattern);
    snprintf(word, ORACLE_WORD_SIZE, "%s%s", SIGNS[fb_rng_below(rng, 5)], pattern);
}

// `categories`: NULL-terminated, those that may be named.
static inline void oracle_word(fb_rng *rng, const char *const *categories,
                               char word[ORACLE_WORD_SIZE]) {
    char name[FB_COMMAND_NAME_SIZE];
    char sign = fb_rng_below(rng, 3) > 0 ? '+' : '-';
    size_t count = 0;
    while (categories[count] != NULL) {
        count++;
    }
    switch (fb_rng_below(rng, 16)) {
        case 0:
            snprintf(word, ORACLE_WORD_SIZE, "%c@all", sign);
            break;
        case 1:
        case 2:
        case 3:
        case 4:
            snprintf(word, ORACLE_WORD_SIZE, "%c@%s", sign, categories[fb_rng_below(rng, count)]);
            break;
        case 5:
            snprintf(word, ORACLE_WORD_SIZE, "%s", fb_rng_below(rng, 2) ? "allkeys" : "resetkeys");
            break;
        case 6:
        case 7:
        case 8:
        case 9:
            oracle_key_word(rng, word);
            break;
        case 10:
            snprintf(word, ORACLE_WORD_SIZE, "+select|%d", (int)fb_rng_below(rng, 3));
            break;
        case 11:
            snprintf(word, ORACLE_WORD_SIZE, "%s",
                     fb_rng_below(rng, 4) > 0 ? "resetkeys" : "reset");
            break;
        default:
            snprintf(word, ORACLE_WORD_SIZE, "%c%s", sign,
                     fb_command_full_name(oracle_any_command(rng), name));
            break;
    }
}

// ---- what they say

static inline bool oracle_has_word(const char *list, const char *word) {
    size_t len = strlen(word);
    for (const char *at = strstr(list, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static inline bool oracle_concerns(const char *word, const fb_command *command,
                                   const fb_command *parent, const char *full) {
    if (strcmp(word + 1, "@all") == 0) {
        return true;
    }
    if (word[1] == '@') {
        return oracle_has_word(command->categories, word + 2) ||
               (parent != NULL && oracle_has_word(parent->categories, word + 2));
    }
    return strcmp(word + 1, full) == 0 || (parent != NULL && strcmp(word + 1, parent->name) == 0);
}

static inline const fb_command *oracle_parent(const fb_command *command, const char *full) {
    const char *bar = strchr(full, '|');
    (void)command;
    return bar != NULL ? fb_command_find(fb_str_make(full, (size_t)(bar - full))) : NULL;
}

// Whether the command may be run, with this first argument (may be "").
static inline bool oracle_may_run(const oracle_rules *rules, const fb_command *command,
                                  const char *first_arg) {
    char name[FB_COMMAND_NAME_SIZE];
    char with_arg[ORACLE_WORD_SIZE];
    const char *full = fb_command_full_name(command, name);
    const fb_command *parent = oracle_parent(command, full);
    bool allowed = false;
    bool by_arg = false;
    if ((command->flags & FB_COMMAND_NOAUTH) != 0) {
        return true;
    }
    snprintf(with_arg, sizeof with_arg, "+%s|%s", full, first_arg);
    for (size_t i = 0; i < rules->count; i++) {
        const char *word = rules->words[i];
        if (strcmp(word, "reset") == 0) {
            allowed = by_arg = false;
        } else if (strcmp(word, with_arg) == 0) {
            by_arg = true;
        } else if ((word[0] == '+' || word[0] == '-') &&
                   oracle_concerns(word, command, parent, full)) {
            allowed = word[0] == '+';
            by_arg = false;
        }
    }
    return allowed || by_arg;
}

static inline unsigned oracle_access(const char *word) {
    const char *tilde = strchr(word, '~');
    unsigned access = 0;
    for (const char *at = word; at < tilde; at++) {
        access |= *at == 'R' || *at == 'r' ? FB_ACCESS_READ : 0u;
        access |= *at == 'W' || *at == 'w' ? FB_ACCESS_WRITE : 0u;
    }
    return word[0] == '~' ? FB_ACCESS_READ | FB_ACCESS_WRITE : access;
}

// A key, by the words since the last that took all patterns away. Words about one pattern add up.
static inline bool oracle_may_key(const oracle_rules *rules, const char *key, unsigned access) {
    size_t from = 0;
    for (size_t i = 0; i < rules->count; i++) {
        const char *word = rules->words[i];
        bool all = strcmp(word, "allkeys") == 0 || strcmp(word, "~*") == 0;
        if (all || strcmp(word, "resetkeys") == 0 || strcmp(word, "reset") == 0) {
            from = i + (all ? 0 : 1);
        }
    }
    for (size_t i = from; i < rules->count; i++) {
        const char *word = rules->words[i];
        if (strcmp(word, "allkeys") == 0 || strcmp(word, "~*") == 0) {
            return true;
        }
        if (word[0] != '~' && word[0] != '%') {
            continue;
        }
        const char *pattern = strchr(word, '~') + 1;
        unsigned has = 0;
        for (size_t k = from; k < rules->count; k++) {
            const char *other = rules->words[k];
            if ((other[0] == '~' || other[0] == '%') &&
                strcmp(strchr(other, '~') + 1, pattern) == 0) {
                has |= oracle_access(other);
            }
        }
        if ((has & access) == access && fb_glob_match(fb_str_of(pattern), fb_str_of(key))) {
            return true;
        }
    }
    return false;
}

// A random user by its words; the words that were refused (a pattern after all keys) are not among
// those of `rules`.
static inline fb_user *oracle_user(fb_rng *rng, const char *const *categories,
                                   oracle_rules *rules) {
    fb_error error;
    fb_user *user = fb_user_new(FB_STR("u"));
    size_t count = 1 + (size_t)fb_rng_below(rng, ORACLE_WORDS_MAX - 1);
    assert_non_null(user);
    rules->count = 0;
    for (size_t i = 0; i < count; i++) {
        char *word = rules->words[rules->count];
        oracle_word(rng, categories, word);
        int result = fb_user_rule(user, fb_str_of(word), &error);
        if (result == FB_OK) {
            rules->count++;
        } else {
            assert_true(word[0] == '~' || word[0] == '%');
            assert_non_null(strstr(error.text, "Adding a pattern after the * pattern"));
        }
    }
    return user;
}

#endif
