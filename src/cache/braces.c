// One place decides what a {name} is, so that keys and tags cannot come to differ in it.

#include "cache/braces.h"

#include "base/error.h"
#include "base/str.h"

enum { NAME_LEN_MAX = 64 };

static bool is_letter(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

bool fb_brace_is_name(fb_str text) {
    if (text.len == 0 || text.len > NAME_LEN_MAX || !is_letter(text.ptr[0])) {
        return false;
    }
    for (size_t i = 1; i < text.len; i++) {
        if (!is_letter(text.ptr[i]) && !(text.ptr[i] >= '0' && text.ptr[i] <= '9')) {
            return false;
        }
    }
    return true;
}

static int take_name(fb_str text, size_t *at, fb_brace *brace, fb_error *error) {
    fb_str rest = fb_str_make(text.ptr + *at + 1, text.len - *at - 1);
    size_t len = fb_str_find(rest, '}');
    if (len == rest.len) {
        return fb_error_set(error, FB_EINVAL, "'{' at byte %zu has no '}'; '{{' stands for a brace",
                            *at + 1);
    }
    brace->name = true;
    brace->text = fb_str_make(rest.ptr, len);
    if (!fb_brace_is_name(brace->text)) {
        return fb_error_set(error, FB_EINVAL,
                            "'{%.*s}' at byte %zu is no name: expected letters, digits and '_', "
                            "%d at most",
                            FB_STR_ARG(brace->text), *at + 1, NAME_LEN_MAX);
    }
    *at += len + 2;
    return FB_OK;
}

int fb_brace_next(fb_str text, size_t *at, fb_brace *brace, fb_error *error) {
    if (*at >= text.len) {
        return FB_MISS;
    }
    char first = text.ptr[*at];
    if (first == '{' || first == '}') {
        if (*at + 1 < text.len && text.ptr[*at + 1] == first) {
            *brace = (fb_brace){false, {text.ptr + *at, 1}};
            *at += 2;
            return FB_OK;
        }
        if (first == '{') {
            return take_name(text, at, brace, error);
        }
        return fb_error_set(error, FB_EINVAL, "'}' at byte %zu has no '{'; '}}' stands for a brace",
                            *at + 1);
    }
    size_t end = *at;
    while (end < text.len && text.ptr[end] != '{' && text.ptr[end] != '}') {
        end++;
    }
    *brace = (fb_brace){false, {text.ptr + *at, end - *at}};
    *at = end;
    return FB_OK;
}
