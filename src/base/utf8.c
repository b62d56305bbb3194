// Idea: one decoder, fb_utf8_next(), that takes a code point or says the next byte begins none; the
// rest are loops over it. Runs of ASCII, which most text is, are passed eight bytes at a time.
//
// Folding is the C library's towlower() in a locale of our own (base/locale.h). It maps one code
// point to one: that is Unicode's simple lower case. Full folding ("ß" to "ss") would change more
// than case.

#include "base/utf8.h"

#include "base/locale.h"

#include <string.h>
#include <wctype.h>

static const uint64_t high_bits = UINT64_C(0x8080808080808080);

// The length of the run of ASCII that starts at `place`.
static size_t ascii_run(fb_str bytes, size_t place) {
    size_t end = place;
    uint64_t word;

    while (bytes.len - end >= sizeof(word)) {
        memcpy(&word, bytes.ptr + end, sizeof(word));
        if ((word & high_bits) != 0) {
            break;
        }
        end += sizeof(word);
    }
    while (end < bytes.len && (unsigned char)bytes.ptr[end] < 0x80) {
        end++;
    }
    return end - place;
}

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

// How long a character is that starts with `byte`.
static size_t announced(unsigned char byte) {
    return byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
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

int32_t fb_utf8_next(fb_str bytes, size_t *used) {
    // The smallest code point of each length: smaller ones are long forms.
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    if (bytes.len == 0) {
        *used = 0;
        return -1;
    }
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    *used = 1;
    if (at[0] < 0x80) {
        return at[0];
    }
    size_t len = announced(at[0]);
    if (at[0] < 0xc2 || at[0] > 0xf4 || bytes.len < len) {
        return -1;
    }
    uint32_t code = at[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return -1;
        }
        code = code << 6 | (at[i] & 0x3f);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return -1;
    }
    *used = len;
    return (int32_t)code;
}

bool fb_utf8_valid(fb_str bytes) {
    size_t place = 0;

    while (place < bytes.len) {
        size_t used = ascii_run(bytes, place);
        place += used;
        if (place < bytes.len) {
            fb_str rest = {bytes.ptr + place, bytes.len - place};
            if (fb_utf8_next(rest, &used) < 0) {
                return false;
            }
            place += used;
        }
    }
    return true;
}

size_t fb_utf8_cut(const char *text, size_t len) {
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char byte = (unsigned char)text[len - back];
        if ((byte & 0xc0) != 0x80) {
            return announced(byte) > back ? len - back : len;
        }
    }
    return len;
}

int fb_utf8_fold(fb_str bytes, fb_buf *out) {
    locale_t locale = fb_locale_get();
    size_t before = out->len;
    size_t place = 0;

    // A small letter may be longer than its capital by a byte; that room is found as it is needed.
    int result = fb_buf_reserve(out, bytes.len);
    while (result == FB_OK && place < bytes.len) {
        size_t used = ascii_run(bytes, place);
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
