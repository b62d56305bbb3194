// The verbs, each a function of the queue, the request and the time. They change what is held
// through fb_jobs_*() alone, which has every change in the log; where memory ends half-way the
// machine takes the whole step back. docs/decisions/0008 has the rules by number.

#include "queue/held.h"

#include <string.h>

#include "base/check.h"
#include "base/rule.h"

enum { PARTITION_BITS = 6, JITTER_OF = 1024 };
#define NUMBER_MAX ((UINT64_C(1) << 53) - 1)

// Room for one of each item, zeroed.
static void *items_new(fb_step *step, size_t size) {
    size_t count = step->request->item_count;
    void *items = fb_arena_new(&step->machine->arena, count * size);

    if (items != NULL) {
        memset(items, 0, count * size);
    }
    return items;
}

static int trim(fb_step *step) {
    uint32_t most = FB_CLAIMS_TRIM_MAX;

    return fb_claims_trim(step, &most);
}

// ---- enqueue and import

static void raise_last_number(fb_step *step, uint64_t number) {
    if (number > step->queue->rest.last_number) {
        step->queue->rest.last_number = number;
        fb_changes_dirty(step->machine, step->queue);
    }
}

static uint64_t next_number(const fb_held_queue *queue) {
    return ((queue->rest.last_number >> PARTITION_BITS) + 1) << PARTITION_BITS;
}

static int add_one(fb_step *step, size_t item, uint64_t number) {
    const fb_store_job *from = &step->request->jobs[item];
    fb_job job = from->job;
    int64_t due_ms = job.due_ms != 0 ? job.due_ms : step->now_ms + from->delay_ms;

    job.number = number;
    job.token = 0;
    job.state = due_ms > step->now_ms ? FB_JOB_SCHEDULED : FB_JOB_READY;
    job.end = FB_JOB_END_NONE;
    job.attempt = 0;
    job.enqueued_ms = step->now_ms;
    job.due_ms = job.state == FB_JOB_SCHEDULED ? due_ms : step->now_ms;
    job.claimed_ms = job.until_ms = job.died_ms = 0;
    job.expires_ms = from->life_ms > 0 ? step->now_ms + from->life_ms : 0;
    job.error = job.progress = (fb_str){NULL, 0};
    fb_held_job *held = fb_jobs_new(step->machine, step->queue, &job, job.unique);
    return held != NULL ? fb_jobs_add(step->machine, held, job.payload, item) : FB_ENOMEM;
}

static size_t live_count(const fb_held_queue *queue) {
    return (size_t)queue->scheduled.count + queue->age.count + queue->leased.count;
}

// Whether the mark lets this pass; it is raised then.
static int raise_mark(fb_step *step, int64_t value, bool *passes) {
    fb_store_mark mark = {step->request->mark, value};
    fb_held_mark *there = fb_marks_get(step->queue, mark.name, step->now_ms);

    *passes = there == NULL || there->value < value || !FB_RULE(queue_mark);
    return *passes ? fb_marks_set(step->machine, step->queue, mark, 0) : FB_OK;
}

static int enqueue_all(fb_step *step, int *results, uint64_t *numbers) {
    const fb_store_request *request = step->request;
    fb_held_queue *queue = step->queue;
    int result = FB_OK;

    for (size_t i = 0; i < request->item_count && result == FB_OK; i++) {
        const fb_held_job *owner = fb_jobs_owner(queue, request->jobs[i].job.unique);
        if (owner != NULL) {
            results[i] = FB_REFUSED;
            numbers[i] = owner->number;
            continue;
        }
        numbers[i] = next_number(queue);
        if ((FB_RULE(queue_full) && step->policy->jobs_max > 0 &&
             live_count(queue) >= step->policy->jobs_max) ||
            numbers[i] > NUMBER_MAX) {
            step->reply->result = FB_STORE_FULL;
            return FB_OK;
        }
        raise_last_number(step, numbers[i]);
        result = add_one(step, i, numbers[i]);
    }
    step->reply->results = results;
    step->reply->numbers = numbers;
    step->reply->value = 1;
    return result;
}

