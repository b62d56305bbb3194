// sync/follow.h -- keeps this node's memory in step with the logs of the shared tier: event in →
// actions out. One on a node; its thread also receives what the port tells of its own accord.
//
//   a record arrives       it follows our mark (epoch, seq, and `before` is our nonce): apply.
//                          Older: pass over. Else: read the log from our mark on.
//   every max_lag/4, and   STATE. A log that stands where we do was COHERENT at the moment the
//   when the link is up    request was sent: it stays so for max_lag from there. Ahead of us: read
//                          the log. Behind us, or our place but another nonce: the server has lost
//                          what it had said (fail-over, restart): open a new epoch.
//   LOG's answer           begins with our own last record, same nonce: apply the rest. Else, or
//                          GONE: flush the partition, go on from where it stands.
//   another epoch          flush the partition, go on from there.
//
// To flush the wide log's scope is to flush everything. Applying: into the cache (by name as
// fb_cache_invalidate() does, patterns too), into the wide stamps; then the mark is set. Our own
// records are passed over (their issuer applies them when he is acknowledged), but move the mark.
// A record that wants it is acknowledged when applied.
//
// Until the first STATE and STAMPS are answered nothing is COHERENT. What the cache knew before (a
// region that was kept) is brought up by the logs, or flushed.

#ifndef FB_SYNC_FOLLOW_H
#define FB_SYNC_FOLLOW_H

#include "sync/sync.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_follower fb_follower;

FB_CHECK_RESULT int fb_follower_new(fb_sync *sync, uint64_t seed, fb_follower **follower);
void fb_follower_free(fb_follower *follower);

// ---- events
void fb_follower_link(fb_follower *follower, bool up, const char *why, int64_t now_ns);
void fb_follower_record(fb_follower *follower, uint32_t log, uint64_t epoch,
                        const fb_record *record, int64_t now_ns);
void fb_follower_reply(fb_follower *follower, fb_sync_reply *reply, int64_t now_ns);
void fb_follower_bypass(fb_follower *follower, fb_str key, int64_t now_ns);
// A lane saw a mark that does not fit ours, or NO_EPOCH (mark->epoch 0): look at that log soon.
void fb_follower_suspect(fb_follower *follower, uint32_t log, const fb_mark *mark, int64_t now_ns);
int64_t fb_follower_due(const fb_follower *follower);
void fb_follower_tick(fb_follower *follower, int64_t now_ns);

// What is to be sent next; false: nothing. Good until the next call.
bool fb_follower_next(fb_follower *follower, fb_sync_request *request);
// Whether every log has been brought up at least once since the link is up.
bool fb_follower_is_settled(const fb_follower *follower);
void fb_follower_check(const fb_follower *follower);

#ifdef __cplusplus
}
#endif

#endif
