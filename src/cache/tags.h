// cache/tags.h -- when each tag was last invalidated: a fixed table of slots, so that invalidating
// a tag, a class, a namespace or everything costs the same, however many entries it hits.
//
// Threads: any. Memory: all of the table is taken in new(); names come one by one, up to a bound.

#ifndef FB_CACHE_TAGS_H
#define FB_CACHE_TAGS_H

#include <forebay/cache.h>

#include <stdatomic.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_TAGS_SLOTS_DEFAULT = 16384,
    FB_TAGS_SLOTS_MAX = 1 << 20,  // a slot's number fits 3 bytes, exact slots included
};

typedef struct fb_tag_names fb_tag_names;

typedef struct fb_tags {
    _Atomic(uint64_t) seq;          // raised by every invalidation of any slot
    _Atomic(uint64_t) newest_hard;  // the highest of hard[]
    _Atomic(uint64_t) newest_soft;
    _Atomic(uint64_t) *hard;  // by slot: the sequence of its last invalidation; 0: none
    _Atomic(uint64_t) *soft;
    _Atomic(uint64_t) *soft_before;  // the soft one before that
    _Atomic(int64_t) *soft_ns;       // when the last soft one was
    uint32_t hashed_count;           // slots of tags; behind them the exact ones
    uint64_t seed;
    fb_tag_names *names;
} fb_tags;

// `slot_count`: a power of two up to FB_TAGS_SLOTS_MAX, or 0 for the default. FB_EINVAL, FB_ENOMEM.
FB_CHECK_RESULT int fb_tags_new(uint32_t slot_count, uint64_t seed, fb_tags **tags);
void fb_tags_free(fb_tags *tags);

// The sequence now. What is loaded afterwards was asked for after every invalidation up to it.
static inline uint64_t fb_tags_seq(const fb_tags *tags) {
    return atomic_load_explicit(&tags->seq, memory_order_seq_cst);
}

// Where a tag's, a class's, a namespace's, everything's last invalidation is noted. Tags share
// slots by hash: then one's invalidation is also the other's.
uint32_t fb_tags_slot(const fb_tags *tags, fb_str tag);
uint32_t fb_tags_class_slot(const fb_tags *tags, uint16_t class_id);
uint32_t fb_tags_namespace_slot(const fb_tags *tags, uint16_t namespace_id);
uint32_t fb_tags_clear_slot(const fb_tags *tags);

// Invalidates a slot.
void fb_tags_bump(fb_tags *tags, uint32_t slot, bool soft, int64_t now_ns);
// Whether a slot was invalidated after `seq`. Any number will do as a slot: one beyond the table
// (torn bytes) counts as invalidated.
bool fb_tags_hard_after(const fb_tags *tags, uint32_t slot, uint64_t seq);
// The same for soft ones; *soft_ns is when it was, INT64_MIN where there were several (which of
// them was the first is not known any more).
bool fb_tags_soft_after(const fb_tags *tags, uint32_t slot, uint64_t seq, int64_t *soft_ns);

// Remembers which tag was last seen in a slot, so that explain can show it: the last few thousand.
void fb_tags_note_name(fb_tags *tags, uint32_t slot, fb_str tag);
// Writes the name, or "#123" where it is not remembered, with a final NUL.
void fb_tags_name(fb_tags *tags, uint32_t slot, char text[FB_TAG_LEN_MAX + 1]);

#ifdef __cplusplus
}
#endif

#endif
