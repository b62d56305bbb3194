// sync/acked.h -- places of the logs that replies have shown to this node, until the follower has
// come by them: those of its own changes, and those that a value was read at. What a server that
// goes on from an older copy has lost of them is seen by that.
//
// Private to sync.c and the follower. Threads: any. Memory: as it is needed, up to a bound; what
// finds none is not watched.

#ifndef FB_SYNC_ACKED_H
#define FB_SYNC_ACKED_H

#include "cache/coherent.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_ACKED_EPOCHS = 2 };

typedef struct fb_acked fb_acked;

FB_CHECK_RESULT int fb_acked_new(uint32_t logs, fb_acked **acked);
void fb_acked_free(fb_acked *acked);

// One was acknowledged: it stands at `mark`, whose nonce is its own. Of sequence 0: it opened that
// epoch.
void fb_acked_note(fb_acked *acked, uint32_t log, const fb_mark *mark);
// A reply shows the log at `mark`, where the follower has not come to yet: what it brings may go into
// memory.
void fb_acked_saw(fb_acked *acked, uint32_t log, const fb_mark *mark);

// ---- the follower's

// The furthest of the last two epochs that there were any of; epoch 0: none.
void fb_acked_furthest(fb_acked *acked, uint32_t log, fb_mark marks[FB_ACKED_EPOCHS]);
// Whether a change of this node was ever acknowledged in the epoch.
bool fb_acked_ever(fb_acked *acked, uint32_t log, uint64_t epoch);
// The follower comes by the record at `mark` (`own`: this node issued it). false: another one was
// acknowledged at that place.
bool fb_acked_pass(fb_acked *acked, uint32_t log, const fb_mark *mark, bool own);
// Whether one is left before `place`, or another at it, that the follower did not come by: the
// earliest.
bool fb_acked_missed(fb_acked *acked, uint32_t log, const fb_mark *place, fb_mark *which);
// The first that is left of the epoch of `shown`, at or before it; false: there is none.
bool fb_acked_first(fb_acked *acked, uint32_t log, const fb_mark *shown, fb_mark *first);
// Those of an epoch up to `mark` are watched no more.
void fb_acked_forget(fb_acked *acked, uint32_t log, const fb_mark *mark);

#ifdef __cplusplus
}
#endif

#endif
