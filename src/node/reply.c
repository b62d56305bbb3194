// The neutral reply's three encoders. RESP2 and RESP3 are the wire layer's functions; JSON is
// written here, since it alone has to know what is open: commas, colons and closing brackets come
// from a stack of the containers announced and the values each still waits for.
//
// Invariant of the stack: every open container waits for at least one value. The value that fills
// the last place closes it, and that may fill the last place of the one around it, and so on; a
// container announced with no values is closed at once. A map counts 2 values a pair, so that an
// even number left means that a key comes next.
//
// JSON names must be strings: what stands in the place of a key is written as its text.

#include "node/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "base/utf8.h"
#include "wire/resp.h"

enum { ERROR_TEXT_SIZE = 1024, NUMBER_TEXT_SIZE = 32 };

void fb_reply_init(fb_reply *reply, fb_encoding encoding, fb_buf *out) {
    reply->out = out;
    reply->encoding = encoding;
    reply->failed = false;
    reply->code[0] = '\0';
    reply->depth = 0;
}

// Nothing is written into one that has failed.
void fb_reply_init_unheard(fb_reply *reply) {
    fb_reply_init(reply, FB_ENCODING_RESP2, NULL);
    reply->failed = true;
}

bool fb_reply_failed(const fb_reply *reply) {
    return reply->failed;
}

// ---- what both have in common

static bool is_json(const fb_reply *reply) {
    return reply->encoding == FB_ENCODING_JSON;
}

static int proto_of(const fb_reply *reply) {
    return reply->encoding == FB_ENCODING_RESP3 ? 3 : 2;
}

static void latch(fb_reply *reply, int result) {
    if (result < 0) {
        reply->failed = true;
    }
}

// ---- JSON

static void put(fb_reply *reply, fb_str bytes) {
    if (!reply->failed) {
        latch(reply, fb_buf_append(reply->out, bytes));
    }
}

static bool in_key_place(const fb_reply *reply) {
    if (reply->depth == 0) {
        return false;
    }
    return reply->open[reply->depth - 1].map && reply->open[reply->depth - 1].left % 2 == 0;
}

// Before each value: the comma or colon that parts it from the one before.
static void begin_value(fb_reply *reply) {
    if (reply->depth == 0) {
        return;
    }
    int top = reply->depth - 1;
    if (reply->open[top].map && reply->open[top].left % 2 == 1) {
        put(reply, FB_STR(":"));
    } else if (!reply->open[top].first) {
        put(reply, FB_STR(","));
    }
    reply->open[top].first = false;
}

// After each value: closes what it completed.
static void end_value(fb_reply *reply) {
    while (reply->depth > 0) {
        int top = reply->depth - 1;
        FB_ASSERT(reply->open[top].left > 0);
        reply->open[top].left--;
        if (reply->open[top].left > 0) {
            return;
        }
        put(reply, reply->open[top].map ? FB_STR("}") : FB_STR("]"));
        reply->depth--;
    }
}

static void open_container(fb_reply *reply, bool map, size_t value_count) {
    FB_ASSERT(!in_key_place(reply));
    begin_value(reply);
    put(reply, map ? FB_STR("{") : FB_STR("["));
    if (value_count == 0) {
        put(reply, map ? FB_STR("}") : FB_STR("]"));
        end_value(reply);
        return;
    }
    FB_ASSERT(reply->depth < FB_REPLY_DEPTH_MAX);
    int top = reply->depth++;
    reply->open[top].left = value_count;
    reply->open[top].map = map;
    reply->open[top].first = true;
}

static bool plain_in_json(char byte) {
    return (unsigned char)byte >= ' ' && byte != '"' && byte != '\\';
}

static void put_escaped(fb_reply *reply, char byte) {
    switch (byte) {
        case '"':
            put(reply, FB_STR("\\\""));
            break;
        case '\\':
            put(reply, FB_STR("\\\\"));
            break;
        case '\n':
            put(reply, FB_STR("\\n"));
            break;
        case '\r':
            put(reply, FB_STR("\\r"));
            break;
        case '\t':
            put(reply, FB_STR("\\t"));
            break;
        default:
            if (!reply->failed) {
                latch(reply, fb_buf_printf(reply->out, "\\u%04x", (unsigned)(unsigned char)byte));
            }
    }
}

static void put_string(fb_reply *reply, fb_str text) {
    put(reply, FB_STR("\""));
    size_t from = 0;
    for (size_t at = 0; at < text.len; at++) {
        if (!plain_in_json(text.ptr[at])) {
            put(reply, fb_str_make(text.ptr + from, at - from));
            put_escaped(reply, text.ptr[at]);
            from = at + 1;
        }
    }
    if (from < text.len) {
        put(reply, fb_str_make(text.ptr + from, text.len - from));
    }
    put(reply, FB_STR("\""));
}

// RFC 4648, with padding.
static void put_base64(fb_reply *reply, fb_str bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < bytes.len && !reply->failed; at += 3) {
        size_t left = bytes.len - at;
        uint32_t bits = (uint32_t)(unsigned char)bytes.ptr[at] << 16;
        bits |= left > 1 ? (uint32_t)(unsigned char)bytes.ptr[at + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)(unsigned char)bytes.ptr[at + 2] : 0;
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                        left > 1 ? digits[bits >> 6 & 63] : '=',
                        left > 2 ? digits[bits & 63] : '='};
        put(reply, fb_str_make(four, 4));
    }
}

