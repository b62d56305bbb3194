// The limits of an engine: what is made of the configuration, how it is replaced, and figures.
//
// The catalogue in force is one atomic pointer. Earlier ones stay until the close, since verdicts
// point into them. A reload that could fail has failed before anything is replaced.

#include "engine/limits.h"

#include <sys/random.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/limits_tier.h"
#include "os/clock.h"
#include "os/zone.h"

enum {
    OVERRIDES_MAX = 100000,
    THROTTLES_MAX = 100000,
    DENIAL_PLACES = 16384,
    CHUNK_PLACES = 4096
};

// ---- time zones

static bool needs_zone(const fb_limit_options *rule) {
    return rule->enabled && rule->algorithm == FB_LIMIT_FIXED &&
           rule->calendar != FB_LIMIT_CALENDAR_NONE;
}

static int open_zone(const fb_limit_options *rule, fb_zone **zone, fb_error *error) {
    int result = fb_zone_new(rule->time_zone, zone);
    if (result == FB_OK) {
        return FB_OK;
    }
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    (void)fb_error_set(error, FB_EINVAL,
                       "limits.%s.time_zone: this machine knows no time zone \"%s\"", rule->name,
                       rule->time_zone);
    fb_error_place(error, rule->file, rule->line, rule->column);
    return FB_EINVAL;
}

int fb_limits_fit(const fb_settings *settings, fb_error *error) {
    int result = FB_OK;
    for (size_t i = 0; i < settings->limit_count && result == FB_OK; i++) {
        fb_zone *zone = NULL;
        if (needs_zone(&settings->limits[i])) {
            result = open_zone(&settings->limits[i], &zone, error);
        }
        fb_zone_free(zone);
    }
    return result;
}

static const fb_limit_options *options_of(const fb_settings *settings, const char *name) {
    const fb_limit_options *found = NULL;
    for (size_t i = 0; i < settings->limit_count; i++) {
        const fb_limit_options *one = &settings->limits[i];
        found = fb_str_equal(fb_str_of(one->name), fb_str_of(name)) ? one : found;
    }
    return found;
}

static int open_zones(fb_limit_catalog *catalog, const fb_settings *settings, fb_error *error) {
    int result = FB_OK;
    for (size_t i = 0; i < fb_limit_catalog_count(catalog) && result == FB_OK; i++) {
        fb_limit_rule *rule = fb_limit_catalog_at(catalog, i);
        fb_zone *zone = NULL;
        if (needs_zone(&rule->options)) {
            result = open_zone(options_of(settings, rule->options.name), &zone, error);
        }
        rule->zone = zone;
    }
    return result;
}

// ---- catalogues

static void close_zones(fb_limit_catalog *catalog) {
    for (; catalog != NULL; catalog = fb_limit_catalog_before(catalog)) {
        for (size_t i = 0; i < fb_limit_catalog_count(catalog); i++) {
            fb_zone_free(fb_limit_catalog_at(catalog, i)->zone);
        }
    }
}

int fb_limits_prepare(fb_limits *limits, const fb_settings *settings, fb_limit_catalog **catalog,
                      fb_error *error) {
    fb_limit_catalog_options options = {.rules = settings->limits,
                                        .rule_count = settings->limit_count,
                                        .shared = limits->shared,
                                        .hash_key = limits->hash_key,
                                        .before = atomic_load(&limits->catalog)};
    int result = fb_limit_catalog_new(&options, catalog);
    if (result < 0) {
        return fb_error_set(error, result, "limits: out of memory");
    }
    result = open_zones(*catalog, settings, error);
    if (result < 0) {
        fb_limits_drop(*catalog);
        *catalog = NULL;
    }
    return result;
}

void fb_limits_publish(fb_limits *limits, fb_limit_catalog *catalog) {
    atomic_store(&limits->catalog, catalog);
}

void fb_limits_drop(fb_limit_catalog *catalog) {
    if (catalog != NULL) {
        fb_limit_catalog_disown(catalog);
        close_zones(catalog);
        fb_limit_catalog_free(catalog);
    }
}

// ---- opening

// CL.THROTTLE names no rule: its plan comes with each question, and this lends it the rest.
static int make_throttle(fb_limits *limits) {
    char name[] = "", per[] = "user", message[] = "requests", zone[] = "UTC";
    fb_limit_options options = {.name = name,
                                .enabled = true,
                                .algorithm = FB_LIMIT_TOKEN,
                                .limit = 1,
                                .window_ns = FB_NS_PER_S,
                                .per = per,
                                .message = message,
                                .time_zone = zone,
                                .keys_max = THROTTLES_MAX,
                                .instances = 1,
                                .timeout_ns = 20 * FB_NS_PER_MS};
    fb_limit_catalog_options what = {.rules = &options,
                                     .rule_count = 1,
                                     .shared = limits->shared,
                                     .hash_key = limits->hash_key};
    int result = fb_limit_catalog_new(&what, &limits->throttle_catalog);
    if (result == FB_OK) {
        limits->throttle = fb_limit_catalog_at(limits->throttle_catalog, 0);
    }
    return result;
}

