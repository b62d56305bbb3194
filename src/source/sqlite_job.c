// One item is one query. Several items of a class with a batch query are one query for all that
// differ in the batched parameter alone; those that differ in others too make batches of their own.
//
// A batch must not change what an item's answer is. So whenever it is not certain whose a row is,
// or the whole is too large while each part may not be, the items are loaded one by one instead:
//   - a row whose column is none of the batch's values (the database compares by another rule than
//     ours, without regard to case, say: then a value that seems to have no row may have one);
//   - a value that JSON, in which the values travel, would change: invalid UTF-8, a NUL in it.
// For the same reason two values that the database may take for one ("bash" and "BASH", "1" and
// "1.0") are never in one batch: a row would come once, for one of them. What they have in common,
// if anything, is their form: white space and case aside, numbers as numbers.

#include "source/sqlite_job.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/error.h"
#include "base/fold.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "os/clock.h"
#include "source/sqlite_statement.h"

enum { SCRATCH_KEPT_MAX = 1024 * 1024 };

// What is being made of the rows of one item.
typedef struct answer {
    const fb_load_item *item;
    fb_loaded *loaded;
    fb_row_json *json;
    size_t row_count;
} answer;

// ---- one item's outcome

static void fail_item(fb_loaded *loaded, int result, const char *text) {
    fb_loaded_release(loaded);
    loaded->result = result;
    fb_loaded_error(loaded, fb_str_of(text));
}

static int explain(const fb_sqlite_worker *worker, int result, fb_error *error) {
    const char *words = result == FB_ETOOBIG ? "the result is larger than 64 MiB" : "out of memory";

    return fb_error_set(error, result, "source %s: %s", worker->conn.name, words);
}

static int finish(answer *made, bool one) {
    int result = FB_OK;

    if (one && made->row_count == 0) {
        return FB_NEGATIVE;
    }
    if (!one && made->row_count == 0) {
        result = fb_row_json_open(made->json, '[');
    }
    if (!one && result == FB_OK) {
        result = fb_row_json_close(made->json, ']');
    }
    return result == FB_OK ? fb_loaded_value(made->loaded, fb_buf_str(&made->json->text)) : result;
}

static void settle(const fb_sqlite_worker *worker, answer *made, bool one) {
    fb_error error;
    int result = finish(made, one);

    if (result < 0) {
        fail_item(made->loaded, explain(worker, result, &error), error.text);
    }
    made->loaded->result = result;
}

// ---- rows

int fb_sqlite_column_bytes(sqlite3_stmt *statement, int column, fb_str *bytes) {
    bool blob = sqlite3_column_type(statement, column) == SQLITE_BLOB;
    const void *ptr = blob ? sqlite3_column_blob(statement, column)
                           : (const void *)sqlite3_column_text(statement, column);

    *bytes = fb_str_make(ptr, (size_t)sqlite3_column_bytes(statement, column));
    bool none = ptr == NULL && sqlite3_errcode(sqlite3_db_handle(statement)) == SQLITE_NOMEM;
    return none || (ptr == NULL && bytes->len > 0) ? FB_ENOMEM : FB_OK;
}

static int write_value(fb_row_json *json, sqlite3_stmt *statement, int column) {
    fb_str bytes;
    int type = sqlite3_column_type(statement, column);

    switch (type) {
        case SQLITE_INTEGER:
            return fb_row_json_integer(json, sqlite3_column_int64(statement, column));
        case SQLITE_FLOAT:
            return fb_row_json_real(json, sqlite3_column_double(statement, column));
        case SQLITE_NULL:
            return fb_row_json_null(json);
        default:
            break;
    }
    int result = fb_sqlite_column_bytes(statement, column, &bytes);
    if (result != FB_OK) {
        return result;
    }
    return type == SQLITE_BLOB ? fb_row_json_blob(json, bytes) : fb_row_json_text(json, bytes);
}

static int write_row(fb_row_json *json, sqlite3_stmt *statement, int hidden) {
    int count = sqlite3_column_count(statement);
    int result = fb_row_json_open(json, '{');

    for (int i = 0; result == FB_OK && i < count; i++) {
        const char *name = sqlite3_column_name(statement, i);
        if (i == hidden) {
            continue;
        }
        result = name != NULL ? fb_row_json_name(json, fb_str_of(name)) : FB_ENOMEM;
        if (result == FB_OK) {
            result = write_value(json, statement, i);
        }
    }
    return result == FB_OK ? fb_row_json_close(json, '}') : result;
}

