// engine_stress.h -- the promise, with real threads and a real database: a read is never answered
// with what is older than the newest invalidation that was acknowledged before the read began.
//
// One connection writes: it raises the version of a row, commits, invalidates by one of all the
// ways there are (or stores the new version itself), and then notes that version as acknowledged.
// Readers note what is acknowledged, then ask, by every way of asking there is. Meanwhile the
// configuration is reloaded and classes are warmed; every round ends with a close and begins with
// another engine.

#ifndef FB_TESTS_ENGINE_STRESS_H
#define FB_TESTS_ENGINE_STRESS_H

#include <sched.h>
#include <semaphore.h>

#include "engine_rig.h"

enum { KEYS = 12, READERS = 4, ROUNDS = 6 };

// Everything of one row can be invalidated by its key, by tags (from the row, from the parameters),
// by patterns (indexed or not), by class, by namespace, or with everything else.
#define CLASSES(ttl)                                                                             \
    "memory: 4MiB\nloops: 2\nworkers: 3\nsources: {base: {sqlite: a.db, concurrency: "           \
    "3}}\nclasses:\n"                                                                            \
    "  item: {key: 'item:{id}:x', namespace: shop, source: base, one: true, jitter: 0.3, "       \
    "ttl: " ttl                                                                                  \
    ",\n"                                                                                        \
    "         memory_ttl: " ttl                                                                  \
    ", tags: ['row:{id}', 'kind:{kind}'], index: [id], hard_timeout: 50s,\n"                     \
    "         warm: {top: 4, query: 'SELECT id FROM item'}, early: {beta: 10, budget: 1},\n"     \
    "         query: 'SELECT kind, version FROM item WHERE id = :id'}\n"                         \
    "  pack: {key: 'pack:{id}', namespace: shop, source: base, one: true, ttl: " ttl             \
    ", memory_ttl: " ttl                                                                         \
    ",\n"                                                                                        \
    "         tags: ['row:{id}'], hard_timeout: 50s,\n"                                          \
    "         query: 'SELECT version FROM item WHERE id = :id',\n"                               \
    "         batch: {query: 'SELECT j.value AS id, version FROM json_each(:id) j JOIN item i\n" \
    "                 ON i.id = j.value', by: id, wait: 1ms, max: 5}}\n"                         \
    "  mine: {key: 'mine:{id}', namespace: shop, ttl: " ttl ", memory_ttl: " ttl                 \
    ", hard_timeout: 50s,\n"                                                                     \
    "         tags: ['row:{id}']}\n"

typedef struct stress {
    fb_engine *engine;
    _Atomic(uint64_t) committed[KEYS];     // in the database, at least
    _Atomic(uint64_t) acknowledged[KEYS];  // what an acknowledged invalidation stands for
    _Atomic(bool) stop;
    _Atomic(uint64_t) reads, writes, from_memory;
    pthread_mutex_t lock;
    char first[256];  // the first thing that was wrong
} stress;

typedef struct hand {
    stress *all;
    fb_rng rng;
    pthread_t thread;
} hand;

static inline void report(stress *all, const char *how, int key, uint64_t got, uint64_t least) {
    pthread_mutex_lock(&all->lock);
    if (all->first[0] == '\0') {
        snprintf(all->first, sizeof all->first, "%s of row %d gave version %llu, not %llu or newer",
                 how, key, (unsigned long long)got, (unsigned long long)least);
    }
    pthread_mutex_unlock(&all->lock);
    atomic_store(&all->stop, true);
}

static inline void wrong_result(stress *all, const char *how, int result, const char *text) {
    pthread_mutex_lock(&all->lock);
    if (all->first[0] == '\0') {
        snprintf(all->first, sizeof all->first, "%s: %s: %.150s", how, fb_result_name(result),
                 text);
    }
    pthread_mutex_unlock(&all->lock);
    atomic_store(&all->stop, true);
}

// "…\"version\":17}" → 17
static inline uint64_t version_of(fb_str text) {
    char copy[64];
    snprintf(copy, sizeof copy, "%.*s", FB_STR_ARG(text));
    const char *at = strstr(copy, "version\":");
    return at != NULL ? strtoull(at + 9, NULL, 10) : UINT64_MAX;
}

// ---- readers

// A loader of the reader's own: the database as far as he can know it, read when the load begins.
typedef struct row {
    stress *all;
    int key;
} row;

static inline int load_row(void *arg, const fb_load *what, fb_loaded *loaded) {
    row *one = arg;
    char text[48];
    (void)what;
    uint64_t version = atomic_load(&one->all->committed[one->key]);
    sched_yield();
    int len = snprintf(text, sizeof text, "{\"version\":%llu}", (unsigned long long)version);
    return fb_loaded_value(loaded, fb_str_make(text, (size_t)len));
}

typedef struct later {
    stress *all;
    int key;
    uint64_t least;
    sem_t *done;
} later;

