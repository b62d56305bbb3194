// Writing RESP: each call reserves room for all it will write and then fills it, so that it writes
// everything or nothing. Numbers are formatted by hand, since every reply carries some; doubles,
// which are rare, by printf with as many digits as it takes.

#include "wire/resp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

enum {
    INT_LEN_MAX = 20,                     // "-9223372036854775808"
    HEAD_LEN_MAX = 1 + INT_LEN_MAX + 2,   // a mark, a number, CR LF
    DOUBLE_TEXT_SIZE = 48
};

// Up to here every integer is a double, and is written as one without printf.
#define EXACT_INT_MAX 9007199254740992.0

static size_t int_len(uint64_t number) {
    size_t len = 1;
    while (number >= 10) {
        number /= 10;
        len++;
    }
    return len;
}

// Returns the end of what it wrote.
static char *put_int(char *at, int64_t number) {
    uint64_t left = (uint64_t)number;
    if (number < 0) {
        *at++ = '-';
        left = 0 - left;
    }
    size_t len = int_len(left);
    for (size_t i = len; i > 0; i--) {
        at[i - 1] = (char)('0' + left % 10);
        left /= 10;
    }
    return at + len;
}

static char *put_end(char *at) {
    at[0] = '\r';
    at[1] = '\n';
    return at + 2;
}

static char *put_head(char *at, char mark, int64_t number) {
    *at = mark;
    return put_end(put_int(at + 1, number));
}

static char *put_bytes(char *at, fb_str bytes) {
    if (bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    return at + bytes.len;
}

static char *put_bulk(char *at, fb_str bytes) {
    return put_end(put_bytes(put_head(at, '$', (int64_t)bytes.len), bytes));
}

// What is written goes from here to the place given to commit().
static char *tail(fb_buf *out) {
    return out->ptr + out->len;
}

static void commit(fb_buf *out, const char *end) {
    out->len = (size_t)(end - out->ptr);
}

static int write_head(fb_buf *out, char mark, int64_t number) {
    int result = fb_buf_reserve(out, HEAD_LEN_MAX);
    if (result == FB_OK) {
        commit(out, put_head(tail(out), mark, number));
    }
    return result;
}

static int write_line(fb_buf *out, char mark, fb_str text) {
    int result = fb_buf_reserve(out, text.len + 3);
    if (result < 0) {
        return result;
    }
    char *start = tail(out);
    *start = mark;
    char *end = put_bytes(start + 1, text);
    for (char *at = start + 1; at < end; at++) {
        if (*at == '\r' || *at == '\n') {
            *at = ' ';
        }
    }
    commit(out, put_end(end));
    return FB_OK;
}

int fb_resp_write_simple(fb_buf *out, fb_str text) {
    return write_line(out, '+', text);
}

int fb_resp_write_error(fb_buf *out, fb_str text) {
    return write_line(out, '-', text);
}

int fb_resp_write_integer(fb_buf *out, int64_t number) {
    return write_head(out, ':', number);
}

int fb_resp_write_bulk(fb_buf *out, fb_str bytes) {
    int result = fb_buf_reserve(out, HEAD_LEN_MAX + bytes.len + 2);
    if (result == FB_OK) {
        commit(out, put_bulk(tail(out), bytes));
    }
    return result;
}

int fb_resp_write_null(fb_buf *out, int proto) {
    return proto >= 3 ? fb_buf_append(out, FB_STR("_\r\n")) : fb_buf_append(out, FB_STR("$-1\r\n"));
}

int fb_resp_write_null_array(fb_buf *out, int proto) {
    return proto >= 3 ? fb_buf_append(out, FB_STR("_\r\n")) : fb_buf_append(out, FB_STR("*-1\r\n"));
}

int fb_resp_write_array(fb_buf *out, size_t count) {
    return write_head(out, '*', (int64_t)count);
}

int fb_resp_write_map(fb_buf *out, int proto, size_t pair_count) {
    return proto >= 3 ? write_head(out, '%', (int64_t)pair_count)
                      : write_head(out, '*', (int64_t)(2 * pair_count));
}

int fb_resp_write_set(fb_buf *out, int proto, size_t count) {
    return write_head(out, proto >= 3 ? '~' : '*', (int64_t)count);
}

int fb_resp_write_push(fb_buf *out, int proto, size_t count) {
    return write_head(out, proto >= 3 ? '>' : '*', (int64_t)count);
}

// printf writes the locale's decimal sign, of one byte or several, which an embedder may have set:
// whatever is not part of a number otherwise becomes one point.
static size_t plain_point(char *text) {
    char *to = text;
    bool within = false;
    for (const char *from = text; *from != '\0'; from++) {
        bool known = strchr("0123456789+-e", *from) != NULL;
        if (known) {
            *to++ = *from;
        } else if (!within) {
            *to++ = '.';
        }
        within = !known;
    }
    return (size_t)(to - text);
}

static fb_str format_double(double number, char text[DOUBLE_TEXT_SIZE]) {
    if (isnan(number)) {
        return FB_STR("nan");
    }
    if (isinf(number)) {
        return number > 0 ? FB_STR("inf") : FB_STR("-inf");
    }
    bool minus_zero = number == 0 && signbit(number);
    if (fabs(number) <= EXACT_INT_MAX && number == floor(number) && !minus_zero) {
        return (fb_str){text, (size_t)(put_int(text, (int64_t)number) - text)};
    }
    fb_str shown = {text, 0};
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, DOUBLE_TEXT_SIZE, "%.*g", digits, number);
        shown.len = plain_point(text);
        double back = 0;
        if (fb_str_double(shown, &back) == FB_OK && back == number) {
            break;
        }
    }
    return shown;
}

int fb_resp_write_double(fb_buf *out, int proto, double number) {
    char text[DOUBLE_TEXT_SIZE];
    fb_str digits = format_double(number, text);
    return proto >= 3 ? write_line(out, ',', digits) : fb_resp_write_bulk(out, digits);
}

int fb_resp_write_boolean(fb_buf *out, int proto, bool truth) {
    if (proto >= 3) {
        return fb_buf_append(out, truth ? FB_STR("#t\r\n") : FB_STR("#f\r\n"));
    }
    return fb_buf_append(out, truth ? FB_STR(":1\r\n") : FB_STR(":0\r\n"));
}

int fb_resp_write_verbatim(fb_buf *out, int proto, fb_str text) {
    if (proto < 3) {
        return fb_resp_write_bulk(out, text);
    }
    int result = fb_buf_reserve(out, HEAD_LEN_MAX + 4 + text.len + 2);
    if (result == FB_OK) {
        char *at = put_head(tail(out), '=', (int64_t)text.len + 4);
        at = put_bytes(at, FB_STR("txt:"));
        commit(out, put_end(put_bytes(at, text)));
    }
    return result;
}

int fb_resp_write_command(fb_buf *out, const fb_str *args, size_t arg_count) {
    size_t len = HEAD_LEN_MAX;
    for (size_t i = 0; i < arg_count; i++) {
        len += HEAD_LEN_MAX + args[i].len + 2;
    }
    int result = fb_buf_reserve(out, len);
    if (result < 0) {
        return result;
    }
    char *at = put_head(tail(out), '*', (int64_t)arg_count);
    for (size_t i = 0; i < arg_count; i++) {
        at = put_bulk(at, args[i]);
    }
    commit(out, at);
    return FB_OK;
}
