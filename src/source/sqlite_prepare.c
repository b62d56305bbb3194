// Each query is compiled and looked at by itself; then they are compared. A query for many has to
// give the same columns as the one for one key: whether a value was loaded alone or in a batch
// must not show in it.

#include "source/sqlite_prepare.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "source/sqlite_check.h"
#include "source/sqlite_names.h"
#include "source/sqlite_statement.h"

// One query of the class, as it is looked at.
typedef struct look {
    const char *option;  // "query"
    const char *sql;     // NULL: there is none
    uint32_t line, column;
    sqlite3_stmt *statement;
} look;

typedef struct checker {
    fb_sqlite_conn *conn;
    const fb_class_options *options;
    look query, batch, warm;
    fb_sqlite_prepared *prepared;
    fb_error *error;
} checker;

// Puts class, option and place to what is in the error.
static int blame(checker *own, const look *what, int result) {
    (void)fb_error_set(own->error, result, "class %s: %s: %s", own->options->name, what->option,
                       own->error->text);
    fb_error_place(own->error, own->options->file, what->line, what->column);
    return result;
}

static int compile(checker *own, look *what) {
    if (what->sql == NULL) {
        return FB_OK;
    }
    int result = fb_sqlite_compile(own->conn, what->sql, &what->statement, own->error);
    return result < 0 ? blame(own, what, result) : FB_OK;
}

// ---- the query for many

static int check_by(checker *own) {
    const char *by = own->options->batch_by;
    sqlite3_stmt *statement = own->batch.statement;

    if (by == NULL) {
        return fb_error_set(own->error, FB_EINVAL, "batch.by must say which parameter differs");
    }
    if (fb_sqlite_parameter(statement, by) == 0) {
        return fb_error_set(own->error, FB_EINVAL,
                            "it has no parameter :%s, the one that batch.by names: in it the "
                            "values come as a JSON array, for json_each(:%s)",
                            by, by);
    }
    if (fb_sqlite_column(statement, by) < 0) {
        return fb_error_set(own->error, FB_EINVAL,
                            "its result has no column '%s', the one that batch.by names: it says "
                            "which value a row belongs to",
                            by);
    }
    return FB_OK;
}

static const char *column_at(sqlite3_stmt *statement, int index) {
    const char *name = sqlite3_column_name(statement, index);

    return name != NULL ? name : "";
}

// The columns of both, without the one in `batch` that only says whose the row is.
static int compare_columns(checker *own, int hidden) {
    sqlite3_stmt *query = own->query.statement, *batch = own->batch.statement;
    int count = sqlite3_column_count(query);
    int batch_count = sqlite3_column_count(batch);
    int at = 0;

    for (int i = 0; i < batch_count; i++) {
        if (i == hidden) {
            continue;
        }
        if (at == count || strcmp(column_at(batch, i), column_at(query, at)) != 0) {
            return fb_error_set(own->error, FB_EINVAL,
                                "its columns must be those of query, in the same order: '%s' "
                                "stands where query has %s%s",
                                column_at(batch, i), at < count ? "" : "no more",
                                at < count ? column_at(query, at) : "");
        }
        at++;
    }
    if (at < count) {
        return fb_error_set(own->error, FB_EINVAL,
                            "its columns must be those of query, in the same order: '%s' is "
                            "missing",
                            column_at(query, at));
    }
    return FB_OK;
}

static int check_batch(checker *own) {
    if (own->batch.statement == NULL) {
        return FB_OK;
    }
    int result = check_by(own);
    if (result == FB_OK) {
        const char *by = own->options->batch_by;
        own->prepared->batch_by_hidden = fb_sqlite_column(own->query.statement, by) < 0;
        int hidden = own->prepared->batch_by_hidden ? fb_sqlite_column(own->batch.statement, by)
                                                    : -1;
        result = compare_columns(own, hidden);
    }
    return result < 0 ? blame(own, &own->batch, result) : FB_OK;
}

static int check_warm(checker *own) {
    sqlite3_stmt *statement = own->warm.statement;

    if (statement == NULL || sqlite3_bind_parameter_count(statement) == 0) {
        return FB_OK;
    }
    const char *name = sqlite3_bind_parameter_name(statement, 1);
    return blame(own, &own->warm,
                 fb_error_set(own->error, FB_EINVAL,
                              "it has the parameter '%s', and nobody to give it: each of its rows "
                              "is one set of the class's parameters",
                              name));
}

// ---- what is kept

