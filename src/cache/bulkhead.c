// A counter and one queue for each priority. A source is shared by all that ask it, so a flood of
// warming must not keep users waiting, and users must not wait behind more than they can outlive:
// hence the bound on the queue, and hence the least important goes when a more important one comes.
//
// Invariant: something waits only while running_max run. Starvation of the lower queues is wanted:
// what they hold is worth nothing while users wait.

#include "cache/bulkhead.h"

#include "base/check.h"

static fb_bulkhead_node *first_of(fb_list *queue) {
    return FB_LIST_OF(queue->next, fb_bulkhead_node, list);
}

static void append(fb_bulkhead *bulkhead, fb_bulkhead_node *node) {
    fb_list_insert(&bulkhead->queues[node->priority], &node->list);
    bulkhead->queued++;
}

static void take_out(fb_bulkhead *bulkhead, fb_bulkhead_node *node) {
    fb_list_remove(&node->list);
    bulkhead->queued--;
}

// The newest of the least important that wait and are less important than `priority`, or NULL.
static fb_bulkhead_node *outranked(fb_bulkhead *bulkhead, fb_priority priority) {
    for (int lower = FB_PRIORITY_COUNT - 1; lower > (int)priority; lower--) {
        fb_list *queue = &bulkhead->queues[lower];
        if (!fb_list_empty(queue)) {
            return FB_LIST_OF(queue->prev, fb_bulkhead_node, list);
        }
    }
    return NULL;
}

void fb_bulkhead_init(fb_bulkhead *bulkhead, uint32_t running_max, uint32_t queue_max) {
    FB_ASSERT(running_max > 0);
    *bulkhead = (fb_bulkhead){.running_max = running_max, .queue_max = queue_max};
    for (int i = 0; i < FB_PRIORITY_COUNT; i++) {
        fb_list_init(&bulkhead->queues[i]);
    }
}

int fb_bulkhead_enter(fb_bulkhead *bulkhead, fb_bulkhead_node *node, fb_priority priority,
                      fb_bulkhead_node **displaced) {
    FB_ASSERT(priority < FB_PRIORITY_COUNT);
    *displaced = NULL;
    fb_list_init(&node->list);
    node->priority = priority;
    if (bulkhead->running < bulkhead->running_max) {
        bulkhead->running++;
        return FB_OK;
    }
    if (bulkhead->queued >= bulkhead->queue_max) {
        fb_bulkhead_node *out = outranked(bulkhead, priority);
        if (out == NULL) {
            return FB_EOVERLOAD;
        }
        take_out(bulkhead, out);
        *displaced = out;
    }
    append(bulkhead, node);
    return FB_PENDING;
}

fb_bulkhead_node *fb_bulkhead_leave(fb_bulkhead *bulkhead) {
    FB_ASSERT(bulkhead->running > 0);
    bulkhead->running--;
    for (int i = 0; i < FB_PRIORITY_COUNT; i++) {
        if (!fb_list_empty(&bulkhead->queues[i])) {
            fb_bulkhead_node *next = first_of(&bulkhead->queues[i]);
            take_out(bulkhead, next);
            bulkhead->running++;
            return next;
        }
    }
    return NULL;
}
