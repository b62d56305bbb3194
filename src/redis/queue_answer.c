// Where the whole request is one part, what its reply points to is the server's answer itself;
// otherwise copies.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "redis/queue_state.h"

// ---- one part

// Good until the tour is answered.
static bool keep(fb_queue_tour *tour, fb_str *text) {
    fb_str from = *text;
    bool is_last = tour->part_count == 1 && tour->request.verb != FB_STORE_LIST;

    if (!is_last && from.len > 0) {
        *text = fb_arena_copy(&tour->arena, from);
    }
    return from.len == 0 || text->ptr != NULL;
}

static bool keep_job(fb_queue_tour *tour, fb_job *job) {
    job->queue = tour->request.queue;
    return keep(tour, &job->kind) && keep(tour, &job->payload) && keep(tour, &job->unique) &&
           keep(tour, &job->error) && keep(tour, &job->progress);
}

static fb_job *add_jobs(fb_queue_tour *tour, size_t count) {
    if (tour->job_count + count > tour->job_cap) {
        size_t cap = tour->job_count + count + tour->job_cap / 2;
        fb_job *more = fb_mem_resize(tour->jobs, cap * sizeof *more);
        if (more == NULL) {
            return NULL;
        }
        tour->jobs = more;
        tour->job_cap = cap;
    }
    return tour->jobs + tour->job_count;
}

// At most so many jobs; of GET exactly.
static size_t expects(const fb_queue_part *part) {
    const fb_queue_tour *tour = part->tour;
    size_t found = 0;

    switch (part->verb) {
    case FB_STORE_RESERVE:
    case FB_STORE_ACK:
        return tour->request.count > tour->job_count ? tour->request.count - tour->job_count : 0;
    case FB_STORE_LIST:
        return tour->request.count - part->got;
    case FB_STORE_GET:
        for (size_t i = 0; i < part->items.count; i++) {
            found += tour->results[part->items.at[i]] == FB_OK;
        }
        return found;
    default:
        return 0;
    }
}

