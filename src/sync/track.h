// sync/track.h -- one log as this node has followed it: its place, and the nonces of the last
// records before it, by which an answer that is a little older than the place is told from another
// history.
//
// Pure; one thread at a time; no memory.

#ifndef FB_SYNC_TRACK_H
#define FB_SYNC_TRACK_H

#include "sync/port.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_TRACK_NONCES = 32 };

typedef struct fb_track {
    fb_mark mark;
    uint64_t first;  // `nonces` knows from this sequence on, up to mark.seq
    uint64_t nonces[FB_TRACK_NONCES];
} fb_track;

// What a place, or a record, of the same epoch is to what is known.
typedef enum fb_track_fit {
    FB_FIT_SAME,   // the place
    FB_FIT_KNOWN,  // before it, and the same record is known here
    FB_FIT_OLD,    // before it; what was there is forgotten
    FB_FIT_NEXT,   // the record behind the place
    FB_FIT_AHEAD,  // further on
    FB_FIT_PARTED  // of another history
} fb_track_fit;

// From now on from there.
void fb_track_go(fb_track *track, const fb_mark *mark);
// One record further; it fits (NEXT).
void fb_track_step(fb_track *track, const fb_record *record);
// Of a mark; never NEXT.
fb_track_fit fb_track_of_mark(const fb_track *track, const fb_mark *mark);
fb_track_fit fb_track_of_record(const fb_track *track, const fb_record *record);

#ifdef __cplusplus
}
#endif

#endif
