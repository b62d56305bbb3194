// daemon/machine.h -- whether the machine gives what a configuration needs: open files, memory, a place for
// the region and the queues, a clock.

#ifndef FB_DAEMON_MACHINE_H
#define FB_DAEMON_MACHINE_H

#include <forebay/forebay.h>

#include "node/finding.h"

#ifdef __cplusplus
extern "C" {
#endif

// Calls `fn` for each thing, of this process and the machine as they are now. From any thread.
void fb_machine_examine(const fb_config *config, fb_finding_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
