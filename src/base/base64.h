// base/base64.h -- RFC 4648, section 4.
//
// Threads: any.

#ifndef FB_BASE_BASE64_H
#define FB_BASE_BASE64_H

#include <forebay/base.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// Appends to `out`, with padding. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_base64_write(fb_str bytes, fb_buf *out);
// Appends the bytes that `text` stands for, with or without its padding. FB_OK, FB_ESYNTAX, FB_ENOMEM.
FB_CHECK_RESULT int fb_base64_read(fb_str text, fb_buf *out);

#ifdef __cplusplus
}
#endif

#endif
