// Durations and byte counts.
//
// Everything is integers: a fraction is read as digits over a power of ten and multiplied out in
// 128 bits, so "0.1s" is 100,000,000 ns exactly. What does not come out even is rounded down, but
// never to 0: a limit of 0 often means "none", which is not what "0.5ns" says.
//
// Both readers are a table of units and the same two steps: a number, then a name.

#include "base/units.h"

#include "base/check.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct unit {
    fb_str name;
    uint64_t size;
} unit;

// The whole part and a fraction of at most FRACTION_DIGITS digits, out of 10^FRACTION_DIGITS.
typedef struct number {
    uint64_t whole, fraction;
    bool has_point;
    bool too_large;
    bool is_zero;
} number;

enum { FRACTION_DIGITS = 18 };
static const uint64_t fraction_one = UINT64_C(1000000000000000000);

// From large to small: a duration's parts come in this order.
static const unit duration_units[] = {
    {FB_STR_INIT("w"), UINT64_C(604800000000000)}, {FB_STR_INIT("d"), UINT64_C(86400000000000)},
    {FB_STR_INIT("h"), UINT64_C(3600000000000)},   {FB_STR_INIT("m"), UINT64_C(60000000000)},
    {FB_STR_INIT("s"), UINT64_C(1000000000)},      {FB_STR_INIT("ms"), UINT64_C(1000000)},
    {FB_STR_INIT("us"), UINT64_C(1000)},           {FB_STR_INIT("ns"), UINT64_C(1)},
};
enum { DURATION_UNITS = sizeof(duration_units) / sizeof(duration_units[0]) };
enum { WEEK, DAY, HOUR, MINUTE, SECOND, MILLI, MICRO, NANO };

// Those before "K" are also for showing.
static const unit byte_units[] = {
    {FB_STR_INIT("TiB"), UINT64_C(1) << 40},
    {FB_STR_INIT("GiB"), UINT64_C(1) << 30},
    {FB_STR_INIT("MiB"), UINT64_C(1) << 20},
    {FB_STR_INIT("KiB"), UINT64_C(1) << 10},
    {FB_STR_INIT("TB"), UINT64_C(1000000000000)},
    {FB_STR_INIT("GB"), UINT64_C(1000000000)},
    {FB_STR_INIT("MB"), UINT64_C(1000000)},
    {FB_STR_INIT("KB"), UINT64_C(1000)},
    {FB_STR_INIT(""), 1},
    {FB_STR_INIT("B"), 1},
    {FB_STR_INIT("K"), UINT64_C(1) << 10},
    {FB_STR_INIT("M"), UINT64_C(1) << 20},
    {FB_STR_INIT("G"), UINT64_C(1) << 30},
    {FB_STR_INIT("T"), UINT64_C(1) << 40},
};
enum { BYTE_UNITS = sizeof(byte_units) / sizeof(byte_units[0]), BYTE_UNITS_SHOWN = 9 };

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static bool add_digit(uint64_t *value, char digit) {
    return !__builtin_mul_overflow(*value, 10U, value) &&
           !__builtin_add_overflow(*value, (uint64_t)(digit - '0'), value);
}

// Takes "12" or "1.5" off the front of *text; false where there is no number.
static bool take_number(fb_str *text, number *out) {
    size_t i = 0;
    int kept = 0;

    *out = (number){.is_zero = true};
    for (; i < text->len && is_digit(text->ptr[i]); i++) {
        out->too_large |= !add_digit(&out->whole, text->ptr[i]);
        out->is_zero &= text->ptr[i] == '0';
    }
    if (i == 0) {
        return false;
    }
    if (i + 1 < text->len && text->ptr[i] == '.' && is_digit(text->ptr[i + 1])) {
        out->has_point = true;
        for (i++; i < text->len && is_digit(text->ptr[i]); i++) {
            out->is_zero &= text->ptr[i] == '0';
            if (kept < FRACTION_DIGITS) {
                (void)add_digit(&out->fraction, text->ptr[i]);
                kept++;
            }
        }
        for (; kept < FRACTION_DIGITS; kept++) {
            out->fraction *= 10;
        }
    }
    *text = fb_str_make(text->ptr + i, text->len - i);
    return true;
}

// Takes what stands before the next digit.
static fb_str take_name(fb_str *text) {
    size_t len = 0;

    while (len < text->len && !is_digit(text->ptr[len])) {
        len++;
    }
    fb_str name = {text->ptr, len};
    *text = fb_str_make(text->ptr + len, text->len - len);
    return name;
}

// The index of the unit named so, from `first` on, or `count`.
static size_t find_unit(const unit *units, size_t first, size_t count, fb_str name) {
    while (first < count && !fb_str_equal(units[first].name, name)) {
        first++;
    }
    return first;
}

// Adds number × size to *total; FB_ERANGE where the sum is above `most`.
static int add_part(uint64_t *total, const number *part, uint64_t size, uint64_t most) {
    unsigned __int128 sum = (unsigned __int128)part->whole * size +
                            (unsigned __int128)part->fraction * size / fraction_one;

    if (part->too_large || sum > most - *total || (sum == 0 && !part->is_zero)) {
        return FB_ERANGE;
    }
    *total += (uint64_t)sum;
    return FB_OK;
}

