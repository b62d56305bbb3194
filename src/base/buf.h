// base/buf.h -- a growable byte buffer. Zero-initialise it; release it. Appending NULL bytes of
// length 0 is fine. Every append is all or nothing: FB_OK or FB_ENOMEM. What is appended is not
// part of the same buffer, which may move.

#ifndef FB_BASE_BUF_H
#define FB_BASE_BUF_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_buf {
    char *ptr;
    size_t len;
    size_t cap;
} fb_buf;

void fb_buf_release(fb_buf *buf);
// Room for `more` bytes after len.
FB_CHECK_RESULT int fb_buf_reserve(fb_buf *buf, size_t more);
FB_CHECK_RESULT int fb_buf_append(fb_buf *buf, fb_str bytes);
FB_CHECK_RESULT int fb_buf_byte(fb_buf *buf, char byte);
FB_PRINTF(2, 3) FB_CHECK_RESULT int fb_buf_printf(fb_buf *buf, const char *format, ...);
// Drops the first `count` bytes.
void fb_buf_consume(fb_buf *buf, size_t count);
static inline fb_str fb_buf_str(const fb_buf *buf) {
    fb_str str = {buf->ptr, buf->len};
    return str;
}

#ifdef __cplusplus
}
#endif

#endif
