// client/link.h -- one blocking connection to a running forebay. Speaks RESP3.
//
// Every wait has an end: `timeout_ms` from the beginning of the request, or what fb_link_begin()
// says. No error has the password in it. Nothing here raises SIGPIPE. Threads: one at a time.

#ifndef FB_CLIENT_LINK_H
#define FB_CLIENT_LINK_H

#include <forebay/base.h>

#include <sys/types.h>

#include "client/address.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_link fb_link;

// TLS, by whoever has it: this library has none, but the program does (cli/tls.c).
typedef struct fb_link_tls {
    // Over a socket that does not block. FB_OK; FB_EIO, FB_EDENIED, FB_EINVAL, FB_ENOMEM with
    // `error`.
    int (*begin)(int fd, const fb_address *to, void **session, fb_error *error);
    // As recv() and send() of such a socket. FB_OK of shake(): hands are shaken; FB_PENDING: wait
    // for *events (of poll()) and come again.
    int (*shake)(void *session, short *events, fb_error *error);
    ssize_t (*recv)(void *session, char *into, size_t len);
    ssize_t (*send)(void *session, const char *from, size_t len);
    void (*end)(void *session);
} fb_link_tls;

// For all links from now on, before there are several threads.
void fb_link_set_tls(const fb_link_tls *tls);

// As whom fb_link_open() signs in where the address does not say: for a program's options. Both are
// kept, not copied; NULL or "": none. As above, before there are several threads.
void fb_link_set_login(const char *user, const char *password);
// Puts that into an address without a login. false: it is too long.
bool fb_link_login(fb_address *to);

enum { FB_LINK_DEPTH_MAX = 8 };  // how deep replies may be nested

// FB_OK; FB_EINVAL (a malformed url); FB_EIO and FB_ETIMEDOUT with what went wrong; FB_EDENIED: the
// server does not let us in; FB_ENOMEM.
FB_CHECK_RESULT int fb_link_open(const char *url, int64_t timeout_ms, fb_link **link,
                                 fb_error *error);
FB_CHECK_RESULT int fb_link_connect(const fb_address *to, int64_t timeout_ms, fb_link **link,
                                    fb_error *error);
// The same without a greeting, for who speaks another protocol over it (begin() and what follows do not).
FB_CHECK_RESULT int fb_link_reach(const fb_address *to, int64_t timeout_ms, fb_link **link,
                                  fb_error *error);
void fb_link_close(fb_link *link);
// The address, without user and password.
const char *fb_link_name(const fb_link *link);
// -1 once it was taken away or dropped.
int fb_link_fd(const fb_link *link);

// Sends one command and reads its reply; *reply is good until the next call. An error reply is
// FB_OK with type FB_RESP_ERROR. FB_EIO, FB_ETIMEDOUT, FB_ESYNTAX, FB_ETOOBIG: the connection is of
// no more use, for a reply that comes too late would pass for that of the next request.
FB_CHECK_RESULT int fb_link_call(fb_link *link, const fb_str *args, size_t arg_count,
                                 const fb_resp_value **reply, fb_error *error);

// The same in steps, for several commands in one round trip: begin, put each, send, read as many
// replies as commands. Whatever fails, the connection is of no more use, but for FB_ENOMEM of
// put(), after which begin() may start over. What the server pushes is passed over.
void fb_link_begin(fb_link *link, int64_t timeout_ms);
FB_CHECK_RESULT int fb_link_put(fb_link *link, const fb_str *args, size_t arg_count);
FB_CHECK_RESULT int fb_link_send(fb_link *link, fb_error *error);
FB_CHECK_RESULT int fb_link_read(fb_link *link, const fb_resp_value **reply, fb_error *error);

// As recv() and send() of its socket, which does not block, with TLS where there is TLS: for who
// waits for many at once. Not between begin() and read().
ssize_t fb_link_recv_some(fb_link *link, char *into, size_t len);
ssize_t fb_link_send_some(fb_link *link, const char *from, size_t len);

// Of the request since begin(): whether all of it went to the system, and whether anything came
// back. What did not go out whole, the server cannot have done.
bool fb_link_sent(const fb_link *link);
bool fb_link_heard(const fb_link *link);
// Whether the other end has hung up already, or said what nobody asked for: nothing should be sent.
bool fb_link_stale(const fb_link *link);
// Gives back the memory of a large reply, before the connection is kept for later.
void fb_link_trim(fb_link *link);
// Takes the socket out of the link, which can only be closed then. For a child process, and for
// waiting until the server has worked off what it was sent.
int fb_link_take_fd(fb_link *link);

#ifdef __cplusplus
}
#endif

#endif
