// A job, and the places that its state asks for:
//
//     READY      the pile of its priority, by place in line; `age`, by due
//     SCHEDULED  `scheduled`, by due
//     LEASED     `leased`, by until
//     DEAD       `dead`, by death
//
// READY and SCHEDULED jobs that expire are in `ends`, too; a job that lives has its unique key; and
// the shelf counts it in its state. A change of state is: touch (its image into the log), unlink,
// change, link.
//
// A place in line is a number: above all others for who stands last, below all others for who
// stands first. So the order survives a restart, and an undo can put a job back between two others.

#include "queue/held.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"

static bool numbered_before(const void *item, const void *other) {
    return ((const fb_held_job *)item)->number < ((const fb_held_job *)other)->number;
}
static int class_of(const void *item) {
    const fb_held_job *job = item;

    return job->linked ? job->state : FB_SHELF_NONE;
}

const fb_shelf_kind fb_jobs_shelf = {.class_of = class_of};
static const fb_pile_kind by_state = {offsetof(fb_held_job, place), numbered_before};
static const fb_pile_kind by_age = {offsetof(fb_held_job, age_place), NULL};
static const fb_pile_kind by_end = {offsetof(fb_held_job, end_place), NULL};

_Static_assert(FB_JOB_UNIQUE_MAX <= UINT16_MAX && FB_JOB_KIND_MAX <= UINT8_MAX, "lengths");
_Static_assert((int)FB_JOB_STATE_COUNT == (int)FB_SHELF_CLASSES, "a state is a class");
_Static_assert(sizeof(fb_held_job) <= 144, "about 200 bytes a job, with its places");

// ---- texts

static fb_held_note *new_note(fb_machine *machine, fb_str text) {
    size_t len = text.len < FB_JOB_TEXT_MAX ? text.len : FB_JOB_TEXT_MAX;
    fb_held_note *note = fb_mem_new(sizeof(*note) + len);

    if (note != NULL) {
        note->refs = 1;
        note->len = (uint32_t)len;
        memcpy(note->bytes, text.ptr, len);
        machine->bytes += sizeof(*note) + len;
    }
    return note;
}

void fb_jobs_note_drop(fb_machine *machine, fb_held_note *note) {
    if (note != NULL && --note->refs == 0) {
        machine->bytes -= sizeof(*note) + note->len;
        fb_mem_free(note);
    }
}

int fb_jobs_note(fb_machine *machine, fb_held_note **note, fb_str text) {
    fb_held_note *made = text.len > 0 ? new_note(machine, text) : NULL;

    if (text.len > 0 && made == NULL) {
        return FB_ENOMEM;
    }
    fb_jobs_note_drop(machine, *note);
    *note = made;
    return FB_OK;
}

static fb_str note_text(const fb_held_note *note) {
    return note != NULL ? (fb_str){note->bytes, note->len} : (fb_str){NULL, 0};
}

// ---- a job

static size_t job_bytes(const fb_held_job *job) {
    return sizeof(*job) + job->kind_len + job->unique_len;
}

fb_held_job *fb_jobs_new(fb_machine *machine, fb_held_queue *queue, const fb_job *from,
                         fb_str unique) {
    FB_ASSERT(from->kind.len <= FB_JOB_KIND_MAX && unique.len <= FB_JOB_UNIQUE_MAX);
    FB_ASSERT(from->priority < FB_JOB_PRIORITIES);
    bool leased = from->state == FB_JOB_LEASED, dead = from->state == FB_JOB_DEAD;
    fb_held_job *job = fb_mem_new(sizeof(*job) + from->kind.len + unique.len);
    if (job == NULL) {
        return NULL;
    }
    *job = (fb_held_job){
        .queue = queue,
        .number = from->number,
        .token = leased ? from->token : 0,
        .enqueued_ms = from->enqueued_ms,
        .due_ms = from->due_ms,
        .lease_ms = from->lease_ms,
        .expires_ms = from->expires_ms,
        .since_ms = leased ? from->claimed_ms : dead ? from->died_ms : 0,
        .until_ms = leased ? from->until_ms : 0,
        .attempt = from->attempt,
        .attempts = from->attempts,
        .unique_len = (uint16_t)unique.len,
        .kind_len = (uint8_t)from->kind.len,
        .state = (uint8_t)from->state,
        .end = dead ? (uint8_t)from->end : FB_JOB_END_NONE,
        .priority = from->priority,
    };
    fb_str texts[2] = {from->kind, unique};
    char *to = (char *)(job + 1);
    for (size_t i = 0; i < 2; i++) {
        if (texts[i].len > 0) {
            memcpy(to, texts[i].ptr, texts[i].len);
            to += texts[i].len;
        }
    }
    machine->bytes += job_bytes(job);
    if (fb_jobs_note(machine, &job->error, from->error) != FB_OK ||
        fb_jobs_note(machine, &job->progress, from->progress) != FB_OK) {
        fb_jobs_free(machine, job);
        return NULL;
    }
    return job;
}

