// cache/entry.h -- what the cache keeps beside a value, packed into the store's `extra` bytes and
// flags, and what an entry is worth at a given moment.
//
// Threads: none of its own. No allocation. Reading copes with any bytes: a reader without a lock
// may be shown torn ones before it is shown the right ones.

#ifndef FB_CACHE_ENTRY_H
#define FB_CACHE_ENTRY_H

#include "cache/cache.h"
#include "cache/tags.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {  // the store's flags
    FB_ENTRY_JSON = 1,
    FB_ENTRY_NEGATIVE = 2,
    FB_ENTRY_UNCACHEABLE = 4,  // hit-for-miss: no value
    FB_ENTRY_SOFT = 8,         // invalidated softly, by key or pattern
    FB_ENTRY_GRACE = 16,       // fresh_until is kept: it differs from the store's expiry, or may
    FB_ENTRY_SEQ = 32,         // the captured tag sequence is kept
    FB_ENTRY_COST = 64,        // the load's cost is kept
    FB_ENTRY_UNREAD = 128,     // an early refresh brought it, and nobody has read it since
};

enum {
    // Of a caller and of the class's parameters together.
    FB_ENTRY_TAGS_MAX = 2 * FB_TAGS_MAX,
    FB_ENTRY_PACKED_MAX = 5 + 8 + 6 + 4 + 3 * FB_ENTRY_TAGS_MAX
};

typedef struct fb_entry {
    uint8_t flags;
    uint16_t class_id;
    int64_t born_ms;         // when its load (or SET) began; of the caller's clock
    int64_t fresh_until_ns;  // INT64_MAX: for ever
    int64_t dead_ns;         // INT64_MAX: never. Without GRACE: fresh_until_ns
    uint64_t seq;            // with SEQ
    uint32_t cost_us;        // with COST
    uint32_t tag_count;
    uint32_t tags[FB_ENTRY_TAGS_MAX];  // slots
} fb_entry;

// Whether anything comes after its fresh time. Not where a caller set when it goes.
static inline bool fb_entry_has_grace(const fb_entry *entry) {
    return (entry->flags & FB_ENTRY_GRACE) != 0 && entry->fresh_until_ns < entry->dead_ns;
}
// Fills item->extra (with `bytes`), flags, class_id and expires_ns.
void fb_entry_pack(const fb_entry *entry, uint8_t bytes[FB_ENTRY_PACKED_MAX], fb_item *item);
// false: these bytes are no entry.
bool fb_entry_unpack(const fb_item *item, fb_entry *entry);
// Adds a slot, once; false where there are FB_ENTRY_TAGS_MAX already.
bool fb_entry_add_tag(fb_entry *entry, uint32_t slot);

// What an entry is at `now_ns`. `class_` is the one it belongs to now, NULL where that is gone.
typedef struct fb_judged {
    fb_find find;        // never EARLY
    fb_miss_reason why;  // where find is NOTHING or FALLBACK
    int64_t fresh_until_ns, stale_until_ns, dead_ns;
} fb_judged;
void fb_entry_judge(const fb_entry *entry, const fb_class *class_, const fb_tags *tags,
                    int64_t now_ns, fb_judged *judged);
// Whether a hard invalidation of one of its tags, its class or namespace came after `seq`; *why
// says of which kind.
bool fb_entry_overtaken(const fb_entry *entry, const fb_class *class_, const fb_tags *tags,
                        uint64_t seq, fb_miss_reason *why);

// a + b, where INT64_MAX is for ever.
static inline int64_t fb_time_add(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

#ifdef __cplusplus
}
#endif

#endif
