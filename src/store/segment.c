// The log: a record is appended to the open segment of its queue and never moves but by reclaiming;
// a segment whose records are all dead is free at once. Bytes of dead records stay until their
// segment is reclaimed or compacted.
//
// A queue is a list of sealed segments and runs from the oldest to the newest; its open segment is
// in no list and counts as the newest. One spare segment per shard makes sure that reclaiming can
// always move the records that deserve it, also when the limit is reached.

#include "store/segment.h"

#include "store/budget.h"

static fb_queue *queue_of(fb_shard *shard, const fb_segment *segment) {
    return &shard->queues[segment->queue];
}

static void count_bytes(fb_shard *shard, fb_queue *queue, int64_t bytes) {
    queue->bytes += (uint64_t)bytes;
    uint64_t total = atomic_load_explicit(&shard->bytes, memory_order_relaxed);
    atomic_store_explicit(&shard->bytes, total + (uint64_t)bytes, memory_order_relaxed);
}

static void adopt(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t id) {
    fb_segment *segment = fb_segment_at(store, id);
    segment->shard = (uint16_t)(shard - store->shards);
    segment->queue = (uint8_t)queue;
    segment->used = 0;
    segment->live = 0;
    segment->largest = 0;
    segment->due_ns = INT64_MAX;
    count_bytes(shard, &shard->queues[queue], segment->resident);
}

void fb_segment_link(fb_store *store, fb_shard *shard, uint32_t id, uint32_t after) {
    fb_segment *segment = fb_segment_at(store, id);
    fb_queue *queue = queue_of(shard, segment);
    uint32_t next = after != 0 ? fb_segment_at(store, after)->next : queue->oldest;
    segment->prev = after;
    segment->next = next;
    if (after != 0) {
        fb_segment_at(store, after)->next = id;
    } else {
        queue->oldest = id;
    }
    if (next != 0) {
        fb_segment_at(store, next)->prev = id;
    } else {
        queue->newest = id;
    }
}

void fb_segment_unlink(fb_store *store, fb_shard *shard, uint32_t id) {
    fb_segment *segment = fb_segment_at(store, id);
    fb_queue *queue = queue_of(shard, segment);
    fb_cursor *cursors[] = {&shard->due, &shard->turn, &shard->stale, &shard->sparse};
    for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
        if (cursors[i]->id == id) {
            cursors[i]->id = segment->next;
        }
    }
    if (segment->prev != 0) {
        fb_segment_at(store, segment->prev)->next = segment->next;
    } else {
        queue->oldest = segment->next;
    }
    if (segment->next != 0) {
        fb_segment_at(store, segment->next)->prev = segment->prev;
    } else {
        queue->newest = segment->prev;
    }
    segment->next = 0;
    segment->prev = 0;
}

void fb_segment_seal(fb_store *store, fb_shard *shard, fb_queue_id queue) {
    uint32_t id = shard->queues[queue].open;
    if (id == 0) {
        return;
    }
    shard->queues[queue].open = 0;
    fb_segment_at(store, id)->state = FB_SEGMENT_SEALED;
    fb_segment_link(store, shard, id, shard->queues[queue].newest);
    fb_segment_tidy(store, shard, id);
}

void fb_segment_open(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t id) {
    fb_segment_seal(store, shard, queue);
    adopt(store, shard, queue, id);
    fb_segment_at(store, id)->state = FB_SEGMENT_OPEN;
    shard->queues[queue].open = id;
}

void fb_segment_add_run(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t id) {
    adopt(store, shard, queue, id);
    fb_segment_link(store, shard, id, shard->queues[queue].newest);
}

uint64_t fb_segment_reserve(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t size) {
    uint32_t id = shard->queues[queue].open;
    if (id == 0 || fb_segment_at(store, id)->used + size > store->segment_size) {
        return 0;
    }
    return fb_segment_offset(store, id) + fb_segment_at(store, id)->used;
}

void fb_segment_due(fb_store *store, uint64_t offset, int64_t expires_ns) {
    fb_segment *segment = fb_segment_at(store, fb_segment_of(store, offset));
    if (expires_ns != 0 && expires_ns < segment->due_ns) {
        segment->due_ns = expires_ns;
    }
}

// A run keeps whole pages, and no other record can have the rest of them.
static uint64_t weight(const fb_segment *segment, uint32_t size) {
    return segment->state == FB_SEGMENT_RUN ? segment->resident : size;
}

