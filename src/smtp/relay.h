// smtp/relay.h -- what sending and testing share: one connection of libcurl's and what is known of
// it.

#ifndef FB_SMTP_RELAY_H
#define FB_SMTP_RELAY_H

#include <pthread.h>

#include "os/curl.h"
#include "smtp/dialogue.h"
#include "smtp/smtp.h"

#ifdef __cplusplus
extern "C" {
#endif

// A handle and the connection that it keeps. One thread at a time.
typedef struct fb_smtp_line {
    const struct fb_relay *relay;
    CURL *easy;
    fb_dialogue dialogue;
    const fb_smtp_mail *mail;    // being sent; NULL: none is
    size_t given;                // bytes of its message
    bool ended;                  // all of them, and said so
    bool fresh;                  // has connected, rather than gone on
    bool needs_utf8;
    bool closing;                // no new connection any more
    curl_socket_t socket;        // CURL_SOCKET_BAD: there is no connection
    bool gave_up;                // by ourselves, for:
    fb_smtp_result verdict;
    char error[CURL_ERROR_SIZE];
    struct fb_smtp_line *next;   // of those that are free
} fb_smtp_line;

struct fb_relay {
    char *url;                   // without user and password, with what EHLO says
    char *user, *password;       // NULL: nobody signs in
    char *tls_ca;
    int tls;                     // fb_mail_tls
    bool tls_verify;
    int64_t timeout_ns, connect_timeout_ns;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    fb_smtp_line *lines;
    uint32_t line_count;
    fb_smtp_line *free;          // the one that was used last comes first
};

// The handle, with all that does not change from mail to mail. FB_ENOMEM.
FB_CHECK_RESULT int fb_smtp_line_init(fb_smtp_line *line, const fb_relay *relay);
// Says goodbye, unless the relay takes too long to hear it.
void fb_smtp_line_release(fb_smtp_line *line);
// What libcurl came back with, in the terms of mail/outcome.h.
void fb_smtp_line_result(const fb_smtp_line *line, CURLcode code, fb_smtp_result *result);

#ifdef __cplusplus
}
#endif

#endif
