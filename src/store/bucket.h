// store/bucket.h -- the index of one shard: buckets of one line, chained where one overflows,
// growing and shrinking a bucket at a time. Threads: under the shard's lock.

#ifndef FB_STORE_BUCKET_H
#define FB_STORE_BUCKET_H

#include "store/race.h"
#include "store/region.h"

#if FB_RACE_WATCHED
// Word by word, so that every load is atomic.
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__AARCH64EL__)
#include <arm_neon.h>
#endif

enum { FB_BUCKETS_MIN = 64 };

// A slot in use, and the head of its chain. Good until the next change of the chain.
typedef struct fb_place {
    fb_bucket *head;
    fb_bucket *bucket;
    unsigned slot;
} fb_place;

static inline uint64_t fb_place_word(const fb_place *place) {
    return atomic_load_explicit(&place->bucket->slots[place->slot], memory_order_relaxed);
}

// The slots of one bucket whose upper 16 bits are those of `tag`, as a set of bits for
// fb_bucket_slot(); empty slots are among them where the tag is 0. Needs no lock.
static inline uint32_t fb_bucket_match(const fb_bucket *bucket, uint64_t tag) {
#if !FB_RACE_WATCHED && defined(__SSE2__)
    // The tag is the last of the four 16-bit lanes of a slot; narrowed, each lane is 4 bits of a
    // byte mask: bit 3 is that of version and link, bit 7 that of slot 0, and so on.
    const __m128i *line = (const __m128i *)(const void *)bucket;
    __m128i wanted = _mm_set1_epi16((short)(tag >> FB_SLOT_TAG_SHIFT));
    __m128i low = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(line), wanted),
                                  _mm_cmpeq_epi16(_mm_load_si128(line + 1), wanted));
    __m128i high = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(line + 2), wanted),
                                   _mm_cmpeq_epi16(_mm_load_si128(line + 3), wanted));
    uint32_t mask = (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
    return mask & UINT32_C(0x88888880);
#elif !FB_RACE_WATCHED && defined(__ARM_NEON) && defined(__AARCH64EL__)
    // Each slot's tag as one 16-bit lane of eight, the version's and link's the first; the compared
    // lanes are narrowed to 8 bits, and one bit of each is kept.
    const uint16_t *line = (const uint16_t *)(const void *)bucket;
    uint16x8x4_t lanes = vld4q_u16(line);
    uint16x8_t same = vceqq_u16(lanes.val[3], vdupq_n_u16((uint16_t)(tag >> FB_SLOT_TAG_SHIFT)));
    uint64_t bytes = vget_lane_u64(vreinterpret_u64_u8(vmovn_u16(same)), 0);
    uint32_t mask = 0;
    for (bytes &= UINT64_C(0x8080808080808000); bytes != 0; bytes &= bytes - 1) {
        mask |= UINT32_C(8) << (__builtin_ctzll(bytes) / 8 * 4);
    }
    return mask;
#else
    uint32_t mask = 0;
    for (unsigned slot = 0; slot < FB_BUCKET_SLOTS; slot++) {
        uint64_t word = atomic_load_explicit(&bucket->slots[slot], memory_order_relaxed);
        mask |= (uint32_t)((word ^ tag) >> FB_SLOT_TAG_SHIFT == 0) << (4 * slot + 7);
    }
    return mask;
#endif
}
// The slot of the lowest bit.
static inline unsigned fb_bucket_slot(uint32_t match) {
    return (unsigned)__builtin_ctz(match) / 4 - 1;
}

// A use of the item in a slot in which `word` was just read: raises its frequency until that is
// full. Needs no lock.
static inline void fb_bucket_use(_Atomic uint64_t *slot, uint64_t word) {
    if ((word >> FB_SLOT_FREQUENCY_SHIFT & FB_SLOT_FREQUENCY_MAX) < FB_SLOT_FREQUENCY_MAX) {
        // Lost to another reader or to a writer: one use less is no harm.
        (void)atomic_compare_exchange_strong_explicit(slot, &word, word + FB_SLOT_FREQUENCY_ONE,
                                                      memory_order_relaxed, memory_order_relaxed);
    }
}
static inline void fb_bucket_touch(const fb_place *place) {
    fb_bucket_use(&place->bucket->slots[place->slot], fb_place_word(place));
}

// Back to FB_BUCKETS_MIN empty buckets and no ghosts. From then on no reader believes what it finds
// in the shard's records, so they may be freed after that, and not before. False: no room (only for
// a shard that has none).
bool fb_bucket_reset(fb_store *store, fb_shard *shard);
fb_bucket *fb_bucket_at(const fb_store *store, const fb_shard *shard, uint64_t number);
// The next of the chain, or NULL.
fb_bucket *fb_bucket_next(const fb_store *store, const fb_shard *shard, const fb_bucket *bucket);

bool fb_bucket_find(const fb_store *store, const fb_shard *shard, uint64_t hash, fb_str key,
                    fb_place *place);
// The slot that leads to the record at `offset`.
bool fb_bucket_find_offset(const fb_store *store, const fb_shard *shard, uint64_t hash,
                           uint64_t offset, fb_place *place);
// Asks the processor for the key's index line. Needs no lock.
void fb_bucket_fetch(const fb_store *store, const fb_shard *shard, uint64_t hash);
// Waits for that line, and asks for what it leads to, for writing. Before the lock is taken, so
// that it is held for as short a time as may be. Needs no lock.
void fb_bucket_approach(const fb_store *store, const fb_shard *shard, uint64_t hash);
// Brackets around every change that a reader of the chain must notice.
void fb_bucket_begin(fb_bucket *head);
void fb_bucket_end(fb_bucket *head);
// Of a chain; another after any change of it.
static inline uint32_t fb_bucket_version(const fb_bucket *head) {
    return atomic_load_explicit(&head->version, memory_order_relaxed);
}
// Changes what is in a slot.
void fb_bucket_set(const fb_place *place, uint64_t word);
void fb_bucket_remove(fb_store *store, fb_shard *shard, const fb_place *place);
// False: the chain is full and there is no overflow bucket (see fb_bucket_overflow_bytes()).
bool fb_bucket_insert(fb_store *store, fb_shard *shard, uint64_t hash, uint64_t word);
// The slot of the chain with the lowest frequency.
bool fb_bucket_least(const fb_store *store, const fb_shard *shard, uint64_t hash, fb_place *place);

// How much of the overflow zone is needed for one more bucket; 0: one is free, or none may be
// added.
uint64_t fb_bucket_overflow_bytes(const fb_shard *shard);
// Whether the items are too many (or far too few) for the buckets.
bool fb_bucket_crowded(const fb_shard *shard);
bool fb_bucket_sparse(const fb_shard *shard);
// Adds a bucket; false: no room within the limit.
bool fb_bucket_split(fb_store *store, fb_shard *shard);
// Takes the last bucket away; false: not possible just now.
bool fb_bucket_merge(fb_store *store, fb_shard *shard);
// Moves overflow buckets together and gives back the memory beyond them.
void fb_bucket_trim(fb_store *store, fb_shard *shard);

#endif
