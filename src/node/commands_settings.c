// CONFIG. GET shows the options in force by their paths (memory, listen.resp, classes.package.ttl
// …), and beside them those of Redis's names that have a meaning here. SET takes both: what it is
// told becomes changes of the configuration, which are checked and put in force by the way that a
// reload takes (node->configure), all or none. The operator's file is not written to, and is read
// again with the next reload: until then it holds.
//
// What cannot change while running is refused in Redis's words, unless it is so already.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/error.h"
#include "base/glob.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "node/command_stats.h"
#include "node/doors.h"

// ---- Redis's names

enum { VALUE_SIZE = 512 };

typedef enum form {
    AS_IT_IS,  // `value`, and nothing else
    BYTES,     // the option at `path`, as a number of bytes
    LEVEL      // how much is logged, by Redis's words
} form;

typedef struct redis_name {
    const char *name;
    form form;
    const char *value, *path;
} redis_name;

static const redis_name REDIS_NAMES[] = {
    {"appendonly", AS_IT_IS, "no", NULL},
    {"daemonize", AS_IT_IS, "no", NULL},
    {"databases", AS_IT_IS, "1", NULL},
    {"lfu-decay-time", AS_IT_IS, "1", NULL},
    {"lfu-log-factor", AS_IT_IS, "10", NULL},
    {"loglevel", LEVEL, NULL, "log.level"},
    {"maxmemory", BYTES, NULL, "memory"},
    {"maxmemory-policy", AS_IT_IS, FB_MEMORY_POLICY, NULL},
    {"notify-keyspace-events", AS_IT_IS, "", NULL},
    {"replicaof", AS_IT_IS, "", NULL},
    {"requirepass", AS_IT_IS, "", NULL},
    {"save", AS_IT_IS, "", NULL},
    {"slaveof", AS_IT_IS, "", NULL},
    {"slave-read-only", AS_IT_IS, "no", NULL},
    {"replica-read-only", AS_IT_IS, "no", NULL},
};

enum { REDIS_NAME_COUNT = sizeof REDIS_NAMES / sizeof REDIS_NAMES[0] };

static const struct level {
    const char *redis, *own;
} LEVELS[] = {
    {"debug", "debug"}, {"verbose", "info"}, {"notice", "info"}, {"warning", "warn"},

};

enum { LEVEL_COUNT = sizeof LEVELS / sizeof LEVELS[0] };

// The last of those with the same meaning.
static const char *redis_level(const char *own) {
    const char *found = "";
    for (size_t i = 0; i < LEVEL_COUNT; i++) {
        found = strcmp(LEVELS[i].own, own) == 0 ? LEVELS[i].redis : found;
    }
    return found;
}

