// A plan is made in two steps: every source of the configuration is opened, unless it is open
// already, and every class is compiled with the names of the parameters that its source found in the
// query. What can be wrong with a configuration shows here, with file, line and class.

#include "engine/plan.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "source/sqlite.h"

int fb_supply_new(const char *name, uint32_t running_max, uint32_t queue_max, fb_supply **out) {
    fb_supply *supply = fb_mem_zero(1, sizeof *supply);
    if (supply == NULL) {
        return FB_ENOMEM;
    }
    supply->name = fb_mem_text(fb_str_of(name));
    if (supply->name == NULL) {
        fb_mem_free(supply);
        return FB_ENOMEM;
    }
    pthread_mutex_init(&supply->lock, NULL);
    fb_bulkhead_init(&supply->bulkhead, running_max, queue_max);
    *out = supply;
    return FB_OK;
}

void fb_supply_free(fb_supply *supply) {
    if (supply == NULL) {
        return;
    }
    if (supply->source != NULL) {
        supply->source->type->close(supply->source);
    }
    pthread_mutex_destroy(&supply->lock);
    fb_mem_free(supply->name);
    fb_mem_free(supply);
}

static fb_supply *find_supply(fb_supply *list, const char *name) {
    while (list != NULL && strcmp(list->name, name) != 0) {
        list = list->next;
    }
    return list;
}

static int open_source(fb_plan *plan, const fb_source_options *options, fb_workers *workers,
                       fb_error *error) {
    fb_supply *supply = NULL;
    int result = fb_supply_new(options->name, options->concurrency, options->queue, &supply);
    if (result < 0) {
        return fb_error_set(error, result, "source %s: out of memory", options->name);
    }
    supply->next = plan->supplies;
    plan->supplies = supply;
    result = fb_sqlite_open(fb_str_of(supply->name), options->sqlite, workers, &supply->source, error);
    if (result < 0) {
        fb_error_place(error, options->file, options->line, options->column);
    }
    return result;
}

static int keep_statement(fb_plan *plan, fb_source *source, void *prepared) {
    fb_statement *statement = fb_mem_zero(1, sizeof *statement);
    if (statement == NULL) {
        source->type->unprepare(source, prepared);
        return FB_ENOMEM;
    }
    *statement = (fb_statement){source, prepared, plan->statements};
    plan->statements = statement;
    return FB_OK;
}

// Has the source look at the class's query; the names of its parameters go to `names`.
static int prepare(fb_plan *plan, const fb_class_options *options, fb_supply *supply, void **prepared,
                   fb_str *names, size_t *name_count, fb_error *error) {
    fb_source *source = supply->source;
    int result = source->type->prepare(source, options, prepared, names, FB_CLASS_PARAMS_MAX,
                                       name_count, error);
    if (result < 0) {
        return result;
    }
    result = keep_statement(plan, source, *prepared);
    return result < 0 ? fb_error_set(error, result, "class %s: out of memory", options->name) : FB_OK;
}

static uint16_t id_for(const fb_settings *settings, const fb_catalog *before, size_t index) {
    // Ids stay with names over reloads. New names get what no class of before or of now has.
    const char *name = settings->classes[index].name;
    const fb_class *same = before != NULL ? fb_catalog_find(before, fb_str_of(name)) : NULL;
    if (same != NULL) {
        return same->id;
    }
    uint16_t next = 1;
    for (size_t i = 0; before != NULL && i < fb_catalog_count(before); i++) {
        uint16_t used = fb_catalog_at(before, i)->id;
        next = used >= next ? (uint16_t)(used + 1) : next;
    }
    for (size_t i = 0; i < index; i++) {
        bool fresh = before == NULL || fb_catalog_find(before, fb_str_of(settings->classes[i].name)) == NULL;
        next = (uint16_t)(next + (fresh ? 1 : 0));
    }
    return next;
}

static int make_class(fb_plan *plan, const fb_settings *settings, size_t index, fb_supply *known,
                      const fb_catalog *before, fb_class **class_, fb_error *error) {
    const fb_class_options *options = &settings->classes[index];
    fb_str names[FB_CLASS_PARAMS_MAX];
    size_t name_count = 0;
    fb_supply *supply = NULL;
    void *prepared = NULL;
    if (options->source != NULL) {
        supply = find_supply(plan->supplies, options->source);
        supply = supply != NULL ? supply : find_supply(known, options->source);
        FB_ASSERT(supply != NULL);  // fb_config_check() saw to it
        int result = prepare(plan, options, supply, &prepared, names, &name_count, error);
        if (result < 0) {
            return result;
        }
    }
    uint16_t id = id_for(settings, before, index);
    if (id >= FB_CLASS_MAX) {
        return fb_error_set(error, FB_ERANGE, "more than %d classes, those of earlier reloads included",
                            FB_CLASS_MAX - 1);
    }
    int result = fb_class_new(options, id, names, name_count, class_, error);
    if (result == FB_OK) {
        (*class_)->source = supply;
        (*class_)->prepared = prepared;
    }
    return result;
}

static int make_catalog(fb_plan *plan, const fb_settings *settings, fb_supply *known,
                        const fb_catalog *before, fb_error *error) {
    size_t count = settings->class_count + 1, made = 0;
    fb_class **classes = fb_mem_zero(count, sizeof *classes);
    if (classes == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = fb_class_new_plain(&classes[made]);
    if (result < 0) {
        (void)fb_error_set(error, result, "out of memory");
    }
    while (result == FB_OK && ++made < count) {
        result = make_class(plan, settings, made - 1, known, before, &classes[made], error);
    }
    if (result == FB_OK) {
        result = fb_catalog_new(classes, count, &plan->catalog, error);  // takes the classes over
        made = 0;
    }
    for (size_t i = 0; i < made; i++) {
        fb_class_free(classes[i]);
    }
    fb_mem_free(classes);
    return result;
}

int fb_plan_make(const fb_settings *settings, fb_workers *workers, fb_supply *known,
                 const fb_catalog *before, fb_plan *plan, fb_error *error) {
    *plan = (fb_plan){0};
    int result = FB_OK;
    for (size_t i = 0; result == FB_OK && i < settings->source_count; i++) {
        const fb_source_options *options = &settings->sources[i];
        if (find_supply(known, options->name) == NULL) {
            result = open_source(plan, options, workers, error);
        }
    }
    if (result == FB_OK) {
        result = make_catalog(plan, settings, known, before, error);
    }
    if (result < 0) {
        fb_plan_release(plan);
    }
    return result;
}

void fb_plan_merge(fb_plan *into, fb_plan *from) {
    fb_supply **supply = &from->supplies;
    while (*supply != NULL) {
        supply = &(*supply)->next;
    }
    *supply = into->supplies;
    into->supplies = from->supplies;
    fb_statement **statement = &from->statements;
    while (*statement != NULL) {
        statement = &(*statement)->next;
    }
    *statement = into->statements;
    into->statements = from->statements;
    from->supplies = NULL;
    from->statements = NULL;
}

void fb_plan_release(fb_plan *plan) {
    fb_catalog_free(plan->catalog);
    while (plan->statements != NULL) {
        fb_statement *statement = plan->statements;
        plan->statements = statement->next;
        statement->source->type->unprepare(statement->source, statement->prepared);
        fb_mem_free(statement);
    }
    while (plan->supplies != NULL) {
        fb_supply *supply = plan->supplies;
        plan->supplies = supply->next;
        fb_supply_free(supply);
    }
    *plan = (fb_plan){0};
}
