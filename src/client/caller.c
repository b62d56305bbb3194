// A fork copies the memory as it is at that moment, and of all threads only the one that forked. A
// lock that another thread held stays locked in the child for ever, and what it guarded stays as it
// was left. So before each fork every lock of ours is taken, in one order: first that of the list,
// then those on it. They are held for memory work alone, never while a socket is waited for, so a
// fork waits for microseconds.
//
// Numbers: the child's thread is a copy of the parent's, its generator too. All workers that a
// server forks would draw the same numbers, so the child begins anew.

#include "client/caller.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/check.h"
#include "client/clock.h"

__thread fb_caller fb_caller_own;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static fb_list all = {&all, &all};

void fb_caller_init(fb_caller *caller) {
    static _Atomic uint32_t count;
    uint32_t number = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    uint64_t seed = (uint64_t)fb_now_ns() ^ (uint64_t)getpid() << 40 ^ (uintptr_t)caller;
    fb_rng_init(&caller->rng, seed + number);
    caller->stripe = number + (uint32_t)getpid();
    caller->ready = true;
}

static void lock_all(void) {
    (void)pthread_mutex_lock(&all_lock);
    FB_LIST_EACH(node, &all) {
        fb_forked_lock(FB_LIST_OF(node, fb_forked, list));
    }
}

static void unlock_all(void) {
    FB_LIST_EACH(node, &all) {
        fb_forked_unlock(FB_LIST_OF(node, fb_forked, list));
    }
    (void)pthread_mutex_unlock(&all_lock);
}

static void begin_child(void) {
    fb_caller_own.ready = false;
    FB_LIST_EACH(node, &all) {
        fb_forked *forked = FB_LIST_OF(node, fb_forked, list);
        if (forked->in_child != NULL) {
            forked->in_child(forked);
        }
    }
    unlock_all();
}

static void watch(void) {
    // It fails for lack of memory alone; then a child of a program with threads is not cared for.
    FB_IGNORE(pthread_atfork(lock_all, unlock_all, begin_child) != 0);
}

void fb_forked_watch(void) {
    (void)pthread_once(&once, watch);
}

int fb_forked_init(fb_forked *forked, void (*in_child)(fb_forked *forked)) {
    fb_forked_watch();
    forked->in_child = in_child;
    if (pthread_mutex_init(&forked->lock, NULL) != 0) {
        return FB_ENOMEM;
    }
    (void)pthread_mutex_lock(&all_lock);
    fb_list_insert(&all, &forked->list);
    (void)pthread_mutex_unlock(&all_lock);
    return FB_OK;
}

void fb_forked_release(fb_forked *forked) {
    (void)pthread_mutex_lock(&all_lock);
    fb_list_remove(&forked->list);
    (void)pthread_mutex_unlock(&all_lock);
    (void)pthread_mutex_destroy(&forked->lock);
}
