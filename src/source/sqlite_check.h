// source/sqlite_check.h -- what a query must be like to be accepted with the configuration.

#ifndef FB_SOURCE_SQLITE_CHECK_H
#define FB_SOURCE_SQLITE_CHECK_H

#include "source/sqlite_conn.h"

#ifdef __cplusplus
extern "C" {
#endif

// Compiles `sql` on an open connection: one statement that only reads, gives rows whose columns
// have different names, and has no parameters but `:name`. FB_OK: *statement is the caller's to
// finalize. FB_EINVAL, with SQLite's words and the place in the SQL where they are about one;
// else as fb_sqlite_conn_fail().
FB_CHECK_RESULT int fb_sqlite_compile(fb_sqlite_conn *conn, const char *sql,
                                      sqlite3_stmt **statement, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
