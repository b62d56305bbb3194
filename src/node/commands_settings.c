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

typedef int (*setting_fn)(void *arg, fb_str name, fb_str value);

typedef struct walk {
    setting_fn fn;
    void *arg;
    int result;
} walk;

static void visit(void *arg, fb_str path, fb_str value, fb_str default_value, const char *unit,
                  bool reloadable, const char *help) {
    (void)default_value, (void)unit, (void)reloadable, (void)help;
    walk *one = arg;
    if (one->result == FB_OK) {
        one->result = one->fn(one->arg, path, value);
    }
}

// What `fn` returned, if it was not FB_OK, ends the walk.
static int walk_settings(fb_node *node, setting_fn fn, void *arg) {
    walk one = {fn, arg, FB_OK};
    const fb_config *config = fb_node_config_take(node);
    for (size_t i = 0; i < REDIS_NAME_COUNT && one.result == FB_OK; i++) {
        char text[VALUE_SIZE];
        const char *value = show(node, config, &REDIS_NAMES[i], text);
        one.result = fn(arg, fb_str_of(REDIS_NAMES[i].name), fb_str_of(value));
    }
    if (config != NULL && one.result == FB_OK) {
        int result = fb_config_walk(config, visit, &one);
        one.result = one.result == FB_OK ? result : one.result;
    }
    fb_node_config_give(node);
    return one.result;
}

// ---- GET

typedef struct collecting {
    const fb_command_call *call;
    fb_reply pairs;  // the map's insides, encoded as the reply will be
    size_t count;
} collecting;

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

static int collect(void *arg, fb_str name, fb_str value) {
    collecting *one = arg;
    for (size_t i = 2; i < one->call->arg_count; i++) {
        fb_str pattern = one->call->args[i];
        if (matches(pattern, name)) {
            // A plain name comes back as it was asked for.
            bool plain = fb_glob_prefix(pattern).len == pattern.len;
            fb_reply_bytes(&one->pairs, plain ? pattern : name);
            fb_reply_bytes(&one->pairs, value);
            one->count++;
            break;
        }
    }
    return FB_OK;
}

void fb_settings_get(fb_command_call *call) {
    fb_buf bytes = {0};
    collecting one = {.call = call};
    fb_reply_init(&one.pairs, call->reply->encoding, &bytes);
    int result = walk_settings(call->node, collect, &one);
    if (result < 0 || fb_reply_failed(&one.pairs)) {
        fb_command_failed(call, result < 0 ? result : FB_ENOMEM, NULL);
    } else {
        fb_reply_map(call->reply, one.count);
        fb_reply_raw(call->reply, fb_buf_str(&bytes));
    }
    fb_buf_release(&bytes);
}

// ---- SET

typedef struct comparing {
    fb_str name, value;
    bool found, same;
} comparing;

static int compare(void *arg, fb_str name, fb_str value) {
    comparing *one = arg;
    if (!fb_str_same(one->name, name)) {
        return FB_OK;
    }
    one->found = true;
    one->same = fb_str_equal(one->value, value);
    return FB_REFUSED;  // ends the walk
}

void fb_settings_set(fb_command_call *call) {
    if (call->arg_count % 2 == 1) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'config|set' command");
        return;
    }
    for (size_t i = 2; i < call->arg_count; i += 2) {
        comparing one = {.name = call->args[i], .value = call->args[i + 1]};
        int result = walk_settings(call->node, compare, &one);
        if (result < 0) {
            fb_command_failed(call, result, NULL);
            return;
        }
        if (!one.found) {
            fb_reply_error(call->reply,
                           "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                           FB_STR_ARG(one.name));
            return;
        }
        if (!one.same) {
            fb_reply_error(call->reply,
                           "ERR CONFIG SET failed (possibly related to argument '%.*s') - can't "
                           "set immutable config",
                           FB_STR_ARG(one.name));
            return;
        }
    }
    fb_reply_status(call->reply, "OK");
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
