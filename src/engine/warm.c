// Warming: loads that nobody waits for, behind all that somebody does.
//
// Three ways in: one set of parameters on request; what a class declares (`warm: {query: …}`: every
// row a set of parameters, loaded at start and on request); and the most-read keys of a class,
// which a sketch knows from a sample of the reads. The sketch keeps parameters rather than keys,
// since a key with a digest in it does not tell them.
//
// A query may give many more rows than a source's queue has places, and while rows are read from it
// a database may not be written: so rows are taken at once, as bytes, and wait here, in batches.
// They are fed to their source as far as half of its queue has room for them: whenever such a load
// is done the next begins, and the other half stays free for what comes beside it. Batches take
// turns.
//
// What takes longer than a moment (queries, sorting the sketch) happens on a worker.

#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

enum { QUERY_S = 60, BATCH_LEN_MAX = 64 * 1024 * 1024, FEED_MAX = 2000 };

typedef struct batch {
    fb_list list;  // in the backlog
    fb_task task;  // what fills it
    fb_engine *engine;
    const fb_class *class_;  // as it was when the batch was made
    uint32_t count;          // of the most read; 0: all
    bool hot;                // they are of what is read most, else of the class's query
    bool filling;
    fb_buf packed;  // sets of parameters, one behind the other
    size_t place;   // what is before it has been loaded
    uint64_t sets, refused;
    fb_error first;  // why the first was refused
} batch;

// ---- a set of parameters as bytes: a mark (a class may have none), then the values in the class's
// order, each behind its length

enum { MARK = 1 };

static int pack(const fb_bound *bound, fb_buf *out) {
    size_t before = out->len;
    int result = fb_buf_byte(out, MARK);
    for (size_t i = 0; i < bound->param_count && result == FB_OK; i++) {
        fb_str value = bound->params[i].value;
        uint32_t len = (uint32_t)value.len;
        result = fb_buf_append(out, fb_str_make((const char *)&len, sizeof len));
        result = result == FB_OK ? fb_buf_append(out, value) : result;
    }
    if (result < 0) {
        out->len = before;
    }
    return result;
}

// Takes one set off the front of `bytes`, as parameters that point into them. False: they are of
// another shape, from before a reload.
static bool unpack(const fb_class *class_, fb_str *bytes, fb_param *params) {
    if (bytes->len == 0 || bytes->ptr[0] != MARK) {
        return false;
    }
    *bytes = fb_str_make(bytes->ptr + 1, bytes->len - 1);
    for (size_t i = 0; i < class_->param_count; i++) {
        uint32_t len;
        if (bytes->len < sizeof len) {
            return false;
        }
        memcpy(&len, bytes->ptr, sizeof len);
        if (bytes->len - sizeof len < len) {
            return false;
        }
        params[i] = (fb_param){class_->params[i].name, {bytes->ptr + sizeof len, len}};
        *bytes = fb_str_make(bytes->ptr + sizeof len + len, bytes->len - sizeof len - len);
    }
    return true;
}

void fb_warm_note(fb_engine *engine, const fb_class *class_, const fb_bound *bound) {
    fb_scratch *scratch = fb_scratch_get();
    if (class_->id == FB_CLASS_PLAIN || class_->source == NULL || scratch == NULL) {
        return;
    }
    scratch->packed.len = 0;
    if (pack(bound, &scratch->packed) == FB_OK) {
        fb_cache_note_read(engine->cache, class_, fb_buf_str(&scratch->packed));
    }
}

// ---- one set of parameters

