// cache/outside.h -- what a process beside the daemon must know to judge this cache's entries: the
// stamps of invalidations, and which classes there are. It lies in the room that the store's region
// keeps for the layer above, so that it is mapped with the entries.
//
// The daemon's fb_tags has its table here (cache/tags.h) and keeps the classes' rows; a reader sees
// it through an fb_outside made by view(). Nothing here is trusted by a reader: any bytes are coped
// with, and what cannot be judged for certain is "ask the daemon".
//
// Threads: any; a reader and the writer may be in different processes.

#ifndef FB_CACHE_OUTSIDE_H
#define FB_CACHE_OUTSIDE_H

#include <forebay/cache.h>
#include <forebay/store.h>

#include "base/rng.h"
#include "cache/class.h"

#ifdef __cplusplus
extern "C" {
#endif

// Raised whenever entries' extra bytes or this layout change: for fb_store_options.app_format.
#define FB_OUTSIDE_FORMAT UINT64_C(0x0002)

typedef struct fb_outside_table fb_outside_table;  // in the region

// Room for a table with so many slots of tags (0: the default).
uint64_t fb_outside_bytes(uint32_t tag_slots);

// How one process looks at it.
typedef struct fb_outside {
    const fb_outside_table *table;
    uint32_t tag_slots;
} fb_outside;

// FB_OK; FB_EINVAL: `bytes` at `room` are no such table.
FB_CHECK_RESULT int fb_outside_view(const void *room, uint64_t bytes, fb_outside *outside);
// Changes whenever classes or their patterns do: what was learned of classes before is void.
uint64_t fb_outside_generation(const fb_outside *outside);

// What `item` is worth to a reader outside. FB_OK: fresh, and *value is filled but for its bytes
// (which stay the item's). FB_MISS: ask the daemon: gone, stale, negative, not cacheable, to be
// refreshed early by whoever asks now (decided by `rng`, NULL: never), of a partition that is
// behind the shared tier, or not to be judged here.
FB_CHECK_RESULT int fb_outside_judge(const fb_outside *outside, const fb_item *item, int64_t now_ns,
                                     fb_rng *rng, fb_value *value);

// fb_store_options.boot of a region: `boot_id` is the text of /proc/sys/kernel/random/boot_id.
uint64_t fb_outside_boot(fb_str boot_id);

// ---- the daemon's side

// The number that a class of this name had; FB_CLASS_PLAIN: there was none.
uint16_t fb_outside_class_id(const fb_outside *outside, fb_str name);
// Whether the table's class of this number is the same: name, and all that values follow from.
bool fb_outside_has(const fb_outside *outside, const fb_class *class_);
uint16_t fb_outside_namespace(const fb_outside *outside, uint16_t class_id);
// Nothing is judged outside between the two calls; the second says which classes there are now.
void fb_outside_close(fb_outside_table *table);
void fb_outside_open(fb_outside_table *table, const fb_catalog *catalog);

#ifdef __cplusplus
}
#endif

#endif
