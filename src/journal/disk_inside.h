// journal/disk_inside.h -- what disk*.c share.

#ifndef FB_JOURNAL_DISK_INSIDE_H
#define FB_JOURNAL_DISK_INSIDE_H

#include <sqlite3.h>

#include "base/map.h"
#include "journal/disk.h"

// Name, SQL. `state` is a record (journal/record.h). Payloads of some size stand apart, so that a
// change of the job does not touch them. jobs.payload is NULL where it is apart.
#define FB_JOURNAL_STATEMENTS(X)                                                                   \
    X(BEGIN, "BEGIN")                                                                              \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(NEW_JOB, "INSERT OR REPLACE INTO jobs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                  \
    X(NEW_PAYLOAD, "INSERT OR REPLACE INTO payloads VALUES (?1, ?2)")                              \
    X(SET_JOB, "UPDATE jobs SET state = ?2, error = ?3, progress = ?4 WHERE id = ?1")              \
    X(SET_STATE, "UPDATE jobs SET state = ?2 WHERE id = ?1")                                       \
    X(DROP_JOB, "DELETE FROM jobs WHERE id = ?1")                                                  \
    X(DROP_PAYLOAD, "DELETE FROM payloads WHERE id = ?1")                                          \
    X(PAYLOAD, "SELECT payload FROM jobs WHERE id = ?1")                                           \
    X(PAYLOAD_APART, "SELECT payload FROM payloads WHERE id = ?1")                                 \
    X(QUEUE, "INSERT OR REPLACE INTO queues VALUES (?1, ?2, ?3, ?4)")                              \
    X(MARK, "INSERT OR REPLACE INTO marks VALUES (?1, ?2, ?3, ?4)")                                \
    X(DROP_MARK, "DELETE FROM marks WHERE queue = ?1 AND name = ?2")                               \
    X(META, "INSERT OR REPLACE INTO meta VALUES (?1, ?2)")                                         \
    X(ROOM, "INSERT OR REPLACE INTO room VALUES (1, zeroblob(262144))")                            \
    X(DROP_ROOM, "DELETE FROM room")                                                               \
    X(PAGES, "PRAGMA page_count")

typedef enum fb_journal_statement {
#define FB_JOURNAL_STATEMENT_ENUM(name, sql) FB_JOURNAL_##name,
    FB_JOURNAL_STATEMENTS(FB_JOURNAL_STATEMENT_ENUM)
#undef FB_JOURNAL_STATEMENT_ENUM
    FB_JOURNAL_STATEMENT_COUNT
} fb_journal_statement;

// A queue of the file. Its number stands in the upper ten bits of its jobs' rows.
typedef struct fb_journal_queue {
    int64_t id;
    struct fb_journal_queue *next_touched;
    bool touched;           // written in what was begun
    bool stored;            // the file has it
    bool paused, paused_stored;
    uint64_t last_number;   // the highest that was given
    uint64_t limit_number, limit_stored;  // what the file is told: at least last_number
    size_t name_len;
    char name[];
} fb_journal_queue;

struct fb_journal_disk {
    char *file;
    int lock;                // the lock file, -1
    sqlite3 *db;
    sqlite3_stmt *statements[FB_JOURNAL_STATEMENT_COUNT];
    fb_map queues;
    fb_journal_queue *touched;
    int64_t last_queue;
    int64_t file_bytes;      // of the file proper, as it lies on the disk
    uint64_t log_bytes;      // its usual size
    uint32_t log_pages;      // in it, and not in the file proper yet
    bool begun;
    bool wrote;              // something changes in what was begun
    bool payloads_apart;     // there may be some
    bool room;               // some is put by
    bool room_after;         // ... when what was begun is committed
    bool grows;              // new jobs are in what was begun
    bool grew;
    bool doubt;
    fb_error error;
};

enum {
    FB_JOURNAL_NUMBER_BITS = 53,
    FB_JOURNAL_QUEUES_MAX = 1023,
    FB_JOURNAL_PAGE = 4096,
    FB_JOURNAL_CHUNK = 256 * FB_JOURNAL_PAGE,
    FB_JOURNAL_LOG_BYTES = 8 << 20,
    FB_JOURNAL_LOG_LEAST = 256 << 10
};
static inline fb_str fb_journal_queue_name(const fb_journal_queue *queue) {
    fb_str name = {queue->name, queue->name_len};
    return name;
}

// Notes what SQLite said, rolls back what was begun, and returns FB_EFULL, FB_ENOMEM or FB_EIO.
int fb_journal_disk_fail(fb_journal_disk *disk, int code, const char *what);
// Resets it; FB_OK or as fail().
FB_CHECK_RESULT int fb_journal_disk_run(fb_journal_disk *disk, fb_journal_statement which);
FB_CHECK_RESULT int fb_journal_disk_begin(fb_journal_disk *disk);
// NULL: no memory, or too many.
fb_journal_queue *fb_journal_disk_queue(fb_journal_disk *disk, fb_str name, int64_t id);
// What was stored ahead is taken back.
FB_CHECK_RESULT int fb_journal_disk_last_number(fb_journal_disk *disk, fb_journal_queue *queue);
FB_CHECK_RESULT int fb_journal_disk_set_job(fb_journal_disk *disk, int64_t id, const fb_job *job,
                                            int64_t order, bool lean);
FB_CHECK_RESULT int fb_journal_disk_meta(fb_journal_disk *disk, const char *name, const char *text);
void fb_journal_disk_bytes(sqlite3_stmt *statement, int place, fb_str bytes);
// disk_room.c
FB_CHECK_RESULT int fb_journal_disk_room_for(fb_journal_disk *disk);
FB_CHECK_RESULT int fb_journal_disk_room_log(fb_journal_disk *disk);
int fb_journal_disk_room_measure(fb_journal_disk *disk);

#endif
