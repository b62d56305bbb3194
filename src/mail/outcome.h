// mail/outcome.h -- what became of a mail, and so what becomes of its job and of its relay. Pure: a
// function of how far the sending got and what the relay said. Why each is as it is: outcome.c.

#ifndef FB_MAIL_OUTCOME_H
#define FB_MAIL_OUTCOME_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_smtp_phase {
    FB_SMTP_CONNECT, FB_SMTP_GREETING, FB_SMTP_TLS, FB_SMTP_AUTH, FB_SMTP_MAIL_FROM, FB_SMTP_RCPT,
    FB_SMTP_DATA,   // until the final dot was sent
    FB_SMTP_DOT,    // after it
    FB_SMTP_DONE
} fb_smtp_phase;

typedef enum fb_mail_fate {
    FB_MAIL_SENT,
    FB_MAIL_LATER,      // a 4yz: again after a while
    FB_MAIL_REFUSED,    // a 5yz: DEAD
    FB_MAIL_BOUNCED,    // a 5yz of the recipient: DEAD, and suppressed
    FB_MAIL_RELAY_DOWN, // it cannot be used: paused, another relay's turn, no attempt burned
    FB_MAIL_AMBIGUOUS   // no answer after the final dot
} fb_mail_fate;

typedef struct fb_smtp_result {
    fb_smtp_phase phase;   // where it ended
    int code;              // the last reply's, 0: none came
    char text[256];        // the last reply without its code, or what went wrong
} fb_smtp_result;

fb_mail_fate fb_mail_fate_of(const fb_smtp_result *result);
// "sent", "later", "refused", "bounced", "relay_down", "ambiguous": for logs.
const char *fb_mail_fate_name(fb_mail_fate fate);
// After which attempt (from 1) how long: 5, 20, 80 s, then always 80 s.
int64_t fb_mail_retry_ms(uint32_t attempt);

#ifdef __cplusplus
}
#endif

#endif
