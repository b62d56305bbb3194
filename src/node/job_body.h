// node/job_body.h -- jobs as requests bring them: an object, a list of them, or bytes.
//
// Threads: any.

#ifndef FB_NODE_JOB_BODY_H
#define FB_NODE_JOB_BODY_H

#include <forebay/queue.h>

#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_job_body {
    fb_job_spec *specs;
    size_t count;
    bool several;  // a list was given
    // private
    struct json_t *root;
    fb_buf *payloads;  // what specs point to
    size_t room;       // of both
} fb_job_body;

// The jobs of call's body, for `queue`; release it in either case. Says so and returns false where
// something is wrong with it. It is good as long as the call.
bool fb_job_body_read(fb_http_call *call, fb_str queue, fb_job_body *body);
void fb_job_body_release(fb_job_body *body);

#ifdef __cplusplus
}
#endif

#endif
