// Idea: every token of a pattern but '*' matches exactly one byte. So when a byte does not match,
// it is enough to go back to the last '*' and let it take one byte more: an earlier '*' that took
// more could only leave less text for the same rest. That makes a loop of two marks out of what is
// usually a recursion, and at most len(pattern) × len(text) steps.
//
// The corners are Redis's: a class without its ']' ends with the pattern, "[]" matches nothing and
// "[^]" any byte, a range may be written backwards, the end of a range is taken as it stands (also
// a backslash or ']'), and a backslash that ends the pattern is a backslash.

#include "base/glob.h"

#include <string.h>

static const size_t none = SIZE_MAX;

static bool between(unsigned char byte, unsigned char from, unsigned char to) {
    return from <= to ? byte >= from && byte <= to : byte >= to && byte <= from;
}

// The class whose '[' is at *place: whether it has `byte`. Moves *place past it.
static bool match_class(fb_str pattern, size_t *place, unsigned char byte) {
    const unsigned char *at = (const unsigned char *)pattern.ptr;
    size_t i = *place + 1;
    bool inverted = i < pattern.len && at[i] == '^';
    bool found = false;

    i += inverted;
    while (i < pattern.len && at[i] != ']') {
        if (at[i] == '\\' && i + 1 < pattern.len) {
            found |= at[i + 1] == byte;
            i += 2;
        } else if (i + 2 < pattern.len && at[i + 1] == '-') {
            found |= between(byte, at[i], at[i + 2]);
            i += 3;
        } else {
            found |= at[i] == byte;
            i++;
        }
    }
    *place = i < pattern.len ? i + 1 : i;
    return found != inverted;
}

// Whether the token at *place, which is not '*', matches `byte`. Moves *place past it.
static bool match_token(fb_str pattern, size_t *place, unsigned char byte) {
    unsigned char token = (unsigned char)pattern.ptr[*place];

    if (token == '[') {
        return match_class(pattern, place, byte);
    }
    if (token == '\\' && *place + 1 < pattern.len) {
        token = (unsigned char)pattern.ptr[*place + 1];
        *place += 2;
        return token == byte;
    }
    *place += 1;
    return token == '?' || token == byte;
}

bool fb_glob_match(fb_str pattern, fb_str text) {
    size_t p = 0, t = 0;
    size_t star_p = none, star_t = 0;  // after the last '*', and where what follows it began

    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star_p = ++p;
            star_t = t;
            continue;
        }
        if (p < pattern.len && match_token(pattern, &p, (unsigned char)text.ptr[t])) {
            t++;
            continue;
        }
        if (star_p == none) {
            return false;
        }
        p = star_p;
        t = ++star_t;
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

fb_str fb_glob_prefix(fb_str pattern) {
    size_t len = 0;

    while (len < pattern.len && memchr("*?[\\", pattern.ptr[len], 4) == NULL) {
        len++;
    }
    fb_str prefix = {pattern.ptr, len};
    return prefix;
}
