// Numbers as text, and pairs. Trailing zeros are cut off, because they claim a precision that is
// not there.

#include "node/say.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

const char *fb_number_text(double number, int decimals, char text[FB_NUMBER_SIZE]) {
    // Beyond this a double has no decimals; it also bounds the text.
    bool fits = isfinite(number) && fabs(number) < 1e15;
    int len = snprintf(text, FB_NUMBER_SIZE, "%.*f", decimals, fits ? number : 0.0);
    while (text[len - 1] == '0' && text[len - 2] != '.') {
        text[--len] = '\0';
    }
    if (strcmp(text, "-0.0") == 0) {
        text[0] = '0';
        text[1] = '.';
        text[2] = '0';
        text[3] = '\0';
    }
    return text;
}

const char *fb_ms_text(double ms, char text[FB_NUMBER_SIZE]) {
    return fb_number_text(ms, fabs(ms) < 1 ? 6 : 3, text);
}

const char *fb_timestamp_text(int64_t wall_us, char text[FB_TIMESTAMP_SIZE]) {
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;
    char until_seconds[24];
    (void)gmtime_r(&seconds, &parts);
    (void)strftime(until_seconds, sizeof until_seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text, FB_TIMESTAMP_SIZE, "%s.%06dZ", until_seconds, (int)(wall_us % 1000000));
    return text;
}

const char *fb_tier_name(fb_tier tier) {
    static const char *const names[] = {"none", "memory", "shared", "source"};
    return names[tier];
}

const char *fb_freshness_name(fb_freshness freshness) {
    static const char *const names[] = {"fresh", "stale", "fallback"};
    return names[freshness];
}

const char *fb_kind_name(fb_kind kind) {
    return kind == FB_KIND_JSON ? "json" : "bytes";
}

void fb_say_count(fb_reply *reply, const char *name, uint64_t count) {
    fb_say_integer(reply, name, count <= INT64_MAX ? (int64_t)count : INT64_MAX);
}

const char *fb_say_shared_state(fb_shared_state state) {
    switch (state) {
        case FB_SHARED_NONE:
            return "none";
        case FB_SHARED_UNUSED:
            return "unused";
        case FB_SHARED_CONNECTED:
            return "connected";
        case FB_SHARED_CATCHING_UP:
            return "catching-up";
        case FB_SHARED_AWAY:
            return "away";
    }
    return "";
}

bool fb_say_is_reached(fb_shared_state state) {
    return state == FB_SHARED_CONNECTED || state == FB_SHARED_CATCHING_UP;
}

void fb_say_boolean(fb_reply *reply, const char *name, bool truth) {
    fb_reply_text(reply, name);
    fb_reply_boolean(reply, truth);
}

void fb_say_number(fb_reply *reply, const char *name, double number, int decimals) {
    char text[FB_NUMBER_SIZE];
    fb_reply_text(reply, name);
    fb_reply_json(reply, fb_str_of(fb_number_text(number, decimals, text)));
}

void fb_say_ms(fb_reply *reply, const char *name, double ms) {
    char text[FB_NUMBER_SIZE];
    fb_reply_text(reply, name);
    fb_reply_json(reply, fb_str_of(fb_ms_text(ms, text)));
}
