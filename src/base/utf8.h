// base/utf8.h -- UTF-8 as RFC 3629 has it: no surrogates, nothing above U+10FFFF, no long forms.

#ifndef FB_BASE_UTF8_H
#define FB_BASE_UTF8_H

#include <forebay/base.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// The code point `bytes` starts with and, in *used, its length: 1 to 4. -1 where it starts with no
// valid one, or is empty (*used is then 1 or 0).
int32_t fb_utf8_next(fb_str bytes, size_t *used);
bool fb_utf8_valid(fb_str bytes);
// How much of `text` to keep when it is cut after `len` bytes: `len`, or less by the part of a
// character that would be left at the end. Reads nothing after the cut.
size_t fb_utf8_cut(const char *text, size_t len);
// Appends `bytes` with every letter made small, one code point for one. Invalid bytes are copied as
// they are. FB_OK or FB_ENOMEM (nothing appended). `bytes` is not part of `out`.
FB_CHECK_RESULT int fb_utf8_fold(fb_str bytes, fb_buf *out);

#ifdef __cplusplus
}
#endif

#endif
