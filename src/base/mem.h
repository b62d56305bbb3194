// base/mem.h -- the one way to memory. Goes through the process's hook (forebay/base.h), so that an
// embedder can replace it and the fault sweep can make any one allocation fail.

#ifndef FB_BASE_MEM_H
#define FB_BASE_MEM_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// NULL where there is none left, or `size` is 0.
FB_CHECK_RESULT void *fb_mem_new(size_t size);
// Zeroed; NULL also where count × size overflows.
FB_CHECK_RESULT void *fb_mem_zero(size_t count, size_t size);
// NULL, also for size 0, leaves `ptr` as it was; a NULL `ptr` is fb_mem_new().
FB_CHECK_RESULT void *fb_mem_resize(void *ptr, size_t size);
void fb_mem_free(void *ptr);
// A NUL-terminated copy of bytes.
FB_CHECK_RESULT char *fb_mem_text(fb_str bytes);

#ifdef __cplusplus
}
#endif

#endif
