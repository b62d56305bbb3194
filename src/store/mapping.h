// store/mapping.h -- making a region and giving it back. One thread at a time.

#ifndef FB_STORE_MAPPING_H
#define FB_STORE_MAPPING_H

#include "store/region.h"

// Maps a region and lays it out; FB_OK, FB_EINVAL, FB_ENOMEM.
FB_CHECK_RESULT int fb_mapping_new(fb_store *store, const fb_store_options *options);
void fb_mapping_free(fb_store *store);
// The smallest limit that leaves every shard room to work. Any thread.
uint64_t fb_mapping_floor(const fb_store *store);

#endif
