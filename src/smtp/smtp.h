// smtp/smtp.h -- one relay, and sending a message through it, by libcurl. Blocks; connections are
// kept and used again, at most so many at once. smtp/maildir.h is for where there is none.
//
// Threads: any; who finds all connections in use waits for one, within his deadline.

#ifndef FB_SMTP_SMTP_H
#define FB_SMTP_SMTP_H

#include "mail/options.h"
#include "mail/outcome.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_relay fb_relay;

// The options are copied. FB_EINVAL (the URL, a file of TLS: error says), FB_ENOMEM.
FB_CHECK_RESULT int fb_relay_new(const fb_mail_relay_options *options, const char *hello,
                                 fb_relay **relay, fb_error *error);
// Nobody may be sending. NULL is fine.
void fb_relay_free(fb_relay *relay);

typedef struct fb_smtp_mail {
    fb_str from, to;       // addresses alone
    fb_str message;        // RFC 5322
    bool (*is_over)(const void *arg);  // true: gives up, unless the final dot is out; may be NULL
    const void *arg;
} fb_smtp_mail;
// *result says how far it got; never anything of user and password.
void fb_relay_send(fb_relay *relay, const fb_smtp_mail *mail, fb_smtp_result *result);
// As far as signing in, then QUIT; each thing that is found is told (forebay/mail.h,
// fb_mail_test()).
void fb_relay_test(fb_relay *relay, void (*fn)(void *arg, bool good, const char *line), void *arg,
                   fb_smtp_result *result);

#ifdef __cplusplus
}
#endif

#endif
