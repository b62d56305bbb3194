// queue/pile.h -- an ordered pile: the least item first, by a 64-bit key. A heap of four children,
// with the keys in its array, for piles of a million; base/heap.h is the one for timers.
//
// Taking something out never fails, and what was taken out fits in again: that is what undoing
// needs.

#ifndef FB_QUEUE_PILE_H
#define FB_QUEUE_PILE_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// An item has its place, a uint32_t, at `place_offset`: 0 while it is in no pile of this kind.
typedef struct fb_pile_kind {
    size_t place_offset;
    // Which of two with the same key comes first; NULL: any.
    bool (*before)(const void *item, const void *other);
} fb_pile_kind;

typedef struct fb_pile_entry {
    int64_t key;
    void *item;
} fb_pile_entry;

// Zero-initialise it.
typedef struct fb_pile {
    fb_pile_entry *entries;
    uint32_t count, cap;
} fb_pile;

// The items need not be there any more.
void fb_pile_release(fb_pile *pile);
// FB_OK; FB_ENOMEM, never where the pile had as many items since it was made.
FB_CHECK_RESULT int fb_pile_put(fb_pile *pile, const fb_pile_kind *kind, void *item, int64_t key);
// Nothing happens for an item that is in no pile.
void fb_pile_remove(fb_pile *pile, const fb_pile_kind *kind, void *item);
static inline void *fb_pile_first(const fb_pile *pile) {
    return pile->count > 0 ? pile->entries[0].item : NULL;
}
// INT64_MAX where there is none.
static inline int64_t fb_pile_first_key(const fb_pile *pile) {
    return pile->count > 0 ? pile->entries[0].key : INT64_MAX;
}
// O(n): for tests.
void fb_pile_check(const fb_pile *pile, const fb_pile_kind *kind);

#ifdef __cplusplus
}
#endif

#endif
