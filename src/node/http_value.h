// node/http_value.h -- values of the cache as responses, and in JSON documents.
//
// Threads: any.

#ifndef FB_NODE_HTTP_VALUE_H
#define FB_NODE_HTTP_VALUE_H

#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_HTTP_TAG_SIZE = 40 };

// The strong entity tag of these bytes, in its quotes.
void fb_http_tag(fb_str data, char tag[FB_HTTP_TAG_SIZE]);
// Whether a list of tags, or "*", as RFC 9110 has it (13.1), has this one. Weak ones count unless
// `strong`.
bool fb_http_has_tag(fb_str list, const char *tag, bool strong);
// Whether it is such a list: a tag without its quotes would be one that nothing ever has. Empty is fine.
bool fb_http_are_tags(fb_str list);
// Whether the request's If-Match and If-None-Match let a value be changed that is `data` now, or is
// not there.
bool fb_http_may_change(const fb_http_request *request, bool found, fb_str data);

// How long a value may be used when its time is over: while it is refreshed, and where its source fails.
typedef struct fb_http_spans {
    int64_t stale_s, error_s;
} fb_http_spans;
// As the class is configured; none where there is none of that name.
fb_http_spans fb_http_spans_of(fb_node *node, const char *class_name);

// The response for a value as it lies in the cache: bytes, type, ETag, Age, Cache-Control; 304 where the
// client has it already. `spans` may be NULL. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_http_value(fb_http_response *response, const fb_value *value,
                                  fb_str if_none_match, const fb_http_spans *spans);

// What of a request's Content-Type is kept with a value: nothing of what is found out by itself (JSON,
// bytes) and of what curl says unless told otherwise. false: it is too long, or no text.
bool fb_http_type_to_keep(fb_str said, fb_str *type);

// Two pairs of a map: value, and value_encoding, which says how to read it: "json", "text" or "base64".
void fb_http_say_value(fb_reply *reply, const fb_value *value);

#ifdef __cplusplus
}
#endif

#endif
