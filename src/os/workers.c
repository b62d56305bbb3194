// The pool: one queue, one lock, a handful of threads. What runs here blocks for milliseconds, so a
// cleverer queue would gain nothing.

#include "os/workers.h"

#include "base/check.h"
#include "base/mem.h"
#include "os/thread.h"

typedef struct worker {
    fb_workers *pool;
    uint32_t index;
    pthread_t thread;
} worker;

struct fb_workers {
    pthread_mutex_t lock;
    pthread_cond_t more;
    fb_list queue;
    bool stopping;
    uint32_t count;  // threads started
    worker *threads;
};

static _Thread_local const fb_workers *current;

static void *work(void *arg) {
    worker *self = arg;
    fb_workers *pool = self->pool;
    current = pool;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        if (!fb_list_empty(&pool->queue)) {
            fb_task *task = FB_LIST_OF(pool->queue.next, fb_task, list);
            fb_list_remove(&task->list);
            pthread_mutex_unlock(&pool->lock);
            task->run(task, self->index);
            pthread_mutex_lock(&pool->lock);
        } else if (pool->stopping) {
            break;
        } else {
            pthread_cond_wait(&pool->more, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int fb_workers_new(uint32_t count, fb_workers **out) {
    FB_ASSERT(count > 0);
    fb_workers *pool = fb_mem_zero(1, sizeof *pool);
    if (pool == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    fb_list_init(&pool->queue);
    int result = FB_ENOMEM;
    pool->threads = fb_mem_zero(count, sizeof *pool->threads);
    if (pool->threads == NULL) {
        goto fail;
    }
    while (pool->count < count) {
        worker *next = &pool->threads[pool->count];
        next->pool = pool;
        next->index = pool->count;
        result = fb_thread_start(&next->thread, "forebay-work", work, next);
        if (result < 0) {
            goto fail;
        }
        pool->count++;
    }
    *out = pool;
    return FB_OK;
fail:
    fb_workers_free(pool);
    return result;
}

void fb_workers_free(fb_workers *pool) {
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->count; i++) {
        pthread_join(pool->threads[i].thread, NULL);
    }
    FB_ASSERT(fb_list_empty(&pool->queue));
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    fb_mem_free(pool->threads);
    fb_mem_free(pool);
}

void fb_workers_submit(fb_workers *pool, fb_task *task) {
    FB_ASSERT(task->run != NULL);
    pthread_mutex_lock(&pool->lock);
    FB_ASSERT(!pool->stopping || current == pool);
    fb_list_insert(&pool->queue, &task->list);
    pthread_cond_signal(&pool->more);
    pthread_mutex_unlock(&pool->lock);
}

uint32_t fb_workers_count(const fb_workers *pool) {
    return pool->count;
}

bool fb_workers_is_current(const fb_workers *pool) {
    return current == pool;
}
