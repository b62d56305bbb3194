// queue_disk.h -- a disk for the machine: what fb_machine_change() tells is written into arrays,
// and another machine is loaded from them.

#ifndef FB_TESTS_QUEUE_DISK_H
#define FB_TESTS_QUEUE_DISK_H

#include "base/check.h"
#include "base/rng.h"
#include "queue/machine.h"
#include "queue_model.h"

typedef struct queue_disk_row {
    model_job job;
    fb_str queue;  // a literal
    int64_t order;
} queue_disk_row;

typedef struct queue_disk_mark {
    bool there;
    fb_str queue;
    char name[32];
    size_t name_len;
    int64_t value, until_ms;
} queue_disk_mark;

enum { DISK_ROWS = MODEL_QUEUES * MODEL_JOBS, DISK_MARKS = MODEL_QUEUES * MODEL_MARKS };

typedef struct queue_disk {
    queue_disk_row rows[DISK_ROWS];
    queue_disk_mark marks[DISK_MARKS];
    struct {
        bool paused;
        uint64_t last_number;
    } queues[MODEL_QUEUES];
    const fb_str *names;  // of the queues
} queue_disk;

static inline size_t queue_disk_queue(const queue_disk *disk, fb_str name) {
    size_t i = 0;

    while (!fb_str_equal(disk->names[i], name)) {
        i++;
        MODEL_ASSERT(i < MODEL_QUEUES);
    }
    return i;
}

static inline queue_disk_row *queue_disk_find(queue_disk *disk, fb_str queue, uint64_t number) {
    for (size_t i = 0; i < DISK_ROWS; i++) {
        queue_disk_row *row = &disk->rows[i];
        if (row->job.there && row->job.job.number == number && fb_str_equal(row->queue, queue)) {
            return row;
        }
    }
    return NULL;
}

static inline void queue_disk_job(queue_disk *disk, const fb_change *change) {
    queue_disk_row *row = queue_disk_find(disk, change->queue, change->job.number);

    MODEL_ASSERT(row != NULL || change->kind == FB_CHANGE_NEW);
    for (size_t i = 0; row == NULL; i++) {
        MODEL_ASSERT(i < DISK_ROWS);
        row = disk->rows[i].job.there ? NULL : &disk->rows[i];
    }
    model_job *job = &row->job;
    const fb_job *from = &change->job;
    if (change->kind == FB_CHANGE_NEW) {
        job->payload_len = from->payload.len;
        memcpy(job->payload, from->payload.len > 0 ? from->payload.ptr : "", from->payload.len);
    }
    job->there = true;
    job->job = *from;
    job->kind_len = from->kind.len;
    memcpy(job->kind, from->kind.ptr, from->kind.len);
    job->unique_len = from->unique.len;
    memcpy(job->unique, from->unique.ptr, from->unique.len);
    model_text_set(&job->error, from->error);
    model_text_set(&job->progress, from->progress);
    row->queue = disk->names[queue_disk_queue(disk, change->queue)];
    row->order = change->order;
}

static inline void queue_disk_mark_change(queue_disk *disk, const fb_change *change) {
    queue_disk_mark *at = NULL;

    for (size_t i = 0; i < DISK_MARKS && at == NULL; i++) {
        queue_disk_mark *mark = &disk->marks[i];
        at = mark->there && fb_str_equal(mark->queue, change->queue) &&
                     fb_str_equal(fb_str_make(mark->name, mark->name_len), change->mark.name)
                 ? mark : NULL;
    }
    if (change->kind == FB_CHANGE_MARK_GONE) {
        MODEL_ASSERT(at != NULL);
        at->there = false;
        return;
    }
    for (size_t i = 0; at == NULL; i++) {
        MODEL_ASSERT(i < DISK_MARKS);
        at = disk->marks[i].there ? NULL : &disk->marks[i];
    }
    at->there = true;
    at->queue = disk->names[queue_disk_queue(disk, change->queue)];
    at->name_len = change->mark.name.len;
    memcpy(at->name, change->mark.name.ptr, at->name_len);
    at->value = change->mark.value;
    at->until_ms = change->mark_until_ms;
}

// Everything that changed, and then it is kept.
static inline void queue_disk_write(queue_disk *disk, fb_machine *machine) {
    const fb_change *change;
    size_t place = 0;

    while ((change = fb_machine_change(machine, &place)) != NULL) {
        switch (change->kind) {
        case FB_CHANGE_NEW:
        case FB_CHANGE_JOB:
            queue_disk_job(disk, change);
            break;
        case FB_CHANGE_GONE: {
            queue_disk_row *row = queue_disk_find(disk, change->queue, change->job.number);
            MODEL_ASSERT(row != NULL);
            row->job.there = false;
            break;
        }
        case FB_CHANGE_MARK:
        case FB_CHANGE_MARK_GONE:
            queue_disk_mark_change(disk, change);
            break;
        case FB_CHANGE_QUEUE: {
            size_t i = queue_disk_queue(disk, change->queue);
            disk->queues[i].paused = change->paused;
            disk->queues[i].last_number = change->last_number;
            break;
        }
        }
    }
    fb_machine_keep(machine);
}

// Jobs in any order. FB_OK, FB_ENOMEM.
static inline int queue_disk_load(queue_disk *disk, fb_rng *rng, fb_machine *machine) {
    int result = FB_OK;
    size_t start = fb_rng_below(rng, DISK_ROWS), stride = 1 + 2 * fb_rng_below(rng, 3);

    MODEL_ASSERT(DISK_ROWS % 7 != 0);
    stride = stride == 3 || stride == 5 ? 7 : stride;
    for (size_t i = 0; i < DISK_ROWS && result == FB_OK; i++) {
        queue_disk_row *row = &disk->rows[(start + i * stride) % DISK_ROWS];
        model_job *job = &row->job;
        if (!job->there) {
            continue;
        }
        fb_job loaded = job->job;
        loaded.queue = row->queue;
        loaded.kind = fb_str_make(job->kind, job->kind_len);
        loaded.unique = fb_str_make(job->unique, job->unique_len);
        loaded.error = fb_str_make(job->error.bytes, job->error.len);
        loaded.progress = fb_str_make(job->progress.bytes, job->progress.len);
        loaded.payload = (fb_str){NULL, 0};
        result = fb_machine_load(machine, &loaded, row->order);
    }
    for (size_t i = 0; i < DISK_MARKS && result == FB_OK; i++) {
        const queue_disk_mark *mark = &disk->marks[i];
        fb_store_mark loaded = {fb_str_make(mark->name, mark->name_len), mark->value};
        result = mark->there
                     ? fb_machine_load_mark(machine, mark->queue, &loaded, mark->until_ms) : FB_OK;
    }
    for (size_t i = 0; i < MODEL_QUEUES && result == FB_OK; i++) {
        result = fb_machine_load_queue(machine, disk->names[i], disk->queues[i].paused,
                                       disk->queues[i].last_number);
    }
    return result;
}

#endif
