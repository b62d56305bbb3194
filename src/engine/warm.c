// Warming: loads that nobody waits for, behind all that somebody does.
//
// Three ways in: what a class declares (`warm: {query: …}`: every row a set of parameters, loaded at
// start and on request), one set of parameters on request, and the most-read keys of a class, which a
// sketch knows from a sample of the reads. The sketch keeps parameters rather than keys, since a key
// with a digest in it does not tell them: values in the class's order, each behind its length.

#include "engine/engine.h"

#include <event2/event.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

enum { SWEEP_ITEMS = 2000, WARM_EVERY = 10, WARM_QUERY_S = 60 };

// ---- parameters as bytes

static int pack(const fb_bound *bound, fb_buf *out) {
    out->len = 0;
    for (size_t i = 0; i < bound->param_count; i++) {
        fb_str value = bound->params[i].value;
        uint32_t len = (uint32_t)value.len;
        if (fb_buf_append(out, fb_str_make((const char *)&len, sizeof len)) < 0 ||
            fb_buf_append(out, value) < 0) {
            return FB_ENOMEM;
        }
    }
    return FB_OK;
}

// Back into parameters that point into `bytes`. False: they are of another shape, from before a reload.
static bool unpack(const fb_class *class_, fb_str bytes, fb_param *params) {
    for (size_t i = 0; i < class_->param_count; i++) {
        uint32_t len;
        if (bytes.len < sizeof len) {
            return false;
        }
        memcpy(&len, bytes.ptr, sizeof len);
        if (bytes.len - sizeof len < len) {
            return false;
        }
        params[i] = (fb_param){class_->params[i].name, {bytes.ptr + sizeof len, len}};
        bytes = fb_str_make(bytes.ptr + sizeof len + len, bytes.len - sizeof len - len);
    }
    return bytes.len == 0;
}

void fb_warm_note(fb_engine *engine, const fb_class *class_, const fb_bound *bound) {
    fb_scratch *scratch = fb_scratch_get();
    if (class_->id == FB_CLASS_PLAIN || class_->source == NULL || scratch == NULL) {
        return;
    }
    // `copy` holds the answer on its way to the caller: a buffer of our own.
    fb_buf packed = {0};
    if (pack(bound, &packed) == FB_OK) {
        fb_cache_note_read(engine->cache, class_, fb_buf_str(&packed));
    }
    fb_buf_release(&packed);
}

// ---- one

static int warm_one(fb_engine *engine, const fb_class *class_, const fb_param *params, size_t param_count,
                    fb_error *error) {
    fb_scratch *scratch = fb_scratch_get();
    fb_bound bound;
    if (scratch == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = fb_class_bind(class_, params, param_count, &scratch->bind, &bound, error);
    if (result < 0) {
        return result;
    }
    fb_found found;
    fb_find find = fb_cache_peek(engine->cache, bound.key, fb_clock_now_ns(), &found);
    if (find == FB_FIND_FRESH) {
        return FB_MISS;  // nothing to do
    }
    result = fb_call_background(engine, class_, &bound, FB_PRIORITY_WARM);
    return result < 0 ? fb_error_set(error, result, "out of memory") : FB_OK;
}

// ---- what a class declares

typedef struct warm_job {
    fb_task task;
    fb_engine *engine;
    const fb_class *class_;
    uint64_t rows, started, refused;
    fb_error first;
} warm_job;

static void warm_row(void *arg, const fb_param *columns, size_t column_count) {
    warm_job *one = arg;
    fb_error error;
    one->rows++;
    int result = warm_one(one->engine, one->class_, columns, column_count, &error);
    one->started += result == FB_OK ? 1 : 0;
    if (result < 0 && one->refused++ == 0) {
        one->first = error;
    }
}

static void run_warm_query(fb_task *task, uint32_t worker) {
    (void)worker;
    warm_job *one = FB_LIST_OF(task, warm_job, task);
    fb_engine *engine = one->engine;
    const fb_class *class_ = one->class_;
    fb_supply *supply = class_->source;
    fb_error error;
    int result = supply->source->type->rows(supply->source, fb_str_of(class_->options.warm_query),
                                            fb_clock_now_ns() + WARM_QUERY_S * INT64_C(1000000000),
                                            warm_row, one, &error);
    if (result < 0) {
        fb_log(FB_LOG_WARN, "warm_failed", "class=%.*s error=\"%s\"", FB_STR_ARG(class_->name), error.text);
    } else if (one->refused > 0) {
        fb_log(FB_LOG_WARN, "warm_rows_refused", "class=%.*s rows=%llu refused=%llu error=\"%s\"",
               FB_STR_ARG(class_->name), (unsigned long long)one->rows, (unsigned long long)one->refused,
               one->first.text);
    } else {
        fb_log(FB_LOG_INFO, "warming", "class=%.*s rows=%llu loads=%llu", FB_STR_ARG(class_->name),
               (unsigned long long)one->rows, (unsigned long long)one->started);
    }
    fb_mem_free(one);
    fb_engine_idle(engine);
}

static int warm_declared(fb_engine *engine, const fb_class *class_) {
    warm_job *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    one->engine = engine;
    one->class_ = class_;
    one->task.run = run_warm_query;
    fb_engine_busy(engine);
    fb_workers_submit(engine->workers, &one->task);
    return FB_OK;
}

void fb_warm_at_start(fb_engine *engine) {
    const fb_catalog *catalog = fb_cache_catalog(engine->cache);
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        if (class_->options.warm_query != NULL) {
            FB_IGNORE(warm_declared(engine, class_));  // without memory there is nothing to warm
        }
    }
}

