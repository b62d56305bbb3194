// redis/channel.h -- what the shared tier tells of its own accord: records and acknowledgements on
// the channel, and, where classes have a plain layout, the keys that anybody wrote (CLIENT
// TRACKING).
//
// One side connection listens to the channel, at any server: messages go to all. Keys are tracked
// at the server that has them: a connection to each, the one that listens being one of them. All is
// made anew when the topology or the prefixes change; they connect again by themselves otherwise.
//
// A tracked connection that is lost, or that has just begun to track, may have missed any key: it
// is told as such (on_bypass of NULL). Records that were missed show in the marks.
//
// Threads: its remote's loop; wake() any.

#ifndef FB_REDIS_CHANNEL_H
#define FB_REDIS_CHANNEL_H

#include "redis/remote_state.h"

FB_CHECK_RESULT int fb_channel_new(fb_remote *remote, fb_channel **channel);
void fb_channel_free(fb_channel *channel);
// The route is up: connects where it has not.
void fb_channel_open(fb_channel *channel);
// Other servers than before: what there was is given up.
void fb_channel_close(fb_channel *channel);
// It has asked for its subscription since open(), whatever became of it.
bool fb_channel_is_ready(const fb_channel *channel);
// The classes have changed: looks at them soon.
void fb_channel_wake(fb_channel *channel);
// What a message of the channel says, whatever its bytes, is told by remote->events.
void fb_channel_message(fb_remote *remote, fb_str message);

#endif
