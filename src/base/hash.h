// base/hash.h -- hashes of bytes.
//
// XXH3 (Yann Collet, xxHash 0.8), seeded: for tables whose seed the outside cannot learn.

#ifndef FB_BASE_HASH_H
#define FB_BASE_HASH_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

uint64_t fb_hash64(fb_str bytes, uint64_t seed);
// 128 bits, big-endian into out[16]; stable over versions and machines.
void fb_hash128(fb_str bytes, uint8_t out[16]);

#ifdef __cplusplus
}
#endif

#endif
