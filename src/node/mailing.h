// node/mailing.h -- what the doors share about mails.
//
// Threads: any.

#ifndef FB_NODE_MAILING_H
#define FB_NODE_MAILING_H

#include <forebay/mail.h>

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

// Arguments from `at` on, to the end, as names and values. Says so and returns false where they are no
// pairs, or too many.
bool fb_mailing_vars(fb_command_call *call, size_t at, fb_mail_var vars[FB_MAIL_VARS_MAX],
                     size_t *count);
// Kinds and relays with their figures, as a map. FB_OK or what the engine returned (< 0): then nothing
// was said.
FB_CHECK_RESULT int fb_mailing_say(fb_reply *reply, fb_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
