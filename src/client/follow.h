// client/follow.h -- the daemon's region: where it is, and whether it is to be trusted.

#ifndef FB_CLIENT_FOLLOW_H
#define FB_CLIENT_FOLLOW_H

#include "client/link.h"
#include "client/state.h"

#ifdef __cplusplus
extern "C" {
#endif

// Asks the daemon at the other end and takes its region up, or leaves one that is not its any more.
// Having none is FB_OK. Otherwise results as fb_link_call().
FB_CHECK_RESULT int fb_follow_region(fb_client *client, fb_link *link, fb_error *error);
void fb_follow_release(fb_client *client);

#ifdef __cplusplus
}
#endif

#endif
