// queue/held.h -- what the machine holds: jobs, queues and marks, each in the places that its state
// asks for, and the list of what changed. Private to the machine's files: machine.c, steps.c
// (the verbs), claims.c (what RESERVE does), jobs.c (a job's places), marks.c, changes.c (keep and
// undo).

#ifndef FB_QUEUE_HELD_H
#define FB_QUEUE_HELD_H

#include "base/arena.h"
#include "base/map.h"
#include "queue/machine.h"
#include "queue/pile.h"
#include "queue/shelf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_held_queue fb_held_queue;
typedef struct fb_step fb_step;

// A text that may be in several before-images, too.
typedef struct fb_held_note {
    uint32_t refs, len;
    char bytes[];
} fb_held_note;

typedef struct fb_held_job {
    fb_held_queue *queue;
    fb_held_note *error, *progress;  // NULL: empty
    uint64_t number, token;
    int64_t order;                   // READY: its place in line
    int64_t enqueued_ms, due_ms, lease_ms, expires_ms;
    int64_t since_ms;                // LEASED: claimed; DEAD: died
    int64_t until_ms;
    uint32_t attempt, attempts;
    uint32_t place;                  // in the pile of its state
    uint32_t age_place;              // READY: in `age`
    uint32_t end_place;              // READY, SCHEDULED, with expires_ms: in `ends`
    uint32_t step;                   // that touched it last since it was kept
    uint32_t birth;                  // fresh: place of its record in the log
    uint16_t unique_len;
    uint8_t kind_len;
    uint8_t state, end, priority;
    bool linked;                     // it is in its places
    bool gone;                       // it is there only until that is kept
    bool superseded;                 // gone: another one of its number stands on the shelf
    bool on_disk;                    // a job of its number is
    bool fresh;                      // made since it was kept
    bool changed;                    // since it was kept
    // Behind it: kind, unique key.
} fb_held_job;

typedef struct fb_held_mark {
    fb_held_queue *queue;
    int64_t value, until_ms;
    uint32_t place;
    uint32_t step;
    bool linked, gone, on_disk, fresh, changed;
    uint32_t birth;                  // as of a job
    uint32_t name_len;
    // Behind it: its name.
} fb_held_mark;

// What undo brings back of a queue.
typedef struct fb_held_rest {
    bool paused, dirty;
    size_t dirty_at;                 // dirty: which record of the log made it so
    uint64_t last_number;
    int64_t first_order, last_order;
    uint32_t passed[FB_JOB_PRIORITIES];
} fb_held_rest;

struct fb_held_queue {
    fb_str name;
    fb_shelf jobs;                   // by number, in their states; what is gone, until it is kept
    fb_map keys;                     // unique key → job that lives
    fb_pile ready[FB_JOB_PRIORITIES];
    fb_pile scheduled, leased, dead; // by due, until, death; then by number
    fb_pile age;                     // READY ones by due
    fb_pile ends;                    // READY and SCHEDULED ones by expires
    fb_shelf marks;
    fb_pile mark_ends;
    fb_held_rest rest;
    uint32_t step;
    char text[];
};

typedef struct fb_record_job {
    fb_held_job *job;
    bool born;
    fb_held_job *replaced;           // born: what had its number
    fb_str payload;                  // born: the request's
    size_t item;
    fb_held_job image;               // not born: as it was
} fb_record_job;
typedef struct fb_record_mark {
    fb_held_mark *mark;
    bool born;
    fb_held_mark image;
} fb_record_mark;
typedef struct fb_record_queue {
    fb_held_queue *queue;
    fb_held_rest image;
} fb_record_queue;

// One array of each kind; a place in it is a size_t.
typedef struct fb_log {
    void *records;
    size_t count, cap;
} fb_log;

struct fb_machine {
    fb_map queues;
    uint64_t bytes;                  // of jobs, notes, marks and queues
    uint32_t step;
    fb_log jobs, marks, rests;
    fb_arena arena;                  // what replies point to, until it is kept or undone
    fb_change change;
};

struct fb_step {
    fb_machine *machine;
    fb_held_queue *queue;
    const fb_store_request *request;
    const fb_queue_policy *policy;
    int64_t now_ms;
    fb_store_reply *reply;
};

// ---- changes.c: before anything is changed it is touched. FB_OK, FB_ENOMEM

FB_CHECK_RESULT int fb_changes_touch(fb_machine *machine, fb_held_job *job);
FB_CHECK_RESULT int fb_changes_touch_mark(fb_machine *machine, fb_held_mark *mark);
FB_CHECK_RESULT int fb_changes_touch_queue(fb_machine *machine, fb_held_queue *queue);
// paused or last_number is about to be another; the queue has been touched.
void fb_changes_dirty(fb_machine *machine, fb_held_queue *queue);
// For a job or a mark that comes to stand on its shelf: room in the log, then its record.
FB_CHECK_RESULT int fb_changes_expect(fb_machine *machine);
void fb_changes_born(fb_machine *machine, fb_held_job *job, fb_held_job *replaced, fb_str payload,
                     size_t item);
void fb_changes_born_mark(fb_machine *machine, fb_held_mark *mark);
typedef struct fb_changes_place {
    size_t jobs, marks, rests;
} fb_changes_place;
fb_changes_place fb_changes_here(const fb_machine *machine);
// Everything is as it was there.
void fb_changes_back(fb_machine *machine, fb_changes_place place);
// Of a fresh job; else its ptr is NULL.
fb_str fb_changes_payload(const fb_machine *machine, const fb_held_job *job);
void fb_changes_release(fb_machine *machine);

