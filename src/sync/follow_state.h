// sync/follow_state.h -- inside of the follower: what it knows of each log and asks for (follow.c),
// and what answers mean (answers.c).

#ifndef FB_SYNC_FOLLOW_STATE_H
#define FB_SYNC_FOLLOW_STATE_H

#include "base/rng.h"
#include "sync/acked.h"
#include "sync/follow.h"
#include "sync/track.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_FOLLOW_ACKS_MAX = 1024 };

// What was known of a log when it was asked: our place, and how far changes of this node had been
// acknowledged. A server that does not have all of that has lost it.
typedef struct fb_follow_known {
    fb_mark place;
    fb_mark acked[FB_ACKED_EPOCHS];
} fb_follow_known;

typedef struct fb_follow_log {
    fb_track track;
    bool open, look;
    uint64_t heard;     // the highest sequence that is known to be there
    uint64_t expected;  // the epoch that `token` is to take the place of
    uint64_t token;     // 0: to be drawn
    // The request under way.
    bool under_way;
    fb_sync_verb verb;
    uint64_t id;
    int64_t sent_ns;
    fb_follow_known sent;   // with it
    fb_follow_known state;  // with the last STATE
    int64_t retry_ns;       // not before
    int64_t look_ns;        // nor LOG before
    int64_t back_off_ns;
    int64_t until_ns;  // as proved last
    bool settled;      // was in step once since the link is up
} fb_follow_log;

typedef struct fb_follow_ack {
    uint64_t nonce;
    uint64_t id;  // 0: not under way
    uint32_t tries;
} fb_follow_ack;

struct fb_follower {
    fb_sync *sync;
    const fb_sync_options *options;
    fb_rng rng;
    int64_t now_ns;  // of the last event
    uint64_t last_id;
    bool up;
    char why[160];
    bool stamps_known;
    uint32_t settled_count;
    uint32_t under_way;
    uint32_t cursor;  // whose turn it is
    // STATE
    bool state_under_way;
    uint64_t state_id;
    int64_t state_sent_ns, state_next_ns, state_back_off_ns;
    size_t ack_count;
    fb_follow_ack acks[FB_FOLLOW_ACKS_MAX];  // oldest first
    fb_follow_log *logs;                     // partitions, then the wide one
};

static inline uint32_t fb_follow_wide(const fb_follower *follower) {
    return follower->options->partitions;
}

static inline bool fb_follow_is_behind(const fb_follow_log *at) {
    return at->look || at->heard > at->track.mark.seq;
}

// ---- follow.c

// How it stands may be another now: says so to fb_sync.
void fb_follow_say(fb_follower *follower);
// When to try again what failed: 1/32 of max_lag from now, then twice as long each time, up to
// half.
int64_t fb_follow_back_off(fb_follower *follower, int64_t *delay_ns);

// ---- answers.c

// What is known of a log now, for the request that is about to be sent.
void fb_follow_remember(const fb_follower *follower, uint32_t log, fb_follow_known *then);
// A number for the epoch that is to be opened.
uint64_t fb_follow_next_epoch(fb_follower *follower, const fb_follow_log *at);
// The answers to LOG, EPOCH, STAMPS, STATE.
void fb_follow_read_log(fb_follower *follower, uint32_t log, const fb_sync_reply *reply);
void fb_follow_take_epoch(fb_follower *follower, uint32_t log, const fb_mark *mark);
void fb_follow_take_stamps(fb_follower *follower, const fb_sync_reply *reply);
void fb_follow_take_state(fb_follower *follower, const fb_sync_reply *reply);

#ifdef __cplusplus
}
#endif

#endif
