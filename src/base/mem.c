// Memory, always through the hook.
//
// Idea: the hook is one function in the manner of realloc; here its corners are settled once. Size
// 0 never reaches it except to free, so "NULL" means "no memory" to every caller that asked for
// some.
//
// Zeroed memory comes from calloc while the hook is the default: large tables then cost pages only
// as they are touched. A replaced hook is honoured, with a memset.

#include "base/mem.h"

#include "base/hooks.h"

#include <stdlib.h>
#include <string.h>

void *fb_mem_new(size_t size) {
    return size == 0 ? NULL : fb_hooks_current.resize(fb_hooks_current.resize_arg, NULL, size);
}

void *fb_mem_zero(size_t count, size_t size) {
    size_t total;

    if (__builtin_mul_overflow(count, size, &total) || total == 0) {
        return NULL;
    }
    if (fb_hooks_plain_memory()) {
        return calloc(1, total);
    }
    void *ptr = fb_mem_new(total);
    return ptr != NULL ? memset(ptr, 0, total) : NULL;
}

void *fb_mem_resize(void *ptr, size_t size) {
    return size == 0 ? NULL : fb_hooks_current.resize(fb_hooks_current.resize_arg, ptr, size);
}

void fb_mem_free(void *ptr) {
    if (ptr != NULL) {
        (void)fb_hooks_current.resize(fb_hooks_current.resize_arg, ptr, 0);
    }
}

char *fb_mem_text(fb_str bytes) {
    if (bytes.len == SIZE_MAX) {
        return NULL;
    }
    char *text = fb_mem_new(bytes.len + 1);
    if (text == NULL) {
        return NULL;
    }
    if (bytes.len > 0) {
        memcpy(text, bytes.ptr, bytes.len);
    }
    text[bytes.len] = '\0';
    return text;
}
