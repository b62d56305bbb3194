// cache/shared.h -- inside of fb_cache, for the files that make it up: cache.c (making, swapping,
// figures), read.c, write.c, invalidate.c, fill.c, coherent.c, explain.c.

#ifndef FB_CACHE_SHARED_H
#define FB_CACHE_SHARED_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/cache.h"
#include "cache/watchers.h"
#include "cache/entry.h"
#include "cache/figures.h"
#include "cache/holds.h"
#include "cache/hot.h"
#include "cache/misses.h"
#include "cache/tags.h"
#include "cache/tickets.h"

#ifdef __cplusplus
extern "C" {
#endif

// A catalogue in force, or that was.
typedef struct fb_view {
    fb_catalog *catalog;
    struct fb_view *older;
} fb_view;

struct fb_cache {
    fb_store *store;
    fb_tags *tags;
    fb_tickets *tickets;
    fb_figures *figures;
    fb_misses *misses;
    fb_holds *holds;
    _Atomic(fb_view *) view;
    _Atomic(fb_hot *) hots[FB_CLASS_MAX];
    _Atomic(int64_t) seen_ns;  // the newest time told, about: for explaining misses
    pthread_mutex_t swap_lock;
    uint64_t seed;
    uint32_t partitions;
    fb_watchers watchers;
};

// In the one order of all: a load registers, then looks; a swap changes it, then looks for loads.
// One of the two must see the other, which release and acquire do not promise.
static inline fb_view *fb_cache_view(const fb_cache *cache) {
    return atomic_load(&cache->view);
}

// What a region that was found again is worth to the cache, which nobody uses yet: removes what
// does not belong to `catalog`.
void fb_cache_adopt(fb_cache *cache, const fb_cache_options *options);
// The table's part of the shared tier, as it begins with so many partitions: with the marks that
// are there where they are of as many; nothing is coherent yet (without partitions: all, for good).
void fb_coherent_begin(fb_outside_table *table, uint32_t partitions);
// The class an entry belongs to now, or NULL. Copes with any id.
const fb_class *fb_view_class(const fb_view *view, uint16_t class_id);

// Unpacks and judges; false: the item cannot be used (judged->find is NOTHING).
bool fb_cache_judge(const fb_cache *cache, const fb_view *view, const fb_item *item, int64_t now_ns,
                    fb_entry *entry, fb_judged *judged);

// A new entry of a class: born now, with the tag sequence as it is now. `key` is lent.
void fb_entry_start(fb_entry *entry, const fb_cache *cache, const fb_class *class_, fb_str key,
                    int64_t now_ns);
// How long it lives from now on: fresh for ttl_ns (INT64_MAX: for ever), then, with `grace`, stale
// and fallback as the class has it.
void fb_entry_live(fb_entry *entry, const fb_class *class_, int64_t ttl_ns, bool grace,
                   int64_t now_ns);
// How long values of a class are fresh in memory; INT64_MAX: for ever.
int64_t fb_class_ttl_ns(const fb_class *class_);
// The slots of the index tags that follow from `key`. FB_OK, FB_ENOMEM, FB_EINVAL (too many).
FB_CHECK_RESULT int fb_cache_index_slots(const fb_cache *cache, const fb_view *view, fb_str key,
                                         uint32_t slots[FB_TAGS_MAX], uint32_t *count);
// Adds tags to an entry and their names to the dictionary. FB_OK or FB_EINVAL (too many).
FB_CHECK_RESULT int fb_entry_take_tag(fb_entry *entry, fb_cache *cache, fb_str tag);
// The tags that follow from `key` alone, by its class.
FB_CHECK_RESULT int fb_entry_take_key(fb_entry *entry, fb_cache *cache, const fb_class *class_,
                                      fb_str key);
FB_CHECK_RESULT int fb_entry_take_loaded(fb_entry *entry, fb_cache *cache, const fb_loaded *loaded);

#ifdef __cplusplus
}
#endif

#endif
