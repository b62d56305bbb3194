// engine_rig.h -- an engine through its public headers, with what tests need around it: a real
// database, loads that stop at a gate until the test opens it, callers on threads of their own.
//
// Waiting is for events, with patience; no test sleeps for a while and hopes.

#ifndef FB_TESTS_ENGINE_RIG_H
#define FB_TESTS_ENGINE_RIG_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include <forebay/forebay.h>

#include "support.h"

enum { RIG_PATIENCE_S = 60 };

// ---- the gate

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int at_gate;         // loads that came to it
    atomic_int loads;    // loads begun
    atomic_int version;  // what a load brings
    int result;          // what a loader returns
} gate;

static inline void gate_init(gate *one, bool open) {
    memset(one, 0, sizeof *one);
    pthread_mutex_init(&one->lock, NULL);
    pthread_cond_init(&one->changed, NULL);
    one->open = open;
}

static inline void gate_set(gate *one, bool open) {
    pthread_mutex_lock(&one->lock);
    one->open = open;
    pthread_cond_broadcast(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

static inline void gate_open(gate *one) {
    gate_set(one, true);
}

// Waits until so many have come to it in all.
static inline void gate_await(gate *one, int at_gate) {
    pthread_mutex_lock(&one->lock);
    while (one->at_gate < at_gate) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
}

static inline void gate_pass(gate *one) {
    atomic_fetch_add(&one->loads, 1);
    pthread_mutex_lock(&one->lock);
    one->at_gate++;
    pthread_cond_broadcast(&one->changed);
    while (!one->open) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
}

// A loader: reads the version, then stops at the gate (its argument), so that an invalidation can
// come in between.
static inline int rig_load(void *arg, const fb_load *what, fb_loaded *loaded) {
    gate *one = arg;
    char text[64];
    int version = atomic_load(&one->version);
    (void)what;
    gate_pass(one);
    if (one->result < 0) {
        fb_loaded_error(loaded, FB_STR("the well is dry"));
    }
    if (one->result != FB_OK) {
        return one->result;
    }
    int len = snprintf(text, sizeof text, "{\"version\":%d}", version);
    return fb_loaded_value(loaded, fb_str_make(text, (size_t)len));
}

// ---- the database. In SQL, gate(x) is x, and passes the gate rig_gate.

static gate rig_gate;
static char rig_folder[64];

static inline void rig_sql_gate(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    gate_pass(&rig_gate);
    sqlite3_result_value(context, values[0]);
}

static inline int rig_add_functions(sqlite3 *db, char **text,
                                    const sqlite3_api_routines *routines) {
    (void)text, (void)routines;
    return sqlite3_create_function(db, "gate", 1, SQLITE_UTF8, NULL, rig_sql_gate, NULL, NULL);
}

static inline void rig_path(char *path, size_t size, const char *name) {
    (void)snprintf(path, size, "%s/%s", rig_folder, name);
}

static inline void rig_sql(const char *sql) {
    sqlite3 *db = NULL;
    char *words = NULL;
    char path[96];
    rig_path(path, sizeof path, "a.db");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, RIG_PATIENCE_S * 1000);
    if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK) {
        fail_msg("%s: %s", sql, words);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

// For cmocka_unit_test_setup_teardown(): a folder with a database a.db, the gate open.
static inline int rig_up(void **state) {
    (void)state;
    (void)snprintf(rig_folder, sizeof rig_folder, "/tmp/forebay-engine-XXXXXX");
    assert_non_null(mkdtemp(rig_folder));
    assert_int_equal(sqlite3_auto_extension((void (*)(void))rig_add_functions), SQLITE_OK);
    gate_init(&rig_gate, true);
    rig_sql(
        "CREATE TABLE item(id INTEGER PRIMARY KEY, kind TEXT, version INTEGER NOT NULL);"
        "INSERT INTO item VALUES(1,'a',0),(2,'a',0),(3,'b',0),(4,'b',0),(5,'c',0);");
    return 0;
}

static inline int rig_down(void **state) {
    static const char *const names[] = {"a.db", "a.db-wal", "a.db-shm", "a.db-journal"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[96];
        rig_path(path, sizeof path, names[i]);
        (void)unlink(path);
    }
    return rmdir(rig_folder);
}

#define rig_test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

// ---- the engine. Paths in the text are relative to the folder.

static inline fb_config *rig_config(const char *yaml) {
    fb_config *config = NULL;
    fb_error error = {0};
    char path[96];
    rig_path(path, sizeof path, "test.yaml");
    assert_ok(fb_config_new(&config));
    if (fb_config_read(config, fb_str_of(yaml), path, &error) < 0) {
        fail_msg("%s:%u:%u: %s", error.file, error.line, error.column, error.text);
    }
    return config;
}

static inline fb_engine *rig_open(const char *yaml) {
    fb_config *config = rig_config(yaml);
    fb_engine *engine = NULL;
    fb_error error = {0};
    if (fb_open(config, &engine, &error) < 0) {
        fail_msg("%s:%u:%u: %s", error.file, error.line, error.column, error.text);
    }
    fb_config_free(config);
    return engine;
}

static inline int rig_reload(fb_engine *engine, const char *yaml, fb_error *error) {
    fb_config *config = rig_config(yaml);
    int result = fb_reload(engine, config, NULL, NULL, error);
    fb_config_free(config);
    return result;
}

static inline fb_cache_figures rig_figures(fb_engine *engine, const char *name) {
    fb_stats stats;
    fb_cache_figures figures = {0};
    assert_ok(fb_stats_read(engine, &stats));
    for (size_t i = 0; i < stats.class_count; i++) {
        if (strcmp(stats.classes[i].name, name) == 0) {
            figures = stats.classes[i];
        }
    }
    fb_stats_release(&stats);
    return figures;
}

// Loads that run now, and those that wait for their turn.
static inline uint64_t rig_running(fb_engine *engine) {
    fb_stats stats;
    assert_ok(fb_stats_read(engine, &stats));
    uint64_t running = stats.loads_running;
    fb_stats_release(&stats);
    return running;
}

static inline uint64_t rig_waiting(fb_engine *engine) {
    fb_stats stats;
    assert_ok(fb_stats_read(engine, &stats));
    uint64_t waiting = stats.loads_waiting;
    fb_stats_release(&stats);
    return waiting;
}

// Waits until `condition` holds.
#define rig_until(condition)                                       \
    do {                                                           \
        for (int turns = 0; !(condition); turns++) {               \
            static const struct timespec moment = {0, 1000000};    \
            if (turns > RIG_PATIENCE_S * 1000) {                   \
                fail_msg("it did not come about: %s", #condition); \
            }                                                      \
            (void)nanosleep(&moment, NULL);                        \
        }                                                          \
    } while (0)

static inline fb_explanation rig_explain(fb_engine *engine, const char *key) {
    fb_explanation explanation;
    assert_ok(fb_explain(engine, fb_str_of(key), &explanation));
    return explanation;
}

// ---- callers

typedef struct asker {
    fb_engine *engine;
    fb_request request;
    fb_param id;
    char id_text[24];
    int result;
    fb_value value;
    fb_error error;
    pthread_t thread;
} asker;

// Asks class `item` for `id`; with a loader where there is a gate for it.
static inline void asker_init(asker *one, fb_engine *engine, gate *at, const char *id) {
    *one = (asker){.engine = engine};
    (void)snprintf(one->id_text, sizeof one->id_text, "%s", id);
    one->id = (fb_param){FB_STR("id"), fb_str_of(one->id_text)};
    one->request = (fb_request){.class_name = FB_STR("item"),
                                .params = &one->id,
                                .param_count = 1,
                                .loader = at != NULL ? rig_load : NULL,
                                .loader_arg = at};
}

static inline void *ask(void *arg) {
    asker *one = arg;
    fb_value_release(&one->value);
    one->result = fb_fetch(one->engine, &one->request, &one->value, &one->error);
    return NULL;
}

static inline void ask_apart(asker *one) {
    assert_int_equal(pthread_create(&one->thread, NULL, ask, one), 0);
}

static inline void await_answer(asker *one) {
    assert_int_equal(pthread_join(one->thread, NULL), 0);
}

// Asks, and expects this text.
#define assert_asked(one, text)                \
    do {                                       \
        ask(one);                              \
        assert_ok((one)->result);              \
        assert_str((one)->value.data, (text)); \
    } while (0)

// Something without a place of its own, to be freed and counted: a loader's argument.
static inline void count_free(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
}

#endif
