// A plan is made in two steps: every source of the configuration is opened, unless it is open
// already, and every class is compiled with the names of the parameters that its source found in
// the query. What can be wrong with a configuration shows here, with file, line and class.

#include "engine/plan.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
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

// A plan while it is made.
typedef struct making {
    const fb_settings *settings;
    const fb_plan_basis *basis;
    fb_plan *plan;
    fb_error *error;
    uint16_t ids[FB_CLASS_MAX];  // of the classes, in their order
} making;

// Which database it is, whatever the working folder is next time. (As far as there is one: opening
// it says what is wrong.)
static uint64_t print_of(const char *path) {
    char whole[PATH_MAX];
    const char *found = realpath(path, whole);
    return fb_hash64(fb_str_of(found != NULL ? found : path), 0);
}

static int open_source(making *one, const fb_source_options *options) {
    fb_supply *supply = NULL;
    int result = fb_supply_new(options->name, options->concurrency, options->queue, &supply);
    if (result < 0) {
        return fb_error_set(one->error, result, "source %s: out of memory", options->name);
    }
    supply->print = print_of(options->sqlite);
    supply->next = one->plan->supplies;
    one->plan->supplies = supply;
    result = fb_sqlite_open(fb_str_of(supply->name), options->sqlite, one->basis->workers,
                            &supply->source, one->error);
    if (result < 0) {
        fb_error_place(one->error, options->file, options->line, options->column);
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

// What a class's source says of its query.
typedef struct answer {
    fb_supply *supply;  // NULL: it has no source
    void *prepared;
    fb_str names[FB_CLASS_PARAMS_MAX];  // of the parameters
    size_t name_count;
} answer;

static int ask_source(making *one, const fb_class_options *options, answer *said) {
    if (options->source == NULL) {
        return FB_OK;
    }
    said->supply = find_supply(one->plan->supplies, options->source);
    if (said->supply == NULL) {
        said->supply = find_supply(one->basis->known, options->source);
    }
    FB_ASSERT(said->supply != NULL);  // fb_config_check() saw to it
    fb_source *source = said->supply->source;
    int result = source->type->prepare(source, options, &said->prepared, said->names,
                                       FB_CLASS_PARAMS_MAX, &said->name_count, one->error);
    if (result < 0) {
        return result;
    }
    result = keep_statement(one->plan, source, said->prepared);
    return result < 0 ? fb_error_set(one->error, result, "class %s: out of memory", options->name)
                      : FB_OK;
}

// The number that a name has already; FB_CLASS_PLAIN: none.
static uint16_t known_id(const fb_plan_basis *basis, const char *name) {
    if (basis->before != NULL) {
        const fb_class *same = fb_catalog_find(basis->before, fb_str_of(name));
        return same != NULL ? same->id : FB_CLASS_PLAIN;
    }
    return basis->found != NULL ? fb_outside_class_id(basis->found, fb_str_of(name))
                                : FB_CLASS_PLAIN;
}

// Ids stay with names over reloads, and over restarts that keep the region. New names get what no
// class of before (with a region: that is kept) or of now has.
static void number_classes(making *one) {
    const fb_catalog *before = one->basis->before;
    const fb_settings *settings = one->settings;
    bool used[FB_CLASS_MAX] = {false};
    uint16_t next = 1;
    for (size_t i = 0; before != NULL && i < fb_catalog_count(before); i++) {
        uint16_t id = fb_catalog_at(before, i)->id;
        next = id >= next ? (uint16_t)(id + 1) : next;
    }
    for (size_t i = 0; i < settings->class_count; i++) {
        one->ids[i] = known_id(one->basis, settings->classes[i].name);
        used[one->ids[i]] = true;
    }
    for (size_t i = 0; i < settings->class_count; i++) {
        while (next < FB_CLASS_MAX && used[next]) {
            next++;
        }
        if (one->ids[i] == FB_CLASS_PLAIN) {
            one->ids[i] = next;
            next = (uint16_t)(next + (next < FB_CLASS_MAX ? 1 : 0));
        }
    }
}

static int make_class(making *one, size_t index, fb_class **class_) {
    const fb_class_options *options = &one->settings->classes[index];
    answer said = {.supply = NULL};
    int result = ask_source(one, options, &said);
    if (result < 0) {
        return result;
    }
    uint16_t id = one->ids[index];
    if (id >= FB_CLASS_MAX) {
        return fb_error_set(one->error, FB_ERANGE,
                            "more than %d classes, those of earlier reloads included",
                            FB_CLASS_MAX - 1);
    }
    result = fb_class_new(options, id, said.names, said.name_count, class_, one->error);
    if (result == FB_OK) {
        (*class_)->source = said.supply;
        (*class_)->source_print = said.supply != NULL ? said.supply->print : 0;
        (*class_)->prepared = said.prepared;
    }
    return result;
}

static int make_catalog(making *one) {
    size_t count = one->settings->class_count + 1;
    size_t made = 0;
    fb_class **classes = fb_mem_zero(count, sizeof *classes);
    int result = classes != NULL ? fb_class_new_plain(&classes[made]) : FB_ENOMEM;
    if (result < 0) {
        (void)fb_error_set(one->error, result, "out of memory");
    }
    while (result == FB_OK && ++made < count) {
        result = make_class(one, made - 1, &classes[made]);
    }
    if (result == FB_OK) {
        result = fb_catalog_new(classes, count, &one->plan->catalog,
                                one->error);  // takes the classes over
        made = 0;
    }
    for (size_t i = 0; i < made; i++) {
        fb_class_free(classes[i]);
    }
    fb_mem_free(classes);
    return result;
}

int fb_plan_make(const fb_settings *settings, const fb_plan_basis *basis, fb_plan *plan,
                 fb_error *error) {
    making one = {.settings = settings, .basis = basis, .plan = plan, .error = error};
    int result = FB_OK;
    *plan = (fb_plan){0};
    for (size_t i = 0; result == FB_OK && i < settings->source_count; i++) {
        const fb_source_options *options = &settings->sources[i];
        if (find_supply(basis->known, options->name) == NULL) {
            result = open_source(&one, options);
        }
    }
    if (result == FB_OK) {
        number_classes(&one);
        result = make_catalog(&one);
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
