// daemon/cpu.h -- the processor time that this process has used.

#ifndef FB_DAEMON_CPU_H
#define FB_DAEMON_CPU_H

#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

// Any thread. What the system does not tell is 0.
void fb_cpu_read(fb_cpu_times *times);

#ifdef __cplusplus
}
#endif

#endif
