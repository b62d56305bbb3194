// xoshiro256** 1.0: 256 bits of state, one output a step. The state must not be all zero, which
// splitmix64 cannot produce four times in a row.

#include "base/rng.h"

#include "base/check.h"

static uint64_t rotate(uint64_t word, int bits) {
    return word << bits | word >> (64 - bits);
}

static uint64_t splitmix(uint64_t *state) {
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t word = *state;
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

void fb_rng_init(fb_rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        rng->state[i] = splitmix(&seed);
    }
}

uint64_t fb_rng_next(fb_rng *rng) {
    uint64_t *state = rng->state;
    uint64_t result = rotate(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;

    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return result;
}

// The high half of next × bound is uniform once the low halves that would favour some results,
// those below 2^64 mod bound, are drawn again (Lemire 2019). The division is needed almost never.
uint64_t fb_rng_below(fb_rng *rng, uint64_t bound) {
    FB_ASSERT(bound > 0);
    unsigned __int128 product = (unsigned __int128)fb_rng_next(rng) * bound;
    if ((uint64_t)product < bound) {
        uint64_t least = (UINT64_MAX - bound + 1) % bound;
        while ((uint64_t)product < least) {
            product = (unsigned __int128)fb_rng_next(rng) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

double fb_rng_unit(fb_rng *rng) {
    return (double)((fb_rng_next(rng) >> 11) + 1) * 0x1p-53;
}
