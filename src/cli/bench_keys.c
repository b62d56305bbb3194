// Keys, values and sequences for the benchmarks of the memory tier.
//
// A sequence is drawn before anything is measured, and holds the bytes of each key again at each
// place where it is asked for: a program that asks a cache has just received or put together the
// key, so its bytes are near. Going through a sequence is one read straight on, which the processor
// fetches ahead; it costs about a nanosecond a key, and nothing of what is measured is the cost of
// finding key bytes somewhere in memory. What is kept in the store is spread by the store itself,
// in the order in which it was put, which has nothing to do with the order of asking.
//
// Which keys are hot is a bijection of ranks to numbers (multiplying by an odd number modulo a
// power of two, again until it is in range), so that hot keys are no neighbours.

#include "cli/bench_keys.h"

#include <math.h>

#include "base/check.h"
#include "base/mem.h"

static const double EXPONENT = 0.99;

// ---- keys and values

static uint64_t mix(uint64_t number) {
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

size_t fb_keys_write(uint32_t id, char *key) {
    static const char DIGITS[] = "0123456789abcdef";
    uint64_t filler = mix(id + UINT64_C(0x9e3779b97f4a7c15));
    size_t len = FB_KEYS_LEN_MIN + filler % (FB_KEYS_LEN_MAX - FB_KEYS_LEN_MIN + 1);
    for (size_t i = 0; i < FB_KEYS_MARK_LEN; i++) {
        key[i] = DIGITS[(id >> (28 - 4 * i)) & 15];
    }
    key[FB_KEYS_MARK_LEN] = ':';
    for (size_t i = FB_KEYS_MARK_LEN + 1; i < len; i++) {
        key[i] = (char)('a' + ((filler >> (i & 31)) & 15));
    }
    return len;
}

void fb_keys_value(fb_str key, char *value, size_t len) {
    memcpy(value, key.ptr, FB_KEYS_MARK_LEN);
    memset(value + FB_KEYS_MARK_LEN, 'v', len - FB_KEYS_MARK_LEN);
}

// ---- zipf

// The integral of x^-exponent, and its inverse.
static double integral(const fb_zipf *zipf, double x) {
    return (pow(x, 1 - zipf->exponent) - 1) / (1 - zipf->exponent);
}

static double integral_inverse(const fb_zipf *zipf, double y) {
    return pow(1 + y * (1 - zipf->exponent), 1 / (1 - zipf->exponent));
}

void fb_zipf_init(fb_zipf *zipf, uint64_t count, double exponent) {
    FB_ASSERT(count > 0 && exponent > 0 && fabs(exponent - 1) > 1e-6);
    *zipf = (fb_zipf){.exponent = exponent, .count = count};
    zipf->low = integral(zipf, 1.5) - 1;
    zipf->high = integral(zipf, (double)count + 0.5);
    zipf->shortcut = 2 - integral_inverse(zipf, integral(zipf, 2.5) - pow(2, -exponent));
}

uint64_t fb_zipf_next(const fb_zipf *zipf, fb_rng *rng) {
    for (;;) {
        double y = zipf->high + fb_rng_unit(rng) * (zipf->low - zipf->high);
        double x = integral_inverse(zipf, y);
        double rank = floor(x + 0.5);
        rank = rank < 1 ? 1 : rank > (double)zipf->count ? (double)zipf->count : rank;
        if (rank - x <= zipf->shortcut ||
            y >= integral(zipf, rank + 0.5) - pow(rank, -zipf->exponent)) {
            return (uint64_t)rank;
        }
    }
}

// ---- sequences

static uint32_t scatter(uint32_t rank, uint32_t entries) {
    uint64_t mask = 1;
    while (mask < entries) {
        mask <<= 1;
    }
    mask--;
    uint64_t id = rank;
    do {
        id = (id * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x7f4a7c15)) & mask;
    } while (id >= entries);
    return (uint32_t)id;
}

int fb_keys_new(fb_keys *keys, size_t key_count) {
    size_t start_count = (key_count + FB_KEYS_STRIDE - 1) / FB_KEYS_STRIDE;
    *keys = (fb_keys){.bytes = fb_mem_new(key_count * (1 + FB_KEYS_LEN_MAX)),
                      .key_count = key_count,
                      .starts = fb_mem_zero(start_count, sizeof *keys->starts)};
    if (keys->bytes == NULL || keys->starts == NULL) {
        fb_keys_release(keys);
        return FB_ENOMEM;
    }
    return FB_OK;
}

void fb_keys_draw(fb_keys *keys, uint32_t entries, uint64_t seed) {
    fb_zipf zipf;
    fb_rng rng;
    fb_zipf_init(&zipf, entries, EXPONENT);
    fb_rng_init(&rng, seed);
    keys->byte_count = 0;
    for (size_t i = 0; i < keys->key_count; i++) {
        unsigned char *at = keys->bytes + keys->byte_count;
        uint32_t rank = (uint32_t)(fb_zipf_next(&zipf, &rng) - 1);
        if (i % FB_KEYS_STRIDE == 0) {
            keys->starts[i / FB_KEYS_STRIDE] = keys->byte_count;
        }
        *at = (unsigned char)fb_keys_write(scatter(rank, entries), (char *)at + 1);
        keys->byte_count += 1u + *at;
    }
}

void fb_keys_release(fb_keys *keys) {
    fb_mem_free(keys->bytes);
    fb_mem_free(keys->starts);
    *keys = (fb_keys){0};
}

void fb_keys_begin(fb_keys_place *place, const fb_keys *keys, double share) {
    size_t start_count = (keys->key_count + FB_KEYS_STRIDE - 1) / FB_KEYS_STRIDE;
    size_t start = (size_t)(share * (double)start_count);
    FB_ASSERT(start < start_count);
    *place =
        (fb_keys_place){keys, keys->bytes + keys->starts[start], keys->bytes + keys->byte_count};
}
