// daemon/guard.h -- who may come in: the users of a configuration, and whether its addresses may be
// reached by whoever needs no password.

#ifndef FB_DAEMON_GUARD_H
#define FB_DAEMON_GUARD_H

#include "node/users.h"

#ifdef __cplusplus
extern "C" {
#endif

// The users, to be freed or put in force. FB_EINVAL (with its place): one of their words is wrong.
// FB_EDENIED: an address of `listen` can be reached by other hosts, while "default" lets
// anybody in, and `listen.insecure` is not set. FB_ENOMEM.
FB_CHECK_RESULT int fb_guard_read(const fb_config *config, fb_users **users, fb_error *error);

// The same of a socket that was passed to us, whose address stands in no configuration; `name` is
// for the message.
FB_CHECK_RESULT int fb_guard_passed(const fb_config *config, fb_users *users, const char *name,
                                    const char *address, fb_error *error);

// "127.0.0.1:6380", "localhost:1", "[::1]:1", "unix:/path", "off": no other host gets there.
bool fb_guard_is_local(fb_str address);

#ifdef __cplusplus
}
#endif

#endif
