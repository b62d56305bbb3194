// One transaction for many requests: SQLite in WAL mode appends changed pages to its log and syncs
// that once; the log is copied into the file proper (the checkpoint) when it is convenient.
//
// Rows are found by numbers alone: all orders and keys stand in memory, so there is no index to
// keep. A job is one row; what changes of it has a fixed size (journal/record.h), and payloads
// above INLINE_MAX are in a table of their own, so a claim is 88 bytes written over 88 bytes.
//
// The numbers that a queue may give are stored ahead, a thousand at a time, or each new job would
// write its queue's row, too. A crash skips what is left of them.
//
// A commit that failed: SQLite has forgotten it, but where its last page was written and only the
// sync failed, a crash now would find it complete. The next commit writes over it. Until then there
// is doubt.

#include "journal/disk_inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "journal/record.h"

enum { INLINE_MAX = 1000, NUMBERS_AHEAD = 1024 * 64 };

int fb_journal_disk_fail(fb_journal_disk *disk, int code, const char *what) {
    int kind = code & 0xff;
    bool asked = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN;
    int system = asked ? sqlite3_system_errno(disk->db) : 0;
    int result = FB_EIO;

    if (kind == SQLITE_NOMEM) {
        result = FB_ENOMEM;
    } else if (kind == SQLITE_FULL || system == ENOSPC || system == EDQUOT) {
        result = FB_EFULL;
    }
    (void)fb_error_set(&disk->error, result, "%s: %s: %s%s%s", disk->file, what,
                       sqlite3_errstr(code), system != 0 ? ": " : "",
                       system != 0 ? strerror(system) : "");
    fb_journal_disk_rollback(disk);
    return result;
}

int fb_journal_disk_run(fb_journal_disk *disk, fb_journal_statement which) {
    sqlite3_stmt *statement = disk->statements[which];
    int code = sqlite3_step(statement);
    (void)sqlite3_reset(statement);  // says again what step() said
    return code == SQLITE_DONE || code == SQLITE_ROW ? FB_OK
                                                     : fb_journal_disk_fail(disk, code, "write");
}

int fb_journal_disk_begin(fb_journal_disk *disk) {
    if (disk->begun) {
        return FB_OK;
    }
    disk->begun = true;
    disk->wrote = false;
    disk->grows = false;
    disk->room_after = disk->room;
    return fb_journal_disk_run(disk, FB_JOURNAL_BEGIN);
}

void fb_journal_disk_bytes(sqlite3_stmt *statement, int place, fb_str bytes) {
    // SQLite takes NULL for NULL, and these are none. Binding what lives on cannot fail.
    (void)sqlite3_bind_blob64(statement, place, bytes.len > 0 ? bytes.ptr : "", bytes.len,
                              SQLITE_STATIC);
}

int fb_journal_disk_meta(fb_journal_disk *disk, const char *name, const char *text) {
    sqlite3_stmt *statement = disk->statements[FB_JOURNAL_META];
    (void)sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC);
    int result = fb_journal_disk_begin(disk);
    disk->wrote = true;
    return result == FB_OK ? fb_journal_disk_run(disk, FB_JOURNAL_META) : result;
}

// ---- queues

fb_journal_queue *fb_journal_disk_queue(fb_journal_disk *disk, fb_str name, int64_t id) {
    fb_journal_queue *queue = fb_map_get(&disk->queues, name);

    if (queue != NULL || (id == 0 && disk->last_queue == FB_JOURNAL_QUEUES_MAX)) {
        return queue;
    }
    queue = fb_mem_zero(1, sizeof *queue + name.len + 1);
    if (queue == NULL) {
        return NULL;
    }
    memcpy(queue->name, name.ptr, name.len);
    queue->name_len = name.len;
    queue->id = id != 0 ? id : disk->last_queue + 1;
    if (fb_map_put(&disk->queues, fb_journal_queue_name(queue), queue) != FB_OK) {
        fb_mem_free(queue);
        return NULL;
    }
    if (queue->id > disk->last_queue) {
        disk->last_queue = queue->id;
    }
    return queue;
}

static int64_t row_of(const fb_journal_queue *queue, uint64_t number) {
    FB_ASSERT(number < UINT64_C(1) << FB_JOURNAL_NUMBER_BITS);
    return (int64_t)((uint64_t)queue->id << FB_JOURNAL_NUMBER_BITS | number);
}

