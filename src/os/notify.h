// os/notify.h -- telling a service manager how we are: systemd's protocol (sd_notify(3)), which is one
// datagram of lines to the socket that $NOTIFY_SOCKET names. Nothing where there is none.
//
// Threads: any.

#ifndef FB_OS_NOTIFY_H
#define FB_OS_NOTIFY_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// Remembers where to, and for how long the manager waits for a beat. To be called once, before threads:
// it takes the variables away, so that no child thinks they are for it.
void fb_notify_open(void);
// Lines such as "READY=1\nSTATUS=…". A manager that has gone hears nothing; one that does not read is waited
// for 5 s, and then it has missed it.
FB_PRINTF(1, 2) void fb_notify(const char *format, ...);
// "RELOADING=1" and the time on the monotonic clock, which goes with it.
void fb_notify_reloading(void);
// How long the manager waits for "WATCHDOG=1" until it ends us; 0: it does not.
int64_t fb_notify_watchdog_ns(void);

#ifdef __cplusplus
}
#endif

#endif
