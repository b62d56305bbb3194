// A ring of what is waited for beside a buffer of what is to be sent.
//
// A command's bytes are needed until the socket has taken them, its place in the ring until its
// reply has come. They are tied together by positions: `start` counts bytes from the first one ever
// queued, so "has a byte of it gone out" is one comparison, and sending need not touch the ring.
//
// Deadlines cost one comparison a command: only the soonest is known, as a bound that may be too
// early (its command may be answered by then). When its time comes, one walk over the ring finds
// what is over and the next bound. Deadlines of one connection are alike, so such a walk comes once
// in that time, over what then waits; a heap would pay for each command, hung or not.
//
// Invariants:
//  - starts do not fall along the ring, and the last command's bytes end where `out` ends.
//  - a command whose first byte lies before sent + held has gone out; all before it too.

#include "redis/conn_queue.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"

enum {
    RING_CAP_MIN = 64,
    RING_CAP_KEPT = 4096,       // larger ones are freed when nothing waits
    OUT_CAP_KEPT = 1024 * 1024,  // the same of bytes
    OUT_USED_MAX = 64 * 1024    // bytes done with that may stay before those to be sent
};
#define NEVER_OUT UINT64_MAX  // start of what is answered, and was not sent

void fb_conn_queue_init(fb_conn_queue *queue) {
    *queue = (fb_conn_queue){.soonest_ns = FB_CONN_NEVER};
}

void fb_conn_queue_release(fb_conn_queue *queue) {
    fb_mem_free(queue->ring);
    fb_buf_release(&queue->out);
    fb_conn_queue_init(queue);
}

static uint64_t end_of_all(const fb_conn_queue *queue) {
    return queue->sent + (queue->out.len - queue->used);
}

static int grow(fb_conn_queue *queue) {
    size_t cap = queue->cap == 0 ? RING_CAP_MIN : 2 * queue->cap;
    fb_conn_pending *ring = fb_mem_new(cap * sizeof *ring);
    if (ring == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < queue->count; i++) {
        ring[i] = *fb_conn_queue_at(queue, i);
    }
    fb_mem_free(queue->ring);
    queue->ring = ring;
    queue->cap = cap;
    queue->head = 0;
    return FB_OK;
}

static void shrink(fb_conn_queue *queue) {
    if (queue->count == 0 && queue->cap > RING_CAP_KEPT) {
        fb_mem_free(queue->ring);
        queue->ring = NULL;
        queue->cap = 0;
        queue->head = 0;
    }
}

// Forgets what is done with where that costs nothing, or is more than what would be moved.
static void tidy_out(fb_conn_queue *queue) {
    if (queue->used == queue->out.len) {
        queue->used = 0;
        queue->out.len = 0;
        if (queue->out.cap > OUT_CAP_KEPT) {
            fb_buf_release(&queue->out);
        }
    } else if (queue->used > OUT_USED_MAX && queue->used > queue->out.len / 2) {
        fb_buf_consume(&queue->out, queue->used);
        queue->used = 0;
    }
}

int fb_conn_queue_add(fb_conn_queue *queue, fb_str command, const fb_conn_pending *pending) {
    FB_ASSERT(command.len > 0 && pending->replies > 0 && pending->fn != NULL);
    size_t unsent = queue->out.len - queue->used;
    size_t room = unsent < FB_CONN_UNSENT_MAX ? FB_CONN_UNSENT_MAX - unsent : 0;
    if (queue->count >= FB_CONN_WAITING_MAX || (unsent > 0 && command.len > room)) {
        return FB_EOVERLOAD;
    }
    int result = queue->count == queue->cap ? grow(queue) : FB_OK;
    uint64_t start = end_of_all(queue);
    if (result == FB_OK) {
        result = fb_buf_append(&queue->out, command);
    }
    if (result != FB_OK) {
        return result;
    }
    fb_conn_pending *last = fb_conn_queue_at(queue, queue->count++);
    *last = *pending;
    last->start = start;
    if (last->deadline_ns < queue->soonest_ns) {
        queue->soonest_ns = last->deadline_ns;
    }
    return FB_OK;
}

void fb_conn_queue_sent(fb_conn_queue *queue, size_t len) {
    FB_ASSERT(len <= queue->out.len - queue->used);
    queue->used += len;
    queue->sent += len;
    queue->held = 0;
    tidy_out(queue);
}

size_t fb_conn_queue_cut(fb_conn_queue *queue) {
    size_t count = 0;
    while (count < queue->count && fb_conn_queue_is_out(queue, fb_conn_queue_at(queue, count))) {
        count++;
    }
    uint64_t end =
        count < queue->count ? fb_conn_queue_at(queue, count)->start : end_of_all(queue);
    if (end > queue->sent && FB_RULE(conn_cut)) {
        fb_conn_queue_sent(queue, (size_t)(end - queue->sent));
    }
    queue->held = 0;
    return count;
}

size_t fb_conn_queue_drop(fb_conn_queue *queue) {
    for (size_t i = 0; i < queue->count; i++) {
        fb_conn_queue_at(queue, i)->start = NEVER_OUT;
    }
    fb_conn_queue_sent(queue, queue->out.len - queue->used);
    return queue->count;
}

// The next bytes to be sent are not to be sent any more. Deadlines of what waits for a connection
// mostly end in order, so in an outage nothing is moved but this.
static void pass_over(fb_conn_queue *queue, fb_conn_pending *one, size_t len) {
    queue->used += len;
    queue->sent += len;
    one->start = NEVER_OUT;
}

bool fb_conn_queue_expire(fb_conn_queue *queue, int64_t now_ns) {
    if (now_ns < queue->soonest_ns) {
        return false;
    }
    bool any = false;
    uint64_t removed = 0;
    queue->soonest_ns = FB_CONN_NEVER;
    for (size_t i = 0; i < queue->count; i++) {
        fb_conn_pending *one = fb_conn_queue_at(queue, i);
        bool is_out = fb_conn_queue_is_out(queue, one);
        uint64_t end =
            i + 1 < queue->count ? fb_conn_queue_at(queue, i + 1)->start : end_of_all(queue);
        char *bytes = is_out ? NULL : queue->out.ptr + queue->used + (one->start - queue->sent);
        size_t len = (size_t)(end - one->start);
        bool goes_back = !is_out && FB_RULE(conn_taken_back);
        one->overdue = one->fn != NULL && one->deadline_ns <= now_ns;
        one->removed = one->overdue && (!is_out || !FB_RULE(conn_owed));
        any = any || one->overdue;
        if (!is_out) {
            one->start -= removed;
        }
        if (one->removed && goes_back && one->start == queue->sent) {
            pass_over(queue, one, len);
        } else if (one->removed && goes_back) {
            removed += len;
        } else if (removed > 0) {
            memmove(bytes - removed, bytes, len);
        }
        if (one->fn != NULL && !one->overdue && one->deadline_ns < queue->soonest_ns) {
            queue->soonest_ns = one->deadline_ns;
        }
    }
    queue->out.len -= (size_t)removed;
    shrink(queue);
    return any;
}

void fb_conn_queue_sweep(fb_conn_queue *queue) {
    size_t kept = 0;
    for (size_t i = 0; i < queue->count; i++) {
        if (!fb_conn_queue_at(queue, i)->removed) {
            *fb_conn_queue_at(queue, kept++) = *fb_conn_queue_at(queue, i);
        }
    }
    queue->count = kept;
    shrink(queue);
    tidy_out(queue);
}