int64_t fb_journal_disk_row(fb_journal_disk *disk, fb_str name, uint64_t number) {
    fb_journal_queue *queue = fb_journal_disk_queue(disk, name, 0);
    return queue != NULL ? row_of(queue, number) : 0;
}

static int write_queue(fb_journal_disk *disk, fb_journal_queue *queue) {
    sqlite3_stmt *statement = disk->statements[FB_JOURNAL_QUEUE];
    if (!queue->touched) {
        queue->touched = true;
        queue->next_touched = disk->touched;
        disk->touched = queue;
    }
    (void)sqlite3_bind_int64(statement, 1, queue->id);
    fb_journal_disk_bytes(statement, 2, fb_journal_queue_name(queue));
    (void)sqlite3_bind_int(statement, 3, queue->paused);
    (void)sqlite3_bind_int64(statement, 4, (int64_t)queue->limit_number);
    return fb_journal_disk_run(disk, FB_JOURNAL_QUEUE);
}

// The row of a queue stands in the file before, or with, the first that points to it.
static int need_queue(fb_journal_disk *disk, fb_str name, fb_journal_queue **out) {
    fb_journal_queue *queue = fb_journal_disk_queue(disk, name, 0);
    *out = queue;
    if (queue == NULL) {
        fb_journal_disk_rollback(disk);
        return fb_error_set(&disk->error, disk->last_queue == FB_JOURNAL_QUEUES_MAX ? FB_EFULL
                                                                                     : FB_ENOMEM,
                            "%s: a file holds %d queues", disk->file, FB_JOURNAL_QUEUES_MAX);
    }
    return queue->stored || queue->touched ? FB_OK : write_queue(disk, queue);
}

int fb_journal_disk_last_number(fb_journal_disk *disk, fb_journal_queue *queue) {
    int result = fb_journal_disk_begin(disk);
    disk->wrote = true;
    queue->limit_number = queue->last_number;
    return result == FB_OK ? write_queue(disk, queue) : result;
}

// At the end of a transaction that succeeded, or did not.
static void settle_queues(fb_journal_disk *disk, bool committed) {
    for (fb_journal_queue *queue = disk->touched; queue != NULL; queue = queue->next_touched) {
        queue->touched = false;
        if (committed) {
            queue->stored = true;
            queue->paused_stored = queue->paused;
            queue->limit_stored = queue->limit_number;
        } else {
            queue->paused = queue->paused_stored;
            queue->limit_number = queue->limit_stored;
        }
    }
    disk->touched = NULL;
}

static int set_queue(fb_journal_disk *disk, fb_journal_queue *queue, const fb_change *change) {
    queue->last_number = change->last_number;
    bool given = change->last_number <= queue->limit_number || !FB_RULE(journal_numbers_ahead);
    if (queue->paused == change->paused && given) {
        return FB_OK;
    }
    queue->paused = change->paused;
    uint64_t most = (UINT64_C(1) << FB_JOURNAL_NUMBER_BITS) - 1;
    if (change->last_number > queue->limit_number) {
        uint64_t left = most - change->last_number;
        queue->limit_number = change->last_number + (left > NUMBERS_AHEAD ? NUMBERS_AHEAD : left);
    }
    return write_queue(disk, queue);
}

// ---- jobs

static int drop_payload(fb_journal_disk *disk, int64_t id) {
    if (!disk->payloads_apart) {
        return FB_OK;
    }
    (void)sqlite3_bind_int64(disk->statements[FB_JOURNAL_DROP_PAYLOAD], 1, id);
    return fb_journal_disk_run(disk, FB_JOURNAL_DROP_PAYLOAD);
}

// Over what may be there under its number.
static int new_job(fb_journal_disk *disk, int64_t id, const fb_change *change, fb_str payload) {
    sqlite3_stmt *statement = disk->statements[FB_JOURNAL_NEW_JOB];
    uint8_t record[FB_JOURNAL_RECORD_SIZE];
    bool apart = payload.len > INLINE_MAX;

    fb_journal_record_write(&change->job, change->order, id, record);
    (void)sqlite3_bind_int64(statement, 1, id);
    (void)sqlite3_bind_blob(statement, 2, record, sizeof record, SQLITE_STATIC);
    fb_journal_disk_bytes(statement, 3, change->job.kind);
    fb_journal_disk_bytes(statement, 4, change->job.unique);
    fb_journal_disk_bytes(statement, 5, change->job.error);
    fb_journal_disk_bytes(statement, 6, change->job.progress);
    if (apart) {
        (void)sqlite3_bind_null(statement, 7);
    } else {
        fb_journal_disk_bytes(statement, 7, payload);
    }
    int result = fb_journal_disk_run(disk, FB_JOURNAL_NEW_JOB);
    if (result != FB_OK) {
        return result;
    }
    if (!apart) {
        return drop_payload(disk, id);
    }
    disk->payloads_apart = true;
    statement = disk->statements[FB_JOURNAL_NEW_PAYLOAD];
    (void)sqlite3_bind_int64(statement, 1, id);
    fb_journal_disk_bytes(statement, 2, payload);
    return fb_journal_disk_run(disk, FB_JOURNAL_NEW_PAYLOAD);
}

