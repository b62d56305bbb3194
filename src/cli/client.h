// cli/client.h -- one blocking connection to a running forebay, for the command line.

#ifndef FB_CLI_CLIENT_H
#define FB_CLI_CLIENT_H

#include <forebay/base.h>

#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_client fb_client;

// `url`: cli/address.h. Speaks RESP3. Every call waits at most `timeout_ms`. FB_EIO and
// FB_ETIMEDOUT with what went wrong, FB_EINVAL (a malformed url), FB_ENOMEM. No error has the
// password in it.
FB_CHECK_RESULT int fb_client_open(const char *url, int64_t timeout_ms, fb_client **client,
                                   fb_error *error);
void fb_client_close(fb_client *client);
// The address, without user and password.
const char *fb_client_name(const fb_client *client);
// Sends one command and reads its reply; *reply is good until the next call. An error reply is
// FB_OK with type FB_RESP_ERROR. FB_EIO, FB_ETIMEDOUT, FB_ESYNTAX: the connection is of no more
// use.
FB_CHECK_RESULT int fb_client_call(fb_client *client, const fb_str *args, size_t arg_count,
                                   const fb_resp_value **reply, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
