// Everything in the file, in memory again, and the account with the clock (journal/clock.h).
//
// What SQLite cannot know is looked at here: records by their check sums, rows by their queues,
// names and lengths. A file with one row that makes no sense is refused, and says which: to leave
// it out would lose a job silently.
//
// The journal's time less that of the machine's start is stored once for each opening, with the
// name of that start: by both the next opening sees by how much the clock was set meanwhile.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "journal/clock.h"
#include "journal/disk_inside.h"
#include "journal/record.h"

typedef struct load {
    fb_journal_disk *disk;
    fb_machine *machine;
    fb_error *error;
    fb_journal_queue **queues;  // by id
    int64_t now_ms, shift_ms, latest_ms;
    int64_t offset_ms;          // of the last opening in this run of the machine; 0: there was none
    bool moved;                 // what the file says is right by the clock as it is now
    char boot[FB_JOURNAL_BOOT_SIZE];
} load;

typedef int (*row_fn)(load *own, sqlite3_stmt *statement);

static int damaged(load *own, const char *what, int64_t id) {
    return fb_error_set(own->error, FB_EIO, "%s: damaged: %s (row %" PRId64 ")", own->disk->file,
                        what, id);
}

static int fail(load *own, int code) {
    if ((code & 0xff) == SQLITE_NOMEM) {
        return fb_error_set(own->error, FB_ENOMEM, "%s: out of memory", own->disk->file);
    }
    return fb_error_set(own->error, FB_EIO, "%s: cannot be read: %s%s", own->disk->file,
                        sqlite3_errmsg(own->disk->db),
                        (code & 0xff) == SQLITE_CORRUPT ? "; the file is damaged" : "");
}

static int each(load *own, const char *sql, row_fn fn) {
    sqlite3_stmt *statement = NULL;
    int result = FB_OK;
    int code = sqlite3_prepare_v2(own->disk->db, sql, -1, &statement, NULL);

    while (code == SQLITE_OK && result == FB_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        code = SQLITE_OK;
        result = fn(own, statement);
    }
    if (result == FB_OK && code != SQLITE_DONE) {
        result = fail(own, code);
    }
    (void)sqlite3_finalize(statement);
    return result;
}

static fb_str column(sqlite3_stmt *statement, int place) {
    const char *ptr = sqlite3_column_blob(statement, place);
    fb_str bytes = {ptr, ptr != NULL ? (size_t)sqlite3_column_bytes(statement, place) : 0};
    return bytes;
}

static bool is_blob(sqlite3_stmt *statement, int place, size_t len_max) {
    return sqlite3_column_type(statement, place) == SQLITE_BLOB &&
           (size_t)sqlite3_column_bytes(statement, place) <= len_max;
}

static int meta_row(load *own, sqlite3_stmt *statement) {
    fb_str name = column(statement, 0);
    fb_str value = column(statement, 1);
    char text[100];

    if (!fb_str_equal(name, FB_STR("clock")) || value.len >= sizeof text) {
        return FB_OK;
    }
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    char *boot = strchr(text, ' ');
    if (boot != NULL && own->boot[0] != '\0' && strcmp(boot + 1, own->boot) == 0) {
        own->offset_ms = strtoll(text, NULL, 10);
    }
    return FB_OK;
}

static int queue_row(load *own, sqlite3_stmt *statement) {
    int64_t id = sqlite3_column_int64(statement, 0);
    int64_t number = sqlite3_column_int64(statement, 3);
    fb_str name = column(statement, 1);

    if (id < 1 || id > FB_JOURNAL_QUEUES_MAX || !is_blob(statement, 1, FB_QUEUE_NAME_MAX) ||
        name.len == 0 || number < 0 || number >> FB_JOURNAL_NUMBER_BITS != 0 ||
        fb_map_get(&own->disk->queues, name) != NULL) {
        return damaged(own, "a queue", id);
    }
    fb_journal_queue *queue = fb_journal_disk_queue(own->disk, name, id);
    if (queue == NULL) {
        return fail(own, SQLITE_NOMEM);
    }
    queue->stored = true;
    queue->paused = queue->paused_stored = sqlite3_column_int(statement, 2) != 0;
    queue->last_number = queue->limit_number = queue->limit_stored = (uint64_t)number;
    own->queues[id] = queue;
    return FB_OK;
}

