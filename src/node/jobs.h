// node/jobs.h -- jobs and queues as answers: in maps of commands and in JSON documents, which have the
// same names and values, but for payloads.
//
// Codes, links and tokens of mails are in the payloads of jobs whose queue has the worker `mail`. They
// are nobody's to see: fb_jobs_payload() is the one place that sees to it, for all doors.
//
// Threads: any.

#ifndef FB_NODE_JOBS_H
#define FB_NODE_JOBS_H

#include <forebay/queue.h>

#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

// The payload as it may be shown, in the job or in *scratch, which is the caller's to release. What
// cannot be looked through, for want of memory too, is not shown.
fb_str fb_jobs_payload(fb_engine *engine, const fb_job *job, fb_buf *scratch);

// A map with all that is known of it. With `payload`: for commands the bytes; in JSON what they say where
// they are JSON, else base64, and payload_encoding, which is "json" or "base64".
void fb_jobs_say(fb_reply *reply, fb_engine *engine, const fb_job *job, bool payload);
// What a worker gets for JSON: fewer, and the token.
void fb_jobs_say_claimed(fb_reply *reply, fb_engine *engine, const fb_job *job);
// The same for commands: [id, token, attempt, kind, payload].
void fb_jobs_row(fb_reply *reply, fb_engine *engine, const fb_job *job);

// "scheduled" and its kin, without regard to case.
bool fb_jobs_state(fb_str text, fb_job_state *state);
// "scheduled, ready, leased or dead".
const char *fb_jobs_state_names(void);

// One queue as a map. `look` is what its store has just said, or NULL: what figures have.
void fb_jobs_queue_say(fb_reply *reply, const fb_queue_figures *figures, const fb_queue_look *look);
// Copies the figures of one queue; its texts are good for as long as the engine lives. FB_OK, FB_MISS,
// FB_ENOMEM.
FB_CHECK_RESULT int fb_jobs_queue_find(fb_engine *engine, fb_str queue, fb_queue_figures *figures);
// Gives back what somebody was to work on who is not there any more: its attempts do not count.
void fb_jobs_hand_back(fb_engine *engine, const fb_job *jobs, size_t count);

#ifdef __cplusplus
}
#endif

#endif
