// source/sqlite.h -- declared, parameterised SQL on a SQLite database, as a source (source/source.h).
//
// Values: with `one`, the row as a JSON object, or NEGATIVE where there is none; else an array of
// objects. INTEGER and REAL become JSON numbers (a REAL that JSON cannot say, NaN or an infinity, becomes null), TEXT a string (invalid
// UTF-8 replaced by U+FFFD), NULL null, BLOB an object {"base64": "…"}. Columns keep their order.
// Parameters bind as their type says: text, integer, number.
//
// The database is opened read-only; each worker thread has its own connection and statements, made
// when first needed. Work runs on `workers` and is interrupted at its deadline.

#ifndef FB_SOURCE_SQLITE_H
#define FB_SOURCE_SQLITE_H

#include "os/workers.h"
#include "source/source.h"

#ifdef __cplusplus
extern "C" {
#endif

// FB_OK; FB_ENOMEM; FB_EINVAL with SQLite's words (no such file, not a database). `path` is copied.
// `workers` may be NULL where nothing will be loaded (a check); it must outlive the source.
FB_CHECK_RESULT int fb_sqlite_open(fb_str name, const char *path, fb_workers *workers,
                                   fb_source **source, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