// ---- what is read most

typedef struct hot_list {
    fb_buf bytes;       // the packed parameters, one behind the other
    uint32_t lens[1024];
    uint32_t count;
} hot_list;

static void collect(void *arg, fb_str packed, uint64_t reads) {
    (void)reads;
    hot_list *list = arg;
    if (list->count < sizeof list->lens / sizeof list->lens[0] && fb_buf_append(&list->bytes, packed) == FB_OK) {
        list->lens[list->count++] = (uint32_t)packed.len;
    }
}

static uint64_t warm_hot(fb_engine *engine, const fb_class *class_, uint32_t count) {
    hot_list *list = fb_mem_zero(1, sizeof *list);
    uint64_t started = 0;
    if (list == NULL) {
        return 0;
    }
    fb_cache_hot(engine->cache, class_->id, count > 0 ? count : UINT32_MAX, collect, list);
    const char *place = list->bytes.ptr;
    for (uint32_t i = 0; i < list->count; i++) {
        fb_param params[FB_CLASS_PARAMS_MAX];
        fb_error error;
        if (unpack(class_, fb_str_make(place, list->lens[i]), params) &&
            warm_one(engine, class_, params, class_->param_count, &error) == FB_OK) {
            started++;
        }
        place += list->lens[i];
    }
    fb_buf_release(&list->bytes);
    fb_mem_free(list);
    return started;
}

// ---- public

static const fb_class *find_warmable(fb_engine *engine, fb_str class_name, int *result, fb_error *error) {
    const fb_class *class_ = fb_catalog_find(fb_cache_catalog(engine->cache), class_name);
    if (class_ == NULL || class_->id == FB_CLASS_PLAIN) {
        *result = fb_error_set(error, FB_ENOCLASS, "there is no class '%.*s'", FB_STR_ARG(class_name));
        return NULL;
    }
    if (class_->source == NULL) {
        *result = fb_error_set(error, FB_ENOSOURCE, "class '%.*s' has no source", FB_STR_ARG(class_name));
        return NULL;
    }
    if (atomic_load(&engine->closing)) {
        *result = fb_error_set(error, FB_ECLOSED, "shutting down");
        return NULL;
    }
    return class_;
}

int fb_warm(fb_engine *engine, fb_str class_name, const fb_param *params, size_t param_count,
            uint64_t *started, fb_error *error) {
    uint64_t count = 0;
    int result = FB_OK;
    const fb_class *class_ = find_warmable(engine, class_name, &result, error);
    if (class_ == NULL) {
        return result;
    }
    if (param_count > 0) {
        result = warm_one(engine, class_, params, param_count, error);
        count = result == FB_OK ? 1 : 0;
    } else if (class_->options.warm_query == NULL && class_->options.warm_top == 0) {
        result = fb_error_set(error, FB_EINVAL, "class '%.*s' declares nothing under warm: name parameters",
                              FB_STR_ARG(class_->name));
    } else {
        count = class_->options.warm_top > 0 ? warm_hot(engine, class_, class_->options.warm_top) : 0;
        result = class_->options.warm_query != NULL ? warm_declared(engine, class_) : FB_OK;
    }
    if (started != NULL) {
        *started = count;
    }
    return result < 0 ? result : FB_OK;
}

int fb_warm_top(fb_engine *engine, fb_str class_name, uint32_t count, uint64_t *started) {
    int result = FB_OK;
    const fb_class *class_ = find_warmable(engine, class_name, &result, NULL);
    if (class_ == NULL) {
        return result;
    }
    uint64_t begun = warm_hot(engine, class_, count);
    if (started != NULL) {
        *started = begun;
    }
    return FB_OK;
}

// ---- upkeep: a bounded share of the housekeeping, ten times a second, on the first lane

void fb_warm_upkeep(fb_lane *lane, int64_t now_ns) {
    fb_engine *engine = lane->engine;
    (void)fb_store_sweep(fb_cache_store(engine->cache), now_ns, SWEEP_ITEMS);
    lane->upkeep_turn++;
    if (lane->upkeep_turn % WARM_EVERY != 0 || atomic_load(&engine->closing)) {
        return;
    }
    const fb_catalog *catalog = fb_cache_catalog(engine->cache);
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        if (class_->options.warm_top > 0 && class_->source != NULL) {
            (void)warm_hot(engine, class_, class_->options.warm_top);
        }
    }
}
