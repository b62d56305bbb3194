// base/heap.h -- intrusive binary min-heap by a 64-bit key: timers. The heap owns its array only.

#ifndef FB_BASE_HEAP_H
#define FB_BASE_HEAP_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// A member of what is to be ordered. `place` is 0 while it is in no heap; zero-initialise it.
typedef struct fb_heap_node {
    int64_t key;
    size_t place;
} fb_heap_node;

typedef struct fb_heap {
    fb_heap_node **nodes;
    size_t count, cap;
} fb_heap;

// The nodes still in it are then in no heap; they must still be there.
void fb_heap_release(fb_heap *heap);
// FB_OK or FB_ENOMEM. A node that is in the heap is moved to its new key (which cannot fail).
FB_CHECK_RESULT int fb_heap_put(fb_heap *heap, fb_heap_node *node, int64_t key);
// Nothing happens for a node that is in no heap.
void fb_heap_remove(fb_heap *heap, fb_heap_node *node);
static inline fb_heap_node *fb_heap_first(const fb_heap *heap) {
    return heap->count > 0 ? heap->nodes[0] : NULL;
}

#ifdef __cplusplus
}
#endif

#endif
