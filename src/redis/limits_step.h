// redis/limits_step.h -- requests of limit/port.h as commands, and what their answers say. No I/O.

#ifndef FB_REDIS_LIMITS_STEP_H
#define FB_REDIS_LIMITS_STEP_H

#include "limit/port.h"
#include "redis/step.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

// Of a request, what reading its answer needs.
typedef struct fb_limits_question {
    fb_limit_verb verb;
    size_t part_count;
} fb_limits_question;

// One command, with its slot, and whether it may be done twice. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_limits_encode(fb_step *step, const char *name_space,
                                     const fb_limit_request *request);
// Fills in *reply of an answer that is no error. It points into `value`. Nothing of it is trusted:
// an answer of another shape is UNKNOWN, for the server has done something.
void fb_limits_take(const fb_limits_question *question, const fb_resp_value *value,
                    fb_limit_reply *reply);

#ifdef __cplusplus
}
#endif

#endif
