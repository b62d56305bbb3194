// Idea: text is copied in runs. A run ends at a byte that JSON wants escaped or that begins no
// character; eight bytes of plain ASCII, which most text is, are passed at a time.
//
// Every call remembers where it began and goes back there when it fails, so that a row that is too
// large leaves a text that can still be closed.

#include "source/row_json.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/locale.h"
#include "base/str.h"
#include "base/utf8.h"

static const uint64_t ones = UINT64_C(0x0101010101010101);
static const uint64_t tops = UINT64_C(0x8080808080808080);

static int put(fb_row_json *json, fb_str bytes) {
    FB_ASSERT(json->text.len <= json->len_max);
    if (bytes.len > json->len_max - json->text.len) {
        return FB_ETOOBIG;
    }
    return fb_buf_append(&json->text, bytes);
}

// ---- strings

static uint64_t has_zero(uint64_t word) {
    return (word - ones) & ~word & tops;
}

// Whether all eight bytes are ASCII that stands for itself in a JSON string. A borrow may make it
// say no where it could say yes, never the other way.
static bool plain_word(const char *at) {
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    uint64_t control = (word - ones * 0x20) & ~word & tops;
    uint64_t quote = has_zero(word ^ ones * '"');
    uint64_t backslash = has_zero(word ^ ones * '\\');
    return ((word & tops) | control | quote | backslash) == 0;
}

