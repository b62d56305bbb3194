// sqlite_fixture.h -- a real database in a folder of its own, a source on it, real workers,
// classes, and loads that are waited for.
//
// Every connection has SQL functions of the test's: `seen(n)` is n, 1 to 3, and counts its calls in
// seen_counts[n]; `meet(n)` waits until n calls of it are under way at the same time.

#ifndef FB_TESTS_SQLITE_FIXTURE_H
#define FB_TESTS_SQLITE_FIXTURE_H

#include <jansson.h>
#include <pthread.h>
#include <sqlite3.h>
#include <time.h>
#include <unistd.h>

#include "cache/class.h"
#include "os/clock.h"
#include "source/sqlite.h"
#include "support.h"

enum { LOAD_ITEMS_MAX = 64, PATIENCE_S = 60 };

typedef struct fixture {
    char folder[64], path[80], other[80];
    fb_workers *pool;
    fb_source *source;
} fixture;

// ---- functions in SQL

static atomic_int seen_counts[4];

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int there;
} meeting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static inline void seen(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    atomic_fetch_add(&seen_counts[sqlite3_value_int(values[0]) & 3], 1);
    sqlite3_result_value(context, values[0]);
}

// 1, or 0 where the others did not come.
static inline void meet(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    int wanted = sqlite3_value_int(values[0]);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int late = 0;
    pthread_mutex_lock(&meeting.lock);
    meeting.there++;
    pthread_cond_broadcast(&meeting.changed);
    while (meeting.there < wanted && late == 0) {
        late = pthread_cond_timedwait(&meeting.changed, &meeting.lock, &until);
    }
    pthread_mutex_unlock(&meeting.lock);
    sqlite3_result_int(context, late == 0);
}

static inline int add_functions(sqlite3 *db, char **text, const sqlite3_api_routines *routines) {
    (void)text;
    (void)routines;
    int code = sqlite3_create_function(db, "seen", 1, SQLITE_UTF8, NULL, seen, NULL, NULL);
    return code != SQLITE_OK
               ? code
               : sqlite3_create_function(db, "meet", 1, SQLITE_UTF8, NULL, meet, NULL, NULL);
}

// ---- the database

static inline void run_sql(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    char *words = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, PATIENCE_S * 1000);
    if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK) {
        fail_msg("%s: %s", sql, words);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static inline void open_source(fixture *own, uint32_t worker_count) {
    fb_error error = {0};
    assert_ok(fb_workers_new(worker_count, &own->pool));
    if (fb_sqlite_open(FB_STR("catalogue"), own->path, own->pool, &own->source, &error) < 0) {
        fail_msg("%s", error.text);
    }
}

static inline void close_source(fixture *own) {
    fb_workers_free(own->pool);
    own->pool = NULL;
    if (own->source != NULL) {
        own->source->type->close(own->source);
        own->source = NULL;
    }
}

static inline int fixture_up(void **state) {
    static fixture one;
    one = (fixture){.folder = "/tmp/forebay-sqlite-XXXXXX"};
    assert_non_null(mkdtemp(one.folder));
    (void)snprintf(one.path, sizeof(one.path), "%s/a.db", one.folder);
    (void)snprintf(one.other, sizeof(one.other), "%s/b.db", one.folder);
    run_sql(one.path,
            "CREATE TABLE package(name TEXT PRIMARY KEY, section TEXT, size INTEGER);"
            "INSERT INTO package VALUES('bash','shells',6469),('zsh','shells',2490),"
            "('vim','editors',3700),('nano','editors',NULL);");
    for (size_t i = 0; i < 4; i++) {
        seen_counts[i] = 0;
    }
    meeting.there = 0;
    *state = &one;
    return 0;
}

static inline int fixture_down(void **state) {
    fixture *own = *state;
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    close_source(own);
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s%s", own->path, tails[i]);
        (void)unlink(path);
        (void)snprintf(path, sizeof(path), "%s%s", own->other, tails[i]);
        (void)unlink(path);
    }
    (void)rmdir(own->folder);
    return 0;
}

// ---- classes

static inline fb_class *make_class(fixture *own, const fb_class_options *options) {
    fb_class *class_ = NULL;
    fb_str names[FB_CLASS_PARAMS_MAX];
    size_t name_count = 0;
    void *prepared = NULL;
    fb_error error = {0};
    if (own->source->type->prepare(own->source, options, &prepared, names, FB_CLASS_PARAMS_MAX,
                                   &name_count, &error) < 0 ||
        fb_class_new(options, 1, names, name_count, &class_, &error) < 0) {
        fail_msg("%s", error.text);
    }
    class_->prepared = prepared;
    return class_;
}

