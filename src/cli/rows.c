// What a table shows is short. Whoever wants all of it asks for JSON.

#include "cli/rows.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "base/utf8.h"

const fb_resp_value *fb_rows_member(const fb_resp_value *map, const char *name) {
    for (size_t i = 0; map->type == FB_RESP_MAP && i + 1 < map->child_count; i += 2) {
        if (fb_str_equal(map->children[i].text, fb_str_of(name))) {
            return &map->children[i + 1];
        }
    }
    return NULL;
}

int64_t fb_rows_number(const fb_resp_value *map, const char *name) {
    const fb_resp_value *value = fb_rows_member(map, name);
    return value != NULL ? value->integer : 0;
}

fb_str fb_rows_text(const fb_resp_value *map, const char *name) {
    const fb_resp_value *value = fb_rows_member(map, name);
    return value != NULL ? value->text : (fb_str){"", 0};
}

// The encoder says numbers with a fraction as text.
double fb_rows_real(const fb_resp_value *map, const char *name) {
    const fb_resp_value *value = fb_rows_member(map, name);
    double number = 0;
    if (value != NULL && value->type == FB_RESP_DOUBLE) {
        return value->number;
    }
    if (value != NULL && value->type == FB_RESP_INTEGER) {
        return (double)value->integer;
    }
    return value != NULL && fb_str_double(value->text, &number) == FB_OK ? number : 0;
}

int fb_rows_width(const fb_resp_value *rows, const char *name) {
    int width = (int)strlen(name);
    for (size_t i = 0; i < rows->child_count; i++) {
        int len = (int)fb_rows_text(&rows->children[i], name).len;
        width = len > width ? len : width;
    }
    return width;
}

const char *fb_rows_duration(int64_t ms, char text[FB_ROWS_TEXT_SIZE]) {
    long long s = ms / 1000;
    if (ms <= 0) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "-");
    } else if (ms < 1000) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%lldms", (long long)ms);
    } else if (s < 60) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%llds", s);
    } else if (s < 3600) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%lldm %02llds", s / 60, s % 60);
    } else if (s < 86400) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%lldh %02lldm", s / 3600, s % 3600 / 60);
    } else {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%lldd %02lldh", s / 86400, s % 86400 / 3600);
    }
    return text;
}

const char *fb_rows_instant(int64_t unix_ms, char text[FB_ROWS_TEXT_SIZE]) {
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    if (unix_ms <= 0 || localtime_r(&seconds, &parts) == NULL) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "-");
    } else {
        (void)strftime(text, FB_ROWS_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &parts);
    }
    return text;
}

void fb_rows_print_cut(fb_str text, size_t width) {
    bool cut = text.len > width;
    size_t len = cut ? fb_utf8_cut(text.ptr, width - 1) : text.len;
    for (size_t i = 0; i < len; i++) {
        bool control = (unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f;
        putchar(control ? ' ' : text.ptr[i]);
    }
    if (cut) {
        fputs("…", stdout);
    }
}