static int enqueue(fb_step *step) {
    int *results = items_new(step, sizeof(*results));
    uint64_t *numbers = items_new(step, sizeof(*numbers));
    bool passes = true;
    int result = results != NULL && numbers != NULL ? FB_OK : FB_ENOMEM;

    if (result == FB_OK && step->request->mark.len > 0) {
        result = raise_mark(step, step->request->mark_value, &passes);
    }
    return result == FB_OK && passes ? enqueue_all(step, results, numbers) : result;
}

static int import_one(fb_step *step, size_t item, uint64_t *number) {
    fb_job job = step->request->jobs[item].job;
    const fb_held_job *owner = fb_jobs_owner(step->queue, job.unique);

    FB_ASSERT(job.number > 0 && job.number <= NUMBER_MAX);
    raise_last_number(step, job.number);
    // A job of this store's own has it: both stay.
    if (step->request->flag && fb_jobs_get(step->queue, job.number) != NULL) {
        job.number = next_number(step->queue);
        if (job.number > NUMBER_MAX) {
            step->reply->result = FB_STORE_FULL;
            return FB_OK;
        }
        raise_last_number(step, job.number);
    }
    // Its own earlier self is about to go.
    if (owner != NULL && owner->number != job.number && job.state != FB_JOB_DEAD) {
        job.unique = (fb_str){NULL, 0};
    }
    *number = job.number;
    fb_held_job *held = fb_jobs_new(step->machine, step->queue, &job, job.unique);
    return held != NULL ? fb_jobs_add(step->machine, held, job.payload, item) : FB_ENOMEM;
}

static int import(fb_step *step) {
    const fb_store_request *request = step->request;
    const fb_held_mark *mark = NULL;
    uint64_t above = 0;
    uint64_t *numbers = items_new(step, sizeof(*numbers));
    int result = numbers != NULL ? FB_OK : FB_ENOMEM;

    if (request->mark.len > 0) {
        mark = fb_marks_get(step->queue, request->mark, step->now_ms);
        above = mark != NULL && mark->value > 0 ? (uint64_t)mark->value : 0;
    }
    for (size_t i = 0; i < request->item_count && result == FB_OK; i++) {
        if (request->jobs[i].job.number > above) {
            result = import_one(step, i, &numbers[i]);
            step->reply->value++;
        }
    }
    step->reply->numbers = numbers;
    if (result == FB_OK && request->mark.len > 0 && request->item_count > 0) {
        bool passes;
        uint64_t last = request->jobs[request->item_count - 1].job.number;
        result = raise_mark(step, (int64_t)last, &passes);
    }
    return result;
}

// ---- of one's own claims

// The job of the i-th claim; NULL: it is lost.
static fb_held_job *claimed(const fb_step *step, size_t i) {
    const fb_job_claim *claim = &step->request->claims[i];
    fb_held_job *job = fb_jobs_get(step->queue, claim->number);

    return job != NULL && job->state == FB_JOB_LEASED &&
                   (job->token == claim->token || !FB_RULE(queue_token))
               ? job : NULL;
}

static int ack(fb_step *step) {
    const fb_store_request *request = step->request;
    int *results = items_new(step, sizeof(*results));
    int64_t *ran_ms = items_new(step, sizeof(*ran_ms));
    int result = results != NULL && ran_ms != NULL ? FB_OK : FB_ENOMEM;

    for (size_t i = 0; i < request->item_count && result == FB_OK; i++) {
        fb_held_job *job = claimed(step, i);
        if (job == NULL) {
            results[i] = FB_LOST;
            continue;
        }
        ran_ms[i] = step->now_ms - job->since_ms;
        result = fb_jobs_drop(step->machine, job);
    }
    step->reply->results = results;
    step->reply->ran_ms = ran_ms;
    if (result == FB_OK && request->count > 0) {
        result = fb_claims_reserve(step);
        return result == FB_OK ? trim(step) : result;
    }
    return result;
}

// Equal jitter: half of the delay for sure, the other half by chance.
static int64_t back_off_ms(const fb_step *step, const fb_held_job *job) {
    int64_t max_ms = step->policy->retry_max_ms, delay_ms = step->policy->retry_delay_ms;

    for (uint32_t i = 1; i < job->attempt && delay_ms < max_ms; i++) {
        delay_ms = delay_ms > max_ms / 2 ? max_ms : delay_ms * 2;
    }
    delay_ms = delay_ms < max_ms ? delay_ms : max_ms;
    int64_t half_ms = delay_ms / 2;
    // In two parts, so that no product is above 2^63.
    return delay_ms - half_ms + half_ms / JITTER_OF * step->request->random +
           half_ms % JITTER_OF * step->request->random / JITTER_OF;
}

