// What changed since it was kept: a log of before-images, one for each job in each step that
// touched it, likewise of marks and of what else a queue has.
//
// Going back happens in passes, so that nothing can fail: all that was touched leaves its places;
// then the images come back, the newest first; then all of it goes into the places of its old
// state, which held it before and have not shrunk; then what was born is freed. What a step removed
// stays on its shelf, marked as gone, until it is kept: so nothing has to be put there again.
//
// A job that changed in several steps has several records; the one whose image says "not changed"
// is its first, where it is told and, when it is kept, settled. A text is shared by the images that
// have it, by count.

#include "queue/held.h"

#include "base/check.h"
#include "base/mem.h"

enum { LOG_MIN = 16, LOG_SPARE_MAX = 1 << 20, PLACES_SPARE_MAX = 4096 };

static int reserve(fb_log *log, size_t size) {
    if (log->count < log->cap) {
        return FB_OK;
    }
    size_t cap = log->cap * 2 + LOG_MIN;
    void *records = fb_mem_resize(log->records, cap * size);
    if (records == NULL) {
        return FB_ENOMEM;
    }
    log->records = records;
    log->cap = cap;
    return FB_OK;
}

static fb_record_job *job_record(const fb_machine *machine, size_t i) {
    return (fb_record_job *)machine->jobs.records + i;
}
static fb_record_mark *mark_record(const fb_machine *machine, size_t i) {
    return (fb_record_mark *)machine->marks.records + i;
}
static fb_record_queue *queue_record(const fb_machine *machine, size_t i) {
    return (fb_record_queue *)machine->rests.records + i;
}

static fb_held_note *take_note(fb_held_note *note) {
    if (note != NULL) {
        note->refs++;
    }
    return note;
}

int fb_changes_touch(fb_machine *machine, fb_held_job *job) {
    int result = fb_changes_touch_queue(machine, job->queue);

    if (result != FB_OK || job->step == machine->step) {
        return result;
    }
    result = reserve(&machine->jobs, sizeof(fb_record_job));
    if (result != FB_OK) {
        return result;
    }
    *job_record(machine, machine->jobs.count++) = (fb_record_job){.job = job, .image = *job};
    (void)take_note(job->error);
    (void)take_note(job->progress);
    job->changed = true;
    job->step = machine->step;
    return FB_OK;
}

int fb_changes_touch_mark(fb_machine *machine, fb_held_mark *mark) {
    if (mark->step == machine->step) {
        return FB_OK;
    }
    int result = reserve(&machine->marks, sizeof(fb_record_mark));
    if (result != FB_OK) {
        return result;
    }
    *mark_record(machine, machine->marks.count++) =
        (fb_record_mark){.mark = mark, .image = *mark};
    mark->changed = true;
    mark->step = machine->step;
    return FB_OK;
}

int fb_changes_touch_queue(fb_machine *machine, fb_held_queue *queue) {
    if (queue->step == machine->step) {
        return FB_OK;
    }
    int result = reserve(&machine->rests, sizeof(fb_record_queue));
    if (result != FB_OK) {
        return result;
    }
    *queue_record(machine, machine->rests.count++) = (fb_record_queue){queue, queue->rest};
    queue->step = machine->step;
    return FB_OK;
}

void fb_changes_dirty(fb_machine *machine, fb_held_queue *queue) {
    FB_ASSERT(queue->step == machine->step && machine->rests.count > 0);
    if (queue->rest.dirty) {
        return;
    }
    queue->rest.dirty = true;
    queue->rest.dirty_at = machine->rests.count - 1;
    // A sweep touches several: the record of this one is among the last.
    while (queue_record(machine, queue->rest.dirty_at)->queue != queue) {
        queue->rest.dirty_at--;
    }
}

int fb_changes_expect(fb_machine *machine) {
    int result = reserve(&machine->jobs, sizeof(fb_record_job));

    return result == FB_OK ? reserve(&machine->marks, sizeof(fb_record_mark)) : result;
}

void fb_changes_born(fb_machine *machine, fb_held_job *job, fb_held_job *replaced, fb_str payload,
                     size_t item) {
    FB_ASSERT(machine->jobs.count < machine->jobs.cap && machine->jobs.count < UINT32_MAX);
    job->birth = (uint32_t)machine->jobs.count;
    job->fresh = job->changed = true;
    job->step = machine->step;
    *job_record(machine, machine->jobs.count++) = (fb_record_job){
        .job = job, .born = true, .replaced = replaced, .payload = payload, .item = item};
}

void fb_changes_born_mark(fb_machine *machine, fb_held_mark *mark) {
    FB_ASSERT(machine->marks.count < machine->marks.cap);
    mark->birth = (uint32_t)machine->marks.count;
    mark->fresh = mark->changed = true;
    mark->step = machine->step;
    *mark_record(machine, machine->marks.count++) = (fb_record_mark){.mark = mark, .born = true};
}

