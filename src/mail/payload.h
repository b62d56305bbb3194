// mail/payload.h -- what the job of a mail has as its payload: JSON, {"kind", "to", "vars": {name:
// value}, "message_id"}. Whoever enqueues such a job himself may leave out "vars" and "message_id".

#ifndef FB_MAIL_PAYLOAD_H
#define FB_MAIL_PAYLOAD_H

#include <forebay/mail.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_mail_payload {
    fb_str kind, to;
    fb_str message_id;        // may be empty
    const fb_mail_var *vars;  // in the order in which they were written
    size_t var_count;
    void *owned;              // what the above points into, of one that was read
} fb_mail_payload;

// Appends it. FB_OK; FB_EINVAL: not UTF-8, a NUL, or a name that is none or there twice; FB_ETOOBIG
// (more than FB_MAIL_VARS_MAX variables); FB_ENOMEM. After an error `out` is as before.
FB_CHECK_RESULT int fb_mail_payload_write(const fb_mail_payload *payload, fb_buf *out,
                                          fb_error *error);
// Strictly: nothing missing, nothing twice, nothing else, strings alone. FB_OK: to be released;
// `text` is needed no longer. FB_ESYNTAX, FB_ETOOBIG (more than FB_MAIL_VARS_MAX variables),
// FB_ENOMEM: there is nothing to release.
FB_CHECK_RESULT int fb_mail_payload_read(fb_str text, fb_mail_payload *payload, fb_error *error);
void fb_mail_payload_release(fb_mail_payload *payload);
// Appends it as it may be shown, logged and listed: values of code, link, token, secret, password,
// and of whatever ends in _code, _link, …, are "***". FB_OK. FB_ESYNTAX: it is no such payload;
// nothing of it may be shown. FB_ENOMEM.
FB_CHECK_RESULT int fb_mail_payload_show(fb_str text, fb_buf *out);
// Whether a variable of this name is one of those.
bool fb_mail_is_secret(fb_str name);

#ifdef __cplusplus
}
#endif

#endif
