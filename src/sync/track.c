// A sequence alone does not tell two histories apart: a server that lost its last records in a
// fail-over numbers the next ones as it numbered those. So a record is known by its nonce. Of the
// last few, these are kept: answers come late, and a log that goes on all the time is never seen
// where it is, only where it was.

#include "sync/track.h"

#include "base/check.h"
#include "base/rule.h"

void fb_track_go(fb_track *track, const fb_mark *mark) {
    track->mark = *mark;
    track->first = mark->seq;
    track->nonces[mark->seq % FB_TRACK_NONCES] = mark->nonce;
}

void fb_track_step(fb_track *track, const fb_record *record) {
    FB_ASSERT(record->seq == track->mark.seq + 1);
    track->mark.seq = record->seq;
    track->mark.nonce = record->nonce;
    track->nonces[record->seq % FB_TRACK_NONCES] = record->nonce;
    if (record->seq - track->first >= FB_TRACK_NONCES) {
        track->first = record->seq - FB_TRACK_NONCES + 1;
    }
}

static fb_track_fit of_place(const fb_track *track, uint64_t seq, uint64_t nonce) {
    if (seq > track->mark.seq) {
        return FB_FIT_AHEAD;
    }
    if (seq < track->first) {
        return FB_FIT_OLD;
    }
    if (FB_RULE(follow_nonce) && track->nonces[seq % FB_TRACK_NONCES] != nonce) {
        return FB_FIT_PARTED;
    }
    return seq == track->mark.seq ? FB_FIT_SAME : FB_FIT_KNOWN;
}

fb_track_fit fb_track_of_mark(const fb_track *track, const fb_mark *mark) {
    FB_ASSERT(mark->epoch == track->mark.epoch);
    return of_place(track, mark->seq, mark->nonce);
}

fb_track_fit fb_track_of_record(const fb_track *track, const fb_record *record) {
    if (record->seq == track->mark.seq + 1) {
        bool fits = record->before == track->mark.nonce || !FB_RULE(follow_nonce);
        return fits ? FB_FIT_NEXT : FB_FIT_PARTED;
    }
    return of_place(track, record->seq, record->nonce);
}
