// The children of entry i are 4i + 1 … 4i + 4: half as many levels as of a binary heap, and each
// comparison is of keys that lie side by side; an item is only looked at where keys are equal, and
// where it moves, to tell it its place.
//
// The array never shrinks by itself, so that a put after a removal needs no memory.

#include "queue/pile.h"

#include "base/check.h"
#include "base/mem.h"

enum { CHILDREN = 4, CAP_MIN = 16 };

static uint32_t *place_of(const fb_pile_kind *kind, void *item) {
    return (uint32_t *)(void *)((char *)item + kind->place_offset);
}

static bool comes_before(const fb_pile_kind *kind, const fb_pile_entry *a, const fb_pile_entry *b) {
    return a->key < b->key ||
           (a->key == b->key && kind->before != NULL && kind->before(a->item, b->item));
}

static void set(fb_pile *pile, const fb_pile_kind *kind, uint32_t index, fb_pile_entry entry) {
    pile->entries[index] = entry;
    *place_of(kind, entry.item) = index + 1;
}

// `entry` goes to `index`, or above it.
static void rise(fb_pile *pile, const fb_pile_kind *kind, uint32_t index, fb_pile_entry entry) {
    while (index > 0) {
        uint32_t parent = (index - 1) / CHILDREN;
        if (!comes_before(kind, &entry, &pile->entries[parent])) {
            break;
        }
        set(pile, kind, index, pile->entries[parent]);
        index = parent;
    }
    set(pile, kind, index, entry);
}

// `entry` goes to `index`, or below it.
static void sink(fb_pile *pile, const fb_pile_kind *kind, uint32_t index, fb_pile_entry entry) {
    for (;;) {
        size_t first = (size_t)index * CHILDREN + 1;
        if (first >= pile->count) {
            break;
        }
        size_t least = first;
        for (size_t i = first + 1; i < first + CHILDREN && i < pile->count; i++) {
            if (comes_before(kind, &pile->entries[i], &pile->entries[least])) {
                least = i;
            }
        }
        if (!comes_before(kind, &pile->entries[least], &entry)) {
            break;
        }
        set(pile, kind, index, pile->entries[least]);
        index = (uint32_t)least;
    }
    set(pile, kind, index, entry);
}

static int grow(fb_pile *pile) {
    uint64_t cap = (uint64_t)pile->cap + pile->cap / 2 + CAP_MIN;

    if (cap >= UINT32_MAX) {
        return FB_ENOMEM;
    }
    fb_pile_entry *entries = fb_mem_resize(pile->entries, (size_t)cap * sizeof(*entries));
    if (entries == NULL) {
        return FB_ENOMEM;
    }
    pile->entries = entries;
    pile->cap = (uint32_t)cap;
    return FB_OK;
}

void fb_pile_release(fb_pile *pile) {
    fb_mem_free(pile->entries);
    *pile = (fb_pile){0};
}

int fb_pile_put(fb_pile *pile, const fb_pile_kind *kind, void *item, int64_t key) {
    FB_ASSERT(*place_of(kind, item) == 0);
    if (pile->count == pile->cap) {
        int result = grow(pile);
        if (result != FB_OK) {
            return result;
        }
    }
    pile->count++;
    rise(pile, kind, pile->count - 1, (fb_pile_entry){key, item});
    return FB_OK;
}

void fb_pile_remove(fb_pile *pile, const fb_pile_kind *kind, void *item) {
    uint32_t *place = place_of(kind, item);

    if (*place == 0) {
        return;
    }
    uint32_t index = *place - 1;
    FB_ASSERT(index < pile->count && pile->entries[index].item == item);
    *place = 0;
    pile->count--;
    fb_pile_entry last = pile->entries[pile->count];
    if (last.item == item) {
        return;
    }
    if (index > 0 && comes_before(kind, &last, &pile->entries[(index - 1) / CHILDREN])) {
        rise(pile, kind, index, last);
    } else {
        sink(pile, kind, index, last);
    }
}

void fb_pile_check(const fb_pile *pile, const fb_pile_kind *kind) {
    FB_ASSERT(pile->count <= pile->cap);
    for (uint32_t i = 0; i < pile->count; i++) {
        FB_ASSERT(*place_of(kind, pile->entries[i].item) == i + 1);
        FB_ASSERT(i == 0 || !comes_before(kind, &pile->entries[i],
                                          &pile->entries[(i - 1) / CHILDREN]));
    }
}
