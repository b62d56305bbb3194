// node/http_results.h -- one of many results in a JSON document.
//
// Threads: any.

#ifndef FB_NODE_HTTP_RESULTS_H
#define FB_NODE_HTTP_RESULTS_H

#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

// What a request for it alone would be answered: an object with `status` and the key (may be NULL), and
// of FB_OK with a value that and what is known of it, of FB_OK without one 204 and nothing; of FB_MISS,
// FB_NEGATIVE, FB_REFUSED and errors the problem. `error` may be NULL.
void fb_http_say_result(fb_reply *reply, const fb_str *key, int result, const fb_value *value,
                        const fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
