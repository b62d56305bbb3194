// source/sqlite_statement.h -- what a prepared statement calls its columns and parameters.

#ifndef FB_SOURCE_SQLITE_STATEMENT_H
#define FB_SOURCE_SQLITE_STATEMENT_H

#include <sqlite3.h>

#ifdef __cplusplus
extern "C" {
#endif

// A column of the name, or -1.
int fb_sqlite_column(sqlite3_stmt *statement, const char *name);
// A column's name that another column has too, or NULL.
const char *fb_sqlite_column_twice(sqlite3_stmt *statement);
// The number of the parameter `:name`, or 0.
int fb_sqlite_parameter(sqlite3_stmt *statement, const char *name);

#ifdef __cplusplus
}
#endif

#endif