static int read_field(void *row, fb_str name, fb_str *text) {
    sqlite3_stmt *statement = row;
    int count = sqlite3_column_count(statement);

    for (int i = 0; i < count; i++) {
        const char *own = sqlite3_column_name(statement, i);
        if (own != NULL && fb_str_equal(fb_str_of(own), name)) {
            bool null = sqlite3_column_type(statement, i) == SQLITE_NULL;
            return null ? FB_MISS : fb_sqlite_column_bytes(statement, i, text);
        }
    }
    return FB_MISS;
}

// FB_ESOURCE is about this item alone.
static int add_row(const fb_class *class_, answer *made, sqlite3_stmt *statement, int hidden,
                   fb_error *error) {
    int result = FB_OK;

    if (made->row_count == 0 && !class_->options.one) {
        result = fb_row_json_open(made->json, '[');
    }
    if (result == FB_OK) {
        result = write_row(made->json, statement, hidden);
    }
    made->row_count++;
    if (result != FB_OK || class_->tag_count == 0) {
        return result;
    }
    result = fb_class_row_tags(class_, &made->item->bound, read_field, statement, made->loaded);
    if (result == FB_EINVAL) {
        return fb_error_set(error, FB_ESOURCE, "%s", made->loaded->error);
    }
    return result;
}

// ---- parameters

