// Commands about the server: INFO, DBSIZE, FLUSHALL, FUNCTION, TIME, MEMORY.
//
// INFO's names are those that clients and exporters read from Redis; figures that forebay does not
// have are left out rather than invented, except where clients break without the line.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "node/command_stats.h"
#include "node/tracking.h"
#include "node/verdict.h"

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
    fb_tracking_figures tracking;
    fb_tracking_figures_read(one->node, &tracking);
    SAY(one,
        "connected_clients:%llu\r\nmaxclients:%llu\r\nblocked_clients:%llu\r\n"
        "tracking_clients:%llu\r\n",
        (number)live(&one->node->connections), (number)live(&one->node->connections_max),
        (number)live(&one->node->blocked), (number)tracking.clients);
}

static void say_memory(info *one) {
    char used[48];
    char limit[48];
    const fb_stats *stats = one->stats;
    SAY(one, "used_memory:%llu\r\nused_memory_human:%s\r\n", (number)stats->memory_bytes,
        fb_units_show_bytes(stats->memory_bytes, used, sizeof used));
    SAY(one, "maxmemory:%llu\r\nmaxmemory_human:%s\r\nmaxmemory_policy:%s\r\n",
        (number)stats->memory_limit_bytes,
        fb_units_show_bytes(stats->memory_limit_bytes, limit, sizeof limit), FB_MEMORY_POLICY);
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
    SAY(one, "evicted_clients:0\r\nclient_query_buffer_limit_disconnections:%llu\r\n"
             "client_output_buffer_limit_disconnections:%llu\r\n",
        (number)live(&node->closed_query), (number)live(&node->closed_output));
    SAY(one, "idle_disconnections:%llu\r\nslow_disconnections:%llu\r\ntls_failures:%llu\r\n",
        (number)live(&node->closed_idle), (number)live(&node->closed_stuck),
        (number)live(&node->tls_failed));
    SAY(one, "keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\n", (number)stats->all.hits,
        (number)stats->all.misses);
    SAY(one, "loads:%llu\r\nload_failures:%llu\r\nloads_running:%llu\r\nloads_waiting:%llu\r\n",
        (number)stats->all.loads, (number)stats->all.load_failures, (number)stats->loads_running,
        (number)stats->loads_waiting);
    fb_tracking_figures tracking;
    fb_tracking_figures_read(one->node, &tracking);
    SAY(one, "tracking_total_keys:%llu\r\ntracking_total_items:%llu\r\n"
             "tracking_total_prefixes:%llu\r\n",
        (number)tracking.keys, (number)tracking.readers, (number)tracking.prefixes);
    SAY(one, "total_error_replies:%llu\r\n",
        (number)fb_command_stats_errors(one->node, NULL, NULL));
}

static void say_replication(info *one) {
    SAY(one, "role:master\r\nconnected_slaves:0\r\nmaster_replid:%s\r\nmaster_repl_offset:0\r\n",
        one->node->run_id);
}

static void say_time(info *one, const char *name, int64_t us) {
    SAY(one, "%s:%lld.%06lld\r\n", name, (long long)(us / 1000000), (long long)(us % 1000000));
}

static void say_cpu(info *one) {
    fb_cpu_times times;
    if (one->node->cpu == NULL) {
        return;
    }
    one->node->cpu(&times);
    say_time(one, "used_cpu_sys", times.system_us);
    say_time(one, "used_cpu_user", times.user_us);
    say_time(one, "used_cpu_sys_children", times.children_system_us);
    say_time(one, "used_cpu_user_children", times.children_user_us);
    say_time(one, "used_cpu_sys_main_thread", times.main_system_us);
    say_time(one, "used_cpu_user_main_thread", times.main_user_us);
}

static void say_command(void *arg, const fb_command *command, const fb_command_figures *figures) {
    info *one = arg;
    char name[FB_COMMAND_NAME_SIZE];
    double each_us = figures->calls > 0 ? figures->us / (double)figures->calls : 0;
    SAY(one, "cmdstat_%s:calls=%llu,usec=%.0f,usec_per_call=%.2f,rejected_calls=%llu,"
        "failed_calls=%llu\r\n",
        fb_command_full_name(command, name), (number)figures->calls, figures->us, each_us,
        (number)figures->rejected, (number)figures->failed);
}

static void say_commands(info *one) {
    fb_command_stats_each(one->node, say_command, one);
}

static void say_error(void *arg, const char *code, uint64_t count) {
    info *one = arg;
    SAY(one, "errorstat_%s:count=%llu\r\n", code, (number)count);
}

static void say_errors(info *one) {
    (void)fb_command_stats_errors(one->node, say_error, one);
}

static void say_cluster(info *one) {
    SAY(one, "cluster_enabled:0\r\n");
}

static void say_keyspace(info *one) {
    if (one->stats->entries > 0) {
        SAY(one, "db0:keys=%llu,expires=0,avg_ttl=0\r\n", (number)one->stats->entries);
    }
}

