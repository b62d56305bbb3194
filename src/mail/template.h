// mail/template.h -- templates: text with variables, compiled once, rendered often.
//
//     {{#name}}Hello {{name}},{{/name}}{{^name}}Hello,{{/name}}
//     your code is {{code}}.
//
// {{x}} a variable, escaped for HTML in an .html template; {{{x}}} as it is (text of HTML that is
// trusted); {{#x}} … {{/x}} where x is there and not empty; {{^x}} … {{/x}} where not; {{! comment
// }}. A variable that is not there is an error, but as a condition. A line that has one condition,
// its end or a comment and nothing else leaves no line. (The part of Mustache without lists and
// partials: mustache(5).)

#ifndef FB_MAIL_TEMPLATE_H
#define FB_MAIL_TEMPLATE_H

#include <forebay/mail.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_template fb_template;

enum { FB_TEMPLATE_NAME_MAX = 64, FB_TEMPLATE_DEPTH_MAX = 32 };

// UTF-8; of the control characters it may have tabs and line ends (CRLF becomes LF). `name` is for
// messages and copied. FB_OK; FB_ESYNTAX with line and column; FB_ETOOBIG (1 MiB, 32 deep);
// FB_ENOMEM.
FB_CHECK_RESULT int fb_template_new(fb_str text, const char *name, bool html,
                                    fb_template **compiled, fb_error *error);
void fb_template_free(fb_template *compiled);
// Appends. Every variable given is looked at, whether it is used or not. FB_OK; FB_EINVAL (a
// variable is missing, or has a forbidden byte: error says which, and where); FB_ETOOBIG (4 MiB, or
// a value of more than FB_MAIL_VALUE_MAX); FB_ENOMEM. After an error `out` is as before.
FB_CHECK_RESULT int fb_template_render(const fb_template *compiled, const fb_mail_var *vars,
                                       size_t var_count, fb_buf *out, fb_error *error);
// Each place that names a variable, in order; `needed`: it is a value outside of all conditions.
// `name` is good as long as the template.
typedef void (*fb_template_var_fn)(void *arg, fb_str name, bool needed);
void fb_template_vars(const fb_template *compiled, fb_template_var_fn fn, void *arg);
// Letters, digits and _, not a digit first, at most 64: what a variable is called.
bool fb_template_is_name(fb_str name);

#ifdef __cplusplus
}
#endif

#endif
