// base/rng.h -- seeded pseudo-random numbers: xoshiro256** (Blackman and Vigna, 2018), seeded by
// splitmix64. Not for secrets. One thread at a time on one generator.

#ifndef FB_BASE_RNG_H
#define FB_BASE_RNG_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_rng {
    uint64_t state[4];
} fb_rng;

void fb_rng_init(fb_rng *rng, uint64_t seed);
uint64_t fb_rng_next(fb_rng *rng);
// Uniform in [0, bound), bound > 0, without bias.
uint64_t fb_rng_below(fb_rng *rng, uint64_t bound);
// Uniform in (0, 1].
double fb_rng_unit(fb_rng *rng);

#ifdef __cplusplus
}
#endif

#endif
