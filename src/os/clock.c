// The clocks of the system, read through the vDSO: some twenty nanoseconds each.

#include "os/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/check.h"

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

char *fb_clock_iso(char *text, uint64_t text_size) {
    struct timespec now = read_clock(CLOCK_REALTIME);
    struct tm parts;
    char date[40];
    gmtime_r(&now.tv_sec, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, text_size, "%s.%06ldZ", date, now.tv_nsec / 1000);
    return text;
}
