// A few maps, each with a lock and a count of its own: a look reads the count of all first, then that
// of the map, and takes the lock only where there is something. What has ended goes when it is looked at, or when there is no
// room.

#include "limit/overrides.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

enum { SHARDS = 16 };

typedef struct entry {
    uint64_t hash;
    int64_t until_us;
    fb_limit_override_kind kind;
    uint32_t limit;
} entry;

typedef struct shard {
    _Atomic(uint32_t) count;
    pthread_mutex_t lock;
    fb_map by_hash;
} shard;

struct fb_limit_overrides {
    uint32_t room;            // of one shard
    _Atomic(uint32_t) count;  // of all
    shard shards[SHARDS];
};

static fb_str name_of(const uint64_t *hash) {
    return fb_str_make((const char *)hash, sizeof *hash);
}

static shard *shard_of(fb_limit_overrides *overrides, uint64_t hash) {
    return &overrides->shards[hash % SHARDS];
}

bool fb_limit_overrides_any(const fb_limit_overrides *overrides, uint64_t hash) {
    return atomic_load_explicit(&overrides->count, memory_order_relaxed) > 0 &&
           atomic_load_explicit(&overrides->shards[hash % SHARDS].count, memory_order_relaxed) > 0;
}

// ---- under the lock

static void drop(fb_limit_overrides *overrides, shard *in, entry *one) {
    (void)fb_map_remove(&in->by_hash, name_of(&one->hash));
    fb_mem_free(one);
    atomic_fetch_sub(&in->count, 1);
    atomic_fetch_sub(&overrides->count, 1);
}

// One of those that have ended, or NULL.
static entry *find_ended(const shard *in, int64_t now_us) {
    size_t place = 0;
    entry *one;
    while ((one = fb_map_next(&in->by_hash, &place)) != NULL && one->until_us > now_us) {
    }
    return one;
}

static void drop_ended(fb_limit_overrides *overrides, shard *in, int64_t now_us) {
    entry *one;
    while ((one = find_ended(in, now_us)) != NULL) {
        drop(overrides, in, one);
    }
}

static int add(fb_limit_overrides *overrides, shard *in, uint64_t hash, entry **added) {
    entry *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    one->hash = hash;
    if (in->by_hash.count >= overrides->room) {
        fb_mem_free(one);
        return FB_EOVERLOAD;
    }
    if (fb_map_put(&in->by_hash, name_of(&one->hash), one) < 0) {
        fb_mem_free(one);
        return FB_ENOMEM;
    }
    atomic_fetch_add(&in->count, 1);
    atomic_fetch_add(&overrides->count, 1);
    *added = one;
    return FB_OK;
}

// ---- all of it

int fb_limit_overrides_new(uint32_t keys_max, fb_limit_overrides **out) {
    fb_limit_overrides *overrides = fb_mem_zero(1, sizeof *overrides);
    *out = NULL;
    if (overrides == NULL) {
        return FB_ENOMEM;
    }
    overrides->room = keys_max / SHARDS + 1;
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&overrides->shards[i].lock, NULL);
    }
    *out = overrides;
    return FB_OK;
}

void fb_limit_overrides_free(fb_limit_overrides *overrides) {
    if (overrides == NULL) {
        return;
    }
    for (int i = 0; i < SHARDS; i++) {
        drop_ended(overrides, &overrides->shards[i], INT64_MAX);
        fb_map_release(&overrides->shards[i].by_hash);
        pthread_mutex_destroy(&overrides->shards[i].lock);
    }
    fb_mem_free(overrides);
}

int fb_limit_overrides_put(fb_limit_overrides *overrides, uint64_t hash,
                           const fb_limit_override *override, int64_t until_us, int64_t now_us) {
    shard *in = shard_of(overrides, hash);
    int result = FB_OK;
    pthread_mutex_lock(&in->lock);
    entry *one = fb_map_get(&in->by_hash, name_of(&hash));
    if (one == NULL) {
        if (in->by_hash.count >= overrides->room) {
            drop_ended(overrides, in, now_us);
        }
        result = add(overrides, in, hash, &one);
    }
    if (result == FB_OK) {
        one->kind = override->kind;
        one->limit = override->limit;
        one->until_us = until_us;
    }
    pthread_mutex_unlock(&in->lock);
    return result;
}

bool fb_limit_overrides_get(fb_limit_overrides *overrides, uint64_t hash, int64_t now_us,
                            fb_limit_override *override) {
    shard *in = shard_of(overrides, hash);
    if (!fb_limit_overrides_any(overrides, hash)) {
        return false;
    }
    pthread_mutex_lock(&in->lock);
    entry *one = fb_map_get(&in->by_hash, name_of(&hash));
    if (one != NULL && one->until_us <= now_us) {
        drop(overrides, in, one);
        one = NULL;
    }
    if (one != NULL) {
        *override = (fb_limit_override){.kind = one->kind, .limit = one->limit};
    }
    pthread_mutex_unlock(&in->lock);
    return one != NULL;
}

void fb_limit_overrides_forget(fb_limit_overrides *overrides, uint64_t hash) {
    shard *in = shard_of(overrides, hash);
    pthread_mutex_lock(&in->lock);
    entry *one = fb_map_get(&in->by_hash, name_of(&hash));
    if (one != NULL) {
        drop(overrides, in, one);
    }
    pthread_mutex_unlock(&in->lock);
}
