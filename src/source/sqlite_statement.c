// Columns and parameters of a statement by name, compared byte by byte: names that SQLite takes for
// the same are different names in a JSON object.

#include "source/sqlite_statement.h"

#include <stdbool.h>
#include <string.h>

static bool is_column(sqlite3_stmt *statement, int index, const char *name) {
    const char *own = sqlite3_column_name(statement, index);

    return own != NULL && strcmp(own, name) == 0;
}

int fb_sqlite_column(sqlite3_stmt *statement, const char *name) {
    int count = sqlite3_column_count(statement);

    for (int i = 0; i < count; i++) {
        if (is_column(statement, i, name)) {
            return i;
        }
    }
    return -1;
}

const char *fb_sqlite_column_twice(sqlite3_stmt *statement) {
    int count = sqlite3_column_count(statement);

    for (int i = 1; i < count; i++) {
        const char *name = sqlite3_column_name(statement, i);
        if (name != NULL && fb_sqlite_column(statement, name) < i) {
            return name;
        }
    }
    return NULL;
}

int fb_sqlite_parameter(sqlite3_stmt *statement, const char *name) {
    int count = sqlite3_bind_parameter_count(statement);

    for (int i = 1; i <= count; i++) {
        const char *own = sqlite3_bind_parameter_name(statement, i);
        if (own != NULL && strcmp(own + 1, name) == 0) {
            return i;
        }
    }
    return 0;
}