fb_changes_place fb_changes_here(const fb_machine *machine) {
    return (fb_changes_place){machine->jobs.count, machine->marks.count, machine->rests.count};
}

fb_str fb_changes_payload(const fb_machine *machine, const fb_held_job *job) {
    if (!job->fresh) {
        return (fb_str){NULL, 0};
    }
    fb_str payload = job_record(machine, job->birth)->payload;
    return payload.ptr != NULL ? payload : (fb_str){"", 0};
}

// ---- going back

static void take_from_shelf(const fb_record_job *record) {
    fb_shelf *shelf = &record->job->queue->jobs;
    fb_shelf_key key = fb_shelf_numbered(record->job->number);

    if (record->replaced != NULL) {
        fb_shelf_replace(shelf, key, record->replaced);
    } else {
        fb_shelf_remove(shelf, key);
    }
}

static void jobs_back(fb_machine *machine, size_t place) {
    for (size_t i = machine->jobs.count; i-- > place;) {
        fb_record_job *record = job_record(machine, i);
        fb_jobs_unlink(record->job);
        if (record->born) {
            take_from_shelf(record);
        }
    }
    for (size_t i = machine->jobs.count; i-- > place;) {
        fb_record_job *record = job_record(machine, i);
        if (!record->born) {
            fb_jobs_note_drop(machine, record->job->error);
            fb_jobs_note_drop(machine, record->job->progress);
            *record->job = record->image;
            record->job->place = record->job->age_place = record->job->end_place = 0;
            record->job->linked = false;
        }
    }
    for (size_t i = place; i < machine->jobs.count; i++) {
        fb_held_job *job = job_record(machine, i)->job;
        bool doomed = job->fresh && job->birth >= place;
        if (!doomed && !job->gone && !job->linked) {
            int result = fb_jobs_link(job);
            FB_ASSERT(result == FB_OK);
        }
    }
    // A record's job may have been born in an earlier one: nothing is read of it from here on.
    for (size_t i = place; i < machine->jobs.count; i++) {
        if (job_record(machine, i)->born) {
            fb_jobs_free(machine, job_record(machine, i)->job);
        }
    }
    machine->jobs.count = place;
}

static void marks_back(fb_machine *machine, size_t place) {
    for (size_t i = machine->marks.count; i-- > place;) {
        fb_record_mark *record = mark_record(machine, i);
        fb_marks_unlink(record->mark);
        if (record->born) {
            fb_shelf_remove(&record->mark->queue->marks,
                            fb_shelf_named(fb_marks_name(record->mark)));
        }
    }
    for (size_t i = machine->marks.count; i-- > place;) {
        fb_record_mark *record = mark_record(machine, i);
        if (!record->born) {
            *record->mark = record->image;
            record->mark->place = 0;
            record->mark->linked = false;
        }
    }
    for (size_t i = place; i < machine->marks.count; i++) {
        fb_held_mark *mark = mark_record(machine, i)->mark;
        bool doomed = mark->fresh && mark->birth >= place;
        if (!doomed && !mark->gone && !mark->linked) {
            int result = fb_marks_link(mark);
            FB_ASSERT(result == FB_OK);
        }
    }
    for (size_t i = place; i < machine->marks.count; i++) {
        if (mark_record(machine, i)->born) {
            fb_marks_free(machine, mark_record(machine, i)->mark);
        }
    }
    machine->marks.count = place;
}

void fb_changes_back(fb_machine *machine, fb_changes_place place) {
    FB_ASSERT(place.jobs <= machine->jobs.count && place.marks <= machine->marks.count &&
              place.rests <= machine->rests.count);
    jobs_back(machine, place.jobs);
    marks_back(machine, place.marks);
    // Last: what was taken out of its places above has set counters back.
    for (size_t i = machine->rests.count; i-- > place.rests;) {
        fb_record_queue *record = queue_record(machine, i);
        record->queue->rest = record->image;
        record->queue->step = 0;
    }
    machine->rests.count = place.rests;
}

// ---- keeping

static void empty(fb_log *log, size_t size) {
    log->count = 0;
    if (log->cap * size > LOG_SPARE_MAX) {
        fb_mem_free(log->records);
        *log = (fb_log){0};
    }
}

static bool is_first(const fb_record_job *record) {
    return record->born || !record->image.changed;
}

static void keep_job(fb_machine *machine, fb_held_job *job) {
    if (!job->gone) {
        job->changed = job->fresh = false;
        job->on_disk = true;
        job->step = 0;
        return;
    }
    if (!job->superseded) {
        fb_shelf_remove(&job->queue->jobs, fb_shelf_numbered(job->number));
    }
    fb_jobs_free(machine, job);
}

static void keep_mark(fb_machine *machine, fb_held_mark *mark) {
    if (!mark->gone) {
        mark->changed = mark->fresh = false;
        mark->on_disk = true;
        mark->step = 0;
        return;
    }
    fb_shelf_remove(&mark->queue->marks, fb_shelf_named(fb_marks_name(mark)));
    fb_marks_free(machine, mark);
}

