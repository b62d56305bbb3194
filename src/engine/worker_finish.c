// A job's end: what its function returned, and said, becomes ACK, FAIL or RELEASE. A store that
// does not answer is asked again with growing pauses for as long as the lease lasts; after that
// somebody else does the job, and saying anything of it would change nothing.
//
// Who gave up because he was told that it is over did not fail: the job goes back.

#include "engine/worker_inside.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/units.h"
#include "base/utf8.h"
#include "os/clock.h"

static const int64_t PAUSE_MIN_NS = 20 * FB_NS_PER_MS;
static const int64_t PAUSE_MAX_NS = FB_NS_PER_S;

void fb_work_fail(fb_work *work, const char *text, bool permanent, int64_t delay_ms) {
    fb_str given = fb_str_of(text);
    size_t len = given.len > FB_JOB_TEXT_MAX ? fb_utf8_cut(given.ptr, FB_JOB_TEXT_MAX) : given.len;
    (void)snprintf(work->text, sizeof work->text, "%.*s", (int)len,
                   given.ptr != NULL ? given.ptr : "");
    work->permanent = permanent;
    work->delay_ms = delay_ms >= 0 ? delay_ms : -1;
}

void fb_work_release(fb_work *work, int64_t delay_ms) {
    work->released = true;
    work->delay_ms = delay_ms > 0 ? delay_ms : 0;
}

static bool is_lasting(int result) {
    return result != FB_EIO && result != FB_ETIMEDOUT && result != FB_EOVERLOAD &&
           result != FB_ENOMEM;
}

static int64_t lease_end_ns(fb_work *work) {
    pthread_mutex_lock(&work->worker->lock);
    int64_t until_ns = work->until_ns;
    pthread_mutex_unlock(&work->worker->lock);
    return until_ns;
}

static void say(fb_work *work, const fb_queue_call *call) {
    int64_t pause_ns = PAUSE_MIN_NS;
    fb_error error = {0};
    while (true) {
        int result = fb_queues_ask(work->worker->queues, call, true, NULL, NULL, &error);
        if (result >= 0) {
            return;
        }
        if (is_lasting(result) || fb_clock_now_ns() + pause_ns >= lease_end_ns(work) ||
            atomic_load(&work->worker->over)) {
            break;
        }
        struct timespec pause = {(time_t)(pause_ns / FB_NS_PER_S), (long)(pause_ns % FB_NS_PER_S)};
        (void)nanosleep(&pause, NULL);
        pause_ns = pause_ns < PAUSE_MAX_NS / 2 ? 2 * pause_ns : PAUSE_MAX_NS;
    }
    char id[FB_JOB_ID_SIZE];
    fb_log(FB_LOG_WARN, "queue_job_not_finished", "job=%s hint=%s why=%s",
           fb_job_id_write(work->job.queue, work->job.number, id),
           fb_log_quote(FB_STR("it will run again"), FB_LOG_TEXT_MAX).text,
           fb_log_quote(fb_str_of(error.text), FB_LOG_TEXT_MAX).text);
}

// What was said last and has not been told yet: of a job that goes back it is what people see of why.
static void tell_progress(fb_work *work, const fb_job_claim *claim) {
    char text[FB_JOB_TEXT_MAX + 1];
    pthread_mutex_lock(&work->worker->lock);
    bool any = work->progressed;
    work->progressed = false;
    memcpy(text, work->progress, sizeof text);
    pthread_mutex_unlock(&work->worker->lock);
    fb_queue_call call = {.verb = FB_QUEUE_EXTEND,
                          .queue = work->job.queue,
                          .claims = claim,
                          .item_count = 1,
                          .text = fb_str_of(text)};
    if (any) {
        FB_IGNORE(fb_queues_ask(work->worker->queues, &call, true, NULL, NULL, NULL));
    }
}

void fb_work_finish(fb_work *work, int result) {
    fb_job_claim claim = {work->job.number, work->job.token};
    fb_queue_call call = {.queue = work->job.queue, .claims = &claim, .item_count = 1};
    bool gave_up = result != FB_OK && !work->permanent && atomic_load(&work->worker->over);
    if (work->released || gave_up) {
        tell_progress(work, &claim);
        call.verb = FB_QUEUE_RELEASE;
        call.delay_ms = work->released ? work->delay_ms : 0;
    } else if (result == FB_OK) {
        call.verb = FB_QUEUE_ACK;
    } else {
        call.verb = FB_QUEUE_FAIL;
        call.delay_ms = work->delay_ms;
        call.permanent = work->permanent;
        call.text = fb_str_of(work->text[0] != '\0' ? work->text : fb_result_text(result));
    }
    say(work, &call);
}
