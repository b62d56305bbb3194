// cli/bench_keys.h -- what the benchmarks of the memory tier read and write: keys of 16 to 32
// bytes, values that tell whose they are, and sequences of keys drawn beforehand.
//
// Threads: one at a time on one sequence while it is made; any number reading it.

#ifndef FB_CLI_BENCH_KEYS_H
#define FB_CLI_BENCH_KEYS_H

#include <forebay/base.h>

#include <string.h>

#include "base/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_KEYS_LEN_MIN = 16, FB_KEYS_LEN_MAX = 32, FB_KEYS_VALUE_LEN = 100, FB_KEYS_MARK_LEN = 8 };

// Key number `id` (below 2^32) into `key` (FB_KEYS_LEN_MAX bytes); returns its length. Its first
// FB_KEYS_MARK_LEN bytes are of this key alone.
size_t fb_keys_write(uint32_t id, char *key);
// A value of `len` (at least FB_KEYS_MARK_LEN) bytes of that key.
void fb_keys_value(fb_str key, char *value, size_t len);
// Whether it is a value of that key, by its first bytes.
static inline bool fb_keys_match(fb_str key, const char *value) {
    return memcmp(key.ptr, value, FB_KEYS_MARK_LEN) == 0;
}

// Ranks 1 to `count`, rank r with a probability proportional to r^-exponent (not 1): rejection from
// the integral (Hörmann and Derflinger, 1996).
typedef struct fb_zipf {
    double exponent, low, high, shortcut;
    uint64_t count;
} fb_zipf;

void fb_zipf_init(fb_zipf *zipf, uint64_t count, double exponent);
uint64_t fb_zipf_next(const fb_zipf *zipf, fb_rng *rng);

// Keys in the order in which they will be asked for, one behind the other in memory, each behind a
// byte with its length.
typedef struct fb_keys {
    unsigned char *bytes;
    size_t byte_count;
    size_t key_count;
    size_t *starts;  // of each FB_KEYS_STRIDE-th key: where threads begin
} fb_keys;

enum { FB_KEYS_STRIDE = 1 << 12 };

// Room for `key_count` keys. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_keys_new(fb_keys *keys, size_t key_count);
// Draws them anew out of `entries` keys, zipf 0.99; which keys are hot depends on `entries` alone.
void fb_keys_draw(fb_keys *keys, uint32_t entries, uint64_t seed);
void fb_keys_release(fb_keys *keys);

// A place in a sequence; at its end it begins again.
typedef struct fb_keys_place {
    const fb_keys *keys;
    const unsigned char *next, *end;
} fb_keys_place;

// At a share (0 to 1, 1 excluded) of the sequence.
void fb_keys_begin(fb_keys_place *place, const fb_keys *keys, double share);
static inline fb_str fb_keys_next(fb_keys_place *place) {
    if (place->next == place->end) {
        place->next = place->keys->bytes;
    }
    fb_str key = {(const char *)place->next + 1, *place->next};
    place->next += 1 + key.len;
    return key;
}

#ifdef __cplusplus
}
#endif

#endif
