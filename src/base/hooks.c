// The three things a process may replace: memory, log, panic.
//
// Idea: one table of function and argument for each hook. The public struct has one `arg` for all
// three, but two callers may each set a hook (an embedder its allocator, the daemon its log), so an
// argument is remembered with the function it arrived with. A NULL member leaves that hook alone;
// NULL instead of a struct brings back the defaults, which is what tests end with.
//
// The defaults use the C library only: no clock, so the default log line carries no time.

#include "base/hooks.h"

#include <stdio.h>
#include <stdlib.h>

static void *heap_resize(void *arg, void *ptr, size_t size) {
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, size);
}

// Debug events are for whoever installs a hook; standard error gets what a person should read.
static void print_event(void *arg, fb_log_level level, const char *event, const char *fields) {
    static const char *const names[] = {"debug", "info", "warn", "error"};

    if (level == FB_LOG_DEBUG) {
        return;
    }
    const char *name = level <= FB_LOG_ERROR ? names[level] : "error";
    (void)fprintf(stderr, "forebay: %s %s%s%s\n", name, event, fields[0] != '\0' ? " " : "",
                  fields);
}

static void print_panic(void *arg, const char *file, int line, const char *expression) {
    (void)fprintf(stderr, "forebay: panic %s:%d: %s\n", file, line, expression);
    abort();
}

static const fb_hooks_table defaults = {
    .resize = heap_resize, .log = print_event, .panic = print_panic};

fb_hooks_table fb_hooks_current = {.resize = heap_resize, .log = print_event, .panic = print_panic};

bool fb_hooks_plain_memory(void) {
    return fb_hooks_current.resize == heap_resize;
}

void fb_hooks_set(const fb_hooks *hooks) {
    if (hooks == NULL) {
        fb_hooks_current = defaults;
        return;
    }
    if (hooks->resize != NULL) {
        fb_hooks_current.resize = hooks->resize;
        fb_hooks_current.resize_arg = hooks->arg;
    }
    if (hooks->log != NULL) {
        fb_hooks_current.log = hooks->log;
        fb_hooks_current.log_arg = hooks->arg;
    }
    if (hooks->panic != NULL) {
        fb_hooks_current.panic = hooks->panic;
        fb_hooks_current.panic_arg = hooks->arg;
    }
}
