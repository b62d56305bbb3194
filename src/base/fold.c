// Folding is the C library's towlower() in a locale of our own (base/locale.h). It maps one code
// point to one: that is Unicode's simple lower case. Full folding ("ß" to "ss") would change more
// than case. Runs of ASCII go by themselves, without it.

#include "base/fold.h"

#include "base/locale.h"
#include "base/utf8.h"

#include <wctype.h>

static size_t encode(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

static int fold_ascii(fb_str bytes, fb_buf *out) {
    int result = fb_buf_reserve(out, bytes.len);

    if (result != FB_OK) {
        return result;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.ptr[i];
        unsigned char small = (unsigned char)(byte | 0x20);
        out->ptr[out->len + i] = (char)((unsigned char)(byte - 'A') < 26 ? small : byte);
    }
    out->len += bytes.len;
    return FB_OK;
}

// The code point, or the byte that is none, at the start of `bytes`.
static int fold_one(fb_str bytes, size_t *used, locale_t locale, fb_buf *out) {
    char encoded[4];
    int32_t code = fb_utf8_next(bytes, used);

    if (code < 0 || locale == (locale_t)0) {
        return fb_buf_append(out, (fb_str){bytes.ptr, *used});
    }
    size_t len = encode((uint32_t)towlower_l((wint_t)code, locale), encoded);
    return fb_buf_append(out, (fb_str){encoded, len});
}

int fb_fold_case(fb_str bytes, fb_buf *out) {
    locale_t locale = fb_locale_get();
    size_t before = out->len;
    size_t place = 0;

    // A small letter may be longer than its capital by a byte; that room is found as it is needed.
    int result = fb_buf_reserve(out, bytes.len);
    while (result == FB_OK && place < bytes.len) {
        size_t used = fb_utf8_ascii(bytes, place);
        fb_str rest = {bytes.ptr + place, bytes.len - place};
        if (used > 0) {
            result = fold_ascii((fb_str){rest.ptr, used}, out);
        } else {
            result = fold_one(rest, &used, locale, out);
        }
        place += used;
    }
    if (result != FB_OK) {
        out->len = before;
    }
    return result;
}
