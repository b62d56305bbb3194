// Most values are in their form already, so each kind looks first and copies only what changes.
//
// Numbers are put into their form as decimal digits, not through a double: nothing is rounded, and
// no locale takes part. The layout is the one people know from JSON: plain digits where that takes
// few zeros, an exponent elsewhere.

#include "cache/normal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fold.h"
#include "base/str.h"

enum {
    NUMBER_DIGITS_MAX = 64,
    NUMBER_POINT_MAX = 308,  // below 1e308 in size, and above 1e-308: what any double can hold
    NUMBER_PLAIN_MAX = 21,   // more digits before the point take an exponent
    NUMBER_PLAIN_MIN = -6,   // and so do more zeros behind it
};

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

// ---- text

static bool needs_fold(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte >= 0x80 || (byte >= 'A' && byte <= 'Z')) {
            return true;
        }
    }
    return false;
}

static bool needs_collapse(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (is_space(text.ptr[i]) &&
            (text.ptr[i] != ' ' || (i + 1 < text.len && is_space(text.ptr[i + 1])))) {
            return true;
        }
    }
    return false;
}

// In place, from `start` to the end of the buffer.
static void collapse(fb_buf *buf, size_t start) {
    size_t to = start;
    for (size_t from = start; from < buf->len; from++) {
        bool space = is_space(buf->ptr[from]);
        if (!space || to == start || buf->ptr[to - 1] != ' ') {
            buf->ptr[to++] = space ? ' ' : buf->ptr[from];
        }
    }
    buf->len = to;
}

// Folding first is the same as folding last: it touches no white space.
static int normal_text(uint32_t normalise, fb_str *value, fb_buf *out, bool *changed) {
    if ((normalise & FB_NORMALISE_TRIM) != 0) {
        *value = fb_str_trim(*value);
    }
    bool fold = (normalise & FB_NORMALISE_CASEFOLD) != 0 && needs_fold(*value);
    bool squeeze = (normalise & FB_NORMALISE_COLLAPSE) != 0 && needs_collapse(*value);
    *changed = fold || squeeze;
    if (!*changed) {
        return FB_OK;
    }
    size_t start = out->len;
    int result = fold ? fb_fold_case(*value, out) : fb_buf_append(out, *value);
    if (result != FB_OK) {
        return result;
    }
    if (squeeze) {
        collapse(out, start);
    } else if (out->len - start == value->len &&
               memcmp(out->ptr + start, value->ptr, value->len) == 0) {
        out->len = start;  // bytes beyond ASCII that were small already
        *changed = false;
    }
    return FB_OK;
}

// ---- integers

// Decimal with a sign and leading zeros, as people and other programs write them.
static int read_integer(fb_str text, int64_t *number) {
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t i = negative || (text.len > 0 && text.ptr[0] == '+') ? 1 : 0;
    int64_t value = 0;
    bool fits = true;
    if (i == text.len) {
        return FB_ETYPE;
    }
    for (; i < text.len; i++) {
        if (!is_digit(text.ptr[i])) {
            return FB_ETYPE;
        }
        int64_t digit = text.ptr[i] - '0';
        fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, negative ? -digit : digit, &value);
    }
    *number = value;
    return fits ? FB_OK : FB_ERANGE;
}

static int append_form(fb_str form, const fb_str *value, fb_buf *out, bool *changed) {
    *changed = !fb_str_equal(form, *value);
    return *changed ? fb_buf_append(out, form) : FB_OK;
}

static int normal_integer(const fb_class_param *param, const fb_str *value, fb_buf *out,
                          bool *changed) {
    int64_t number = 0;
    int result = read_integer(fb_str_trim(*value), &number);
    if (result != FB_OK) {
        return result;
    }
    if (number < param->min || number > param->max) {
        return FB_ERANGE;
    }
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRId64, number);
    return append_form(fb_str_make(text, (size_t)len), value, out, changed);
}

// ---- numbers

// 0.d1d2d3… × 10^point, d1 and the last digit not 0; no digits: zero.
typedef struct decimal {
    bool negative;
    size_t count;
    int64_t point;
    char digits[NUMBER_DIGITS_MAX];
} decimal;

static int add_digit(decimal *number, char digit) {
    if (number->count == 0 && digit == '0') {
        return FB_OK;
    }
    if (number->count == NUMBER_DIGITS_MAX) {
        return FB_ERANGE;
    }
    number->digits[number->count++] = digit;
    return FB_OK;
}

