// base/log.h -- one event a line: a stable name and its fields. Where it goes is the hook's matter.

#ifndef FB_BASE_LOG_H
#define FB_BASE_LOG_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// fb_log(FB_LOG_WARN, "load_failed", "class=%.*s ms=%lld error=%s", …, fb_log_quote(error, 300).text).
// Fields are `name=value` with one space between; a value is a word (no space, quote or backslash
// in it) or in double quotes, within which `\"` and `\\` stand for a quote and a backslash. Control
// bytes become '?'. Cut at 1,000 bytes. Without a hook: one line on standard error, and nothing for
// FB_LOG_DEBUG.
FB_PRINTF(3, 4) void fb_log(fb_log_level level, const char *event, const char *format, ...);

// A value in quotes, whatever it holds, cut so that no more than `len_max` bytes (at most
// FB_LOG_TEXT_MAX) stand between them. To be used within the call.
enum { FB_LOG_KEY_MAX = 200, FB_LOG_TEXT_MAX = 800 };
typedef struct fb_log_text {
    char text[FB_LOG_TEXT_MAX + 3];
} fb_log_text;
fb_log_text fb_log_quote(fb_str value, size_t len_max);

#ifdef __cplusplus
}
#endif

#endif
