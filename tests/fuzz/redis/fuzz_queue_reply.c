// Any bytes as the servers' answers to any request of a queue. The first byte names the verb, the
// second how many jobs it names, the third of how many partitions; what follows is RESP, one answer
// after the other.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "redis/queue_state.h"

enum { ITEMS_MAX = 6, PARTS_MAX = 3 };

// Wherever it points, it can be read.
static void check_text(fb_str text) {
    unsigned sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        sum += (unsigned char)text.ptr[i];
    }
    FB_ASSERT(sum <= 255 * text.len);
}

static void check_job(const fb_job *job) {
    const fb_str texts[] = {job->kind, job->payload, job->unique, job->error, job->progress};

    FB_ASSERT((unsigned)job->state < FB_JOB_STATE_COUNT &&
              (unsigned)job->end <= FB_JOB_END_EXPIRED);
    FB_ASSERT(job->priority < FB_JOB_PRIORITIES);
    FB_ASSERT(job->due_ms >= 0 && job->until_ms >= 0 && job->lease_ms >= 0 && job->expires_ms >= 0);
    for (size_t i = 0; i < 5; i++) {
        check_text(texts[i]);
    }
}

static void on_told(void *arg, const fb_store_reply *reply) {
    const fb_store_request *request = arg;
    bool bounded = request->verb == FB_STORE_RESERVE || request->verb == FB_STORE_ACK ||
                   request->verb == FB_STORE_LIST;

    FB_ASSERT(reply->text != NULL && reply->result <= FB_STORE_UNKNOWN);
    if (reply->result > FB_STORE_MISS) {
        FB_ASSERT(reply->job_count == 0 && reply->mark_count == 0 && reply->results == NULL);
        return;
    }
    FB_ASSERT(!bounded || reply->job_count <= request->count);
    for (size_t i = 0; i < reply->job_count; i++) {
        check_job(&reply->jobs[i]);
        FB_ASSERT(request->verb != FB_STORE_LIST || i == 0 ||
                  reply->jobs[i - 1].number <= reply->jobs[i].number);
    }
    for (size_t i = 0; i < reply->mark_count; i++) {
        check_text(reply->marks[i].name);
    }
    size_t found = 0;
    for (size_t i = 0; i < request->item_count && reply->results != NULL; i++) {
        FB_ASSERT(reply->results[i] <= FB_LOST);
        found += reply->results[i] == FB_OK;
    }
    FB_ASSERT(request->verb != FB_STORE_GET || reply->job_count <= found);
}

static void make_parts(fb_queue_tour *tour, uint32_t *at) {
    for (size_t i = 0; i < tour->part_count; i++) {
        fb_queue_part *part = &tour->parts[i];
        *part = (fb_queue_part){.tour = tour, .verb = tour->request.verb, .items = {at, 0}};
        for (uint32_t j = 0; j < tour->request.item_count; j++) {
            if (j % tour->part_count == i) {
                at[part->items.count++] = j;
            }
        }
        at += part->items.count;
    }
}

static void take(const uint8_t *how, fb_str bytes) {
    int results[ITEMS_MAX] = {0}, ends[ITEMS_MAX] = {0};
    uint64_t numbers[ITEMS_MAX] = {0};
    int64_t ran_ms[ITEMS_MAX] = {0};
    uint32_t at[ITEMS_MAX];
    fb_queue_part parts[PARTS_MAX];
    fb_queue_tour tour = {.parts = parts,
                          .part_count = 1U + how[2] % PARTS_MAX,
                          .results = results,
                          .ends = ends,
                          .numbers = numbers,
                          .ran_ms = ran_ms,
                          .fn = on_told};
    fb_resp_reply *reader = NULL;
    const fb_resp_value *value;
    fb_error error;

    tour.request.verb = (fb_store_verb)(how[0] % (FB_STORE_MARK_LIST + 1));
    tour.request.item_count = how[1] % (ITEMS_MAX + 1);
    tour.request.count = how[1] >> 4;
    tour.request.flag = how[2] >= 128;
    tour.arg = &tour.request;
    FB_ASSERT(fb_resp_reply_new(8, 1 << 20, &reader) == FB_OK);
    make_parts(&tour, at);
    for (size_t i = 0; i < tour.part_count; i++) {
        ssize_t used = fb_resp_reply_read(reader, bytes, &value, &error);
        if (used <= 0) {
            fb_queue_tour_failed(&parts[i], FB_STORE_FAILED, "no answer");
            continue;
        }
        (void)fb_queue_tour_gather(&parts[i], value);
        bytes = fb_str_make(bytes.ptr + used, bytes.len - (size_t)used);
    }
    fb_queue_tour_tell(&tour);
    fb_arena_release(&tour.arena);
    fb_mem_free(tour.jobs);
    fb_resp_reply_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) {
        return 0;
    }
    take(data, fb_str_make((const char *)data + 3, size - 3));
    return 0;
}
