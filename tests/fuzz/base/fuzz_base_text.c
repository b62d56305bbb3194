// Patterns, units and numbers. The input is a text and a pattern, with a NUL between them.
//
// The model of a pattern is the definition itself: tokens first, then a recursion over them that
// tries all lengths for a '*', given up after so many steps. What is read must come back as it was
// shown.

#include "base/glob.h"
#include "base/str.h"
#include "base/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOKENS_MAX = 128, STEPS_MAX = 20000 };

// One token: a '*', or the set of bytes it matches.
typedef struct token {
    bool is_star;
    bool set[256];
} token;

static token tokens[TOKENS_MAX];

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

// A class from the byte after '['; returns the place after its end.
static size_t read_class(fb_str pattern, size_t at, bool set[256]) {
    const uint8_t *bytes = (const uint8_t *)pattern.ptr;
    bool inverted = at < pattern.len && bytes[at] == '^';

    at += inverted;
    for (;;) {
        size_t left = pattern.len - at;
        if (left == 0) {
            break;
        }
        if (left >= 2 && bytes[at] == '\\') {
            set[bytes[at + 1]] = true;
            at += 2;
        } else if (bytes[at] == ']') {
            at++;
            break;
        } else if (left >= 3 && bytes[at + 1] == '-') {
            int low = bytes[at], high = bytes[at + 2];
            for (int byte = 0; byte < 256; byte++) {
                set[byte] |= (low <= byte && byte <= high) || (high <= byte && byte <= low);
            }
            at += 3;
        } else {
            set[bytes[at++]] = true;
        }
    }
    for (int byte = 0; byte < 256 && inverted; byte++) {
        set[byte] = !set[byte];
    }
    return at;
}

// Fills in `tokens`; returns how many, or TOKENS_MAX where there are too many.
static size_t read_tokens(fb_str pattern) {
    size_t count = 0;

    for (size_t at = 0; at < pattern.len && count < TOKENS_MAX; count++) {
        token *one = &tokens[count];
        *one = (token){0};
        char byte = pattern.ptr[at++];
        if (byte == '*') {
            one->is_star = true;
        } else if (byte == '[') {
            at = read_class(pattern, at, one->set);
        } else if (byte == '?') {
            for (int any = 0; any < 256; any++) {
                one->set[any] = true;
            }
        } else {
            bool escapes = byte == '\\' && at < pattern.len;
            one->set[(uint8_t)(escapes ? pattern.ptr[at++] : byte)] = true;
        }
    }
    return count;
}

// 1, 0, or -1: given up.
static int match(size_t place, size_t count, fb_str text, int *steps) {
    if (--*steps < 0) {
        return -1;
    }
    if (place == count) {
        return text.len == 0;
    }
    if (tokens[place].is_star) {
        for (size_t taken = 0; taken <= text.len; taken++) {
            fb_str rest = {text.ptr + taken, text.len - taken};
            int result = match(place + 1, count, rest, steps);
            if (result != 0) {
                return result;
            }
        }
        return 0;
    }
    if (text.len == 0 || !tokens[place].set[(uint8_t)text.ptr[0]]) {
        return 0;
    }
    return match(place + 1, count, fb_str_make(text.ptr + 1, text.len - 1), steps);
}

static void check_glob(fb_str pattern, fb_str text) {
    bool matches = fb_glob_match(pattern, text);
    fb_str prefix = fb_glob_prefix(pattern);
    size_t count = read_tokens(pattern);
    int steps = STEPS_MAX;

    require(fb_str_starts(pattern, prefix));
    require(!matches || fb_str_starts(text, prefix));
    if (count < TOKENS_MAX) {
        int expected = match(0, count, text, &steps);
        require(expected < 0 || matches == (expected == 1));
    }
}

static void check_units(fb_str text) {
    char shown[48];
    int64_t ns, ns_again;
    uint64_t bytes, bytes_again;

    if (fb_units_duration(text, &ns) == FB_OK) {
        require(ns >= 0);
        fb_units_show_duration(ns, shown, sizeof(shown));
        require(fb_units_duration(fb_str_of(shown), &ns_again) == FB_OK && ns_again == ns);
    }
    if (fb_units_bytes(text, &bytes) == FB_OK) {
        fb_units_show_bytes(bytes, shown, sizeof(shown));
        require(fb_units_bytes(fb_str_of(shown), &bytes_again) == FB_OK && bytes_again == bytes);
    }
}

static void check_numbers(fb_str text) {
    char shown[32];
    int64_t integer;
    double number;

    int result = fb_str_int(text, &integer);
    require(result == FB_OK || result == FB_ETYPE || result == FB_ERANGE);
    if (result == FB_OK) {
        (void)snprintf(shown, sizeof(shown), "%" PRId64, integer);
        require(fb_str_equal(text, fb_str_of(shown)));
    }
    if (fb_str_double(text, &number) == FB_OK) {
        require(isfinite(number));
        // An integer that a double holds is the same number either way.
        if (result == FB_OK && integer < (INT64_C(1) << 53) && integer > -(INT64_C(1) << 53)) {
            require(number == (double)integer);
        }
    } else {
        require(result != FB_OK);
    }
}

static void check_strings(fb_str a, fb_str b) {
    fb_str trimmed = fb_str_trim(a);
    size_t distance = fb_str_distance(a, b, 20);

    require(fb_str_equal(fb_str_trim(trimmed), trimmed));
    require((fb_str_compare(a, b) == 0) == fb_str_equal(a, b));
    require((fb_str_compare(a, b) < 0) == (fb_str_compare(b, a) > 0));
    require(distance == fb_str_distance(b, a, 20) && distance <= 20);
    require((distance == 0) == fb_str_equal(a, b));
    require(!fb_str_equal(a, b) || fb_str_same(a, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str input = {(const char *)data, size};
    size_t middle = fb_str_find(input, '\0');
    fb_str text = {input.ptr, middle};
    fb_str pattern = {NULL, 0};

    if (middle < size) {
        pattern = fb_str_make(input.ptr + middle + 1, size - middle - 1);
    }
    check_glob(pattern, text);
    check_units(text);
    check_numbers(text);
    check_strings(text, pattern);
    return 0;
}