static const char *show(const fb_config *config, const redis_name *name, char text[VALUE_SIZE]) {
    uint64_t number = 0;
    if (name->form == AS_IT_IS) {
        return name->value;
    }
    if (config == NULL ||
        fb_config_get(config, fb_str_of(name->path), text, VALUE_SIZE) != FB_OK) {
        text[0] = '\0';
    }
    if (name->form == LEVEL) {
        return redis_level(text);
    }
    if (fb_units_bytes(fb_str_of(text), &number) != FB_OK) {
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
    const redis_name *redis;  // NULL: the doors', or a path
    bool changeable;
} lengths;

typedef struct setting {
    fb_str name, value;
    const redis_name *redis;
    bool changeable;
} setting;

static void add_setting(settings *all, const setting *one) {
    fb_str name = one->name;
    fb_str value = one->value;
    lengths each = {name.len, value.len, one->redis, one->changeable};
    fb_str head = {(const char *)&each, sizeof each};
    all->failed = all->failed || fb_buf_append(&all->packed, head) < 0 ||
                  fb_buf_append(&all->packed, name) < 0 || fb_buf_append(&all->packed, value) < 0;
}

// Moves *at on; false: that was the last.
static bool next_setting(const settings *all, size_t *at, setting *one) {
    lengths each;
    if (*at >= all->packed.len) {
        return false;
    }
    memcpy(&each, all->packed.ptr + *at, sizeof each);
    one->name = fb_str_make(all->packed.ptr + *at + sizeof each, each.name);
    one->value = fb_str_make(one->name.ptr + each.name, each.value);
    one->redis = each.redis;
    one->changeable = each.changeable;
    *at += sizeof each + each.name + each.value;
    return true;
}

static void visit(void *arg, fb_str path, fb_str value, fb_str default_value, const char *unit,
                  bool reloadable, const char *help) {
    (void)default_value, (void)unit, (void)help;
    add_setting(arg, &(setting){.name = path, .value = value, .changeable = reloadable});
}

// Says so and returns false where there is no memory; release all->packed either way.
static bool read_settings(fb_command_call *call, settings *all) {
    const fb_config *config = fb_node_config_take(call->node);
    for (size_t i = 0; i < REDIS_NAME_COUNT; i++) {
        char text[VALUE_SIZE];
        const redis_name *redis = &REDIS_NAMES[i];
        setting one = {.name = fb_str_of(redis->name),
                       .value = fb_str_of(show(config, redis, text)),
                       .redis = redis,
                       .changeable = redis->form != AS_IT_IS};
        add_setting(all, &one);
    }
    const char *name;
    for (size_t i = 0; (name = fb_doors_name(i)) != NULL; i++) {
        char text[FB_DOORS_TEXT_SIZE];
        int known = fb_doors_show(call->node, fb_str_of(name), text);
        FB_ASSERT(known == FB_OK);
        setting one = {
            .name = fb_str_of(name), .value = fb_str_of(text), .changeable = true};
        add_setting(all, &one);
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

// The pattern that asks for it, or NULL.
static const fb_str *asked_by(const fb_command_call *call, fb_str name) {
    for (size_t i = 2; i < call->arg_count; i++) {
        if (fb_command_name_matches(call->args[i], name)) {
            return &call->args[i];
        }
    }
    return NULL;
}

// The map's insides, encoded as the reply will be. Returns how many pairs.
static size_t find_settings(const fb_command_call *call, const settings *all, fb_reply *pairs) {
    size_t count = 0;
    setting one;
    for (size_t at = 0; next_setting(all, &at, &one);) {
        const fb_str *pattern = asked_by(call, one.name);
        if (pattern != NULL) {
            // A plain name comes back as it was asked for.
            bool plain = fb_glob_prefix(*pattern).len == pattern->len;
            fb_reply_bytes(pairs, plain ? *pattern : one.name);
            fb_reply_bytes(pairs, one.value);
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

enum { CHANGES_EACH = 3 };  // options that one of Redis's names may stand for

// What SET asks for, as changes of the configuration.
typedef struct request {
    fb_command_call *call;
    fb_param *changes;
    size_t *of;  // the argument that each comes from
    size_t count;
    size_t arg;    // the one that is read
    fb_buf *text;  // values made from Redis's, one a change
    bool failed;   // no memory
} request;

static void refuse(const request *one, size_t arg, const char *why) {
    fb_reply_error(one->call->reply,
                   "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                   FB_STR_ARG(one->call->args[arg]), why);
}

static void add_change(request *one, fb_str path, fb_str value) {
    fb_buf *text = &one->text[one->count];
    one->failed = one->failed || fb_buf_append(text, value) < 0;
    one->changes[one->count] = (fb_param){path, fb_buf_str(text)};
    one->of[one->count++] = one->arg;
}

static void add_option(void *arg, const char *path, const char *value) {
    add_change(arg, fb_str_of(path), fb_str_of(value));
}

static bool find_setting(const settings *all, fb_str wanted, setting *found) {
    for (size_t at = 0; next_setting(all, &at, found);) {
        if (fb_str_same(found->name, wanted)) {
            return true;
        }
    }
    return false;
}

// NULL: it is a change, or none. Else why it cannot be.
static const char *read_redis(request *one, const redis_name *redis, fb_str value) {
    uint64_t bytes;
    if (redis->form == BYTES) {
        char text[32];
        if (fb_doors_bytes(value, &bytes) < 0) {
            return "argument must be a memory value";
        }
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
        add_option(one, redis->path, text);
        return NULL;
    }
    for (size_t i = 0; i < LEVEL_COUNT; i++) {
        if (fb_str_same(value, fb_str_of(LEVELS[i].redis))) {
            add_option(one, redis->path, LEVELS[i].own);
            return NULL;
        }
    }
    return "argument(s) must be one of the following: debug, verbose, notice, "
           "warning";
}

// One name and its value. Says so and returns false where that cannot be.
static bool read_change(request *one, const settings *all, fb_str name, fb_str value) {
    setting found;
    fb_error error = {0};
    const char *why = NULL;
    if (!find_setting(all, name, &found)) {
        fb_reply_error(one->call->reply,
                       "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                       FB_STR_ARG(name));
        return false;
    }
    if (fb_str_equal(found.value, value)) {
        return true;  // it is so already
    }
    if (!found.changeable) {
        why = "can't set immutable config";
    } else if (found.redis != NULL) {
        why = read_redis(one, found.redis, value);
    } else {
        int result = fb_doors_options(one->call->node, name, value, add_option, one, &error);
        why = result < 0 ? error.text : NULL;
        if (result == FB_MISS) {
            add_change(one, found.name, value);
        }
    }
    if (why != NULL) {
        refuse(one, one->arg, why);
    }
    return why == NULL;
}

static bool named_before(const fb_command_call *call, size_t arg) {
    for (size_t i = 2; i < arg; i += 2) {
        if (fb_str_same(call->args[i], call->args[arg])) {
            return true;
        }
    }
    return false;
}

static bool read_request(request *one, const settings *all) {
    fb_command_call *call = one->call;
    for (one->arg = 2; one->arg < call->arg_count; one->arg += 2) {
        if (named_before(call, one->arg)) {
            refuse(one, one->arg, "duplicate parameter");
            return false;
        }
        if (!read_change(one, all, call->args[one->arg], call->args[one->arg + 1])) {
            return false;
        }
    }
    if (one->failed) {
        fb_command_failed(call, FB_ENOMEM, NULL);
    }
    return !one->failed;
}

static void apply(request *one) {
    fb_command_call *call = one->call;
    fb_node *node = call->node;
    fb_error error = {0};
    size_t wrong = one->count;
    int result = FB_OK;
    if (one->count > 0 && node->configure == NULL) {
        refuse(one, 2, "can't set immutable config");
        return;
    }
    if (one->count > 0) {
        result = node->configure(node->reload_arg, one->changes, one->count, &wrong, &error);
    }
    if (result < 0) {
        refuse(one, wrong < one->count ? one->of[wrong] : 2, error.text);
    } else {
        fb_reply_status(call->reply, "OK");
    }
}

void fb_settings_set(fb_command_call *call) {
    if (call->arg_count % 2 == 1) {
        fb_command_syntax_error(call);
        return;
    }
    settings all = {0};
    size_t most = (call->arg_count / 2 - 1) * CHANGES_EACH;
    request one = {.call = call,
                   .changes = fb_mem_zero(most, sizeof *one.changes),
                   .of = fb_mem_zero(most, sizeof *one.of),
                   .text = fb_mem_zero(most, sizeof *one.text)};
    if (one.changes == NULL || one.of == NULL || one.text == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
    } else if (read_settings(call, &all) && read_request(&one, &all)) {
        apply(&one);
    }
    for (size_t i = 0; i < one.count; i++) {
        fb_buf_release(&one.text[i]);
    }
    fb_buf_release(&all.packed);
    fb_mem_free(one.changes);
    fb_mem_free(one.of);
    fb_mem_free(one.text);
}

void fb_settings_resetstat(fb_command_call *call) {
    fb_stats_reset(call->node->engine);
    fb_command_stats_reset(call->node);
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
