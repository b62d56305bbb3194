// The machine is a map of queues; a step finds its queue, does its verb, and is taken back as a
// whole where memory ends or the queue is full. Places: jobs.c, pile.c, shelf.c. The log:
// changes.c. Verbs: steps.c, claims.c, marks.c.
//
// A queue is made when it is first named and never goes: the configuration has few.

#include "queue/machine.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "queue/held.h"

#define NUMBER_MAX ((UINT64_C(1) << 53) - 1)

static fb_held_queue *new_queue(fb_machine *machine, fb_str name) {
    fb_held_queue *queue = fb_mem_zero(1, sizeof(*queue) + name.len);

    if (queue == NULL) {
        return NULL;
    }
    if (name.len > 0) {
        memcpy(queue->text, name.ptr, name.len);
    }
    queue->name = (fb_str){queue->text, name.len};
    queue->jobs.kind = &fb_jobs_shelf;
    queue->marks.kind = &fb_marks_shelf;
    if (fb_map_put(&machine->queues, queue->name, queue) != FB_OK) {
        fb_mem_free(queue);
        return NULL;
    }
    machine->bytes += sizeof(*queue) + name.len;
    return queue;
}

static fb_held_queue *find_queue(fb_machine *machine, fb_str name) {
    fb_held_queue *queue = fb_map_get(&machine->queues, name);

    return queue != NULL ? queue : new_queue(machine, name);
}

static void free_queue(fb_machine *machine, fb_held_queue *queue) {
    fb_pile *piles[] = {&queue->scheduled, &queue->leased, &queue->dead,
                        &queue->age,       &queue->ends,   &queue->mark_ends};
    fb_shelf_place place = {0, 0};

    for (fb_held_job *job; (job = fb_shelf_each(&queue->jobs, &place)) != NULL;) {
        job->linked = false;
        fb_jobs_free(machine, job);
    }
    place = (fb_shelf_place){0, 0};
    for (fb_held_mark *mark; (mark = fb_shelf_each(&queue->marks, &place)) != NULL;) {
        mark->linked = false;
        fb_marks_free(machine, mark);
    }
    for (size_t i = 0; i < sizeof(piles) / sizeof(piles[0]); i++) {
        fb_pile_release(piles[i]);
    }
    for (size_t i = 0; i < FB_JOB_PRIORITIES; i++) {
        fb_pile_release(&queue->ready[i]);
    }
    fb_shelf_release(&queue->jobs);
    fb_shelf_release(&queue->marks);
    fb_map_release(&queue->keys);
    fb_mem_free(queue);
}

int fb_machine_new(fb_machine **machine) {
    *machine = fb_mem_zero(1, sizeof(**machine));
    if (*machine == NULL) {
        return FB_ENOMEM;
    }
    (*machine)->step = 1;
    return FB_OK;
}

void fb_machine_free(fb_machine *machine) {
    size_t place = 0;
    fb_held_queue *queue;

    if (machine == NULL) {
        return;
    }
    // What only the log still holds goes with it.
    fb_machine_keep(machine);
    while ((queue = fb_map_next(&machine->queues, &place)) != NULL) {
        free_queue(machine, queue);
    }
    fb_map_release(&machine->queues);
    fb_arena_release(&machine->arena);
    fb_changes_release(machine);
    fb_mem_free(machine);
}

// 0 is of what no step has touched since it was kept.
static void begin(fb_machine *machine) {
    machine->step = machine->step == UINT32_MAX ? 1 : machine->step + 1;
}

// ---- loading

static bool is_sound(const fb_job *job) {
    return job->number > 0 && job->number <= NUMBER_MAX && job->token <= NUMBER_MAX &&
           (unsigned)job->state < FB_JOB_STATE_COUNT && (unsigned)job->end <= FB_JOB_END_EXPIRED &&
           (job->end != FB_JOB_END_NONE) == (job->state == FB_JOB_DEAD) &&
           (job->token == 0 || job->state == FB_JOB_LEASED) &&
           job->priority < FB_JOB_PRIORITIES && job->kind.len <= FB_JOB_KIND_MAX &&
           job->unique.len <= FB_JOB_UNIQUE_MAX;
}