int fb_journal_disk_set_job(fb_journal_disk *disk, int64_t id, const fb_job *job, int64_t order,
                            bool lean) {
    fb_journal_statement which = lean ? FB_JOURNAL_SET_STATE : FB_JOURNAL_SET_JOB;
    sqlite3_stmt *statement = disk->statements[which];
    uint8_t record[FB_JOURNAL_RECORD_SIZE];

    fb_journal_record_write(job, order, id, record);
    (void)sqlite3_bind_int64(statement, 1, id);
    (void)sqlite3_bind_blob(statement, 2, record, sizeof record, SQLITE_STATIC);
    if (!lean) {
        fb_journal_disk_bytes(statement, 3, job->error);
        fb_journal_disk_bytes(statement, 4, job->progress);
    }
    int result = fb_journal_disk_run(disk, which);
    if (result == FB_OK && sqlite3_changes(disk->db) != 1) {
        return fb_journal_disk_fail(disk, SQLITE_CORRUPT, "a job's row is gone");
    }
    return result;
}

static int drop_job(fb_journal_disk *disk, int64_t id) {
    (void)sqlite3_bind_int64(disk->statements[FB_JOURNAL_DROP_JOB], 1, id);
    int result = fb_journal_disk_run(disk, FB_JOURNAL_DROP_JOB);
    return result == FB_OK ? drop_payload(disk, id) : result;
}

static int set_mark(fb_journal_disk *disk, const fb_journal_queue *queue, const fb_change *change) {
    bool gone = change->kind == FB_CHANGE_MARK_GONE;
    fb_journal_statement which = gone ? FB_JOURNAL_DROP_MARK : FB_JOURNAL_MARK;
    sqlite3_stmt *statement = disk->statements[which];

    (void)sqlite3_bind_int64(statement, 1, queue->id);
    fb_journal_disk_bytes(statement, 2, change->mark.name);
    if (!gone) {
        (void)sqlite3_bind_int64(statement, 3, change->mark.value);
        (void)sqlite3_bind_int64(statement, 4, change->mark_until_ms);
    }
    return fb_journal_disk_run(disk, which);
}

// ---- the transaction

int fb_journal_disk_put(fb_journal_disk *disk, const fb_change *change, fb_str payload, bool lean) {
    fb_journal_queue *queue = NULL;
    int result = fb_journal_disk_begin(disk);

    disk->wrote = true;
    if (result == FB_OK && lean && disk->room_after) {
        disk->room_after = false;
        result = fb_journal_disk_run(disk, FB_JOURNAL_DROP_ROOM);
    }
    if (result == FB_OK) {
        result = need_queue(disk, change->queue, &queue);
    }
    if (result != FB_OK) {
        return result;
    }
    switch (change->kind) {
        case FB_CHANGE_NEW:
            disk->grows = true;
            return new_job(disk, row_of(queue, change->job.number), change, payload);
        case FB_CHANGE_JOB:
            return fb_journal_disk_set_job(disk, row_of(queue, change->job.number), &change->job,
                                           change->order, lean);
        case FB_CHANGE_GONE:
            return drop_job(disk, row_of(queue, change->job.number));
        case FB_CHANGE_MARK:
        case FB_CHANGE_MARK_GONE:
            return set_mark(disk, queue, change);
        case FB_CHANGE_QUEUE:
            return set_queue(disk, queue, change);
    }
    FB_ASSERT(!"a kind of change");
    return FB_EINVAL;
}

