// Filling in fb_error.
//
// The text is formatted beside the error and copied in afterwards, because a caller that adds
// context passes the old text as an argument: fb_error_set(error, code, "class x: %s",
// error->text).

#include "base/error.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fb_error_set(fb_error *error, int code, const char *format, ...) {
    char text[sizeof(error->text)];
    va_list arguments;

    if (error == NULL) {
        return code;
    }
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (len < 0) {
        text[0] = '\0';
    } else if ((size_t)len >= sizeof(text)) {
        text[fb_utf8_cut(text, sizeof(text) - 1)] = '\0';
    }
    *error = (fb_error){.code = code};
    memcpy(error->text, text, strlen(text) + 1);
    return code;
}

void fb_error_place(fb_error *error, const char *file, uint32_t line, uint32_t column) {
    if (error == NULL) {
        return;
    }
    if (file != NULL) {
        size_t len = strlen(file);
        if (len >= sizeof(error->file)) {
            len = fb_utf8_cut(file, sizeof(error->file) - 1);
        }
        // The caller may pass the error's own file name.
        memmove(error->file, file, len);
        error->file[len] = '\0';
    }
    error->line = line;
    error->column = column;
}
