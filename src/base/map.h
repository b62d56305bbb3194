// base/map.h -- hash map from byte strings to pointers. The map does not copy keys: they must live
// as long as their entry does (usually inside the object stored). Order of iteration is none.

#ifndef FB_BASE_MAP_H
#define FB_BASE_MAP_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_map_slot {
    fb_str key;
    uint64_t hash;
    void *item;  // NULL: free
} fb_map_slot;

typedef struct fb_map {
    fb_map_slot *slots;
    size_t cap, count;
    uint64_t seed;  // set it before the first put where keys may be hostile
} fb_map;

// Keeps the seed: the map is empty and may be used again.
void fb_map_release(fb_map *map);
void *fb_map_get(const fb_map *map, fb_str key);
// Adds, or replaces item and key both; `item` is not NULL. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_map_put(fb_map *map, fb_str key, void *item);
// What was there, or NULL.
void *fb_map_remove(fb_map *map, fb_str key);
// Each item once: start with *place = 0, until NULL. Nothing may be put or removed meanwhile.
void *fb_map_next(const fb_map *map, size_t *place);

#ifdef __cplusplus
}
#endif

#endif