// Jobs by rows: sorted, so a broken tree that shows one twice is noticed.
static int read_job(load *own, sqlite3_stmt *statement, fb_job *job, int64_t *order) {
    int64_t id = sqlite3_column_int64(statement, 0);
    uint64_t queue = (uint64_t)id >> FB_JOURNAL_NUMBER_BITS;

    if (id <= 0 || own->queues[queue] == NULL) {
        return damaged(own, "a job of no queue", id);
    }
    if (!is_blob(statement, 1, FB_JOURNAL_RECORD_SIZE) ||
        fb_journal_record_read(column(statement, 1), id, job, order) != FB_OK) {
        return damaged(own, "what a job's state says", id);
    }
    job->queue = fb_journal_queue_name(own->queues[queue]);
    job->number = (uint64_t)id & ((UINT64_C(1) << FB_JOURNAL_NUMBER_BITS) - 1);
    return FB_OK;
}

static int latest_row(load *own, sqlite3_stmt *statement) {
    fb_job job = {0};
    int64_t order = 0;
    int result = read_job(own, statement, &job, &order);
    if (result == FB_OK && fb_journal_clock_latest(&job) > own->latest_ms) {
        own->latest_ms = fb_journal_clock_latest(&job);
    }
    return result;
}

static int move_row(load *own, sqlite3_stmt *statement) {
    fb_job job = {0};
    int64_t order = 0;
    int result = read_job(own, statement, &job, &order);
    bool moved = result == FB_OK && fb_journal_clock_move(&job, own->shift_ms);
    moved = (result == FB_OK && fb_journal_clock_hold_back(&job, own->now_ms)) || moved;
    if (moved) {
        result = fb_journal_disk_set_job(own->disk, sqlite3_column_int64(statement, 0), &job, order,
                                         true);
    }
    return result;
}

static int job_row(load *own, sqlite3_stmt *statement) {
    fb_job job = {0};
    int64_t order = 0;
    int64_t id = sqlite3_column_int64(statement, 0);
    int result = read_job(own, statement, &job, &order);

    if (result != FB_OK) {
        return result;
    }
    if (!is_blob(statement, 2, FB_JOB_KIND_MAX) || !is_blob(statement, 3, FB_JOB_UNIQUE_MAX) ||
        !is_blob(statement, 4, FB_JOB_TEXT_MAX) || !is_blob(statement, 5, FB_JOB_TEXT_MAX)) {
        return damaged(own, "a job's texts", id);
    }
    job.kind = column(statement, 2);
    job.unique = column(statement, 3);
    job.error = column(statement, 4);
    job.progress = column(statement, 5);
    if (own->shift_ms != 0 && !own->moved) {
        (void)fb_journal_clock_move(&job, own->shift_ms);
        (void)fb_journal_clock_hold_back(&job, own->now_ms);
    }
    result = fb_machine_load(own->machine, &job, order);
    return result == FB_OK || result == FB_ENOMEM ? result : damaged(own, "a job", id);
}

static int mark_row(load *own, sqlite3_stmt *statement) {
    int64_t id = sqlite3_column_int64(statement, 0);
    fb_store_mark mark = {column(statement, 1), sqlite3_column_int64(statement, 2)};

    if (id < 1 || id > FB_JOURNAL_QUEUES_MAX || own->queues[id] == NULL ||
        sqlite3_column_type(statement, 1) != SQLITE_BLOB) {
        return damaged(own, "a mark of no queue", id);
    }
    int result = fb_machine_load_mark(own->machine, fb_journal_queue_name(own->queues[id]), &mark,
                                      sqlite3_column_int64(statement, 3));
    return result == FB_OK || result == FB_ENOMEM ? result : damaged(own, "a mark", id);
}

static int room_row(load *own, sqlite3_stmt *statement) {
    own->disk->room = true;
    return FB_OK;
}

static int apart_row(load *own, sqlite3_stmt *statement) {
    own->disk->payloads_apart = true;
    return FB_OK;
}

// ---- the clock