int fb_units_duration(fb_str text, int64_t *ns) {
    uint64_t total = 0;
    size_t next_unit = 0;
    int result = FB_OK;
    number part = {0};

    if (fb_str_equal(text, FB_STR("0"))) {
        *ns = 0;
        return FB_OK;
    }
    // A mistake anywhere counts before a number that does not fit: hence no early return.
    do {
        bool after_fraction = part.has_point;
        if (after_fraction || !take_number(&text, &part)) {
            return FB_ETYPE;
        }
        size_t found = find_unit(duration_units, next_unit, DURATION_UNITS, take_name(&text));
        if (found == DURATION_UNITS) {
            return FB_ETYPE;
        }
        if (result == FB_OK) {
            result = add_part(&total, &part, duration_units[found].size, INT64_MAX);
        }
        next_unit = found + 1;
    } while (text.len > 0);
    if (result == FB_OK) {
        *ns = (int64_t)total;
    }
    return result;
}

int fb_units_bytes(fb_str text, uint64_t *bytes) {
    number part;
    uint64_t total = 0;

    if (!take_number(&text, &part)) {
        return FB_ETYPE;
    }
    size_t found = find_unit(byte_units, 0, BYTE_UNITS, text);
    if (found == BYTE_UNITS || (part.has_point && byte_units[found].size == 1)) {
        return FB_ETYPE;
    }
    int result = add_part(&total, &part, byte_units[found].size, UINT64_MAX);
    if (result == FB_OK) {
        *bytes = total;
    }
    return result;
}

// Writes "<whole>[.<fraction>]<name>" for amount / size, without trailing zeros; returns its
// length.
static size_t show_part(char *text, size_t text_size, uint64_t amount, size_t index) {
    uint64_t size = duration_units[index].size;
    uint64_t rest = amount % size;
    char fraction[24] = "";

    if (rest > 0) {
        // `size` is a power of ten wherever there is a rest.
        int places = 0;
        for (uint64_t power = size; power > 1; power /= 10) {
            places++;
        }
        int len = snprintf(fraction, sizeof(fraction), ".%0*" PRIu64, places, rest);
        while (len > 0 && fraction[len - 1] == '0') {
            fraction[--len] = '\0';
        }
    }
    int len = snprintf(text, text_size, "%" PRIu64 "%s%s", amount / size, fraction,
                       duration_units[index].name.ptr);
    FB_ASSERT(len > 0 && (size_t)len < text_size);
    return (size_t)len;
}

const char *fb_units_show_duration(int64_t ns, char *text, size_t text_size) {
    char whole[64] = "";
    size_t len = 0;
    uint64_t rest = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    size_t index = rest > 0 && rest % duration_units[WEEK].size == 0 ? WEEK : DAY;

    if (rest == 0) {
        (void)snprintf(text, text_size, "0");
        return text;
    }
    for (; index < SECOND; index++) {
        uint64_t amount = rest - rest % duration_units[index].size;
        if (amount > 0) {
            len += show_part(whole + len, sizeof(whole) - len, amount, index);
            rest -= amount;
        }
    }
    // What is left is written in one unit, the largest it fills.
    while (index < NANO && rest < duration_units[index].size) {
        index++;
    }
    if (rest > 0) {
        (void)show_part(whole + len, sizeof(whole) - len, rest, index);
    }
    (void)snprintf(text, text_size, "%s%s", ns < 0 ? "-" : "", whole);
    return text;
}

const char *fb_units_show_bytes(uint64_t bytes, char *text, size_t text_size) {
    char best[32] = "";

    for (size_t i = 0; i < BYTE_UNITS_SHOWN; i++) {
        char candidate[32];
        if (bytes % byte_units[i].size != 0 || (bytes == 0 && byte_units[i].size > 1)) {
            continue;
        }
        (void)snprintf(candidate, sizeof(candidate), "%" PRIu64 "%s", bytes / byte_units[i].size,
                       byte_units[i].name.ptr);
        if (best[0] == '\0' || strlen(candidate) < strlen(best)) {
            memcpy(best, candidate, sizeof(best));
        }
    }
    (void)snprintf(text, text_size, "%s", best);
    return text;
}

const char *fb_units_about_bytes(uint64_t bytes, char *text, size_t text_size) {
    enum { POWERS = 4, FINE_UP_TO = 100 };
    const unit *one = byte_units;
    while (one < byte_units + POWERS && bytes < one->size) {
        one++;
    }
    if (one == byte_units + POWERS) {
        (void)snprintf(text, text_size, "%" PRIu64, bytes);
        return text;
    }
    uint64_t whole = bytes / one->size;
    uint64_t tenths = bytes % one->size * 10 / one->size;
    if (whole < FINE_UP_TO && tenths > 0) {
        (void)snprintf(text, text_size, "%" PRIu64 ".%" PRIu64 "%s", whole, tenths, one->name.ptr);
    } else {
        (void)snprintf(text, text_size, "%" PRIu64 "%s", whole, one->name.ptr);
    }
    return text;
}
