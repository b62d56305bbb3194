// config/tree.h -- the options of an object by path: walking over all, finding one.

#ifndef FB_CONFIG_TREE_H
#define FB_CONFIG_TREE_H

#include <forebay/base.h>

#include "base/option.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

// "classes.package.batch.wait", as it grows and shrinks on the way through the tables. The longest
// that they can make has two names of 64 bytes in it and fits easily.
enum { FB_PATH_SIZE = 512 };
typedef struct fb_path {
    char text[FB_PATH_SIZE];
    size_t len;
} fb_path;

// Adds one name (cut in the unlikely case) and returns the length before, for fb_path_pop().
size_t fb_path_push(fb_path *path, fb_str name);
void fb_path_pop(fb_path *path, size_t len);
static inline fb_str fb_path_str(const fb_path *path) {
    return fb_str_make(path->text, path->len);
}

// Takes the first name off a path.
fb_str fb_path_next(fb_str *path);

// The row named so, or NULL.
const fb_option *fb_tree_row(const fb_option *table, fb_str name);
// The element of a NAMED member, or NULL.
void *fb_tree_element(const fb_option *row, const void *object, fb_str name);
size_t fb_tree_element_count(const fb_option *row, const void *object);
void *fb_tree_element_at(const fb_option *row, const void *object, size_t index);
// One more element with its name and its defaults, the last. FB_ENOMEM.
FB_CHECK_RESULT int fb_tree_add_element(const fb_option *row, void *object, fb_str name,
                                        void **element);

// The row a path leads to, whatever names it has for elements; NULL: none. Where it ends in an
// element's name, that is the NAMED row.
const fb_option *fb_tree_find_row(const fb_option *table, fb_str path);
// The row and the object its offset counts from. FB_MISS: no such option, or element.
FB_CHECK_RESULT int fb_tree_find(const fb_option *table, const void *object, fb_str path,
                                 const fb_option **row, const void **holder);

// Calls `fn` for each option that has a value of its own, in the order of the tables, elements in
// theirs. Stops at the first result that is not FB_OK, and returns it.
typedef int (*fb_tree_fn)(void *arg, const fb_path *path, const fb_option *row,
                          const void *holder);
FB_CHECK_RESULT int fb_tree_walk(const fb_option *table, const void *object, fb_tree_fn fn,
                                 void *arg);

#ifdef __cplusplus
}
#endif

#endif
