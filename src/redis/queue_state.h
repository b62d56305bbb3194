// redis/queue_state.h -- what the files of the queue's port share: a request on its way (a tour),
// and its remote's side of queues (redis/remote_state.h has that one's type).
//
//   send() ─ plan ─▶ parts (one script of one partition each) ─▶ answers, gathered ─▶ reply
//
// Threads: its remote's loop.

#ifndef FB_REDIS_QUEUE_STATE_H
#define FB_REDIS_QUEUE_STATE_H

#include "base/arena.h"
#include "redis/queue_step.h"
#include "redis/remote_state.h"

typedef struct fb_queue_tour fb_queue_tour;

typedef struct fb_queue_part {
    fb_queue_tour *tour;
    fb_queue_place place;
    fb_store_verb verb;
    uint16_t slot;
    fb_step step;          // of what has items: encoded before anything is sent
    bool encoded;
    fb_queue_items items;
    uint64_t after;        // LIST: goes on
    size_t got;            // LIST: jobs
    bool asked_info;       // of redis/queue_fit.c
} fb_queue_part;

struct fb_queue_tour {
    fb_remote *remote;
    fb_store_request request;  // without jobs and claims; its texts are copies
    fb_queue_policy policy;
    int64_t deadline_ns;
    fb_store_reply_fn fn;
    void *arg;
    fb_arena arena;
    // Parts: the first `abreast` at once, then one after the other, until it is enough.
    fb_queue_part *parts;
    size_t part_count, abreast, sent, answered;
    bool starting;             // within send(): nothing is answered there
    int refused;               // the first result of a part that could not be sent
    // What has come together.
    size_t done;               // parts
    fb_store_result worst;     // of those that are not; DONE: none
    char text[192];            // of it
    fb_store_reply reply;
    fb_job *jobs;
    size_t job_count, job_cap;
    int *results, *ends;
    uint64_t *numbers;
    int64_t *ran_ms;
    fb_store_mark *marks;
    size_t mark_count;
};

// ---- queue_answer.c
// Takes what a part was answered. False: it goes on, as part->after says.
bool fb_queue_tour_gather(fb_queue_part *part, const fb_resp_value *value);
// It was not, or was refused: `result` and why.
void fb_queue_tour_failed(fb_queue_part *part, fb_store_result result, const char *why);
// Calls tour->fn with what came together.
void fb_queue_tour_tell(fb_queue_tour *tour);

// ---- queue_fit.c
// Whether the server of this part was looked at, and is fit for jobs.
bool fb_queue_fit_is_known(const fb_queue_part *part);
// Looks; fb_queue_fit_found() hears of it. A result of fb_route_send().
FB_CHECK_RESULT int fb_queue_fit_ask(fb_queue_part *part);
// ---- queue.c
// DONE: it is; VOLATILE, FAILED: why not.
void fb_queue_fit_found(fb_queue_part *part, fb_store_result result, const char *why);

#endif
