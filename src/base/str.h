// base/str.h -- byte strings: comparison, trimming, numbers.

#ifndef FB_BASE_STR_H
#define FB_BASE_STR_H

#include <forebay/base.h>

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

// For printf's "%.*s".
#define FB_STR_ARG(str) (int)(str).len, (str).ptr

static inline fb_str fb_str_of(const char *text) {
    fb_str str = {text, text != NULL ? strlen(text) : 0};
    return str;
}
static inline fb_str fb_str_make(const char *ptr, size_t len) {
    fb_str str = {ptr, len};
    return str;
}
static inline bool fb_str_equal(fb_str a, fb_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
// Without regard to the case of ASCII letters.
bool fb_str_same(fb_str a, fb_str b);
int fb_str_compare(fb_str a, fb_str b);
bool fb_str_starts(fb_str str, fb_str prefix);
bool fb_str_ends(fb_str str, fb_str suffix);
// Position of the first `byte`, or len.
size_t fb_str_find(fb_str str, char byte);
// What of a key says where it lies (its hash tag, as the Redis Cluster specification has it): what stands
// between its first '{' and the next '}', unless that is nothing, or there is none; then all of it.
fb_str fb_str_hash_tag(fb_str key);
// Without leading and trailing ASCII white space.
fb_str fb_str_trim(fb_str str);
// Whole-string decimal integer as Redis accepts it (no sign '+', no spaces, no leading zeros).
// FB_OK, FB_ETYPE (not a number), FB_ERANGE (does not fit).
FB_CHECK_RESULT int fb_str_int(fb_str str, int64_t *number);
// Whole-string finite decimal number of at most 511 bytes, whatever the process's locale. FB_OK or
// FB_ETYPE.
FB_CHECK_RESULT int fb_str_double(fb_str str, double *number);
// Edits needed to turn one into the other (Levenshtein), for "did you mean"; at most `limit`.
// Names above 127 bytes count as `limit` apart.
size_t fb_str_distance(fb_str a, fb_str b, size_t limit);

#ifdef __cplusplus
}
#endif

#endif
