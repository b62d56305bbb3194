// node/turn.h -- feeds and requests of all loops side by side, and now and then one alone.
//
// Who runs commands enters before and leaves after. EXEC claims the turn: then no other loop is inside
// until it is released, so nothing of what clients say, by RESP or HTTP, comes between its commands.
// Loads, expiry and what other processes do to a shared tier go on meanwhile.
//
// Costs one atomic addition to a line of the loop's own each way; claiming waits for the feeds that are
// under way (each a few milliseconds at the most), and those that come wait for its end. A claim must
// not be held across anything that waits for another loop.
// Threads: any. `lane` is fb_turn_lane() of the calling thread, which does not enter twice.

#ifndef FB_NODE_TURN_H
#define FB_NODE_TURN_H

#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

unsigned fb_turn_lane(const fb_node *node);
void fb_turn_enter(fb_node *node, unsigned lane);
void fb_turn_leave(fb_node *node, unsigned lane);
// By one who is inside and between two commands: others may have their turn before it returns.
void fb_turn_claim(fb_node *node, unsigned lane);
void fb_turn_release(fb_node *node, unsigned lane);

#ifdef __cplusplus
}
#endif

#endif
