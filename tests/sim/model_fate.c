// What happens to a server: each loses something, and nothing of it is told to anybody.

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "model.h"

static void forget_records(model_log *log, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fb_mem_free((char *)(uintptr_t)log->records[i].name.ptr);
    }
    log->record_count -= count;
    log->first_seq += count;
    memmove(log->records, log->records + count, log->record_count * sizeof *log->records);
}

void model_trim(model *tier, uint32_t log, size_t keep) {
    model_log *at = &tier->logs[log];
    if (at->record_count > keep) {
        forget_records(at, at->record_count - keep);
    }
}

void model_evict_log(model *tier, uint32_t log) {
    model_trim(tier, log, 0);
}

void model_evict_counter(model *tier, uint32_t log) {
    tier->losses++;
    tier->logs[log].mark = (fb_mark){0};
}

void model_evict_value(model *tier, size_t cell) {
    tier->losses += tier->cells[cell].has_value;
    model_drop_value(&tier->cells[cell]);
}

void model_evict_lease(model *tier, size_t cell) {
    tier->cells[cell].token = 0;
}

static void forget_cells(model *tier, uint64_t logs) {
    tier->losses++;
    size_t kept = 0;
    for (size_t i = 0; i < tier->cell_count; i++) {
        if ((logs >> (tier->cells[i].log % 64) & 1) == 0) {
            tier->cells[kept++] = tier->cells[i];
            continue;
        }
        model_drop_value(&tier->cells[i]);
        fb_mem_free((char *)(uintptr_t)tier->cells[i].key.ptr);
    }
    tier->cell_count = kept;
}

static void forget(model *tier, uint64_t logs) {
    forget_cells(tier, logs);
    for (uint32_t i = 0; i <= tier->partitions; i++) {
        if ((logs >> (i % 64) & 1) != 0) {
            model_trim(tier, i, 0);
            model_evict_counter(tier, i);
        }
    }
    if ((logs >> (tier->partitions % 64) & 1) != 0) {
        tier->stamp_count = 0;
        tier->stamps_epoch = 0;
        memset(tier->nodes, 0, sizeof tier->nodes);
    }
}

void model_flushall(model *tier) {
    forget(tier, UINT64_MAX);
}

void model_release(model *tier) {
    forget(tier, UINT64_MAX);
    for (uint32_t i = 0; i <= tier->partitions; i++) {
        fb_mem_free(tier->logs[i].records);
        tier->logs[i].records = NULL;
    }
    fb_mem_free(tier->cells);
    fb_mem_free(tier->stamps);
    *tier = (model){.partitions = tier->partitions};
}

// ---- replicas

static void *copy(const void *from, size_t count, size_t size) {
    void *to = fb_mem_new((count + 1) * size);
    FB_ASSERT(to != NULL);
    memcpy(to, count > 0 ? from : "", count * size);
    return to;
}

static fb_str copy_name(fb_str name) {
    return (fb_str){copy(name.ptr, name.len, 1), name.len};
}

static void add_cell(model *tier, const model_cell *from) {
    tier->cells = fb_mem_resize(tier->cells, (tier->cell_count + 1) * sizeof *tier->cells);
    FB_ASSERT(tier->cells != NULL);
    tier->cell_cap = tier->cell_count + 1;
    model_cell *made = &tier->cells[tier->cell_count++];
    *made = *from;
    made->key = copy_name(from->key);
    if (from->has_value) {
        model_copy_loaded(&from->value, &made->value);
    }
}

static void copy_log(const model_log *from, model_log *to) {
    fb_mem_free(to->records);
    *to = *from;
    to->records = copy(from->records, from->record_count, sizeof *from->records);
    for (size_t i = 0; i < to->record_count; i++) {
        to->records[i].name = copy_name(from->records[i].name);
    }
}

static void bring(model *tier, const model *from, uint64_t logs) {
    for (size_t i = 0; i < from->cell_count; i++) {
        if ((logs >> (from->cells[i].log % 64) & 1) != 0) {
            add_cell(tier, &from->cells[i]);
        }
    }
    for (uint32_t i = 0; i <= from->partitions; i++) {
        if ((logs >> (i % 64) & 1) != 0) {
            copy_log(&from->logs[i], &tier->logs[i]);
        }
    }
    if ((logs >> (from->partitions % 64) & 1) != 0) {
        fb_mem_free(tier->stamps);
        tier->stamps = copy(from->stamps, from->stamp_count, sizeof from->stamps[0]);
        tier->stamp_count = from->stamp_count;
        tier->stamps_epoch = from->stamps_epoch;
        memcpy(tier->nodes, from->nodes, sizeof tier->nodes);
    }
}

void model_copy(const model *from, model *to) {
    model_init(to, from->partitions, from->log_max);
    to->last_fill = from->last_fill;
    bring(to, from, UINT64_MAX);
}

void model_fail_over(model *tier, const model *replica, uint64_t logs) {
    for (uint32_t i = 0; i <= tier->partitions; i++) {
        tier->lost[i] = tier->logs[i].mark;
    }
    forget(tier, logs);
    bring(tier, replica, logs);
}
