// A row of counters for each command, in lanes (stats/tally.h): a call is a load and a store in a line that
// no other thread writes to. Which row it is follows from the command's place in its table.
//
// A reset cannot write to others' lanes, and must not leave a command that is called a dozen times
// afterwards without any time. So it marks all commands as untimed, and whoever calls one next times it.
//
// Errors have a lock: making the text of one costs more than that.

#include "node/command_stats.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "node/command_table.h"
#include "node/session_state.h"
#include "stats/tally.h"

enum { CALLS, REJECTED, FAILED, TIMED, TIMED_NS, FIELDS };
enum { TABLES_MAX = 32, CODES_MAX = 64 };

// One of the tables that make the whole one: that of all commands, and one of subcommands each.
typedef struct table {
    const fb_command *first;
    size_t count;
    size_t index;  // of its first command
} table;

struct fb_command_stats {
    table tables[TABLES_MAX];
    size_t table_count, command_count;
    fb_tally *tally;
    _Atomic bool *untimed;  // of each command: no call since the last reset
    pthread_mutex_t lock;   // what follows
    struct {
        char code[FB_REPLY_CODE_SIZE];
        uint64_t count;
    } codes[CODES_MAX];  // what finds no room here is only in the sum
    size_t code_count;
    uint64_t errors;
};

// ---- its life

static void add_table(fb_command_stats *stats, const fb_command *first) {
    FB_ASSERT(stats->table_count < TABLES_MAX);
    table *one = &stats->tables[stats->table_count++];
    *one = (table){.first = first, .index = stats->command_count};
    while (first[one->count].name != NULL) {
        one->count++;
    }
    stats->command_count += one->count;
}

static void mark_untimed(fb_command_stats *stats) {
    for (size_t i = 0; i < stats->command_count; i++) {
        atomic_store_explicit(&stats->untimed[i], true, memory_order_relaxed);
    }
}