// The digits with at most one point among them. *at moves behind them.
static int read_digits(fb_str text, size_t *at, decimal *number) {
    size_t seen = 0;
    bool fraction = false;
    int result = FB_OK;
    for (; result == FB_OK && *at < text.len; ++*at) {
        char byte = text.ptr[*at];
        if (byte == '.' && !fraction) {
            fraction = true;
        } else if (is_digit(byte)) {
            bool leading = number->count == 0 && byte == '0';
            // Leading zeros move the point behind it, other digits the one before it.
            number->point += fraction ? (leading ? -1 : 0) : (leading ? 0 : 1);
            result = add_digit(number, byte);
            seen++;
        } else {
            break;
        }
    }
    return seen == 0 ? FB_ETYPE : result;
}

static int read_exponent(fb_str text, size_t *at, decimal *number) {
    if (*at < text.len && (text.ptr[*at] == 'e' || text.ptr[*at] == 'E')) {
        int64_t exponent = 0;
        int result = read_integer(fb_str_make(text.ptr + *at + 1, text.len - *at - 1), &exponent);
        if (result != FB_OK) {
            return result;
        }
        *at = text.len;
        if (__builtin_add_overflow(number->point, exponent, &number->point)) {
            return FB_ERANGE;
        }
    }
    return *at == text.len ? FB_OK : FB_ETYPE;
}

static int read_number(fb_str text, decimal *number) {
    *number = (decimal){.negative = text.len > 0 && text.ptr[0] == '-'};
    size_t at = number->negative || (text.len > 0 && text.ptr[0] == '+') ? 1 : 0;
    int result = read_digits(text, &at, number);
    if (result == FB_OK) {
        result = read_exponent(text, &at, number);
    }
    while (number->count > 0 && number->digits[number->count - 1] == '0') {
        number->count--;
    }
    if (result != FB_OK || number->count == 0) {
        return result;
    }
    bool fits = number->point <= NUMBER_POINT_MAX && number->point > -NUMBER_POINT_MAX;
    return fits ? FB_OK : FB_ERANGE;
}

typedef struct number_text {
    char bytes[NUMBER_DIGITS_MAX + 32];
    size_t len;
} number_text;

static void put(number_text *text, const char *bytes, size_t len) {
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static void put_zeros(number_text *text, int64_t count) {
    for (; count > 0; count--) {
        put(text, "0", 1);
    }
}

static void write_plain(const decimal *number, number_text *text) {
    int64_t count = (int64_t)number->count;
    if (number->point <= 0) {
        put(text, "0.", 2);
        put_zeros(text, -number->point);
        put(text, number->digits, number->count);
    } else if (number->point >= count) {
        put(text, number->digits, number->count);
        put_zeros(text, number->point - count);
    } else {
        put(text, number->digits, (size_t)number->point);
        put(text, ".", 1);
        put(text, number->digits + number->point, (size_t)(count - number->point));
    }
}

static void write_number(const decimal *number, number_text *text) {
    text->len = 0;
    if (number->count == 0) {
        put(text, "0", 1);
        return;
    }
    if (number->negative) {
        put(text, "-", 1);
    }
    if (number->point > NUMBER_PLAIN_MIN && number->point <= NUMBER_PLAIN_MAX) {
        write_plain(number, text);
        return;
    }
    put(text, number->digits, 1);
    if (number->count > 1) {
        put(text, ".", 1);
        put(text, number->digits + 1, number->count - 1);
    }
    char exponent[24];
    int len = snprintf(exponent, sizeof exponent, "e%" PRId64, number->point - 1);
    put(text, exponent, (size_t)len);
}

static int normal_number(const fb_str *value, fb_buf *out, bool *changed) {
    decimal number;
    int result = read_number(fb_str_trim(*value), &number);
    if (result != FB_OK) {
        return result;
    }
    number_text text;
    write_number(&number, &text);
    return append_form(fb_str_make(text.bytes, text.len), value, out, changed);
}

int fb_normal_value(const fb_class_param *param, uint32_t normalise, fb_str *value, fb_buf *out,
                    bool *changed) {
    switch (param->type) {
        case FB_PARAM_INTEGER:
            return normal_integer(param, value, out, changed);
        case FB_PARAM_NUMBER:
            return normal_number(value, out, changed);
        case FB_PARAM_TEXT:
            break;
    }
    return normal_text(normalise, value, out, changed);
}
