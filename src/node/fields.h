// node/fields.h -- what a request asks for by name: the members of a JSON object, and parameters of the
// query, each at most once.
//
// Threads: any.

#ifndef FB_NODE_FIELDS_H
#define FB_NODE_FIELDS_H

#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_field_type {
    FB_FIELD_TEXT,    // fb_str, into the object or the query
    FB_FIELD_NUMBER,  // int64_t; in JSON a string of digits will do, too
    FB_FIELD_FLAG     // bool; in a query 1, 0, true, false
} fb_field_type;

typedef struct fb_field {
    const char *name;
    fb_field_type type;
    void *to;
    int64_t least, most;  // of a number
    bool needed;
    bool given;           // out
} fb_field;

// Reads them from `object` (may be NULL) and from the query. Says so and returns false where one is
// wrong, given twice, or missing, or where the object has a member that is neither one nor among
// `others` (names with spaces around, " payload jobs "). `place` is said before names ("jobs[3]: ").
bool fb_fields_read(fb_http_call *call, struct json_t *object, const char *place,
                    const char *others, fb_field *fields, size_t count);
// The body as an object, if there is one. True: *object is the caller's to drop, and NULL without a
// body; false: the response says what is wrong.
bool fb_fields_body(fb_http_call *call, struct json_t **object);

#ifdef __cplusplus
}
#endif

#endif
