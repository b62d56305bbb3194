// XXH3, compiled into this file so that short keys cost no call into a shared library.

#include "base/hash.h"

#include "base/hash_inline.h"

uint64_t fb_hash64(fb_str bytes, uint64_t seed) {
    return fb_hash64_inline(bytes, seed);
}

void fb_hash128(fb_str bytes, uint8_t out[16]) {
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(fb_hash_start(bytes), bytes.len));
    memcpy(out, canonical.digest, sizeof(canonical.digest));
}
