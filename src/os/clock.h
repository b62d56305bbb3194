// os/clock.h -- the two clocks. Decisions use the monotonic one; the wall clock is for people and
// for EXPIREAT.

#ifndef FB_OS_CLOCK_H
#define FB_OS_CLOCK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int64_t fb_clock_now_ns(void);   // monotonic
int64_t fb_clock_wall_ms(void);  // Unix time
// Both at one moment, at most 1 ms ago, at which the wall clock showed a whole millisecond. From
// call to call they keep the same distance, unless the wall clock was set by more than 10 ms: so a
// Unix time turned into monotonic time by one pair comes back as it was by another.
void fb_clock_pair(int64_t *now_ns, int64_t *wall_ms);
// "2025-12-02T02:47:01.451643Z" of now into text (at least 28 bytes); returns text.
char *fb_clock_iso(char *text, uint64_t text_size);

#ifdef __cplusplus
}
#endif

#endif