static bool plain_byte(unsigned char byte) {
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

// The length of what `text` begins with and that can be copied as it is.
static size_t plain_run(fb_str text) {
    size_t at = 0;

    while (at < text.len) {
        while (text.len - at >= 8 && plain_word(text.ptr + at)) {
            at += 8;
        }
        if (at == text.len) {
            break;
        }
        unsigned char byte = (unsigned char)text.ptr[at];
        size_t used = 1;
        if (byte >= 0x80 && fb_utf8_next(fb_str_make(text.ptr + at, text.len - at), &used) < 0) {
            break;
        }
        if (byte < 0x80 && !plain_byte(byte)) {
            break;
        }
        at += used;
    }
    return at;
}

static int put_escaped(fb_row_json *json, unsigned char byte) {
    static const char letters[] = "btn\vfr";
    char text[8] = "\\";

    if (byte >= 0x80) {
        return put(json, FB_STR("\xef\xbf\xbd"));
    }
    if (byte == '"' || byte == '\\') {
        text[1] = (char)byte;
        return put(json, fb_str_make(text, 2));
    }
    if (byte >= '\b' && byte <= '\r' && byte != '\v') {
        text[1] = letters[byte - '\b'];
        return put(json, fb_str_make(text, 2));
    }
    return put(json, fb_str_make(text, (size_t)snprintf(text, sizeof(text), "\\u%04x", byte)));
}

static int put_string(fb_row_json *json, fb_str text) {
    int result = put(json, FB_STR("\""));

    while (result == FB_OK && text.len > 0) {
        size_t run = plain_run(text);
        result = put(json, fb_str_make(text.ptr, run));
        text = fb_str_make(text.ptr + run, text.len - run);
        if (result == FB_OK && text.len > 0) {
            result = put_escaped(json, (unsigned char)text.ptr[0]);
            text = fb_str_make(text.ptr + 1, text.len - 1);
        }
    }
    return result == FB_OK ? put(json, FB_STR("\"")) : result;
}

static int put_base64(fb_row_json *json, fb_str bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = (const unsigned char *)bytes.ptr;

    // The room for all of it is there before the first digit: no check in the loop.
    if (bytes.len > json->len_max || (bytes.len + 2) / 3 * 4 > json->len_max - json->text.len) {
        return FB_ETOOBIG;
    }
    int result = fb_buf_reserve(&json->text, (bytes.len + 2) / 3 * 4);
    for (size_t i = 0; result == FB_OK && i < bytes.len; i += 3) {
        size_t count = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = (uint32_t)from[i] << 16;
        group |= count > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        group |= count > 2 ? from[i + 2] : 0;
        char *to = json->text.ptr + json->text.len;
        to[0] = digits[group >> 18];
        to[1] = digits[group >> 12 & 63];
        to[2] = count > 1 ? digits[group >> 6 & 63] : '=';
        to[3] = count > 2 ? digits[group & 63] : '=';
        json->text.len += 4;
    }
    return result;
}

// ---- values

typedef struct mark {
    size_t len;
    bool comma;
} mark;

static int begin(fb_row_json *json, mark *start) {
    *start = (mark){json->text.len, json->comma};
    return json->comma ? put(json, FB_STR(",")) : FB_OK;
}

// `comma`: whether one is due next.
static int end(fb_row_json *json, const mark *start, int result, bool comma) {
    json->comma = comma;
    if (result != FB_OK) {
        json->text.len = start->len;
        json->comma = start->comma;
    }
    return result;
}

static int put_value(fb_row_json *json, fb_str value) {
    mark start;
    int result = begin(json, &start);

    return end(json, &start, result == FB_OK ? put(json, value) : result, true);
}

void fb_row_json_clear(fb_row_json *json) {
    json->text.len = 0;
    json->comma = false;
}

void fb_row_json_release(fb_row_json *json) {
    fb_buf_release(&json->text);
    json->comma = false;
}

int fb_row_json_open(fb_row_json *json, char bracket) {
    mark start;
    int result = begin(json, &start);

    return end(json, &start, result == FB_OK ? put(json, fb_str_make(&bracket, 1)) : result, false);
}

int fb_row_json_close(fb_row_json *json, char bracket) {
    int result = put(json, fb_str_make(&bracket, 1));

    json->comma = json->comma || result == FB_OK;
    return result;
}

int fb_row_json_name(fb_row_json *json, fb_str name) {
    mark start;
    int result = begin(json, &start);

    if (result == FB_OK) {
        result = put_string(json, name);
    }
    return end(json, &start, result == FB_OK ? put(json, FB_STR(":")) : result, false);
}

int fb_row_json_null(fb_row_json *json) {
    return put_value(json, FB_STR("null"));
}

int fb_row_json_integer(fb_row_json *json, int64_t number) {
    char text[24];
    int len = snprintf(text, sizeof(text), "%" PRId64, number);

    return put_value(json, fb_str_make(text, (size_t)len));
}

int fb_row_json_real(fb_row_json *json, double number) {
    char text[FB_ROW_JSON_REAL_SIZE];

    if (!isfinite(number)) {
        return fb_row_json_null(json);
    }
    fb_str form = fb_row_json_format(number, text);
    return form.len > 0 ? put_value(json, form) : FB_ENOMEM;
}

int fb_row_json_text(fb_row_json *json, fb_str text) {
    mark start;
    int result = begin(json, &start);

    return end(json, &start, result == FB_OK ? put_string(json, text) : result, true);
}

int fb_row_json_blob(fb_row_json *json, fb_str bytes) {
    mark start;
    int result = begin(json, &start);

    if (result == FB_OK) {
        result = put(json, FB_STR("{\"base64\":\""));
    }
    if (result == FB_OK) {
        result = put_base64(json, bytes);
    }
    return end(json, &start, result == FB_OK ? put(json, FB_STR("\"}")) : result, true);
}

fb_str fb_row_json_format(double number, char text[FB_ROW_JSON_REAL_SIZE]) {
    locale_t plain = fb_locale_get();
    int len = 0;

    FB_ASSERT(isfinite(number));
    if (plain == (locale_t)0) {
        return fb_str_make(text, 0);
    }
    locale_t before = uselocale(plain);
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, FB_ROW_JSON_REAL_SIZE, "%.*g", digits, number);
        if (strtod(text, NULL) == number) {
            break;
        }
    }
    (void)uselocale(before);
    if (strpbrk(text, ".e") == NULL) {
        memcpy(text + len, ".0", 3);
        len += 2;
    }
    return fb_str_make(text, (size_t)len);
}
