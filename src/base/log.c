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
        if ((unsigned char)*byte < 0x20 || *byte == 0x7f) {
            *byte = '?';
        }
    }
    fb_hooks_current.log(fb_hooks_current.log_arg, level, event, fields);
}
