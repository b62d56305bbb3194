// node/one_step.h -- a command that changes several keys, so that nobody sees some of them changed.
//
// Without a shared tier it claims the turn (node/turn.h). With one it is a transaction of the engine
// (forebay/transaction.h): in one step for all nodes, but for what cannot be one (the shared tier is away;
// keys in several slots of a Cluster; more than FB_TRANSACTION_KEYS_MAX; a plain layout), which is done one
// after the other.
//
// Threads: the session's loop, with a shared tier on a fiber (node/errand.h).

#ifndef FB_NODE_ONE_STEP_H
#define FB_NODE_ONE_STEP_H

#include "node/session_state.h"

#ifdef __cplusplus
extern "C" {
#endif

// Runs fn(call), perhaps several times: the last reply counts. `repeatable`: where nobody knows whether it
// was done, doing it once more does no harm; else that is an error.
void fb_command_in_one_step(fb_command_call *call, fb_command_fn fn, bool repeatable);

#ifdef __cplusplus
}
#endif

#endif
