// door/notice.h -- events that strangers can cause as often as they like: one line of log in ten
// seconds, which says how many there were that had none. Threads: any.

#ifndef FB_DOOR_NOTICE_H
#define FB_DOOR_NOTICE_H

#include <forebay/base.h>

#include <stdatomic.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_DOOR_NOTICE_MS = 10000 };

// Zero-initialise; one for each kind of event.
typedef struct fb_door_notice {
    _Atomic int64_t next_ms;
    _Atomic uint64_t hidden;
} fb_door_notice;

// One more. Whether it is to be told; *more: those since the last that was.
bool fb_door_notice_due(fb_door_notice *notice, uint64_t *more);
// Somebody was turned away because `most` are connected (listen.connections).
void fb_door_full(const char *door, uint64_t most);

#ifdef __cplusplus
}
#endif

#endif