static int fail_one(fb_step *step, fb_held_job *job) {
    const fb_store_request *request = step->request;
    bool again = job->attempt < job->attempts && !request->permanent;
    int result = fb_jobs_take(step->machine, job);

    if (result == FB_OK) {
        result = fb_jobs_note(step->machine, &job->error, request->text);
    }
    if (result != FB_OK) {
        return result;
    }
    if (!again) {
        return fb_jobs_die(step->machine, job,
                           request->permanent ? FB_JOB_END_PERMANENT : FB_JOB_END_ATTEMPTS,
                           step->now_ms);
    }
    int64_t delay_ms = request->delay_ms >= 0 ? request->delay_ms : back_off_ms(step, job);
    return delay_ms > 0 ? fb_jobs_schedule(step->machine, job, step->now_ms + delay_ms)
                        : fb_jobs_ready(step->machine, job, step->now_ms);
}

static int fail(fb_step *step) {
    int *results = items_new(step, sizeof(*results)), *ends = items_new(step, sizeof(*ends));
    int64_t *ran_ms = items_new(step, sizeof(*ran_ms));
    int result = results != NULL && ends != NULL && ran_ms != NULL ? FB_OK : FB_ENOMEM;

    for (size_t i = 0; i < step->request->item_count && result == FB_OK; i++) {
        fb_held_job *job = claimed(step, i);
        if (job == NULL) {
            results[i] = FB_LOST;
            continue;
        }
        ran_ms[i] = step->now_ms - job->since_ms;
        result = fail_one(step, job);
        ends[i] = job->end;
    }
    step->reply->results = results;
    step->reply->ends = ends;
    step->reply->ran_ms = ran_ms;
    return result == FB_OK ? trim(step) : result;
}

// Who was named first stands first: so the last one is put there first.
static int release(fb_step *step) {
    const fb_store_request *request = step->request;
    int *results = items_new(step, sizeof(*results));
    fb_held_job **taken = items_new(step, sizeof(fb_held_job *));
    int result = results != NULL && taken != NULL ? FB_OK : FB_ENOMEM;

    for (size_t i = 0; i < request->item_count && result == FB_OK; i++) {
        taken[i] = claimed(step, i);
        results[i] = taken[i] != NULL ? FB_OK : FB_LOST;
        if (taken[i] != NULL) {
            result = fb_jobs_take(step->machine, taken[i]);
        }
    }
    for (size_t i = request->item_count; i-- > 0 && result == FB_OK;) {
        if (taken[i] == NULL) {
            continue;
        }
        taken[i]->attempt -= FB_RULE(queue_handed_back) && taken[i]->attempt > 0;
        result = request->delay_ms > 0
                     ? fb_jobs_schedule(step->machine, taken[i], step->now_ms + request->delay_ms)
                     : fb_jobs_ready_first(step->machine, taken[i], step->now_ms);
    }
    step->reply->results = results;
    return result;
}

static int extend_one(fb_step *step, fb_held_job *job) {
    const fb_store_request *request = step->request;
    int result = fb_changes_touch(step->machine, job);

    if (result == FB_OK && request->text.ptr != NULL) {
        result = fb_jobs_note(step->machine, &job->progress, request->text);
    }
    if (result != FB_OK) {
        return result;
    }
    fb_jobs_unlink(job);
    job->until_ms = step->now_ms + (request->lease_ms > 0 ? request->lease_ms : job->lease_ms);
    return fb_jobs_link(job);
}

static int extend(fb_step *step) {
    int *results = items_new(step, sizeof(*results));
    int result = results != NULL ? FB_OK : FB_ENOMEM;

    for (size_t i = 0; i < step->request->item_count && result == FB_OK; i++) {
        fb_held_job *job = claimed(step, i);
        results[i] = job != NULL ? FB_OK : FB_LOST;
        result = job != NULL ? extend_one(step, job) : FB_OK;
    }
    step->reply->results = results;
    return result;
}

// ---- of anybody's jobs