static void put_bytes(fb_reply *reply, fb_str bytes) {
    if (fb_utf8_valid(bytes)) {
        put_string(reply, bytes);
    } else if (in_key_place(reply)) {
        put(reply, FB_STR("\"base64:"));
        put_base64(reply, bytes);
        put(reply, FB_STR("\""));
    } else {
        put(reply, FB_STR("{\"base64\":\""));
        put_base64(reply, bytes);
        put(reply, FB_STR("\"}"));
    }
}

static void json_bytes(fb_reply *reply, fb_str bytes) {
    begin_value(reply);
    put_bytes(reply, bytes);
    end_value(reply);
}

// null, true, 12: as it is, or as a string where a name must stand.
static void json_word(fb_reply *reply, fb_str word) {
    if (in_key_place(reply)) {
        json_bytes(reply, word);
        return;
    }
    begin_value(reply);
    put(reply, word);
    end_value(reply);
}

// ---- values

// Each public call is one value; nothing is written any more once the memory was short.
#define STOP_WHERE_FAILED(reply) \
    if ((reply)->failed) {       \
        return;                  \
    }

void fb_reply_null(fb_reply *reply) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_word(reply, FB_STR("null"));
    } else {
        latch(reply, fb_resp_write_null(reply->out, proto_of(reply)));
    }
}

void fb_reply_null_array(fb_reply *reply) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_word(reply, FB_STR("null"));
    } else {
        latch(reply, fb_resp_write_null_array(reply->out, proto_of(reply)));
    }
}

void fb_reply_status(fb_reply *reply, const char *text) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_bytes(reply, fb_str_of(text));
    } else {
        latch(reply, fb_resp_write_simple(reply->out, fb_str_of(text)));
    }
}

static void note_code(fb_reply *reply, fb_str text) {
    size_t len = fb_str_find(text, ' ');
    if (reply->code[0] == '\0' && len < sizeof reply->code) {
        memcpy(reply->code, text.ptr, len);
        reply->code[len] = '\0';
    }
}

void fb_reply_error(fb_reply *reply, const char *format, ...) {
    STOP_WHERE_FAILED(reply)
    char text[ERROR_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fb_str shown = {text, 0};
    if (len > 0) {
        shown.len = (size_t)len < sizeof text ? (size_t)len : fb_utf8_cut(text, sizeof text - 1);
    }
    note_code(reply, shown);
    if (is_json(reply)) {
        fb_reply_map(reply, 1);
        json_bytes(reply, FB_STR("error"));
        json_bytes(reply, shown);
    } else {
        latch(reply, fb_resp_write_error(reply->out, shown));
    }
}

void fb_reply_integer(fb_reply *reply, int64_t number) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        char text[NUMBER_TEXT_SIZE];
        int len = snprintf(text, sizeof text, "%lld", (long long)number);
        json_word(reply, fb_str_make(text, (size_t)len));
    } else {
        latch(reply, fb_resp_write_integer(reply->out, number));
    }
}

// The wire layer finds the shortest digits: what it writes for RESP2 is a bulk string, whose text
// is taken from behind its head. JSON knows no infinity.
static void json_double(fb_reply *reply, double number) {
    if (!isfinite(number)) {
        json_word(reply, FB_STR("null"));
        return;
    }
    fb_buf bulk = {0};
    int result = fb_resp_write_double(&bulk, 2, number);
    latch(reply, result);
    if (result == FB_OK) {
        fb_str text = fb_buf_str(&bulk);
        size_t head_len = fb_str_find(text, '\n') + 1;
        json_word(reply, fb_str_make(text.ptr + head_len, text.len - head_len - 2));
    }
    fb_buf_release(&bulk);
}

void fb_reply_double(fb_reply *reply, double number) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_double(reply, number);
    } else {
        latch(reply, fb_resp_write_double(reply->out, proto_of(reply), number));
    }
}

void fb_reply_boolean(fb_reply *reply, bool truth) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_word(reply, truth ? FB_STR("true") : FB_STR("false"));
    } else {
        latch(reply, fb_resp_write_boolean(reply->out, proto_of(reply), truth));
    }
}

void fb_reply_bytes(fb_reply *reply, fb_str bytes) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_bytes(reply, bytes);
    } else {
        latch(reply, fb_resp_write_bulk(reply->out, bytes));
    }
}

void fb_reply_text(fb_reply *reply, const char *text) {
    fb_reply_bytes(reply, fb_str_of(text));
}

void fb_reply_verbatim(fb_reply *reply, fb_str text) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_bytes(reply, text);
    } else {
        latch(reply, fb_resp_write_verbatim(reply->out, proto_of(reply), text));
    }
}

void fb_reply_json(fb_reply *reply, fb_str json) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_word(reply, json);
    } else {
        latch(reply, fb_resp_write_bulk(reply->out, json));
    }
}

void fb_reply_array(fb_reply *reply, size_t count) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        open_container(reply, false, count);
    } else {
        latch(reply, fb_resp_write_array(reply->out, count));
    }
}

void fb_reply_set(fb_reply *reply, size_t count) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        open_container(reply, false, count);
    } else {
        latch(reply, fb_resp_write_set(reply->out, proto_of(reply), count));
    }
}

void fb_reply_push(fb_reply *reply, size_t count) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        open_container(reply, false, count);
    } else {
        latch(reply, fb_resp_write_push(reply->out, proto_of(reply), count));
    }
}

void fb_reply_map(fb_reply *reply, size_t pair_count) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        open_container(reply, true, 2 * pair_count);
    } else {
        latch(reply, fb_resp_write_map(reply->out, proto_of(reply), pair_count));
    }
}

void fb_reply_raw(fb_reply *reply, fb_str encoded) {
    STOP_WHERE_FAILED(reply)
    if (is_json(reply)) {
        json_word(reply, encoded);
    } else {
        put(reply, encoded);
    }
}
