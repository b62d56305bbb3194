// door/tls.h -- the certificates that the doors show, and one TLS connection as a socket that does
// not block.
//
// The certificates can be exchanged while connections are open: those that are keep what they
// began with, those that come afterwards get the new ones. Threads: any for fb_door_tls; one at a
// time on one connection. Writes may raise SIGPIPE, which whoever opens a door ignores.

#ifndef FB_DOOR_TLS_H
#define FB_DOOR_TLS_H

#include <forebay/base.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_door_tls fb_door_tls;
typedef struct fb_door_tls_context fb_door_tls_context;
struct ssl_st;  // OpenSSL's SSL

typedef enum fb_door_tls_auth {
    FB_DOOR_TLS_AUTH_OFF,
    FB_DOOR_TLS_AUTH_OPTIONAL,  // a certificate that is shown is checked
    FB_DOOR_TLS_AUTH_REQUIRED
} fb_door_tls_auth;

typedef struct fb_door_tls_options {
    const char *cert, *key;  // paths
    const char *ca;          // whom clients' certificates are checked by; NULL or "": the system's
    fb_door_tls_auth auth;
    bool only_13;            // TLS 1.2 is not spoken
} fb_door_tls_options;

// FB_OK; FB_EINVAL: `error` names the file and says what is wrong with it; FB_ENOMEM. What is in force is
// logged, here and when it is published, and a warning of a certificate that has run out or is about to.
FB_CHECK_RESULT int fb_door_tls_new(const fb_door_tls_options *options, fb_door_tls **tls,
                                    fb_error *error);
// Reads everything again, and changes nothing yet: *next is to be published or dropped. Files that are
// the same as before are not read, and *next is NULL. Errors as above. One at a time, together with the
// publishing.
FB_CHECK_RESULT int fb_door_tls_prepare(const fb_door_tls *tls, const fb_door_tls_options *options,
                                        fb_door_tls_context **next, fb_error *error);
// Connections from now on have it; what it takes the place of goes with the last connection that has
// that. NULL is fine.
void fb_door_tls_publish(fb_door_tls *tls, fb_door_tls_context *next);
void fb_door_tls_drop(fb_door_tls_context *next);
// When no connection is left. NULL is fine.
void fb_door_tls_free(fb_door_tls *tls);

// A connection's side of it, which is free of `tls` afterwards; `fd` -1: it gets its socket later.
// NULL: no memory. SSL_free() or fb_door_tls_end().
struct ssl_st *fb_door_tls_accept(fb_door_tls *tls, int fd);
// 1: hands are shaken; 0: wait, until the socket can be read or, with *write, written; -1: it came
// to nothing, and `why` says in a few words what of.
FB_CHECK_RESULT int fb_door_tls_shake(struct ssl_st *ssl, bool *write, const char **why);
bool fb_door_tls_is_shaken(const struct ssl_st *ssl);
// What an error code of OpenSSL means.
const char *fb_door_tls_words(unsigned long code);
// As recv() and send() of a socket that does not block: -1 with EAGAIN, ECONNRESET or ENOMEM. What
// was to be sent and was not must be sent first the next time.
ssize_t fb_door_tls_recv(struct ssl_st *ssl, char *into, size_t len);
ssize_t fb_door_tls_send(struct ssl_st *ssl, const char *from, size_t len);
// Says that nothing more will come from us, if that can be said without waiting.
void fb_door_tls_goodbye(struct ssl_st *ssl);
// The same, and frees it. NULL is fine.
void fb_door_tls_end(struct ssl_st *ssl);

#ifdef __cplusplus
}
#endif

#endif
