// Plain keys and invalidation: everything that is answered on the caller's thread.

#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/blob.h"
#include "base/glob.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

// ---- reading

static bool usable(fb_find find) {
    return find == FB_FIND_FRESH || find == FB_FIND_EARLY || find == FB_FIND_STALE;
}

// What may serve only if a source fails is nothing to a plain read, which asks none.
typedef struct showing {
    fb_value_fn fn;
    void *arg;
} showing;

static void show_usable(void *arg, const fb_value *value) {
    const showing *to = arg;
    if (value->freshness != FB_FALLBACK) {
        to->fn(to->arg, value);
    }
}

// Where the key tells its parameters: a stale value is served while one load refreshes it, and a
// sample of the reads says what is read most.
static void follow_up(fb_engine *engine, const fb_found *found, fb_str key, bool sampled) {
    const fb_class *class_ = fb_catalog_by_id(fb_cache_catalog(engine->cache), found->class_id);
    fb_scratch *scratch = fb_scratch_get();
    fb_bound bound;
    if (class_ == NULL || class_->source == NULL || scratch == NULL ||
        fb_class_unbind(class_, key, &scratch->bind, &bound) != FB_OK) {
        return;
    }
    if (sampled) {
        fb_warm_note(engine, class_, &bound);
    }
    if (found->find == FB_FIND_STALE) {
        FB_IGNORE(fb_call_background(engine, class_, &bound, FB_PRIORITY_REFRESH, NULL));
    }
}

static int count_miss(fb_engine *engine, fb_str key, fb_scratch *scratch, int64_t begin_ns) {
    uint16_t id = fb_catalog_of_key(fb_cache_catalog(engine->cache), key)->id;
    fb_cache_count(engine->cache, id, FB_COUNTER_misses, 1);
    fb_cache_note_miss(engine->cache, key, FB_MISS_UNKNOWN);  // it knows, as far as anybody does
    if (scratch != NULL && fb_scratch_sample(scratch, id)) {
        fb_cache_time(engine->cache, id, FB_TIMING_MISS, fb_clock_now_ns() - begin_ns);
    }
    return FB_MISS;
}

// Counts what a plain read found, and returns what fb_get() does.
static int count_read(fb_engine *engine, fb_str key, const fb_found *found, int64_t begin_ns) {
    fb_cache *cache = engine->cache;
    fb_scratch *scratch = fb_scratch_get();
    if (!usable(found->find)) {
        return count_miss(engine, key, scratch, begin_ns);
    }
    bool sampled = scratch != NULL && fb_scratch_sample(scratch, found->class_id);
    if (sampled) {
        fb_cache_time(cache, found->class_id, FB_TIMING_HIT, fb_clock_now_ns() - begin_ns);
    }
    fb_cache_count(cache, found->class_id, FB_COUNTER_hits, 1);
    if (found->negative) {
        fb_cache_count(cache, found->class_id, FB_COUNTER_negative_hits, 1);
    } else if (found->find == FB_FIND_STALE) {
        fb_cache_count(cache, found->class_id, FB_COUNTER_stale_hits, 1);
    }
    if (found->class_id != FB_CLASS_PLAIN && (sampled || found->find == FB_FIND_STALE)) {
        follow_up(engine, found, key, sampled);
    }
    return found->negative ? FB_NEGATIVE : FB_OK;
}

int fb_get(fb_engine *engine, fb_str key, fb_value_fn fn, void *arg) {
    showing to = {fn, arg};
    fb_found found;
    int64_t begin_ns = fb_clock_now_ns();
    (void)fb_cache_read(engine->cache, key, begin_ns, NULL, show_usable, &to, &found);
    return count_read(engine, key, &found, begin_ns);
}

static void get_some(fb_engine *engine, const fb_str *keys, size_t count, fb_value_fn fn,
                     void *const *args, int *results) {
    showing to[FB_CACHE_MANY_MAX];
    void *places[FB_CACHE_MANY_MAX];
    fb_found found[FB_CACHE_MANY_MAX];
    int64_t begin_ns = fb_clock_now_ns();
    for (size_t i = 0; i < count; i++) {
        to[i] = (showing){fn, args[i]};
        places[i] = &to[i];
    }
    fb_cache_read_many(engine->cache, keys, count, begin_ns, show_usable, places, found);
    for (size_t i = 0; i < count; i++) {
        results[i] = count_read(engine, keys[i], &found[i], begin_ns);
    }
}