static inline void judge(stress *all, const char *how, int key, uint64_t least, int result,
                         const fb_value *value, const char *text) {
    if (result == FB_OK) {
        uint64_t version = version_of(value->data);
        atomic_fetch_add(&all->from_memory, value->tier == FB_TIER_MEMORY);
        if (version < least || version == UINT64_MAX) {
            report(all, how, key, version, least);
        }
    } else {
        wrong_result(all, how, result, text);
    }
}

static inline void judge_later(void *arg, int result, const fb_value *value,
                               const fb_error *error) {
    later *one = arg;
    judge(one->all, "fetch_start", one->key, one->least, result, value,
          error != NULL ? error->text : "");
    sem_post(one->done);
}

static inline void read_one(hand *me, sem_t *done) {
    stress *all = me->all;
    static const fb_str classes[] = {FB_STR_INIT("item"), FB_STR_INIT("pack"), FB_STR_INIT("mine")};
    int key = (int)fb_rng_below(&me->rng, KEYS);
    uint64_t way = fb_rng_below(&me->rng, 3);
    char id[8];
    char name[24];
    snprintf(id, sizeof id, "%d", key);
    row *own = way == 2 ? malloc(sizeof *own) : NULL;
    fb_param param = {FB_STR("id"), fb_str_of(id)};
    fb_request request = {.class_name = classes[way],
                          .params = &param,
                          .param_count = 1,
                          .refresh = fb_rng_below(&me->rng, 16) == 0};
    if (own != NULL) {
        *own = (row){all, key};
        request.loader = load_row;
        request.loader_arg = own;
        request.loader_free = free;
    }
    later waits = {all, key, 0, done};
    fb_value value = {0};
    fb_error error = {0};
    waits.least = atomic_load(&all->acknowledged[key]);
    uint64_t style = fb_rng_below(&me->rng, 8);
    if (style == 0) {
        int result = fb_fetch_start(all->engine, &request, judge_later, &waits);
        (void)result;  // judged like the others
        sem_wait(done);
    } else if (style == 1 && own == NULL) {
        snprintf(name, sizeof name, way == 0 ? "item:%d:x" : "pack:%d", key);
        int result = fb_get_copy(all->engine, fb_str_of(name), &value);
        if (result != FB_MISS) {
            judge(all, "get", key, waits.least, result, &value, "");
        }
    } else {
        int result = fb_fetch(all->engine, &request, &value, &error);
        judge(all, "fetch", key, waits.least, result, &value, error.text);
    }
    fb_value_release(&value);
    atomic_fetch_add(&all->reads, 1);
}

static inline void *read_on(void *arg) {
    hand *me = arg;
    sem_t done;
    sem_init(&done, 0, 0);
    while (!atomic_load(&me->all->stop)) {
        read_one(me, &done);
    }
    sem_destroy(&done);
    return NULL;
}

// ---- the writer

static inline void invalidate(hand *me, const char *name, fb_scope scope) {
    fb_invalidation what = {.scope = scope, .name = fb_str_of(name)};
    int result = fb_invalidate(me->all->engine, &what, NULL);
    if (result < 0) {
        wrong_result(me->all, name, result, "");
    }
}

// A key at a time, in every one of the classes that show the row.
static inline void invalidate_keys(hand *me, int key) {
    char name[24];
    snprintf(name, sizeof name, "item:%d:x", key);
    invalidate(me, name, FB_SCOPE_KEY);
    snprintf(name, sizeof name, "pack:%d", key);
    invalidate(me, name, FB_SCOPE_KEY);
    snprintf(name, sizeof name, "mine:%d", key);
    invalidate(me, name, FB_SCOPE_KEY);
}

static inline void invalidate_patterns(hand *me, int key) {
    char name[24];
    snprintf(name, sizeof name, "item:%d:*", key);  // an index tag
    invalidate(me, name, FB_SCOPE_PATTERN);
    snprintf(name, sizeof name, "[pm]*:%d", key);  // a walk
    invalidate(me, name, FB_SCOPE_PATTERN);
}

// The writer itself puts the new version into two of the classes, by two ways.
static inline void store(hand *me, int key, uint64_t version) {
    char name[24];
    char text[48];
    int len = snprintf(text, sizeof text, "{\"version\":%llu}", (unsigned long long)version);
    snprintf(name, sizeof name, "pack:%d", key);
    int result = fb_set(me->all->engine, fb_str_of(name), fb_str_make(text, (size_t)len), NULL);
    snprintf(name, sizeof name, "mine:%d", key);
    int deleted = fb_del(me->all->engine, fb_str_of(name));
    snprintf(name, sizeof name, "row:%d", key);
    if (result < 0 || deleted < 0) {
        wrong_result(me->all, "set", result, "");
    }
    snprintf(name, sizeof name, "item:%d:x", key);
    invalidate(me, name, FB_SCOPE_KEY);
}

