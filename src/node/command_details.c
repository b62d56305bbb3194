// The two columns that few look at, apart from the table. They are Redis 7's, and tests/system
// compares them with a real server. A command that is not here has no tips, and its keys are read,
// or written too, by its flags.

#include "node/command_details.h"

#include <string.h>

#include "base/str.h"

#define ALL_SHARDS "request_policy:all_shards"
#define MULTI_SHARD "request_policy:multi_shard"
#define AND_ALL " response_policy:all_succeeded"
#define AND_SUM " response_policy:agg_sum"
#define UNSURE "nondeterministic_output"
#define UNORDERED "nondeterministic_output_order"

typedef struct details {
    const char *name, *tips, *keys;
} details;

// By name; NULL: by the flags.
static const details DETAILS[] = {
    {"append", "", "RW insert"},
    {"client|info", UNSURE, NULL},
    {"client|list", UNSURE, NULL},
    {"command", UNORDERED, NULL},
    {"command|docs", UNORDERED, NULL},
    {"command|info", UNORDERED, NULL},
    {"command|list", UNORDERED, NULL},
    {"config|set", "request_policy:all_nodes" AND_ALL, NULL},
    {"copy", "", "RO access/OW update"},
    {"dbsize", ALL_SHARDS AND_SUM, NULL},
    {"decr", "", "RW access update"},
    {"decrby", "", "RW access update"},
    {"del", MULTI_SHARD AND_SUM, "RM delete"},
    {"exists", MULTI_SHARD AND_SUM, "RO"},
    {"fb.invalidate", "", "RM delete"},
    {"flushall", ALL_SHARDS AND_ALL, NULL},
    {"flushdb", ALL_SHARDS AND_ALL, NULL},
    {"function|flush", ALL_SHARDS AND_ALL, NULL},
    {"function|list", UNORDERED, NULL},
    {"getdel", "", "RW access delete"},
    {"getex", "", "RW access update"},
    {"getset", "", "RW access update"},
    {"incr", "", "RW access update"},
    {"incrby", "", "RW access update"},
    {"incrbyfloat", "", "RW access update"},
    {"info", UNSURE " " ALL_SHARDS " response_policy:special", NULL},
    {"keys", ALL_SHARDS " " UNORDERED, NULL},
    {"memory|usage", "", "RO"},
    {"mget", MULTI_SHARD, NULL},
    {"mset", MULTI_SHARD AND_ALL, "OW update"},
    {"msetnx", MULTI_SHARD " response_policy:agg_min", "OW insert"},
    {"object|encoding", UNSURE, "RO"},
    {"object|freq", UNSURE, "RO"},
    {"object|idletime", UNSURE, "RO"},
    {"object|refcount", UNSURE, "RO"},
    {"ping", ALL_SHARDS AND_ALL, NULL},
    {"psetex", "", "OW update"},
    {"pttl", UNSURE, NULL},
    {"randomkey", ALL_SHARDS " " UNSURE, NULL},
    {"rename", "", "RW access delete/OW update"},
    {"renamenx", "", "RW access delete/OW insert"},
    {"scan", UNSURE " request_policy:special", NULL},
    {"set", "", "RW access update variable_flags"},
    {"setbit", "", "RW access update"},
    {"setex", "", "OW update"},
    {"setnx", "", "OW insert"},
    {"slowlog|get", "request_policy:all_nodes " UNSURE, NULL},
    {"slowlog|len", "request_policy:all_nodes" AND_SUM " " UNSURE, NULL},
    {"slowlog|reset", "request_policy:all_nodes" AND_ALL, NULL},
    {"strlen", "", "RO"},
    {"time", UNSURE, NULL},
    {"touch", MULTI_SHARD AND_SUM, "RO"},
    {"ttl", UNSURE, NULL},
    {"type", "", "RO"},
    {"unlink", MULTI_SHARD AND_SUM, "RM delete"},
    {"watch", "", "RO"},
};

static const details *find(const fb_command *command) {
    static const details none = {"", "", NULL};
    char name[FB_COMMAND_NAME_SIZE];
    (void)fb_command_full_name(command, name);
    for (size_t i = 0; i < sizeof DETAILS / sizeof DETAILS[0]; i++) {
        if (strcmp(DETAILS[i].name, name) == 0) {
            return &DETAILS[i];
        }
    }
    return &none;
}

const char *fb_command_tips(const fb_command *command) {
    return find(command)->tips;
}

const char *fb_command_key_flags(const fb_command *command) {
    if (command->first_key == 0 && (command->flags & FB_COMMAND_MOVABLEKEYS) == 0) {
        return "";
    }
    const char *keys = find(command)->keys;
    if (keys != NULL) {
        return keys;
    }
    return (command->flags & FB_COMMAND_WRITE) != 0 ? "RW update" : "RO access";
}

const char *fb_command_key_flags_of(const fb_command *command, const fb_str *args,
                                    size_t arg_count) {
    if (strcmp(command->name, "set") != 0) {
        return fb_command_key_flags(command);
    }
    for (size_t i = 3; i < arg_count; i++) {
        if (fb_str_same(args[i], FB_STR("GET"))) {
            return "RW access update";
        }
    }
    return "OW update";
}
