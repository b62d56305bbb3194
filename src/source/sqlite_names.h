// source/sqlite_names.h -- whether the names that a class's options use are there: parameters, and
// columns of its query.

#ifndef FB_SOURCE_SQLITE_NAMES_H
#define FB_SOURCE_SQLITE_NAMES_H

#include <sqlite3.h>

#include "cache/class.h"

#ifdef __cplusplus
extern "C" {
#endif

// `names` are the parameters that the class's queries use; those of its key count too.
typedef struct fb_sqlite_names {
    const fb_class_options *options;
    char *const *names;
    size_t name_count;
} fb_sqlite_names;

// Every {name} of its tags must be a parameter or a column of `query`. FB_EINVAL with text.
FB_CHECK_RESULT int fb_sqlite_check_tags(const fb_sqlite_names *known, sqlite3_stmt *query,
                                         fb_error *error);
// The columns of `warm` must be parameters, and all of those that have no default. FB_EINVAL with
// text.
FB_CHECK_RESULT int fb_sqlite_check_warm(const fb_sqlite_names *known, sqlite3_stmt *warm,
                                         fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
