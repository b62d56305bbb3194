// cache/key_pattern.h -- a compiled key pattern: writes keys, takes them apart, compares patterns.
// What patterns mean stands in cache/class.h. Immutable once made.

#ifndef FB_CACHE_KEY_PATTERN_H
#define FB_CACHE_KEY_PATTERN_H

#include "base/buf.h"
#include "cache/class.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_KEY_HASH_LEN = 32, FB_KEY_PARTS_MAX = FB_CLASS_PARAMS_MAX + 1 };

typedef struct fb_key_part {
    fb_str before;  // the text in front of it
    fb_str name;    // of the parameter
    bool hash;      // {hash}
    int stop;       // the first byte behind it; -1: it ends the key
} fb_key_part;

struct fb_key_pattern {
    fb_str text;         // as it was written
    fb_str prefix;       // the text before the first part
    fb_str tail;         // the text behind the last part
    size_t literal_len;  // all text together
    size_t part_count;
    bool has_hash;
    fb_key_part parts[FB_KEY_PARTS_MAX];
    char bytes[];
};

// FB_OK, FB_ENOMEM, or FB_EINVAL with text.
FB_CHECK_RESULT int fb_key_pattern_new(fb_str text, fb_key_pattern **pattern, fb_error *error);
void fb_key_pattern_free(fb_key_pattern *pattern);

// Whether `key` has the pattern's shape; spans[i] (may be NULL) is what stands for part i, still
// encoded. One pass, no way back: a parameter ends where its stop byte first comes.
bool fb_key_pattern_match(const fb_key_pattern *pattern, fb_str key, fb_str *spans);
// The length of what `key` begins with up to and including `separator` behind part `part`; 0: it
// does not begin so. `separator` is the beginning of the text behind that part.
size_t fb_key_pattern_reach(const fb_key_pattern *pattern, size_t part, fb_str separator,
                            fb_str key);
// The separator behind a part that is not last: bytes up to the next letter or digit, at least one.
fb_str fb_key_pattern_separator(const fb_key_pattern *pattern, size_t part);

// Appends the key made of one value for each part. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_key_pattern_write(const fb_key_pattern *pattern, const fb_str *values,
                                         fb_buf *key);
// The value behind a span: the span itself, or decoded at the end of `out`, which must have room
// for it already. FB_OK, or FB_MISS: fb_key_pattern_write() does not make such a span.
FB_CHECK_RESULT int fb_key_part_decode(const fb_key_part *part, fb_str span, fb_buf *out,
                                       fb_str *value);

// < 0: `a` is the more specific, > 0: `b` is. 0: they are the same but for names.
int fb_key_pattern_compare(const fb_key_pattern *a, const fb_key_pattern *b);
// Whether they are the same but for names up to and including part `part`.
bool fb_key_pattern_same(const fb_key_pattern *a, const fb_key_pattern *b, size_t part);

#ifdef __cplusplus
}
#endif

#endif
