// Idea: what SQLite does by itself is left to it: it prepares a statement again when the schema has
// changed, and sees what other connections wrote. What it cannot see is that the path leads to
// another file; hence one stat() for each query. The open file keeps its inode from being given to
// another, so equal numbers mean the same file. After an error that casts doubt on the file or on
// what is cached of it, the connection is closed and the next query begins with a new one.
//
// Time: the busy handler sleeps in small steps while another process has the database locked, and
// the progress handler looks at the clock every thousand instructions of SQLite's machine, which
// is some tens of microseconds; both look whether the source was cancelled. What one instruction
// takes (a function over a huge text) is not interrupted; values are bounded, so that is bounded
// too.

#include "source/sqlite_conn.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"
#include "source/sqlite_statement.h"

enum { PROGRESS_STEPS = 1000, LOCK_WAIT_US = 1000, LOCK_WAITS_SHORT = 10 };

typedef struct kept {
    fb_list list;
    uint64_t id;
    sqlite3_stmt *statement;
    int checked;  // its columns were looked at, when it had been prepared this many times
} kept;

// ---- opening and closing

static void forget(fb_sqlite_conn *conn, kept *one) {
    fb_list_remove(&one->list);
    conn->statement_count--;
    (void)sqlite3_finalize(one->statement);  // says again what the last step said
    fb_mem_free(one);
}

static void close_db(fb_sqlite_conn *conn) {
    FB_LIST_EACH_SAFE(node, after, &conn->statements) {
        forget(conn, FB_LIST_OF(node, kept, list));
    }
    FB_ASSERT(conn->statement_count == 0);
    int code = sqlite3_close(conn->db);
    FB_ASSERT(code == SQLITE_OK);
    conn->db = NULL;
    conn->broken = false;
}

void fb_sqlite_conn_init(fb_sqlite_conn *conn, const char *name, const char *path,
                         const atomic_bool *cancelled) {
    *conn = (fb_sqlite_conn){.name = name, .path = path, .cancelled = cancelled};
    fb_list_init(&conn->statements);
}

void fb_sqlite_conn_release(fb_sqlite_conn *conn) {
    close_db(conn);
}

static int wait_for_lock(void *arg, int count) {
    const fb_sqlite_conn *conn = arg;
    int64_t left_ns = conn->deadline_ns - fb_clock_now_ns();
    int64_t wait_ns = LOCK_WAIT_US * FB_NS_PER_US * (count < LOCK_WAITS_SHORT ? 1 : 10);

    if (left_ns <= 0 || atomic_load(conn->cancelled)) {
        return 0;
    }
    wait_ns = wait_ns < left_ns ? wait_ns : left_ns;
    struct timespec wait = {0, (long)wait_ns};
    (void)nanosleep(&wait, NULL);
    return 1;
}

static int has_to_end(void *arg) {
    const fb_sqlite_conn *conn = arg;

    return fb_clock_now_ns() >= conn->deadline_ns || atomic_load(conn->cancelled);
}

static int open_db(fb_sqlite_conn *conn, fb_error *error) {
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(conn->path, &conn->db, flags, NULL);

    if (code != SQLITE_OK) {
        int result = fb_sqlite_conn_fail(conn, code, error);
        close_db(conn);
        return result;
    }
    (void)sqlite3_extended_result_codes(conn->db, 1);
    (void)sqlite3_limit(conn->db, SQLITE_LIMIT_LENGTH, FB_SQLITE_RESULT_MAX);
    (void)sqlite3_busy_handler(conn->db, wait_for_lock, conn);
    sqlite3_progress_handler(conn->db, PROGRESS_STEPS, has_to_end, conn);
    return FB_OK;
}

int fb_sqlite_conn_open(fb_sqlite_conn *conn, int64_t deadline_ns, fb_error *error) {
    struct stat file;

    conn->deadline_ns = deadline_ns;
    if (stat(conn->path, &file) != 0) {
        int number = errno;
        close_db(conn);
        return fb_error_set(error, FB_ESOURCE, "source %s: %s: %s", conn->name, conn->path,
                            strerror(number));
    }
    if (conn->db != NULL && file.st_dev == conn->device && file.st_ino == conn->inode) {
        return FB_OK;
    }
    close_db(conn);
    // Should the file be replaced now, then it is another one at the next look.
    conn->device = file.st_dev;
    conn->inode = file.st_ino;
    return open_db(conn, error);
}

// ---- what went wrong

static bool casts_doubt(int code) {
    switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
        case SQLITE_PROTOCOL:
        case SQLITE_READONLY:
        case SQLITE_NOMEM:
            return true;
        default:
            return false;
    }
}

static int result_of(const fb_sqlite_conn *conn, int code) {
    if (code == SQLITE_IOERR_NOMEM) {
        return FB_ENOMEM;
    }
    switch (code & 0xff) {
        case SQLITE_NOMEM:
            return FB_ENOMEM;
        case SQLITE_INTERRUPT:
            return atomic_load(conn->cancelled) ? FB_ECLOSED : FB_ETIMEDOUT;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            if (atomic_load(conn->cancelled)) {
                return FB_ECLOSED;
            }
            return fb_clock_now_ns() >= conn->deadline_ns ? FB_ETIMEDOUT : FB_ESOURCE;
        case SQLITE_TOOBIG:
            return FB_ETOOBIG;
        default:
            return FB_ESOURCE;
    }
}

