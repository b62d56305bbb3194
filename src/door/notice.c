// Who moves the time on may speak; all others only count.

#include "door/notice.h"

#include <time.h>

#include "base/log.h"

bool fb_door_notice_due(fb_door_notice *notice, uint64_t *more) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
    int64_t next_ms = atomic_load(&notice->next_ms);
    if (now_ms < next_ms ||
        !atomic_compare_exchange_strong(&notice->next_ms, &next_ms, now_ms + FB_DOOR_NOTICE_MS)) {
        atomic_fetch_add(&notice->hidden, 1);
        return false;
    }
    *more = atomic_exchange(&notice->hidden, 0);
    return true;
}

void fb_door_full(const char *door, uint64_t most) {
    static fb_door_notice notice;
    uint64_t more;
    if (fb_door_notice_due(&notice, &more)) {
        fb_log(FB_LOG_WARN, "connections_full",
               "door=%s connections=%llu more=%llu hint=\"listen.connections is how many may be\"",
               door, (unsigned long long)most, (unsigned long long)more);
    }
}
