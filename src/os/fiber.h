// os/fiber.h -- functions that can wait: each runs on a stack of its own, and where it waits, the
// thread goes on with something else.
//
// A fiber belongs to a pool, and a pool to a thread: it runs there alone. Stacks have 256 KiB with
// a guard page below, are mapped when first needed (a page at a time, as it is touched) and used
// again.
//
// What runs as a fiber must not hold a lock where it waits, and must fetch thread-local things anew
// after it.

#ifndef FB_OS_FIBER_H
#define FB_OS_FIBER_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_fiber fb_fiber;
typedef struct fb_fiber_pool fb_fiber_pool;

enum { FB_FIBER_STACK_BYTES = 256 * 1024 };

// At most `most` fibers wait at once. FB_ENOMEM.
FB_CHECK_RESULT int fb_fiber_pool_new(uint32_t most, fb_fiber_pool **pool);
// None may wait any more. NULL is fine.
void fb_fiber_pool_free(fb_fiber_pool *pool);
// How many wait. Any thread.
uint32_t fb_fiber_waiting(const fb_fiber_pool *pool);

// Runs fn(arg) as a fiber, not from within one. FB_OK: it has returned. FB_PENDING: it waits.
// FB_ENOMEM, FB_EOVERLOAD: it was not called.
FB_CHECK_RESULT int fb_fiber_run(fb_fiber_pool *pool, void (*fn)(void *arg), void *arg);
// The one that runs on this thread, or NULL.
fb_fiber *fb_fiber_here(void);
// A pointer that goes with the fiber, for whoever runs as one: NULL when its function begins, and to be
// NULL again when that returns.
void *fb_fiber_local(const fb_fiber *fiber);
void fb_fiber_set_local(fb_fiber *fiber, void *local);
// From within a fiber: waits until it is resumed.
void fb_fiber_wait(void);
// Goes on with one that waits, until it returns or waits again. On its pool's thread, not from
// within a fiber.
void fb_fiber_resume(fb_fiber *fiber);

#ifdef __cplusplus
}
#endif

#endif
