// Any bytes as TEXT, as a column's name and as a BLOB: the row is JSON, and a reader that is not
// ours finds in it what was put there.

#include <jansson.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/str.h"
#include "base/utf8.h"
#include "source/row_json.h"

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

// As the writer promises it, the plain way: a byte that begins no character becomes U+FFFD.
static void replace(fb_str text, fb_buf *out) {
    while (text.len > 0) {
        size_t used = 1;
        bool good = fb_utf8_next(text, &used) >= 0;
        require(fb_buf_append(out, good ? fb_str_make(text.ptr, used)
                                        : FB_STR("\xef\xbf\xbd")) == FB_OK);
        text = fb_str_make(text.ptr + used, text.len - used);
    }
}

static unsigned digit(char of) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *place = of != '\0' ? strchr(digits, of) : NULL;
    return place != NULL ? (unsigned)(place - digits) : 0;
}

static void check_base64(fb_str text, fb_str bytes) {
    require(text.len == (bytes.len + 2) / 3 * 4);
    for (size_t i = 0; i < bytes.len; i++) {
        const char *group = text.ptr + i / 3 * 4;
        unsigned word = digit(group[0]) << 18 | digit(group[1]) << 12 | digit(group[2]) << 6 |
                        digit(group[3]);
        require((unsigned char)bytes.ptr[i] == (word >> (16 - 8 * (i % 3)) & 0xff));
    }
}

static fb_str string_of(const json_t *value) {
    require(json_is_string(value));
    return fb_str_make(json_string_value(value), json_string_length(value));
}

static void check_row(fb_str bytes) {
    fb_row_json json = {.len_max = 8 * bytes.len + 100};
    fb_buf expected = {0};

    replace(bytes, &expected);
    require(fb_row_json_open(&json, '[') == FB_OK);
    require(fb_row_json_text(&json, bytes) == FB_OK);
    require(fb_row_json_blob(&json, bytes) == FB_OK);
    require(fb_row_json_close(&json, ']') == FB_OK);
    require(fb_json_valid(fb_buf_str(&json.text)));
    json_t *row = json_loadb(json.text.ptr, json.text.len, JSON_ALLOW_NUL, NULL);
    require(row != NULL);
    require(fb_str_equal(string_of(json_array_get(row, 0)), fb_buf_str(&expected)));
    check_base64(string_of(json_object_get(json_array_get(row, 1), "base64")), bytes);
    json_decref(row);
    fb_buf_release(&expected);
    fb_row_json_release(&json);
}

// With a limit anywhere, what was refused leaves a text that can be closed.
static void check_limit(fb_str bytes, size_t len_max) {
    fb_row_json json = {.len_max = len_max + 2};

    require(fb_row_json_open(&json, '{') == FB_OK);
    json.len_max = len_max + 1;
    if (fb_row_json_name(&json, bytes) == FB_OK && fb_row_json_null(&json) != FB_OK) {
        fb_row_json_clear(&json);  // a name without a value
        require(fb_row_json_open(&json, '{') == FB_OK);
    }
    json.len_max = len_max + 2;
    require(fb_row_json_close(&json, '}') == FB_OK);
    require(fb_json_valid(fb_buf_str(&json.text)));
    require(json.text.len <= json.len_max);
    fb_row_json_release(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str bytes = {(const char *)data, size};

    check_row(bytes);
    check_limit(bytes, size > 0 ? data[0] : 0);
    return 0;
}
