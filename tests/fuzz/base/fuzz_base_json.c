// JSON and UTF-8, each against a second reader written the plain way: by recursion, after the
// grammar of RFC 8259 and the table of RFC 3629 word for word.

#include "base/json.h"
#include "base/str.h"
#include "base/fold.h"
#include "base/utf8.h"

#include <stdlib.h>

typedef struct model {
    fb_str text;
    size_t at;
    size_t depth;
} model;

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

// The byte `ahead` of the reader, or -1 past the end.
static int peek(const model *in, size_t ahead) {
    return in->at + ahead < in->text.len ? (uint8_t)in->text.ptr[in->at + ahead] : -1;
}

static bool within(int byte, int from, int to) {
    return byte >= from && byte <= to;
}

// The table of RFC 3629, section 4: the length of the character at the reader, or 0.
static size_t utf8_len(const model *in) {
    static const struct {
        int first_from, first_to, second_from, second_to;
        size_t len;
    } rows[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (within(peek(in, 0), 0, 0x7f)) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (within(peek(in, 0), rows[i].first_from, rows[i].first_to) &&
            within(peek(in, 1), rows[i].second_from, rows[i].second_to) &&
            (rows[i].len < 3 || within(peek(in, 2), 0x80, 0xbf)) &&
            (rows[i].len < 4 || within(peek(in, 3), 0x80, 0xbf))) {
            return rows[i].len;
        }
    }
    return 0;
}

static void space(model *in) {
    while (peek(in, 0) == ' ' || peek(in, 0) == '\t' || peek(in, 0) == '\n' ||
           peek(in, 0) == '\r') {
        in->at++;
    }
}

static bool literal(model *in, fb_str word) {
    fb_str rest = {in->text.ptr + in->at, in->text.len - in->at};

    if (!fb_str_starts(rest, word)) {
        return false;
    }
    in->at += word.len;
    return true;
}

static size_t digits(model *in) {
    size_t start = in->at;

    while (within(peek(in, 0), '0', '9')) {
        in->at++;
    }
    return in->at - start;
}

static bool number(model *in) {
    (void)literal(in, FB_STR("-"));
    bool zero = peek(in, 0) == '0';
    size_t count = digits(in);

    if (count == 0 || (zero && count > 1)) {
        return false;
    }
    if (literal(in, FB_STR(".")) && digits(in) == 0) {
        return false;
    }
    if (literal(in, FB_STR("e")) || literal(in, FB_STR("E"))) {
        if (!literal(in, FB_STR("+"))) {
            (void)literal(in, FB_STR("-"));
        }
        return digits(in) > 0;
    }
    return true;
}

// "\uXXXX" at the reader: its value, or -1.
static long escaped(model *in) {
    char hex[5] = "";

    if (!literal(in, FB_STR("\\u"))) {
        return -1;
    }
    for (size_t i = 0; i < 4; i++) {
        int byte = peek(in, i);
        if (!within(byte, '0', '9') && !within(byte, 'a', 'f') && !within(byte, 'A', 'F')) {
            return -1;
        }
        hex[i] = (char)byte;
    }
    in->at += 4;
    return strtol(hex, NULL, 16);
}

static bool string(model *in) {
    if (!literal(in, FB_STR("\""))) {
        return false;
    }
    while (!literal(in, FB_STR("\""))) {
        if (peek(in, 0) == '\\' && peek(in, 1) == 'u') {
            long code = escaped(in);
            if (code < 0 || within((int)code, 0xdc00, 0xdfff) ||
                (within((int)code, 0xd800, 0xdbff) && !within((int)escaped(in), 0xdc00, 0xdfff))) {
                return false;
            }
        } else if (peek(in, 0) == '\\') {
            if (fb_str_find(FB_STR("\"\\/bfnrt"), (char)peek(in, 1)) == 8 || peek(in, 1) < 0) {
                return false;
            }
            in->at += 2;
        } else {
            size_t len = utf8_len(in);
            if (len == 0 || peek(in, 0) < 0x20) {
                return false;
            }
            in->at += len;
        }
    }
    return true;
}

static bool value(model *in);

static bool member(model *in, bool object) {
    if (object) {
        space(in);
        if (!string(in)) {
            return false;
        }
        space(in);
        if (!literal(in, FB_STR(":"))) {
            return false;
        }
    }
    return value(in);
}

static bool members(model *in, bool object) {
    fb_str close = object ? FB_STR("}") : FB_STR("]");

    in->at++;
    if (++in->depth > FB_JSON_DEPTH_MAX) {
        return false;
    }
    space(in);
    if (!literal(in, close)) {
        do {
            if (!member(in, object)) {
                return false;
            }
        } while (literal(in, FB_STR(",")));
        if (!literal(in, close)) {
            return false;
        }
    }
    in->depth--;
    return true;
}

// With the white space on both sides.
static bool value(model *in) {
    bool good;

    space(in);
    if (peek(in, 0) == '{' || peek(in, 0) == '[') {
        good = members(in, peek(in, 0) == '{');
    } else if (peek(in, 0) == '"') {
        good = string(in);
    } else {
        good = literal(in, FB_STR("true")) || literal(in, FB_STR("false")) ||
               literal(in, FB_STR("null")) || number(in);
    }
    space(in);
    return good;
}

static bool all_utf8(fb_str text) {
    model in = {.text = text};

    while (in.at < text.len) {
        size_t len = utf8_len(&in);
        if (len == 0) {
            return false;
        }
        in.at += len;
    }
    return true;
}

static void check_fold(fb_str text, bool valid) {
    fb_buf once = {0}, twice = {0};

    require(fb_fold_case(text, &once) == FB_OK);
    require(fb_fold_case(fb_buf_str(&once), &twice) == FB_OK);
    require(fb_utf8_valid(fb_buf_str(&once)) == valid);
    require(fb_str_equal(fb_buf_str(&once), fb_buf_str(&twice)));
    fb_buf_release(&once);
    fb_buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size};
    model in = {.text = text};
    bool valid = all_utf8(text);
    bool json = value(&in) && in.at == size;

    require(fb_utf8_valid(text) == valid);
    require(fb_json_valid(text) == json);
    require(!json || valid);
    check_fold(text, valid);
    for (size_t len = 0; len <= size && valid; len++) {
        require(fb_utf8_valid(fb_str_make(text.ptr, fb_utf8_cut(text.ptr, len))));
    }
    return 0;
}
