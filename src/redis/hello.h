// redis/hello.h -- the first words to a server, and what is to be made of its answers. Pure.

#ifndef FB_REDIS_HELLO_H
#define FB_REDIS_HELLO_H

#include "redis/conn.h"

#ifdef __cplusplus
extern "C" {
#endif

// The connection before this one, to the same server. What it had sent may still lie there unread
// (the server hung, or the network did), and must not be done after what is sent on the new one: so
// it is ended there first. Its number alone could be another client's by now, so its address must be
// right, too.
typedef struct fb_hello_former {
    int64_t id;        // CLIENT ID; 0: there was none
    char address[72];  // as the server sees it; empty: a Unix socket, which has none
} fb_hello_former;

// Appends HELLO, CLIENT KILL (with a former connection) and SELECT (where it is needed); how many
// replies there will be in *count. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_hello_write(fb_buf *out, const fb_conn_options *options,
                                   const fb_hello_former *former, uint32_t *count);

// Why there is no connection. `fatal`: it will be so the next time, too.
typedef struct fb_hello_verdict {
    bool fatal;
    char text[300];
} fb_hello_verdict;

// The reply to HELLO: whether the server is fit, and then what it says of itself, and which of its
// clients we are (0: it does not say).
FB_CHECK_RESULT bool fb_hello_accept(const fb_resp_value *reply, fb_conn_server *server,
                                     int64_t *id, fb_hello_verdict *verdict);
// The reply to SELECT.
FB_CHECK_RESULT bool fb_hello_accept_select(const fb_resp_value *reply, uint32_t db,
                                            fb_hello_verdict *verdict);
// Bytes that are no reply at all.
void fb_hello_explain(fb_str bytes, fb_hello_verdict *verdict);
// Copies what a server says into a sentence of ours: `len_max` bytes of it at most, none of them a
// control character. Returns `text`, which has room for len_max + 1.
char *fb_hello_quote(fb_str said, char *text, size_t len_max);

#ifdef __cplusplus
}
#endif

#endif
