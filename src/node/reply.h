// node/reply.h -- the neutral reply: handlers say what they answer, never how it looks on the wire.
//
// One interface, three encoders: RESP2, RESP3, JSON. Containers are announced with their count and
// close themselves after so many values. Running out of memory is latched: later calls do nothing,
// and whoever owns the reply asks fb_reply_failed() once at the end.

#ifndef FB_NODE_REPLY_H
#define FB_NODE_REPLY_H

#include <forebay/base.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_encoding {
    FB_ENCODING_RESP2 = 2,
    FB_ENCODING_RESP3 = 3,
    FB_ENCODING_JSON = 4
} fb_encoding;

enum { FB_REPLY_DEPTH_MAX = 16, FB_REPLY_CODE_SIZE = 24 };

typedef struct fb_reply {
    fb_buf *out;
    fb_encoding encoding;
    bool failed;
    char code[FB_REPLY_CODE_SIZE];  // the code word of the first error that was said; "": none was
    // JSON: what is open
    struct {
        size_t left;
        bool map;
        bool first;
    } open[FB_REPLY_DEPTH_MAX];
    int depth;
} fb_reply;

void fb_reply_init(fb_reply *reply, fb_encoding encoding, fb_buf *out);
// One that nobody gets: whatever is said in it is dropped.
void fb_reply_init_unheard(fb_reply *reply);
bool fb_reply_failed(const fb_reply *reply);

void fb_reply_null(fb_reply *reply);
void fb_reply_null_array(fb_reply *reply);                // what a RESP2 "no array" is; JSON null
void fb_reply_status(fb_reply *reply, const char *text);  // +OK
// "ERR no such class" and its kin: the first word is the code, as in Redis.
FB_PRINTF(2, 3) void fb_reply_error(fb_reply *reply, const char *format, ...);
void fb_reply_integer(fb_reply *reply, int64_t number);
void fb_reply_double(fb_reply *reply, double number);
void fb_reply_boolean(fb_reply *reply, bool truth);
// JSON: a string, or {"base64": …} where it is no UTF-8.
void fb_reply_bytes(fb_reply *reply, fb_str bytes);
void fb_reply_text(fb_reply *reply, const char *text);
// A value that is JSON already: RESP bulk; in JSON as it is.
void fb_reply_json(fb_reply *reply, fb_str json);
// Lines for people to read (INFO): RESP3's verbatim string, else a string.
void fb_reply_verbatim(fb_reply *reply, fb_str text);
void fb_reply_array(fb_reply *reply, size_t count);
void fb_reply_set(fb_reply *reply, size_t count);       // an array where the encoding has no sets
void fb_reply_push(fb_reply *reply, size_t count);      // RESP3: told unasked; else an array
void fb_reply_map(fb_reply *reply, size_t pair_count);  // then key, value, key, value …
// A reply encoded before by the same encoding, as it is.
void fb_reply_raw(fb_reply *reply, fb_str encoded);

#ifdef __cplusplus
}
#endif

#endif