void fb_get_many(fb_engine *engine, const fb_str *keys, size_t key_count, fb_value_fn fn,
                 void *const *args, int *results) {
    for (size_t done = 0; done < key_count; done += FB_CACHE_MANY_MAX) {
        size_t left = key_count - done;
        size_t count = left < FB_CACHE_MANY_MAX ? left : FB_CACHE_MANY_MAX;
        get_some(engine, keys + done, count, fn, args + done, results + done);
    }
}

void fb_prefetch(fb_engine *engine, const fb_str *keys, size_t key_count) {
    fb_store_prefetch(fb_cache_store(engine->cache), keys, key_count);
}

// Called perhaps more than once: the last blob counts.
void fb_value_keep(void *arg, const fb_value *value) {
    fb_value *copy = arg;
    fb_blob_drop(copy->owner);
    fb_blob *blob = fb_blob_new(value->data);
    *copy = *value;
    copy->owner = blob;
    copy->data = blob != NULL ? fb_blob_str(blob) : (fb_str){NULL, 0};
}

int fb_get_copy(fb_engine *engine, fb_str key, fb_value *value) {
    *value = (fb_value){0};
    int result = fb_get(engine, key, fb_value_keep, value);
    if (result == FB_OK && value->owner != NULL) {
        return FB_OK;
    }
    fb_value_release(value);
    return result == FB_OK ? FB_ENOMEM : result;
}

int fb_exists(fb_engine *engine, fb_str key) {
    fb_found found;
    fb_find find = fb_cache_peek(engine->cache, key, fb_clock_now_ns(), &found);
    return usable(find) && !found.negative ? FB_OK : FB_MISS;
}

int fb_ttl(fb_engine *engine, fb_str key, int64_t *ttl_ms) {
    fb_found found;
    int64_t now_ns = fb_clock_now_ns();
    fb_find find = fb_cache_peek(engine->cache, key, now_ns, &found);
    if (!usable(find) || found.negative) {
        return FB_MISS;
    }
    // The time a reader would still find it: stale counts as found, fallback does not.
    *ttl_ms =
        found.stale_until_ns == INT64_MAX ? -1 : (found.stale_until_ns - now_ns + 999999) / 1000000;
    return FB_OK;
}

// ---- writing

static int check_key(fb_str key) {
    return key.len <= FB_KEY_LEN_MAX ? FB_OK : FB_ETOOBIG;
}

static void count_write(fb_engine *engine, fb_str key, fb_counter counter) {
    const fb_class *class_ = fb_catalog_of_key(fb_cache_catalog(engine->cache), key);
    fb_cache_count(engine->cache, class_->id, counter, 1);
}

int fb_set(fb_engine *engine, fb_str key, fb_str value, const fb_set_options *options) {
    static const fb_set_options none = {0};
    options = options != NULL ? options : &none;
    if (check_key(key) < 0) {
        return FB_ETOOBIG;
    }
    if (options->ttl_ms < 0 || options->ttl_ms > INT64_MAX / 1000000 ||
        options->tag_count > FB_TAGS_MAX) {
        return FB_EINVAL;
    }
    int result = fb_cache_put(engine->cache, key, value, options->ttl_ms * 1000000, options->tags,
                              options->tag_count, fb_clock_now_ns());
    if (result == FB_OK) {
        count_write(engine, key, FB_COUNTER_sets);
    }
    return result;
}

int fb_del(fb_engine *engine, fb_str key) {
    int result = fb_cache_del(engine->cache, key, fb_clock_now_ns());
    if (result == FB_OK) {
        count_write(engine, key, FB_COUNTER_dels);
    }
    return result;
}

// An edit, and what it did.
typedef struct change {
    fb_edit_fn fn;
    void *arg;
    bool found;
    fb_edit_action action;
} change;

static int note_change(void *arg, fb_edit *edit) {
    change *one = arg;
    one->found = edit->found;
    int result = one->fn(one->arg, edit);
    one->action = result < 0 ? FB_EDIT_KEEP : edit->action;
    return result;
}

