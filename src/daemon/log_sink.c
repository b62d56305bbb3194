// Log lines. Text for people: time, level, event, fields as they are. JSON for machines: the
// fields, in the form that base/log.h has them, become members; a value without quotes that is a
// number stays one.

#include "daemon/log_sink.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/utf8.h"
#include "os/clock.h"

// Fields have 1,000 bytes, and each may become the six of \u00ff: nothing is ever cut here.
enum { LINE_SIZE = 8192 };

static _Atomic int least_level = FB_LOG_INFO;
static _Atomic int chosen_format = FB_LOG_AUTO;
static const char *const LEVELS[] = {"debug", "info", "warn", "error"};

typedef struct line {
    char text[LINE_SIZE];
    size_t len;
} line;

static void add(line *out, const char *text, size_t len) {
    size_t room = sizeof out->text - out->len - 8;  // for what closes it
    len = len < room ? len : room;
    memcpy(out->text + out->len, text, len);
    out->len += len;
}

static void add_text(line *out, const char *text) {
    add(out, text, strlen(text));
}

static void add_json_string(line *out, fb_str text) {
    bool valid = fb_utf8_valid(text);
    add_text(out, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        char escaped[8];
        if (byte == '"' || byte == '\\') {
            snprintf(escaped, sizeof escaped, "\\%c", byte);
        } else if (byte < 0x20 || (byte >= 0x80 && !valid)) {
            snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        } else {
            snprintf(escaped, sizeof escaped, "%c", byte);
        }
        add_text(out, escaped);
    }
    add_text(out, "\"");
}

typedef struct field {
    fb_str name;
    char value[LINE_SIZE];
    size_t value_len;
    bool quoted;
} field;

// Takes a value in quotes off the front of `rest`. Where the line was cut the closing one is
// missing.
static void take_quoted(fb_str *rest, field *out) {
    size_t i = 1;
    while (i < rest->len && rest->ptr[i] != '"') {
        i += rest->ptr[i] == '\\' && i + 1 < rest->len ? 1 : 0;
        if (out->value_len < sizeof out->value) {
            out->value[out->value_len++] = rest->ptr[i];
        }
        i++;
    }
    i += i < rest->len ? 1 : 0;
    *rest = fb_str_make(rest->ptr + i, rest->len - i);
}

// Takes one `name=value` off the front of `rest`; false at the end.
static bool take_field(fb_str *rest, field *out) {
    *rest = fb_str_trim(*rest);
    size_t equals = fb_str_find(*rest, '=');
    if (equals == rest->len) {
        return false;
    }
    out->name = fb_str_make(rest->ptr, equals);
    out->value_len = 0;
    *rest = fb_str_make(rest->ptr + equals + 1, rest->len - equals - 1);
    out->quoted = rest->len > 0 && rest->ptr[0] == '"';
    if (out->quoted) {
        take_quoted(rest, out);
        return true;
    }
    size_t len = fb_str_find(*rest, ' ');
    out->value_len = len < sizeof out->value ? len : sizeof out->value;
    memcpy(out->value, rest->ptr, out->value_len);
    *rest = fb_str_make(rest->ptr + len, rest->len - len);
    return true;
}

static void add_json_fields(line *out, const char *fields) {
    fb_str rest = fb_str_of(fields);
    field one;
    while (take_field(&rest, &one)) {
        fb_str value = fb_str_make(one.value, one.value_len);
        int64_t number;
        add_text(out, ",");
        add_json_string(out, one.name);
        add_text(out, ":");
        if (!one.quoted && fb_str_int(value, &number) == FB_OK) {
            add(out, value.ptr, value.len);
        } else {
            add_json_string(out, value);
        }
    }
}

static bool as_json(void) {
    int format = atomic_load(&chosen_format);
    return format == FB_LOG_JSON || (format == FB_LOG_AUTO && !isatty(STDERR_FILENO));
}

void fb_log_sink(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg;
    if ((int)level < atomic_load(&least_level)) {
        return;
    }
    line out = {.len = 0};
    char now[40];
    fb_clock_iso(now, sizeof now);
    if (as_json()) {
        add_text(&out, "{\"time\":\"");
        add_text(&out, now);
        add_text(&out, "\",\"level\":\"");
        add_text(&out, LEVELS[level]);
        add_text(&out, "\",\"event\":");
        add_json_string(&out, fb_str_of(event));
        add_json_fields(&out, fields);
        memcpy(out.text + out.len, "}\n", 2);
        out.len += 2;
    } else {
        char head[128];
        snprintf(head, sizeof head, "%.19sZ %-5s %s ", now, LEVELS[level], event);
        add_text(&out, head);
        add_text(&out, fields);
        out.text[out.len++] = '\n';
    }
    // One write, so that lines of several threads do not mix; a log that cannot be written is no
    // reason to stop.
    ssize_t put = write(STDERR_FILENO, out.text, out.len);
    (void)put;
}

void fb_log_sink_set(fb_log_level level, fb_log_format format) {
    atomic_store(&least_level, (int)level);
    atomic_store(&chosen_format, (int)format);
}

fb_log_level fb_log_sink_level(const char *name) {
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, LEVELS[i]) == 0) {
            return (fb_log_level)i;
        }
    }
    return FB_LOG_INFO;
}

fb_log_format fb_log_sink_format(const char *name) {
    return strcmp(name, "json") == 0   ? FB_LOG_JSON
           : strcmp(name, "text") == 0 ? FB_LOG_TEXT
                                       : FB_LOG_AUTO;
}
