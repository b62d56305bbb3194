// source/row_json.h -- rows as JSON text, in the one form that all sources give their values.
//
// Zero-initialise it, set len_max, write, take `text`, release it. Commas come by themselves. Every
// call appends all or nothing: FB_OK, FB_ENOMEM, or FB_ETOOBIG where the text would be longer than
// len_max. One thread at a time.

#ifndef FB_SOURCE_ROW_JSON_H
#define FB_SOURCE_ROW_JSON_H

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_row_json {
    fb_buf text;
    size_t len_max;
    bool comma;  // one is due before the next value
} fb_row_json;

enum { FB_ROW_JSON_REAL_SIZE = 32 };

// Empty again, with the memory it has.
void fb_row_json_clear(fb_row_json *json);
void fb_row_json_release(fb_row_json *json);
// `bracket` is '[' or '{', and ']' or '}'. That they match is the caller's matter.
FB_CHECK_RESULT int fb_row_json_open(fb_row_json *json, char bracket);
FB_CHECK_RESULT int fb_row_json_close(fb_row_json *json, char bracket);
// The name of the member whose value comes next.
FB_CHECK_RESULT int fb_row_json_name(fb_row_json *json, fb_str name);
FB_CHECK_RESULT int fb_row_json_null(fb_row_json *json);
FB_CHECK_RESULT int fb_row_json_integer(fb_row_json *json, int64_t number);
// As fb_row_json_format() has it; null for what JSON cannot say, NaN and the infinities.
FB_CHECK_RESULT int fb_row_json_real(fb_row_json *json, double number);
// A string. Each byte that is no part of a UTF-8 character becomes U+FFFD.
FB_CHECK_RESULT int fb_row_json_text(fb_row_json *json, fb_str text);
// {"base64":"…"}, with padding (RFC 4648, section 4).
FB_CHECK_RESULT int fb_row_json_blob(fb_row_json *json, fb_str bytes);

// A finite number in 15 significant digits, or 16 or 17 where it takes them to be read back as the
// same one; without needless zeros, but always with a fraction or an exponent ("1.0"); whatever the
// process's locale. Empty: no memory.
fb_str fb_row_json_format(double number, char text[FB_ROW_JSON_REAL_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
