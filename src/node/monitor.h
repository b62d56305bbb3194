// node/monitor.h -- the four monitoring documents, in the shapes that existing dashboards read.
//
// More fields may stand beside those of the shapes; none of these is missing or of another type.

#ifndef FB_NODE_MONITOR_H
#define FB_NODE_MONITOR_H

#include <forebay/stats.h>

#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

// `wall_us` is the time stamp. The caller asks fb_reply_failed().
void fb_monitor_stats(const fb_stats *stats, int64_t wall_us, fb_reply *reply);
void fb_monitor_metrics(const fb_stats *stats, int64_t wall_us, fb_reply *reply);
void fb_monitor_status(const fb_stats *stats, int64_t wall_us, fb_reply *reply);
void fb_monitor_dashboard(const fb_stats *stats, int64_t wall_us, fb_reply *reply);

// "memory", "dual" (with a shared tier), "fallback" (a shared tier that does not answer).
const char *fb_monitor_mode(const fb_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
