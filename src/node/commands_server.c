// Commands about the server: INFO, DBSIZE, FLUSHALL, TIME, MEMORY.
//
// INFO's names are those that clients and exporters read from Redis; figures that forebay does not
// have are left out rather than invented, except where clients break without the line.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/units.h"

// ---- INFO

typedef struct info {
    fb_node *node;
    const fb_stats *stats;
    fb_buf text;
    bool failed;
} info;

#define SAY(one, ...)                                       \
    do {                                                    \
        if (fb_buf_printf(&(one)->text, __VA_ARGS__) < 0) { \
            (one)->failed = true;                           \
        }                                                   \
    } while (0)

typedef unsigned long long number;

static uint64_t live(const _Atomic uint64_t *figure) {
    return atomic_load_explicit(figure, memory_order_relaxed);
}

// Behind the last colon of "127.0.0.1:6380"; 0 for a Unix socket.
static unsigned long port_of(const char *address) {
    const char *colon = address != NULL ? strrchr(address, ':') : NULL;
    int64_t port = 0;
    if (colon == NULL || fb_str_int(fb_str_of(colon + 1), &port) != FB_OK || port < 0) {
        return 0;
    }
    return (unsigned long)port;
}

static void say_server(info *one) {
    const fb_node *node = one->node;
    SAY(one, "redis_version:%s\r\nredis_mode:standalone\r\nserver_name:forebay\r\n",
        FB_REDIS_VERSION);
    SAY(one, "forebay_version:%s\r\narch_bits:%zu\r\nmultiplexing_api:libevent\r\n", fb_version(),
        8 * sizeof(void *));
    SAY(one, "process_id:%u\r\nrun_id:%s\r\ntcp_port:%lu\r\n", node->process_id, node->run_id,
        port_of(node->resp_address));
    SAY(one, "server_time_usec:%lld\r\nuptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\n",
        (long long)node->wall_us(), (long long)one->stats->uptime_ms / 1000,
        (long long)one->stats->uptime_ms / 86400000);
    SAY(one, "io_threads_active:%u\r\nworker_threads:%u\r\n", one->stats->loops,
        one->stats->workers);
}

static void say_clients(info *one) {
    SAY(one, "connected_clients:%llu\r\nmaxclients:%u\r\nblocked_clients:0\r\n",
        (number)live(&one->node->connections), one->node->connections_max);
}

static void say_memory(info *one) {
    char used[48];
    char limit[48];
    const fb_stats *stats = one->stats;
    SAY(one, "used_memory:%llu\r\nused_memory_human:%s\r\n", (number)stats->memory_bytes,
        fb_units_show_bytes(stats->memory_bytes, used, sizeof used));
    SAY(one, "maxmemory:%llu\r\nmaxmemory_human:%s\r\nmaxmemory_policy:allkeys-lru\r\n",
        (number)stats->memory_limit_bytes,
        fb_units_show_bytes(stats->memory_limit_bytes, limit, sizeof limit));
}

static void say_persistence(info *one) {
    SAY(one,
        "loading:0\r\nrdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\n"
        "aof_enabled:0\r\naof_rewrite_in_progress:0\r\n");
}

static void say_stats(info *one) {
    const fb_node *node = one->node;
    const fb_stats *stats = one->stats;
    SAY(one, "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n",
        (number)live(&node->connections_total), (number)live(&node->commands));
    SAY(one, "total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\n",
        (number)live(&node->bytes_in), (number)live(&node->bytes_out));
    SAY(one, "rejected_connections:%llu\r\nexpired_keys:%llu\r\nevicted_keys:%llu\r\n",
        (number)live(&node->connections_refused), (number)stats->expirations,
        (number)stats->evictions);
    SAY(one, "keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\n", (number)stats->all.hits,
        (number)stats->all.misses);
    SAY(one, "loads:%llu\r\nload_failures:%llu\r\nloads_running:%llu\r\nloads_waiting:%llu\r\n",
        (number)stats->all.loads, (number)stats->all.load_failures, (number)stats->loads_running,
        (number)stats->loads_waiting);
}

static void say_replication(info *one) {
    SAY(one, "role:master\r\nconnected_slaves:0\r\nmaster_replid:%s\r\nmaster_repl_offset:0\r\n",
        one->node->run_id);
}

