// Idea: one loop over values. What a closing bracket closes is all that must be remembered, one bit
// a level (1: object), so 512 levels take 64 bytes and no recursion.
//
// Most cached values that are no JSON show it in their first byte, and are turned away there.

#include "base/json.h"

#include "base/utf8.h"

#include <string.h>

typedef struct reader {
    const unsigned char *at, *end;
    size_t depth;
    uint64_t is_object[FB_JSON_DEPTH_MAX / 64];
} reader;

_Static_assert(FB_JSON_DEPTH_MAX % 64 == 0, "one bit for every level");

static void skip_space(reader *in) {
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t')) {
        in->at++;
    }
}

static bool take_byte(reader *in, unsigned char byte) {
    if (in->at == in->end || *in->at != byte) {
        return false;
    }
    in->at++;
    return true;
}

static bool take_word(reader *in, const char *word, size_t len) {
    if ((size_t)(in->end - in->at) < len || memcmp(in->at, word, len) != 0) {
        return false;
    }
    in->at += len;
    return true;
}

static bool take_digits(reader *in) {
    const unsigned char *start = in->at;

    while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
        in->at++;
    }
    return in->at > start;
}

static bool take_number(reader *in) {
    (void)take_byte(in, '-');
    if (!take_byte(in, '0') && !take_digits(in)) {
        return false;
    }
    if (take_byte(in, '.') && !take_digits(in)) {
        return false;
    }
    if (take_byte(in, 'e') || take_byte(in, 'E')) {
        if (!take_byte(in, '+')) {
            (void)take_byte(in, '-');
        }
        return take_digits(in);
    }
    return true;
}

// Four hexadecimal digits, or -1.
static int take_hex4(reader *in) {
    int value = 0;

    if (in->end - in->at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        unsigned char byte = *in->at++;
        unsigned char small = byte | 0x20;
        if (byte >= '0' && byte <= '9') {
            value = value * 16 + (byte - '0');
        } else if (small >= 'a' && small <= 'f') {
            value = value * 16 + (small - 'a' + 10);
        } else {
            return -1;
        }
    }
    return value;
}

// After the backslash.
static bool take_escape(reader *in) {
    if (in->at == in->end) {
        return false;
    }
    unsigned char byte = *in->at++;
    if (byte != 'u') {
        return byte != '\0' && strchr("\"\\/bfnrt", byte) != NULL;
    }
    int code = take_hex4(in);
    if (code < 0 || (code >= 0xdc00 && code <= 0xdfff)) {
        return false;
    }
    if (code < 0xd800 || code > 0xdfff) {
        return true;
    }
    if (!take_byte(in, '\\') || !take_byte(in, 'u')) {
        return false;
    }
    code = take_hex4(in);
    return code >= 0xdc00 && code <= 0xdfff;
}

static bool take_string(reader *in) {
    if (!take_byte(in, '"')) {
        return false;
    }
    while (in->at < in->end) {
        unsigned char byte = *in->at;
        if (byte >= 0x80) {
            fb_str rest = {(const char *)in->at, (size_t)(in->end - in->at)};
            size_t used;
            if (fb_utf8_next(rest, &used) < 0) {
                return false;
            }
            in->at += used;
            continue;
        }
        in->at++;
        if (byte == '"') {
            return true;
        }
        if (byte < 0x20 || (byte == '\\' && !take_escape(in))) {
            return false;
        }
    }
    return false;
}

static bool in_object(const reader *in) {
    size_t level = in->depth - 1;

    return (in->is_object[level / 64] >> (level % 64) & 1) != 0;
}

static bool open_level(reader *in, bool object) {
    if (in->depth == FB_JSON_DEPTH_MAX) {
        return false;
    }
    uint64_t bit = UINT64_C(1) << (in->depth % 64);
    uint64_t *word = &in->is_object[in->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    in->depth++;
    in->at++;
    return true;
}

static bool take_scalar(reader *in) {
    switch (*in->at) {
        case '"':
            return take_string(in);
        case 't':
            return take_word(in, "true", 4);
        case 'f':
            return take_word(in, "false", 5);
        case 'n':
            return take_word(in, "null", 4);
        default:
            return take_number(in);
    }
}

// A member's name and its colon, and the space after both.
static bool take_name(reader *in) {
    skip_space(in);
    if (!take_string(in)) {
        return false;
    }
    skip_space(in);
    return take_byte(in, ':');
}

// After a value: closes what ends here and takes the comma before the next. False: a mistake. With
// depth 0 the whole is complete.
static bool take_end(reader *in) {
    while (in->depth > 0) {
        skip_space(in);
        if (take_byte(in, ',')) {
            return !in_object(in) || take_name(in);
        }
        if (!take_byte(in, in_object(in) ? '}' : ']')) {
            return false;
        }
        in->depth--;
    }
    return true;
}

// Opens the object or array at the reader; *empty says that it closed again at once.
static bool take_open(reader *in, bool object, bool *empty) {
    if (!open_level(in, object)) {
        return false;
    }
    skip_space(in);
    *empty = take_byte(in, object ? '}' : ']');
    if (*empty) {
        in->depth--;
        return true;
    }
    return !object || take_name(in);
}

bool fb_json_valid(fb_str bytes) {
    reader in = {.at = (const unsigned char *)bytes.ptr};

    if (bytes.len == 0) {
        return false;
    }
    in.end = in.at + bytes.len;
    do {
        bool complete = true;
        skip_space(&in);
        if (in.at == in.end) {
            return false;
        }
        if (*in.at == '{' || *in.at == '[') {
            if (!take_open(&in, *in.at == '{', &complete)) {
                return false;
            }
        } else if (!take_scalar(&in)) {
            return false;
        }
        if (complete && !take_end(&in)) {
            return false;
        }
        // Not complete: the next turn takes the first value of what was opened.
    } while (in.depth > 0);
    skip_space(&in);
    return in.at == in.end;
}
