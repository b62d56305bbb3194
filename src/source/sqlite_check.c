// A query is compiled by SQLite itself, against the database it will run on, so whatever SQLite can
// find wrong is found here, in its own words. The rest is what SQLite would allow and forebay does
// not: other statements than queries, parameters without a name, and columns of one name, of which
// a JSON object could keep only one.
//
// PRAGMAs are turned away by the authorizer: some of them act while they are compiled. Two that only
// tell are let through, for full-text tables ask them for themselves when they are first used:
// fts5 data_version, fts3 page_size.

#include "source/sqlite_check.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "source/sqlite_statement.h"

static int authorize(void *arg, int action, const char *a, const char *b, const char *c,
                     const char *d) {
    bool *pragma = arg;
    bool tells = a != NULL && b == NULL &&
                 (strcmp(a, "data_version") == 0 || strcmp(a, "page_size") == 0);

    if (action != SQLITE_PRAGMA || tells) {
        return SQLITE_OK;
    }
    *pragma = true;
    return SQLITE_DENY;
}

// " (line 2, column 14 of the query)", or nothing where SQLite names no place.
static void show_place(const char *sql, int offset, char *text, size_t text_size) {
    unsigned line = 1, column = 1;

    text[0] = '\0';
    if (offset < 0 || (size_t)offset > strlen(sql)) {
        return;
    }
    for (int i = 0; i < offset; i++) {
        if (sql[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)sql[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    (void)snprintf(text, text_size, " (line %u, column %u of the query)", line, column);
}

static int refuse_sql(fb_sqlite_conn *conn, const char *sql, int code, fb_error *error) {
    char place[64];

    if ((code & 0xff) != SQLITE_ERROR) {
        return fb_sqlite_conn_fail(conn, code, error);
    }
    show_place(sql, sqlite3_error_offset(conn->db), place, sizeof(place));
    return fb_error_set(error, FB_EINVAL, "%s%s", sqlite3_errmsg(conn->db), place);
}

// Behind the first statement there may be semicolons, white space and comments.
static int check_rest(fb_sqlite_conn *conn, const char *sql, const char *rest, fb_error *error) {
    char place[64];

    while (*rest != '\0') {
        sqlite3_stmt *next = NULL;
        const char *from = rest;
        int code = sqlite3_prepare_v3(conn->db, from, -1, 0, &next, &rest);
        bool more = next != NULL;
        (void)sqlite3_finalize(next);
        if ((code & 0xff) == SQLITE_NOMEM) {
            return fb_sqlite_conn_fail(conn, code, error);
        }
        if (code != SQLITE_OK || more) {
            from += strspn(from, " \t\r\n");
            show_place(sql, (int)(from - sql), place, sizeof(place));
            return fb_error_set(error, FB_EINVAL, "more than one statement%s", place);
        }
    }
    return FB_OK;
}

static int check_parameters(sqlite3_stmt *statement, fb_error *error) {
    int count = sqlite3_bind_parameter_count(statement);

    for (int i = 1; i <= count; i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        if (name == NULL) {
            return fb_error_set(error, FB_EINVAL,
                                "a parameter without a name, '?': parameters are written :name");
        }
        if (name[0] != ':') {
            return fb_error_set(error, FB_EINVAL, "parameter '%s': parameters are written :name",
                                name);
        }
    }
    return FB_OK;
}

static int check_statement(sqlite3_stmt *statement, fb_error *error) {
    if (statement == NULL) {
        return fb_error_set(error, FB_EINVAL, "it is empty: expected a SELECT");
    }
    if (!sqlite3_stmt_readonly(statement)) {
        return fb_error_set(error, FB_EINVAL,
                            "it would change the database: expected a SELECT");
    }
    if (sqlite3_column_count(statement) == 0) {
        return fb_error_set(error, FB_EINVAL, "it gives no rows: expected a SELECT");
    }
    const char *name = fb_sqlite_column_twice(statement);
    if (name != NULL) {
        return fb_error_set(error, FB_EINVAL,
                            "two columns are named '%s': give one another name with AS", name);
    }
    return check_parameters(statement, error);
}

static int compile(fb_sqlite_conn *conn, const char *sql, sqlite3_stmt **statement,
                   fb_error *error) {
    const char *rest = "";
    int code = sqlite3_prepare_v3(conn->db, sql, -1, 0, statement, &rest);

    if (code != SQLITE_OK) {
        return refuse_sql(conn, sql, code, error);
    }
    int result = check_statement(*statement, error);
    return result == FB_OK ? check_rest(conn, sql, rest, error) : result;
}

int fb_sqlite_compile(fb_sqlite_conn *conn, const char *sql, sqlite3_stmt **statement,
                      fb_error *error) {
    bool pragma = false;

    *statement = NULL;
    (void)sqlite3_set_authorizer(conn->db, authorize, &pragma);
    int result = compile(conn, sql, statement, error);
    (void)sqlite3_set_authorizer(conn->db, NULL, NULL);
    if (pragma) {
        result = fb_error_set(error, FB_EINVAL, "a PRAGMA is no query: expected a SELECT");
    }
    if (result != FB_OK) {
        (void)sqlite3_finalize(*statement);
        *statement = NULL;
    }
    return result;
}
