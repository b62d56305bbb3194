// A pattern is a row of parts, each a text and the parameter behind it, and a tail of text.
//
// Why no two sets of values give one key: read from the left, a text has a known length, {hash} has
// one, and a parameter ends at the first stop byte, because that byte is encoded inside its value
// and no encoding contains it ("%", upper-case hex; patterns in which the stop byte is one of those
// are refused). The parameter at the end of the key ends with the key, so it is left as it is:
// names with colons and per cents are common there, and keys should stay readable.
//
// So taking a key apart needs no way back either. Text-first matching with backtracking was not
// considered for long: it is ambiguous ("{a}:{b}" over "x:y:z") and slow on hostile keys.

#include "cache/key_pattern.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/braces.h"

static const char hex[] = "0123456789ABCDEF";

// ---- making

static bool is_hash(fb_str name) {
    return fb_str_equal(name, FB_STR("hash"));
}

static int add_part(fb_key_pattern *pattern, fb_str before, fb_str name, fb_error *error) {
    for (size_t i = 0; i < pattern->part_count; i++) {
        if (fb_str_equal(pattern->parts[i].name, name)) {
            return fb_error_set(error, FB_EINVAL, "'{%.*s}' stands there twice", FB_STR_ARG(name));
        }
    }
    if (pattern->part_count > 0 && before.len == 0) {
        fb_str last = pattern->parts[pattern->part_count - 1].name;
        return fb_error_set(error, FB_EINVAL,
                            "'{%.*s}' and '{%.*s}' stand side by side: expected text between them, "
                            "as ':'",
                            FB_STR_ARG(last), FB_STR_ARG(name));
    }
    if (pattern->part_count == FB_KEY_PARTS_MAX) {
        return fb_error_set(error, FB_EINVAL, "it has more than %d parameters",
                            FB_KEY_PARTS_MAX - 1);
    }
    bool hash = is_hash(name);
    pattern->has_hash = pattern->has_hash || hash;
    pattern->parts[pattern->part_count++] = (fb_key_part){before, name, hash, -1};
    return FB_OK;
}

// Texts are gathered in `bytes` behind the copy of the pattern, braces undone, one behind the
// other.
static int read_parts(fb_key_pattern *pattern, fb_error *error) {
    char *end = pattern->bytes + pattern->text.len;
    const char *start = end;
    size_t at = 0;
    fb_brace brace;
    int result = fb_brace_next(pattern->text, &at, &brace, error);
    while (result == FB_OK) {
        if (brace.name) {
            fb_str before = fb_str_make(start, (size_t)(end - start));
            result = add_part(pattern, before, brace.text, error);
            start = end;
        } else {
            memcpy(end, brace.text.ptr, brace.text.len);
            end += brace.text.len;
        }
        if (result == FB_OK) {
            result = fb_brace_next(pattern->text, &at, &brace, error);
        }
    }
    pattern->tail = fb_str_make(start, (size_t)(end - start));
    pattern->literal_len = (size_t)(end - pattern->bytes) - pattern->text.len;
    return result == FB_MISS ? FB_OK : result;
}

static fb_str behind(const fb_key_pattern *pattern, size_t part) {
    return part + 1 < pattern->part_count ? pattern->parts[part + 1].before : pattern->tail;
}

static int set_stops(fb_key_pattern *pattern, fb_error *error) {
    for (size_t i = 0; i < pattern->part_count; i++) {
        fb_key_part *part = &pattern->parts[i];
        fb_str text = behind(pattern, i);
        part->stop = text.len > 0 ? (unsigned char)text.ptr[0] : -1;
        if (!part->hash && part->stop > 0 && strchr("%0123456789ABCDEF", part->stop) != NULL) {
            return fb_error_set(
                error, FB_EINVAL,
                "the text behind '{%.*s}' begins with '%c': expected no '%%', digit "
                "or A to F there, which stand for encoded bytes of the value",
                FB_STR_ARG(part->name), part->stop);
        }
    }
    pattern->prefix = pattern->part_count > 0 ? pattern->parts[0].before : pattern->tail;
    return FB_OK;
}

