// cache/braces.h -- text with {names} in it, as key patterns and tag templates are written.

#ifndef FB_CACHE_BRACES_H
#define FB_CACHE_BRACES_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_brace {
    bool name;    // else text as it is
    fb_str text;  // part of what was read
} fb_brace;

// The next piece from *at on, which moves behind it. Text that holds `{{` or `}}` comes in several
// pieces. FB_OK. FB_MISS: the end. FB_EINVAL: a lone brace, or a name that is none.
FB_CHECK_RESULT int fb_brace_next(fb_str text, size_t *at, fb_brace *brace, fb_error *error);
// A letter or `_`, then letters, digits and `_`; at most 64 bytes.
bool fb_brace_is_name(fb_str text);

#ifdef __cplusplus
}
#endif

#endif
