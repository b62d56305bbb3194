// os/workers.h -- a small pool of threads for what blocks. Tasks run in the order they came.

#ifndef FB_OS_WORKERS_H
#define FB_OS_WORKERS_H

#include <forebay/base.h>

#include "base/list.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_workers fb_workers;

// A member of what is to be run: submitting allocates nothing.
typedef struct fb_task {
    fb_list list;
    void (*run)(struct fb_task *task,
                uint32_t worker);  // `worker`: 0 … count - 1, for per-thread state
} fb_task;

// FB_OK, FB_ENOMEM, FB_EIO (no thread to be had). Threads are named "forebay-work".
FB_CHECK_RESULT int fb_workers_new(uint32_t count, fb_workers **workers);
// Runs what is queued, and what tasks submit while they run, then ends the threads. Nobody else may
// submit meanwhile. NULL is fine.
void fb_workers_free(fb_workers *workers);
void fb_workers_submit(fb_workers *workers, fb_task *task);
uint32_t fb_workers_count(const fb_workers *workers);
// Whether the calling thread is one of them.
bool fb_workers_is_current(const fb_workers *workers);

#ifdef __cplusplus
}
#endif

#endif
