// queue/shelf.h -- an ordered collection: items by a number or by a name, found in O(log n), read
// on from any place, and read on in one of four classes (the states of jobs) without going through
// the others.
//
// Names are ordered byte by byte; an item's rank is its number, or the first eight bytes of its
// name (fb_shelf_rank()), which spares most comparisons of names.

#ifndef FB_QUEUE_SHELF_H
#define FB_QUEUE_SHELF_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_SHELF_CLASSES = 4, FB_SHELF_ANY = -1, FB_SHELF_NONE = -2 };

typedef struct fb_shelf_kind {
    // The name of an item; NULL: its number is all.
    fb_str (*name_of)(const void *item);
    // 0 … 3, or FB_SHELF_NONE: it is passed over by fb_shelf_next().
    int (*class_of)(const void *item);
} fb_shelf_kind;

typedef struct fb_shelf_board fb_shelf_board;
typedef struct fb_shelf_edge {
    uint64_t rank;           // of the board's first item
    fb_shelf_board *board;
} fb_shelf_edge;

// Zero-initialise it, then set its kind.
typedef struct fb_shelf {
    const fb_shelf_kind *kind;
    fb_shelf_edge *edges;
    size_t count, cap;       // of boards
} fb_shelf;

// Where an item stands: its number, or its name and that one's rank.
typedef struct fb_shelf_key {
    uint64_t rank;
    fb_str name;
} fb_shelf_key;
fb_shelf_key fb_shelf_named(fb_str name);
static inline fb_shelf_key fb_shelf_numbered(uint64_t number) {
    fb_shelf_key key = {number, {NULL, 0}};
    return key;
}

// The items need not be there any more.
void fb_shelf_release(fb_shelf *shelf);
void *fb_shelf_get(const fb_shelf *shelf, fb_shelf_key key);
// `key` is not there yet; the item's class is NONE. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_shelf_add(fb_shelf *shelf, fb_shelf_key key, void *item);
// Another item in the place of the one that is there; of class NONE, both of them.
void fb_shelf_replace(fb_shelf *shelf, fb_shelf_key key, void *item);
// It is there, of class NONE.
void fb_shelf_remove(fb_shelf *shelf, fb_shelf_key key);
// The class of the item at `key`, which is there, changes from NONE to this one, or back.
void fb_shelf_enter(fb_shelf *shelf, fb_shelf_key key, int shelf_class);
void fb_shelf_leave(fb_shelf *shelf, fb_shelf_key key, int shelf_class);
// The first after `key`, of this class or of ANY; NULL: no more.
void *fb_shelf_next(const fb_shelf *shelf, fb_shelf_key key, int shelf_class);
// Every item in order, whatever its class: start with {0, 0}.
typedef struct fb_shelf_place {
    size_t board, index;
} fb_shelf_place;
void *fb_shelf_each(const fb_shelf *shelf, fb_shelf_place *place);
size_t fb_shelf_bytes(const fb_shelf *shelf);
// O(n): for tests.
void fb_shelf_check(const fb_shelf *shelf);

#ifdef __cplusplus
}
#endif

#endif