static int get(fb_step *step) {
    const fb_store_request *request = step->request;
    int *results = items_new(step, sizeof(*results));
    fb_job *jobs = items_new(step, sizeof(*jobs));

    if (results == NULL || jobs == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < request->item_count; i++) {
        const fb_held_job *job = fb_jobs_get(step->queue, request->claims[i].number);
        results[i] = job != NULL ? FB_OK : FB_MISS;
        if (job != NULL) {
            fb_jobs_tell(step->machine, job, &jobs[step->reply->job_count]);
            jobs[step->reply->job_count++].token = 0;
        }
    }
    step->reply->results = results;
    step->reply->jobs = jobs;
    return FB_OK;
}

static int cancel(fb_step *step) {
    int *results = items_new(step, sizeof(*results));
    int result = results != NULL ? FB_OK : FB_ENOMEM;

    for (size_t i = 0; i < step->request->item_count && result == FB_OK; i++) {
        fb_held_job *job = fb_jobs_get(step->queue, step->request->claims[i].number);
        results[i] = job != NULL ? FB_OK : FB_MISS;
        result = job != NULL ? fb_jobs_drop(step->machine, job) : FB_OK;
    }
    step->reply->results = results;
    return result;
}

// *outcome: FB_OK, FB_REFUSED.
static int kick_one(fb_step *step, fb_held_job *job, int *outcome) {
    *outcome = FB_OK;
    if (job->state == FB_JOB_DEAD) {
        if (fb_jobs_owner(step->queue, fb_jobs_unique(job)) != NULL) {
            *outcome = FB_REFUSED;
            return FB_OK;
        }
        int result = fb_jobs_take(step->machine, job);
        if (result != FB_OK) {
            return result;
        }
        job->attempt = 0;
        job->end = FB_JOB_END_NONE;
        job->expires_ms = 0;
    } else if (job->state != FB_JOB_SCHEDULED) {
        return FB_OK;
    }
    step->reply->value++;
    return fb_jobs_ready(step->machine, job, step->now_ms);
}

// The first of the pile are taken out in their order, and put back where they are refused.
static int kick_first(fb_step *step, fb_pile *pile) {
    uint32_t count = step->request->count < pile->count ? step->request->count : pile->count;
    fb_held_job **taken = fb_arena_new(&step->machine->arena, count * sizeof(fb_held_job *));
    int result = taken != NULL ? FB_OK : FB_ENOMEM;

    for (uint32_t i = 0; i < count && result == FB_OK; i++) {
        taken[i] = fb_pile_first(pile);
        result = fb_changes_touch(step->machine, taken[i]);
        if (result == FB_OK) {
            fb_jobs_unlink(taken[i]);
        }
    }
    for (uint32_t i = 0; i < count && result == FB_OK; i++) {
        int outcome;
        result = kick_one(step, taken[i], &outcome);
        if (result == FB_OK && outcome == FB_REFUSED) {
            result = fb_jobs_link(taken[i]);
        }
    }
    return result;
}

static int kick(fb_step *step) {
    const fb_store_request *request = step->request;

    if (request->item_count == 0) {
        return request->state == FB_JOB_SCHEDULED ? kick_first(step, &step->queue->scheduled)
               : request->state == FB_JOB_DEAD    ? kick_first(step, &step->queue->dead)
                                                  : FB_OK;
    }
    int *results = items_new(step, sizeof(*results));
    int result = results != NULL ? FB_OK : FB_ENOMEM;
    for (size_t i = 0; i < request->item_count && result == FB_OK; i++) {
        fb_held_job *job = fb_jobs_get(step->queue, request->claims[i].number);
        if (job == NULL) {
            results[i] = FB_MISS;
            continue;
        }
        result = kick_one(step, job, &results[i]);
    }
    step->reply->results = results;
    return result;
}

static fb_held_job *first_of(fb_held_queue *queue, int state) {
    fb_pile *piles[] = {[FB_JOB_SCHEDULED] = &queue->scheduled, [FB_JOB_LEASED] = &queue->leased,
                        [FB_JOB_DEAD] = &queue->dead};

    if (state != FB_JOB_READY) {
        return fb_pile_first(piles[state]);
    }
    for (size_t i = 0; i < FB_JOB_PRIORITIES; i++) {
        if (queue->ready[i].count > 0) {
            return fb_pile_first(&queue->ready[i]);
        }
    }
    return NULL;
}

