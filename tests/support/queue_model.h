// queue_model.h -- the rules of docs/decisions/0008 once more, as plainly as they can be written:
// jobs in one array, lines of numbers, and loops over all of it. What a store answers is compared
// with what this answers; so it shares no code with any store, and is as slow as it likes.
//
// A model is one struct without pointers into itself: a copy of it is a copy.

#ifndef FB_TESTS_QUEUE_MODEL_H
#define FB_TESTS_QUEUE_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "queue/port.h"

// In one queue; a fuzzer takes fewer, to be quick.
#ifndef QUEUE_MODEL_JOBS
#define QUEUE_MODEL_JOBS 300
#endif
enum {
    MODEL_JOBS = QUEUE_MODEL_JOBS,
    MODEL_MARKS = 32,
    MODEL_QUEUES = 3,
    MODEL_ITEMS = 40,
    MODEL_PAYLOAD = 24
};

#define MODEL_ASSERT(what)                                                              \
    do {                                                                                \
        if (!(what)) {                                                                  \
            fprintf(stderr, "%s:%d: the model: %s\n", __FILE__, __LINE__, #what);       \
            abort();                                                                    \
        }                                                                               \
    } while (0)

typedef struct model_text {
    size_t len;
    char bytes[FB_JOB_TEXT_MAX];
} model_text;

typedef struct model_job {
    bool there;
    fb_job job;  // its texts are not in there, but here
    char kind[FB_JOB_KIND_MAX], unique[FB_JOB_UNIQUE_MAX], payload[MODEL_PAYLOAD];
    size_t kind_len, unique_len, payload_len;
    model_text error, progress;
} model_job;

typedef struct model_mark {
    bool there;
    char name[32];
    size_t name_len;
    int64_t value, until_ms;
} model_mark;

typedef struct model_queue {
    char name[16];
    model_job jobs[MODEL_JOBS];
    uint64_t line[FB_JOB_PRIORITIES][MODEL_JOBS];  // READY: numbers, the first one next
    size_t line_len[FB_JOB_PRIORITIES];
    unsigned passed[FB_JOB_PRIORITIES];
    model_mark marks[MODEL_MARKS];
    uint64_t last_number;
    bool paused;
} model_queue;

typedef struct model {
    model_queue queues[MODEL_QUEUES];
} model;

// An answer, with room for what it points to.
typedef struct model_reply {
    fb_store_reply reply;
    fb_job jobs[MODEL_JOBS];
    int results[MODEL_ITEMS], ends[MODEL_ITEMS];
    uint64_t numbers[MODEL_ITEMS];
    int64_t ran_ms[MODEL_ITEMS];
    fb_store_mark marks[MODEL_MARKS];
} model_reply;

// ---- pieces

static inline model_queue *model_queue_of(model *m, fb_str name) {
    for (size_t i = 0; i < MODEL_QUEUES; i++) {
        if (m->queues[i].name[0] == '\0') {
            MODEL_ASSERT(name.len > 0 && name.len < sizeof(m->queues[i].name));
            memcpy(m->queues[i].name, name.ptr, name.len);
        }
        if (fb_str_equal(name, fb_str_of(m->queues[i].name))) {
            return &m->queues[i];
        }
    }
    MODEL_ASSERT(name.len == 0);  // a queue too many
    return NULL;
}

static inline model_job *model_find(model_queue *q, uint64_t number) {
    for (size_t i = 0; i < MODEL_JOBS; i++) {
        if (q->jobs[i].there && q->jobs[i].job.number == number) {
            return &q->jobs[i];
        }
    }
    return NULL;
}

static inline size_t model_count(const model_queue *q, int state) {
    size_t count = 0;

    for (size_t i = 0; i < MODEL_JOBS; i++) {
        count += q->jobs[i].there && (state < 0 || (int)q->jobs[i].job.state == state);
    }
    return count;
}

static inline model_job *model_owner(model_queue *q, fb_str key) {
    for (size_t i = 0; i < MODEL_JOBS && key.len > 0; i++) {
        model_job *j = &q->jobs[i];
        if (j->there && j->job.state != FB_JOB_DEAD &&
            fb_str_equal(key, fb_str_make(j->unique, j->unique_len))) {
            return j;
        }
    }
    return NULL;
}

static inline void model_text_set(model_text *text, fb_str to) {
    text->len = to.len < FB_JOB_TEXT_MAX ? to.len : FB_JOB_TEXT_MAX;
    if (text->len > 0) {
        memcpy(text->bytes, to.ptr, text->len);
    }
}

static inline void model_line_leave(model_queue *q, const model_job *j) {
    uint64_t *line = q->line[j->job.priority];
    size_t *len = &q->line_len[j->job.priority], at = 0;

    while (at < *len && line[at] != j->job.number) {
        at++;
    }
    MODEL_ASSERT(at < *len);
    --*len;
    memmove(line + at, line + at + 1, (*len - at) * sizeof(*line));
    if (*len == 0) {
        q->passed[j->job.priority] = 0;
    }
}

// Out of its state, before it gets another one.
static inline void model_leave(model_queue *q, model_job *j) {
    if (j->job.state == FB_JOB_READY) {
        model_line_leave(q, j);
    }
    j->job.token = 0;
    j->job.claimed_ms = j->job.until_ms = j->job.died_ms = 0;
    j->job.end = FB_JOB_END_NONE;
}

static inline void model_ready(model_queue *q, model_job *j, int64_t due_ms, bool first) {
    model_leave(q, j);
    j->job.state = FB_JOB_READY;
    j->job.due_ms = due_ms;
    uint64_t *line = q->line[j->job.priority];
    size_t *len = &q->line_len[j->job.priority];
    MODEL_ASSERT(*len < MODEL_JOBS);
    if (first) {
        memmove(line + 1, line, *len * sizeof(*line));
        line[0] = j->job.number;
    } else {
        line[*len] = j->job.number;
    }
    ++*len;
}

static inline void model_schedule(model_queue *q, model_job *j, int64_t due_ms) {
    model_leave(q, j);
    j->job.state = FB_JOB_SCHEDULED;
    j->job.due_ms = due_ms;
}

static inline void model_die(model_queue *q, model_job *j, fb_job_end end, int64_t now_ms) {
    model_leave(q, j);
    j->job.state = FB_JOB_DEAD;
    j->job.end = end;
    j->job.died_ms = now_ms;
}

static inline void model_drop(model_queue *q, model_job *j) {
    model_leave(q, j);
    j->there = false;
}

// What jobs of a state are ordered by.
static inline int64_t model_when(const model_job *j) {
    return j->job.state == FB_JOB_SCHEDULED ? j->job.due_ms
           : j->job.state == FB_JOB_LEASED  ? j->job.until_ms : j->job.died_ms;
}

// The first of a state (not READY) with its time at or before `until_ms`.
static inline model_job *model_first(model_queue *q, int state, int64_t until_ms) {
    model_job *first = NULL;

    for (size_t i = 0; i < MODEL_JOBS; i++) {
        model_job *j = &q->jobs[i];
        if (!j->there || (int)j->job.state != state || model_when(j) > until_ms) {
            continue;
        }
        if (first == NULL || model_when(j) < model_when(first) ||
            (model_when(j) == model_when(first) && j->job.number < first->job.number)) {
            first = j;
        }
    }
    return first;
}

static inline int64_t model_next_ms(model_queue *q) {
    const model_job *due = model_first(q, FB_JOB_SCHEDULED, INT64_MAX);
    const model_job *until = model_first(q, FB_JOB_LEASED, INT64_MAX);
    int64_t a = due != NULL ? model_when(due) : INT64_MAX;
    int64_t b = until != NULL ? model_when(until) : INT64_MAX;

    return a < b ? a : b;
}

static inline model_job *model_add(model_queue *q, const fb_job *from, fb_str unique) {
    model_job *j = NULL;

    for (size_t i = 0; i < MODEL_JOBS && j == NULL; i++) {
        j = q->jobs[i].there ? NULL : &q->jobs[i];
    }
    MODEL_ASSERT(j != NULL && from->payload.len <= MODEL_PAYLOAD);
    memset(j, 0, sizeof(*j));
    j->there = true;
    j->job = *from;
    j->kind_len = from->kind.len;
    j->unique_len = unique.len;
    j->payload_len = from->payload.len;
    memcpy(j->kind, from->kind.len > 0 ? from->kind.ptr : "", from->kind.len);
    memcpy(j->unique, unique.len > 0 ? unique.ptr : "", unique.len);
    memcpy(j->payload, from->payload.len > 0 ? from->payload.ptr : "", from->payload.len);
    model_text_set(&j->error, from->error);
    model_text_set(&j->progress, from->progress);
    return j;
}

static inline void model_tell(const model_queue *q, const model_job *j, bool token, fb_job *told) {
    *told = j->job;
    told->queue = fb_str_of(q->name);
    told->kind = fb_str_make(j->kind, j->kind_len);
    told->unique = fb_str_make(j->unique, j->unique_len);
    told->payload = fb_str_make(j->payload, j->payload_len);
    told->error = fb_str_make(j->error.bytes, j->error.len);
    told->progress = fb_str_make(j->progress.bytes, j->progress.len);
    told->token = token ? j->job.token : 0;
}

// ---- marks

static inline model_mark *model_mark_of(model_queue *q, fb_str name) {
    for (size_t i = 0; i < MODEL_MARKS; i++) {
        model_mark *mark = &q->marks[i];
        if (mark->there && fb_str_equal(name, fb_str_make(mark->name, mark->name_len))) {
            return mark;
        }
    }
    return NULL;
}

// Those that are over are not there.
static inline void model_marks_end(model_queue *q, int64_t now_ms) {
    for (size_t i = 0; i < MODEL_MARKS; i++) {
        model_mark *mark = &q->marks[i];
        mark->there = mark->there && (mark->until_ms == 0 || mark->until_ms > now_ms);
    }
}

static inline void model_mark_set(model_queue *q, fb_str name, int64_t value, int64_t until_ms) {
    model_mark *mark = model_mark_of(q, name);

    for (size_t i = 0; i < MODEL_MARKS && mark == NULL; i++) {
        mark = q->marks[i].there ? NULL : &q->marks[i];
    }
    MODEL_ASSERT(mark != NULL && name.len <= sizeof(mark->name));
    mark->there = true;
    memcpy(mark->name, name.ptr, name.len);
    mark->name_len = name.len;
    mark->value = value;
    mark->until_ms = until_ms;
}

static inline void model_mark_list(model_queue *q, const fb_store_request *r, model_reply *to) {
    fb_str after = r->after_mark;
    bool from_start = after.len == 0;

    while (to->reply.mark_count < r->count) {
        model_mark *next = NULL;
        for (size_t i = 0; i < MODEL_MARKS; i++) {
            model_mark *mark = &q->marks[i];
            fb_str name = fb_str_make(mark->name, mark->name_len);
            if (mark->there && fb_str_starts(name, r->mark) &&
                (from_start || fb_str_compare(name, after) > 0) &&
                (next == NULL ||
                 fb_str_compare(name, fb_str_make(next->name, next->name_len)) < 0)) {
                next = mark;
            }
        }
        if (next == NULL) {
            return;
        }
        after = fb_str_make(next->name, next->name_len);
        from_start = false;
        to->marks[to->reply.mark_count++] = (fb_store_mark){after, next->value};
    }
}

// ---- rule 8, 12

static inline bool model_raise(model_queue *q, fb_str name, int64_t value) {
    const model_mark *mark = model_mark_of(q, name);

    if (name.len > 0 && mark != NULL && mark->value >= value) {
        return false;
    }
    if (name.len > 0) {
        model_mark_set(q, name, value, 0);
    }
    return true;
}

static inline void model_enqueue(model_queue *q, const fb_store_request *r, int64_t now_ms,
                                 model_reply *to) {
    size_t live = model_count(q, -1) - model_count(q, FB_JOB_DEAD), fresh = 0;
    const model_mark *mark = r->mark.len > 0 ? model_mark_of(q, r->mark) : NULL;

    if (mark != NULL && mark->value >= r->mark_value) {
        return;
    }
    // How many are new: a key counts once.
    for (size_t i = 0; i < r->item_count; i++) {
        fb_str key = r->jobs[i].job.unique;
        bool taken = model_owner(q, key) != NULL;
        for (size_t k = 0; k < i && key.len > 0; k++) {
            taken = taken || fb_str_equal(key, r->jobs[k].job.unique);
        }
        fresh += !taken;
    }
    if (r->policy->jobs_max > 0 && fresh > 0 && live + fresh > r->policy->jobs_max) {
        to->reply.result = FB_STORE_FULL;
        return;
    }
    (void)model_raise(q, r->mark, r->mark_value);
    to->reply.value = 1;
    to->reply.results = to->results;
    to->reply.numbers = to->numbers;
    for (size_t i = 0; i < r->item_count; i++) {
        const fb_store_job *from = &r->jobs[i];
        const model_job *owner = model_owner(q, from->job.unique);
        if (owner != NULL) {
            to->results[i] = FB_REFUSED;
            to->numbers[i] = owner->job.number;
            continue;
        }
        int64_t due_ms = from->job.due_ms > 0 ? from->job.due_ms : now_ms + from->delay_ms;
        fb_job job = {.kind = from->job.kind, .payload = from->job.payload,
                      .priority = from->job.priority, .attempts = from->job.attempts,
                      .lease_ms = from->job.lease_ms, .enqueued_ms = now_ms,
                      .expires_ms = from->life_ms > 0 ? now_ms + from->life_ms : 0};
        job.number = q->last_number = (q->last_number / 64 + 1) * 64;
        model_job *j = model_add(q, &job, from->job.unique);
        if (due_ms > now_ms) {
            model_schedule(q, j, due_ms);
        } else {
            j->job.state = FB_JOB_SCHEDULED;
            model_ready(q, j, now_ms, false);
        }
        to->results[i] = FB_OK;
        to->numbers[i] = job.number;
    }
}

static inline void model_import(model_queue *q, const fb_store_request *r, model_reply *to) {
    const model_mark *mark = r->mark.len > 0 ? model_mark_of(q, r->mark) : NULL;
    int64_t above = mark != NULL ? mark->value : -1;

    for (size_t i = 0; i < r->item_count; i++) {
        const fb_job *from = &r->jobs[i].job;
        if ((int64_t)from->number <= above) {
            continue;
        }
        model_job *old = model_find(q, from->number);
        fb_job job = *from;
        q->last_number = from->number > q->last_number ? from->number : q->last_number;
        if (old != NULL && r->flag) {
            job.number = q->last_number = 64 * (q->last_number / 64 + 1);
        } else if (old != NULL) {
            model_drop(q, old);
        }
        bool lives = from->state != FB_JOB_DEAD;
        bool taken = lives && model_owner(q, from->unique) != NULL;
        job.state = job.state == FB_JOB_READY ? FB_JOB_SCHEDULED : job.state;
        model_job *j = model_add(q, &job, taken ? (fb_str){NULL, 0} : from->unique);
        if (from->state == FB_JOB_READY) {
            model_ready(q, j, from->due_ms, false);
        }
        to->reply.value++;
    }
    if (r->item_count > 0) {
        (void)model_raise(q, r->mark, (int64_t)r->jobs[r->item_count - 1].job.number);
    }
}

// ---- rules 1, 2, 7

static inline void model_trim(model_queue *q, const fb_queue_policy *policy, int64_t now_ms) {
    for (int i = 0; i < 100; i++) {
        model_job *oldest = model_first(q, FB_JOB_DEAD, INT64_MAX);
        if (oldest == NULL || (oldest->job.died_ms + policy->dead_keep_ms > now_ms &&
                               model_count(q, FB_JOB_DEAD) <= policy->dead_max)) {
            return;
        }
        model_drop(q, oldest);
    }
}

static inline void model_take_back(model_queue *q, int64_t now_ms) {
    uint64_t back[MODEL_JOBS];
    size_t count = 0;
    model_job *j;

    while ((j = model_first(q, FB_JOB_LEASED, now_ms)) != NULL) {
        if (j->job.attempt >= j->job.attempts) {
            model_die(q, j, FB_JOB_END_ABANDONED, now_ms);
        } else {
            back[count++] = j->job.number;
            model_schedule(q, j, INT64_MAX);
        }
    }
    while (count > 0) {
        model_ready(q, model_find(q, back[--count]), now_ms, true);
    }
}

static inline int model_level(const model_queue *q) {
    for (int i = 0; i < FB_JOB_PRIORITIES; i++) {
        if (q->line_len[i] > 0 && q->passed[i] >= 8) {
            return i;
        }
    }
    for (int i = 0; i < FB_JOB_PRIORITIES; i++) {
        if (q->line_len[i] > 0) {
            return i;
        }
    }
    return -1;
}

static inline void model_reserve(model_queue *q, const fb_store_request *r, int64_t now_ms,
                                 model_reply *to) {
    model_job *j;

    model_take_back(q, now_ms);
    while ((j = model_first(q, FB_JOB_SCHEDULED, now_ms)) != NULL) {
        model_ready(q, j, j->job.due_ms, false);
    }
    to->reply.jobs = to->jobs;
    while (!q->paused && to->reply.job_count < r->count) {
        int level = model_level(q);
        if (level < 0) {
            break;
        }
        j = model_find(q, q->line[level][0]);
        if (j->job.expires_ms > 0 && j->job.expires_ms <= now_ms) {
            model_die(q, j, FB_JOB_END_EXPIRED, now_ms);
            continue;
        }
        model_leave(q, j);
        j->job.state = FB_JOB_LEASED;
        j->job.attempt++;
        j->job.token = r->token + to->reply.job_count;
        j->job.claimed_ms = now_ms;
        j->job.until_ms = now_ms + (r->lease_ms > 0 ? r->lease_ms : j->job.lease_ms);
        q->passed[level] = 0;
        for (int i = level + 1; i < FB_JOB_PRIORITIES; i++) {
            q->passed[i] += q->line_len[i] > 0;
        }
        model_tell(q, j, true, &to->jobs[to->reply.job_count++]);
    }
    to->reply.look.next_ms = model_next_ms(q);
    model_trim(q, r->policy, now_ms);
}

// ---- rules 3, 4

static inline model_job *model_claimed(model_queue *q, const fb_job_claim *claim) {
    model_job *j = model_find(q, claim->number);

    return j != NULL && j->job.state == FB_JOB_LEASED && j->job.token == claim->token ? j : NULL;
}

static inline int64_t model_back_off(const fb_store_request *r, const model_job *j) {
    double exact = (double)r->policy->retry_delay_ms;
    int64_t d;

    for (uint32_t i = 1; i < j->job.attempt && exact < 1e15; i++) {
        exact *= 2;
    }
    d = exact < (double)r->policy->retry_max_ms ? (int64_t)exact : r->policy->retry_max_ms;
    return d - d / 2 + d / 2 * r->random / 1024;
}

static inline void model_fail_one(model_queue *q, const fb_store_request *r, model_job *j,
                                  int64_t now_ms) {
    model_text_set(&j->error, r->text);
    if (j->job.attempt >= j->job.attempts || r->permanent) {
        model_die(q, j, r->permanent ? FB_JOB_END_PERMANENT : FB_JOB_END_ATTEMPTS, now_ms);
        return;
    }
    int64_t delay_ms = r->delay_ms >= 0 ? r->delay_ms : model_back_off(r, j);
    if (delay_ms > 0) {
        model_schedule(q, j, now_ms + delay_ms);
    } else {
        model_ready(q, j, now_ms, false);
    }
}

static inline void model_claims(model_queue *q, const fb_store_request *r, int64_t now_ms,
                                model_reply *to) {
    uint64_t back[MODEL_ITEMS];
    size_t back_count = 0;

    to->reply.results = to->results;
    to->reply.ran_ms = r->verb == FB_STORE_ACK || r->verb == FB_STORE_FAIL ? to->ran_ms : NULL;
    to->reply.ends = r->verb == FB_STORE_FAIL ? to->ends : NULL;
    for (size_t i = 0; i < r->item_count; i++) {
        model_job *j = model_claimed(q, &r->claims[i]);
        to->results[i] = j != NULL ? FB_OK : FB_LOST;
        to->ran_ms[i] = j != NULL ? now_ms - j->job.claimed_ms : 0;
        to->ends[i] = FB_JOB_END_NONE;
        if (j == NULL) {
            continue;
        }
        if (r->verb == FB_STORE_ACK) {
            model_drop(q, j);
        } else if (r->verb == FB_STORE_FAIL) {
            model_fail_one(q, r, j, now_ms);
            to->ends[i] = (int)j->job.end;
        } else if (r->verb == FB_STORE_RELEASE) {
            j->job.attempt--;
            model_schedule(q, j, now_ms + r->delay_ms);
            back[back_count++] = j->job.number;
        } else {
            j->job.until_ms = now_ms + (r->lease_ms > 0 ? r->lease_ms : j->job.lease_ms);
            if (r->text.ptr != NULL) {
                model_text_set(&j->progress, r->text);
            }
        }
    }
    while (back_count > 0 && r->delay_ms <= 0) {
        model_ready(q, model_find(q, back[--back_count]), now_ms, true);
    }
    if (r->verb == FB_STORE_FAIL) {
        model_trim(q, r->policy, now_ms);
    } else if (r->verb == FB_STORE_ACK && r->count > 0) {
        model_reserve(q, r, now_ms, to);
    }
}

// ---- rules 5, 6, 9, 10

static inline int model_kick_one(model_queue *q, model_job *j, int64_t now_ms, uint64_t *kicked) {
    if (j->job.state == FB_JOB_DEAD) {
        if (model_owner(q, fb_str_make(j->unique, j->unique_len)) != NULL) {
            return FB_REFUSED;
        }
        j->job.attempt = 0;
        j->job.expires_ms = 0;
    } else if (j->job.state != FB_JOB_SCHEDULED) {
        return FB_OK;
    }
    model_ready(q, j, now_ms, false);
    ++*kicked;
    return FB_OK;
}

static inline void model_kick(model_queue *q, const fb_store_request *r, int64_t now_ms,
                              model_reply *to) {
    uint64_t first[MODEL_JOBS];
    size_t count = 0;

    if (r->item_count > 0) {
        to->reply.results = to->results;
        for (size_t i = 0; i < r->item_count; i++) {
            model_job *j = model_find(q, r->claims[i].number);
            to->results[i] =
                j == NULL ? FB_MISS : model_kick_one(q, j, now_ms, &to->reply.value);
        }
        return;
    }
    if (r->state != FB_JOB_SCHEDULED && r->state != FB_JOB_DEAD) {
        return;
    }
    model_queue *copy = malloc(sizeof(*copy));
    MODEL_ASSERT(copy != NULL);
    *copy = *q;
    for (model_job *j; count < r->count &&
                       (j = model_first(copy, r->state, INT64_MAX)) != NULL;) {
        first[count++] = j->job.number;
        j->there = false;
    }
    free(copy);
    for (size_t i = 0; i < count; i++) {
        (void)model_kick_one(q, model_find(q, first[i]), now_ms, &to->reply.value);
    }
}

static inline void model_purge(model_queue *q, const fb_store_request *r, model_reply *to) {
    while (to->reply.value < r->count) {
        model_job *j = NULL;
        for (int i = 0; r->state == FB_JOB_READY && i < FB_JOB_PRIORITIES && j == NULL; i++) {
            j = q->line_len[i] > 0 ? model_find(q, q->line[i][0]) : NULL;
        }
        j = r->state == FB_JOB_READY ? j : model_first(q, r->state, INT64_MAX);
        if (j == NULL) {
            return;
        }
        model_drop(q, j);
        to->reply.value++;
    }
}

static inline void model_list(model_queue *q, const fb_store_request *r, model_reply *to) {
    uint64_t after = r->after;

    to->reply.jobs = to->jobs;
    while (to->reply.job_count < r->count) {
        const model_job *next = NULL;
        for (size_t i = 0; i < MODEL_JOBS; i++) {
            const model_job *j = &q->jobs[i];
            if (j->there && j->job.number > after &&
                (r->state < 0 || (int)j->job.state == r->state) &&
                (next == NULL || j->job.number < next->job.number)) {
                next = j;
            }
        }
        if (next == NULL) {
            return;
        }
        after = next->job.number;
        model_tell(q, next, r->flag, &to->jobs[to->reply.job_count++]);
    }
}

static inline void model_look(model_queue *q, int64_t now_ms, model_reply *to) {
    fb_queue_look *look = &to->reply.look;

    for (int i = 0; i < FB_JOB_STATE_COUNT; i++) {
        look->counts[i] = model_count(q, i);
    }
    for (size_t i = 0; i < FB_JOB_PRIORITIES; i++) {
        look->ready[i] = q->line_len[i];
    }
    for (size_t i = 0; i < MODEL_JOBS; i++) {
        const model_job *j = &q->jobs[i];
        if (j->there && j->job.state == FB_JOB_READY && now_ms - j->job.due_ms > look->oldest_ms) {
            look->oldest_ms = now_ms - j->job.due_ms;
        }
    }
    look->next_ms = model_next_ms(q);
    look->paused = q->paused;
}

static inline void model_by_number(model_queue *q, const fb_store_request *r, model_reply *to) {
    to->reply.results = to->results;
    to->reply.jobs = r->verb == FB_STORE_GET ? to->jobs : NULL;
    for (size_t i = 0; i < r->item_count; i++) {
        model_job *j = model_find(q, r->claims[i].number);
        to->results[i] = j != NULL ? FB_OK : FB_MISS;
        if (j != NULL && r->verb == FB_STORE_GET) {
            model_tell(q, j, false, &to->jobs[to->reply.job_count++]);
        } else if (j != NULL) {
            model_drop(q, j);
        }
    }
}

// One step. What `to` points to is in it and in the model: good until the next step.
static inline void model_step(model *m, const fb_store_request *r, int64_t now_ms,
                              model_reply *to) {
    model_queue *q = model_queue_of(m, r->queue);
    const model_mark *mark;

    MODEL_ASSERT(r->item_count <= MODEL_ITEMS);
    to->reply = (fb_store_reply){.result = FB_STORE_DONE, .now_ms = now_ms, .text = ""};
    to->reply.marks = to->marks;
    model_marks_end(q, now_ms);
    switch (r->verb) {
    case FB_STORE_ENQUEUE:
        model_enqueue(q, r, now_ms, to);
        break;
    case FB_STORE_RESERVE:
        model_reserve(q, r, now_ms, to);
        break;
    case FB_STORE_ACK:
    case FB_STORE_FAIL:
    case FB_STORE_RELEASE:
    case FB_STORE_EXTEND:
        model_claims(q, r, now_ms, to);
        break;
    case FB_STORE_GET:
    case FB_STORE_CANCEL:
        model_by_number(q, r, to);
        break;
    case FB_STORE_KICK:
        model_kick(q, r, now_ms, to);
        break;
    case FB_STORE_PURGE:
        model_purge(q, r, to);
        break;
    case FB_STORE_PAUSE:
        to->reply.value = q->paused != r->flag;
        q->paused = r->flag;
        break;
    case FB_STORE_LIST:
        model_list(q, r, to);
        break;
    case FB_STORE_LOOK:
        model_look(q, now_ms, to);
        break;
    case FB_STORE_IMPORT:
        model_import(q, r, to);
        break;
    case FB_STORE_MARK_SET:
        model_mark_set(q, r->mark, r->mark_value, r->life_ms > 0 ? now_ms + r->life_ms : 0);
        break;
    case FB_STORE_MARK_GET:
    case FB_STORE_MARK_DROP:
        mark = model_mark_of(q, r->mark);
        to->reply.result =
            mark == NULL && r->verb == FB_STORE_MARK_GET ? FB_STORE_MISS : FB_STORE_DONE;
        to->reply.value = mark == NULL                     ? 0
                          : r->verb == FB_STORE_MARK_GET ? (uint64_t)mark->value : 1;
        if (mark != NULL && r->verb == FB_STORE_MARK_DROP) {
            model_mark_of(q, r->mark)->there = false;
        }
        break;
    case FB_STORE_MARK_LIST:
        model_mark_list(q, r, to);
        break;
    }
}

#endif
