// engine/mail.h -- mails of an engine (forebay/mail.h): what the engine calls, and what the files
// share.
//
//   mail.c           opening, reloading, closing; kinds and their templates
//   mail_accept.c    fb_mail_send() and its kin
//   mail_worker.c    a job of a mail: what is asked before, sending, what becomes of it
//   mail_relays.c    which relay, pauses
//   mail_suppress.c  addresses that mails came back from
//   mail_figures.c   figures, the test of relays
//   otp.c            one-time codes and links (forebay/mail.h)
//
// The rules that codes and links are limited by (otp_resend, otp_account, otp_address) are built in
// (limit/options.c).

#ifndef FB_ENGINE_MAIL_H
#define FB_ENGINE_MAIL_H

#include <forebay/mail.h>
#include <forebay/queue.h>

#include "config/settings.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_mailer fb_mailer;         // engine->mailer
typedef struct fb_mail_plan fb_mail_plan;   // what a configuration means

// Sets engine->mailer. After the queues were opened, before their workers begin. Reads the
// templates, makes the relays, looks for the Maildir; no connection is made. Warns where there is
// no relay. FB_EINVAL, FB_ESYNTAX, FB_EIO with the place; FB_ENOMEM. After an error
// fb_mailer_free() is called as ever.
FB_CHECK_RESULT int fb_mailer_open(fb_engine *engine, const fb_settings *settings, fb_error *error);
// The same checks without keeping anything: for fb_check().
FB_CHECK_RESULT int fb_mailer_check(const fb_settings *settings, fb_error *error);
// Another configuration: prepared, then published, which cannot fail, or dropped.
FB_CHECK_RESULT int fb_mailer_prepare(fb_mailer *mailer, const fb_settings *settings,
                                      fb_mail_plan **plan, fb_error *error);
void fb_mailer_publish(fb_mailer *mailer, fb_mail_plan *plan);
void fb_mailer_drop(fb_mail_plan *plan);  // NULL is fine
// The work of queues whose worker is `mail` (an fb_work_fn); arg is the engine's mailer. Blocks.
int fb_mailer_work(void *arg, const fb_job *job, fb_work *work);
// Who is sending gives up, unless the final dot is out: when a close has waited long enough.
void fb_mailer_stop(fb_mailer *mailer);
void fb_mailer_free(fb_mailer *mailer);  // after the workers and the queues. NULL is fine
void fb_mailer_reset_figures(fb_mailer *mailer);

#ifdef __cplusplus
}
#endif

#endif
