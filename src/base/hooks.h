// base/hooks.h -- the hooks in force, each with the argument it came with. For mem, log and check.
// Threads: written by fb_hooks_set() only, which comes before every other call.

#ifndef FB_BASE_HOOKS_H
#define FB_BASE_HOOKS_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_hooks_table {
    void *(*resize)(void *arg, void *ptr, size_t size);
    void *resize_arg;
    void (*log)(void *arg, fb_log_level level, const char *event, const char *fields);
    void *log_arg;
    void (*panic)(void *arg, const char *file, int line, const char *expression);
    void *panic_arg;
} fb_hooks_table;

extern fb_hooks_table fb_hooks_current;

// True while memory comes straight from the C library.
bool fb_hooks_plain_memory(void);

#ifdef __cplusplus
}
#endif

#endif
