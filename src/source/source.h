// source/source.h -- the load port: where values come from. SQLite and callbacks now; PostgreSQL
// and HTTP fit the same shape: start() begins, and `done` is called once, later, from any thread.

#ifndef FB_SOURCE_SOURCE_H
#define FB_SOURCE_SOURCE_H

#include <forebay/base.h>

#include "cache/class.h"
#include "cache/flight.h"
#include "cache/loaded.h"
#include "os/workers.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_source fb_source;

// One question to a source: one item, or several of a class that has a batch query.
typedef struct fb_source_job {
    const fb_class *class_;
    const fb_load_item *items;
    // One for each item, initialised; filled when done is called, `result` and took_ns too.
    fb_loaded *loaded;
    size_t item_count;
    int64_t begin_by_ns;     // need not be begun later (FB_ETIMEDOUT); 0: no such time
    int64_t deadline_ns;     // monotonic: by then it must be given up (FB_ETIMEDOUT)
    void (*done)(struct fb_source_job *job);
    // The source's own, until done is called.
    fb_source *source;
    fb_task task;
} fb_source_job;

// Whether it need not be begun any more.
static inline bool fb_source_job_is_late(const fb_source_job *job, int64_t now_ns) {
    return now_ns >= job->deadline_ns || (job->begin_by_ns > 0 && now_ns >= job->begin_by_ns);
}

// What each kind of source implements.
typedef struct fb_source_type {
    const char *name;  // "sqlite"
    // Checks the queries of a class against the source and gives the names of the parameters they
    // use, without the colon, good until unprepare. FB_EINVAL: one is wrong; `error` has class,
    // option, the source's own words, and the place of the query as the options have it.
    int (*prepare)(fb_source *source, const fb_class_options *options, void **prepared,
                   fb_str *params, size_t params_cap, size_t *param_count, fb_error *error);
    void (*unprepare)(fb_source *source, void *prepared);
    // Begins; never fails: what goes wrong is said in loaded[i].result. Does not block.
    void (*start)(fb_source *source, fb_source_job *job);
    // Runs `query` and calls `fn` for each row with its columns as parameters, those left out that
    // have no value: for warming. Blocks; any thread.
    int (*rows)(fb_source *source, fb_str query, int64_t deadline_ns,
                void (*fn)(void *arg, const fb_param *columns, size_t column_count), void *arg,
                fb_error *error);
    // From any thread: what runs ends as soon as it can, and what begins from now on ends at once,
    // with FB_ECLOSED. There is no way back but close().
    void (*cancel)(fb_source *source);
    void (*close)(fb_source *source);  // after the last job is done
} fb_source_type;

struct fb_source {
    const fb_source_type *type;
    fb_str name;
};

static inline void fb_source_start(fb_source *source, fb_source_job *job) {
    source->type->start(source, job);
}

#ifdef __cplusplus
}
#endif

#endif
