// Taking over another configuration while running.
//
// A whole new plan is made beside what runs; it takes effect by one swap of the catalogue, or not
// at all. Sources, queries and classes of earlier configurations stay until the close, since loads
// and readers may hold them: a reload costs some memory.

#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"

enum { OPTION_SIZE = 131072 };  // a query, and it may be quoted

typedef struct comparison {
    const fb_config *other;
    fb_reload_fn fn;
    void *arg;
    bool only_missing;  // report only what `other` does not have at all
    char *text;         // OPTION_SIZE bytes
} comparison;

static void compare(void *arg, fb_str path, fb_str value, fb_str default_value, const char *unit,
                    bool reloadable, const char *help) {
    (void)default_value, (void)unit, (void)help;
    comparison *one = arg;
    int result = fb_config_get(one->other, path, one->text, OPTION_SIZE);
    bool differs = one->only_missing
                       ? result == FB_MISS
                       : result != FB_OK || !fb_str_equal(fb_str_of(one->text), value);
    if (differs) {
        // A source that was not there before has been opened; one that is open stays what it is.
        bool opened =
            result == FB_MISS && !one->only_missing && fb_str_starts(path, FB_STR("sources."));
        one->fn(one->arg, path, reloadable || opened);
    }
}

// `text`: OPTION_SIZE bytes to work with. FB_OK; FB_ENOMEM: not all was compared.
static int report(const fb_config *before, const fb_config *now, fb_reload_fn fn, void *arg,
                   char *text) {
    comparison changed = {.other = before, .fn = fn, .arg = arg, .text = text};
    comparison gone = {.other = now, .fn = fn, .arg = arg, .only_missing = true, .text = text};
    int result = fb_config_walk(now, compare, &changed);
    return result == FB_OK ? fb_config_walk(before, compare, &gone) : result;
}

// The plan and the memory first, then the swap; after it nothing can fail.
static int apply(fb_engine *engine, const fb_settings *settings, fb_plan *plan, fb_error *error) {
    fb_store *store = fb_cache_store(engine->cache);
    int result = fb_store_resize(store, settings->memory_bytes);
    if (result < 0) {
        char text[48];
        bool more = settings->memory_bytes > fb_config_settings(engine->config)->memory_bytes;
        return fb_error_set(error, result, "memory cannot become %s without a restart: %s",
                            fb_units_show_bytes(settings->memory_bytes, text, sizeof text),
                            more                  ? "too far above what it was at the start"
                            : result == FB_EINVAL ? "too far below what it was at the start"
                                                  : fb_result_text(result));
    }
    result = fb_cache_swap(engine->cache, plan->catalog);
    if (result < 0) {
        // Back to what it was, which it could hold a moment ago.
        FB_IGNORE(fb_store_resize(store, fb_config_settings(engine->config)->memory_bytes));
        return fb_error_set(error, result, "out of memory");
    }
    plan->catalog = NULL;  // the cache's now
    fb_plan_merge(&engine->opened, plan);
    atomic_store(&engine->slow_ns, settings->slow_ns);
    return FB_OK;
}

static int replace(fb_engine *engine, const fb_config *config, fb_error *error) {
    fb_plan plan;
    const fb_settings *settings = fb_config_settings(config);
    fb_plan_basis basis = {.workers = engine->workers,
                           .known = engine->opened.supplies,
                           .before = fb_cache_catalog(engine->cache)};
    int result = fb_plan_make(settings, &basis, &plan, error);
    if (result < 0) {
        return result;
    }
    result = apply(engine, settings, &plan, error);
    fb_plan_release(&plan);
    return result;
}

static void count_change(void *arg, fb_str path, bool applied) {
    (void)path, (void)applied;
    ++*(size_t *)arg;
}

// What a reload leaves behind stays until the close, so one that changes nothing must do nothing: a
// daemon may be told to reload every minute of its life.
static bool changes_something(fb_engine *engine, const fb_config *config, char *text) {
    size_t count = 0;
    int result = report(engine->config, config, count_change, &count, text);
    return result < 0 || count > 0;
}

// `copy` is a copy of the new configuration, exchanged for the old one.
static int take_over(fb_engine *engine, fb_config **copy, fb_reload_fn fn, void *arg,
                     fb_error *error) {
    char *text = fb_mem_new(OPTION_SIZE);
    if (text == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    pthread_mutex_lock(&engine->config_lock);
    bool changes = changes_something(engine, *copy, text);
    int result = changes ? replace(engine, *copy, error) : FB_OK;
    if (changes && result == FB_OK) {
        if (fn != NULL) {
            FB_IGNORE(report(engine->config, *copy, fn, arg, text));  // it is in force, said or not
        }
        fb_config *old = engine->config;
        engine->config = *copy;
        *copy = old;
    }
    pthread_mutex_unlock(&engine->config_lock);
    fb_mem_free(text);
    return result;
}

int fb_reload(fb_engine *engine, const fb_config *config, fb_reload_fn fn, void *arg,
              fb_error *error) {
    fb_config *copy = NULL;
    int result = fb_config_check(config, error);
    if (result < 0) {
        return result;
    }
    if (!fb_engine_enter(engine)) {
        return fb_error_set(error, FB_ECLOSED, "shutting down");
    }
    result = fb_config_copy(config, &copy);
    if (result < 0) {
        result = fb_error_set(error, result, "out of memory");
    } else {
        result = take_over(engine, &copy, fn, arg, error);
    }
    fb_config_free(copy);
    fb_engine_idle(engine);
    return result;
}
