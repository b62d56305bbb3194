// node/doctor.h -- how everything stands that a running server depends on: for `forebay doctor`
// (FB.DOCTOR) and GET /v1/doctor.
//
// Threads: a loop of the engine.

#ifndef FB_NODE_DOCTOR_H
#define FB_NODE_DOCTOR_H

#include "node/advice.h"
#include "node/finding.h"
#include "node/node.h"
#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

// Calls `fn` for each connection, door and store, what the machine gives, and the targets. `queues` are
// those that fb_roll_read() gave.
void fb_doctor_look(fb_node *node, const fb_queue_figures *queues, size_t queue_count,
                    fb_finding_fn fn, void *arg);
// All of it as one map: version, uptime_ms, process, state (the worst), findings, advice. FB_OK or
// FB_ENOMEM, and then nothing is written.
FB_CHECK_RESULT int fb_doctor_say(fb_node *node, const fb_queue_figures *queues, size_t queue_count,
                                  fb_reply *reply);

#ifdef __cplusplus
}
#endif

#endif