static bool is_known(const fb_sqlite_prepared *prepared, const char *name) {
    for (size_t i = 0; i < prepared->name_count; i++) {
        if (strcmp(prepared->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static fb_sqlite_names known_names(const checker *own) {
    const fb_sqlite_prepared *prepared = own->prepared;
    return (fb_sqlite_names){own->options, prepared->names, prepared->name_count};
}

static int keep_names(checker *own, const look *what) {
    fb_sqlite_prepared *prepared = own->prepared;
    int count = what->statement != NULL ? sqlite3_bind_parameter_count(what->statement) : 0;

    for (int i = 1; i <= count; i++) {
        const char *name = sqlite3_bind_parameter_name(what->statement, i) + 1;
        if (is_known(prepared, name)) {
            continue;
        }
        if (prepared->name_count == FB_CLASS_PARAMS_MAX) {
            return blame(own, what, fb_error_set(own->error, FB_EINVAL, "more than %d parameters",
                                                 FB_CLASS_PARAMS_MAX));
        }
        char *copy = fb_mem_text(fb_str_of(name));
        if (copy == NULL) {
            return blame(own, what, fb_error_set(own->error, FB_ENOMEM, "out of memory"));
        }
        prepared->names[prepared->name_count++] = copy;
    }
    return FB_OK;
}

// ---- names in other options, once all parameters are known

static int check_tags(checker *own) {
    const look tags = {.option = "tags", .line = own->options->tags_line,
                       .column = own->options->tags_column};
    fb_sqlite_names known = known_names(own);
    int result = fb_sqlite_check_tags(&known, own->query.statement, own->error);
    return result < 0 ? blame(own, &tags, result) : FB_OK;
}

static int check_warm_columns(checker *own) {
    if (own->warm.statement == NULL) {
        return FB_OK;
    }
    fb_sqlite_names known = known_names(own);
    int result = fb_sqlite_check_warm(&known, own->warm.statement, own->error);
    return result < 0 ? blame(own, &own->warm, result) : FB_OK;
}

static bool copy_text(const char *text, char **copy) {
    *copy = text != NULL ? fb_mem_text(fb_str_of(text)) : NULL;
    return text == NULL || *copy != NULL;
}

static int keep_texts(checker *own) {
    const fb_class_options *options = own->options;
    fb_sqlite_prepared *prepared = own->prepared;

    prepared->one = options->one;
    bool made = copy_text(options->query, &prepared->query) &&
                copy_text(options->batch_query, &prepared->batch_query) &&
                copy_text(options->batch_by, &prepared->batch_by);
    return made ? FB_OK
                : blame(own, &own->query, fb_error_set(own->error, FB_ENOMEM, "out of memory"));
}

static int check_all(checker *own) {
    if (own->options->query == NULL) {
        (void)fb_error_set(own->error, FB_EINVAL, "it is missing: what is the source asked?");
        return blame(own, &own->query, FB_EINVAL);
    }
    int result = compile(own, &own->query);
    result = result == FB_OK ? compile(own, &own->batch) : result;
    result = result == FB_OK ? compile(own, &own->warm) : result;
    result = result == FB_OK ? check_batch(own) : result;
    result = result == FB_OK ? check_warm(own) : result;
    result = result == FB_OK ? keep_names(own, &own->query) : result;
    result = result == FB_OK ? keep_names(own, &own->batch) : result;
    result = result == FB_OK ? check_tags(own) : result;
    result = result == FB_OK ? check_warm_columns(own) : result;
    return result == FB_OK ? keep_texts(own) : result;
}

int fb_sqlite_prepare(fb_sqlite_conn *conn, const fb_class_options *options,
                      fb_sqlite_prepared **prepared, fb_error *error) {
    fb_error spare = {0};
    checker own = {
        .conn = conn,
        .options = options,
        .query = {"query", options->query, options->query_line, options->query_column, NULL},
        .batch = {"batch.query", options->batch_query, options->batch_query_line,
                  options->batch_query_column, NULL},
        .warm = {"warm.query", options->warm_query, options->warm_query_line,
                 options->warm_query_column, NULL},
        .prepared = fb_mem_zero(1, sizeof(fb_sqlite_prepared)),
        .error = error != NULL ? error : &spare,
    };
    int result = FB_ENOMEM;

    if (own.prepared != NULL) {
        result = check_all(&own);
    } else {
        (void)fb_error_set(error, result, "class %s: out of memory", options->name);
    }
    (void)sqlite3_finalize(own.query.statement);
    (void)sqlite3_finalize(own.batch.statement);
    (void)sqlite3_finalize(own.warm.statement);
    if (result != FB_OK) {
        fb_sqlite_unprepare(own.prepared);
        return result;
    }
    *prepared = own.prepared;
    return FB_OK;
}

void fb_sqlite_unprepare(fb_sqlite_prepared *prepared) {
    if (prepared == NULL) {
        return;
    }
    for (size_t i = 0; i < prepared->name_count; i++) {
        fb_mem_free(prepared->names[i]);
    }
    fb_mem_free(prepared->query);
    fb_mem_free(prepared->batch_query);
    fb_mem_free(prepared->batch_by);
    fb_mem_free(prepared);
}
