// Callers that wait for an answer of another thread: a thread of the embedder's sleeps on a
// condition variable; a fiber gives its loop's thread back, and the answer comes to that loop as a
// post.
//
// Nothing is drained on a fiber's stack: what is drained calls others' functions, and one that
// waits would stop the lane. So a fiber hands everything over by a post, also to the lane it runs
// on.

#include "engine/engine.h"

#include "base/check.h"

bool fb_engine_may_wait(const fb_engine *engine) {
    return fb_fiber_here() != NULL || fb_engine_here(engine) == NULL;
}

void fb_sleeper_begin(fb_sleeper *sleeper, uint32_t left) {
    sleeper->awake = false;
    sleeper->fiber = fb_fiber_here();
    sleeper->loop = fb_loop_here();
    atomic_init(&sleeper->left, left);
    if (sleeper->fiber == NULL) {
        pthread_mutex_init(&sleeper->lock, NULL);
        pthread_cond_init(&sleeper->wake, NULL);
    }
}

void fb_sleeper_wait(fb_sleeper *sleeper) {
    if (sleeper->fiber != NULL) {
        while (!sleeper->awake) {
            fb_fiber_wait();
        }
        return;
    }
    pthread_mutex_lock(&sleeper->lock);
    while (!sleeper->awake) {
        pthread_cond_wait(&sleeper->wake, &sleeper->lock);
    }
    pthread_mutex_unlock(&sleeper->lock);
    pthread_cond_destroy(&sleeper->wake);
    pthread_mutex_destroy(&sleeper->lock);
}

static void go_on(fb_post *post) {
    fb_sleeper *sleeper = FB_LIST_OF(post, fb_sleeper, post);
    sleeper->awake = true;
    fb_fiber_resume(sleeper->fiber);
}

void fb_sleeper_wake(fb_sleeper *sleeper) {
    if (atomic_fetch_sub(&sleeper->left, 1) > 1) {
        return;
    }
    if (sleeper->fiber != NULL) {
        sleeper->post.fn = go_on;
        fb_loop_submit(sleeper->loop, &sleeper->post);
        return;
    }
    pthread_mutex_lock(&sleeper->lock);
    sleeper->awake = true;
    pthread_cond_signal(&sleeper->wake);
    pthread_mutex_unlock(&sleeper->lock);
}

int fb_run(fb_engine *engine, void (*fn)(void *arg), void *arg) {
    fb_engine_ours(engine);
    fb_lane *lane = fb_engine_here(engine);
    if (lane == NULL || lane->fibers == NULL || lane->ended || fb_fiber_here() != NULL) {
        fn(arg);
        return FB_OK;
    }
    return fb_fiber_run(lane->fibers, fn, arg);
}
