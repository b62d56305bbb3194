// cli/rows.h -- maps out of replies, as rows of tables for people.

#ifndef FB_CLI_ROWS_H
#define FB_CLI_ROWS_H

#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_ROWS_TEXT_SIZE = 48 };

// A member of a map, or NULL; 0 and "" where there is none.
const fb_resp_value *fb_rows_member(const fb_resp_value *map, const char *name);
int64_t fb_rows_number(const fb_resp_value *map, const char *name);
fb_str fb_rows_text(const fb_resp_value *map, const char *name);
double fb_rows_real(const fb_resp_value *map, const char *name);
// How wide a column of that member has to be, its name above it.
int fb_rows_width(const fb_resp_value *rows, const char *name);

// "3m 20s", "450ms"; "-" for 0. Two units at most: people compare, they do not calculate.
const char *fb_rows_duration(int64_t ms, char text[FB_ROWS_TEXT_SIZE]);
// A Unix time, as "2026-11-20 23:41:07" of this machine; "-" for 0.
const char *fb_rows_instant(int64_t unix_ms, char text[FB_ROWS_TEXT_SIZE]);

// Text in one line: control characters as blanks, cut at `width` characters' worth of bytes.
void fb_rows_print_cut(fb_str text, size_t width);

#ifdef __cplusplus
}
#endif

#endif
