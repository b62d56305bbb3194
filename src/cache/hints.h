// cache/hints.h -- the one piece of memory that readers of other processes may write: which items
// they used, and how many hits of which class they had. It lies in a file of its own, since the
// region's is mapped read-only. Damage there costs hit ratio and wrong figures, nothing else.
//
// A reader writes the store's hash of the key at a place that follows from it, if that does not
// hold it already: so a hot key writes once a round. The daemon takes the table up ten times a
// second: each hash is a use (fb_store_use()), and the place is cleared.
//
// Threads: any, in any process.

#ifndef FB_CACHE_HINTS_H
#define FB_CACHE_HINTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/class.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_HINTS_KEYS = 8192, FB_HINTS_STRIPES = 8 };
#define FB_HINTS_MAGIC UINT64_C(0x3153544e49484246)

typedef struct fb_hints {
    uint64_t magic;
    uint64_t reserved[7];
    _Atomic(uint64_t) keys[FB_HINTS_KEYS];  // 0: none
    // Ever growing; a process takes the stripe of its number.
    _Atomic(uint64_t) hits[FB_HINTS_STRIPES][FB_CLASS_MAX];
} fb_hints;

// A hit of a reader's.
static inline void fb_hints_note(fb_hints *hints, uint64_t hash, uint16_t class_id,
                                 uint32_t stripe) {
    _Atomic(uint64_t) *place = &hints->keys[hash % FB_HINTS_KEYS];
    if (atomic_load_explicit(place, memory_order_relaxed) != hash) {
        atomic_store_explicit(place, hash, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&hints->hits[stripe % FB_HINTS_STRIPES][class_id % FB_CLASS_MAX], 1,
                              memory_order_relaxed);
}

// ---- the daemon's side

// How far the counts were taken.
typedef struct fb_hints_seen {
    uint64_t hits[FB_HINTS_STRIPES][FB_CLASS_MAX];
} fb_hints_seen;

struct fb_cache;
// A drain counts so many hits at the most, for each class and stripe: whoever may write to the file
// could have written anything.
#define FB_HINTS_HITS_MAX (UINT64_C(1) << 24)

// `hints` is a copy: keys are used and hits counted that were not in the one before. `first`: it
// only says where the counts stand.
void fb_hints_take(const fb_hints *hints, fb_hints_seen *seen, bool first, struct fb_cache *cache);

#ifdef __cplusplus
}
#endif

#endif
