// Open addressing with linear probing in a power of two of slots, at most three quarters full.
//
// Invariant: from the home of an entry's hash to the slot it is in there is no free slot. A removal
// keeps it by moving later entries of the run back into the gap, so there are no tombstones and a
// lookup never gets slower with age. The hash is stored: comparing it first makes most comparisons
// of keys needless, and growing needs no key at all.

#include "base/map.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

enum { CAP_MIN = 16 };

// The slot that has `key`, or the free one where it would go. There is always a free one.
static fb_map_slot *find_slot(const fb_map *map, fb_str key, uint64_t hash) {
    size_t mask = map->cap - 1;
    size_t index = (size_t)hash & mask;

    for (;;) {
        fb_map_slot *slot = &map->slots[index];
        if (slot->item == NULL || (slot->hash == hash && fb_str_equal(slot->key, key))) {
            return slot;
        }
        index = (index + 1) & mask;
    }
}

static int grow(fb_map *map) {
    fb_map grown = {.cap = map->cap == 0 ? CAP_MIN : map->cap * 2};
    grown.slots = fb_mem_zero(grown.cap, sizeof(fb_map_slot));
    if (grown.slots == NULL) {
        return FB_ENOMEM;
    }
    size_t mask = grown.cap - 1;
    for (size_t i = 0; i < map->cap; i++) {
        if (map->slots[i].item == NULL) {
            continue;
        }
        size_t index = (size_t)map->slots[i].hash & mask;
        while (grown.slots[index].item != NULL) {
            index = (index + 1) & mask;
        }
        grown.slots[index] = map->slots[i];
    }
    fb_mem_free(map->slots);
    map->slots = grown.slots;
    map->cap = grown.cap;
    return FB_OK;
}

void fb_map_release(fb_map *map) {
    fb_mem_free(map->slots);
    *map = (fb_map){.seed = map->seed};
}

void *fb_map_get(const fb_map *map, fb_str key) {
    return map->count == 0 ? NULL : find_slot(map, key, fb_hash64(key, map->seed))->item;
}

int fb_map_put(fb_map *map, fb_str key, void *item) {
    FB_ASSERT(item != NULL);
    uint64_t hash = fb_hash64(key, map->seed);
    fb_map_slot *slot = map->cap > 0 ? find_slot(map, key, hash) : NULL;

    if (slot == NULL || (slot->item == NULL && map->count + 1 > map->cap / 4 * 3)) {
        int result = grow(map);
        if (result != FB_OK) {
            return result;
        }
        slot = find_slot(map, key, hash);
    }
    map->count += slot->item == NULL;
    // Also over an old entry: its key lives in the object that is being replaced.
    *slot = (fb_map_slot){key, hash, item};
    return FB_OK;
}

void *fb_map_remove(fb_map *map, fb_str key) {
    if (map->count == 0) {
        return NULL;
    }
    fb_map_slot *found = find_slot(map, key, fb_hash64(key, map->seed));
    void *item = found->item;
    if (item == NULL) {
        return NULL;
    }
    size_t mask = map->cap - 1;
    size_t gap = (size_t)(found - map->slots);
    for (size_t i = (gap + 1) & mask; map->slots[i].item != NULL; i = (i + 1) & mask) {
        size_t home = (size_t)map->slots[i].hash & mask;
        // It may move back to the gap unless its home lies after it.
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            map->slots[gap] = map->slots[i];
            gap = i;
        }
    }
    map->slots[gap] = (fb_map_slot){0};
    map->count--;
    return item;
}

void *fb_map_next(const fb_map *map, size_t *place) {
    while (*place < map->cap) {
        void *item = map->slots[(*place)++].item;
        if (item != NULL) {
            return item;
        }
    }
    return NULL;
}
