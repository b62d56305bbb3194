// engine/webhook.h -- the built-in worker that posts jobs to an application.
//
// A job becomes one POST to the queue's `url`: its body is the payload, as it is, and its headers
// say the rest:
//
//   Content-Type            application/json where the payload begins like an object or an array,
//                           else application/octet-stream
//   X-Forebay-Id            "reports.1042"
//   X-Forebay-Queue         "reports"
//   X-Forebay-Kind          "monthly"
//   X-Forebay-Attempt       "2": this one, from 1
//   X-Forebay-Attempts      "3": at most
//   X-Forebay-Timestamp     Unix seconds, when it was posted
//   X-Forebay-Signature     "sha256=…": HMAC-SHA-256 in hex, under the queue's `secret`, of the
//                           timestamp, a point, and the body; where a secret is set
//
// What is answered decides. 2xx: done. 429 and 503: again, after Retry-After where there is one.
// 408 and 425, 5xx, a redirect (none is followed), and no answer within `timeout`: again, with the
// queue's back-off. Any other 4xx: never. The reason is the answer's first bytes. A job that
// outlasts the drain of a stop is broken off and handed back.

#ifndef FB_ENGINE_WEBHOOK_H
#define FB_ENGINE_WEBHOOK_H

#include "engine/queues.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_webhook fb_webhook;

FB_CHECK_RESULT int fb_webhook_new(fb_queues *queues, fb_webhook **webhook);
void fb_webhook_free(fb_webhook *webhook);  // nothing may run. NULL is fine
// An fb_work_fn; arg: the webhook.
int fb_webhook_work(void *arg, const fb_job *job, fb_work *work);

#ifdef __cplusplus
}
#endif

#endif
