// The clocks of the system, read through the vDSO: some twenty nanoseconds each.

#include "os/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"

enum { WALL_SLACK_NS = 10000000 };

static struct timespec read_clock(clockid_t clock) {
    struct timespec now;
    int failed = clock_gettime(clock, &now);
    FB_ASSERT(failed == 0);
    return now;
}

int64_t fb_clock_now_ns(void) {
    struct timespec now = read_clock(CLOCK_MONOTONIC);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t fb_clock_wall_ms(void) {
    struct timespec now = read_clock(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void fb_clock_pair(int64_t *now_ns, int64_t *wall_ms) {
    static _Atomic int64_t kept_ns;  // Unix time minus monotonic time; 0: not measured yet
    int64_t here_ns = fb_clock_now_ns();
    struct timespec wall = read_clock(CLOCK_REALTIME);
    int64_t distance_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - here_ns;
    int64_t known_ns = atomic_load_explicit(&kept_ns, memory_order_relaxed);
    int64_t off_ns = distance_ns > known_ns ? distance_ns - known_ns : known_ns - distance_ns;
    // Between the two clocks this thread may have slept: that is no reason to change the distance.
    if (off_ns > WALL_SLACK_NS && fb_clock_now_ns() - here_ns < WALL_SLACK_NS) {
        atomic_store_explicit(&kept_ns, distance_ns, memory_order_relaxed);
        known_ns = distance_ns;
    }
    *wall_ms = (here_ns + known_ns) / 1000000;
    *now_ns = *wall_ms * 1000000 - known_ns;
}

char *fb_clock_iso(char *text, uint64_t text_size) {
    struct timespec now = read_clock(CLOCK_REALTIME);
    struct tm parts;
    char date[40];
    gmtime_r(&now.tv_sec, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, text_size, "%s.%06ldZ", date, now.tv_nsec / 1000);
    return text;
}