void fb_jobs_free(fb_machine *machine, fb_held_job *job) {
    if (job == NULL) {
        return;
    }
    FB_ASSERT(!job->linked);
    fb_jobs_note_drop(machine, job->error);
    fb_jobs_note_drop(machine, job->progress);
    machine->bytes -= job_bytes(job);
    fb_mem_free(job);
}

fb_held_job *fb_jobs_get(const fb_held_queue *queue, uint64_t number) {
    fb_held_job *job = fb_shelf_get(&queue->jobs, fb_shelf_numbered(number));

    return job != NULL && !job->gone ? job : NULL;
}

fb_held_job *fb_jobs_owner(const fb_held_queue *queue, fb_str unique) {
    return unique.len > 0 ? fb_map_get(&queue->keys, unique) : NULL;
}

void fb_jobs_tell(const fb_machine *machine, const fb_held_job *job, fb_job *told) {
    *told = (fb_job){
        .queue = job->queue->name,
        .number = job->number,
        .token = job->token,
        .kind = fb_jobs_kind(job),
        .payload = fb_changes_payload(machine, job),
        .unique = fb_jobs_unique(job),
        .error = note_text(job->error),
        .progress = note_text(job->progress),
        .state = job->state,
        .end = job->end,
        .priority = job->priority,
        .attempt = job->attempt,
        .attempts = job->attempts,
        .enqueued_ms = job->enqueued_ms,
        .due_ms = job->due_ms,
        .claimed_ms = job->state == FB_JOB_LEASED ? job->since_ms : 0,
        .lease_ms = job->lease_ms,
        .until_ms = job->until_ms,
        .expires_ms = job->expires_ms,
        .died_ms = job->state == FB_JOB_DEAD ? job->since_ms : 0,
    };
}

// ---- places

fb_pile *fb_jobs_pile(fb_held_job *job) {
    fb_held_queue *queue = job->queue;

    switch ((fb_job_state)job->state) {
    case FB_JOB_SCHEDULED:
        return &queue->scheduled;
    case FB_JOB_READY:
        return &queue->ready[job->priority];
    case FB_JOB_LEASED:
        return &queue->leased;
    case FB_JOB_DEAD:
        break;
    }
    return &queue->dead;
}

static int64_t place_key(const fb_held_job *job) {
    switch ((fb_job_state)job->state) {
    case FB_JOB_SCHEDULED:
        return job->due_ms;
    case FB_JOB_READY:
        return job->order;
    case FB_JOB_LEASED:
        return job->until_ms;
    case FB_JOB_DEAD:
        break;
    }
    return job->since_ms;
}

static bool may_expire(const fb_held_job *job) {
    return job->expires_ms > 0 && (job->state == FB_JOB_READY || job->state == FB_JOB_SCHEDULED);
}

int fb_jobs_link(fb_held_job *job) {
    fb_held_queue *queue = job->queue;
    int result = fb_pile_put(fb_jobs_pile(job), &by_state, job, place_key(job));

    FB_ASSERT(!job->linked && !job->gone);
    if (result == FB_OK && job->state == FB_JOB_READY) {
        result = fb_pile_put(&queue->age, &by_age, job, job->due_ms);
    }
    if (result == FB_OK && may_expire(job)) {
        result = fb_pile_put(&queue->ends, &by_end, job, job->expires_ms);
    }
    if (result == FB_OK && job->state != FB_JOB_DEAD && job->unique_len > 0) {
        FB_ASSERT(fb_jobs_owner(queue, fb_jobs_unique(job)) == NULL);
        result = fb_map_put(&queue->keys, fb_jobs_unique(job), job);
    }
    if (result == FB_OK) {
        fb_shelf_enter(&queue->jobs, fb_shelf_numbered(job->number), job->state);
        job->linked = true;
    }
    return result;
}

void fb_jobs_unlink(fb_held_job *job) {
    fb_held_queue *queue = job->queue;
    fb_str unique = fb_jobs_unique(job);

    fb_pile_remove(fb_jobs_pile(job), &by_state, job);
    fb_pile_remove(&queue->age, &by_age, job);
    fb_pile_remove(&queue->ends, &by_end, job);
    if (fb_jobs_owner(queue, unique) == job) {
        (void)fb_map_remove(&queue->keys, unique);
    }
    if (job->linked) {
        fb_shelf_leave(&queue->jobs, fb_shelf_numbered(job->number), job->state);
        job->linked = false;
    }
    if (FB_RULE(queue_empty_level) && queue->ready[job->priority].count == 0) {
        queue->rest.passed[job->priority] = 0;
    }
}

// What had the number steps aside: it is gone, and stands on the shelf no more.
static int supersede(fb_machine *machine, fb_held_job *old) {
    int result = fb_changes_touch(machine, old);

    if (result == FB_OK) {
        fb_jobs_unlink(old);
        old->gone = old->superseded = true;
    }
    return result;
}

