// Opening: the lock, the file, what it is, its tables.
//
// The lock is a file beside it, so that the process that has it can be named; SQLite's own
// (exclusive) lock keeps other programs out. A POSIX lock on the file itself would be lost when
// anything in this process closes that file.

#include "journal/disk_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"

enum { APPLICATION_ID = 0x66624a31, SCHEMA_VERSION = 1 };  // "fbJ1"

static const char schema[] =
    "BEGIN;"
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE queues (id INTEGER PRIMARY KEY, name BLOB NOT NULL, paused INTEGER NOT NULL,"
    " last_number INTEGER NOT NULL);"
    "CREATE TABLE jobs (id INTEGER PRIMARY KEY, state BLOB NOT NULL, kind BLOB NOT NULL,"
    " uniq BLOB NOT NULL, error BLOB NOT NULL, progress BLOB NOT NULL, payload BLOB);"
    "CREATE TABLE payloads (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);"
    "CREATE TABLE marks (queue INTEGER NOT NULL, name BLOB NOT NULL, value INTEGER NOT NULL,"
    " until_ms INTEGER NOT NULL, PRIMARY KEY (queue, name)) WITHOUT ROWID;"
    "CREATE TABLE room (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
    "INSERT INTO room VALUES (1, zeroblob(262144));"
    "PRAGMA application_id = 0x66624a31;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

static const char *const sql[] = {
#define SQL_OF(name, sql) sql,
    FB_JOURNAL_STATEMENTS(SQL_OF)
#undef SQL_OF
};

// ---- the lock

static int take_lock(fb_journal_disk *disk, fb_error *error) {
    char path[4096];
    char pid[24] = "";

    if (snprintf(path, sizeof path, "%s-lock", disk->file) >= (int)sizeof path) {
        return fb_error_set(error, FB_EIO, "%s: its name is too long", disk->file);
    }
    disk->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk->lock < 0) {
        return fb_error_set(error, FB_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (flock(disk->lock, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        ssize_t got = pread(disk->lock, pid, sizeof pid - 1, 0);
        pid[got > 0 ? strcspn(pid, "\n") : 0] = '\0';
        return why == EWOULDBLOCK
                   ? fb_error_set(error, FB_EIO, "%s: process %s has it open", disk->file,
                                  pid[0] != '\0' ? pid : "?")
                   : fb_error_set(error, FB_EIO, "%s: cannot be locked: %s", path, strerror(why));
    }
    // For people alone: on a full disk the lock is one without it.
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(disk->lock, 0) != 0 || pwrite(disk->lock, pid, (size_t)len, 0) != len) {
        (void)ftruncate(disk->lock, 0);
    }
    return FB_OK;
}

// Others on this machine are not to read what mails say. SQLite gives its log the same mode.
static int make_file(fb_journal_disk *disk, fb_error *error) {
    int fd = open(disk->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fb_error_set(error, FB_EIO, "%s: cannot be opened: %s", disk->file, strerror(errno));
    }
    (void)close(fd);
    return FB_OK;
}

// ---- the file

static int refuse(fb_journal_disk *disk, int code, const char *what, fb_error *error) {
    int kind = code & 0xff;
    if (kind == SQLITE_NOMEM) {
        return fb_error_set(error, FB_ENOMEM, "%s: out of memory", disk->file);
    }
    if (kind == SQLITE_BUSY || kind == SQLITE_LOCKED) {
        return fb_error_set(error, FB_EIO, "%s: another program has it open", disk->file);
    }
    const char *damage = kind == SQLITE_CORRUPT ? "; the file is damaged" : "";
    if (kind == SQLITE_NOTADB) {
        damage = "; it is no queue file";
    }
    return fb_error_set(error, FB_EIO, "%s: %s: %s%s", disk->file, what, sqlite3_errmsg(disk->db),
                        damage);
}

static int execute(fb_journal_disk *disk, const char *text, fb_error *error) {
    int code = sqlite3_exec(disk->db, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? FB_OK : refuse(disk, code, "cannot be opened", error);
}

static int read_int(fb_journal_disk *disk, const char *text, int64_t *number, fb_error *error) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(disk->db, text, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
        *number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    }
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW ? FB_OK : refuse(disk, code, "cannot be read", error);
}

static int note_pages(void *arg, sqlite3 *db, const char *name, int pages) {
    ((fb_journal_disk *)arg)->log_pages = (uint32_t)pages;
    return SQLITE_OK;
}

static int open_file(fb_journal_disk *disk, const fb_journal_options *options, fb_error *error) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE;
    char path[4096];

    // SQLite takes some names for something else: ":memory:", "file:…".
    (void)snprintf(path, sizeof path, "%s%s", disk->file[0] == '/' ? "" : "./", disk->file);
    int code = sqlite3_open_v2(path, &disk->db, flags, options->vfs);
    if (disk->db == NULL) {
        return fb_error_set(error, FB_ENOMEM, "%s: out of memory", disk->file);
    }
    if (code != SQLITE_OK) {
        return refuse(disk, code, "cannot be opened", error);
    }
    return execute(disk,
                   "PRAGMA page_size = 4096;"
                   "PRAGMA locking_mode = EXCLUSIVE;"
                   "PRAGMA cell_size_check = ON;"
                   "PRAGMA trusted_schema = OFF;"
                   "PRAGMA temp_store = MEMORY;"
                   "PRAGMA cache_size = -16000;"
                   "PRAGMA wal_autocheckpoint = 0;",
                   error);
}

// *empty: nobody has written anything into it yet.
static int identify(fb_journal_disk *disk, bool *empty, fb_error *error) {
    int64_t application = 0;
    int64_t version = 0;
    int64_t tables = 0;
    int64_t page = 0;
    int result = read_int(disk, "PRAGMA application_id", &application, error);
    if (result == FB_OK) {
        result = read_int(disk, "PRAGMA user_version", &version, error);
    }
    if (result == FB_OK) {
        result = read_int(disk, "SELECT count(*) FROM sqlite_schema", &tables, error);
    }
    if (result == FB_OK) {
        result = read_int(disk, "PRAGMA page_size", &page, error);
    }
    if (result != FB_OK) {
        return result;
    }
    *empty = application == 0 && version == 0 && tables == 0;
    if (!*empty && application != APPLICATION_ID) {
        return fb_error_set(error, FB_EIO, "%s: is a database of another program", disk->file);
    }
    if (!*empty && version != SCHEMA_VERSION) {
        return fb_error_set(error, FB_EIO, "%s: is of version %lld; this forebay knows %d",
                            disk->file, (long long)version, SCHEMA_VERSION);
    }
    if (page != FB_JOURNAL_PAGE) {
        return fb_error_set(error, FB_EIO, "%s: has pages of %lld bytes; the file is damaged",
                            disk->file, (long long)page);
    }
    return FB_OK;
}

// The log stays when the file is closed: it is room that is put by.
static int begin_log(fb_journal_disk *disk, bool power, fb_error *error) {
    sqlite3_stmt *statement = NULL;
    int persist = 1;
    int chunk = FB_JOURNAL_CHUNK;
    char text[120];
    int code = sqlite3_prepare_v2(disk->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    const char *mode = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "";
    bool is = mode != NULL && strcmp(mode, "wal") == 0;
    (void)sqlite3_finalize(statement);
    if (code != SQLITE_ROW) {
        return refuse(disk, code, "cannot be opened", error);
    }
    if (!is) {
        return fb_error_set(error, FB_EIO, "%s: there can be no log beside it", disk->file);
    }
    // A system without them does without.
    (void)sqlite3_file_control(disk->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
    (void)sqlite3_file_control(disk->db, "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk);
    (void)sqlite3_wal_hook(disk->db, note_pages, disk);
    (void)snprintf(text, sizeof text,
                   "PRAGMA synchronous = %s; PRAGMA secure_delete = FAST;"
                   "PRAGMA journal_size_limit = %lld",
                   power && FB_RULE(journal_sync) ? "FULL" : "NORMAL", (long long)disk->log_bytes);
    return execute(disk, text, error);
}

static int prepare(fb_journal_disk *disk, fb_error *error) {
    for (size_t i = 0; i < FB_JOURNAL_STATEMENT_COUNT; i++) {
        int code = sqlite3_prepare_v3(disk->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &disk->statements[i], NULL);
        if (code != SQLITE_OK) {
            return refuse(disk, code, "its tables are not those of a queue file", error);
        }
    }
    return FB_OK;
}

// What the log still holds goes into the file proper, and the next commit begins the log anew: what
// was in it before cannot come back, whatever happens to its bytes. It may fail on a broken disk.
static int begin_anew(fb_journal_disk *disk) {
    FB_IGNORE(fb_journal_disk_checkpoint(disk));
    return fb_journal_disk_room_measure(disk);
}

static int open_all(fb_journal_disk *disk, const fb_journal_options *options, fb_error *error) {
    bool empty = false;
    int result = take_lock(disk, error);
    if (result == FB_OK && options->vfs == NULL) {
        result = make_file(disk, error);
    }
    if (result == FB_OK) {
        result = open_file(disk, options, error);
    }
    if (result == FB_OK) {
        result = identify(disk, &empty, error);
    }
    if (result == FB_OK) {
        result = begin_log(disk, options->power, error);
    }
    if (result == FB_OK && empty) {
        result = execute(disk, schema, error);
    }
    if (result == FB_OK) {
        result = prepare(disk, error);
    }
    if (result == FB_OK && (result = begin_anew(disk)) != FB_OK) {
        return fb_error_set(error, result, "%s", disk->error.text);
    }
    return result;
}

int fb_journal_disk_new(const fb_journal_options *options, fb_journal_disk **out, fb_error *error) {
    fb_journal_disk *disk = fb_mem_zero(1, sizeof *disk);

    if (disk == NULL) {
        return fb_error_set(error, FB_ENOMEM, "%s: out of memory", options->file);
    }
    uint64_t log_bytes = options->log_bytes > 0 ? options->log_bytes : FB_JOURNAL_LOG_BYTES;
    disk->log_bytes = log_bytes > FB_JOURNAL_LOG_LEAST ? log_bytes : FB_JOURNAL_LOG_LEAST;
    disk->lock = -1;
    disk->file = fb_mem_text(fb_str_of(options->file));
    int result = disk->file != NULL
                     ? open_all(disk, options, error)
                     : fb_error_set(error, FB_ENOMEM, "%s: out of memory", options->file);
    if (result != FB_OK) {
        fb_journal_disk_free(disk);
        return result;
    }
    *out = disk;
    return FB_OK;
}

// ---- closing

// The numbers that were stored ahead and not given are given after all.
static void write_last_numbers(fb_journal_disk *disk) {
    size_t place = 0;
    fb_journal_queue *queue;
    bool any = false;

    while ((queue = fb_map_next(&disk->queues, &place)) != NULL) {
        if (queue->stored && queue->limit_number > queue->last_number) {
            any = true;
            if (fb_journal_disk_last_number(disk, queue) != FB_OK) {
                return;
            }
        }
    }
    if (any) {
        FB_IGNORE(fb_journal_disk_commit(disk));  // they are skipped, then
    }
}

void fb_journal_disk_free(fb_journal_disk *disk) {
    size_t place = 0;
    fb_journal_queue *queue;

    if (disk == NULL) {
        return;
    }
    if (disk->statements[FB_JOURNAL_STATEMENT_COUNT - 1] != NULL) {
        fb_journal_disk_rollback(disk);
        write_last_numbers(disk);
        // Or SQLite would cut the log to nothing when it closes it.
        (void)sqlite3_exec(disk->db, "PRAGMA journal_size_limit = -1", NULL, NULL, NULL);
    }
    for (size_t i = 0; i < FB_JOURNAL_STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(disk->statements[i]);
    }
    int code = sqlite3_close(disk->db);
    FB_ASSERT(code == SQLITE_OK);
    while ((queue = fb_map_next(&disk->queues, &place)) != NULL) {
        fb_mem_free(queue);
    }
    fb_map_release(&disk->queues);
    if (disk->lock >= 0) {
        (void)close(disk->lock);
    }
    fb_mem_free(disk->file);
    fb_mem_free(disk);
}
