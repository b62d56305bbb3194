// os/thread.h -- threads of forebay's own.

#ifndef FB_OS_THREAD_H
#define FB_OS_THREAD_H

#include <forebay/base.h>

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

// Starts fn(arg) on a thread called `name` (at most 15 bytes). Signals are the program's: none is
// delivered there but those that a thread gets for what it does itself, and a profiler's. FB_OK or
// FB_EIO.
FB_CHECK_RESULT int fb_thread_start(pthread_t *thread, const char *name, void *(*fn)(void *arg),
                                    void *arg);

#ifdef __cplusplus
}
#endif

#endif
