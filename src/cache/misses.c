// A table of places, one for each of a few thousand keys by hash; the newest key has the place. A
// place is two words, written one after the other without a lock: the worst that a race can do is
// to explain a miss by a neighbour's reason.
//
//     word: 48 bits of the key's hash | why the next read would miss 8 | why the last one did 8
//     gone_ns: when it goes by age

#include "cache/misses.h"

#include <stdatomic.h>

#include "base/hash.h"
#include "base/mem.h"

enum { PLACE_COUNT = 4096 };

typedef struct place {
    _Atomic(uint64_t) word;
    _Atomic(int64_t) gone_ns;
} place;

struct fb_misses {
    uint64_t seed;
    place places[PLACE_COUNT];
};

static const uint64_t HASH_BITS = ~UINT64_C(0xffff);

int fb_misses_new(uint64_t seed, fb_misses **misses) {
    *misses = fb_mem_zero(1, sizeof **misses);
    if (*misses == NULL) {
        return FB_ENOMEM;
    }
    (*misses)->seed = seed;
    return FB_OK;
}

void fb_misses_free(fb_misses *misses) {
    fb_mem_free(misses);
}

// The place for a key's hash, and what it says of that key (0 reasons where it is another's).
static place *find(fb_misses *misses, fb_str key, uint64_t *word) {
    uint64_t hash = fb_hash64(key, misses->seed);
    place *found = &misses->places[hash % PLACE_COUNT];
    *word = atomic_load_explicit(&found->word, memory_order_relaxed);
    if ((*word & HASH_BITS) != (hash & HASH_BITS)) {
        *word = hash & HASH_BITS;
    }
    return found;
}

static void set(place *found, uint64_t word, fb_miss_reason next, fb_miss_reason last) {
    word = (word & HASH_BITS) | (uint64_t)next << 8 | (uint64_t)last;
    atomic_store_explicit(&found->word, word, memory_order_relaxed);
}

static fb_miss_reason next_of(uint64_t word) {
    return (fb_miss_reason)(word >> 8 & 0xff);
}

static fb_miss_reason last_of(uint64_t word) {
    return (fb_miss_reason)(word & 0xff);
}

void fb_misses_stored(fb_misses *misses, fb_str key, int64_t gone_ns) {
    uint64_t word;
    place *found = find(misses, key, &word);
    atomic_store_explicit(&found->gone_ns, gone_ns, memory_order_relaxed);
    set(found, word, FB_MISS_EXPIRED, last_of(word));
}

void fb_misses_gone(fb_misses *misses, fb_str key, fb_miss_reason reason) {
    uint64_t word;
    place *found = find(misses, key, &word);
    set(found, word, reason, last_of(word));
}

void fb_misses_all_gone(fb_misses *misses, fb_miss_reason reason) {
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        uint64_t word = atomic_load_explicit(&misses->places[i].word, memory_order_relaxed);
        if (next_of(word) != FB_MISS_UNKNOWN) {
            set(&misses->places[i], word, reason, last_of(word));
        }
    }
}

fb_miss_reason fb_misses_note(fb_misses *misses, fb_str key, fb_miss_reason reason,
                              int64_t now_ns) {
    uint64_t word;
    place *found = find(misses, key, &word);
    if (reason == FB_MISS_UNKNOWN) {
        reason = next_of(word);
    }
    if (reason == FB_MISS_UNKNOWN ||
        (reason == FB_MISS_EXPIRED &&
         atomic_load_explicit(&found->gone_ns, memory_order_relaxed) > now_ns)) {
        reason = FB_MISS_NEVER_LOADED_OR_EVICTED;
    }
    set(found, word, next_of(word), reason);
    return reason;
}

fb_miss_reason fb_misses_last(const fb_misses *misses, fb_str key) {
    uint64_t hash = fb_hash64(key, misses->seed);
    const place *found = &misses->places[hash % PLACE_COUNT];
    uint64_t word = atomic_load_explicit(&found->word, memory_order_relaxed);
    return (word & HASH_BITS) == (hash & HASH_BITS) ? last_of(word) : FB_MISS_UNKNOWN;
}

const char *fb_misses_text(fb_miss_reason reason) {
    static const char *const texts[] = {
        [FB_MISS_UNKNOWN] = "",
        [FB_MISS_NEVER_LOADED_OR_EVICTED] = "never loaded, or pushed out for room",
        [FB_MISS_EXPIRED] = "expired",
        [FB_MISS_INVALIDATED] = "invalidated",
        [FB_MISS_DELETED] = "deleted",
        [FB_MISS_TAG] = "one of its tags was invalidated",
        [FB_MISS_CLEARED] = "everything was invalidated",
        [FB_MISS_UNCACHEABLE] = "its value is not cacheable",
        [FB_MISS_TOO_BIG] = "its value is larger than an entry may be",
        [FB_MISS_SOURCE_FAILED] = "its source failed",
    };
    return (size_t)reason < sizeof texts / sizeof texts[0] ? texts[reason] : "";
}
