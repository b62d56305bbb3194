// sync/apply.h -- what a record of a log means for this node's memory. Private to the follower.

#ifndef FB_SYNC_APPLY_H
#define FB_SYNC_APPLY_H

#include "sync/sync.h"

#ifdef __cplusplus
extern "C" {
#endif

// Applies one record of `log`; `mark` is the place behind it, and is set last.
void fb_apply_record(fb_sync *sync, uint32_t log, const fb_record *record, const fb_mark *mark,
                     int64_t now_ns);
// Drops all that a log concerns, and goes on from `mark`. Of the wide log the stamps are unknown
// then.
void fb_apply_flush(fb_sync *sync, uint32_t log, const fb_mark *mark, int64_t now_ns);
// A key of a plain layout was written past forebay; without bytes: any may have been.
void fb_apply_bypass(fb_sync *sync, fb_str key, int64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
