// forebay/base.h -- what every forebay header shares: byte strings, results, error detail, hooks.
//
// Bytes are fb_str {ptr, len}: not NUL-terminated, any byte allowed, ptr may be NULL when len is 0.
// Times: `_ns`, `_us` and `_ms` name the unit. `now_ns` is a monotonic clock. Threads: stated call
// by call. Errors: a call that takes an fb_error says there in words why it returned < 0.
// Pointers: an fb_error may always be NULL (nobody wants to be told); any other pointer only where its
// call says so. What is passed in is the caller's, and is looked at no longer than the call takes unless
// it says otherwise; what is to be given back says so, and how.

#ifndef FOREBAY_BASE_H
#define FOREBAY_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FB_API __attribute__((visibility("default")))
#define FB_CHECK_RESULT __attribute__((warn_unused_result))
#define FB_PRINTF(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))

typedef struct fb_str {
    const char *ptr;
    size_t len;
} fb_str;

// A string literal as fb_str; FB_STR_INIT is the form for static initialisers.
#define FB_STR_INIT(literal) {"" literal, sizeof(literal) - 1}
#ifdef __cplusplus
#define FB_STR(literal) (fb_str FB_STR_INIT(literal))
#else
#define FB_STR(literal) ((fb_str)FB_STR_INIT(literal))
#endif

// Every result of every call: name, number, text. 0 is success, > 0 a named outcome that is not a
// failure, < 0 an error. After an error the object is as it was before the call.
#define FB_RESULTS(X)                                                            \
    X(FB_OK, 0, "success")                                                       \
    X(FB_MISS, 1, "not there")                                                   \
    X(FB_NEGATIVE, 2, "known not to exist")                                      \
    X(FB_PENDING, 3, "the answer comes later, by the callback")                  \
    X(FB_REFUSED, 4, "a condition of the call does not hold; nothing changed")   \
    X(FB_DOOMED, 5, "overtaken by an invalidation; not stored")                  \
    X(FB_LIMITED, 6, "over the limit")                                           \
    X(FB_LOST, 7, "the lease is over; nothing changed")                          \
    X(FB_EINVAL, -1, "invalid argument")                                         \
    X(FB_ENOMEM, -2, "out of memory")                                            \
    X(FB_ETIMEDOUT, -3, "timed out")                                             \
    X(FB_EOVERLOAD, -4, "too many requests wait already")                        \
    X(FB_ESOURCE, -5, "the source failed")                                       \
    X(FB_EDENIED, -6, "the source refused the request")                          \
    X(FB_ENOCLASS, -7, "no such class")                                          \
    X(FB_ETOOBIG, -8, "larger than the limit")                                   \
    X(FB_ECLOSED, -9, "shutting down")                                           \
    X(FB_EIO, -10, "input or output failed")                                     \
    X(FB_ESYNTAX, -11, "malformed input")                                        \
    X(FB_ERANGE, -12, "out of range")                                            \
    X(FB_ETYPE, -13, "the value has another type")                               \
    X(FB_ENOSOURCE, -14, "no such source")                                       \
    X(FB_ECONFLICT, -15, "in conflict with another setting")                     \
    X(FB_ENOLIMIT, -16, "no such limit")                                         \
    X(FB_ENOQUEUE, -17, "no such queue")                                         \
    X(FB_EFULL, -18, "no room left")                                             \
    X(FB_EVOLATILE, -19, "the store may lose what it accepts")                   \
    X(FB_ENOMAIL, -20, "no such kind of mail")

enum {
#define FB_RESULT_ENUM(name, number, text) name = number,
    FB_RESULTS(FB_RESULT_ENUM)
#undef FB_RESULT_ENUM
};

// "FB_MISS" and "not there" for a result; "FB_?" and "unknown result" for any other number.
FB_API const char *fb_result_name(int result);
FB_API const char *fb_result_text(int result);

// What went wrong and where. `file`, `line` and `column` (from 1) are empty and 0 where there is no
// text the error is about. `text` is one sentence without a final stop.
typedef struct fb_error {
    int code;
    uint32_t line;
    uint32_t column;
    char file[256];
    char text[512];
} fb_error;

// Hooks for the whole process; set them before the first other call. Any member may be NULL (what
// was set before, or the default, stays, with the `arg` it came with); fb_hooks_set(NULL) brings
// the defaults back: realloc() and free(); events from INFO on as lines on standard error; a line
// there and abort(). They are called from any thread, several at once, and must not call into
// forebay. `resize(arg, NULL, n)` allocates, `resize(arg, p, 0)` frees and returns NULL. It is asked
// for all that forebay takes for itself but the memory tier and the stacks of fibers, which are
// mappings; libraries below (the C library, SQLite, OpenSSL, libevent, libcurl …) have memory of their
// own. What has not been given back when everything is closed belongs to threads that live still.
typedef enum fb_log_level { FB_LOG_DEBUG, FB_LOG_INFO, FB_LOG_WARN, FB_LOG_ERROR } fb_log_level;

typedef struct fb_hooks {
    void *(*resize)(void *arg, void *ptr, size_t size);
    // One event: a stable name ("load_failed") and its fields as text ("class=package ms=31").
    void (*log)(void *arg, fb_log_level level, const char *event, const char *fields);
    // Called when forebay finds a mistake of its own, or that it is used in a way that cannot go
    // well (a parent's engine after fork()); must not return.
    void (*panic)(void *arg, const char *file, int line, const char *expression);
    void *arg;
} fb_hooks;

FB_API void fb_hooks_set(const fb_hooks *hooks);

#ifdef __cplusplus
}
#endif

#endif