static inline void tell(hand *me, int key, uint64_t version) {
    char tag[24];
    snprintf(tag, sizeof tag, "row:%d", key);
    switch (fb_rng_below(&me->rng, 8)) {
        case 0:
            invalidate(me, "shop", FB_SCOPE_NAMESPACE);
            break;
        case 1:
            invalidate(me, "", FB_SCOPE_ALL);
            break;
        case 2:
            invalidate_patterns(me, key);
            break;
        case 3:
            invalidate(me, "item", FB_SCOPE_CLASS);
            invalidate(me, "pack", FB_SCOPE_CLASS);
            invalidate(me, "mine", FB_SCOPE_CLASS);
            break;
        case 4:
            store(me, key, version);
            break;
        case 5:
        case 6:
            invalidate(me, tag, FB_SCOPE_TAG);
            break;
        default:
            invalidate_keys(me, key);
            break;
    }
}

// Lets the readers have some reads in between.
static inline void pace(hand *me) {
    uint64_t until = atomic_load(&me->all->reads) + fb_rng_below(&me->rng, 30);
    while (atomic_load(&me->all->reads) < until && !atomic_load(&me->all->stop)) {
        sched_yield();
    }
}

static inline sqlite3 *open_writer(void) {
    sqlite3 *db = NULL;
    char path[96];
    rig_path(path, sizeof path, "a.db");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, RIG_PATIENCE_S * 1000);
    return db;
}

static inline void *write_on(void *arg) {
    hand *me = arg;
    stress *all = me->all;
    sqlite3 *db = open_writer();
    (void)sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    for (int i = 0; !atomic_load(&all->stop); i++) {
        int key = (int)fb_rng_below(&me->rng, KEYS);
        uint64_t version = atomic_load(&all->committed[key]) + 1;
        char sql[96];
        snprintf(sql, sizeof sql, "UPDATE item SET version = %llu WHERE id = %d",
                 (unsigned long long)version, key);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
            wrong_result(all, "update", FB_EIO, sqlite3_errmsg(db));
            break;
        }
        atomic_store(&all->committed[key], version);
        tell(me, key, version);
        atomic_store(&all->acknowledged[key], version);
        atomic_fetch_add(&all->writes, 1);
        pace(me);
    }
    (void)sqlite3_close(db);
    return NULL;
}

// ---- what else goes on

static inline void *disturb(void *arg) {
    static const char *const yamls[] = {CLASSES("1h"), CLASSES("20ms"), CLASSES("2h")};
    hand *me = arg;
    stress *all = me->all;
    for (uint32_t i = 0; !atomic_load(&all->stop); i++) {
        fb_error error = {0};
        uint64_t started;
        int result = rig_reload(all->engine, yamls[i % 3], &error);
        if (result == FB_OK) {
            result = fb_warm(all->engine, FB_STR("item"), NULL, 0, &started, &error);
        }
        if (result == FB_OK) {
            result = fb_warm_top(all->engine, FB_STR("pack"), 5, &started);
        }
        if (result < 0) {
            wrong_result(all, "reload or warm", result, error.text);
        }
        pace(me);
        pace(me);
    }
    return NULL;
}

static inline int64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void ignore_event(void *arg, fb_log_level level, const char *event,
                                const char *fields) {
    (void)arg, (void)level, (void)event, (void)fields;
}

static inline void start(hand *one, stress *all, uint64_t seed, void *(*fn)(void *arg)) {
    *one = (hand){.all = all};
    fb_rng_init(&one->rng, seed);
    assert_int_equal(pthread_create(&one->thread, NULL, fn, one), 0);
}

// Runs until `until_ms`, or until something was seen that may not be.
static inline void run_round(stress *all, uint64_t seed, int64_t until_ms) {
    hand readers[READERS], writer, disturber;
    all->engine = rig_open(CLASSES("1h"));
    for (uint32_t i = 0; i < READERS; i++) {
        start(&readers[i], all, seed + i, read_on);
    }
    start(&writer, all, seed + 100, write_on);
    start(&disturber, all, seed + 200, disturb);
    while (now_ms() < until_ms && !atomic_load(&all->stop)) {
        sched_yield();
    }
    atomic_store(&all->stop, true);
    pthread_join(writer.thread, NULL);
    pthread_join(disturber.thread, NULL);
    for (uint32_t i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
    }
    fb_close(all->engine, (int64_t)(seed % 3));
}

// Rounds for so long, or until something was seen that may not be: that is in all->first, else it
// is empty.
static inline void stress_run(stress *all, uint64_t seed, int64_t all_ms) {
    static const fb_hooks quiet = {.log = ignore_event};
    char sql[256];
    snprintf(
        sql, sizeof sql,
        "PRAGMA journal_mode = WAL; DELETE FROM item; WITH RECURSIVE t(n) AS (SELECT 0 UNION ALL "
        "SELECT n + 1 FROM t WHERE n < %d) INSERT INTO item SELECT n, 'k', 0 FROM t",
        KEYS - 1);
    rig_sql(sql);
    memset(all, 0, sizeof *all);
    pthread_mutex_init(&all->lock, NULL);
    fb_hooks_set(&quiet);
    for (int i = 0; i < ROUNDS && all->first[0] == '\0'; i++) {
        atomic_store(&all->stop, false);
        run_round(all, seed + (uint64_t)i * 1000, now_ms() + all_ms / ROUNDS);
    }
    fb_hooks_set(NULL);
    pthread_mutex_destroy(&all->lock);
}

#endif