int fb_jobs_add(fb_machine *machine, fb_held_job *job, fb_str payload, size_t item) {
    fb_held_queue *queue = job->queue;
    fb_shelf_key key = fb_shelf_numbered(job->number);
    fb_held_job *old = fb_shelf_get(&queue->jobs, key);
    int result = fb_changes_touch_queue(machine, queue);

    if (result == FB_OK && old != NULL) {
        result = supersede(machine, old);
    }
    if (result == FB_OK) {
        result = fb_changes_expect(machine);
    }
    if (result == FB_OK && old == NULL) {
        result = fb_shelf_add(&queue->jobs, key, job);
    }
    if (result != FB_OK) {
        fb_jobs_free(machine, job);
        return result;
    }
    if (old != NULL) {
        job->on_disk = old->on_disk;
        fb_shelf_replace(&queue->jobs, key, job);
    }
    if (job->state == FB_JOB_READY) {
        job->order = ++queue->rest.last_order;
    }
    fb_changes_born(machine, job, old, payload, item);
    return fb_jobs_link(job);
}

// ---- moves

int fb_jobs_take(fb_machine *machine, fb_held_job *job) {
    int result = fb_changes_touch(machine, job);

    if (result != FB_OK) {
        return result;
    }
    fb_jobs_unlink(job);
    job->token = 0;
    job->until_ms = 0;
    job->since_ms = 0;
    job->order = 0;
    return FB_OK;
}

int fb_jobs_ready(fb_machine *machine, fb_held_job *job, int64_t due_ms) {
    int result = fb_jobs_take(machine, job);

    if (result != FB_OK) {
        return result;
    }
    job->state = FB_JOB_READY;
    job->due_ms = due_ms;
    job->order = ++job->queue->rest.last_order;
    return fb_jobs_link(job);
}

int fb_jobs_ready_first(fb_machine *machine, fb_held_job *job, int64_t due_ms) {
    int result = fb_jobs_take(machine, job);

    if (result != FB_OK) {
        return result;
    }
    job->state = FB_JOB_READY;
    job->due_ms = due_ms;
    job->order = --job->queue->rest.first_order;
    return fb_jobs_link(job);
}

int fb_jobs_schedule(fb_machine *machine, fb_held_job *job, int64_t due_ms) {
    int result = fb_jobs_take(machine, job);

    if (result != FB_OK) {
        return result;
    }
    job->state = FB_JOB_SCHEDULED;
    job->due_ms = due_ms;
    return fb_jobs_link(job);
}

int fb_jobs_die(fb_machine *machine, fb_held_job *job, fb_job_end end, int64_t now_ms) {
    int result = fb_jobs_take(machine, job);

    if (result != FB_OK) {
        return result;
    }
    job->state = FB_JOB_DEAD;
    job->end = (uint8_t)end;
    job->since_ms = now_ms;
    return fb_jobs_link(job);
}

int fb_jobs_drop(fb_machine *machine, fb_held_job *job) {
    int result = fb_changes_touch(machine, job);

    if (result == FB_OK) {
        fb_jobs_unlink(job);
        job->gone = true;
    }
    return result;
}

// ---- for tests

void fb_jobs_check(const fb_held_queue *queue) {
    size_t ready = 0, keys = 0, ends = 0, counts[FB_JOB_STATE_COUNT] = {0};
    fb_shelf_place place = {0, 0};

    fb_shelf_check(&queue->jobs);
    for (fb_held_job *job; (job = fb_shelf_each(&queue->jobs, &place)) != NULL;) {
        FB_ASSERT(job->queue == queue && !job->superseded && job->linked == !job->gone);
        if (job->gone) {
            continue;
        }
        bool has_key = job->state != FB_JOB_DEAD && job->unique_len > 0;
        FB_ASSERT(job->place > 0 && fb_jobs_pile(job)->entries[job->place - 1].item == job);
        FB_ASSERT((job->age_place > 0) == (job->state == FB_JOB_READY));
        FB_ASSERT((job->end_place > 0) == may_expire(job));
        FB_ASSERT(!has_key || fb_jobs_owner(queue, fb_jobs_unique(job)) == job);
        FB_ASSERT(job->token == 0 || job->state == FB_JOB_LEASED);
        FB_ASSERT((job->end != FB_JOB_END_NONE) == (job->state == FB_JOB_DEAD));
        FB_ASSERT(job->number <= queue->rest.last_number);
        counts[job->state]++;
        keys += has_key;
        ends += may_expire(job);
    }
    for (size_t i = 0; i < FB_JOB_PRIORITIES; i++) {
        fb_pile_check(&queue->ready[i], &by_state);
        FB_ASSERT(queue->ready[i].count > 0 || queue->rest.passed[i] == 0);
        ready += queue->ready[i].count;
    }
    fb_pile_check(&queue->scheduled, &by_state);
    fb_pile_check(&queue->leased, &by_state);
    fb_pile_check(&queue->dead, &by_state);
    fb_pile_check(&queue->age, &by_age);
    fb_pile_check(&queue->ends, &by_end);
    FB_ASSERT(ready == counts[FB_JOB_READY] && queue->age.count == ready);
    FB_ASSERT(queue->scheduled.count == counts[FB_JOB_SCHEDULED]);
    FB_ASSERT(queue->leased.count == counts[FB_JOB_LEASED]);
    FB_ASSERT(queue->dead.count == counts[FB_JOB_DEAD]);
    FB_ASSERT(queue->keys.count == keys && queue->ends.count == ends);
}
