// Byte strings.
//
// Numbers are read strictly: what is accepted here is written back in the same bytes (integers) or
// means one number in every locale (doubles, which go through strtod once their shape is known).

#include "base/str.h"

#include "base/locale.h"

#include <math.h>
#include <stdlib.h>

enum {
    NUMBER_MAX = 511,  // longer ones are no use: a double has 17 digits that count
    NAME_MAX_LEN = 127,
};

static unsigned char lower(char byte) {
    return (unsigned char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
}

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static size_t digits(fb_str str, size_t *place) {
    size_t start = *place;

    while (*place < str.len && is_digit(str.ptr[*place])) {
        (*place)++;
    }
    return *place - start;
}

// [+-] digits [. digits] [e [+-] digits], with a digit on at least one side of the point.
static bool looks_decimal(fb_str str) {
    size_t i = 0;

    if (i < str.len && (str.ptr[i] == '-' || str.ptr[i] == '+')) {
        i++;
    }
    size_t count = digits(str, &i);
    if (i < str.len && str.ptr[i] == '.') {
        i++;
        count += digits(str, &i);
    }
    if (count == 0) {
        return false;
    }
    if (i < str.len && (str.ptr[i] == 'e' || str.ptr[i] == 'E')) {
        i++;
        if (i < str.len && (str.ptr[i] == '-' || str.ptr[i] == '+')) {
            i++;
        }
        if (digits(str, &i) == 0) {
            return false;
        }
    }
    return i == str.len;
}

bool fb_str_same(fb_str a, fb_str b) {
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

int fb_str_compare(fb_str a, fb_str b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool fb_str_starts(fb_str str, fb_str prefix) {
    return str.len >= prefix.len && fb_str_equal((fb_str){str.ptr, prefix.len}, prefix);
}

bool fb_str_ends(fb_str str, fb_str suffix) {
    if (suffix.len == 0) {
        return true;
    }
    return str.len >= suffix.len &&
           memcmp(str.ptr + (str.len - suffix.len), suffix.ptr, suffix.len) == 0;
}

size_t fb_str_find(fb_str str, char byte) {
    const char *found = str.len > 0 ? memchr(str.ptr, byte, str.len) : NULL;

    return found != NULL ? (size_t)(found - str.ptr) : str.len;
}

fb_str fb_str_hash_tag(fb_str key) {
    const char *open = key.len > 0 ? memchr(key.ptr, '{', key.len) : NULL;
    if (open == NULL) {
        return key;
    }
    size_t left = key.len - (size_t)(open - key.ptr) - 1;
    const char *close = left > 0 ? memchr(open + 1, '}', left) : NULL;
    return close != NULL && close > open + 1 ? fb_str_make(open + 1, (size_t)(close - open) - 1) : key;
}

fb_str fb_str_trim(fb_str str) {
    while (str.len > 0 && is_space(str.ptr[0])) {
        str.ptr++;
        str.len--;
    }
    while (str.len > 0 && is_space(str.ptr[str.len - 1])) {
        str.len--;
    }
    return str;
}

int fb_str_int(fb_str str, int64_t *number) {
    size_t i = 0;
    bool negative = str.len > 0 && str.ptr[0] == '-';
    size_t start = negative ? 1 : 0;
    int64_t value = 0;
    bool fits = true;

    i = start;
    size_t count = digits(str, &i);
    if (count == 0 || i != str.len || (str.ptr[start] == '0' && (count > 1 || negative))) {
        return FB_ETYPE;
    }
    for (i = start; i < str.len && fits; i++) {
        int digit = str.ptr[i] - '0';
        // Below zero there is one number more than above it.
        fits = !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_sub_overflow(value, digit, &value);
    }
    if (!fits || (!negative && value == INT64_MIN)) {
        return FB_ERANGE;
    }
    *number = negative ? value : -value;
    return FB_OK;
}

int fb_str_double(fb_str str, double *number) {
    char text[NUMBER_MAX + 1];

    if (str.len > NUMBER_MAX || !looks_decimal(str)) {
        return FB_ETYPE;
    }
    memcpy(text, str.ptr, str.len);
    text[str.len] = '\0';
    locale_t locale = fb_locale_get();
    double value = locale != (locale_t)0 ? strtod_l(text, NULL, locale) : strtod(text, NULL);
    if (!isfinite(value)) {
        return FB_ETYPE;
    }
    *number = value;
    return FB_OK;
}

// The row of the usual table, updated in place: row[j] is the distance of the first i bytes of `a`
// from the first j of `b`. Names longer than the row are as far apart as `limit` allows.
size_t fb_str_distance(fb_str a, fb_str b, size_t limit) {
    size_t row[NAME_MAX_LEN + 1];

    if (fb_str_equal(a, b)) {
        return 0;
    }
    size_t apart = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (apart >= limit || b.len > NAME_MAX_LEN || a.len > NAME_MAX_LEN) {
        return limit;
    }
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = corner + (a.ptr[i - 1] != b.ptr[j - 1]);
            best = best <= row[j] + 1 ? best : row[j] + 1;
            best = best <= row[j - 1] + 1 ? best : row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[b.len] < limit ? row[b.len] : limit;
}
