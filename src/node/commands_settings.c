// CONFIG. GET shows the options in force by their paths (memory, listen.resp, classes.package.ttl
// …), and beside them the few of Redis's names that benchmarks and client libraries ask for, with
// what is true here. Nothing can be set this way: the configuration is the operator's file, which
// is read again on a signal. So SET succeeds only where it asks for what is so already.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/glob.h"
#include "base/str.h"
#include "base/units.h"

// ---- Redis's names

typedef struct redis_name {
    const char *name;
    const char *value;  // NULL: show() knows
} redis_name;

static const redis_name REDIS_NAMES[] = {
    {"appendonly", "no"},
    {"databases", "1"},
    {"lfu-decay-time", "1"},
    {"lfu-log-factor", "10"},
    {"maxclients", NULL},
    {"maxmemory", NULL},
    {"maxmemory-policy", "allkeys-lru"},
    {"proto-max-bulk-len", "536870912"},
    {"requirepass", ""},
    {"save", ""},
    {"slave-read-only", "no"},
    {"replica-read-only", "no"},
    {"tcp-keepalive", "300"},
    {"timeout", "0"},
};

enum {
    REDIS_NAME_COUNT = sizeof REDIS_NAMES / sizeof REDIS_NAMES[0],
    VALUE_SIZE = 64,
    NAME_SIZE = 256
};

static const char *show(const fb_node *node, const fb_config *config, const redis_name *name,
                        char text[VALUE_SIZE]) {
    uint64_t number = 0;
    if (name->value != NULL) {
        return name->value;
    }
    if (strcmp(name->name, "maxclients") == 0) {
        number = node->connections_max;
    } else if (config != NULL &&
               fb_config_get(config, FB_STR("memory"), text, VALUE_SIZE) == FB_OK &&
               fb_units_bytes(fb_str_of(text), &number) != FB_OK) {
        number = 0;
    }
    (void)snprintf(text, VALUE_SIZE, "%llu", (unsigned long long)number);
    return text;
}

// ---- all names, each once

// A copy, because the configuration may be held for a moment only, while what is asked of it
// (hundreds of patterns, say) takes as long as it takes.
typedef struct settings {
    fb_buf packed;  // the lengths of name and value, then both, and again
    bool failed;    // no memory
} settings;

typedef struct lengths {
    size_t name, value;
} lengths;

static void add_setting(settings *all, fb_str name, fb_str value) {
    lengths each = {name.len, value.len};
    fb_str head = {(const char *)&each, sizeof each};
    all->failed = all->failed || fb_buf_append(&all->packed, head) < 0 ||
                  fb_buf_append(&all->packed, name) < 0 || fb_buf_append(&all->packed, value) < 0;
}

// Moves *at on; false: that was the last.
static bool next_setting(const settings *all, size_t *at, fb_str *name, fb_str *value) {
    lengths each;
    if (*at >= all->packed.len) {
        return false;
    }
    memcpy(&each, all->packed.ptr + *at, sizeof each);
    *name = fb_str_make(all->packed.ptr + *at + sizeof each, each.name);
    *value = fb_str_make(name->ptr + each.name, each.value);
    *at += sizeof each + each.name + each.value;
    return true;
}

static void visit(void *arg, fb_str path, fb_str value, fb_str default_value, const char *unit,
                  bool reloadable, const char *help) {
    (void)default_value, (void)unit, (void)reloadable, (void)help;
    add_setting(arg, path, value);
}

// Says so and returns false where there is no memory; release all->packed either way.
static bool read_settings(fb_command_call *call, settings *all) {
    const fb_config *config = fb_node_config_take(call->node);
    for (size_t i = 0; i < REDIS_NAME_COUNT; i++) {
        char text[VALUE_SIZE];
        const char *value = show(call->node, config, &REDIS_NAMES[i], text);
        add_setting(all, fb_str_of(REDIS_NAMES[i].name), fb_str_of(value));
    }
    int result = config != NULL ? fb_config_walk(config, visit, all) : FB_OK;
    fb_node_config_give(call->node);
    result = all->failed ? FB_ENOMEM : result;
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    }
    return result >= 0;
}

