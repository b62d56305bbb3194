// What readers of other processes noted, taken up. Nothing of it is believed further than this: a
// hash that no item has is used in vain, and counts only go up, by so much at once. A count that
// went down was written by somebody who had no business to, and says nothing.

#include "cache/hints.h"

#include "cache/cache.h"

_Static_assert(sizeof(fb_hints) == 64 + 8 * (FB_HINTS_KEYS + FB_HINTS_STRIPES * FB_CLASS_MAX),
               "the same in every process");

static void use_keys(const fb_hints *hints, fb_store *store) {
    for (size_t i = 0; i < FB_HINTS_KEYS; i++) {
        uint64_t hash = atomic_load_explicit(&hints->keys[i], memory_order_relaxed);
        if (hash != 0) {
            fb_store_use(store, hash);
        }
    }
}

// What one class's count grew by.
static uint64_t grown(const fb_hints *hints, fb_hints_seen *seen, size_t stripe, size_t id) {
    uint64_t now = atomic_load_explicit(&hints->hits[stripe][id], memory_order_relaxed);
    uint64_t more = now - seen->hits[stripe][id];
    seen->hits[stripe][id] = now;
    if (more > UINT64_MAX / 2) {
        return 0;
    }
    return more < FB_HINTS_HITS_MAX ? more : FB_HINTS_HITS_MAX;
}

void fb_hints_take(const fb_hints *hints, fb_hints_seen *seen, bool first, fb_cache *cache) {
    if (!first) {
        use_keys(hints, fb_cache_store(cache));
    }
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        uint64_t hits = 0;
        for (size_t stripe = 0; stripe < FB_HINTS_STRIPES; stripe++) {
            hits += grown(hints, seen, stripe, id);
        }
        if (hits > 0 && !first) {
            fb_cache_count(cache, id, FB_COUNTER_hits, hits);
            fb_cache_count(cache, id, FB_COUNTER_region_hits, hits);
        }
    }
}