static int copy_payload(fb_journal_disk *disk, fb_journal_statement which, int64_t id,
                        fb_arena *arena, fb_str *payload) {
    sqlite3_stmt *statement = disk->statements[which];
    (void)sqlite3_bind_int64(statement, 1, id);
    int code = sqlite3_step(statement);
    int result = FB_OK;
    if (code == SQLITE_ROW && sqlite3_column_type(statement, 0) == SQLITE_NULL) {
        result = FB_MISS;
    } else if (code == SQLITE_ROW) {
        const char *ptr = sqlite3_column_blob(statement, 0);
        size_t len = (size_t)sqlite3_column_bytes(statement, 0);
        if (ptr == NULL && sqlite3_errcode(disk->db) == SQLITE_NOMEM) {
            code = SQLITE_NOMEM;
        } else {
            *payload = fb_arena_copy(arena, fb_str_make(ptr, len));
            code = payload->len == len ? code : SQLITE_NOMEM;
        }
    } else if (code == SQLITE_DONE) {
        code = SQLITE_CORRUPT;
    }
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW ? result : fb_journal_disk_fail(disk, code, "read a payload");
}

int fb_journal_disk_payload(fb_journal_disk *disk, fb_str name, uint64_t number, fb_arena *arena,
                            fb_str *payload) {
    int64_t id = fb_journal_disk_row(disk, name, number);
    int result = fb_journal_disk_begin(disk);
    if (result != FB_OK) {
        return result;
    }
    result = copy_payload(disk, FB_JOURNAL_PAYLOAD, id, arena, payload);
    if (result == FB_MISS) {
        result = copy_payload(disk, FB_JOURNAL_PAYLOAD_APART, id, arena, payload);
    }
    if (result == FB_MISS) {
        return fb_journal_disk_fail(disk, SQLITE_CORRUPT, "read a payload");
    }
    return result;
}

// SQLite rolls back by itself where it cannot go on.
void fb_journal_disk_rollback(fb_journal_disk *disk) {
    if (!disk->begun) {
        return;
    }
    disk->begun = false;
    if (sqlite3_get_autocommit(disk->db) == 0) {
        (void)sqlite3_step(disk->statements[FB_JOURNAL_ROLLBACK]);
        (void)sqlite3_reset(disk->statements[FB_JOURNAL_ROLLBACK]);
    }
    settle_queues(disk, false);
}

// The room that was given up is taken back with the first new jobs that there is room for.
static int finish(fb_journal_disk *disk) {
    if (!disk->wrote) {
        return FB_OK;
    }
    if (fb_journal_disk_log_percent(disk) > FB_JOURNAL_LOG_MOST) {
        return fb_journal_disk_fail(disk, SQLITE_FULL, "its log cannot be emptied");
    }
    if (disk->grows && !disk->room_after) {
        disk->room_after = true;
        int result = fb_journal_disk_run(disk, FB_JOURNAL_ROOM);
        if (result != FB_OK) {
            return result;
        }
    }
    return fb_journal_disk_room_for(disk);
}

int fb_journal_disk_commit(fb_journal_disk *disk) {
    if (!disk->begun) {
        return FB_OK;
    }
    int result = finish(disk);
    if (result != FB_OK) {
        return result;
    }
    sqlite3_stmt *statement = disk->statements[FB_JOURNAL_COMMIT];
    int code = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    if (code != SQLITE_DONE) {
        disk->doubt = disk->doubt || (disk->wrote && (code & 0xff) != SQLITE_FULL);
        return fb_journal_disk_fail(disk, code, "commit");
    }
    disk->begun = false;
    disk->doubt = disk->doubt && !disk->wrote;
    settle_queues(disk, true);
    disk->room = disk->room_after;
    disk->grew = disk->grew || disk->grows;
    return FB_OK;
}

int fb_journal_disk_probe(fb_journal_disk *disk) {
    int result = fb_journal_disk_meta(disk, "probe", "");
    disk->grows = true;
    return result == FB_OK ? fb_journal_disk_commit(disk) : result;
}

// ---- what is known

unsigned fb_journal_disk_log_percent(const fb_journal_disk *disk) {
    return (unsigned)((uint64_t)disk->log_pages * FB_JOURNAL_PAGE * 100 / disk->log_bytes);
}

const char *fb_journal_disk_error(const fb_journal_disk *disk) {
    return disk->error.text;
}

bool fb_journal_disk_doubt(const fb_journal_disk *disk) {
    return disk->doubt;
}

bool fb_journal_disk_grew(fb_journal_disk *disk) {
    bool grew = disk->grew;
    disk->grew = false;
    return grew;
}