// ---- jobs.c

extern const fb_shelf_kind fb_jobs_shelf;
static inline fb_str fb_jobs_kind(const fb_held_job *job) {
    fb_str kind = {(const char *)(job + 1), job->kind_len};
    return kind;
}
static inline fb_str fb_jobs_unique(const fb_held_job *job) {
    fb_str unique = {(const char *)(job + 1) + job->kind_len, job->unique_len};
    return unique;
}
// In no place yet; `unique` counts, not from->unique. NULL: no memory.
FB_CHECK_RESULT fb_held_job *fb_jobs_new(fb_machine *machine, fb_held_queue *queue,
                                         const fb_job *from, fb_str unique);
void fb_jobs_free(fb_machine *machine, fb_held_job *job);
// NULL: it is not there.
fb_held_job *fb_jobs_get(const fb_held_queue *queue, uint64_t number);
// Who has the key.
fb_held_job *fb_jobs_owner(const fb_held_queue *queue, fb_str unique);
// Puts a new job on the shelf (in the place of another of its number), links it, and has it in the
// log. The job is the machine's then, or freed: FB_ENOMEM leaves what fb_changes_back() cleans up.
FB_CHECK_RESULT int fb_jobs_add(fb_machine *machine, fb_held_job *job, fb_str payload, size_t item);
// Into the places of its state, and out of them (nothing happens where it is in none). FB_ENOMEM:
// in some of them; never of one that was in them since it was kept.
FB_CHECK_RESULT int fb_jobs_link(fb_held_job *job);
void fb_jobs_unlink(fb_held_job *job);
// Moves: touched, unlinked, changed and linked. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_jobs_ready(fb_machine *machine, fb_held_job *job, int64_t due_ms);
FB_CHECK_RESULT int fb_jobs_ready_first(fb_machine *machine, fb_held_job *job, int64_t due_ms);
FB_CHECK_RESULT int fb_jobs_schedule(fb_machine *machine, fb_held_job *job, int64_t due_ms);
FB_CHECK_RESULT int fb_jobs_die(fb_machine *machine, fb_held_job *job, fb_job_end end,
                                int64_t now_ms);
FB_CHECK_RESULT int fb_jobs_drop(fb_machine *machine, fb_held_job *job);
// Touches it, takes it out of its places, and out of its lease if it has one.
FB_CHECK_RESULT int fb_jobs_take(fb_machine *machine, fb_held_job *job);
// A copy of the first 500 bytes in the place of what is there.
FB_CHECK_RESULT int fb_jobs_note(fb_machine *machine, fb_held_note **note, fb_str text);
void fb_jobs_note_drop(fb_machine *machine, fb_held_note *note);
void fb_jobs_tell(const fb_machine *machine, const fb_held_job *job, fb_job *told);
fb_pile *fb_jobs_pile(fb_held_job *job);
void fb_jobs_check(const fb_held_queue *queue);

// ---- steps.c

// What the verb does. FB_OK; FB_ENOMEM: half done, fb_changes_back() cleans up. A step that was
// refused as a whole (FB_STORE_FULL) is to be taken back, too.
FB_CHECK_RESULT int fb_steps_run(fb_step *step);

// ---- claims.c

enum { FB_CLAIMS_MAX = 1000, FB_CLAIMS_TRIM_MAX = 100 };

// RESERVE, and what ACK with a count does after its claims.
FB_CHECK_RESULT int fb_claims_reserve(fb_step *step);
// What is due in one queue by itself, at most *most jobs; *most goes down.
FB_CHECK_RESULT int fb_claims_take_back(fb_step *step, uint32_t *most);
FB_CHECK_RESULT int fb_claims_promote(fb_step *step, uint32_t *most);
FB_CHECK_RESULT int fb_claims_expire(fb_step *step, uint32_t *most);
FB_CHECK_RESULT int fb_claims_trim(fb_step *step, uint32_t *most);
// The least of due (SCHEDULED) and until (LEASED).
int64_t fb_claims_next_ms(const fb_held_queue *queue);

// ---- marks.c

// NULL: not there, or over.
fb_held_mark *fb_marks_get(const fb_held_queue *queue, fb_str name, int64_t now_ms);
FB_CHECK_RESULT int fb_marks_set(fb_machine *machine, fb_held_queue *queue, fb_store_mark mark,
                                 int64_t until_ms);
FB_CHECK_RESULT int fb_marks_drop(fb_machine *machine, fb_held_mark *mark);
// Those that are over; *most goes down.
FB_CHECK_RESULT int fb_marks_sweep(fb_machine *machine, fb_held_queue *queue, int64_t now_ms,
                                   uint32_t *most);
FB_CHECK_RESULT int fb_marks_step(fb_step *step);
FB_CHECK_RESULT int fb_marks_link(fb_held_mark *mark);
void fb_marks_unlink(fb_held_mark *mark);
void fb_marks_free(fb_machine *machine, fb_held_mark *mark);
static inline fb_str fb_marks_name(const fb_held_mark *mark) {
    fb_str name = {(const char *)(mark + 1), mark->name_len};
    return name;
}
extern const fb_shelf_kind fb_marks_shelf;
void fb_marks_check(const fb_held_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