static int load_job(fb_machine *machine, fb_held_queue *queue, const fb_job *job, int64_t order) {
    bool has_key = job->state != FB_JOB_DEAD && fb_jobs_owner(queue, job->unique) != NULL;
    fb_held_job *held = fb_jobs_new(machine, queue, job, has_key ? (fb_str){NULL, 0} : job->unique);

    if (held == NULL) {
        return FB_ENOMEM;
    }
    fb_shelf_key key = fb_shelf_numbered(job->number);
    int result = fb_shelf_add(&queue->jobs, key, held);
    if (result != FB_OK) {
        fb_jobs_free(machine, held);
        return result;
    }
    held->order = job->state == FB_JOB_READY ? order : 0;
    held->on_disk = true;
    result = fb_jobs_link(held);
    if (result != FB_OK) {
        fb_jobs_unlink(held);
        fb_shelf_remove(&queue->jobs, key);
        fb_jobs_free(machine, held);
    }
    return result;
}

int fb_machine_load(fb_machine *machine, const fb_job *job, int64_t order) {
    fb_held_queue *queue = find_queue(machine, job->queue);

    if (queue == NULL) {
        return FB_ENOMEM;
    }
    if (!is_sound(job) || fb_shelf_get(&queue->jobs, fb_shelf_numbered(job->number)) != NULL) {
        return FB_EINVAL;
    }
    int result = load_job(machine, queue, job, order);
    if (result != FB_OK) {
        return result;
    }
    fb_held_rest *rest = &queue->rest;
    rest->last_number = job->number > rest->last_number ? job->number : rest->last_number;
    if (job->state == FB_JOB_READY) {
        rest->first_order = order < rest->first_order ? order : rest->first_order;
        rest->last_order = order > rest->last_order ? order : rest->last_order;
    }
    return FB_OK;
}

int fb_machine_load_mark(fb_machine *machine, fb_str queue, const fb_store_mark *mark,
                         int64_t until_ms) {
    fb_held_queue *held = find_queue(machine, queue);

    if (held == NULL) {
        return FB_ENOMEM;
    }
    if (mark->name.len == 0) {
        return FB_EINVAL;
    }
    begin(machine);
    fb_changes_place here = fb_changes_here(machine);
    int result = fb_marks_set(machine, held, *mark, until_ms > 0 ? until_ms : 0);
    if (result != FB_OK) {
        fb_changes_back(machine, here);
    } else {
        fb_machine_keep(machine);
    }
    return result;
}

int fb_machine_load_queue(fb_machine *machine, fb_str queue, bool paused, uint64_t last_number) {
    fb_held_queue *held = find_queue(machine, queue);

    if (held == NULL) {
        return FB_ENOMEM;
    }
    if (last_number > NUMBER_MAX) {
        return FB_EINVAL;
    }
    held->rest.paused = paused;
    if (last_number > held->rest.last_number) {
        held->rest.last_number = last_number;
    }
    return FB_OK;
}

// ---- steps

static bool is_reading(fb_store_verb verb) {
    return verb == FB_STORE_GET || verb == FB_STORE_LIST || verb == FB_STORE_LOOK ||
           verb == FB_STORE_MARK_GET || verb == FB_STORE_MARK_LIST;
}

int fb_machine_step(fb_machine *machine, const fb_store_request *request, int64_t now_ms,
                    fb_store_reply *reply) {
    // Of a queue that is not declared any more: what is there stays.
    static const fb_queue_policy none = {.dead_keep_ms = INT64_MAX, .dead_max = UINT32_MAX};
    fb_step step = {.machine = machine, .request = request, .policy = request->policy,
                    .now_ms = now_ms, .reply = reply};
    fb_changes_place here = fb_changes_here(machine);

    FB_ASSERT(now_ms > 0);
    *reply = (fb_store_reply){.result = FB_STORE_DONE, .now_ms = now_ms, .text = ""};
    step.policy = step.policy != NULL ? step.policy : &none;
    step.queue = find_queue(machine, request->queue);
    if (step.queue == NULL) {
        return FB_ENOMEM;
    }
    begin(machine);
    int result = is_reading(request->verb) ? FB_OK : fb_changes_touch_queue(machine, step.queue);
    result = result == FB_OK ? fb_steps_run(&step) : result;
    if (result != FB_OK || reply->result == FB_STORE_FULL) {
        fb_changes_back(machine, here);
        *reply = (fb_store_reply){
            .result = result == FB_OK ? FB_STORE_FULL : FB_STORE_FAILED,
            .now_ms = now_ms,
            .text = result == FB_OK ? "the queue is full (jobs_max)" : "out of memory"};
    }
    return result;
}

