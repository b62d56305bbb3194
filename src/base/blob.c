// The count and the bytes in one allocation.
//
// A drop releases what its thread wrote or read, and the last drop acquires all of that before it
// frees. Taking needs no order: whoever takes holds a reference already.

#include "base/blob.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <string.h>

struct fb_blob {
    atomic_size_t count;
    size_t len;
    char bytes[];
};

fb_blob *fb_blob_new(fb_str bytes) {
    size_t size;

    if (__builtin_add_overflow(sizeof(fb_blob), bytes.len, &size)) {
        return NULL;
    }
    fb_blob *blob = fb_mem_new(size);
    if (blob == NULL) {
        return NULL;
    }
    atomic_init(&blob->count, 1);
    blob->len = bytes.len;
    if (bytes.len > 0) {
        memcpy(blob->bytes, bytes.ptr, bytes.len);
    }
    return blob;
}

fb_str fb_blob_str(const fb_blob *blob) {
    fb_str str = {blob->bytes, blob->len};
    return str;
}

fb_blob *fb_blob_take(fb_blob *blob) {
    size_t before = atomic_fetch_add_explicit(&blob->count, 1, memory_order_relaxed);
    FB_ASSERT(before > 0);
    return blob;
}

void fb_blob_drop(fb_blob *blob) {
    if (blob == NULL) {
        return;
    }
    size_t before = atomic_fetch_sub_explicit(&blob->count, 1, memory_order_acq_rel);
    FB_ASSERT(before > 0);
    if (before == 1) {
        fb_mem_free(blob);
    }
}
