// A growable byte buffer: capacity doubles, so that n appended bytes cost O(n) in all.
//
// Invariant: len <= cap, and ptr is NULL exactly when cap is 0. No room is kept for a final NUL,
// except that printf, whose C function writes one, asks for it.

#include "base/buf.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CAP_MIN = 64 };

void fb_buf_release(fb_buf *buf) {
    fb_mem_free(buf->ptr);
    *buf = (fb_buf){0};
}

int fb_buf_reserve(fb_buf *buf, size_t more) {
    FB_ASSERT(buf->len <= buf->cap);
    if (more <= buf->cap - buf->len) {
        return FB_OK;
    }
    if (more > SIZE_MAX / 2 - buf->len) {
        return FB_ENOMEM;
    }
    size_t cap = buf->cap < CAP_MIN ? CAP_MIN : buf->cap * 2;
    if (cap < buf->len + more) {
        cap = buf->len + more;
    }
    char *ptr = fb_mem_resize(buf->ptr, cap);
    if (ptr == NULL) {
        return FB_ENOMEM;
    }
    buf->ptr = ptr;
    buf->cap = cap;
    return FB_OK;
}

int fb_buf_append(fb_buf *buf, fb_str bytes) {
    if (bytes.len == 0) {
        return FB_OK;
    }
    int result = fb_buf_reserve(buf, bytes.len);
    if (result != FB_OK) {
        return result;
    }
    memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
    buf->len += bytes.len;
    return FB_OK;
}

int fb_buf_byte(fb_buf *buf, char byte) {
    int result = fb_buf_reserve(buf, 1);
    if (result != FB_OK) {
        return result;
    }
    buf->ptr[buf->len++] = byte;
    return FB_OK;
}

// Once into the room there is, which is nearly always enough; then once more into enough.
int fb_buf_printf(fb_buf *buf, const char *format, ...) {
    va_list arguments;

    for (;;) {
        size_t room = buf->cap - buf->len;
        va_start(arguments, format);
        int len = vsnprintf(room > 0 ? buf->ptr + buf->len : NULL, room, format, arguments);
        va_end(arguments);
        if (len < 0) {
            return FB_ENOMEM;
        }
        if ((size_t)len < room) {
            buf->len += (size_t)len;
            return FB_OK;
        }
        int result = fb_buf_reserve(buf, (size_t)len + 1);
        if (result != FB_OK) {
            return result;
        }
    }
}

void fb_buf_consume(fb_buf *buf, size_t count) {
    FB_ASSERT(count <= buf->len);
    if (count == 0) {
        return;
    }
    buf->len -= count;
    memmove(buf->ptr, buf->ptr + count, buf->len);
}