static void say_cluster(info *one) {
    SAY(one, "cluster_enabled:0\r\n");
}

static void say_keyspace(info *one) {
    if (one->stats->entries > 0) {
        SAY(one, "db0:keys=%llu,expires=0,avg_ttl=0\r\n", (number)one->stats->entries);
    }
}

static const struct section {
    const char *name, *title;
    void (*say)(info *one);
} SECTIONS[] = {
    {"server", "Server", say_server},    {"clients", "Clients", say_clients},
    {"memory", "Memory", say_memory},    {"persistence", "Persistence", say_persistence},
    {"stats", "Stats", say_stats},       {"replication", "Replication", say_replication},
    {"cluster", "Cluster", say_cluster}, {"keyspace", "Keyspace", say_keyspace},
};

static bool section_wanted(const fb_command_call *call, const char *name) {
    for (size_t i = 1; i < call->arg_count; i++) {
        if (fb_command_word(call, i, name) || fb_command_word(call, i, "all") ||
            fb_command_word(call, i, "everything") || fb_command_word(call, i, "default")) {
            return true;
        }
    }
    return call->arg_count == 1;
}

void fb_server_info(fb_command_call *call) {
    fb_stats stats;
    int result = fb_stats_read(call->node->engine, &stats);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
        return;
    }
    info one = {.node = call->node, .stats = &stats};
    for (size_t i = 0; i < sizeof SECTIONS / sizeof SECTIONS[0]; i++) {
        if (section_wanted(call, SECTIONS[i].name)) {
            SAY(&one, "%s# %s\r\n", one.text.len > 0 ? "\r\n" : "", SECTIONS[i].title);
            SECTIONS[i].say(&one);
        }
    }
    if (one.failed) {
        fb_command_failed(call, FB_ENOMEM, NULL);
    } else {
        fb_reply_verbatim(call->reply, fb_buf_str(&one.text));
    }
    fb_buf_release(&one.text);
    fb_stats_release(&stats);
}

// ---- the others

void fb_server_dbsize(fb_command_call *call) {
    fb_reply_integer(call->reply, (int64_t)fb_count(call->node->engine));
}

void fb_server_flush(fb_command_call *call) {
    bool known = call->arg_count == 1 ||
                 (call->arg_count == 2 &&
                  (fb_command_word(call, 1, "ASYNC") || fb_command_word(call, 1, "SYNC")));
    if (!known) {
        fb_command_syntax_error(call);
        return;
    }
    fb_invalidation all = {.scope = FB_SCOPE_ALL};
    int result = fb_invalidate(call->node->engine, &all, NULL);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_status(call->reply, "OK");
    }
}

void fb_server_time(fb_command_call *call) {
    int64_t now_us = call->node->wall_us();
    char text[24];
    fb_reply_array(call->reply, 2);
    (void)snprintf(text, sizeof text, "%lld", (long long)(now_us / 1000000));
    fb_reply_text(call->reply, text);
    (void)snprintf(text, sizeof text, "%lld", (long long)(now_us % 1000000));
    fb_reply_text(call->reply, text);
}

// What the store adds to a key and its value is a header of some dozens of bytes.
enum { ENTRY_HEAD_LEN = 48 };

void fb_server_memory_usage(fb_command_call *call) {
    int64_t samples = 0;
    bool known =
        call->arg_count == 3 || (call->arg_count == 5 && fb_command_word(call, 3, "SAMPLES"));
    if (!known) {
        fb_command_syntax_error(call);
        return;
    }
    if (call->arg_count == 5 && !fb_command_int(call, 4, &samples)) {
        return;
    }
    if (samples < 0) {
        fb_command_syntax_error(call);
        return;
    }
    fb_explanation explanation;
    int result = fb_explain(call->node->engine, call->args[2], &explanation);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else if (explanation.tier == FB_TIER_NONE || explanation.negative) {
        fb_reply_null(call->reply);
    } else {
        fb_reply_integer(call->reply,
                         (int64_t)(explanation.value_bytes + call->args[2].len) + ENTRY_HEAD_LEN);
    }
}

void fb_server_memory_help(fb_command_call *call) {
    fb_command_help(call, "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_MEMORY);
}
