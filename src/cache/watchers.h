// cache/watchers.h -- who wants to hear of changes (forebay/cache.h), and telling them.
//
// Threads: any. tell() may be called with a shard's or a stripe's lock held; a watcher must not lock
// either. Watchers run side by side, and none runs any more when remove() has returned.

#ifndef FB_CACHE_WATCHERS_H
#define FB_CACHE_WATCHERS_H

#include <forebay/cache.h>

#include <pthread.h>
#include <stdatomic.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_watcher {
    fb_change_fn fn;
    void *arg;
} fb_watcher;

typedef struct fb_watchers {
    _Atomic(uint32_t) count;
    pthread_rwlock_t lock;  // of what follows; held for reading while watchers run
    fb_watcher watchers[FB_CHANGE_WATCHERS_MAX];
} fb_watchers;

void fb_watchers_init(fb_watchers *all);
void fb_watchers_release(fb_watchers *all);
// FB_OK or FB_EFULL.
FB_CHECK_RESULT int fb_watchers_add(fb_watchers *all, fb_change_fn fn, void *arg);
void fb_watchers_remove(fb_watchers *all, fb_change_fn fn, void *arg);

// In the one order of all: see watchers.c.
static inline bool fb_watchers_any(const fb_watchers *all) {
    return atomic_load(&all->count) != 0;
}
void fb_watchers_call(fb_watchers *all, const fb_change *change);
// Whether a watcher runs on this thread just now.
bool fb_watchers_are_called(void);
// After the change is in force.
static inline void fb_watchers_tell(fb_watchers *all, fb_change_kind kind, fb_str name) {
    if (fb_watchers_any(all)) {
        fb_change change = {.kind = kind, .name = name};
        fb_watchers_call(all, &change);
    }
}

#ifdef __cplusplus
}
#endif

#endif
