// base/log.h -- one event a line: a stable name and its fields. Where it goes is the hook's matter.

#ifndef FB_BASE_LOG_H
#define FB_BASE_LOG_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// fb_log(FB_LOG_WARN, "source_failed", "class=%.*s ms=%lld", …). Fields are `name=value`, values
// with a space or quote in double quotes (the caller sees to it); control bytes become '?'. Cut at
// 1,000 bytes. Without a hook: one line on standard error, and nothing for FB_LOG_DEBUG.
FB_PRINTF(3, 4) void fb_log(fb_log_level level, const char *event, const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
