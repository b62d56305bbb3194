// smtp/maildir.h -- a message as a file in a Maildir (tmp, new, cur), by Bernstein's rules: written
// to tmp, flushed to disk, then renamed to new; a name is used once.

#ifndef FB_SMTP_MAILDIR_H
#define FB_SMTP_MAILDIR_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// Makes the folders where they are missing (mode 0700). `name` makes it the same file when it is
// written again (a retry after a crash): letters and digits. FB_OK; FB_EIO: error says what and
// why.
FB_CHECK_RESULT int fb_maildir_write(const char *folder, fb_str name, fb_str message,
                                     fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
