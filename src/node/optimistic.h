// node/optimistic.h -- WATCH … EXEC where there is a shared tier: by a transaction of the engine
// (forebay/transaction.h), because other nodes are not kept from changing the keys meanwhile.
//
// EXEC's commands run inside the transaction, and run again where a key that they read was changed under
// them. So only those may be queued that do nothing else: commands on keys, and those that only answer.
// Without WATCH nothing of this is used.
//
// Threads: the session's loop; the handlers run as fibers (node/errand.h).

#ifndef FB_NODE_OPTIMISTIC_H
#define FB_NODE_OPTIMISTIC_H

#include "node/session_state.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_optimistic fb_optimistic;  // session->optimistic; NULL: nothing is watched

// WATCH and EXEC; the latter where session->optimistic is not NULL, and it takes what was queued.
void fb_optimistic_watch(fb_command_call *call);
void fb_optimistic_exec(fb_command_call *call);
void fb_optimistic_forget(fb_session *session);
// Whether it is for a fiber: WATCH and EXEC that will wait.
bool fb_optimistic_waits(const fb_command_call *call);
// One that could not even begin: EXEC is to do nothing then.
void fb_optimistic_not_begun(fb_command_call *call);
// Whether it may be queued; says so where not.
bool fb_optimistic_fits(fb_command_call *call);

#ifdef __cplusplus
}
#endif

#endif
