// os/port_owner.h -- who listens on a TCP port of this machine, for the message when it is taken.

#ifndef FB_OS_PORT_OWNER_H
#define FB_OS_PORT_OWNER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// "redis-server (process 812)", or "another user's process", or "" where nobody is found.
void fb_port_owner(uint16_t port, char *text, size_t text_size);

#ifdef __cplusplus
}
#endif

#endif