// What a backlog needed that is gone is given back; but only here, where nothing can be undone.
static void give_back(fb_pile *pile) {
    if (pile->count == 0 && pile->cap > PLACES_SPARE_MAX) {
        fb_pile_release(pile);
    }
}

static void keep_queue(fb_held_queue *queue) {
    queue->rest.dirty = false;
    queue->step = 0;
    for (size_t i = 0; i < FB_JOB_PRIORITIES; i++) {
        give_back(&queue->ready[i]);
    }
    give_back(&queue->scheduled);
    give_back(&queue->leased);
    give_back(&queue->dead);
    give_back(&queue->age);
    give_back(&queue->ends);
    if (queue->keys.count == 0 && queue->keys.cap > PLACES_SPARE_MAX) {
        fb_map_release(&queue->keys);
    }
}

void fb_machine_keep(fb_machine *machine) {
    // From the newest to the oldest: a job's first record, where it may be freed, comes last of
    // its.
    for (size_t i = machine->jobs.count; i-- > 0;) {
        fb_record_job *record = job_record(machine, i);
        if (!record->born) {
            fb_jobs_note_drop(machine, record->image.error);
            fb_jobs_note_drop(machine, record->image.progress);
        }
        if (is_first(record)) {
            keep_job(machine, record->job);
        }
    }
    for (size_t i = machine->marks.count; i-- > 0;) {
        fb_record_mark *record = mark_record(machine, i);
        if (record->born || !record->image.changed) {
            keep_mark(machine, record->mark);
        }
    }
    for (size_t i = 0; i < machine->rests.count; i++) {
        keep_queue(queue_record(machine, i)->queue);
    }
    empty(&machine->jobs, sizeof(fb_record_job));
    empty(&machine->marks, sizeof(fb_record_mark));
    empty(&machine->rests, sizeof(fb_record_queue));
    fb_arena_reset(&machine->arena);
}

void fb_machine_undo(fb_machine *machine) {
    fb_changes_back(machine, (fb_changes_place){0, 0, 0});
    empty(&machine->jobs, sizeof(fb_record_job));
    empty(&machine->marks, sizeof(fb_record_mark));
    empty(&machine->rests, sizeof(fb_record_queue));
    fb_arena_reset(&machine->arena);
}

void fb_changes_release(fb_machine *machine) {
    fb_mem_free(machine->jobs.records);
    fb_mem_free(machine->marks.records);
    fb_mem_free(machine->rests.records);
}

// ---- telling

static bool tell_job(fb_machine *machine, const fb_record_job *record) {
    const fb_held_job *job = record->job;
    fb_change *change = &machine->change;

    // Of one that another has taken the number of, that other one tells.
    if (!is_first(record) || job->superseded || (job->gone && !job->on_disk)) {
        return false;
    }
    fb_jobs_tell(machine, job, &change->job);
    change->queue = job->queue->name;
    change->order = job->state == FB_JOB_READY ? job->order : 0;
    change->item = record->item;
    change->kind = job->gone ? FB_CHANGE_GONE : job->fresh ? FB_CHANGE_NEW : FB_CHANGE_JOB;
    return true;
}

static bool tell_mark(fb_machine *machine, const fb_record_mark *record) {
    const fb_held_mark *mark = record->mark;
    fb_change *change = &machine->change;

    if ((!record->born && record->image.changed) || (mark->gone && !mark->on_disk)) {
        return false;
    }
    change->queue = mark->queue->name;
    change->mark = (fb_store_mark){fb_marks_name(mark), mark->value};
    change->mark_until_ms = mark->until_ms;
    change->kind = mark->gone ? FB_CHANGE_MARK_GONE : FB_CHANGE_MARK;
    return true;
}

static bool tell_queue(fb_machine *machine, size_t i) {
    const fb_held_queue *queue = queue_record(machine, i)->queue;
    fb_change *change = &machine->change;

    if (!queue->rest.dirty || queue->rest.dirty_at != i) {
        return false;
    }
    change->queue = queue->name;
    change->paused = queue->rest.paused;
    change->last_number = queue->rest.last_number;
    change->kind = FB_CHANGE_QUEUE;
    return true;
}

const fb_change *fb_machine_change(fb_machine *machine, size_t *place) {
    size_t jobs = machine->jobs.count, marks = machine->marks.count, rests = machine->rests.count;

    while (*place < jobs + marks + rests) {
        size_t i = (*place)++;
        machine->change = (fb_change){0};
        if (i < jobs ? tell_job(machine, job_record(machine, i))
                     : i < jobs + marks ? tell_mark(machine, mark_record(machine, i - jobs))
                                        : tell_queue(machine, i - jobs - marks)) {
            return &machine->change;
        }
    }
    return NULL;
}
