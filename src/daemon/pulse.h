// daemon/pulse.h -- whether the event loops turn, and the beat that says so to a service manager.
//
// Threads: one at a time, none of them a loop's.

#ifndef FB_DAEMON_PULSE_H
#define FB_DAEMON_PULSE_H

#include <forebay/forebay.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_pulse fb_pulse;

// FB_OK or FB_ENOMEM. watchdog_ns: how long the manager waits for a beat; 0: it does not.
FB_CHECK_RESULT int fb_pulse_new(fb_engine *engine, int64_t watchdog_ns, fb_pulse **pulse);
// NULL is fine. After fb_close(): until then a loop may still give the sign of life that it owes.
void fb_pulse_free(fb_pulse *pulse);
// Asks each loop that does not owe one already for a sign of life. To be called every
// fb_pulse_every_ns(). Whether all is well: no loop owes its sign of life for longer than half of the time
// that the manager waits (without a watchdog: 5 s). What changed of that is logged once.
bool fb_pulse_step(fb_pulse *pulse, int64_t now_ns);
int64_t fb_pulse_every_ns(const fb_pulse *pulse);
// The longest that a loop owes its sign of life, as of the last step.
int64_t fb_pulse_lag_ns(const fb_pulse *pulse);

#ifdef __cplusplus
}
#endif

#endif
