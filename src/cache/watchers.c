// Notices of changes.
//
// Somebody who reads a key and keeps what he read first sees to it that he watches, then reads. Who
// changes the key first changes it, then looks whether anybody watches. One of the two must see the
// other: either the reader finds the new value, or the writer finds the reader. That takes the one
// order of all (seq_cst) for the count of watchers, on both sides; for the writer that is an ordinary
// load on x86, behind the lock that he has just let go of, and a load-acquire elsewhere.
//
// What changes in memory does so in few places, all of them in this layer: a caller's put, edit and
// removal (write.c), a fill (fill.c), an invalidation (invalidate.c), a flushed partition (coherent.c),
// other classes (cache.c); and where the store lets something go by age or for room, which it says by a
// hook of its own. What raises a stamp visits no entry, so nobody can say which keys went: it is told as
// SOME, and who keeps a list of keys asks for the state of each.

#include "cache/watchers.h"

#include "base/check.h"

void fb_watchers_init(fb_watchers *all) {
    atomic_init(&all->count, 0);
    // Who wants to leave must not wait until nobody changes anything.
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    int result = pthread_rwlock_init(&all->lock, &attributes);
    FB_ASSERT(result == 0);
    pthread_rwlockattr_destroy(&attributes);
}

void fb_watchers_release(fb_watchers *all) {
    pthread_rwlock_destroy(&all->lock);
}

static void lock_to_change(fb_watchers *all) {
    int result = pthread_rwlock_wrlock(&all->lock);
    FB_ASSERT(result == 0);
}

static void unlock(fb_watchers *all) {
    int result = pthread_rwlock_unlock(&all->lock);
    FB_ASSERT(result == 0);
}

int fb_watchers_add(fb_watchers *all, fb_change_fn fn, void *arg) {
    FB_ASSERT(fn != NULL);
    int result = FB_EFULL;
    lock_to_change(all);
    uint32_t count = atomic_load(&all->count);
    if (count < FB_CHANGE_WATCHERS_MAX) {
        all->watchers[count] = (fb_watcher){fn, arg};
        atomic_store(&all->count, count + 1);
        result = FB_OK;
    }
    unlock(all);
    return result;
}

void fb_watchers_remove(fb_watchers *all, fb_change_fn fn, void *arg) {
    lock_to_change(all);
    uint32_t count = atomic_load(&all->count);
    for (uint32_t i = 0; i < count; i++) {
        if (all->watchers[i].fn == fn && all->watchers[i].arg == arg) {
            all->watchers[i] = all->watchers[count - 1];
            atomic_store(&all->count, count - 1);
            break;
        }
    }
    unlock(all);
}

static _Thread_local bool calling;

void fb_watchers_call(fb_watchers *all, const fb_change *change) {
    int result = pthread_rwlock_rdlock(&all->lock);
    FB_ASSERT(result == 0);
    uint32_t count = atomic_load(&all->count);
    calling = true;
    for (uint32_t i = 0; i < count; i++) {
        all->watchers[i].fn(all->watchers[i].arg, change);
    }
    calling = false;
    unlock(all);
}

bool fb_watchers_are_called(void) {
    return calling;
}