// ---- GET

static fb_str lower(fb_str name, char text[NAME_SIZE]) {
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        text[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
    }
    return fb_str_make(text, name.len);
}

// Without regard to case. No name, and so no pattern of use, is longer than NAME_SIZE.
static bool matches(fb_str pattern, fb_str name) {
    char pattern_text[NAME_SIZE];
    char name_text[NAME_SIZE];
    return pattern.len <= NAME_SIZE && name.len <= NAME_SIZE &&
           fb_glob_match(lower(pattern, pattern_text), lower(name, name_text));
}

// The pattern that asks for it, or NULL.
static const fb_str *asked_by(const fb_command_call *call, fb_str name) {
    for (size_t i = 2; i < call->arg_count; i++) {
        if (matches(call->args[i], name)) {
            return &call->args[i];
        }
    }
    return NULL;
}

// The map's insides, encoded as the reply will be. Returns how many pairs.
static size_t find_settings(const fb_command_call *call, const settings *all, fb_reply *pairs) {
    size_t count = 0;
    fb_str name, value;
    for (size_t at = 0; next_setting(all, &at, &name, &value);) {
        const fb_str *pattern = asked_by(call, name);
        if (pattern != NULL) {
            // A plain name comes back as it was asked for.
            bool plain = fb_glob_prefix(*pattern).len == pattern->len;
            fb_reply_bytes(pairs, plain ? *pattern : name);
            fb_reply_bytes(pairs, value);
            count++;
        }
    }
    return count;
}

void fb_settings_get(fb_command_call *call) {
    settings all = {0};
    if (read_settings(call, &all)) {
        fb_buf bytes = {0};
        fb_reply pairs;
        fb_reply_init(&pairs, call->reply->encoding, &bytes);
        size_t count = find_settings(call, &all, &pairs);
        if (fb_reply_failed(&pairs)) {
            fb_command_failed(call, FB_ENOMEM, NULL);
        } else {
            fb_reply_map(call->reply, count);
            fb_reply_raw(call->reply, fb_buf_str(&bytes));
        }
        fb_buf_release(&bytes);
    }
    fb_buf_release(&all.packed);
}

// ---- SET

static bool find_setting(const settings *all, fb_str wanted, fb_str *value) {
    fb_str name;
    for (size_t at = 0; next_setting(all, &at, &name, value);) {
        if (fb_str_same(name, wanted)) {
            return true;
        }
    }
    return false;
}

// Says so and returns false where an option is not there, or is something else.
static bool is_so(fb_command_call *call, const settings *all, fb_str name, fb_str wanted) {
    fb_str value;
    if (!find_setting(all, name, &value)) {
        fb_reply_error(call->reply,
                       "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                       FB_STR_ARG(name));
        return false;
    }
    if (!fb_str_equal(value, wanted)) {
        fb_reply_error(call->reply,
                       "ERR CONFIG SET failed (possibly related to argument '%.*s') - can't "
                       "set immutable config",
                       FB_STR_ARG(name));
        return false;
    }
    return true;
}

void fb_settings_set(fb_command_call *call) {
    if (call->arg_count % 2 == 1) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'config|set' command");
        return;
    }
    settings all = {0};
    bool fine = read_settings(call, &all);
    for (size_t i = 2; i < call->arg_count && fine; i += 2) {
        fine = is_so(call, &all, call->args[i], call->args[i + 1]);
    }
    if (fine) {
        fb_reply_status(call->reply, "OK");
    }
    fb_buf_release(&all.packed);
}

void fb_settings_resetstat(fb_command_call *call) {
    fb_stats_reset(call->node->engine);
    fb_reply_status(call->reply, "OK");
}

void fb_settings_rewrite(fb_command_call *call) {
    fb_reply_error(call->reply,
                   "ERR The configuration file is the operator's: forebay does not "
                   "write to it");
}

void fb_settings_help(fb_command_call *call) {
    fb_command_help(call, "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_CONFIG);
}
