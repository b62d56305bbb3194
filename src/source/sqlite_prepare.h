// source/sqlite_prepare.h -- the queries of a class, checked when the configuration is read.

#ifndef FB_SOURCE_SQLITE_PREPARE_H
#define FB_SOURCE_SQLITE_PREPARE_H

#include "source/sqlite_job.h"

#ifdef __cplusplus
extern "C" {
#endif

// Looks at query, batch.query and warm.query on an open connection. FB_OK: *prepared, without ids.
// FB_EINVAL: something is wrong with one of them: `error` has class, option, SQLite's words and
// the place where the query stands. FB_ENOMEM, FB_ESOURCE, FB_ETIMEDOUT.
FB_CHECK_RESULT int fb_sqlite_prepare(fb_sqlite_conn *conn, const fb_class_options *options,
                                      fb_sqlite_prepared **prepared, fb_error *error);
void fb_sqlite_unprepare(fb_sqlite_prepared *prepared);

#ifdef __cplusplus
}
#endif

#endif
