// Any bytes as answers of HTTP, one after the other, as a load reads them: what is taken for an answer is
// whole and lies within them, and cut short it is never another.

#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "cli/bench_load_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str rest = {(const char *)data, size};
    fb_load_http_answer answer, shorter;
    char text[FB_LOAD_ERROR_SIZE];
    bool none;
    ssize_t len = 1;
    while (rest.len > 0 && (len = fb_load_http_read(rest, &answer)) > 0) {
        FB_ASSERT((size_t)len <= rest.len);
        FB_ASSERT(answer.body.ptr + answer.body.len == rest.ptr + len);
        FB_ASSERT(answer.status >= 200 && answer.status <= 999);
        fb_str word = fb_load_http_error(&answer, text, &none);
        FB_ASSERT(answer.status >= 400 || (word.len == 0 && !none));
        FB_ASSERT(word.len <= answer.body.len || word.ptr == text);
        FB_ASSERT(fb_load_http_read(fb_str_make(rest.ptr, (size_t)len - 1), &shorter) == 0);
        rest = fb_str_make(rest.ptr + len, rest.len - (size_t)len);
    }
    return 0;
}
