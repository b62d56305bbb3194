// source/sqlite_conn.h -- one connection to a SQLite database, for one thread at a time.
//
// Opened read-only when first needed, and again when the file was replaced or could not be trusted.
// It keeps the statements it was asked for, FB_SQLITE_STATEMENTS_MAX of them, the last used ones.

#ifndef FB_SOURCE_SQLITE_CONN_H
#define FB_SOURCE_SQLITE_CONN_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <forebay/base.h>

#include "base/list.h"

#ifdef __cplusplus
extern "C" {
#endif

// One value, and the result of one query as JSON, may be this large.
enum { FB_SQLITE_RESULT_MAX = 64 * 1024 * 1024, FB_SQLITE_STATEMENTS_MAX = 256 };

typedef struct fb_sqlite_conn {
    const char *name;     // of the source, for messages
    const char *path;
    const atomic_bool *cancelled;  // by another thread: no more queries
    sqlite3 *db;          // NULL: not open
    dev_t device;         // which file is open
    ino_t inode;
    bool broken;          // to be closed after this query
    int64_t deadline_ns;  // of the query that runs
    fb_list statements;   // the last used first
    size_t statement_count;
} fb_sqlite_conn;

// None of them is copied. While *cancelled is set, every query ends with FB_ECLOSED.
void fb_sqlite_conn_init(fb_sqlite_conn *conn, const char *name, const char *path,
                         const atomic_bool *cancelled);
// Leaves it initialised: closed.
void fb_sqlite_conn_release(fb_sqlite_conn *conn);

// Opens it unless it is open on the file that has the path now. FB_OK; FB_ENOMEM or FB_ESOURCE with
// the system's or SQLite's words. `deadline_ns`: until then it waits for locks and computes.
FB_CHECK_RESULT int fb_sqlite_conn_open(fb_sqlite_conn *conn, int64_t deadline_ns, fb_error *error);

// One run of a query.
typedef struct fb_sqlite_query {
    uint64_t id;      // the same for the same sql; the statement is kept. 0: it is not
    const char *sql;
    // Binds the parameters, to bytes that stay as they are until the run is over. Returns SQLite's
    // code. NULL: there are none.
    int (*bind)(void *arg, sqlite3_stmt *statement);
    // Takes a row: FB_OK; > 0: no more are wanted; < 0 ends the run with that, and sets the error.
    int (*row)(void *arg, sqlite3_stmt *statement, fb_error *error);
    void *arg;
} fb_sqlite_query;

// Opens and runs. FB_OK: all rows were taken that were wanted. FB_ETIMEDOUT: not done by the
// deadline. FB_ETOOBIG, FB_ENOMEM, FB_ECLOSED, FB_ESOURCE (with SQLite's words).
FB_CHECK_RESULT int fb_sqlite_conn_run(fb_sqlite_conn *conn, const fb_sqlite_query *query,
                                       int64_t deadline_ns, fb_error *error);

// The result that a code of SQLite's stands for, and its words.
int fb_sqlite_conn_fail(fb_sqlite_conn *conn, int code, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
