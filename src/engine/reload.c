// Taking over another configuration while running.
//
// A whole new plan is made beside what runs; it takes effect by one swap of the catalogue, or not at
// all. Sources, queries and classes of earlier configurations stay until the close, since loads and
// readers may hold them: a reload costs some memory.

#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

static bool same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_texts(char **a, size_t a_count, char **b, size_t b_count) {
    bool same = a_count == b_count;
    for (size_t i = 0; same && i < a_count; i++) {
        same = strcmp(a[i], b[i]) == 0;
    }
    return same;
}

// Whether values loaded under `a` are still what `b` would load under the same keys.
static bool same_values(const fb_class_options *a, const fb_class_options *b) {
    return same_text(a->key, b->key) && same_text(a->source, b->source) && same_text(a->query, b->query) &&
           same_text(a->namespace_name, b->namespace_name) && a->normalise == b->normalise &&
           a->digest == b->digest && a->one == b->one &&
           same_texts(a->tags, a->tag_count, b->tags, b->tag_count) &&
           same_texts(a->index, a->index_count, b->index, b->index_count);
}

static void drop_changed(fb_engine *engine, const fb_catalog *before) {
    const fb_catalog *now = fb_cache_catalog(engine->cache);
    for (size_t i = 1; i < fb_catalog_count(now); i++) {
        const fb_class *class_ = fb_catalog_at(now, i);
        const fb_class *old = fb_catalog_find(before, class_->name);
        if (old != NULL && !same_values(&old->options, &class_->options)) {
            fb_invalidation what = {.scope = FB_SCOPE_CLASS, .name = class_->name};
            FB_IGNORE(fb_invalidate(engine, &what, NULL));
        }
    }
}

typedef struct comparison {
    const fb_config *other;
    fb_reload_fn fn;
    void *arg;
    bool only_missing;   // report only what `other` does not have at all
} comparison;

static void compare(void *arg, fb_str path, fb_str value, fb_str default_value, const char *unit,
                    bool reloadable, const char *help) {
    (void)default_value, (void)unit, (void)help;
    comparison *one = arg;
    enum { TEXT_MAX = 65536 };
    char *text = fb_mem_new(TEXT_MAX);
    if (text == NULL) {
        return;
    }
    int result = fb_config_get(one->other, path, text, TEXT_MAX);
    bool differs = one->only_missing ? result == FB_MISS
                                     : result != FB_OK || !fb_str_equal(fb_str_of(text), value);
    fb_mem_free(text);
    if (differs) {
        // A source that was not there before has been opened; one that is open stays what it is.
        bool opened = result == FB_MISS && !one->only_missing && fb_str_starts(path, FB_STR("sources."));
        one->fn(one->arg, path, reloadable || opened);
    }
}

static void report(const fb_config *before, const fb_config *now, fb_reload_fn fn, void *arg) {
    if (fn == NULL) {
        return;
    }
    comparison changed = {.other = before, .fn = fn, .arg = arg};
    comparison gone = {.other = now, .fn = fn, .arg = arg, .only_missing = true};
    FB_IGNORE(fb_config_walk(now, compare, &changed));
    FB_IGNORE(fb_config_walk(before, compare, &gone));
}

// What must not fail comes last: the plan and the memory first, then the swap.
static int apply(fb_engine *engine, const fb_settings *settings, fb_plan *plan, fb_error *error) {
    int result = fb_store_resize(fb_cache_store(engine->cache), settings->memory_bytes);
    if (result < 0) {
        return fb_error_set(error, result, "memory cannot become %llu bytes: %s",
                            (unsigned long long)settings->memory_bytes, fb_result_text(result));
    }
    const fb_catalog *before = fb_cache_catalog(engine->cache);
    result = fb_cache_swap(engine->cache, plan->catalog);
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    plan->catalog = NULL;  // the cache's now
    fb_plan_merge(&engine->opened, plan);
    drop_changed(engine, before);
    atomic_store(&engine->slow_ns, settings->slow_ns);
    return FB_OK;
}

static int replace(fb_engine *engine, const fb_config *config, fb_config *copy, fb_error *error) {
    fb_plan plan;
    int result = fb_plan_make(fb_config_settings(config), engine->workers, engine->opened.supplies,
                              fb_cache_catalog(engine->cache), &plan, error);
    if (result < 0) {
        return result;
    }
    result = apply(engine, fb_config_settings(copy), &plan, error);
    fb_plan_release(&plan);
    return result;
}

int fb_reload(fb_engine *engine, const fb_config *config, fb_reload_fn fn, void *arg, fb_error *error) {
    int result = fb_config_check(config, error);
    if (result < 0) {
        return result;
    }
    fb_config *copy = NULL;
    result = fb_config_copy(config, &copy);
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    pthread_mutex_lock(&engine->config_lock);
    result = replace(engine, config, copy, error);
    if (result == FB_OK) {
        report(engine->config, copy, fn, arg);
        fb_config *old = engine->config;
        engine->config = copy;
        copy = old;
    }
    pthread_mutex_unlock(&engine->config_lock);
    fb_config_free(copy);
    return result;
}
