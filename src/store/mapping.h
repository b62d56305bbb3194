// store/mapping.h -- making and mapping a region, and giving it back. One thread at a time but
// where said.

#ifndef FB_STORE_MAPPING_H
#define FB_STORE_MAPPING_H

#include "store/region.h"

// Where everything lies. The first line decides the rest.
typedef struct fb_layout {
    uint64_t limit_max, page, shard_count, segment_size, app_bytes;
    uint64_t segment_count;
    uint64_t shards_at, segments_at, segments_size, map_at, map_size;
    uint64_t zones_at, buckets_size, overflow_size, ghosts_size, log_at, app_at, size;
} fb_layout;

// Whether a region can be made of the first line of the layout.
bool fb_layout_possible(const fb_layout *layout);
// Fills in the rest.
void fb_layout_complete(fb_layout *layout);

// Maps a region and lays it out; FB_OK, FB_EINVAL, FB_ENOMEM, FB_EIO.
FB_CHECK_RESULT int fb_mapping_new(fb_store *store, const fb_store_options *options);
// Maps the file as the layout says, with guards around it; a negative fd: private memory. Zeroed
// handle in, a handle to be freed by fb_mapping_free() out. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_mapping_map(fb_store *store, const fb_layout *layout, int fd,
                                   bool read_only);
// From where the store knows the layout: a shard with nothing in it, whose memory is fresh; its
// geometry and its version go on from what they were. False: no room.
bool fb_mapping_start_shard(fb_store *store, uint32_t shard);
void fb_mapping_start_locks(fb_region *region);
void fb_mapping_free(fb_store *store);
// The smallest limit that leaves every shard room to work. Any thread.
uint64_t fb_mapping_floor(const fb_store *store);
// The same under the pool lock, or where nobody else is yet.
uint64_t fb_mapping_floor_of(const fb_store *store);

// Any thread, each its own bytes, in whole pages. In a file: memory for certain. FB_OK; FB_ENOMEM:
// the file system has none; FB_EIO: it cannot do that.
FB_CHECK_RESULT int fb_mapping_reserve(const fb_store *store, uint64_t offset, uint64_t bytes);
// Bytes that may still be reserved in the file system.
uint64_t fb_mapping_room(const fb_store *store);
// Gives memory back to the system; what is there is zero then.
void fb_mapping_release(fb_store *store, uint64_t offset, uint64_t bytes);
// One extent, reserved and not yet touched, as one huge page if the kernel has one.
void fb_mapping_join(fb_store *store, uint64_t offset);

#endif
