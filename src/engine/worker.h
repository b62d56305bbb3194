// engine/worker.h -- workers (forebay/queue.h) as the engine's own parts use them.

#ifndef FB_ENGINE_WORKER_H
#define FB_ENGINE_WORKER_H

#include "engine/queues.h"

#ifdef __cplusplus
extern "C" {
#endif

// As fb_worker_new(); `own`: a built-in one, which also goes on while the engine closes.
FB_CHECK_RESULT int fb_worker_make(fb_queues *queues, const fb_worker_options *options, bool own,
                                   fb_worker **worker, fb_error *error);
// Begins what fb_worker_free() does, without waiting for it. Any thread; again is fine: the sooner
// end counts.
void fb_worker_quit(fb_worker *worker, int64_t drain_ms);
// Another number of threads, soon. Any thread.
void fb_worker_resize(fb_worker *worker, uint32_t concurrency);

#ifdef __cplusplus
}
#endif

#endif