int fb_sqlite_conn_fail(fb_sqlite_conn *conn, int code, fb_error *error) {
    int result = result_of(conn, code);
    const char *words = conn->db != NULL ? sqlite3_errmsg(conn->db) : sqlite3_errstr(code);

    int number = conn->db != NULL ? sqlite3_system_errno(conn->db) : 0;
    bool system = result == FB_ESOURCE && casts_doubt(code) && number != 0;

    conn->broken = conn->broken || casts_doubt(code);
    if (result == FB_ECLOSED) {
        words = "shutting down";
    } else if ((code & 0xff) == SQLITE_INTERRUPT) {
        words = "the query was not done by its deadline";
    } else if ((code & 0xff) == SQLITE_READONLY) {
        // SQLite says "attempt to write a readonly database" of what is only an attempt to read.
        words = "the database is in WAL mode, and its folder cannot be written";
    } else if (result == FB_ENOMEM) {
        words = "out of memory";
    }
    return fb_error_set(error, result, "source %s: %s%s%s", conn->name, words, system ? ": " : "",
                        system ? strerror(number) : "");
}

// ---- statements

static kept *find(fb_sqlite_conn *conn, uint64_t id) {
    FB_LIST_EACH(node, &conn->statements) {
        kept *one = FB_LIST_OF(node, kept, list);
        if (one->id == id) {
            fb_list_remove(&one->list);
            fb_list_insert(conn->statements.next, &one->list);
            return one;
        }
    }
    return NULL;
}

// Those that are not kept afterwards go the same way: into the list, and out of it at the end.
static int take(fb_sqlite_conn *conn, const fb_sqlite_query *query, kept **out, fb_error *error) {
    *out = query->id != 0 ? find(conn, query->id) : NULL;
    if (*out != NULL) {
        return FB_OK;
    }
    if (conn->statement_count == FB_SQLITE_STATEMENTS_MAX) {
        forget(conn, FB_LIST_OF(conn->statements.prev, kept, list));
    }
    kept *one = fb_mem_zero(1, sizeof(*one));
    if (one == NULL) {
        return fb_error_set(error, FB_ENOMEM, "source %s: out of memory", conn->name);
    }
    unsigned flags = query->id != 0 ? SQLITE_PREPARE_PERSISTENT : 0;
    int code = sqlite3_prepare_v3(conn->db, query->sql, -1, flags, &one->statement, NULL);
    if (code != SQLITE_OK) {
        fb_mem_free(one);
        return fb_sqlite_conn_fail(conn, code, error);
    }
    FB_ASSERT(one->statement != NULL);  // an empty query was refused with the configuration
    one->id = query->id;
    one->checked = -1;
    fb_list_insert(conn->statements.next, &one->list);
    conn->statement_count++;
    *out = one;
    return FB_OK;
}

// The schema may have changed since the query was accepted.
static int check_columns(fb_sqlite_conn *conn, kept *one, fb_error *error) {
    int times = sqlite3_stmt_status(one->statement, SQLITE_STMTSTATUS_REPREPARE, 0);
    if (one->checked == times) {
        return FB_OK;
    }
    const char *name = fb_sqlite_column_twice(one->statement);
    if (name != NULL) {
        return fb_error_set(error, FB_ESOURCE, "source %s: the result has two columns named '%s'",
                            conn->name, name);
    }
    one->checked = times;
    return FB_OK;
}

// FB_PENDING: the schema changed under it, before the first row.
static int step_all(fb_sqlite_conn *conn, const fb_sqlite_query *query, kept *one,
                    fb_error *error) {
    int result = FB_OK;
    int code = query->bind != NULL ? query->bind(query->arg, one->statement) : SQLITE_OK;
    bool any = false;

    if (code == SQLITE_OK) {
        code = sqlite3_step(one->statement);
    }
    while (result == FB_OK && code == SQLITE_ROW) {
        if (!any) {
            result = check_columns(conn, one, error);
            any = true;
        }
        if (result == FB_OK) {
            result = query->row(query->arg, one->statement, error);
        }
        if (result == FB_OK) {
            code = sqlite3_step(one->statement);
        }
    }
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        return result < 0 ? result : FB_OK;
    }
    if ((code & 0xff) == SQLITE_SCHEMA && !any) {
        return FB_PENDING;
    }
    return fb_sqlite_conn_fail(conn, code, error);
}

static int run_once(fb_sqlite_conn *conn, const fb_sqlite_query *query, fb_error *error) {
    kept *one = NULL;
    int result = take(conn, query, &one, error);

    if (result != FB_OK) {
        return result;
    }
    result = step_all(conn, query, one, error);
    if (result == FB_OK && query->id != 0) {
        (void)sqlite3_reset(one->statement);
        (void)sqlite3_clear_bindings(one->statement);
    } else {
        forget(conn, one);
    }
    return result;
}

int fb_sqlite_conn_run(fb_sqlite_conn *conn, const fb_sqlite_query *query, int64_t deadline_ns,
                       fb_error *error) {
    if (atomic_load(conn->cancelled)) {
        return fb_error_set(error, FB_ECLOSED, "source %s: shutting down", conn->name);
    }
    int result = fb_sqlite_conn_open(conn, deadline_ns, error);
    if (result != FB_OK) {
        return result;
    }
    result = run_once(conn, query, error);
    if (result == FB_PENDING) {
        result = run_once(conn, query, error);
    }
    if (result == FB_PENDING) {
        result = fb_error_set(error, FB_ESOURCE, "source %s: %s", conn->name,
                              sqlite3_errstr(SQLITE_SCHEMA));
    }
    if (conn->broken) {
        close_db(conn);
    }
    return result;
}
