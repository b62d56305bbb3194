// source/sqlite.h -- declared, parameterised SQL on a SQLite database, as a source
// (source/source.h).
//
// Values: with `one`, the first row as a JSON object, or NEGATIVE where there is none; else an
// array of objects, perhaps empty. INTEGER and REAL become JSON numbers, exactly (a REAL that JSON
// cannot say, NaN or an infinity, becomes null), TEXT a string (each byte that is no part of a
// UTF-8 character becomes U+FFFD), NULL null, BLOB an object {"base64": "…"}. Columns keep their
// order; two of one name are refused. What SQLite's own JSON functions return is TEXT, and so a
// string. A result is at most 64 MiB (FB_ETOOBIG).
//
// Parameters are written `:name` and bind as their type says: text as TEXT, integer as INTEGER,
// number as REAL.
//
// A batch query gets the values of the parameter named by batch.by as a JSON array, all others as
// they are. Each of its rows belongs to the value that its column of that name holds, as the same
// bytes (numbers: the same number): where a row is for several values, the query gives it once for
// each (join json_each()). Its other columns are those of the query for one.
//
// The database is opened read-only; each worker thread has its own connection and statements, made
// when first needed, and made again when the path leads to another file. Work runs on `workers` and
// is interrupted at its deadline (FB_ETIMEDOUT), waiting for a lock included.

#ifndef FB_SOURCE_SQLITE_H
#define FB_SOURCE_SQLITE_H

#include "os/workers.h"
#include "source/source.h"

#ifdef __cplusplus
extern "C" {
#endif

// FB_OK; FB_ENOMEM; FB_EINVAL with SQLite's or the system's words (no such file, not a database);
// FB_ETIMEDOUT: another process has had it locked for 5 seconds. `path` is copied. `workers` may be
// NULL where nothing will be loaded (a check); it must outlive the source's last job.
FB_CHECK_RESULT int fb_sqlite_open(fb_str name, const char *path, fb_workers *workers,
                                   fb_source **source, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
