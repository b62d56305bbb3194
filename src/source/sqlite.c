// The source type: opening, checking queries, passing jobs to workers, rows for warming.
//
// Each worker thread has a connection of its own (source/sqlite_conn.h), found by the worker's
// number, so nothing here is locked and SQLite's own locking of connections is off. Checking a
// query and warming use a connection made for that call: both are rare, and come on any thread.
//
// A query is checked where and when the configuration is read, so that a mistake in it is told with
// its place; the statements that do the work are prepared by each worker when it first needs them.
// They are found by a number that is never given twice: what a reload leaves behind is not mistaken
// for anything, and goes when others need its place.

#include "source/sqlite.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"
#include "source/sqlite_job.h"
#include "source/sqlite_prepare.h"

enum { CHECK_WAIT_S = 5 };  // for a lock, while a configuration is read

typedef struct sqlite_source {
    fb_source base;
    char *name, *path;
    fb_workers *pool;
    fb_sqlite_worker *workers;
    uint32_t worker_count;
    atomic_uint_fast64_t last_id;
    atomic_bool cancelled;
} sqlite_source;

static sqlite_source *own_of(fb_source *source) {
    return (sqlite_source *)source;
}

// ---- prepare

static int open_for_check(sqlite_source *own, fb_sqlite_conn *conn, fb_error *error) {
    fb_sqlite_conn_init(conn, own->name, own->path, &own->cancelled);
    return fb_sqlite_conn_open(conn, fb_clock_now_ns() + CHECK_WAIT_S * FB_NS_PER_S, error);
}

static int prepare(fb_source *source, const fb_class_options *options, void **prepared,
                   fb_str *params, size_t params_cap, size_t *param_count, fb_error *error) {
    sqlite_source *own = own_of(source);
    fb_sqlite_prepared *made = NULL;
    fb_sqlite_conn conn;

    int result = open_for_check(own, &conn, error);
    if (result == FB_OK) {
        result = fb_sqlite_prepare(&conn, options, &made, error);
    }
    fb_sqlite_conn_release(&conn);
    if (result != FB_OK) {
        return result;
    }
    if (made->name_count > params_cap) {
        fb_sqlite_unprepare(made);
        return fb_error_set(error, FB_EINVAL, "class %s: query: more than %zu parameters",
                            options->name, params_cap);
    }
    made->id = atomic_fetch_add(&own->last_id, 2) + 1;
    made->batch_id = made->id + 1;
    for (size_t i = 0; i < made->name_count; i++) {
        params[i] = fb_str_of(made->names[i]);
    }
    *param_count = made->name_count;
    *prepared = made;
    return FB_OK;
}

static void unprepare(fb_source *source, void *prepared) {
    (void)source;
    fb_sqlite_unprepare(prepared);
}

// ---- start

static void run_job(fb_task *task, uint32_t worker) {
    fb_source_job *job = FB_LIST_OF(task, fb_source_job, task);
    sqlite_source *own = own_of(job->source);

    FB_ASSERT(worker < own->worker_count);
    fb_sqlite_job_run(&own->workers[worker], job);
    job->done(job);
}

static void start(fb_source *source, fb_source_job *job) {
    sqlite_source *own = own_of(source);

    FB_ASSERT(own->pool != NULL && job->item_count > 0);
    job->source = source;
    job->task.run = run_job;
    fb_workers_submit(own->pool, &job->task);
}

// ---- rows

typedef struct walk {
    void (*fn)(void *arg, const fb_param *columns, size_t column_count);
    void *arg;
    const char *source_name;
    fb_param *columns;
    char (*numbers)[FB_ROW_JSON_REAL_SIZE];
    int cap;
} walk;

static bool make_room(walk *own, int count) {
    if (count <= own->cap) {
        return true;
    }
    fb_mem_free(own->columns);
    fb_mem_free(own->numbers);
    own->columns = fb_mem_zero((size_t)count, sizeof(*own->columns));
    own->numbers = fb_mem_zero((size_t)count, sizeof(*own->numbers));
    own->cap = own->columns != NULL && own->numbers != NULL ? count : 0;
    return own->cap > 0;
}

// FB_MISS: it is NULL.
static int read_column(walk *own, sqlite3_stmt *statement, int column, fb_str *text) {
    int type = sqlite3_column_type(statement, column);
    double number = type == SQLITE_FLOAT ? sqlite3_column_double(statement, column) : 0;

    if (type == SQLITE_NULL) {
        return FB_MISS;
    }
    if (type == SQLITE_FLOAT && isfinite(number)) {
        *text = fb_row_json_format(number, own->numbers[column]);
        return text->len > 0 ? FB_OK : FB_ENOMEM;
    }
    return fb_sqlite_column_bytes(statement, column, text);
}

