// cache/loaded.h -- the outcome of one load, filled by a source or a caller's loader.
// The functions that fill it are public (forebay/cache.h). One thread at a time.

#ifndef FB_CACHE_LOADED_H
#define FB_CACHE_LOADED_H

#include <forebay/cache.h>

#include "base/blob.h"
#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fb_loaded {
    // FB_OK (value is set), FB_NEGATIVE, or < 0; set by whoever ran the load, FB_ESOURCE until
    // then.
    int result;
    fb_blob *value;
    fb_kind kind;    // JSON or bytes, detected when the value is set
    int64_t ttl_ms;  // -1: the class's
    bool uncacheable;
    uint64_t source_version;  // 0: none
    size_t tag_count;
    uint16_t tag_lens[FB_TAGS_MAX];
    fb_buf tag_bytes;  // the tags, one behind the other
    int64_t took_ns;   // time at the source itself; set by whoever ran the load
    char error[256];
};

// Tags that begin with this byte are forebay's own (cache/class.h); fb_loaded_tag() refuses them.
#define FB_TAG_OWN '\x01'
// No tag, but the media type that a value came with (fb_set_options.content_type): wherever the tags go,
// to Redis and to other nodes, it goes as well.
#define FB_TAG_TYPE '\x02'

// The struct may be moved: copy it and init the old place.
void fb_loaded_init(fb_loaded *loaded);
// Leaves it initialised.
void fb_loaded_release(fb_loaded *loaded);
// As fb_loaded_tag(), of forebay's own tags too.
FB_CHECK_RESULT int fb_loaded_add_tag(fb_loaded *loaded, fb_str tag);
fb_str fb_loaded_tag_at(const fb_loaded *loaded, size_t index);

#ifdef __cplusplus
}
#endif

#endif
