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
    FB_ENTRY_PACKED_MAX = 5 + 8 + 6 + 4 + 3 * FB_ENTRY_TAGS_MAX + 3 + FB_CONTENT_TYPE_LEN_MAX
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
    fb_str key;  // whose it is, lent: its partition may have been flushed; not packed
    fb_str type; // the value's media type, lent; empty: none
} fb_entry;

// Whether anything comes after its fresh time. Not where a caller set when it goes.
static inline bool fb_entry_has_grace(const fb_entry *entry) {
    return (entry->flags & FB_ENTRY_GRACE) != 0 && entry->fresh_until_ns < entry->dead_ns;
}
// Fills item->extra (with `bytes`), flags, class_id and expires_ns.
void fb_entry_pack(const fb_entry *entry, uint8_t bytes[FB_ENTRY_PACKED_MAX], fb_item *item);
// false: these bytes are no entry.
bool fb_entry_unpack(const fb_item *item, fb_entry *entry);
// The same at a glance, without its tags, where no more is to know: nothing of it was invalidated,
// softly or not, up to the sequence `seq`. false: use unpack().
bool fb_entry_glance(const fb_item *item, uint64_t seq, fb_entry *entry);
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
// The class and namespace whose invalidations concern an entry: all that the stamps ask of a class,
// so that a process beside the daemon judges by the same rules (cache/outside.h).
typedef struct fb_kin {
    uint16_t class_id, namespace_id;
} fb_kin;
static inline fb_kin fb_kin_of(const fb_class *class_) {
    return (fb_kin){class_->id, class_->namespace_id};
}
// Whether a hard invalidation of one of its tags, its class, namespace or partition came after
// `seq`; *why says of which kind.
bool fb_entry_overtaken(const fb_entry *entry, fb_kin kin, const fb_outside *stamps, uint64_t seq,
                        fb_miss_reason *why);
// Until when it is fresh, soft invalidations counted. false: it is gone, *why says how.
bool fb_entry_fresh_until(const fb_entry *entry, fb_kin kin, const fb_outside *stamps,
                          int64_t now_ns, int64_t *until_ns, fb_miss_reason *why);
// Whether this reader of a fresh entry, drawn by lot, is to refresh it early. NULL: never.
bool fb_entry_is_early(const fb_entry *entry, double beta, int64_t fresh_until_ns, int64_t now_ns,
                       fb_rng *rng);
// *value as a reader is shown it; its bytes stay the item's.
void fb_entry_show(const fb_item *item, const fb_entry *entry, const fb_judged *judged,
                   int64_t now_ns, fb_value *value);

// a + b, where INT64_MAX is for ever.
static inline int64_t fb_time_add(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

#ifdef __cplusplus
}
#endif

#endif
