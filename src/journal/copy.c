// First the size, then the copy: structs in front, where they are aligned, and bytes behind them.

#include "journal/copy.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

static size_t job_bytes(const fb_job *job) {
    return job->kind.len + job->payload.len + job->unique.len + job->error.len + job->progress.len;
}

size_t fb_journal_copy_size(const fb_store_request *request) {
    size_t size = sizeof(fb_journal_ask) + request->queue.len + request->text.len +
                  request->mark.len + request->after_mark.len;
    for (size_t i = 0; i < request->item_count; i++) {
        if (request->jobs != NULL) {
            size += sizeof *request->jobs + job_bytes(&request->jobs[i].job);
        }
        if (request->claims != NULL) {
            size += sizeof *request->claims;
        }
    }
    return size;
}

// Takes the bytes into the piece at *place. NULL stays NULL: it means something.
static void take(fb_str *str, char **place) {
    if (str->ptr == NULL) {
        return;
    }
    if (str->len > 0) {
        memcpy(*place, str->ptr, str->len);
    }
    str->ptr = *place;
    *place += str->len;
}

static void take_jobs(fb_journal_ask *ask, fb_store_job *jobs, char **place) {
    memcpy(jobs, ask->request.jobs, ask->request.item_count * sizeof *jobs);
    ask->request.jobs = jobs;
    for (size_t i = 0; i < ask->request.item_count; i++) {
        fb_job *job = &jobs[i].job;
        job->queue = ask->request.queue;
        take(&job->kind, place);
        take(&job->payload, place);
        take(&job->unique, place);
        take(&job->error, place);
        take(&job->progress, place);
        if (job->payload.ptr == NULL) {
            job->payload.ptr = "";
        }
    }
}

fb_journal_ask *fb_journal_copy(const fb_store_request *request) {
    size_t size = fb_journal_copy_size(request);
    fb_journal_ask *ask = fb_mem_new(size);

    if (ask == NULL) {
        return NULL;
    }
    memset(ask, 0, sizeof *ask);
    ask->bytes = size;
    ask->request = *request;
    fb_store_job *jobs = (fb_store_job *)(void *)(ask + 1);
    fb_job_claim *claims = (fb_job_claim *)(void *)(jobs + (request->jobs != NULL
                                                                ? request->item_count
                                                                : 0));
    char *place = (char *)(claims + (request->claims != NULL ? request->item_count : 0));
    if (request->policy != NULL) {
        ask->policy = *request->policy;
        ask->request.policy = &ask->policy;
    }
    take(&ask->request.queue, &place);
    take(&ask->request.text, &place);
    take(&ask->request.mark, &place);
    take(&ask->request.after_mark, &place);
    if (request->claims != NULL && request->item_count > 0) {
        memcpy(claims, request->claims, request->item_count * sizeof *claims);
        ask->request.claims = claims;
    }
    if (request->jobs != NULL && request->item_count > 0) {
        take_jobs(ask, jobs, &place);
    }
    FB_ASSERT(place == (char *)ask + size);
    return ask;
}
