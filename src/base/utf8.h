// base/utf8.h -- UTF-8 as RFC 3629 has it: no surrogates, nothing above U+10FFFF, no long forms.

#ifndef FB_BASE_UTF8_H
#define FB_BASE_UTF8_H

#include <forebay/base.h>

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
// The length of the run of ASCII that starts at `place`.
size_t fb_utf8_ascii(fb_str bytes, size_t place);

#ifdef __cplusplus
}
#endif

#endif
