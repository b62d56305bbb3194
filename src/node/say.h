// node/say.h -- pairs of a name and a value, in JSON documents and in maps of commands.

#ifndef FB_NODE_SAY_H
#define FB_NODE_SAY_H

#include <forebay/cache.h>
#include <forebay/stats.h>

#include "base/str.h"
#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_NUMBER_SIZE = 48, FB_TIMESTAMP_SIZE = 40 };

// A number with at most `decimals` decimals, and at least one, so that readers in languages that
// tell 84 from 84.0 get the second. What is no number is 0.0.
const char *fb_number_text(double number, int decimals, char text[FB_NUMBER_SIZE]);
// Milliseconds: three decimals, below 1 ms six, so that a hit of 0.0004 ms is not 0.
const char *fb_ms_text(double ms, char text[FB_NUMBER_SIZE]);
// "2025-12-02T02:47:01.451643Z".
const char *fb_timestamp_text(int64_t wall_us, char text[FB_TIMESTAMP_SIZE]);

const char *fb_tier_name(fb_tier tier);
const char *fb_freshness_name(fb_freshness freshness);
const char *fb_kind_name(fb_kind kind);

// Inline, so that the length of a name is known when it is compiled: a verdict has a dozen.
static inline void fb_say_text(fb_reply *reply, const char *name, const char *text) {
    fb_reply_bytes(reply, fb_str_of(name));
    fb_reply_bytes(reply, fb_str_of(text));
}
static inline void fb_say_integer(fb_reply *reply, const char *name, int64_t number) {
    fb_reply_bytes(reply, fb_str_of(name));
    fb_reply_integer(reply, number);
}
void fb_say_count(fb_reply *reply, const char *name, uint64_t count);
// "none", "unused", "connected", "catching-up", "away".
const char *fb_say_shared_state(fb_shared_state state);
// Whether it answers, or has not been asked yet.
bool fb_say_is_reached(fb_shared_state state);
void fb_say_boolean(fb_reply *reply, const char *name, bool truth);
void fb_say_number(fb_reply *reply, const char *name, double number, int decimals);
void fb_say_ms(fb_reply *reply, const char *name, double ms);

#ifdef __cplusplus
}
#endif

#endif