int fb_edit_key(fb_engine *engine, fb_str key, fb_edit_fn fn, void *arg) {
    if (check_key(key) < 0) {
        return FB_ETOOBIG;
    }
    int64_t now_ns;
    int64_t wall_ms;
    change one = {.fn = fn, .arg = arg};
    fb_clock_pair(&now_ns, &wall_ms);
    int result = fb_cache_edit(engine->cache, key, now_ns, wall_ms, note_change, &one);
    if (result >= 0 && one.action == FB_EDIT_PUT) {
        count_write(engine, key, FB_COUNTER_sets);
    } else if (result >= 0 && one.action == FB_EDIT_DELETE && one.found) {
        count_write(engine, key, FB_COUNTER_dels);
    }
    return result;
}

typedef struct sum {
    int64_t delta, result;
    char text[24];
} sum;

static int add(void *arg, fb_edit *edit) {
    sum *one = arg;
    int64_t number = 0;
    int result = edit->found ? fb_str_int(edit->value.data, &number) : FB_OK;
    if (result < 0) {
        return FB_ETYPE;  // also what does not fit into 64 bits is no integer here, as in Redis
    }
    if (__builtin_add_overflow(number, one->delta, &one->result)) {
        return FB_ERANGE;
    }
    int len = snprintf(one->text, sizeof one->text, "%lld", (long long)one->result);
    edit->action = FB_EDIT_PUT;
    edit->data = fb_str_make(one->text, (size_t)len);
    return FB_OK;
}

int fb_incr(fb_engine *engine, fb_str key, int64_t delta, int64_t *result) {
    sum one = {.delta = delta};
    int outcome = fb_edit_key(engine, key, add, &one);
    if (outcome == FB_OK) {
        *result = one.result;
    }
    return outcome;
}

static int set_expiry(void *arg, fb_edit *edit) {
    if (!edit->found) {
        return FB_MISS;
    }
    edit->expires_ms = *(const int64_t *)arg;
    edit->action = FB_EDIT_EXPIRE;
    return FB_OK;
}

int fb_expire(fb_engine *engine, fb_str key, int64_t ttl_ms) {
    int64_t now_ns;
    int64_t at_ms;
    fb_clock_pair(&now_ns, &at_ms);
    if (__builtin_add_overflow(at_ms, ttl_ms, &at_ms)) {
        return FB_EINVAL;
    }
    at_ms = at_ms > 0 ? at_ms : 0;
    return fb_edit_key(engine, key, set_expiry, &at_ms);
}

int fb_persist(fb_engine *engine, fb_str key) {
    int64_t never = -1;
    return fb_edit_key(engine, key, set_expiry, &never);
}

// ---- the key space

uint64_t fb_count(fb_engine *engine) {
    fb_store_stats stats;
    fb_store_stats_read(fb_cache_store(engine->cache), &stats);
    return stats.items;
}

uint64_t fb_value_max(fb_engine *engine) {
    return fb_store_value_max(fb_cache_store(engine->cache));
}

int fb_scan(fb_engine *engine, uint64_t cursor, uint64_t count, fb_str match, fb_key_fn fn,
            void *arg, uint64_t *next) {
    *next = fb_cache_scan(engine->cache, cursor, count, match, fb_clock_now_ns(), fn, arg);
    return FB_OK;
}

// The class that an invalidation counts for: that of the key or of keys like the pattern; the plain
// one stands for what concerns several.
static uint16_t class_of(const fb_catalog *catalog, const fb_invalidation *what) {
    const fb_class *class_ = NULL;
    if (what->scope == FB_SCOPE_KEY || what->scope == FB_SCOPE_PATTERN) {
        class_ = fb_catalog_of_key(catalog, what->name);
    } else if (what->scope == FB_SCOPE_CLASS) {
        class_ = fb_catalog_find(catalog, what->name);
    }
    return class_ != NULL ? class_->id : FB_CLASS_PLAIN;
}

int fb_invalidate(fb_engine *engine, const fb_invalidation *what, int64_t *removed) {
    int64_t count = 0;
    int result = fb_cache_invalidate(engine->cache, what, fb_clock_now_ns(), &count);
    if (result >= 0) {
        uint16_t id = class_of(fb_cache_catalog(engine->cache), what);
        fb_cache_count(engine->cache, id, FB_COUNTER_invalidations, 1);
    }
    if (removed != NULL) {
        *removed = count;
    }
    return result;
}

int fb_explain(fb_engine *engine, fb_str key, fb_explanation *explanation) {
    return fb_cache_explain(engine->cache, key, fb_clock_now_ns(), explanation);
}