static int bind_set(const fb_class *class_, const fb_param *params, size_t param_count,
                    fb_bound *bound, fb_error *error) {
    fb_scratch *scratch = fb_scratch_get();
    if (scratch == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    return fb_class_bind(class_, params, param_count, &scratch->bind, bound, error);
}

static bool is_fresh(fb_engine *engine, fb_str key) {
    fb_found found;
    return fb_cache_peek(engine->cache, key, fb_clock_now_ns(), &found) == FB_FIND_FRESH;
}

// FB_MISS: there is nothing to do.
static int warm_one(fb_engine *engine, const fb_class *class_, const fb_param *params,
                    size_t param_count, fb_error *error) {
    fb_bound bound;
    int result = bind_set(class_, params, param_count, &bound, error);
    if (result < 0) {
        return result;
    }
    if (is_fresh(engine, bound.key)) {
        return FB_MISS;
    }
    result = fb_call_background(engine, class_, &bound, FB_PRIORITY_WARM, NULL);
    return result < 0 ? fb_error_set(error, result, "%s", fb_result_text(result)) : FB_OK;
}

// ---- batches

static batch *new_batch(fb_engine *engine, const fb_class *class_, bool hot) {
    batch *made = fb_mem_zero(1, sizeof *made);
    if (made != NULL) {
        made->engine = engine;
        made->class_ = class_;
        made->hot = hot;
        made->filling = true;
    }
    return made;
}

static void free_batch(batch *one) {
    fb_buf_release(&one->packed);
    fb_mem_free(one);
}

static void add_set(batch *one, const fb_param *params, size_t param_count) {
    fb_bound bound;
    fb_error error;
    int result = bind_set(one->class_, params, param_count, &bound, &error);
    if (result == FB_OK && one->packed.len >= BATCH_LEN_MAX) {
        result =
            fb_error_set(&error, FB_ETOOBIG, "more than %d bytes of parameters", BATCH_LEN_MAX);
    } else if (result == FB_OK && !is_fresh(one->engine, bound.key)) {
        result = pack(&bound, &one->packed);
        one->sets += result == FB_OK ? 1 : 0;
    }
    if (result < 0 && one->refused++ == 0) {
        one->first = error;
    }
}

// Puts one into the backlog that is still to be filled, unless there is one of its kind already.
static bool enlist(batch *one) {
    fb_backlog *backlog = &one->engine->backlog;
    bool found = false;
    pthread_mutex_lock(&backlog->lock);
    FB_LIST_EACH(node, &backlog->batches) {
        const batch *other = FB_LIST_OF(node, batch, list);
        found = found || (other->hot == one->hot && other->class_->id == one->class_->id);
    }
    if (!found) {
        fb_list_insert(&backlog->batches, &one->list);
    }
    pthread_mutex_unlock(&backlog->lock);
    return !found;
}

static void end_filling(batch *one) {
    fb_backlog *backlog = &one->engine->backlog;
    pthread_mutex_lock(&backlog->lock);
    one->filling = false;
    bool empty = one->packed.len == 0;
    if (empty) {
        fb_list_remove(&one->list);
    }
    pthread_mutex_unlock(&backlog->lock);
    if (empty) {
        free_batch(one);
    }
}

// Has a worker fill a batch. FB_OK also where there is one already.
static int fill_later(batch *one, void (*fill)(fb_task *task, uint32_t worker)) {
    if (one == NULL) {
        return FB_ENOMEM;
    }
    fb_engine *engine = one->engine;
    if (!fb_engine_enter(engine)) {
        free_batch(one);
        return FB_ECLOSED;
    }
    if (!enlist(one)) {
        free_batch(one);
        fb_engine_idle(engine);
        return FB_OK;
    }
    one->task.run = fill;
    fb_workers_submit(engine->workers, &one->task);
    return FB_OK;
}

// ---- what a class declares

static void take_row(void *arg, const fb_param *columns, size_t column_count) {
    add_set(arg, columns, column_count);
}

static void tell(const batch *one, int result, const fb_error *error) {
    fb_str name = one->class_->name;
    if (result == FB_ECLOSED) {
        return;
    }
    if (result < 0) {
        fb_log(FB_LOG_WARN, "warm_failed", "class=%.*s error=%s", FB_STR_ARG(name),
               fb_log_quote(fb_str_of(error->text), FB_LOG_TEXT_MAX).text);
    }
    if (one->refused > 0) {
        fb_log(FB_LOG_WARN, "warm_rows_refused", "class=%.*s refused=%llu error=%s",
               FB_STR_ARG(name), (unsigned long long)one->refused,
               fb_log_quote(fb_str_of(one->first.text), FB_LOG_TEXT_MAX).text);
    }
    fb_log(FB_LOG_INFO, "warming", "class=%.*s loads=%llu", FB_STR_ARG(name),
           (unsigned long long)one->sets);
}

static void run_query(fb_task *task, uint32_t worker) {
    (void)worker;
    batch *one = FB_LIST_OF(task, batch, task);
    fb_engine *engine = one->engine;
    fb_supply *supply = one->class_->source;
    int64_t deadline_ns = fb_clock_now_ns() + QUERY_S * INT64_C(1000000000);
    fb_error error;
    int result =
        supply->source->type->rows(supply->source, fb_str_of(one->class_->options.warm_query),
                                   deadline_ns, take_row, one, &error);
    tell(one, result, &error);
    end_filling(one);
    fb_engine_idle(engine);
}

static int warm_declared(fb_engine *engine, const fb_class *class_) {
    return fill_later(new_batch(engine, class_, false), run_query);
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

static void take_hot(void *arg, fb_str packed, uint64_t reads) {
    (void)reads;
    batch *one = arg;
    fb_param params[FB_CLASS_PARAMS_MAX];
    if (unpack(one->class_, &packed, params) && packed.len == 0) {
        add_set(one, params, one->class_->param_count);
    }
}

static void collect_hot(batch *one) {
    fb_cache_hot(one->engine->cache, one->class_->id, one->count, take_hot, one);
}

static void run_collect(fb_task *task, uint32_t worker) {
    (void)worker;
    batch *one = FB_LIST_OF(task, batch, task);
    fb_engine *engine = one->engine;
    collect_hot(one);
    end_filling(one);
    fb_engine_idle(engine);
}

// Here and now, on the caller's thread. *started: how many; 0 too where such a batch waits already.
static int warm_hot(fb_engine *engine, const fb_class *class_, uint32_t count, uint64_t *started) {
    batch *one = new_batch(engine, class_, true);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    one->count = count;
    if (!enlist(one)) {
        free_batch(one);
        return FB_OK;
    }
    collect_hot(one);
    *started += one->sets;
    end_filling(one);
    return FB_OK;
}

void fb_warm_look(fb_engine *engine) {
    const fb_catalog *catalog = fb_cache_catalog(engine->cache);
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        if (class_->options.warm_top > 0 && class_->source != NULL) {
            batch *one = new_batch(engine, class_, true);
            if (one != NULL) {
                one->count = class_->options.warm_top;
            }
            FB_IGNORE(fill_later(one, run_collect));  // the next second comes soon
        }
    }
}

// ---- feeding

// The first that is not being filled, if nobody else feeds.
static batch *take_batch(fb_backlog *backlog) {
    batch *taken = NULL;
    pthread_mutex_lock(&backlog->lock);
    fb_list *node = backlog->batches.next;
    while (node != &backlog->batches && FB_LIST_OF(node, batch, list)->filling) {
        node = node->next;
    }
    if (!backlog->feeding && node != &backlog->batches) {
        taken = FB_LIST_OF(node, batch, list);
        fb_list_remove(node);
        backlog->feeding = true;
    }
    pthread_mutex_unlock(&backlog->lock);
    return taken;
}

// Back to the end, if there is more of it.
static void give_batch(fb_backlog *backlog, batch *one, bool more) {
    pthread_mutex_lock(&backlog->lock);
    backlog->feeding = false;
    if (more) {
        fb_list_insert(&backlog->batches, &one->list);
    }
    pthread_mutex_unlock(&backlog->lock);
    if (!more) {
        free_batch(one);
    }
}

// How many more loads a source takes now, half of its queue left free.
static uint32_t room_of(fb_engine *engine, fb_supply *supply) {
    uint32_t transit = atomic_load(&engine->backlog.transit);
    pthread_mutex_lock(&supply->lock);
    const fb_bulkhead *gate = &supply->bulkhead;
    uint32_t half = gate->queue_max / 2;
    uint32_t room = gate->running < gate->running_max ? gate->running_max - gate->running : 0;
    room += gate->queued < half ? half - gate->queued : 0;
    pthread_mutex_unlock(&supply->lock);
    return room > transit ? room - transit : 0;
}

// Whether there is more of it.
static bool feed(fb_engine *engine, batch *one) {
    const fb_class *class_ = fb_catalog_by_id(fb_cache_catalog(engine->cache), one->class_->id);
    if (class_ == NULL || class_->source == NULL ||
        class_->param_count != one->class_->param_count) {
        return false;  // a reload came
    }
    uint32_t room = room_of(engine, class_->source);
    int result = FB_OK;
    for (int i = 0; i < FEED_MAX && room > 0 && one->place < one->packed.len; i++) {
        fb_param params[FB_CLASS_PARAMS_MAX];
        fb_str rest = {one->packed.ptr + one->place, one->packed.len - one->place};
        if (!unpack(class_, &rest, params)) {
            return false;
        }
        result = warm_one(engine, class_, params, class_->param_count, NULL);
        if (result == FB_ENOMEM || result == FB_ECLOSED) {
            return result == FB_ENOMEM;
        }
        room -= result == FB_OK ? 1 : 0;
        one->place = one->packed.len - rest.len;
    }
    return one->place < one->packed.len;
}

void fb_warm_feed(fb_engine *engine) {
    batch *one = take_batch(&engine->backlog);
    if (one != NULL) {
        give_batch(&engine->backlog, one, feed(engine, one));
    }
}

void fb_warm_release(fb_engine *engine) {
    FB_LIST_EACH_SAFE(node, after, &engine->backlog.batches) {
        fb_list_remove(node);
        free_batch(FB_LIST_OF(node, batch, list));
    }
}

// ---- public

static int find_warmable(fb_engine *engine, fb_str class_name, const fb_class **class_,
                         fb_error *error) {
    *class_ = fb_catalog_find(fb_cache_catalog(engine->cache), class_name);
    if (*class_ == NULL || (*class_)->id == FB_CLASS_PLAIN) {
        return fb_error_set(error, FB_ENOCLASS, "there is no class '%.*s'", FB_STR_ARG(class_name));
    }
    if ((*class_)->source == NULL) {
        return fb_error_set(error, FB_ENOSOURCE, "class '%.*s' has no source",
                            FB_STR_ARG(class_name));
    }
    if (atomic_load(&engine->closing)) {
        return fb_error_set(error, FB_ECLOSED, "shutting down");
    }
    return FB_OK;
}

static int warm_class(fb_engine *engine, const fb_class *class_, uint64_t *started,
                      fb_error *error) {
    const fb_class_options *options = &class_->options;
    if (options->warm_query == NULL && options->warm_top == 0) {
        return fb_error_set(error, FB_EINVAL,
                            "class '%.*s' declares nothing under warm: name parameters",
                            FB_STR_ARG(class_->name));
    }
    int result =
        options->warm_top > 0 ? warm_hot(engine, class_, options->warm_top, started) : FB_OK;
    if (result == FB_OK && options->warm_query != NULL) {
        result = warm_declared(engine, class_);
    }
    return result < 0 ? fb_error_set(error, result, "%s", fb_result_text(result)) : FB_OK;
}

int fb_warm(fb_engine *engine, fb_str class_name, const fb_param *params, size_t param_count,
            uint64_t *started, fb_error *error) {
    fb_engine_ours(engine);
    const fb_class *class_ = NULL;
    uint64_t count = 0;
    int result = find_warmable(engine, class_name, &class_, error);
    if (result == FB_OK && param_count > 0) {
        result = warm_one(engine, class_, params, param_count, error);
        count = result == FB_OK ? 1 : 0;
    } else if (result == FB_OK) {
        result = warm_class(engine, class_, &count, error);
    }
    if (started != NULL) {
        *started = count;
    }
    return result < 0 ? result : FB_OK;
}

int fb_warm_top(fb_engine *engine, fb_str class_name, uint32_t count, uint64_t *started) {
    fb_engine_ours(engine);
    const fb_class *class_ = NULL;
    uint64_t begun = 0;
    int result = find_warmable(engine, class_name, &class_, NULL);
    if (result == FB_OK) {
        result = warm_hot(engine, class_, count, &begun);
    }
    if (started != NULL) {
        *started = begun;
    }
    return result;
}
