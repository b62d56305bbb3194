// cache/trouble.h -- keys whose last load failed: for how long that is believed, and for how long
// what is old is served in its place. One thread at a time; the flights of one loop own one.
//
// Bounded: beyond FB_TROUBLE_MAX keys, or FB_TROUBLE_BYTES_MAX bytes, those that failed longest ago
// are forgotten.

#ifndef FB_CACHE_TROUBLE_H
#define FB_CACHE_TROUBLE_H

#include "base/blob.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "cache/cache.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_TROUBLE_MAX = 4096, FB_TROUBLE_BYTES_MAX = 4 << 20 };

typedef struct fb_trouble {
    fb_list list;
    fb_str key;         // behind the struct
    fb_ticket *ticket;  // of the load that failed: it hears of invalidations
    int result;
    fb_blob *text;      // the detail, NUL-terminated; may be NULL
    uint32_t failures;  // in a row
    int64_t failed_ns;
    int64_t error_until_ns;  // until then the error is the answer of who has nothing older
    int64_t calm_until_ns;   // until then what is older is served without asking the source
} fb_trouble;

typedef struct fb_trouble_table {
    fb_cache *cache;
    fb_rng rng;  // of the jitter
    fb_map map;
    fb_list list;  // that which failed longest ago first
    size_t bytes;  // of all
} fb_trouble_table;

void fb_trouble_init(fb_trouble_table *table, fb_cache *cache, uint64_t seed);
void fb_trouble_release(fb_trouble_table *table);

// What is known of `key`, or NULL. What an invalidation has overtaken, and what failed long ago, is
// forgotten.
fb_trouble *fb_trouble_find(fb_trouble_table *table, fb_str key, int64_t now_ns);
// A load of `key` that failed.
typedef struct fb_failure {
    fb_str key;
    fb_ticket *ticket;  // taken over; ended where there is no memory to remember the failure
    int result;
    fb_blob *text;          // referenced; may be NULL
    const fb_loaded *tags;  // that the key has, as far as is known
} fb_failure;
void fb_trouble_note(fb_trouble_table *table, const fb_failure *failure, int64_t now_ns);
// Its load succeeded.
void fb_trouble_forget(fb_trouble_table *table, fb_str key);

#ifdef __cplusplus
}
#endif

#endif
