// What of an option is not shown: passwords, and what stands before the host in an URL.
//
// The masking takes text as it was set, right or wrong: what does not look like an URL is masked
// whole, and the last "@" counts, since a password may have one that should have been escaped.

#include "base/str.h"
#include "config/values.h"

#include <string.h>

static const fb_str mask = FB_STR_INIT("***");

static bool contains(fb_str text, fb_str part) {
    return text.ptr != NULL && part.len <= text.len &&
           memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

static int show_url(fb_str url, fb_buf *out) {
    const char *scheme_end = memmem(url.ptr, url.len, "://", 3);

    if (scheme_end == NULL) {
        return fb_buf_append(out, mask);
    }
    fb_str scheme = {url.ptr, (size_t)(scheme_end - url.ptr) + 3};
    fb_str rest = {url.ptr + scheme.len, url.len - scheme.len};
    if (contains(rest, FB_STR("password="))) {
        rest.len = 0;  // among the parameters of a query, where an "@" tells nothing
    }
    const char *at = rest.len > 0 ? memrchr(rest.ptr, '@', rest.len) : NULL;
    if (at == NULL && rest.len > 0) {
        return fb_buf_append(out, url);
    }
    int result = fb_buf_append(out, scheme);
    if (result == FB_OK) {
        result = fb_buf_append(out, mask);
    }
    size_t before = at != NULL ? (size_t)(at - rest.ptr) : 0;
    return result == FB_OK
               ? fb_buf_append(out, fb_str_make(rest.ptr + before, rest.len - before))
               : result;
}

int fb_value_show_open(const fb_option *row, const void *object, fb_buf *out) {
    if (row->secret == FB_OPTION_OPEN) {
        return fb_value_show(row, object, out);
    }
    if (row->type == FB_OPTION_TEXTS) {
        size_t count;  // behind the pointer to them
        memcpy(&count, (const char *)object + row->offset + sizeof(char **), sizeof count);
        return count == 0 ? fb_buf_append(out, FB_STR("[]")) : fb_buf_append(out, mask);
    }
    const char *text = *(char *const *)(const void *)((const char *)object + row->offset);
    if (text == NULL) {
        return FB_MISS;
    }
    if (text[0] == '\0') {
        return FB_OK;
    }
    return row->secret == FB_OPTION_SECRET_URL ? show_url(fb_str_of(text), out)
                                               : fb_buf_append(out, mask);
}
