// cli/bench_load_http.h -- the requests of `forebay bench load` as HTTP/1.1, and its answers. No I/O.
//
// What is asked is forebay's own routes (docs/http.md), or one path of any server. Of an answer the
// length of its body has to be said (Content-Length), as forebay does.
//
// Threads: any.

#ifndef FB_CLI_BENCH_LOAD_HTTP_H
#define FB_CLI_BENCH_LOAD_HTTP_H

#include <sys/types.h>

#include "cli/bench_load.h"

#ifdef __cplusplus
extern "C" {
#endif

// Takes "http://host:port/path" apart: `address` gets the place and who signs in (port 8080 unless said),
// `path` what is to be asked, with its query; "" where there is none. FB_OK, FB_EINVAL.
FB_CHECK_RESULT int fb_load_http_url(fb_str url, fb_address *address, char path[FB_LOAD_PATH_SIZE],
                                     fb_error *error);
bool fb_load_http_is(fb_str url);

// Appends a request: that of a part with this key and value, or, where the plan has one, of its path.
// FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_load_http_put(const fb_load_plan *plan, const fb_load_part *part, fb_str key,
                                     fb_str value, fb_buf *out);

typedef struct fb_load_http_answer {
    int status;
    fb_str body;
} fb_load_http_answer;

// > 0: so many bytes are one whole answer. 0: there are to be more. FB_ESYNTAX: it is none. FB_ETOOBIG.
FB_CHECK_RESULT ssize_t fb_load_http_read(fb_str bytes, fb_load_http_answer *answer);
// The word of an error: the `code` of a problem document, else "HTTP 503". "": it is none; *none: there
// is nothing at that key, or for those parameters.
fb_str fb_load_http_error(const fb_load_http_answer *answer, char text[FB_LOAD_ERROR_SIZE], bool *none);

#ifdef __cplusplus
}
#endif

#endif
