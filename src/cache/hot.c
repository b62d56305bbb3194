// `capacity` counters, each with a key. A key that has one raises it; one that has none takes over
// the lowest, which keeps its count and adds one: so a count is too high by at most what the lowest
// was, and every key read more than (all notes / capacity) times is among them.
//
// Space-Saving never forgets: yesterday's favourite stays on top. So after every 16 notes a counter
// all counts are halved, which keeps their order (and with it the heap) and lets new keys rise.
//
// The lowest counter is the first of a heap. Where the lock is taken the note is dropped: readers
// must not wait for a statistic.

#include "cache/hot.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

enum { AGE_AFTER = 16 };  // notes for each counter

typedef struct counter {
    fb_heap_node heap;  // by count
    fb_str key;         // its bytes follow the struct
    size_t key_cap;
} counter;

struct fb_hot {
    pthread_mutex_t lock;
    uint32_t capacity;
    uint64_t notes;
    fb_map by_key;
    fb_heap by_count;
};

int fb_hot_new(uint32_t capacity, uint64_t seed, fb_hot **hot) {
    *hot = fb_mem_zero(1, sizeof **hot);
    if (*hot == NULL) {
        return FB_ENOMEM;
    }
    (*hot)->capacity = capacity;
    (*hot)->by_key.seed = seed;
    pthread_mutex_init(&(*hot)->lock, NULL);
    return FB_OK;
}

static void forget_all(fb_hot *hot) {
    fb_heap_release(&hot->by_count);
    size_t place = 0;
    for (counter *one; (one = fb_map_next(&hot->by_key, &place)) != NULL;) {
        fb_mem_free(one);
    }
    fb_map_release(&hot->by_key);
}

void fb_hot_free(fb_hot *hot) {
    if (hot == NULL) {
        return;
    }
    forget_all(hot);
    pthread_mutex_destroy(&hot->lock);
    fb_mem_free(hot);
}

void fb_hot_grow(fb_hot *hot, uint32_t capacity) {
    pthread_mutex_lock(&hot->lock);
    hot->capacity = capacity > hot->capacity ? capacity : hot->capacity;
    pthread_mutex_unlock(&hot->lock);
}

void fb_hot_reset(fb_hot *hot) {
    pthread_mutex_lock(&hot->lock);
    forget_all(hot);
    hot->notes = 0;
    pthread_mutex_unlock(&hot->lock);
}

static counter *make_counter(fb_str key) {
    counter *made = fb_mem_zero(1, sizeof *made + key.len);
    if (made != NULL) {
        made->key = fb_str_make((char *)(made + 1), key.len);
        made->key_cap = key.len;
        memcpy(made + 1, key.ptr, key.len);
    }
    return made;
}

// Puts a counter under its key and count; without memory it is dropped.
static void enter(fb_hot *hot, counter *one, int64_t count) {
    if (fb_map_put(&hot->by_key, one->key, one) < 0) {
        fb_mem_free(one);
    } else if (fb_heap_put(&hot->by_count, &one->heap, count) < 0) {
        (void)fb_map_remove(&hot->by_key, one->key);
        fb_mem_free(one);
    }
}

static void take_over(fb_hot *hot, fb_str key) {
    counter *lowest = FB_LIST_OF(fb_heap_first(&hot->by_count), counter, heap);
    int64_t count = lowest->heap.key + 1;
    (void)fb_map_remove(&hot->by_key, lowest->key);
    fb_heap_remove(&hot->by_count, &lowest->heap);
    if (key.len <= lowest->key_cap) {
        memcpy(lowest + 1, key.ptr, key.len);
        lowest->key.len = key.len;
        enter(hot, lowest, count);
        return;
    }
    fb_mem_free(lowest);
    counter *made = make_counter(key);
    if (made != NULL) {
        enter(hot, made, count);
    }
}

static void age(fb_hot *hot) {
    for (size_t i = 0; i < hot->by_count.count; i++) {
        hot->by_count.nodes[i]->key /= 2;
    }
}

void fb_hot_note(fb_hot *hot, fb_str key) {
    if (key.len == 0 || key.len > FB_HOT_KEY_MAX || pthread_mutex_trylock(&hot->lock) != 0) {
        return;
    }
    counter *known = fb_map_get(&hot->by_key, key);
    if (known != NULL) {
        // Moving a node within the heap needs no memory.
        int moved = fb_heap_put(&hot->by_count, &known->heap, known->heap.key + 1);
        (void)moved;
    } else if (hot->by_count.count >= hot->capacity) {
        take_over(hot, key);
    } else {
        counter *made = make_counter(key);
        if (made != NULL) {
            enter(hot, made, 1);
        }
    }
    if (++hot->notes % ((uint64_t)hot->capacity * AGE_AFTER) == 0) {
        age(hot);
    }
    pthread_mutex_unlock(&hot->lock);
}

// ---- reading

typedef struct top {
    counter **counters;  // copies
    size_t count;
} top;

static int more_read(const void *a, const void *b) {
    const counter *left = *(counter *const *)a;
    const counter *right = *(counter *const *)b;
    if (left->heap.key != right->heap.key) {
        return left->heap.key < right->heap.key ? 1 : -1;
    }
    return fb_str_compare(left->key, right->key);
}

static void copy_all(fb_hot *hot, top *copy) {
    *copy = (top){0};
    pthread_mutex_lock(&hot->lock);
    copy->counters = fb_mem_zero(hot->by_count.count, sizeof *copy->counters);
    for (size_t i = 0; copy->counters != NULL && i < hot->by_count.count; i++) {
        const counter *one = FB_LIST_OF(hot->by_count.nodes[i], counter, heap);
        counter *same = make_counter(one->key);
        if (same != NULL) {
            same->heap.key = one->heap.key;
            copy->counters[copy->count++] = same;
        }
    }
    pthread_mutex_unlock(&hot->lock);
}

void fb_hot_top(fb_hot *hot, uint32_t count, fb_hot_fn fn, void *arg) {
    top copy;
    copy_all(hot, &copy);
    if (copy.count > 0) {
        qsort(copy.counters, copy.count, sizeof(counter *), more_read);
    }
    for (size_t i = 0; i < copy.count; i++) {
        if (count == 0 || i < count) {
            fn(arg, copy.counters[i]->key, (uint64_t)copy.counters[i]->heap.key);
        }
        fb_mem_free(copy.counters[i]);
    }
    fb_mem_free(copy.counters);
}
