// Taking over another configuration while running.
//
// A whole new plan is made beside what runs; it takes effect by one swap of the catalogue, or not
// at all. Sources, queries and classes of earlier configurations stay until the close, since loads
// and readers may hold them: a reload costs some memory.

#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/limits.h"
#include "engine/mail.h"
#include "engine/queues.h"
#include "os/clock.h"

enum { OPTION_SIZE = 131072 };  // a query, and it may be quoted

typedef struct comparison {
    const fb_config *own, *other;
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
    const char *secret = NULL, *other_secret = NULL;
    bool differs = one->only_missing
                       ? result == FB_MISS
                       : result != FB_OK || !fb_str_equal(fb_str_of(one->text), value);
    if (fb_config_secret(one->own, path, &secret) == FB_OK &&
        fb_config_secret(one->other, path, &other_secret) == FB_OK) {
        differs = !one->only_missing && strcmp(secret, other_secret) != 0;
    }
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
    comparison changed = {.own = now, .other = before, .fn = fn, .arg = arg, .text = text};
    comparison gone = {.own = before, .other = now, .fn = fn, .arg = arg, .only_missing = true,
                       .text = text};
    int result = fb_config_walk(now, compare, &changed);
    return result == FB_OK ? fb_config_walk(before, compare, &gone) : result;
}

static int resize(fb_engine *engine, const fb_settings *settings, fb_error *error) {
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
    return FB_OK;
}

// The plan and the memory first, then the swap; after it nothing can fail.
static int apply(fb_engine *engine, const fb_settings *settings, fb_plan *plan, fb_error *error) {
    fb_store *store = fb_cache_store(engine->cache);
    int result = resize(engine, settings, error);
    if (result < 0) {
        return result;
    }
    result = fb_cache_swap(engine->cache, plan->catalog);
    if (result < 0) {
        // Back to what it was, which it could hold a moment ago.
        FB_IGNORE(fb_store_resize(store, fb_config_settings(engine->config)->memory_bytes));
        return fb_error_set(error, result, "out of memory");
    }
    plan->catalog = NULL;  // the cache's now
    if (fb_shared_reload(engine) < 0) {
        fb_log(FB_LOG_WARN, "shared_tier_classes",
               "hint=\"out of memory: layout and compression are as before\"");
    }
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
    fb_limit_catalog *limits = NULL;
    fb_queue_catalog *queues = NULL;
    int result = fb_plan_make(settings, &basis, &plan, error);
    if (result < 0) {
        return result;
    }
    result = fb_limits_prepare(engine->limits, settings, &limits, error);
    if (result == FB_OK) {
        result = fb_queues_prepare(engine->queues, config, &queues, error);
    }
    if (result == FB_OK) {
        result = apply(engine, settings, &plan, error);
    }
    if (result == FB_OK) {
        fb_limits_publish(engine->limits, limits);
        fb_queues_publish(engine->queues, queues);
    } else {
        fb_limits_drop(limits);
        fb_queues_drop(queues);
    }
    fb_plan_release(&plan);
    return result;
}

// How many options differ, and how many of those a plan is made from: the doors' own and the size
// of the memory are not among them, and may be changed by clients (CONFIG SET) as often as they
// like.
typedef struct changes {
    size_t all, of_plan;
} changes;

static bool is_of_plan(fb_str path) {
    static const char *const others[] = {"listen.", "log.", "memory", "drain"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (fb_str_starts(path, fb_str_of(others[i]))) {
            return false;
        }
    }
    return true;
}

static void count_change(void *arg, fb_str path, bool applied) {
    (void)applied;
    changes *count = arg;
    count->all++;
    count->of_plan += is_of_plan(path);
}

// What a reload leaves behind stays until the close, so one that changes nothing must do nothing: a
// daemon may be told to reload every minute of its life.
static changes count_changes(fb_engine *engine, const fb_config *config, char *text) {
    changes count = {0};
    int result = report(engine->config, config, count_change, &count, text);
    return result < 0 ? (changes){1, 1} : count;
}

static int change_little(fb_engine *engine, const fb_settings *settings, fb_error *error) {
    int result = resize(engine, settings, error);
    if (result == FB_OK) {
        atomic_store(&engine->slow_ns, settings->slow_ns);
    }
    return result;
}

// `copy` is a copy of the new configuration, exchanged for the old one.
static int take_over(fb_engine *engine, fb_config **copy, fb_reload_fn fn, void *arg,
                     fb_error *error) {
    char *text = fb_mem_new(OPTION_SIZE);
    if (text == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    pthread_mutex_lock(&engine->config_lock);
    changes count = count_changes(engine, *copy, text);
    // Templates are files of their own: they may have changed while the configuration has not.
    fb_mail_plan *mails = NULL;
    int result = fb_mailer_prepare(engine->mailer, fb_config_settings(*copy), &mails, error);
    if (result == FB_OK && count.of_plan > 0) {
        result = replace(engine, *copy, error);
    } else if (result == FB_OK && count.all > 0) {
        result = change_little(engine, fb_config_settings(*copy), error);
    }
    if (result == FB_OK) {
        fb_mailer_publish(engine->mailer, mails);
    } else {
        fb_mailer_drop(mails);
    }
    if (count.all > 0 && result == FB_OK) {
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
    fb_engine_ours(engine);
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
