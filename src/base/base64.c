// Three bytes are four digits.

#include "base/base64.h"

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int fb_base64_write(fb_str bytes, fb_buf *out) {
    if (fb_buf_reserve(out, (bytes.len + 2) / 3 * 4) < 0) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        unsigned group = (unsigned)(unsigned char)bytes.ptr[i] << 16;
        group |= left > 1 ? (unsigned)(unsigned char)bytes.ptr[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)(unsigned char)bytes.ptr[i + 2] : 0;
        out->ptr[out->len++] = DIGITS[group >> 18];
        out->ptr[out->len++] = DIGITS[group >> 12 & 63];
        out->ptr[out->len++] = left > 1 ? DIGITS[group >> 6 & 63] : '=';
        out->ptr[out->len++] = left > 2 ? DIGITS[group & 63] : '=';
    }
    return FB_OK;
}

static int digit_of(char byte) {
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

int fb_base64_read(fb_str text, fb_buf *out) {
    unsigned bits = 0;
    int held = 0;
    while (text.len > 0 && text.ptr[text.len - 1] == '=') {
        text.len--;
    }
    if (text.len % 4 == 1) {
        return FB_ESYNTAX;
    }
    if (fb_buf_reserve(out, text.len) < 0) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.ptr[i]);
        if (digit < 0) {
            return FB_ESYNTAX;
        }
        bits = bits << 6 | (unsigned)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out->ptr[out->len++] = (char)(bits >> held);
        }
    }
    return FB_OK;
}
