// Idea: one decoder, fb_utf8_next(), that takes a code point or says the next byte begins none; the
// rest are loops over it. Runs of ASCII, which most text is, are passed eight bytes at a time.

#include "base/utf8.h"

#include <string.h>

static const uint64_t high_bits = UINT64_C(0x8080808080808080);

size_t fb_utf8_ascii(fb_str bytes, size_t place) {
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

// How long a character is that starts with `byte`.
static size_t announced(unsigned char byte) {
    return byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
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
        size_t used = fb_utf8_ascii(bytes, place);
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