static int make_parts(fb_limits *limits) {
    int result = fb_limit_overrides_new(OVERRIDES_MAX, &limits->overrides);
    for (int i = 0; i < 2 && result == FB_OK; i++) {
        result = fb_limit_table_new(OVERRIDES_MAX, FB_LIMIT_STATE_MAX, &limits->own[i]);
    }
    if (result == FB_OK) {
        result = make_throttle(limits);
    }
    if (result == FB_OK && limits->shared) {
        result = fb_limit_denials_new(DENIAL_PLACES, &limits->denials);
    }
    if (result == FB_OK && limits->shared) {
        result = fb_limit_chunks_new(CHUNK_PLACES, &limits->chunks);
    }
    return result == FB_OK && limits->shared ? fb_limit_lanes_new(limits) : result;
}

int fb_limits_open(fb_engine *engine, const fb_settings *settings, fb_error *error) {
    fb_limits *limits = fb_mem_zero(1, sizeof *limits);
    if (limits == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    engine->limits = limits;
    limits->engine = engine;
    limits->shared = engine->shared != NULL;
    if (getrandom(&limits->hash_key, sizeof limits->hash_key, 0) !=
        (ssize_t)sizeof limits->hash_key) {
        limits->hash_key = (fb_limit_hash_key){engine->seed, (uint64_t)fb_clock_wall_ms()};
    }
    int result = make_parts(limits);
    if (result < 0) {
        return fb_error_set(error, result, "limits: out of memory");
    }
    fb_limit_catalog *catalog = NULL;
    result = fb_limits_prepare(limits, settings, &catalog, error);
    if (result == FB_OK) {
        fb_limits_publish(limits, catalog);
    }
    return result;
}

void fb_limits_free(fb_limits *limits) {
    if (limits == NULL) {
        return;
    }
    fb_limit_catalog *catalog = atomic_load(&limits->catalog);
    close_zones(catalog);
    fb_limit_catalog_free(catalog);
    fb_limit_catalog_free(limits->throttle_catalog);
    fb_limit_overrides_free(limits->overrides);
    fb_limit_table_free(limits->own[0]);
    fb_limit_table_free(limits->own[1]);
    fb_limit_denials_free(limits->denials);
    fb_limit_chunks_free(limits->chunks);
    fb_limit_lanes_free(limits);
    fb_mem_free(limits);
}

// ---- figures

static void add_table(fb_limit_figures *figures, const fb_limit_table *table, bool own) {
    fb_limit_table_figures part;
    if (table != NULL) {
        fb_limit_table_figures_read(table, &part);
        figures->keys += part.keys;
        figures->keys_max += own ? part.keys_max : 0;
        figures->bytes += part.bytes;
    }
}

static void add_slots(fb_limit_figures *figures, fb_limit_slots *slots, bool own) {
    fb_limit_table_figures part;
    if (slots != NULL) {
        fb_limit_slots_figures_read(slots, &part);
        figures->keys += part.keys;
        figures->keys_max += own ? part.keys_max : 0;
        figures->bytes += part.bytes;
    }
}

static void read_rule(fb_limit_rule *rule, fb_limit_figures *figures) {
    static const char *const algorithms[] = {[FB_LIMIT_SLIDING] = "sliding",
                                             [FB_LIMIT_TOKEN] = "token",
                                             [FB_LIMIT_FIXED] = "fixed",
                                             [FB_LIMIT_SLOTS] = "slots"};
    static const char *const calendars[] = {[FB_LIMIT_CALENDAR_NONE] = "",
                                            [FB_LIMIT_CALENDAR_HOUR] = "hour",
                                            [FB_LIMIT_CALENDAR_DAY] = "day",
                                            [FB_LIMIT_CALENDAR_WEEK] = "week",
                                            [FB_LIMIT_CALENDAR_MONTH] = "month",
                                            [FB_LIMIT_CALENDAR_YEAR] = "year"};
    const fb_limit_plan *plan = &rule->quotas[0].plan;
    *figures = (fb_limit_figures){.algorithm = algorithms[rule->options.algorithm],
                                  .per = rule->options.per,
                                  .calendar = calendars[rule->options.calendar],
                                  .limit = plan->limit,
                                  .window_us = plan->window_us,
                                  .shadow = rule->options.shadow};
    fb_str name = fb_str_of(rule->options.name);
    FB_ASSERT(name.len < sizeof figures->name);
    memcpy(figures->name, name.ptr, name.len);
    for (size_t i = 0; i < rule->quota_count; i++) {
        add_table(figures, rule->quotas[i].table, true);
        add_table(figures, rule->quotas[i].fallback, false);
    }
    add_slots(figures, rule->slots, true);
    add_slots(figures, rule->slots_fallback, false);
    fb_limit_ledger_read(rule->ledger, figures);
}

int fb_limit_figures_read(fb_engine *engine, fb_limit_figures_fn fn, void *arg) {
    fb_engine_ours(engine);
    const fb_limit_catalog *catalog =
        atomic_load_explicit(&engine->limits->catalog, memory_order_acquire);
    fb_limit_figures *figures = fb_mem_new(sizeof *figures);
    if (figures == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < fb_limit_catalog_count(catalog); i++) {
        read_rule(fb_limit_catalog_at(catalog, i), figures);
        fn(arg, figures);
    }
    fb_mem_free(figures);
    return FB_OK;
}

void fb_limits_reset_figures(fb_limits *limits) {
    const fb_limit_catalog *catalog = atomic_load(&limits->catalog);
    for (size_t i = 0; i < fb_limit_catalog_count(catalog); i++) {
        fb_limit_ledger_reset(fb_limit_catalog_at(catalog, i)->ledger);
    }
}
