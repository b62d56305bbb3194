// The load-once registry: a map of names under one lock, and one condition for all who wait.
//
// A name is MAKING while its maker runs, outside the lock; MADE for ever after. A failed attempt is
// numbered, so that those who waited for that attempt learn its result, and only the next to ask
// tries again. A name that nobody made, and nobody waits for, is forgotten.

#include <forebay/registry.h>

#include <pthread.h>

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

typedef struct entry {
    fb_str name;
    enum { IDLE, MAKING, MADE } state;
    pthread_t maker;
    uint64_t attempt;  // failed attempts so far
    int result;        // of the last failed one
    uint32_t waiters;
    void *object;
    fb_drop_fn drop;
} entry;

struct fb_registry {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fb_map entries;
};

int fb_registry_new(fb_registry **out) {
    fb_registry *registry = fb_mem_zero(1, sizeof *registry);
    if (registry == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_init(&registry->lock, NULL);
    pthread_cond_init(&registry->changed, NULL);
    *out = registry;
    return FB_OK;
}

static void free_entry(entry *one) {
    if (one->state == MADE && one->drop != NULL) {
        one->drop(one->object);
    }
    fb_mem_free((char *)one->name.ptr);
    fb_mem_free(one);
}

void fb_registry_free(fb_registry *registry) {
    if (registry == NULL) {
        return;
    }
    size_t place = 0;
    for (entry *one; (one = fb_map_next(&registry->entries, &place)) != NULL;) {
        FB_ASSERT(one->state != MAKING);
        free_entry(one);
    }
    fb_map_release(&registry->entries);
    pthread_cond_destroy(&registry->changed);
    pthread_mutex_destroy(&registry->lock);
    fb_mem_free(registry);
}

static entry *find_or_add(fb_registry *registry, fb_str name) {
    entry *one = fb_map_get(&registry->entries, name);
    if (one != NULL) {
        return one;
    }
    one = fb_mem_zero(1, sizeof *one);
    char *text = one != NULL ? fb_mem_text(name) : NULL;
    if (text == NULL || fb_map_put(&registry->entries, fb_str_make(text, name.len), one) < 0) {
        fb_mem_free(text);
        fb_mem_free(one);
        return NULL;
    }
    one->name = fb_str_make(text, name.len);
    return one;
}

static void forget_unmade(fb_registry *registry, entry *one) {
    if (one->state == IDLE && one->waiters == 0) {
        (void)fb_map_remove(&registry->entries, one->name);
        free_entry(one);
    }
}

// Runs the maker outside the lock, which is held on entry and on return.
static int make_object(fb_registry *registry, entry *one, fb_make_fn make, void *arg,
                       void **object) {
    one->state = MAKING;
    one->maker = pthread_self();
    pthread_mutex_unlock(&registry->lock);
    int result = make(arg, one->name, object);
    pthread_mutex_lock(&registry->lock);
    if (result == FB_OK) {
        one->state = MADE;
        one->object = *object;
    } else {
        result = result < 0 ? result : FB_EINVAL;
        *object = NULL;
        one->state = IDLE;
        one->attempt++;
        one->result = result;
    }
    pthread_cond_broadcast(&registry->changed);
    forget_unmade(registry, one);
    return result;
}

static int wait_for_maker(fb_registry *registry, entry *one, void **object) {
    uint64_t attempt = one->attempt;
    one->waiters++;
    while (one->state == MAKING && one->attempt == attempt) {
        pthread_cond_wait(&registry->changed, &registry->lock);
    }
    one->waiters--;
    // An attempt that failed is told to all who waited for it, even where the next has begun
    // already.
    int result = one->attempt != attempt ? one->result : FB_OK;
    if (result == FB_OK) {
        *object = one->object;
    }
    pthread_cond_broadcast(&registry->changed);  // who wants to forget it waits for us
    forget_unmade(registry, one);
    return result;
}

int fb_registry_get(fb_registry *registry, fb_str name, fb_make_fn make, void *arg, fb_drop_fn drop,
                    void **object) {
    *object = NULL;
    pthread_mutex_lock(&registry->lock);
    entry *one = find_or_add(registry, name);
    int result = one != NULL ? FB_OK : FB_ENOMEM;
    if (result == FB_OK && one->state == MAKING) {
        bool own = pthread_equal(one->maker, pthread_self()) != 0;
        result = own ? FB_EINVAL : wait_for_maker(registry, one, object);
    } else if (result == FB_OK && one->state == IDLE) {
        one->drop = drop;
        result = make_object(registry, one, make, arg, object);
    } else if (result == FB_OK) {
        *object = one->object;
    }
    pthread_mutex_unlock(&registry->lock);
    return result;
}

int fb_registry_forget(fb_registry *registry, fb_str name) {
    pthread_mutex_lock(&registry->lock);
    entry *one = fb_map_get(&registry->entries, name);
    // Who waits for it has not got it yet; and whoever makes it may not be waited for by himself.
    while (one != NULL && (one->state == MAKING || one->waiters > 0) &&
           !(one->state == MAKING && pthread_equal(one->maker, pthread_self()))) {
        pthread_cond_wait(&registry->changed, &registry->lock);
        one = fb_map_get(&registry->entries, name);
    }
    bool there = one != NULL && one->state == MADE;
    if (there) {
        (void)fb_map_remove(&registry->entries, name);
    }
    pthread_mutex_unlock(&registry->lock);
    if (there) {
        free_entry(one);
    }
    return there ? FB_OK : FB_MISS;
}