// All in one transaction, or the file keeps the old account, and the next opening sees the same.
static int write_clock(load *own, int64_t boot_ms) {
    char text[100];
    int result = fb_journal_disk_begin(own->disk);

    if (result == FB_OK && own->shift_ms != 0) {
        own->disk->wrote = true;
        result = each(own, "SELECT id, state FROM jobs ORDER BY id", move_row);
    }
    if (result == FB_OK && boot_ms >= 0) {
        (void)snprintf(text, sizeof text, "%" PRId64 " %s", own->now_ms - boot_ms, own->boot);
        result = fb_journal_disk_meta(own->disk, "clock", text);
    }
    if (result == FB_OK) {
        result = fb_journal_disk_commit(own->disk);
    }
    fb_journal_disk_rollback(own->disk);
    return result;
}

static int look_at_clock(load *own, int64_t boot_ms) {
    int64_t expected_ms = own->offset_ms != 0 ? own->offset_ms + boot_ms : 0;
    if (expected_ms == 0) {
        int result = each(own, "SELECT id, state FROM jobs ORDER BY id", latest_row);
        if (result != FB_OK) {
            return result;
        }
    }
    own->shift_ms = fb_journal_clock_shift(own->now_ms, expected_ms, own->latest_ms);
    if (own->shift_ms != 0) {
        fb_log(FB_LOG_WARN, "queue_clock_set", "file=%s ms=%" PRId64,
               fb_log_quote(fb_str_of(own->disk->file), FB_LOG_TEXT_MAX).text, own->shift_ms);
    }
    own->moved = write_clock(own, boot_ms) == FB_OK;
    if (!own->moved) {
        fb_log(FB_LOG_WARN, "queue_write_failed", "error=%s",
               fb_log_quote(fb_str_of(own->disk->error.text), FB_LOG_TEXT_MAX).text);
    }
    return FB_OK;
}

// ---- all

static int load_queues(load *own) {
    size_t place = 0;
    fb_journal_queue *queue;
    int result = FB_OK;

    while (result == FB_OK && (queue = fb_map_next(&own->disk->queues, &place)) != NULL) {
        result = fb_machine_load_queue(own->machine, fb_journal_queue_name(queue), queue->paused,
                                       queue->last_number);
    }
    return result == FB_OK || result == FB_ENOMEM ? result : damaged(own, "a queue", 0);
}

static int load_all(load *own, int64_t boot_ms) {
    int result = each(own, "SELECT name, value FROM meta", meta_row);
    if (result == FB_OK) {
        result = each(own, "SELECT * FROM queues", queue_row);
    }
    if (result == FB_OK) {
        result = each(own, "SELECT id FROM room LIMIT 1", room_row);
    }
    if (result == FB_OK) {
        result = each(own, "SELECT id FROM payloads LIMIT 1", apart_row);
    }
    if (result == FB_OK) {
        result = look_at_clock(own, boot_ms);
    }
    if (result == FB_OK) {
        result = each(own,
                      "SELECT id, state, kind, uniq, error, progress FROM jobs ORDER BY id",
                      job_row);
    }
    if (result == FB_OK) {
        result = each(own, "SELECT * FROM marks", mark_row);
    }
    return result == FB_OK ? load_queues(own) : result;
}

int fb_journal_disk_load(fb_journal_disk *disk, fb_machine *machine, int64_t now_ms,
                         int64_t boot_ms, fb_error *error) {
    fb_journal_queue *queues[FB_JOURNAL_QUEUES_MAX + 1] = {NULL};
    load own = {disk, machine, error, queues, now_ms, 0, 0, 0, false, ""};

    if (boot_ms >= 0) {
        fb_journal_clock_boot(own.boot);
    }
    int result = load_all(&own, boot_ms);
    if (result == FB_ENOMEM) {
        return fb_error_set(error, FB_ENOMEM, "%s: out of memory", disk->file);
    }
    if (result == FB_OK && fb_journal_disk_room_log(disk) != FB_OK) {
        fb_log(FB_LOG_WARN, "queue_no_room", "error=%s",
               fb_log_quote(fb_str_of(disk->error.text), FB_LOG_TEXT_MAX).text);
    }
    return result;
}
