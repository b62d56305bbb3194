// redis/tls.h -- TLS over a socket that does not block: what a connection needs of it.
//
// Threads: one at a time on one session.

#ifndef FB_REDIS_TLS_H
#define FB_REDIS_TLS_H

#include <sys/types.h>

#include "redis/conn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_tls_session fb_tls_session;

// Over `fd`, which stays the caller's. `host` is what the certificate must be for (a name or an
// address; NULL: not checked). FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_tls_session_new(const fb_redis_tls *tls, int fd, const char *host,
                                       fb_tls_session **session);
// Says goodbye where that is possible without waiting. NULL is fine.
void fb_tls_session_free(fb_tls_session *session);

enum {
    FB_TLS_CLOSED = 0,
    FB_TLS_AGAIN = -1,  // later: when the socket is readable or, if fb_tls_wants_write(), writable
    FB_TLS_FAILED = -2  // `error` says why; FB_EDENIED: it will be so the next time, too
};
// 1: done; FB_TLS_AGAIN, FB_TLS_FAILED.
FB_CHECK_RESULT int fb_tls_shake_hands(fb_tls_session *session, fb_error *error);
// Bytes moved, or one of the above. After FB_TLS_AGAIN of a write the same bytes come first again
// (they may lie elsewhere).
FB_CHECK_RESULT ssize_t fb_tls_read(fb_tls_session *session, void *bytes, size_t len,
                                    fb_error *error);
FB_CHECK_RESULT ssize_t fb_tls_write(fb_tls_session *session, fb_str bytes, fb_error *error);
bool fb_tls_wants_write(const fb_tls_session *session);
// Whether bytes are left that the socket does not know of.
bool fb_tls_has_more(const fb_tls_session *session);

#ifdef __cplusplus
}
#endif

#endif
