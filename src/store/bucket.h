// store/bucket.h -- the index of one shard: buckets of one line, chained where one overflows,
// growing and shrinking a bucket at a time. Threads: under the shard's lock.

#ifndef FB_STORE_BUCKET_H
#define FB_STORE_BUCKET_H

#include "store/region.h"

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

// Back to FB_BUCKETS_MIN empty buckets and no ghosts. False: no room (only for a shard that has
// none).
bool fb_bucket_reset(fb_store *store, fb_shard *shard);
fb_bucket *fb_bucket_at(const fb_store *store, const fb_shard *shard, uint64_t number);
// The next of the chain, or NULL.
fb_bucket *fb_bucket_next(const fb_store *store, const fb_shard *shard, const fb_bucket *bucket);

bool fb_bucket_find(const fb_store *store, const fb_shard *shard, uint64_t hash, fb_str key,
                    fb_place *place);
// The slot that leads to the record at `offset`.
bool fb_bucket_find_offset(const fb_store *store, const fb_shard *shard, uint64_t hash,
                           uint64_t offset, fb_place *place);
// Ask the processor for the key's index line; for the records that line may lead to. Needs no lock.
void fb_bucket_fetch(const fb_store *store, const fb_shard *shard, uint64_t hash);
void fb_bucket_fetch_record(const fb_store *store, const fb_shard *shard, uint64_t hash);
// Brackets around every change that a reader of the chain must notice.
void fb_bucket_begin(fb_bucket *head);
void fb_bucket_end(fb_bucket *head);
// Changes what is in a slot.
void fb_bucket_set(const fb_place *place, uint64_t word);
void fb_bucket_remove(fb_store *store, fb_shard *shard, const fb_place *place);
// False: the chain is full and there is no overflow bucket (see fb_bucket_overflow_bytes()).
bool fb_bucket_insert(fb_store *store, fb_shard *shard, uint64_t hash, uint64_t word);
// A use: raises the frequency until it is full.
void fb_bucket_touch(const fb_place *place);
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
