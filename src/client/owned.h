// client/owned.h -- what the region holds, as a value of the caller's own.

#ifndef FB_CLIENT_OWNED_H
#define FB_CLIENT_OWNED_H

#include <forebay/client.h>

#ifdef __cplusplus
extern "C" {
#endif

// FB_OK: release the value. FB_MISS: also where there is no memory for it.
FB_CHECK_RESULT int fb_owned_peek(fb_client *client, fb_str key, fb_value *value);

#ifdef __cplusplus
}
#endif

#endif