static inline void free_class(fixture *own, fb_class *class_) {
    own->source->type->unprepare(own->source, class_->prepared);
    fb_class_free(class_);
}

// A class of which only key and query matter.
static inline fb_class *plain_class(fixture *own, const char *key, const char *query, bool one) {
    fb_class_options options = {.name = "package", .key = (char *)(uintptr_t)key, .one = one,
                                .query = (char *)(uintptr_t)query, .source = "catalogue"};
    return make_class(own, &options);
}

// ---- loads

typedef struct load {
    const fb_class *class_;
    fb_load_item items[LOAD_ITEMS_MAX];
    fb_loaded loaded[LOAD_ITEMS_MAX];
    fb_buf scratch[LOAD_ITEMS_MAX];
    size_t item_count;
    fb_source_job job;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} load;

static inline void load_init(load *one, const fb_class *class_) {
    memset(one, 0, sizeof(*one));
    one->class_ = class_;
    pthread_mutex_init(&one->lock, NULL);
    pthread_cond_init(&one->changed, NULL);
    one->job.deadline_ns = fb_clock_now_ns() + PATIENCE_S * INT64_C(1000000000);
}

static inline void load_add(load *one, const fb_param *params, size_t param_count) {
    fb_error error = {0};
    size_t i = one->item_count++;
    assert_true(i < LOAD_ITEMS_MAX);
    fb_loaded_init(&one->loaded[i]);
    if (fb_class_bind(one->class_, params, param_count, &one->scratch[i], &one->items[i].bound,
                      &error) < 0) {
        fail_msg("%s", error.text);
    }
}

static inline void load_add_one(load *one, const char *name, const char *value) {
    fb_param param = {fb_str_of(name), fb_str_of(value)};
    load_add(one, &param, 1);
}

static inline void load_done(fb_source_job *job) {
    load *one = FB_LIST_OF(job, load, job);
    pthread_mutex_lock(&one->lock);
    assert_false(one->done);
    one->done = true;
    pthread_cond_signal(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

static inline void load_start(load *one, fixture *own) {
    one->job.class_ = one->class_;
    one->job.items = one->items;
    one->job.loaded = one->loaded;
    one->job.item_count = one->item_count;
    one->job.done = load_done;
    fb_source_start(own->source, &one->job);
}

static inline void load_wait(load *one) {
    pthread_mutex_lock(&one->lock);
    while (!one->done) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
}

static inline void load_run(load *one, fixture *own) {
    load_start(one, own);
    load_wait(one);
}

static inline void load_release(load *one) {
    for (size_t i = 0; i < one->item_count; i++) {
        fb_loaded_release(&one->loaded[i]);
        fb_buf_release(&one->scratch[i]);
    }
    pthread_mutex_destroy(&one->lock);
    pthread_cond_destroy(&one->changed);
}

// What item `index` of a load came to: its value, or the name of its result.
static inline fb_str outcome(const load *one, size_t index) {
    const fb_loaded *loaded = &one->loaded[index];
    if (loaded->result != FB_OK) {
        assert_null(loaded->value);
        return fb_str_of(fb_result_name(loaded->result));
    }
    assert_int_equal(loaded->kind, FB_KIND_JSON);
    assert_true(loaded->took_ns > 0);
    return fb_blob_str(loaded->value);
}

// One item, start to end. `name` NULL: no parameters.
#define assert_loads(own, class_, name, value, expected) \
    test_loads_are((own), (class_), (name), (value), (expected), __FILE__, __LINE__)

static inline void test_loads_are(fixture *own, const fb_class *class_, const char *name,
                                  const char *value, const char *expected, const char *file,
                                  int line) {
    load one;
    load_init(&one, class_);
    if (name != NULL) {
        load_add_one(&one, name, value);
    } else {
        load_add(&one, NULL, 0);
    }
    load_run(&one, own);
    if (one.loaded[0].result < 0) {
        print_message("%s\n", one.loaded[0].error);
    }
    test_bytes_are(outcome(&one, 0), fb_str_of(expected), file, line);
    load_release(&one);
}

#endif
