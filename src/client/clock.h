// client/clock.h -- the monotonic clock, as the daemon has it. Threads: any.

#ifndef FB_CLIENT_CLOCK_H
#define FB_CLIENT_CLOCK_H

#include <stdint.h>
#include <time.h>

// The coarse clock stands for at most one tick of the kernel: 1 to 10 ms by how that was built.
enum { FB_COARSE_LAG_MS = 20 };

static inline int64_t fb_clock_read_ns(clockid_t clock) {
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
static inline int64_t fb_now_ns(void) {
    return fb_clock_read_ns(CLOCK_MONOTONIC);
}
// Never ahead of fb_now_ns(), and a few nanoseconds cheaper; where the machine's clock source is
// slow, a hundred times.
static inline int64_t fb_now_coarse_ns(void) {
    return fb_clock_read_ns(CLOCK_MONOTONIC_COARSE);
}

#endif
