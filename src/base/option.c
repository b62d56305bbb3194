// Copying and freeing structs by their option table.
//
// A copy is the bytes of the original with every owned pointer replaced by one of its own. The
// pointers are cleared first, all of them, and then filled one by one: so a copy that fails half
// way holds only NULL and what it owns, and the ordinary release takes it back.

#include "base/option.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

// Any array member and the count after it, whatever the struct calls them.
typedef struct __attribute__((may_alias)) list {
    void *items;
    size_t count;
} list;

static void *member(void *object, size_t offset) {
    return (char *)object + offset;
}

static const void *peek(const void *object, size_t offset) {
    return (const char *)object + offset;
}

static void free_texts(list *texts) {
    char **items = texts->items;

    for (size_t i = 0; i < texts->count; i++) {
        fb_mem_free(items[i]);
    }
    fb_mem_free(items);
    *texts = (list){NULL, 0};
}

static void free_named(const fb_option *row, list *named) {
    for (size_t i = 0; i < named->count; i++) {
        char *element = (char *)named->items + i * row->inner_size;
        fb_option_release(row->inner, element);
        fb_mem_free(*(char **)member(element, 0));
        if (row->file_offset > 0) {
            fb_mem_free(*(char **)member(element, row->file_offset));
        }
    }
    fb_mem_free(named->items);
    *named = (list){NULL, 0};
}

void fb_option_release(const fb_option *table, void *object) {
    for (const fb_option *row = table; row->name != NULL; row++) {
        void *at = member(object, row->offset);
        switch (row->type) {
            case FB_OPTION_TEXT:
            case FB_OPTION_PATH:
            case FB_OPTION_ADDRESS:
                fb_mem_free(*(char **)at);
                *(char **)at = NULL;
                break;
            case FB_OPTION_TEXTS:
                free_texts(at);
                break;
            case FB_OPTION_NAMED:
                free_named(row, at);
                break;
            case FB_OPTION_SECTION:
                fb_option_release(row->inner, at);
                break;
            default:
                break;
        }
    }
}

// Clears every pointer and count without freeing anything.
static void forget(const fb_option *table, void *object) {
    for (const fb_option *row = table; row->name != NULL; row++) {
        void *at = member(object, row->offset);
        switch (row->type) {
            case FB_OPTION_TEXT:
            case FB_OPTION_PATH:
            case FB_OPTION_ADDRESS:
                *(char **)at = NULL;
                break;
            case FB_OPTION_TEXTS:
            case FB_OPTION_NAMED:
                *(list *)at = (list){NULL, 0};
                break;
            case FB_OPTION_SECTION:
                forget(row->inner, at);
                break;
            default:
                break;
        }
    }
}

static int copy_text(char *const *from, char **to) {
    if (*from != NULL) {
        *to = fb_mem_text(fb_str_of(*from));
    }
    return *from == NULL || *to != NULL ? FB_OK : FB_ENOMEM;
}

static int copy_texts(const list *from, list *to) {
    int result = FB_OK;

    if (from->count == 0) {
        return FB_OK;
    }
    to->items = fb_mem_zero(from->count, sizeof(char *));
    if (to->items == NULL) {
        return FB_ENOMEM;
    }
    to->count = from->count;
    for (size_t i = 0; i < from->count && result == FB_OK; i++) {
        result = copy_text((char *const *)from->items + i, (char **)to->items + i);
    }
    return result;
}

static int copy_element(const fb_option *row, const void *from, void *to) {
    int result = fb_option_copy(row->inner, row->inner_size, from, to);

    if (result != FB_OK) {
        memset(to, 0, row->inner_size);
        return result;
    }
    *(char **)to = NULL;
    if (row->file_offset > 0) {
        *(char **)member(to, row->file_offset) = NULL;
        result = copy_text(peek(from, row->file_offset), member(to, row->file_offset));
    }
    return result == FB_OK ? copy_text(from, to) : result;
}

static int copy_named(const fb_option *row, const list *from, list *to) {
    int result = FB_OK;

    if (from->count == 0) {
        return FB_OK;
    }
    to->items = fb_mem_zero(from->count, row->inner_size);
    if (to->items == NULL) {
        return FB_ENOMEM;
    }
    to->count = from->count;
    for (size_t i = 0; i < from->count && result == FB_OK; i++) {
        size_t start = i * row->inner_size;
        result = copy_element(row, (const char *)from->items + start, (char *)to->items + start);
    }
    return result;
}

static int fill(const fb_option *table, const void *from, void *to) {
    int result = FB_OK;

    for (const fb_option *row = table; row->name != NULL && result == FB_OK; row++) {
        switch (row->type) {
            case FB_OPTION_TEXT:
            case FB_OPTION_PATH:
            case FB_OPTION_ADDRESS:
                result = copy_text(peek(from, row->offset), member(to, row->offset));
                break;
            case FB_OPTION_TEXTS:
                result = copy_texts(peek(from, row->offset), member(to, row->offset));
                break;
            case FB_OPTION_NAMED:
                result = copy_named(row, peek(from, row->offset), member(to, row->offset));
                break;
            case FB_OPTION_SECTION:
                result = fill(row->inner, peek(from, row->offset), member(to, row->offset));
                break;
            default:
                break;
        }
    }
    return result;
}

int fb_option_copy(const fb_option *table, size_t size, const void *from, void *to) {
    memcpy(to, from, size);
    forget(table, to);
    int result = fill(table, from, to);
    if (result != FB_OK) {
        fb_option_release(table, to);
    }
    return result;
}
