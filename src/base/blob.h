// base/blob.h -- immutable bytes shared by reference count; any thread may take and drop.

#ifndef FB_BASE_BLOB_H
#define FB_BASE_BLOB_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_blob fb_blob;

// A copy of `bytes` with one reference, or NULL (no memory).
FB_CHECK_RESULT fb_blob *fb_blob_new(fb_str bytes);
fb_str fb_blob_str(const fb_blob *blob);
fb_blob *fb_blob_take(fb_blob *blob);
// The last drop frees. NULL is fine.
void fb_blob_drop(fb_blob *blob);

#ifdef __cplusplus
}
#endif

#endif
