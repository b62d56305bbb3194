// node/metrics.h -- rows for Prometheus, as the files that write them share it.

#ifndef FB_NODE_METRICS_H
#define FB_NODE_METRICS_H

#include <forebay/forebay.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_metrics {
    fb_buf *out;
    int result;  // FB_OK, or why the rest is missing
} fb_metrics;

#define FB_METRICS_PUT(self, ...)                                     \
    do {                                                              \
        if ((self)->result == FB_OK) {                                \
            (self)->result = fb_buf_printf((self)->out, __VA_ARGS__); \
        }                                                             \
    } while (0)

// HELP and TYPE.
void fb_metrics_head(fb_metrics *self, const char *name, const char *type, const char *help);

// Nothing where there is nothing of the kind.
void fb_metrics_queues(fb_metrics *self, const fb_queue_figures *queues, size_t count);
void fb_metrics_mails(fb_metrics *self, fb_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