// As commandstats: one line a rule.
static void say_limits(info *one) {
    fb_rule_figures *rules = NULL;
    size_t count = 0;
    if (fb_rules_read(one->node->engine, &rules, &count) < 0) {
        one->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const fb_limit_figures *is = &rules[i].figures;
        SAY(one, "limit_%s:allowed=%llu,denied=%llu,shadowed=%llu,degraded=%llu,keys=%llu\r\n",
            is->name, (number)is->allowed, (number)is->denied, (number)is->shadowed,
            (number)is->degraded, (number)is->keys);
    }
    fb_mem_free(rules);
}

// As limits: one line a queue. What the store does not tell is left out.
static void say_queue(void *arg, const fb_queue_figures *figures) {
    info *one = arg;
    SAY(one, "queue_%s:store=%s,reachable=%d", figures->name, figures->store, figures->reachable);
    if (figures->reachable) {
        const fb_queue_look *look = &figures->look;
        SAY(one, ",paused=%d,scheduled=%llu,ready=%llu,leased=%llu,dead=%llu,oldest_ms=%lld",
            look->paused, (number)look->counts[FB_JOB_SCHEDULED],
            (number)look->counts[FB_JOB_READY], (number)look->counts[FB_JOB_LEASED],
            (number)look->counts[FB_JOB_DEAD], (long long)look->oldest_ms);
    }
    SAY(one, ",enqueued=%llu,done=%llu,failed=%llu,died=%llu\r\n", (number)figures->enqueued,
        (number)figures->done, (number)figures->failed, (number)figures->died);
}

static void say_queues(info *one) {
    if (fb_queue_figures_read(one->node->engine, say_queue, one) < 0) {
        one->failed = true;
    }
}

static const struct section {
    const char *name, *title;
    void (*say)(info *one);
    bool extra;  // not among those that come unasked
} SECTIONS[] = {
    {"server", "Server", say_server, false},
    {"clients", "Clients", say_clients, false},
    {"memory", "Memory", say_memory, false},
    {"persistence", "Persistence", say_persistence, false},
    {"stats", "Stats", say_stats, false},
    {"replication", "Replication", say_replication, false},
    {"cpu", "CPU", say_cpu, false},
    {"commandstats", "Commandstats", say_commands, true},
    {"errorstats", "Errorstats", say_errors, false},
    {"cluster", "Cluster", say_cluster, false},
    {"limits", "Limits", say_limits, false},
    {"queues", "Queues", say_queues, false},
    {"keyspace", "Keyspace", say_keyspace, false},
};

static bool section_wanted(const fb_command_call *call, const struct section *section) {
    for (size_t i = 1; i < call->arg_count; i++) {
        if (fb_command_word(call, i, section->name) || fb_command_word(call, i, "all") ||
            fb_command_word(call, i, "everything") ||
            (fb_command_word(call, i, "default") && !section->extra)) {
            return true;
        }
    }
    return call->arg_count == 1 && !section->extra;
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
        if (section_wanted(call, &SECTIONS[i])) {
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

// ---- FUNCTION: there are none. Tools that begin with a clean server flush them all the same.

void fb_server_function_flush(fb_command_call *call) {
    if (call->arg_count > 3) {
        fb_command_wrong_form(call);
    } else if (call->arg_count == 2 || fb_command_word(call, 2, "ASYNC") ||
               fb_command_word(call, 2, "SYNC")) {
        fb_reply_status(call->reply, "OK");
    } else {
        fb_reply_error(call->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    }
}

void fb_server_function_list(fb_command_call *call) {
    bool code = false;
    bool library = false;
    for (size_t i = 2; i < call->arg_count; i++) {
        if (!code && fb_command_word(call, i, "WITHCODE")) {
            code = true;
        } else if (library || !fb_command_word(call, i, "LIBRARYNAME")) {
            fb_reply_error(call->reply, "ERR Unknown argument %.*s", FB_STR_ARG(call->args[i]));
            return;
        } else if (++i == call->arg_count) {
            fb_reply_error(call->reply, "ERR library name argument was not given");
            return;
        } else {
            library = true;
        }
    }
    fb_reply_array(call->reply, 0);
}

void fb_server_function_help(fb_command_call *call) {
    fb_command_help(call, "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_FUNCTION);
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

static bool read_samples(fb_command_call *call) {
    for (size_t i = 3; i < call->arg_count; i += 2) {
        int64_t samples = 0;
        bool known = i + 1 < call->arg_count && fb_command_word(call, i, "SAMPLES");
        if (known && !fb_command_int(call, i + 1, &samples)) {
            return false;
        }
        if (!known || samples < 0) {
            fb_command_syntax_error(call);
            return false;
        }
    }
    return true;
}

void fb_server_memory_usage(fb_command_call *call) {
    if (!read_samples(call)) {
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
