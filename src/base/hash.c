// XXH3, compiled into this file so that short keys cost no call into a shared library.

#include "base/hash.h"

#define XXH_INLINE_ALL
#include <string.h>
#include <xxhash.h>

// XXH3 reads no byte of an empty input, but a NULL pointer is not its business.
static const void *start(fb_str bytes) {
    return bytes.len > 0 ? bytes.ptr : "";
}

uint64_t fb_hash64(fb_str bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(start(bytes), bytes.len, seed);
}

void fb_hash128(fb_str bytes, uint8_t out[16]) {
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(start(bytes), bytes.len));
    memcpy(out, canonical.digest, sizeof(canonical.digest));
}