// ---- what is due by itself

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t next_of(const fb_step *step) {
    const fb_held_queue *queue = step->queue;
    int64_t next_ms = fb_claims_next_ms(queue);

    next_ms = earlier(next_ms, fb_pile_first_key(&queue->ends));
    next_ms = earlier(next_ms, fb_pile_first_key(&queue->mark_ends));
    if (step->policy != NULL && queue->dead.count > 0) {
        next_ms = queue->dead.count > step->policy->dead_max
                      ? earlier(next_ms, step->now_ms)
                      : earlier(next_ms, fb_pile_first_key(&queue->dead) +
                                             step->policy->dead_keep_ms);
    }
    return next_ms;
}

// Expired ones after those that come back from a lease: they may have expired in it.
static int sweep_queue(fb_step *step, uint32_t *most) {
    int result = fb_claims_take_back(step, most);

    result = result == FB_OK ? fb_claims_promote(step, most) : result;
    result = result == FB_OK ? fb_claims_expire(step, most) : result;
    if (result == FB_OK && step->policy != NULL) {
        result = fb_claims_trim(step, most);
    }
    return result == FB_OK ? fb_marks_sweep(step->machine, step->queue, step->now_ms, most)
                           : result;
}

int fb_machine_sweep(fb_machine *machine,
                     const fb_queue_policy *(*policy_of)(void *arg, fb_str queue), void *arg,
                     int64_t now_ms, uint32_t most, int64_t *next_ms) {
    fb_changes_place here = fb_changes_here(machine);
    fb_step step = {.machine = machine, .now_ms = now_ms};
    int result = FB_OK;
    size_t place = 0;

    FB_ASSERT(now_ms > 0);
    *next_ms = INT64_MAX;
    begin(machine);
    while (result == FB_OK && (step.queue = fb_map_next(&machine->queues, &place)) != NULL) {
        step.policy = policy_of(arg, step.queue->name);
        result = sweep_queue(&step, &most);
        *next_ms = earlier(*next_ms, next_of(&step));
    }
    if (result != FB_OK) {
        fb_changes_back(machine, here);
    }
    return result;
}

// ---- figures

size_t fb_machine_jobs(const fb_machine *machine) {
    size_t place = 0, count = 0;
    const fb_held_queue *queue;

    while ((queue = fb_map_next(&machine->queues, &place)) != NULL) {
        count += (size_t)queue->scheduled.count + queue->age.count + queue->leased.count +
                 queue->dead.count;
    }
    return count;
}

uint64_t fb_machine_bytes(const fb_machine *machine) {
    uint64_t bytes = machine->bytes + sizeof(*machine) +
                     machine->queues.cap * sizeof(fb_map_slot);
    size_t place = 0;
    const fb_held_queue *queue;

    while ((queue = fb_map_next(&machine->queues, &place)) != NULL) {
        uint64_t entries = (uint64_t)queue->scheduled.cap + queue->leased.cap + queue->dead.cap +
                           queue->age.cap + queue->ends.cap + queue->mark_ends.cap;
        for (size_t i = 0; i < FB_JOB_PRIORITIES; i++) {
            entries += queue->ready[i].cap;
        }
        bytes += entries * sizeof(fb_pile_entry) + queue->keys.cap * sizeof(fb_map_slot) +
                 fb_shelf_bytes(&queue->jobs) + fb_shelf_bytes(&queue->marks);
    }
    return bytes + machine->jobs.cap * sizeof(fb_record_job) +
           machine->marks.cap * sizeof(fb_record_mark) +
           machine->rests.cap * sizeof(fb_record_queue);
}

void fb_machine_check(const fb_machine *machine) {
    size_t place = 0;
    const fb_held_queue *queue;

    while ((queue = fb_map_next(&machine->queues, &place)) != NULL) {
        fb_jobs_check(queue);
        fb_marks_check(queue);
    }
}
