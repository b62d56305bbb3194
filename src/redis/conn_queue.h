// redis/conn_queue.h -- what a connection owes its callers: commands in the order they came, the
// bytes of those that are not sent, and when the next one's time is over. No I/O, clock or calls.
//
// Threads: one at a time. Zero-initialise with fb_conn_queue_init(); release it.

#ifndef FB_REDIS_CONN_QUEUE_H
#define FB_REDIS_CONN_QUEUE_H

#include "redis/conn.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FB_CONN_NEVER INT64_MAX

typedef struct fb_conn_pending {
    fb_conn_reply_fn fn;  // NULL: answered before the reply came, which will be passed over
    void *arg;
    int64_t deadline_ns;
    uint64_t start;    // of its bytes, counted from the first byte ever queued
    uint32_t replies;  // that are still to come
    bool by_push;      // the reply is a push message
    bool overdue;      // its time is over: to be answered
    bool removed;      // its bytes are gone: to be taken out
} fb_conn_pending;

typedef struct fb_conn_queue {
    fb_conn_pending *ring;
    size_t cap, head, count;  // cap is a power of two
    fb_buf out;
    size_t used;         // bytes of `out` that are done with
    uint64_t sent;       // position of the first byte that is not
    size_t held;         // bytes behind `sent` that TLS may have sent a part of
    int64_t soonest_ns;  // no command's time is over before it
} fb_conn_queue;

void fb_conn_queue_init(fb_conn_queue *queue);
void fb_conn_queue_release(fb_conn_queue *queue);

// `pending->start` is filled in. FB_EOVERLOAD, FB_ENOMEM.
FB_CHECK_RESULT int fb_conn_queue_add(fb_conn_queue *queue, fb_str command,
                                      const fb_conn_pending *pending);

// ---- sending

static inline fb_str fb_conn_queue_unsent(const fb_conn_queue *queue) {
    fb_str bytes = {queue->out.ptr + queue->used, queue->out.len - queue->used};
    return bytes;
}
void fb_conn_queue_sent(fb_conn_queue *queue, size_t len);

// ---- what waits, oldest first

static inline fb_conn_pending *fb_conn_queue_at(const fb_conn_queue *queue, size_t index) {
    return &queue->ring[(queue->head + index) & (queue->cap - 1)];
}
// Whether a byte of it may have gone out.
static inline bool fb_conn_queue_is_out(const fb_conn_queue *queue,
                                        const fb_conn_pending *pending) {
    return pending->start < queue->sent + queue->held;
}
// The oldest one if it went out, else NULL.
static inline fb_conn_pending *fb_conn_queue_owed(const fb_conn_queue *queue) {
    if (queue->count == 0) {
        return NULL;
    }
    fb_conn_pending *first = &queue->ring[queue->head];
    return fb_conn_queue_is_out(queue, first) ? first : NULL;
}
static inline void fb_conn_queue_pop(fb_conn_queue *queue) {
    queue->head = (queue->head + 1) & (queue->cap - 1);
    queue->count--;
}

// The link is lost: what is left of a command that went out in part is dropped. How many have gone
// out; their bytes do not count any more, so pop that many.
FB_CHECK_RESULT size_t fb_conn_queue_cut(fb_conn_queue *queue);
// Drops the bytes of all that is not sent. How many commands there are; pop that many.
FB_CHECK_RESULT size_t fb_conn_queue_drop(fb_conn_queue *queue);

// Marks what has no answer at now_ns, of all that is in the queue: whether there is any. The bytes
// of those that have not gone out are taken out. fb_conn_queue_sweep() takes these commands out
// when they are answered.
FB_CHECK_RESULT bool fb_conn_queue_expire(fb_conn_queue *queue, int64_t now_ns);
void fb_conn_queue_sweep(fb_conn_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
