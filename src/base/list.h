// base/list.h -- intrusive circular doubly linked list. The head is a node of its own; a node that
// is in no list points to itself.

#ifndef FB_BASE_LIST_H
#define FB_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fb_list {
    struct fb_list *prev, *next;
} fb_list;

// The object a node is a member of.
#define FB_LIST_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define FB_LIST_EACH(node, head) \
    for (fb_list *node = (head)->next; node != (head); node = node->next)
// The same where the body may remove `node`.
#define FB_LIST_EACH_SAFE(node, after, head)                                               \
    for (fb_list *node = (head)->next, *after = node->next; node != (head); node = after, \
                 after = node->next)

static inline void fb_list_init(fb_list *head) {
    head->prev = head->next = head;
}
static inline bool fb_list_empty(const fb_list *head) {
    return head->next == head;
}
// Before `place`: at the end where `place` is the head.
static inline void fb_list_insert(fb_list *place, fb_list *node) {
    node->prev = place->prev;
    node->next = place;
    place->prev->next = node;
    place->prev = node;
}
static inline void fb_list_remove(fb_list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    fb_list_init(node);
}

#endif
