// node/wishes.h -- what a request about limits asks for: names with values, out of a query or a
// JSON object, each looked at once.
//
// Threads: any.

#ifndef FB_NODE_WISHES_H
#define FB_NODE_WISHES_H

#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {  // which there are
    FB_WISH_RULE = 1,
    FB_WISH_KEY = 2,
    FB_WISH_TIER = 4,
    FB_WISH_COST = 8,
    FB_WISH_PEEK = 16,
    FB_WISH_TTL = 32,      // a time, "30s"
    FB_WISH_TOKEN = 64,
    FB_WISH_LIMIT = 128,
    FB_WISH_ALLOW = 256,
    FB_WISH_DENY = 512,
    FB_WISH_NONE = 1024,
    FB_WISH_FOR = 2048,    // a time
    FB_WISH_ENFORCE = 4096,
    FB_WISH_STATUS = 8192,
    FB_WISH_KEY_HEADER = 16384,
    FB_WISH_QUESTION = FB_WISH_RULE | FB_WISH_KEY | FB_WISH_TIER | FB_WISH_COST
};

enum { FB_WISH_NUMBER_SIZE = 24, FB_WISH_COUNT = 15 };

typedef struct fb_wishes {
    unsigned given;
    fb_limit_question question;  // cost 1 unless given
    fb_str key_header;           // the name of a header
    size_t place;                // in `limits` of a body, from 1 on; 0: it stands alone
    bool peek, allow, deny, none, enforce;
    int64_t ttl_ms, for_ms;
    uint64_t token;
    uint32_t limit;
    int status;
    char numbers[FB_WISH_COUNT][FB_WISH_NUMBER_SIZE];  // what JSON had as numbers, as text
} fb_wishes;

void fb_wishes_init(fb_wishes *wishes);
// Those of the query among `allowed`, and no others (the route table sees to what is unknown). Says
// so and returns false where one is wrong. What they are points into the call.
bool fb_wishes_query(fb_http_call *call, unsigned allowed, fb_wishes *wishes);
// Those of a JSON object, all of which must be among `allowed`, but for `other` (may be NULL). What
// they are points into the object and the wishes.
bool fb_wishes_object(fb_http_call *call, struct json_t *object, unsigned allowed,
                      const char *other, fb_wishes *wishes);
// Of a body, or where there is none of the query. *object (out, may be NULL) is the caller's to
// drop.
bool fb_wishes_read(fb_http_call *call, unsigned allowed, struct json_t **object,
                    fb_wishes *wishes);
// Says so and returns false where one of `needed` is not given.
bool fb_wishes_have(fb_http_call *call, const fb_wishes *wishes, unsigned needed);

#ifdef __cplusplus
}
#endif

#endif