void fb_segment_settle(fb_store *store, fb_shard *shard, uint64_t offset) {
    fb_segment *segment = fb_segment_at(store, fb_segment_of(store, offset));
    const fb_record *record = fb_record_at(store, offset);
    uint32_t size = fb_record_size(record);
    segment->used += size;
    segment->live += size;
    if (size > segment->largest) {
        segment->largest = size;
    }
    shard->live_bytes += weight(segment, size);
    fb_segment_due(store, offset, fb_record_expires(record));
}

void fb_segment_kill(fb_store *store, fb_shard *shard, uint64_t offset) {
    fb_segment *segment = fb_segment_at(store, fb_segment_of(store, offset));
    fb_record *record = fb_record_at(store, offset);
    uint32_t size = fb_record_size(record);
    FB_ASSERT(!fb_record_dead(record) && segment->live >= size);
    fb_record_kill(record);
    segment->live -= size;
    shard->live_bytes -= weight(segment, size);
}

void fb_segment_retire(fb_store *store, fb_shard *shard, uint32_t id) {
    fb_segment *segment = fb_segment_at(store, id);
    int64_t bytes = segment->resident;
    count_bytes(shard, queue_of(shard, segment), -bytes);
    if (shard->spare == 0 && segment->state != FB_SEGMENT_RUN) {
        segment->state = FB_SEGMENT_SPARE;
        shard->spare = id;
    } else {
        fb_budget_give(store, id);
    }
}

void fb_segment_free(fb_store *store, fb_shard *shard, uint32_t id) {
    fb_segment *segment = fb_segment_at(store, id);
    if (segment->state == FB_SEGMENT_OPEN) {
        shard->queues[segment->queue].open = 0;
    } else {
        fb_segment_unlink(store, shard, id);
    }
    fb_segment_retire(store, shard, id);
}

void fb_segment_tidy(fb_store *store, fb_shard *shard, uint32_t id) {
    fb_segment *segment = fb_segment_at(store, id);
    if (segment->live > 0 || id == shard->pinned) {
        return;
    }
    if (segment->state == FB_SEGMENT_OPEN) {
        segment->used = 0;
        segment->largest = 0;
        segment->due_ns = INT64_MAX;
    } else {
        fb_segment_free(store, shard, id);
    }
}

void fb_segment_promote(fb_store *store, fb_shard *shard, uint32_t id) {
    fb_segment *segment = fb_segment_at(store, id);
    int64_t bytes = segment->resident;
    fb_segment_unlink(store, shard, id);
    count_bytes(shard, queue_of(shard, segment), -bytes);
    segment->queue = FB_MAIN;
    count_bytes(shard, queue_of(shard, segment), bytes);
    fb_segment_link(store, shard, id, shard->queues[FB_MAIN].newest);
}

void fb_segment_clear(fb_store *store, fb_shard *shard) {
    FB_ASSERT(shard->pinned == 0);
    for (unsigned i = 0; i < FB_QUEUES; i++) {
        fb_queue *queue = &shard->queues[i];
        uint64_t bytes = queue->bytes;
        if (queue->open != 0) {
            bytes -= fb_segment_at(store, queue->open)->resident;
            fb_segment_retire(store, shard, queue->open);
        }
        if (queue->oldest != 0) {
            fb_budget_give_list(store, queue->oldest, queue->newest, bytes);
        }
        *queue = (fb_queue){0};
    }
    atomic_store_explicit(&shard->bytes, 0, memory_order_relaxed);
    shard->live_bytes = 0;
    shard->due = shard->turn = shard->stale = shard->sparse = (fb_cursor){0};
}

uint32_t fb_segment_step(const fb_store *store, const fb_shard *shard, fb_cursor *cursor) {
    while (cursor->queue < FB_QUEUES) {
        const fb_queue *queue = &shard->queues[cursor->queue];
        uint32_t id = cursor->id;
        if (!cursor->listed) {
            id = queue->open;
            *cursor = (fb_cursor){queue->oldest, cursor->queue, true};
        } else if (id != 0) {
            cursor->id = fb_segment_at(store, id)->next;
        } else {
            *cursor = (fb_cursor){0, (uint8_t)(cursor->queue + 1), false};
        }
        if (id != 0) {
            return id;
        }
    }
    *cursor = (fb_cursor){0};
    return 0;
}

uint64_t fb_segment_walk(const fb_store *store, uint32_t id, uint32_t *at) {
    const fb_segment *segment = fb_segment_at(store, id);
    uint64_t start = fb_segment_offset(store, id);
    while (*at < segment->used) {
        uint64_t offset = start + *at;
        const fb_record *record = fb_record_at(store, offset);
        *at += fb_record_size(record);
        if (!fb_record_dead(record)) {
            return offset;
        }
    }
    return 0;
}