static int check_whole(const fb_key_pattern *pattern, fb_error *error) {
    if (pattern->text.len == 0) {
        return fb_error_set(error, FB_EINVAL,
                            "it is empty: expected a pattern as 'package:{name}'");
    }
    if (pattern->literal_len == 0 && !pattern->has_hash) {
        return fb_error_set(
            error, FB_EINVAL,
            "'%.*s' would take every key there is: expected some text of its own, as "
            "'package:%.*s'",
            FB_STR_ARG(pattern->text), FB_STR_ARG(pattern->text));
    }
    if (pattern->literal_len > FB_KEY_LEN_MAX) {
        return fb_error_set(error, FB_EINVAL, "its text alone is longer than a key may be");
    }
    return FB_OK;
}

int fb_key_pattern_new(fb_str text, fb_key_pattern **pattern, fb_error *error) {
    fb_key_pattern *made = fb_mem_zero(1, sizeof *made + 2 * text.len);
    if (made == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    if (text.len > 0) {
        memcpy(made->bytes, text.ptr, text.len);
    }
    made->text = fb_str_make(made->bytes, text.len);
    int result = read_parts(made, error);
    if (result == FB_OK) {
        result = set_stops(made, error);
    }
    if (result == FB_OK) {
        result = check_whole(made, error);
    }
    if (result != FB_OK) {
        fb_key_pattern_free(made);
        return result;
    }
    *pattern = made;
    return FB_OK;
}

void fb_key_pattern_free(fb_key_pattern *pattern) {
    fb_mem_free(pattern);
}

// ---- taking keys apart

static void skip(fb_str *rest, size_t len) {
    if (len > 0) {
        rest->ptr += len;
        rest->len -= len;
    }
}

static bool take_text(fb_str *rest, fb_str text) {
    if (rest->len < text.len || (text.len > 0 && memcmp(rest->ptr, text.ptr, text.len) != 0)) {
        return false;
    }
    skip(rest, text.len);
    return true;
}

static bool is_digest(fb_str text) {
    if (text.len < FB_KEY_HASH_LEN) {
        return false;
    }
    for (size_t i = 0; i < FB_KEY_HASH_LEN; i++) {
        char byte = text.ptr[i];
        if (!(byte >= '0' && byte <= '9') && !(byte >= 'a' && byte <= 'f')) {
            return false;
        }
    }
    return true;
}

static bool take_span(fb_str *rest, const fb_key_part *part, fb_str *span) {
    size_t len = rest->len;
    if (part->hash) {
        if (!is_digest(*rest)) {
            return false;
        }
        len = FB_KEY_HASH_LEN;
    } else if (part->stop >= 0) {
        const char *found = rest->len > 0 ? memchr(rest->ptr, part->stop, rest->len) : NULL;
        if (found == NULL) {
            return false;
        }
        len = (size_t)(found - rest->ptr);
    }
    *span = fb_str_make(rest->ptr, len);
    skip(rest, len);
    return true;
}

// Takes the first `count` parts off *rest.
static bool take_parts(const fb_key_pattern *pattern, size_t count, fb_str *rest, fb_str *spans) {
    fb_str unused;
    for (size_t i = 0; i < count; i++) {
        const fb_key_part *part = &pattern->parts[i];
        if (!take_text(rest, part->before) ||
            !take_span(rest, part, spans != NULL ? &spans[i] : &unused)) {
            return false;
        }
    }
    return true;
}

bool fb_key_pattern_match(const fb_key_pattern *pattern, fb_str key, fb_str *spans) {
    fb_str rest = key;
    return take_parts(pattern, pattern->part_count, &rest, spans) &&
           take_text(&rest, pattern->tail) && rest.len == 0;
}

size_t fb_key_pattern_reach(const fb_key_pattern *pattern, size_t part, fb_str separator,
                            fb_str key) {
    fb_str rest = key;
    if (!take_parts(pattern, part + 1, &rest, NULL) || !take_text(&rest, separator)) {
        return 0;
    }
    return key.len - rest.len;
}

static bool is_word(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z');
}

fb_str fb_key_pattern_separator(const fb_key_pattern *pattern, size_t part) {
    fb_str text = behind(pattern, part);
    FB_ASSERT(text.len > 0);
    size_t len = 1;
    while (len < text.len && !is_word(text.ptr[0]) && !is_word(text.ptr[len])) {
        len++;
    }
    return fb_str_make(text.ptr, len);
}

// ---- writing and decoding values

static int write_value(const fb_key_part *part, fb_str value, fb_buf *key) {
    if (part->hash || part->stop < 0) {
        return fb_buf_append(key, value);
    }
    int result = fb_buf_reserve(key, 3 * value.len);
    if (result != FB_OK) {
        return result;
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.ptr[i];
        if (byte == '%' || byte == part->stop) {
            key->ptr[key->len++] = '%';
            key->ptr[key->len++] = hex[byte >> 4];
            key->ptr[key->len++] = hex[byte & 15];
        } else {
            key->ptr[key->len++] = (char)byte;
        }
    }
    return FB_OK;
}

int fb_key_pattern_write(const fb_key_pattern *pattern, const fb_str *values, fb_buf *key) {
    for (size_t i = 0; i < pattern->part_count; i++) {
        int result = fb_buf_append(key, pattern->parts[i].before);
        if (result == FB_OK) {
            result = write_value(&pattern->parts[i], values[i], key);
        }
        if (result != FB_OK) {
            return result;
        }
    }
    return fb_buf_append(key, pattern->tail);
}

// The byte that `%XX` at the beginning of `text` stands for, or -1.
static int encoded_byte(fb_str text) {
    if (text.len < 3 || text.ptr[1] == '\0' || text.ptr[2] == '\0') {
        return -1;
    }
    const char *high = strchr(hex, text.ptr[1]), *low = strchr(hex, text.ptr[2]);
    return high != NULL && low != NULL ? (int)((high - hex) << 4 | (low - hex)) : -1;
}

int fb_key_part_decode(const fb_key_part *part, fb_str span, fb_buf *out, fb_str *value) {
    *value = span;
    if (part->hash || part->stop < 0 || span.len == 0 || memchr(span.ptr, '%', span.len) == NULL) {
        return FB_OK;
    }
    FB_ASSERT(out->cap - out->len >= span.len);
    size_t start = out->len;
    for (fb_str rest = span; rest.len > 0; skip(&rest, 1)) {
        int byte = (unsigned char)rest.ptr[0];
        if (byte == '%') {
            byte = encoded_byte(rest);
            if (byte != '%' && byte != part->stop) {
                return FB_MISS;
            }
            skip(&rest, 2);
        }
        out->ptr[out->len++] = (char)byte;
    }
    *value = fb_str_make(out->ptr + start, out->len - start);
    return FB_OK;
}

// ---- comparing

static int compare_sizes(size_t a, size_t b) {
    return a < b ? -1 : a > b ? 1 : 0;
}

bool fb_key_pattern_same(const fb_key_pattern *a, const fb_key_pattern *b, size_t part) {
    if (part >= a->part_count || part >= b->part_count) {
        return false;
    }
    for (size_t i = 0; i <= part; i++) {
        if (a->parts[i].hash != b->parts[i].hash ||
            !fb_str_equal(a->parts[i].before, b->parts[i].before)) {
            return false;
        }
    }
    return true;
}

// Any order will do here, as long as it does not depend on names.
static int compare_texts(const fb_key_pattern *a, const fb_key_pattern *b) {
    int order = 0;
    for (size_t i = 0; order == 0 && i < a->part_count; i++) {
        order = fb_str_compare(a->parts[i].before, b->parts[i].before);
        if (order == 0) {
            order = b->parts[i].hash - a->parts[i].hash;
        }
    }
    return order != 0 ? order : fb_str_compare(a->tail, b->tail);
}

int fb_key_pattern_compare(const fb_key_pattern *a, const fb_key_pattern *b) {
    int order = compare_sizes(b->prefix.len, a->prefix.len);
    if (order == 0) {
        order = compare_sizes(b->literal_len, a->literal_len);
    }
    if (order == 0) {
        order = b->has_hash - a->has_hash;
    }
    if (order == 0) {
        order = compare_sizes(a->part_count, b->part_count);
    }
    return order != 0 ? order : compare_texts(a, b);
}