static int purge(fb_step *step) {
    int state = step->request->state, result = FB_OK;
    fb_held_job *job;

    FB_ASSERT(state >= 0 && state < FB_JOB_STATE_COUNT);
    while (step->reply->value < step->request->count && result == FB_OK &&
           (job = first_of(step->queue, state)) != NULL) {
        result = fb_jobs_drop(step->machine, job);
        step->reply->value++;
    }
    return result;
}

// ---- of the queue

static int pause(fb_step *step) {
    fb_held_rest *rest = &step->queue->rest;

    step->reply->value = rest->paused != step->request->flag;
    if (rest->paused != step->request->flag) {
        rest->paused = step->request->flag;
        fb_changes_dirty(step->machine, step->queue);
    }
    return FB_OK;
}

static size_t state_count(const fb_held_queue *queue, int state) {
    switch (state) {
    case FB_JOB_SCHEDULED:
        return queue->scheduled.count;
    case FB_JOB_READY:
        return queue->age.count;
    case FB_JOB_LEASED:
        return queue->leased.count;
    case FB_JOB_DEAD:
        return queue->dead.count;
    default:
        return live_count(queue) + queue->dead.count;
    }
}

static int list(fb_step *step) {
    const fb_store_request *request = step->request;
    const fb_shelf *shelf = &step->queue->jobs;
    int state = request->state >= 0 ? request->state : FB_SHELF_ANY;
    size_t cap = state_count(step->queue, request->state), count = 0;
    fb_held_job *job;

    cap = cap < request->count ? cap : request->count;
    fb_job *jobs = fb_arena_new(&step->machine->arena, cap * sizeof(*jobs));
    if (jobs == NULL) {
        return FB_ENOMEM;
    }
    for (uint64_t after = request->after; count < cap; after = job->number) {
        job = fb_shelf_next(shelf, fb_shelf_numbered(after), state);
        if (job == NULL) {
            break;
        }
        fb_jobs_tell(step->machine, job, &jobs[count]);
        jobs[count].token = request->flag ? jobs[count].token : 0;
        count++;
    }
    step->reply->jobs = jobs;
    step->reply->job_count = count;
    return FB_OK;
}

static int look(fb_step *step) {
    const fb_held_queue *queue = step->queue;
    fb_queue_look *figures = &step->reply->look;

    for (int i = 0; i < FB_JOB_STATE_COUNT; i++) {
        figures->counts[i] = state_count(queue, i);
    }
    for (size_t i = 0; i < FB_JOB_PRIORITIES; i++) {
        figures->ready[i] = queue->ready[i].count;
    }
    if (queue->age.count > 0 && fb_pile_first_key(&queue->age) < step->now_ms) {
        figures->oldest_ms = step->now_ms - fb_pile_first_key(&queue->age);
    }
    figures->next_ms = fb_claims_next_ms(queue);
    figures->paused = queue->rest.paused;
    return FB_OK;
}

static int reserve(fb_step *step) {
    int result = fb_claims_reserve(step);

    return result == FB_OK ? trim(step) : result;
}

int fb_steps_run(fb_step *step) {
    static int (*const verbs[])(fb_step *step) = {
        [FB_STORE_ENQUEUE] = enqueue,        [FB_STORE_RESERVE] = reserve,
        [FB_STORE_ACK] = ack,                [FB_STORE_FAIL] = fail,
        [FB_STORE_RELEASE] = release,        [FB_STORE_EXTEND] = extend,
        [FB_STORE_GET] = get,                [FB_STORE_CANCEL] = cancel,
        [FB_STORE_KICK] = kick,              [FB_STORE_PURGE] = purge,
        [FB_STORE_PAUSE] = pause,            [FB_STORE_LIST] = list,
        [FB_STORE_LOOK] = look,              [FB_STORE_IMPORT] = import,
        [FB_STORE_MARK_SET] = fb_marks_step, [FB_STORE_MARK_GET] = fb_marks_step,
        [FB_STORE_MARK_DROP] = fb_marks_step, [FB_STORE_MARK_LIST] = fb_marks_step,
    };

    FB_ASSERT((size_t)step->request->verb < sizeof(verbs) / sizeof(verbs[0]));
    return verbs[step->request->verb](step);
}
