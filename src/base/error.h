// base/error.h -- filling in fb_error.

#ifndef FB_BASE_ERROR_H
#define FB_BASE_ERROR_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// Writes code and text (cut where it does not fit) and clears the place; `error` may be NULL.
// Returns `code`, so that a caller can `return fb_error_set(…)`.
FB_PRINTF(3, 4) int fb_error_set(fb_error *error, int code, const char *format, ...);
// The place the text is about; `file` may be NULL (kept as it is), 0 means unknown.
void fb_error_place(fb_error *error, const char *file, uint32_t line, uint32_t column);

#ifdef __cplusplus
}
#endif

#endif
