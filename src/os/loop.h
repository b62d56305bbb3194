// os/loop.h -- an event loop on a thread of its own, with a queue of work from other threads.

#ifndef FB_OS_LOOP_H
#define FB_OS_LOOP_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
typedef struct fb_loop fb_loop;

// FB_OK, FB_ENOMEM, FB_EIO. The thread (named "forebay-<index>") starts at once.
FB_CHECK_RESULT int fb_loop_new(uint32_t index, fb_loop **loop);
// Ends the loop after what was posted and joins its thread; the base lives on, for events to be
// freed. From another thread. Twice is fine.
void fb_loop_stop(fb_loop *loop);
// After the stop: runs what has been posted since, as if on the loop's thread. Whether there was
// any.
bool fb_loop_run_left(fb_loop *loop);
// Stops and frees. Nothing may be left that was posted. NULL is fine.
void fb_loop_free(fb_loop *loop);
struct event_base *fb_loop_event_base(fb_loop *loop);
// Runs fn(arg) on the loop's thread, in order. From any thread; wakes the loop only where it may
// sleep. Intrusive: the node is the caller's and is free again when fn is called.
typedef struct fb_post {
    struct fb_post *next;
    void (*fn)(struct fb_post *post);
} fb_post;
void fb_loop_submit(fb_loop *loop, fb_post *post);
// The loop whose thread this is, or NULL.
fb_loop *fb_loop_here(void);
uint32_t fb_loop_index(const fb_loop *loop);

#ifdef __cplusplus
}
#endif

#endif
