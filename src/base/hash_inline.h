// base/hash_inline.h -- fb_hash64() compiled into the caller, for where a call counts.

#ifndef FB_BASE_HASH_INLINE_H
#define FB_BASE_HASH_INLINE_H

#include <forebay/base.h>

#define XXH_INLINE_ALL
#include <string.h>
#include <xxhash.h>

// XXH3 reads no byte of an empty input, but a NULL pointer is not its business.
static inline const void *fb_hash_start(fb_str bytes) {
    return bytes.len > 0 ? bytes.ptr : "";
}
static inline uint64_t fb_hash64_inline(fb_str bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(fb_hash_start(bytes), bytes.len, seed);
}

#endif
