// node/http_body.h -- keys and values out of JSON bodies.
//
//     "user:1"  or  {"base64": "/w=="}                     a key, whatever its bytes
//     "value": …, "value_encoding": "json"                 the value is what JSON has there
//     "value": "…", "value_encoding": "text" or "base64"   the value is the string, or what it stands for
//
// Without value_encoding a string is text, and everything else is JSON.
// Threads: any.

#ifndef FB_NODE_HTTP_BODY_H
#define FB_NODE_HTTP_BODY_H

#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_HTTP_MANY_MAX = 1000 };  // keys or items of one request

// The body as an object that has no members but those in `known` (names with spaces around, " key by ").
// The caller's to drop; NULL with the response filled.
struct json_t *fb_http_object_of(fb_http_call *call, const char *known);
// One key that the user may use: into `scratch`, or into the JSON. Says so and returns false where it is
// none; `place` is said before. Its route is flagged FB_ROUTE_OWN_KEYS.
bool fb_http_read_key(fb_http_call *call, const struct json_t *json, const char *place,
                      fb_buf *scratch, fb_str *key);
// A list of 1 to FB_HTTP_MANY_MAX keys: *keys is an array to be freed with fb_mem_free(), the bytes are
// good as long as `list` and `scratch`. Says so and returns false where it is none.
bool fb_http_read_keys(fb_http_call *call, const struct json_t *list, fb_buf *scratch, fb_str **keys,
                       size_t *count);
// `value` and `value_encoding` of an object, into `out` (emptied first).
bool fb_http_read_value(fb_http_call *call, const struct json_t *object, const char *place,
                        fb_buf *out);
// ttl ("5m"), tags (a list) and srcver of an object; `tags` has room for FB_TAGS_MAX.
bool fb_http_read_options(fb_http_call *call, const struct json_t *object, const char *place,
                          fb_str *tags, fb_set_options *options);

#ifdef __cplusplus
}
#endif

#endif
