// engine/plan.h -- what a configuration means: sources opened, queries prepared, classes compiled.
//
// Made by fb_open(), fb_check() and fb_reload() alike, so that what one accepts all accept.

#ifndef FB_ENGINE_PLAN_H
#define FB_ENGINE_PLAN_H

#include <pthread.h>

#include "cache/bulkhead.h"
#include "cache/class.h"
#include "cache/outside.h"
#include "config/settings.h"
#include "os/workers.h"
#include "source/source.h"

#ifdef __cplusplus
extern "C" {
#endif

// A source and the gate in front of it. Lives from the plan that opened it until the engine closes.
typedef struct fb_supply {
    char *name;
    fb_source *source;     // NULL: callers' own loaders, which run on the workers
    uint64_t print;        // of what it was opened with
    pthread_mutex_t lock;  // of the bulkhead
    fb_bulkhead bulkhead;
    struct fb_supply *next;
} fb_supply;

FB_CHECK_RESULT int fb_supply_new(const char *name, uint32_t running_max, uint32_t queue_max,
                                  fb_supply **supply);
// Closes its source. NULL is fine.
void fb_supply_free(fb_supply *supply);

// Every query ever prepared, to be given back to its source before that closes.
typedef struct fb_statement {
    fb_source *source;
    void *prepared;
    struct fb_statement *next;
} fb_statement;

typedef struct fb_plan {
    fb_supply *supplies;  // those this plan opened
    fb_statement *statements;
    fb_catalog *catalog;
} fb_plan;

// What is there already.
typedef struct fb_plan_basis {
    fb_workers *workers;       // NULL where nothing will be loaded (a check)
    fb_supply *known;          // open: used again for sources of the same name
    const fb_catalog *before;  // in force: a class keeps its id; NULL: none
    const fb_outside *found;   // of a region: likewise, of those that are alike; NULL: none
} fb_plan_basis;

// After an error *plan is empty.
FB_CHECK_RESULT int fb_plan_make(const fb_settings *settings, const fb_plan_basis *basis,
                                 fb_plan *plan, fb_error *error);
// Moves what `from` opened into `into`, and leaves `from` without it; the catalogue is not moved.
void fb_plan_merge(fb_plan *into, fb_plan *from);
// Closes and frees what the plan holds.
void fb_plan_release(fb_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
