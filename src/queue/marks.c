// Marks: small numbers by name, for ever or for a time. They stand on a shelf of their queue by
// name, and those that end in a pile by their end. One that is over is not there for any verb, and
// is thrown out by the sweep.

#include "queue/held.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

static fb_str name_of(const void *item) {
    return fb_marks_name(item);
}
static int class_of(const void *item) {
    return ((const fb_held_mark *)item)->linked ? 0 : FB_SHELF_NONE;
}

const fb_shelf_kind fb_marks_shelf = {name_of, class_of};
static const fb_pile_kind by_end = {offsetof(fb_held_mark, place), NULL};

static fb_held_mark *new_mark(fb_machine *machine, fb_held_queue *queue, fb_str name) {
    FB_ASSERT(name.len > 0 && name.len <= UINT32_MAX);
    fb_held_mark *mark = fb_mem_new(sizeof(*mark) + name.len);

    if (mark != NULL) {
        *mark = (fb_held_mark){.queue = queue, .name_len = (uint32_t)name.len};
        memcpy(mark + 1, name.ptr, name.len);
        machine->bytes += sizeof(*mark) + name.len;
    }
    return mark;
}

void fb_marks_free(fb_machine *machine, fb_held_mark *mark) {
    FB_ASSERT(!mark->linked);
    machine->bytes -= sizeof(*mark) + mark->name_len;
    fb_mem_free(mark);
}

int fb_marks_link(fb_held_mark *mark) {
    FB_ASSERT(!mark->linked && !mark->gone);
    if (mark->until_ms > 0) {
        int result = fb_pile_put(&mark->queue->mark_ends, &by_end, mark, mark->until_ms);
        if (result != FB_OK) {
            return result;
        }
    }
    fb_shelf_enter(&mark->queue->marks, fb_shelf_named(fb_marks_name(mark)), 0);
    mark->linked = true;
    return FB_OK;
}

void fb_marks_unlink(fb_held_mark *mark) {
    fb_pile_remove(&mark->queue->mark_ends, &by_end, mark);
    if (mark->linked) {
        fb_shelf_leave(&mark->queue->marks, fb_shelf_named(fb_marks_name(mark)), 0);
        mark->linked = false;
    }
}

// The one of this name, also one that is gone: new where there is none.
static int find_or_make(fb_machine *machine, fb_held_queue *queue, fb_str name,
                        fb_held_mark **found) {
    fb_shelf_key key = fb_shelf_named(name);

    *found = fb_shelf_get(&queue->marks, key);
    if (*found != NULL) {
        return fb_changes_touch_mark(machine, *found);
    }
    int result = fb_changes_expect(machine);
    if (result != FB_OK) {
        return result;
    }
    *found = new_mark(machine, queue, name);
    result = *found != NULL ? fb_shelf_add(&queue->marks, key, *found) : FB_ENOMEM;
    if (result == FB_OK) {
        fb_changes_born_mark(machine, *found);
    } else if (*found != NULL) {
        fb_marks_free(machine, *found);
    }
    return result;
}

int fb_marks_set(fb_machine *machine, fb_held_queue *queue, fb_store_mark mark, int64_t until_ms) {
    fb_held_mark *held = NULL;
    int result = find_or_make(machine, queue, mark.name, &held);

    if (result != FB_OK) {
        return result;
    }
    fb_marks_unlink(held);
    held->gone = false;
    held->value = mark.value;
    held->until_ms = until_ms;
    return fb_marks_link(held);
}

int fb_marks_drop(fb_machine *machine, fb_held_mark *mark) {
    int result = fb_changes_touch_mark(machine, mark);

    if (result == FB_OK) {
        fb_marks_unlink(mark);
        mark->gone = true;
    }
    return result;
}

static bool is_there(const fb_held_mark *mark, int64_t now_ms) {
    return !mark->gone && (mark->until_ms == 0 || mark->until_ms > now_ms);
}

fb_held_mark *fb_marks_get(const fb_held_queue *queue, fb_str name, int64_t now_ms) {
    fb_held_mark *mark = fb_shelf_get(&queue->marks, fb_shelf_named(name));

    return mark != NULL && is_there(mark, now_ms) ? mark : NULL;
}

int fb_marks_sweep(fb_machine *machine, fb_held_queue *queue, int64_t now_ms, uint32_t *most) {
    int result = FB_OK;

    while (*most > 0 && fb_pile_first_key(&queue->mark_ends) <= now_ms && result == FB_OK) {
        result = fb_marks_drop(machine, fb_pile_first(&queue->mark_ends));
        --*most;
    }
    return result;
}

// ---- the verbs

static int list(fb_step *step) {
    const fb_store_request *request = step->request;
    const fb_shelf *shelf = &step->queue->marks;
    fb_str prefix = request->mark, after = request->after_mark;
    bool at_prefix = fb_str_compare(after, prefix) < 0;
    fb_shelf_key key = fb_shelf_named(at_prefix ? prefix : after);
    // The name that is the prefix itself is after none of its own.
    fb_held_mark *mark = at_prefix ? fb_shelf_get(shelf, key) : NULL;
    size_t count = 0, cap = shelf->count * 256 < request->count ? shelf->count * 256
                                                                : request->count;
    fb_store_mark *marks = fb_arena_new(&step->machine->arena, cap * sizeof(*marks));

    if (marks == NULL) {
        return FB_ENOMEM;
    }
    mark = mark != NULL ? mark : fb_shelf_next(shelf, key, FB_SHELF_ANY);
    while (count < cap && mark != NULL && fb_str_starts(fb_marks_name(mark), prefix)) {
        if (is_there(mark, step->now_ms)) {
            marks[count++] = (fb_store_mark){fb_marks_name(mark), mark->value};
        }
        mark = fb_shelf_next(shelf, fb_shelf_named(fb_marks_name(mark)), FB_SHELF_ANY);
    }
    step->reply->marks = marks;
    step->reply->mark_count = count;
    return FB_OK;
}

int fb_marks_step(fb_step *step) {
    const fb_store_request *request = step->request;
    fb_store_mark mark = {request->mark, request->mark_value};
    fb_held_mark *there = NULL;

    if (request->verb == FB_STORE_MARK_LIST) {
        return list(step);
    }
    there = fb_marks_get(step->queue, request->mark, step->now_ms);
    switch (request->verb) {
    case FB_STORE_MARK_SET:
        return fb_marks_set(step->machine, step->queue, mark,
                            request->life_ms > 0 ? step->now_ms + request->life_ms : 0);
    case FB_STORE_MARK_DROP:
        step->reply->value = there != NULL;
        return there != NULL ? fb_marks_drop(step->machine, there) : FB_OK;
    default:
        step->reply->result = there != NULL ? FB_STORE_DONE : FB_STORE_MISS;
        step->reply->value = there != NULL ? (uint64_t)there->value : 0;
        return FB_OK;
    }
}

void fb_marks_check(const fb_held_queue *queue) {
    fb_shelf_place place = {0, 0};
    size_t ends = 0;

    fb_shelf_check(&queue->marks);
    fb_pile_check(&queue->mark_ends, &by_end);
    for (fb_held_mark *mark; (mark = fb_shelf_each(&queue->marks, &place)) != NULL;) {
        FB_ASSERT(mark->queue == queue && mark->linked == !mark->gone);
        FB_ASSERT((mark->place > 0) == (!mark->gone && mark->until_ms > 0));
        ends += mark->place > 0;
    }
    FB_ASSERT(ends == queue->mark_ends.count);
}