int fb_command_stats_new(fb_command_stats **out) {
    fb_command_stats *stats = fb_mem_zero(1, sizeof *stats);
    *out = NULL;
    if (stats == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_init(&stats->lock, NULL);
    add_table(stats, FB_COMMANDS);
    for (const fb_command *each = FB_COMMANDS; each->name != NULL; each++) {
        if (each->subcommands != NULL) {
            add_table(stats, each->subcommands);
        }
    }
    stats->untimed = fb_mem_zero(stats->command_count, sizeof *stats->untimed);
    if (stats->untimed == NULL || fb_tally_new(stats->command_count * FIELDS, &stats->tally) < 0) {
        fb_command_stats_free(stats);
        return FB_ENOMEM;
    }
    mark_untimed(stats);
    *out = stats;
    return FB_OK;
}

void fb_command_stats_free(fb_command_stats *stats) {
    if (stats != NULL) {
        fb_tally_free(stats->tally);
        fb_mem_free(stats->untimed);
        pthread_mutex_destroy(&stats->lock);
        fb_mem_free(stats);
    }
}

// ---- counting

static size_t row_of(const fb_command_stats *stats, const fb_command *command) {
    uintptr_t at = (uintptr_t)command;
    for (size_t i = 0;; i++) {
        FB_ASSERT(i < stats->table_count);
        const table *one = &stats->tables[i];
        if (at - (uintptr_t)one->first < one->count * sizeof *command) {
            return one->index + (size_t)(command - one->first);
        }
    }
}

static void add(fb_command_stats *stats, const fb_command *command, size_t field,
                uint64_t amount) {
    fb_tally_add(stats->tally, fb_tally_lane(), row_of(stats, command) * FIELDS + field, amount);
}

static void count_code(fb_command_stats *stats, const char *code) {
    size_t i = 0;
    pthread_mutex_lock(&stats->lock);
    stats->errors++;
    while (i < stats->code_count && strcmp(stats->codes[i].code, code) != 0) {
        i++;
    }
    if (i == stats->code_count && i < CODES_MAX) {
        (void)snprintf(stats->codes[i].code, sizeof stats->codes[i].code, "%s", code);
        stats->codes[i].count = 0;
        stats->code_count++;
    }
    if (i < CODES_MAX) {
        stats->codes[i].count++;
    }
    pthread_mutex_unlock(&stats->lock);
}

// A handler writes to the call's reply or to that of its slot.
static const char *code_of(const fb_command_call *call) {
    const fb_slot *slot = call->session->current;
    return call->reply->code[0] != '\0' || slot == NULL ? call->reply->code : slot->reply.code;
}

int64_t fb_command_stats_begin(const fb_command_call *call) {
    fb_command_stats *stats = call->node->command_stats;
    if (stats == NULL) {
        return 0;
    }
    size_t row = row_of(stats, call->command);
    uint32_t lane = fb_tally_lane();
    uint64_t calls = fb_tally_own(stats->tally, lane, row * FIELDS + CALLS);
    fb_tally_add(stats->tally, lane, row * FIELDS + CALLS, 1);
    bool untimed = atomic_load_explicit(&stats->untimed[row], memory_order_relaxed);
    if ((!untimed && calls % FB_COMMAND_STATS_EACH != 0) || call->node->now_ns == NULL) {
        return 0;
    }
    if (untimed) {
        atomic_store_explicit(&stats->untimed[row], false, memory_order_relaxed);
    }
    return call->node->now_ns();
}

void fb_command_stats_end(const fb_command_call *call, int64_t begun_ns) {
    fb_command_stats *stats = call->node->command_stats;
    if (stats == NULL) {
        return;
    }
    if (begun_ns != 0) {
        int64_t took_ns = call->node->now_ns() - begun_ns;
        add(stats, call->command, TIMED, 1);
        add(stats, call->command, TIMED_NS, took_ns > 0 ? (uint64_t)took_ns : 0);
    }
    fb_slot *slot = call->session->current;
    if (call->outcome == FB_PENDING && slot != NULL && !slot->done) {
        slot->command = call->command;
        return;
    }
    const char *code = code_of(call);
    if (code[0] != '\0') {
        add(stats, call->command, FAILED, 1);
        count_code(stats, code);
    }
}

void fb_command_stats_refuse(const fb_command_call *call) {
    fb_command_stats *stats = call->node->command_stats;
    if (stats == NULL) {
        return;
    }
    if (call->command != NULL) {
        add(stats, call->command, REJECTED, 1);
    }
    if (code_of(call)[0] != '\0') {
        count_code(stats, code_of(call));
    }
}

void fb_command_stats_finish(fb_slot *slot) {
    const fb_command *command = slot->command;
    slot->command = NULL;
    if (command == NULL || slot->session == NULL || slot->reply.code[0] == '\0') {
        return;
    }
    fb_command_stats *stats = slot->session->node->command_stats;
    add(stats, command, FAILED, 1);
    count_code(stats, slot->reply.code);
}

// ---- reading

static fb_command_figures read_row(const fb_command_stats *stats, size_t row) {
    const fb_tally *tally = stats->tally;
    uint64_t timed = fb_tally_sum(tally, row * FIELDS + TIMED);
    double timed_us = (double)fb_tally_sum(tally, row * FIELDS + TIMED_NS) / 1000;
    fb_command_figures read = {.calls = fb_tally_sum(tally, row * FIELDS + CALLS),
                               .rejected = fb_tally_sum(tally, row * FIELDS + REJECTED),
                               .failed = fb_tally_sum(tally, row * FIELDS + FAILED)};
    read.us = timed > 0 ? timed_us / (double)timed * (double)read.calls : 0;
    return read;
}

void fb_command_stats_each(fb_node *node, fb_command_figures_fn fn, void *arg) {
    const fb_command_stats *stats = node->command_stats;
    for (size_t i = 0; stats != NULL && i < stats->table_count; i++) {
        for (size_t j = 0; j < stats->tables[i].count; j++) {
            fb_command_figures figures = read_row(stats, stats->tables[i].index + j);
            if (figures.calls + figures.rejected > 0) {
                fn(arg, &stats->tables[i].first[j], &figures);
            }
        }
    }
}

uint64_t fb_command_stats_errors(fb_node *node, fb_error_figures_fn fn, void *arg) {
    fb_command_stats *stats = node->command_stats;
    if (stats == NULL) {
        return 0;
    }
    pthread_mutex_lock(&stats->lock);
    for (size_t i = 0; fn != NULL && i < stats->code_count; i++) {
        fn(arg, stats->codes[i].code, stats->codes[i].count);
    }
    uint64_t errors = stats->errors;
    pthread_mutex_unlock(&stats->lock);
    return errors;
}

void fb_command_stats_reset(fb_node *node) {
    fb_command_stats *stats = node->command_stats;
    if (stats == NULL) {
        return;
    }
    fb_tally_reset(stats->tally);
    mark_untimed(stats);
    pthread_mutex_lock(&stats->lock);
    stats->code_count = 0;
    stats->errors = 0;
    pthread_mutex_unlock(&stats->lock);
}