static int walk_row(void *arg, sqlite3_stmt *statement, fb_error *error) {
    walk *own = arg;
    int count = sqlite3_column_count(statement);
    size_t known = 0;

    int result = make_room(own, count) ? FB_OK : FB_ENOMEM;
    for (int i = 0; result >= 0 && i < count; i++) {
        const char *name = sqlite3_column_name(statement, i);
        result = name != NULL ? read_column(own, statement, i, &own->columns[known].value)
                              : FB_ENOMEM;
        if (result == FB_OK) {
            own->columns[known++].name = fb_str_of(name);
        }
    }
    if (result < 0) {
        return fb_error_set(error, result, "source %s: out of memory", own->source_name);
    }
    own->fn(own->arg, own->columns, known);
    return FB_OK;
}

static int rows(fb_source *source, fb_str query, int64_t deadline_ns,
                void (*fn)(void *arg, const fb_param *columns, size_t column_count), void *arg,
                fb_error *error) {
    sqlite_source *own = own_of(source);
    walk each = {.fn = fn, .arg = arg, .source_name = own->name};
    char *sql = fb_mem_text(query);
    fb_sqlite_conn conn;

    if (sql == NULL) {
        return fb_error_set(error, FB_ENOMEM, "source %s: out of memory", own->name);
    }
    fb_sqlite_query run = {.sql = sql, .row = walk_row, .arg = &each};
    fb_sqlite_conn_init(&conn, own->name, own->path, &own->cancelled);
    int result = fb_sqlite_conn_run(&conn, &run, deadline_ns, error);
    fb_sqlite_conn_release(&conn);
    fb_mem_free(each.columns);
    fb_mem_free(each.numbers);
    fb_mem_free(sql);
    return result;
}

// ---- opening and closing

static void cancel(fb_source *source) {
    atomic_store(&own_of(source)->cancelled, true);
}

static void close_source(fb_source *source) {
    if (source == NULL) {
        return;
    }
    sqlite_source *own = own_of(source);
    for (uint32_t i = 0; i < own->worker_count; i++) {
        fb_sqlite_worker_release(&own->workers[i]);
    }
    fb_mem_free(own->workers);
    fb_mem_free(own->path);
    fb_mem_free(own->name);
    fb_mem_free(own);
}

static const fb_source_type sqlite_type = {
    .name = "sqlite",
    .prepare = prepare,
    .unprepare = unprepare,
    .start = start,
    .rows = rows,
    .cancel = cancel,
    .close = close_source,
};

static int ignore_row(void *arg, sqlite3_stmt *statement, fb_error *error) {
    return FB_OK;
}

// The header of a file is read with its first query.
static int try_file(sqlite_source *own, fb_error *error) {
    fb_sqlite_query look = {.sql = "SELECT 1 FROM sqlite_schema LIMIT 1", .row = ignore_row};
    fb_sqlite_conn conn;

    int result = open_for_check(own, &conn, error);
    if (result == FB_OK) {
        result = fb_sqlite_conn_run(&conn, &look, conn.deadline_ns, error);
    }
    fb_sqlite_conn_release(&conn);
    return result;
}

static int fill(sqlite_source *own, fb_str name, const char *path, fb_workers *pool) {
    own->base.type = &sqlite_type;
    own->name = fb_mem_text(name);
    own->path = fb_mem_text(fb_str_of(path));
    if (own->name == NULL || own->path == NULL) {
        return FB_ENOMEM;
    }
    own->base.name = fb_str_of(own->name);
    own->pool = pool;
    uint32_t count = pool != NULL ? fb_workers_count(pool) : 0;
    own->workers = count > 0 ? fb_mem_zero(count, sizeof(*own->workers)) : NULL;
    if (count > 0 && own->workers == NULL) {
        return FB_ENOMEM;
    }
    while (own->worker_count < count) {
        fb_sqlite_worker_init(&own->workers[own->worker_count++], own->name, own->path,
                              &own->cancelled);
    }
    return FB_OK;
}

int fb_sqlite_open(fb_str name, const char *path, fb_workers *workers, fb_source **source,
                   fb_error *error) {
    sqlite_source *own = fb_mem_zero(1, sizeof(*own));
    int result = own != NULL ? fill(own, name, path, workers) : FB_ENOMEM;

    if (result == FB_OK) {
        result = try_file(own, error);
        if (result == FB_ESOURCE) {
            const char *words = error != NULL ? error->text : "";
            result = fb_error_set(error, FB_EINVAL, "%s", words);
        }
    } else {
        (void)fb_error_set(error, result, "source %.*s: out of memory", FB_STR_ARG(name));
    }
    if (result != FB_OK) {
        close_source(own != NULL ? &own->base : NULL);
        return result;
    }
    *source = &own->base;
    return FB_OK;
}
