// Paths through the tables.
//
// A path is names with points between them: options and sections by their rows, elements of a
// NAMED row by their own names, which have no points. Everything here takes any table, so it knows
// neither settings nor classes.

#include "config/tree.h"

#include "base/mem.h"
#include "config/values.h"

#include <string.h>

typedef struct __attribute__((may_alias)) list {
    void *items;
    size_t count;
} list;

size_t fb_path_push(fb_path *path, fb_str name) {
    size_t before = path->len;
    size_t point = before > 0 ? 1 : 0;

    if (name.len > FB_PATH_SIZE - before - point) {
        name.len = FB_PATH_SIZE - before - point;
    }
    if (point > 0 && before < FB_PATH_SIZE) {
        path->text[path->len++] = '.';
    }
    if (name.len > 0) {
        memcpy(path->text + path->len, name.ptr, name.len);
        path->len += name.len;
    }
    return before;
}

void fb_path_pop(fb_path *path, size_t len) {
    path->len = len;
}

fb_str fb_path_next(fb_str *path) {
    fb_str name = {path->ptr, fb_str_find(*path, '.')};
    size_t used = name.len < path->len ? name.len + 1 : name.len;

    path->ptr = used > 0 ? path->ptr + used : path->ptr;
    path->len -= used;
    return name;
}

const fb_option *fb_tree_row(const fb_option *table, fb_str name) {
    for (const fb_option *row = table; row->name != NULL; row++) {
        if (fb_str_equal(fb_str_of(row->name), name)) {
            return row;
        }
    }
    return NULL;
}

static const list *elements(const fb_option *row, const void *object) {
    return (const list *)(const void *)((const char *)object + row->offset);
}

size_t fb_tree_element_count(const fb_option *row, const void *object) {
    return elements(row, object)->count;
}

void *fb_tree_element_at(const fb_option *row, const void *object, size_t index) {
    return (char *)elements(row, object)->items + index * row->inner_size;
}

void *fb_tree_element(const fb_option *row, const void *object, fb_str name) {
    for (size_t i = 0; i < fb_tree_element_count(row, object); i++) {
        void *element = fb_tree_element_at(row, object, i);
        if (fb_str_equal(fb_str_of(*(char *const *)element), name)) {
            return element;
        }
    }
    return NULL;
}

int fb_tree_add_element(const fb_option *row, void *object, fb_str name, void **element) {
    list *named = (list *)(void *)((char *)object + row->offset);

    void *items = fb_mem_resize(named->items, (named->count + 1) * row->inner_size);
    if (items == NULL) {
        return FB_ENOMEM;
    }
    named->items = items;
    char *added = (char *)items + named->count * row->inner_size;
    memset(added, 0, row->inner_size);
    char *copy = fb_mem_text(name);
    if (copy == NULL || fb_value_defaults(row->inner, added) != FB_OK) {
        fb_mem_free(copy);
        return FB_ENOMEM;
    }
    *(char **)(void *)added = copy;
    named->count++;
    *element = added;
    return FB_OK;
}

const fb_option *fb_tree_find_row(const fb_option *table, fb_str path) {
    const fb_option *row = NULL;

    while (path.len > 0) {
        if (table == NULL) {
            return NULL;
        }
        row = fb_tree_row(table, fb_path_next(&path));
        if (row == NULL) {
            return NULL;
        }
        if (row->type == FB_OPTION_NAMED) {
            (void)fb_path_next(&path);
        }
        table = row->inner;
    }
    return row;
}

int fb_tree_find(const fb_option *table, const void *object, fb_str path, const fb_option **row,
                 const void **holder) {
    while (true) {
        *row = fb_tree_row(table, fb_path_next(&path));
        *holder = object;
        if (*row == NULL) {
            return FB_MISS;
        }
        if (path.len == 0) {
            return (*row)->inner == NULL ? FB_OK : FB_MISS;
        }
        if ((*row)->inner == NULL) {
            return FB_MISS;
        }
        if ((*row)->type == FB_OPTION_NAMED) {
            object = fb_tree_element(*row, object, fb_path_next(&path));
            if (object == NULL) {
                return FB_MISS;
            }
        } else {
            object = (const char *)object + (*row)->offset;
        }
        table = (*row)->inner;
    }
}

typedef struct walk {
    fb_path path;
    fb_tree_fn fn;
    void *arg;
} walk;

static int walk_table(walk *w, const fb_option *table, const void *object);

static int walk_named(walk *w, const fb_option *row, const void *object) {
    int result = FB_OK;

    for (size_t i = 0; i < fb_tree_element_count(row, object) && result == FB_OK; i++) {
        const void *element = fb_tree_element_at(row, object, i);
        size_t before = fb_path_push(&w->path, fb_str_of(*(char *const *)element));
        result = walk_table(w, row->inner, element);
        fb_path_pop(&w->path, before);
    }
    return result;
}

static int walk_table(walk *w, const fb_option *table, const void *object) {
    int result = FB_OK;

    for (const fb_option *row = table; row->name != NULL && result == FB_OK; row++) {
        size_t before = fb_path_push(&w->path, fb_str_of(row->name));
        if (row->type == FB_OPTION_SECTION) {
            result = walk_table(w, row->inner, (const char *)object + row->offset);
        } else if (row->type == FB_OPTION_NAMED) {
            result = walk_named(w, row, object);
        } else {
            result = w->fn(w->arg, &w->path, row, object);
        }
        fb_path_pop(&w->path, before);
    }
    return result;
}

int fb_tree_walk(const fb_option *table, const void *object, fb_tree_fn fn, void *arg) {
    walk w = {.fn = fn, .arg = arg};

    return walk_table(&w, table, object);
}
