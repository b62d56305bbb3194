// client/caller.h -- what each thread that calls into the client layer has of its own, and what a
// fork() means for it.
//
// Threads: each has its own. Memory: some 50 bytes of thread-local storage.

#ifndef FB_CLIENT_CALLER_H
#define FB_CLIENT_CALLER_H

#include <forebay/base.h>

#include <pthread.h>

#include "base/list.h"
#include "base/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_CALLER_STRIPES = 16 };

typedef struct fb_caller {
    fb_rng rng;
    uint32_t stripe;  // which of several counters it writes to
    bool ready;
} fb_caller;

extern __thread fb_caller fb_caller_own;

void fb_caller_init(fb_caller *caller);
static inline fb_caller *fb_caller_self(void) {
    fb_caller *caller = &fb_caller_own;
    if (__builtin_expect(!caller->ready, 0)) {
        fb_caller_init(caller);
    }
    return caller;
}

// A lock that fork() waits for: no other thread is in the middle of what it guards when the process
// is copied, so the child finds it whole and free. It must not be held while anything waits, nor
// around code of the program's (which may fork).
typedef struct fb_forked {
    fb_list list;
    pthread_mutex_t lock;
    void (*in_child)(struct fb_forked *forked);  // with `lock` held; may be NULL
} fb_forked;

// From now on forks see to it. Also without a client it makes threads of a child draw numbers of
// their own.
void fb_forked_watch(void);
FB_CHECK_RESULT int fb_forked_init(fb_forked *forked, void (*in_child)(fb_forked *forked));
void fb_forked_release(fb_forked *forked);
static inline void fb_forked_lock(fb_forked *forked) {
    (void)pthread_mutex_lock(&forked->lock);
}
static inline void fb_forked_unlock(fb_forked *forked) {
    (void)pthread_mutex_unlock(&forked->lock);
}

#ifdef __cplusplus
}
#endif

#endif
