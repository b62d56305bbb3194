// store/segment.h -- the log of one shard: records appended to open segments, sealed segments in
// two queues. Threads: under the shard's lock.

#ifndef FB_STORE_SEGMENT_H
#define FB_STORE_SEGMENT_H

#include "store/record.h"
#include "store/region.h"

// Makes `id`, a segment from the budget, the open one of the queue; the one before is sealed.
void fb_segment_open(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t id);
void fb_segment_seal(fb_store *store, fb_shard *shard, fb_queue_id queue);
// Adds a run from the budget at the newest end.
void fb_segment_add_run(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t id);
// Room for `size` bytes in the open segment of the queue: the offset, or 0.
uint64_t fb_segment_reserve(fb_store *store, fb_shard *shard, fb_queue_id queue, uint32_t size);
// Counts the record just written at `offset` as live.
void fb_segment_settle(fb_store *store, fb_shard *shard, uint64_t offset);
// What is at `offset` may now expire earlier.
void fb_segment_due(fb_store *store, uint64_t offset, int64_t expires_ns);

// Marks the record dead.
void fb_segment_kill(fb_store *store, fb_shard *shard, uint64_t offset);
// Frees the segment if nothing in it lives.
void fb_segment_tidy(fb_store *store, fb_shard *shard, uint32_t id);
// Frees it (it is in a queue, or open), whatever is in it.
void fb_segment_free(fb_store *store, fb_shard *shard, uint32_t id);
// Into the queue after `after`, 0: as the oldest; and out of it.
void fb_segment_link(fb_store *store, fb_shard *shard, uint32_t id, uint32_t after);
void fb_segment_unlink(fb_store *store, fb_shard *shard, uint32_t id);
// To the newest end of main.
void fb_segment_promote(fb_store *store, fb_shard *shard, uint32_t id);
// A segment that has left its queue: the shard's spare, or back to the budget.
void fb_segment_retire(fb_store *store, fb_shard *shard, uint32_t id);
// Gives all segments of the shard to the budget at once, whatever is in them.
void fb_segment_clear(fb_store *store, fb_shard *shard);
// The segment at the cursor, which moves on: those of probation, then those of main, from the open
// one and the oldest to the newest. 0: the round is over; the next call begins another.
uint32_t fb_segment_step(const fb_store *store, const fb_shard *shard, fb_cursor *cursor);

// The live record at *at or after it, within the segment; *at moves behind it. 0: the end.
uint64_t fb_segment_walk(const fb_store *store, uint32_t id, uint32_t *at);

#endif