// NULL, or what is wrong.
static const char *take_jobs(fb_queue_part *part, const fb_queue_said *said) {
    fb_queue_tour *tour = part->tour;
    size_t count = said->rest_count / 3;
    bool is_short = part->verb == FB_STORE_GET && count < expects(part);
    bool shows_tokens = part->verb == FB_STORE_RESERVE || part->verb == FB_STORE_ACK ||
                        (part->verb == FB_STORE_LIST && tour->request.flag);

    if (said->rest_count % 3 != 0 || count > expects(part) || is_short) {
        return "the server's answer is not understood";
    }
    fb_job *jobs = count > 0 ? add_jobs(tour, count) : NULL;
    if (count > 0 && jobs == NULL) {
        return fb_result_text(FB_ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        if (!fb_queue_step_read_job(&said->rest[3 * i], &jobs[i])) {
            return "a job in the server cannot be read";
        }
        if (!shows_tokens) {
            jobs[i].token = 0;
        }
        if (part->verb == FB_STORE_LIST && !tour->request.flag) {
            jobs[i].payload = FB_STR("");
        }
        if (!keep_job(tour, &jobs[i])) {
            return fb_result_text(FB_ENOMEM);
        }
    }
    tour->job_count += count;
    part->got += count;
    return NULL;
}

static const char *take_marks(fb_queue_tour *tour, const fb_queue_said *said) {
    size_t count = said->rest_count / 3;

    tour->marks = fb_arena_new(&tour->arena, (count + 1) * sizeof *tour->marks);
    if (tour->marks == NULL) {
        return fb_result_text(FB_ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        if (said->rest_count % 3 != 0 ||
            !fb_queue_step_read_mark(&said->rest[3 * i], &tour->marks[i]) ||
            !keep(tour, &tour->marks[i].name)) {
            return "the server's answer is not understood";
        }
    }
    tour->mark_count = count;
    return NULL;
}

static bool has_results(const fb_queue_part *part) {
    return part->items.count > 0;
}

static bool take_items(fb_queue_part *part, fb_str items) {
    fb_queue_tour *tour = part->tour;

    if (items.len != FB_QUEUE_ITEM_BYTES * part->items.count) {
        return false;
    }
    for (size_t i = 0; i < part->items.count; i++) {
        uint32_t at = part->items.at[i];
        fb_queue_item item;
        if (!fb_queue_step_read_item(items, i, &item)) {
            return false;
        }
        tour->results[at] = item.result;
        tour->ends[at] = item.end;
        tour->numbers[at] = (uint64_t)item.number;
        tour->ran_ms[at] = item.number;
    }
    return true;
}

// The mark was there: none was taken here.
static void take_none(fb_queue_part *part) {
    for (size_t i = 0; i < part->items.count; i++) {
        part->tour->results[part->items.at[i]] = FB_REFUSED;
    }
}

static void take_number(fb_queue_part *part, int64_t number) {
    fb_queue_tour *tour = part->tour;
    uint64_t value = number > 0 ? (uint64_t)number : 0;

    switch (part->verb) {
    case FB_STORE_IMPORT:
    case FB_STORE_KICK:
    case FB_STORE_PURGE:
        tour->reply.value += value;
        return;
    case FB_STORE_PAUSE:
        tour->reply.value |= value;
        return;
    case FB_STORE_ENQUEUE:  // the last one's: partition 0's, where there is a mark
    case FB_STORE_MARK_DROP:
        tour->reply.value = tour->request.verb == part->verb ? value : 0;
        return;
    case FB_STORE_RESERVE:
    case FB_STORE_ACK:
    case FB_STORE_LOOK:
        if (number >= 0 && number < tour->reply.look.next_ms) {
            tour->reply.look.next_ms = number;
        }
        return;
    default:
        return;
    }
}

static const char *take_rest(fb_queue_part *part, const fb_queue_said *said) {
    fb_queue_tour *tour = part->tour;
    static const char STRANGE[] = "the server's answer is not understood";

    switch (part->verb) {
    case FB_STORE_LOOK:
        if (said->rest_count == 1 && fb_queue_step_read_look(said->rest, &tour->reply.look)) {
            return NULL;
        }
        return STRANGE;
    case FB_STORE_MARK_GET:
    case FB_STORE_MARK_LIST: {
        const char *wrong = take_marks(tour, said);
        bool gets = part->verb == FB_STORE_MARK_GET && said->result == FB_STORE_DONE;
        if (wrong == NULL && gets && tour->mark_count != 1) {
            return STRANGE;
        }
        if (wrong == NULL && gets) {
            tour->reply.value = (uint64_t)tour->marks[0].value;
            tour->mark_count = 0;
        }
        return wrong;
    }
    default:
        return take_jobs(part, said);
    }
}

bool fb_queue_tour_gather(fb_queue_part *part, const fb_resp_value *value) {
    fb_queue_tour *tour = part->tour;
    fb_queue_said said;

    if (!fb_queue_step_read(value, &said)) {
        fb_queue_tour_failed(part, FB_STORE_UNKNOWN, "the server's answer is not understood");
        return true;
    }
    if (said.result == FB_STORE_FULL) {
        fb_queue_tour_failed(part, FB_STORE_FULL, "the queue has as many jobs as it may have");
        return true;
    }
    bool none = part->verb == FB_STORE_ENQUEUE && said.number == 0;
    if (none) {
        take_none(part);
    } else if (has_results(part) && !take_items(part, said.items)) {
        fb_queue_tour_failed(part, FB_STORE_UNKNOWN, "the server's answer is not understood");
        return true;
    }
    const char *wrong = take_rest(part, &said);
    if (wrong != NULL) {
        fb_queue_tour_failed(part, FB_STORE_UNKNOWN, wrong);
        return true;
    }
    if (part->verb == FB_STORE_LIST && said.number > 0 && part->got < tour->request.count &&
        (uint64_t)said.number > part->after) {
        part->after = (uint64_t)said.number;
        return false;
    }
    take_number(part, said.number);
    tour->reply.now_ms = said.now_ms;
    tour->reply.result = said.result;
    tour->done++;
    return true;
}

void fb_queue_tour_failed(fb_queue_part *part, fb_store_result result, const char *why) {
    fb_queue_tour *tour = part->tour;
    int each = result == FB_STORE_UNKNOWN    ? FB_ETIMEDOUT
               : result == FB_STORE_FULL     ? FB_EFULL
               : result == FB_STORE_VOLATILE ? FB_EVOLATILE
                                             : FB_EIO;

    for (size_t i = 0; i < part->items.count; i++) {
        tour->results[part->items.at[i]] = each;
    }
    // What may have been done weighs most.
    if (tour->worst == FB_STORE_DONE || result > tour->worst) {
        tour->worst = result;
        snprintf(tour->text, sizeof tour->text, "%s", why);
    }
}

// ---- the whole

static int by_number(const void *a, const void *b) {
    const fb_job *one = a, *other = b;
    return one->number < other->number ? -1 : one->number > other->number;
}

// In the order in which they were asked for: the results say which are there. Each is found once.
static void order_by_items(fb_queue_tour *tour) {
    size_t filled = 0;
    fb_job *ordered = fb_arena_new(&tour->arena, (tour->job_count + 1) * sizeof *ordered);
    uint32_t *places = fb_arena_new(&tour->arena, (tour->request.item_count + 1) * sizeof *places);
    size_t at = 0;

    if (ordered == NULL || places == NULL) {
        tour->worst = FB_STORE_FAILED;
        tour->done = 0;
        snprintf(tour->text, sizeof tour->text, "%s", fb_result_text(FB_ENOMEM));
        return;
    }
    // Jobs lie part by part, in each in the order of its items.
    for (size_t i = 0; i < tour->part_count; i++) {
        const fb_queue_part *part = &tour->parts[i];
        for (size_t j = 0; j < part->items.count; j++) {
            places[part->items.at[j]] = UINT32_MAX;
            if (part->got > 0 && tour->results[part->items.at[j]] == FB_OK) {
                places[part->items.at[j]] = (uint32_t)at++;
            }
        }
    }
    for (size_t i = 0; i < tour->request.item_count; i++) {
        if (places[i] < tour->job_count) {
            ordered[filled++] = tour->jobs[places[i]];
        }
    }
    if (filled > 0) {
        memcpy(tour->jobs, ordered, filled * sizeof *ordered);
    }
    tour->job_count = filled;
}

// Whether what was done is worth telling although another part failed.
static bool tells_part(const fb_queue_tour *tour) {
    const fb_store_request *request = &tour->request;

    switch (request->verb) {
    case FB_STORE_RESERVE:
        return tour->job_count > 0;
    case FB_STORE_PURGE:
        return tour->reply.value > 0;
    case FB_STORE_KICK:
        return tour->done > 0 && (request->item_count > 0 || tour->reply.value > 0);
    case FB_STORE_ENQUEUE:
        return tour->done > 0 && request->mark.len == 0;
    case FB_STORE_ACK:
        return tour->done > 0;
    case FB_STORE_FAIL:
    case FB_STORE_RELEASE:
    case FB_STORE_EXTEND:
    case FB_STORE_GET:
    case FB_STORE_CANCEL:
        return tour->done > 0;
    default:
        return false;
    }
}

static fb_store_result result_of(const fb_queue_tour *tour) {
    bool reads = tour->request.verb == FB_STORE_LIST || tour->request.verb == FB_STORE_LOOK;

    if (tour->worst == FB_STORE_DONE) {
        return tour->reply.result;
    }
    if (tells_part(tour)) {
        return FB_STORE_DONE;
    }
    return tour->done > 0 && !reads ? FB_STORE_UNKNOWN : tour->worst;
}

static void tell_done(fb_queue_tour *tour) {
    fb_store_reply *reply = &tour->reply;
    fb_store_verb verb = tour->request.verb;
    bool has_items = tour->request.item_count > 0;
    bool none = verb == FB_STORE_ENQUEUE && tour->request.mark.len > 0 && reply->value == 0;

    reply->jobs = tour->jobs;
    reply->job_count = tour->job_count;
    reply->marks = tour->marks;
    reply->mark_count = tour->mark_count;
    if (has_items && !none) {
        bool imports = verb == FB_STORE_IMPORT;
        reply->results = imports ? NULL : tour->results;
        reply->numbers = imports || verb == FB_STORE_ENQUEUE ? tour->numbers : NULL;
        reply->ran_ms = verb == FB_STORE_ACK || verb == FB_STORE_FAIL ? tour->ran_ms : NULL;
        reply->ends = verb == FB_STORE_FAIL ? tour->ends : NULL;
    }
}

void fb_queue_tour_tell(fb_queue_tour *tour) {
    fb_store_verb verb = tour->request.verb;

    if (verb == FB_STORE_GET && tour->part_count > 1) {
        order_by_items(tour);
    } else if (verb == FB_STORE_LIST && tour->job_count > 0) {
        qsort(tour->jobs, tour->job_count, sizeof *tour->jobs, by_number);
        tour->job_count =
            tour->job_count < tour->request.count ? tour->job_count : tour->request.count;
    }
    tour->reply.result = result_of(tour);
    if (tour->reply.result == FB_STORE_DONE || tour->reply.result == FB_STORE_MISS) {
        tell_done(tour);
    }
    tour->reply.text = tour->text;
    tour->reply.look.store = "redis";
    tour->fn(tour->arg, &tour->reply);
}
