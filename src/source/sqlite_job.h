// source/sqlite_job.h -- a job on one worker's connection: queries run, rows handed to their items.

#ifndef FB_SOURCE_SQLITE_JOB_H
#define FB_SOURCE_SQLITE_JOB_H

#include <stdatomic.h>

#include "source/row_json.h"
#include "source/source.h"
#include "source/sqlite_conn.h"

#ifdef __cplusplus
extern "C" {
#endif

// What became of a class's queries. Immutable but for stray_told.
typedef struct fb_sqlite_prepared {
    uint64_t id, batch_id;   // of their statements on every connection
    char *query;
    char *batch_query;       // NULL: each item has a query of its own
    char *batch_by;
    bool batch_by_hidden;    // `query` gives no such column: leave it out of the rows
    bool one;
    atomic_bool stray_told;  // the log has it that a batch gave rows that belong to no item
    char *names[FB_CLASS_PARAMS_MAX];  // of all parameters
    size_t name_count;
} fb_sqlite_prepared;

// One worker's.
typedef struct fb_sqlite_worker {
    fb_sqlite_conn conn;
    fb_row_json json;  // memory for the next value
} fb_sqlite_worker;

void fb_sqlite_worker_init(fb_sqlite_worker *worker, const char *name, const char *path,
                           const atomic_bool *cancelled);
void fb_sqlite_worker_release(fb_sqlite_worker *worker);
// Fills every item's `loaded`: result, value, tags, error, took_ns. Does not call done.
void fb_sqlite_job_run(fb_sqlite_worker *worker, fb_source_job *job);

// The bytes of a column that is not NULL, good until the next call for it: FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_sqlite_column_bytes(sqlite3_stmt *statement, int column, fb_str *bytes);

#ifdef __cplusplus
}
#endif

#endif
