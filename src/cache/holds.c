// Most caches have no hold and no fence, so that there is any is a number that is read without the
// lock. It is raised before the key's loads are doomed, and a fill reads it under the lock that
// dooms (tickets.c): so a fill either sees it, or was stored before what is there is dropped, or is
// doomed.
//
// A table of so many keys, and beside it one row for each partition, for what found no room. Losing
// a hold would let an old value in, so nothing is ever thrown out but what is over. That is looked
// for only when the table is full, and then not again before the next one can be over.

#include "cache/holds.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

// Times are INT64_MIN where there is none.
typedef struct limits {
    int64_t held_until_ns;
    uint64_t fence;
    int64_t fenced_until_ns;
} limits;

typedef struct hold {
    fb_list list;
    limits limits;
    size_t key_len;
    char key[];
} hold;

struct fb_holds {
    pthread_mutex_t lock;
    _Atomic(uint32_t) count;  // of keys and of partitions with a limit; never too low
    fb_map keys;
    fb_list list;
    int64_t full_until_ns;  // nothing is over before
    uint32_t partitions;
    limits rows[FB_PARTITIONS_MAX];
    bool used[FB_PARTITIONS_MAX];
};

static const limits NONE = {INT64_MIN, 0, INT64_MIN};

int fb_holds_new(uint64_t seed, uint32_t partitions, fb_holds **holds) {
    *holds = NULL;
    fb_holds *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_init(&made->lock, NULL);
    made->keys.seed = seed;
    made->partitions = partitions > 0 ? partitions : 1;
    made->full_until_ns = INT64_MIN;
    fb_list_init(&made->list);
    for (size_t i = 0; i < FB_PARTITIONS_MAX; i++) {
        made->rows[i] = NONE;
    }
    *holds = made;
    return FB_OK;
}

void fb_holds_free(fb_holds *holds) {
    if (holds == NULL) {
        return;
    }
    FB_LIST_EACH_SAFE(node, after, &holds->list) {
        fb_mem_free(FB_LIST_OF(node, hold, list));
    }
    fb_map_release(&holds->keys);
    pthread_mutex_destroy(&holds->lock);
    fb_mem_free(holds);
}

// ---- under the lock

static int64_t end_of(const limits *at) {
    return at->held_until_ns > at->fenced_until_ns ? at->held_until_ns : at->fenced_until_ns;
}

static void forget(fb_holds *holds, hold *one) {
    void *gone = fb_map_remove(&holds->keys, fb_str_make(one->key, one->key_len));
    (void)gone;
    fb_list_remove(&one->list);
    fb_mem_free(one);
    atomic_fetch_sub(&holds->count, 1);
}

static void purge(fb_holds *holds, int64_t now_ns) {
    holds->full_until_ns = INT64_MAX;
    FB_LIST_EACH_SAFE(node, after, &holds->list) {
        hold *one = FB_LIST_OF(node, hold, list);
        int64_t end_ns = end_of(&one->limits);
        if (end_ns <= now_ns) {
            forget(holds, one);
        } else if (end_ns < holds->full_until_ns) {
            holds->full_until_ns = end_ns;
        }
    }
}

static bool has_room(fb_holds *holds, int64_t now_ns) {
    if (holds->keys.count >= FB_HOLDS_MAX && holds->full_until_ns <= now_ns) {
        purge(holds, now_ns);
    }
    return holds->keys.count < FB_HOLDS_MAX;
}

// NULL: no room.
static hold *add(fb_holds *holds, fb_str key, int64_t now_ns) {
    hold *made = has_room(holds, now_ns) ? fb_mem_new(sizeof *made + key.len) : NULL;
    if (made == NULL) {
        return NULL;
    }
    made->limits = NONE;
    made->key_len = key.len;
    memcpy(made->key, key.len > 0 ? key.ptr : "", key.len);
    if (fb_map_put(&holds->keys, fb_str_make(made->key, made->key_len), made) < 0) {
        fb_mem_free(made);
        return NULL;
    }
    fb_list_insert(&holds->list, &made->list);
    atomic_fetch_add(&holds->count, 1);
    return made;
}

// Those of the key, or where there is no room those of its partition.
static limits *limits_for(fb_holds *holds, fb_str key, int64_t now_ns) {
    hold *one = fb_map_get(&holds->keys, key);
    one = one != NULL ? one : add(holds, key, now_ns);
    if (one != NULL) {
        return &one->limits;
    }
    uint32_t partition = fb_partition_of(key, holds->partitions);
    if (!holds->used[partition]) {  // for good: partitions are few
        holds->used[partition] = true;
        atomic_fetch_add(&holds->count, 1);
    }
    return &holds->rows[partition];
}

static bool admits(const limits *at, uint64_t source_version, int64_t now_ns) {
    return now_ns >= at->held_until_ns &&
           (source_version == 0 || source_version >= at->fence || now_ns >= at->fenced_until_ns);
}

// ---- calls

void fb_holds_hold(fb_holds *holds, fb_str key, int64_t until_ns, int64_t now_ns) {
    pthread_mutex_lock(&holds->lock);
    limits *at = limits_for(holds, key, now_ns);
    if (at->held_until_ns < until_ns) {
        at->held_until_ns = until_ns;
    }
    pthread_mutex_unlock(&holds->lock);
}

void fb_holds_lift(fb_holds *holds, fb_str key) {
    if (atomic_load(&holds->count) == 0) {
        return;
    }
    pthread_mutex_lock(&holds->lock);
    hold *one = fb_map_get(&holds->keys, key);
    if (one != NULL) {
        one->limits.held_until_ns = INT64_MIN;
        if (one->limits.fenced_until_ns == INT64_MIN) {
            forget(holds, one);
        }
    }
    pthread_mutex_unlock(&holds->lock);
}

void fb_holds_fence(fb_holds *holds, fb_str key, uint64_t fence, int64_t now_ns) {
    pthread_mutex_lock(&holds->lock);
    limits *at = limits_for(holds, key, now_ns);
    if (at->fence < fence || now_ns >= at->fenced_until_ns) {
        at->fence = fence;
    }
    at->fenced_until_ns = now_ns + FB_FENCE_NS;
    pthread_mutex_unlock(&holds->lock);
}

bool fb_holds_admit(fb_holds *holds, fb_str key, uint64_t source_version, int64_t now_ns) {
    if (atomic_load(&holds->count) == 0) {
        return true;
    }
    pthread_mutex_lock(&holds->lock);
    const hold *one = fb_map_get(&holds->keys, key);
    const limits *row = &holds->rows[fb_partition_of(key, holds->partitions)];
    bool admitted = (one == NULL || admits(&one->limits, source_version, now_ns)) &&
                    admits(row, source_version, now_ns);
    pthread_mutex_unlock(&holds->lock);
    return admitted;
}

// Without the rows: all keys of a partition would be loaded anew for each read.
bool fb_holds_held(fb_holds *holds, fb_str key, int64_t now_ns) {
    if (atomic_load(&holds->count) == 0) {
        return false;
    }
    pthread_mutex_lock(&holds->lock);
    const hold *one = fb_map_get(&holds->keys, key);
    bool held = one != NULL && now_ns < one->limits.held_until_ns;
    pthread_mutex_unlock(&holds->lock);
    return held;
}
