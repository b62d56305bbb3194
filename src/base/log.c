// Formats one event and hands it to the hook.
//
// An event is one line whatever its values hold: control bytes, which a hostile key could carry
// into the log, become '?'. The text lives on the stack, so that "out of memory" can be logged. A
// line that does not fit is cut between characters rather than inside one.

#include "base/log.h"

#include "base/hooks.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum { FIELDS_SIZE = 1001 };

static bool is_control(char byte) {
    return (unsigned char)byte < 0x20 || byte == 0x7f;
}

void fb_log(fb_log_level level, const char *event, const char *format, ...) {
    char fields[FIELDS_SIZE];
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(fields, sizeof(fields), format, arguments);
    va_end(arguments);
    if (len < 0) {
        fields[0] = '\0';
    } else if (len >= FIELDS_SIZE) {
        fields[fb_utf8_cut(fields, FIELDS_SIZE - 1)] = '\0';
    }
    for (char *byte = fields; *byte != '\0'; byte++) {
        *byte = is_control(*byte) ? '?' : *byte;
    }
    fb_hooks_current.log(fb_hooks_current.log_arg, level, event, fields);
}

fb_log_text fb_log_quote(fb_str value, size_t len_max) {
    fb_log_text quoted;
    size_t end = 1 + (len_max < FB_LOG_TEXT_MAX ? len_max : FB_LOG_TEXT_MAX);
    size_t len = 0;

    quoted.text[len++] = '"';
    for (size_t i = 0; i < value.len; i++) {
        char byte = value.ptr[i];
        bool escaped = byte == '"' || byte == '\\';
        if (len + 1 + escaped > end) {
            len = 1 + fb_utf8_cut(quoted.text + 1, len - 1);
            break;
        }
        if (escaped) {
            quoted.text[len++] = '\\';
        }
        quoted.text[len++] = is_control(byte) ? '?' : byte;
    }
    quoted.text[len++] = '"';
    quoted.text[len] = '\0';
    return quoted;
}
