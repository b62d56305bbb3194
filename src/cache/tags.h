// cache/tags.h -- when each tag was last invalidated: a fixed table of slots, so that invalidating
// a tag, a class, a namespace or everything costs the same, however many entries it hits.
//
// Threads: any. Memory: the table lies where the caller says, so that processes beside this one can
// read it (cache/outside.h); names come one by one, up to a bound.

#ifndef FB_CACHE_TAGS_H
#define FB_CACHE_TAGS_H

#include "cache/stamps.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_tag_names fb_tag_names;

typedef struct fb_tags {
    fb_outside_table *table;  // the writer's
    fb_outside outside;       // the same, to be read
    uint64_t seed;
    fb_tag_names *names;
} fb_tags;

// `room` is for the table: fb_outside_bytes(slot_count) zeroed bytes, which outlive the tags.
// `slot_count`: a power of two up to FB_TAGS_SLOTS_MAX, or 0 for the default. FB_EINVAL, FB_ENOMEM.
FB_CHECK_RESULT int fb_tags_new(void *room, uint32_t slot_count, uint64_t seed, fb_tags **tags);
// With the stamps of a writer before, which are in `room` already. FB_EINVAL: they are not.
FB_CHECK_RESULT int fb_tags_adopt(void *room, uint64_t bytes, fb_tags **tags);
void fb_tags_free(fb_tags *tags);

// As in cache/stamps.h.
static inline uint64_t fb_tags_seq(const fb_tags *tags) {
    return fb_stamps_seq(&tags->outside);
}
static inline bool fb_tags_hard_after(const fb_tags *tags, uint32_t slot, uint64_t seq) {
    return fb_stamps_hard_after(&tags->outside, slot, seq);
}
static inline bool fb_tags_soft_after(const fb_tags *tags, uint32_t slot, uint64_t seq,
                                      int64_t *soft_ns) {
    return fb_stamps_soft_after(&tags->outside, slot, seq, soft_ns);
}

// Where a tag's, a class's, a namespace's, a partition's, everything's last invalidation is noted.
// Tags share slots by hash: then one's invalidation is also the other's.
uint32_t fb_tags_slot(const fb_tags *tags, fb_str tag);
static inline uint32_t fb_tags_class_slot(const fb_tags *tags, uint16_t class_id) {
    return fb_stamps_class_slot(&tags->outside, class_id);
}
static inline uint32_t fb_tags_namespace_slot(const fb_tags *tags, uint16_t namespace_id) {
    return fb_stamps_namespace_slot(&tags->outside, namespace_id);
}
static inline uint32_t fb_tags_partition_slot(const fb_tags *tags, uint32_t partition) {
    return fb_stamps_partition_slot(&tags->outside, partition);
}
static inline uint32_t fb_tags_clear_slot(const fb_tags *tags) {
    return fb_stamps_clear_slot(&tags->outside);
}

// Invalidates a slot.
void fb_tags_bump(fb_tags *tags, uint32_t slot, bool soft, int64_t now_ns);
// The same for a partition's, hard.
void fb_tags_flush(fb_tags *tags, uint32_t partition);
// Namespaces are about to be numbered anew: what was noted for that of a class is noted for the
// class itself, and then, with forget, no namespace has any. Nobody else may use the tags.
void fb_tags_inherit(fb_tags *tags, uint16_t class_id, uint16_t namespace_id);
void fb_tags_forget_namespaces(fb_tags *tags);

// Remembers which tag was last seen in a slot, so that explain can show it: the last few thousand.
void fb_tags_note_name(fb_tags *tags, uint32_t slot, fb_str tag);
// Writes the name, or "#123" where it is not remembered, with a final NUL.
void fb_tags_name(fb_tags *tags, uint32_t slot, char text[FB_TAG_LEN_MAX + 1]);

#ifdef __cplusplus
}
#endif

#endif
