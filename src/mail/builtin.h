// mail/builtin.h -- the templates that are built in: src/mail/templates, made C by
// tools/embed-text.

#ifndef FB_MAIL_BUILTIN_H
#define FB_MAIL_BUILTIN_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_mail_builtin {
    const char *file;  // "otp.txt"
    fb_str bytes;
} fb_mail_builtin;

// By name; the last has no name.
extern const fb_mail_builtin fb_mail_builtins[];

#ifdef __cplusplus
}
#endif

#endif
