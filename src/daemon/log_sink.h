// daemon/log_sink.h -- where log events go: one line each on standard error.

#ifndef FB_DAEMON_LOG_SINK_H
#define FB_DAEMON_LOG_SINK_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_log_format { FB_LOG_AUTO, FB_LOG_TEXT, FB_LOG_JSON } fb_log_format;

// From now on: events of at least `level`, as text on a terminal (AUTO) or as asked for. May be
// called again, from any thread.
void fb_log_sink_set(fb_log_level level, fb_log_format format);
// For fb_hooks.log.
void fb_log_sink(void *arg, fb_log_level level, const char *event, const char *fields);
// "info" → FB_LOG_INFO and "json" → FB_LOG_JSON; what is not known is INFO and AUTO.
fb_log_level fb_log_sink_level(const char *name);
fb_log_format fb_log_sink_format(const char *name);

#ifdef __cplusplus
}
#endif

#endif