static int bind_text(sqlite3_stmt *statement, int index, fb_str text) {
    const char *ptr = text.ptr != NULL ? text.ptr : "";

    return sqlite3_bind_text64(statement, index, ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

static int bind_value(sqlite3_stmt *statement, int index, fb_param_type type, fb_str text) {
    int64_t integer;
    double number;

    if (type == FB_PARAM_INTEGER && fb_str_int(text, &integer) == FB_OK) {
        return sqlite3_bind_int64(statement, index, integer);
    }
    if (type == FB_PARAM_NUMBER && fb_str_double(text, &number) == FB_OK) {
        return sqlite3_bind_double(statement, index, number);
    }
    return bind_text(statement, index, text);
}

static size_t find_param(const fb_load_item *item, const char *name) {
    size_t i = 0;

    while (i < item->bound.param_count &&
           !fb_str_equal(item->bound.params[i].name, fb_str_of(name))) {
        i++;
    }
    FB_ASSERT(i < item->bound.param_count);  // a class knows every parameter of its queries
    return i;
}

static fb_param_type type_of(const fb_class *class_, size_t param) {
    return param < class_->param_count ? class_->params[param].type : FB_PARAM_TEXT;
}

// `by`: a parameter that is bound to `values` instead; NULL: none.
static int bind_all(const fb_class *class_, const fb_load_item *item, sqlite3_stmt *statement,
                    const char *by, fb_str values) {
    int count = sqlite3_bind_parameter_count(statement);
    int code = SQLITE_OK;

    for (int i = 1; code == SQLITE_OK && i <= count; i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i) + 1;
        if (by != NULL && strcmp(name, by) == 0) {
            code = bind_text(statement, i, values);
        } else {
            size_t at = find_param(item, name);
            code = bind_value(statement, i, type_of(class_, at), item->bound.params[at].value);
        }
    }
    return code;
}

// ---- one by one

typedef struct single {
    fb_sqlite_worker *worker;
    const fb_class *class_;
    answer made;
} single;

static int bind_single(void *arg, sqlite3_stmt *statement) {
    const single *own = arg;

    return bind_all(own->class_, own->made.item, statement, NULL, FB_STR(""));
}

static int take_row(void *arg, sqlite3_stmt *statement, fb_error *error) {
    single *own = arg;
    int result = add_row(own->class_, &own->made, statement, -1, error);

    if (result == FB_ETOOBIG || result == FB_ENOMEM) {
        return explain(own->worker, result, error);
    }
    return result == FB_OK && own->class_->options.one ? FB_MISS : result;
}

static void load_single(fb_sqlite_worker *worker, const fb_source_job *job, size_t index) {
    const fb_sqlite_prepared *prepared = job->class_->prepared;
    single own = {worker, job->class_, {&job->items[index], &job->loaded[index], &worker->json, 0}};
    fb_sqlite_query query = {prepared->id, prepared->query, bind_single, take_row, &own};
    int64_t begin_ns = fb_clock_now_ns();
    fb_error error;

    fb_row_json_clear(&worker->json);
    int result = fb_sqlite_conn_run(&worker->conn, &query, job->deadline_ns, &error);
    if (result < 0) {
        fail_item(own.made.loaded, result, error.text);
    } else {
        settle(worker, &own.made, prepared->one);
    }
    own.made.loaded->took_ns = fb_clock_now_ns() - begin_ns;
    if (worker->json.text.cap > SCRATCH_KEPT_MAX) {
        fb_row_json_release(&worker->json);
    }
}

// ---- many at once

typedef struct member {
    answer made;
    fb_row_json json;
    size_t index;  // in the job
    bool failed;   // by itself, and it is told already
} member;

typedef struct batch {
    fb_sqlite_worker *worker;
    const fb_source_job *job;
    const fb_sqlite_prepared *prepared;
    member *members;
    size_t member_count;
    bool *grouped;       // which of the job's items have been in a batch
    fb_str *forms;       // of the values of the job's items
    fb_arena arena;      // for these
    fb_map by_form;      // of members
    fb_buf form;         // of a row's column
    fb_row_json values;  // theirs, as a JSON array
    int column;          // that says whose a row is; -1: not looked up yet
    size_t len;          // of all rows so far
    bool stray;          // a row was nobody's
} batch;

static fb_str value_of(const batch *own, size_t index) {
    const fb_load_item *item = &own->job->items[index];

    return item->bound.params[find_param(item, own->prepared->batch_by)].value;
}

static bool travels(fb_str value) {
    return fb_utf8_valid(value) && fb_str_find(value, '\0') == value.len;
}

static bool same_others(const batch *own, size_t a, size_t b) {
    const fb_bound *one = &own->job->items[a].bound, *other = &own->job->items[b].bound;
    size_t by = find_param(&own->job->items[a], own->prepared->batch_by);

    for (size_t i = 0; i < one->param_count; i++) {
        if (i != by && !fb_str_equal(one->params[i].value, other->params[i].value)) {
            return false;
        }
    }
    return true;
}

static bool belongs(const batch *own, size_t first, size_t index) {
    return !own->grouped[index] && travels(value_of(own, index)) &&
           fb_map_get(&own->by_form, own->forms[index]) == NULL && same_others(own, first, index);
}

// Appends the form of `value`.
static int write_form(fb_str value, fb_buf *out) {
    char text[FB_ROW_JSON_REAL_SIZE];
    double number;

    value = fb_str_trim(value);
    if (fb_str_double(value, &number) != FB_OK) {
        return fb_fold_case(value, out);
    }
    return fb_buf_append(out, fb_row_json_format(number == 0 ? 0 : number, text));
}

static int make_forms(batch *own) {
    fb_buf form = {0};
    int result = FB_OK;

    for (size_t i = 0; result == FB_OK && i < own->job->item_count; i++) {
        form.len = 0;
        result = write_form(value_of(own, i), &form);
        own->forms[i] = fb_arena_copy(&own->arena, fb_buf_str(&form));
        if (form.len > 0 && own->forms[i].ptr == NULL) {
            result = FB_ENOMEM;
        }
    }
    fb_buf_release(&form);
    return result;
}

static int write_param(batch *own, fb_str value) {
    const fb_load_item *item = &own->job->items[0];
    fb_param_type type = type_of(own->job->class_, find_param(item, own->prepared->batch_by));
    int64_t integer;
    double number;

    if (type == FB_PARAM_INTEGER && fb_str_int(value, &integer) == FB_OK) {
        return fb_row_json_integer(&own->values, integer);
    }
    if (type == FB_PARAM_NUMBER && fb_str_double(value, &number) == FB_OK) {
        return fb_row_json_real(&own->values, number);
    }
    return fb_row_json_text(&own->values, value);
}

static int add_member(batch *own, size_t index) {
    member *next = &own->members[own->member_count];

    *next = (member){.made = {&own->job->items[index], &own->job->loaded[index], &next->json, 0},
                     .json = {.len_max = FB_SQLITE_RESULT_MAX},
                     .index = index};
    int result = fb_map_put(&own->by_form, own->forms[index], next);
    if (result == FB_OK) {
        result = write_param(own, value_of(own, index));
    }
    own->member_count += result == FB_OK ? 1 : 0;
    own->grouped[index] = result == FB_OK;
    return result;
}

// False: `first` has to be loaded by itself. Fewer than there could be where memory is short: the
// others come later.
static bool gather(batch *own, size_t first) {
    own->member_count = 0;
    own->column = -1;
    own->len = 0;
    own->stray = false;
    fb_row_json_clear(&own->values);
    fb_map_release(&own->by_form);
    if (!travels(value_of(own, first))) {
        return false;
    }
    int result = fb_row_json_open(&own->values, '[');
    for (size_t i = first; result == FB_OK && i < own->job->item_count; i++) {
        result = belongs(own, first, i) ? add_member(own, i) : FB_OK;
    }
    return own->member_count > 1 && fb_row_json_close(&own->values, ']') == FB_OK;
}

static int bind_batch(void *arg, sqlite3_stmt *statement) {
    const batch *own = arg;

    return bind_all(own->job->class_, own->members[0].made.item, statement,
                    own->prepared->batch_by, fb_buf_str(&own->values.text));
}

// What a row's column says whose it is. FB_MISS: nothing.
static int read_owner(const batch *own, sqlite3_stmt *statement, char *text, size_t text_size,
                      fb_str *owner) {
    int64_t integer;
    double real;

    switch (sqlite3_column_type(statement, own->column)) {
        case SQLITE_NULL:
            return FB_MISS;
        case SQLITE_FLOAT:
            real = sqlite3_column_double(statement, own->column);
            *owner = isfinite(real) ? fb_row_json_format(real, text) : FB_STR("");
            return isfinite(real) ? FB_OK : FB_MISS;
        case SQLITE_INTEGER:
            integer = sqlite3_column_int64(statement, own->column);
            *owner = fb_str_make(text, (size_t)snprintf(text, text_size, "%" PRId64, integer));
            return FB_OK;
        default:
            return fb_sqlite_column_bytes(statement, own->column, owner);
    }
}

// *found NULL: the row is nobody's.
static int find_member(batch *own, sqlite3_stmt *statement, member **found) {
    char text[FB_ROW_JSON_REAL_SIZE];
    fb_str owner;
    bool real = sqlite3_column_type(statement, own->column) == SQLITE_FLOAT;

    *found = NULL;
    int result = read_owner(own, statement, text, sizeof(text), &owner);
    if (result != FB_OK) {
        return result < 0 ? result : FB_OK;
    }
    own->form.len = 0;
    result = write_form(owner, &own->form);
    member *one = result == FB_OK ? fb_map_get(&own->by_form, fb_buf_str(&own->form)) : NULL;
    // A REAL is the value that is the same number, however that is written.
    if (one != NULL && (real || fb_str_equal(value_of(own, one->index), owner))) {
        *found = one;
    }
    return result;
}

static int add_member_row(batch *own, member *whose, sqlite3_stmt *statement, fb_error *error) {
    size_t before = whose->json.text.len;
    int hidden = own->prepared->batch_by_hidden ? own->column : -1;
    int result = add_row(own->job->class_, &whose->made, statement, hidden, error);

    if (result == FB_ESOURCE) {
        whose->failed = true;
        fail_item(whose->made.loaded, result, error->text);
        fb_row_json_release(&whose->json);
        return FB_OK;
    }
    own->len += whose->json.text.len - before;
    return result == FB_OK && own->len > FB_SQLITE_RESULT_MAX ? FB_ETOOBIG : result;
}

static int take_batch_row(void *arg, sqlite3_stmt *statement, fb_error *error) {
    batch *own = arg;
    member *whose = NULL;

    if (own->column < 0) {
        own->column = fb_sqlite_column(statement, own->prepared->batch_by);
    }
    if (own->column < 0) {
        return fb_error_set(error, FB_ESOURCE, "source %s: the result has no column '%s'",
                            own->worker->conn.name, own->prepared->batch_by);
    }
    int result = find_member(own, statement, &whose);
    if (result == FB_OK && whose == NULL) {
        own->stray = true;
        return FB_MISS;
    }
    bool wanted = whose != NULL && !whose->failed &&
                  (whose->made.row_count == 0 || !own->prepared->one);
    if (result == FB_OK && wanted) {
        result = add_member_row(own, whose, statement, error);
    }
    return result < 0 && result != FB_ESOURCE ? explain(own->worker, result, error) : result;
}

static void load_one_by_one(batch *own) {
    for (size_t i = 0; i < own->member_count; i++) {
        fb_row_json_release(&own->members[i].json);
    }
    for (size_t i = 0; i < own->member_count; i++) {
        fb_loaded_release(own->members[i].made.loaded);
        load_single(own->worker, own->job, own->members[i].index);
    }
}

static void hand_out(batch *own, int result, const char *text, int64_t took_ns) {
    for (size_t i = 0; i < own->member_count; i++) {
        member *one = &own->members[i];
        if (result < 0) {
            fail_item(one->made.loaded, result, text);
        } else if (!one->failed) {
            settle(own->worker, &one->made, own->prepared->one);
        }
        one->made.loaded->took_ns = took_ns;
        fb_row_json_release(&one->json);
    }
}

static void tell_stray(const batch *own) {
    fb_sqlite_prepared *prepared = own->job->class_->prepared;

    if (!atomic_exchange(&prepared->stray_told, true)) {
        fb_log(FB_LOG_WARN, "batch_row_of_nobody",
               "class=%.*s column=%s effect=\"its items are loaded one by one\"",
               FB_STR_ARG(own->job->class_->name), prepared->batch_by);
    }
}

static void load_batch(batch *own) {
    const fb_sqlite_prepared *prepared = own->prepared;
    fb_sqlite_query query = {prepared->batch_id, prepared->batch_query, bind_batch, take_batch_row,
                             own};
    int64_t begin_ns = fb_clock_now_ns();
    fb_error error;
    int result = fb_sqlite_conn_run(&own->worker->conn, &query, own->job->deadline_ns, &error);

    if (own->stray) {
        tell_stray(own);
    }
    if (own->stray || result == FB_ETOOBIG) {
        load_one_by_one(own);
    } else {
        hand_out(own, result, result < 0 ? error.text : "", fb_clock_now_ns() - begin_ns);
    }
}

static void load_batches(batch *own) {
    for (size_t i = 0; i < own->job->item_count; i++) {
        if (own->grouped[i]) {
            continue;
        }
        if (gather(own, i)) {
            load_batch(own);
        } else {
            // It is alone in it, or there was no memory to close the list.
            for (size_t k = 0; k < own->member_count; k++) {
                own->grouped[own->members[k].index] = false;
            }
            own->grouped[i] = true;
            load_single(own->worker, own->job, i);
        }
    }
}

static bool load_together(fb_sqlite_worker *worker, const fb_source_job *job) {
    batch own = {.worker = worker, .job = job, .prepared = job->class_->prepared};
    size_t count = job->item_count;

    own.values.len_max = FB_SQLITE_RESULT_MAX;
    own.by_form.seed = (uint64_t)fb_clock_now_ns();
    own.members = fb_mem_zero(count, sizeof(*own.members));
    own.grouped = fb_mem_zero(count, sizeof(*own.grouped));
    own.forms = fb_mem_zero(count, sizeof(*own.forms));
    bool made = own.members != NULL && own.grouped != NULL && own.forms != NULL &&
                make_forms(&own) == FB_OK;
    if (made) {
        load_batches(&own);
    }
    fb_map_release(&own.by_form);
    fb_row_json_release(&own.values);
    fb_buf_release(&own.form);
    fb_arena_release(&own.arena);
    fb_mem_free(own.members);
    fb_mem_free(own.grouped);
    fb_mem_free(own.forms);
    return made;
}

// ---- public

void fb_sqlite_worker_init(fb_sqlite_worker *worker, const char *name, const char *path,
                           const atomic_bool *cancelled) {
    fb_sqlite_conn_init(&worker->conn, name, path, cancelled);
    worker->json = (fb_row_json){.len_max = FB_SQLITE_RESULT_MAX};
}

void fb_sqlite_worker_release(fb_sqlite_worker *worker) {
    fb_sqlite_conn_release(&worker->conn);
    fb_row_json_release(&worker->json);
}

void fb_sqlite_job_run(fb_sqlite_worker *worker, fb_source_job *job) {
    const fb_sqlite_prepared *prepared = job->class_->prepared;

    if (fb_source_job_is_late(job, fb_clock_now_ns())) {
        for (size_t i = 0; i < job->item_count; i++) {
            fail_item(&job->loaded[i], FB_ETIMEDOUT, "the deadline had passed before it began");
        }
        return;
    }
    if (prepared->batch_query != NULL && job->item_count > 1 && load_together(worker, job)) {
        return;
    }
    for (size_t i = 0; i < job->item_count; i++) {
        load_single(worker, job, i);
    }
}
