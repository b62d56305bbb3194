// A binary heap in an array, each node knowing its place there (from 1, so that 0 says "in no
// heap").
//
// Invariant: the node at index i is not later than those at 2i+1 and 2i+2, and nodes[i]->place is
// i + 1. A change moves one node up or down, never both.

#include "base/heap.h"

#include "base/check.h"
#include "base/mem.h"

enum { CAP_MIN = 16 };

static void seat(fb_heap *heap, size_t index, fb_heap_node *node) {
    heap->nodes[index] = node;
    node->place = index + 1;
}

static void sift_up(fb_heap *heap, size_t index, fb_heap_node *node) {
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (heap->nodes[parent]->key <= node->key) {
            break;
        }
        seat(heap, index, heap->nodes[parent]);
        index = parent;
    }
    seat(heap, index, node);
}

static void sift_down(fb_heap *heap, size_t index, fb_heap_node *node) {
    for (;;) {
        size_t child = index * 2 + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key) {
            child++;
        }
        if (node->key <= heap->nodes[child]->key) {
            break;
        }
        seat(heap, index, heap->nodes[child]);
        index = child;
    }
    seat(heap, index, node);
}

// Puts `node` where it belongs, given that the rest is in order and `index` is free for it.
static void settle(fb_heap *heap, size_t index, fb_heap_node *node) {
    if (index > 0 && node->key < heap->nodes[(index - 1) / 2]->key) {
        sift_up(heap, index, node);
    } else {
        sift_down(heap, index, node);
    }
}

static int grow(fb_heap *heap) {
    size_t cap = heap->cap == 0 ? CAP_MIN : heap->cap * 2;
    fb_heap_node **nodes = NULL;

    if (cap <= SIZE_MAX / sizeof(fb_heap_node *)) {
        nodes = fb_mem_resize(heap->nodes, cap * sizeof(fb_heap_node *));
    }
    if (nodes == NULL) {
        return FB_ENOMEM;
    }
    heap->nodes = nodes;
    heap->cap = cap;
    return FB_OK;
}

void fb_heap_release(fb_heap *heap) {
    for (size_t i = 0; i < heap->count; i++) {
        heap->nodes[i]->place = 0;
    }
    fb_mem_free(heap->nodes);
    *heap = (fb_heap){0};
}

int fb_heap_put(fb_heap *heap, fb_heap_node *node, int64_t key) {
    if (node->place != 0) {
        size_t index = node->place - 1;
        FB_ASSERT(index < heap->count && heap->nodes[index] == node);
        node->key = key;
        settle(heap, index, node);
        return FB_OK;
    }
    if (heap->count == heap->cap) {
        int result = grow(heap);
        if (result != FB_OK) {
            return result;
        }
    }
    node->key = key;
    sift_up(heap, heap->count++, node);
    return FB_OK;
}

void fb_heap_remove(fb_heap *heap, fb_heap_node *node) {
    if (node->place == 0) {
        return;
    }
    size_t index = node->place - 1;
    FB_ASSERT(index < heap->count && heap->nodes[index] == node);
    fb_heap_node *last = heap->nodes[--heap->count];
    node->place = 0;
    if (last != node) {
        settle(heap, index, last);
    }
}
