// store/region.h -- how the arena lies in memory, and the accessors every part of the store uses.
//
// One mapping, in this order: the header (fb_region), the shards, one fb_segment for every segment,
// the map of segments in use, then for every shard its buckets, overflow buckets and ghosts, then
// the segments themselves, then the room of the layer above. Everything is found by offset from the
// start, so the region means the same at any address. Address space is reserved for the largest
// limit; memory is counted when it is used (store/budget.h).
//
// Locks, in the order they are taken: that of resizing; the lock of a shard; of one more shard, by
// trylock only; the pool lock, which is always the last.

#ifndef FB_STORE_REGION_H
#define FB_STORE_REGION_H

#include <forebay/store.h>

#include "base/check.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    FB_REGION_FORMAT = 3,
    FB_BUCKET_SLOTS = 7,
    FB_LINE = 64,
    FB_GHOST_LINE = 32,  // fingerprints to a line
    FB_HUGE = 2 << 20,   // bytes of a huge page: an extent of the log
    FB_HUGE_FROM = 64 << 20,  // the least limit that they are asked for: one is much for less
};
#define FB_REGION_MAGIC UINT64_C(0x3159414245524f46)

typedef enum fb_queue_id { FB_PROBATION, FB_MAIN, FB_QUEUES } fb_queue_id;

// One index line. `version` of the first bucket of a chain is odd while a writer changes the chain.
// Empty slots are 0; only the last bucket of a chain has any.
typedef struct fb_bucket {
    _Atomic uint32_t version;
    _Atomic uint32_t next;  // overflow bucket, from 1; 0: the last
    _Atomic uint64_t slots[FB_BUCKET_SLOTS];
} fb_bucket;
_Static_assert(sizeof(fb_bucket) == FB_LINE, "a bucket is one cache line");

// A slot: 16 bits of the hash, 2 bits of frequency, the record's offset in units of 8 bytes.
#define FB_SLOT_TAG_SHIFT 48
#define FB_SLOT_FREQUENCY_SHIFT 46
#define FB_SLOT_FREQUENCY_ONE (UINT64_C(1) << FB_SLOT_FREQUENCY_SHIFT)
#define FB_SLOT_FREQUENCY_MAX 3U
#define FB_SLOT_OFFSET_MASK (FB_SLOT_FREQUENCY_ONE - 1)

typedef enum fb_segment_state {
    FB_SEGMENT_FREE,    // resident or not
    FB_SEGMENT_OPEN,    // records are appended to it; in no list
    FB_SEGMENT_SEALED,  // full; in the list of its queue
    FB_SEGMENT_RUN,     // the first of a run that holds one large record; listed as SEALED is
    FB_SEGMENT_TAIL,    // the others of a run
    FB_SEGMENT_SPARE    // held by a shard, so that reclaiming has a place to move records to
} fb_segment_state;

typedef struct fb_segment {
    uint32_t next, prev;  // towards the newest and the oldest; of the free list; 0: none
    uint32_t used;        // bytes from its start that hold records
    uint32_t live;        // bytes of records that are not dead
    uint32_t largest;     // bytes of the largest record it ever held
    uint32_t resident;    // bytes counted against the limit (of a whole run in its first segment)
    uint32_t run;         // segments of the run
    uint16_t shard;
    uint8_t state;
    uint8_t queue;
    int64_t due_ns;       // nothing in it expires before
} fb_segment;

// A piece of the region that is in use from its start up to `committed`.
typedef struct fb_zone {
    uint64_t offset, size, committed;
} fb_zone;

// Where something that goes round all segments of a shard is: at the open segment of a queue, or at
// one of its list (0: behind the newest). What leaves a list moves it on (store/segment.h).
typedef struct fb_cursor {
    uint32_t id;
    uint8_t queue;
    bool listed;
} fb_cursor;

typedef struct fb_queue {
    uint32_t oldest, newest, open;
    uint64_t bytes;  // resident bytes, those of `open` included
} fb_queue;

// How an item left. The last is not counted: it was in demand and only grew old.
typedef enum fb_ghost_kind {
    FB_GHOST_FRESH,   // probation, unused
    FB_GHOST_DENIED,  // the same after it had come back before, and main did not take it in
    FB_GHOST_MAIN,
    FB_GHOST_AGED,
    FB_GHOST_COUNTED = FB_GHOST_AGED
} fb_ghost_kind;

// How an item came into main: used once in probation, or come back. A sample of them is followed.
typedef enum fb_way { FB_WAY_ONCE, FB_WAY_BACK, FB_WAYS } fb_way;
enum { FB_FOLLOWED = 1024 };

// What a shard has learnt (store/tune.c).
typedef struct fb_tuning {
    uint32_t left[FB_GHOST_COUNTED];  // items that left unused, lately
    uint32_t back[FB_GHOST_COUNTED];  // of them came back; soon
    uint32_t soon[FB_GHOST_COUNTED];
    uint32_t seen[FB_WAYS];           // items followed until main's hand came by; of them in use
    uint32_t used[FB_WAYS];
    uint16_t followed[FB_FOLLOWED];   // fingerprints, and the way in the lowest bit
    uint32_t uses;     // to be had in probation before main takes an item: 1, or 2
    uint32_t share;    // of probation
    uint32_t pace;     // of main's hand
    uint32_t filled;   // something has been evicted before
    uint64_t credit;   // bytes of main that may be looked through for what came back
    uint64_t freed;    // bytes that looking through main has freed, and that were not taken yet
} fb_tuning;

typedef struct fb_shard {
    // Buckets in the low half; the high half counts every change of them. In a line of its own:
    // every reader needs it, and it rarely changes.
    _Alignas(2 * FB_LINE) _Atomic uint64_t geometry;
    _Alignas(2 * FB_LINE) pthread_mutex_t lock;
    _Atomic uint32_t busy;   // not 0 while a writer holds the lock: if it died so, the shard is torn
    fb_zone buckets, overflow, ghosts;
    uint64_t items;
    uint64_t version;        // of the newest store
    int64_t now_ns;          // the latest seen
    uint32_t overflow_free;  // list of overflow buckets, from 1
    uint32_t overflow_high;  // overflow buckets ever taken
    uint32_t overflow_live;
    uint32_t spare;
    uint32_t pinned;         // a segment that must neither be reclaimed nor moved just now
    fb_cursor due;           // sweeping what is due; what is asked about
    fb_cursor turn;
    fb_cursor stale;         // before evicting: sweeping what is due; what is moved together
    fb_cursor sparse;
    fb_queue queues[FB_QUEUES];
    _Atomic uint64_t bytes;  // resident bytes of its segments
    uint64_t live_bytes;     // of records; runs count as what they keep resident
    uint64_t evictions, expirations, puts, dels;
    uint64_t index_evictions;  // of `evictions`, for want of room in the index
    fb_tuning tuning;
} fb_shard;

typedef struct fb_region {
    uint64_t magic;
    uint32_t format;
    uint32_t page_size;
    uint64_t size, limit_max, seed;
    uint32_t shard_count, shard_bits;
    uint32_t segment_shift, segment_count;  // ids are 1 … segment_count
    uint64_t shards_at, log_at;
    uint64_t app_at, app_bytes, app_format;  // the room of the layer above
    uint64_t boot;                           // of the machine, for times mean nothing after another
    // What readers of other processes look at each time.
    _Alignas(2 * FB_LINE) _Atomic int64_t beat_ns;  // the writer's last sign of life
    _Atomic uint32_t retired;                       // nobody writes here any more
    // One resize at a time; taken before any other lock.
    _Alignas(2 * FB_LINE) pthread_mutex_t resize_lock;
    // Under pool_lock; the atomic ones are read without it too.
    _Alignas(2 * FB_LINE) pthread_mutex_t pool_lock;
    _Atomic uint64_t limit, committed;
    uint64_t ceiling;     // what the file system was last found to have room for
    fb_zone segments, used_map;
    uint32_t warm;        // free segments that are resident
    uint32_t low;         // no segment below is free and not resident
    uint32_t huge_low;    // no extent below is wholly so
    uint32_t cleared;     // list of what clear() took from shards, not yet among the free
    uint64_t warm_bytes, cleared_bytes;
    uint64_t pool_changes;
    bool resizing;  // the limit may be passed until that ends
    _Atomic uint32_t sweep_shard;  // where the next sweep goes on
} fb_region;

// What one process knows of a region: where it is mapped, and how it is laid out. The layout is
// copied (after a check, where somebody else made the region), so that nothing in the region can
// lead a reader out of it.
struct fb_store {
    uint8_t *base;
    fb_region *region;
    fb_shard *shards;
    fb_segment *segments;
    uint64_t seed;
    uint32_t segment_size, segment_shift, shard_shift;
    uint64_t size;                                // of the mapping
    uint64_t log_at;
    uint64_t zones_at, zones_stride;              // of the first shard's zones; to the next one's
    uint64_t buckets_size, overflow_size;         // of each shard's; ghosts follow
    uint64_t app_at, app_bytes;
    void *reserved;                               // address space, guards around the region included
    uint64_t reserved_size;
    uint8_t *huge;                                // for each extent: asked for as a huge page
    uint32_t extent_segments;                     // segments in an extent; 0: no huge pages
    bool read_only;                               // attached to somebody else's region
    int fd;                                       // of the file; -1: private memory
    fb_item_alive_fn alive;
    void *alive_arg;
    void (*left)(void *arg, fb_str key);
    void *left_arg;
};

static inline uint64_t fb_round_up(uint64_t bytes, uint64_t unit) {
    return (bytes + unit - 1) & ~(unit - 1);
}
static inline fb_shard *fb_shard_of(const fb_store *store, uint64_t hash) {
    return &store->shards[store->shard_shift < 64 ? hash >> store->shard_shift : 0];
}
static inline fb_segment *fb_segment_at(const fb_store *store, uint32_t id) {
    return &store->segments[id];
}
// Where a shard's buckets and overflow buckets lie, by the layout alone.
static inline uint64_t fb_shard_buckets_at(const fb_store *store, uint64_t shard) {
    return store->zones_at + shard * store->zones_stride;
}
static inline uint64_t fb_shard_overflow_at(const fb_store *store, uint64_t shard) {
    return fb_shard_buckets_at(store, shard) + store->buckets_size;
}
// Records larger than this lie in runs of their own.
static inline uint32_t fb_record_small_max(const fb_store *store) {
    return store->segment_size / 4;
}
static inline uint64_t fb_segment_offset(const fb_store *store, uint32_t id) {
    return store->log_at + ((uint64_t)(id - 1) << store->segment_shift);
}
static inline uint32_t fb_segment_of(const fb_store *store, uint64_t offset) {
    return (uint32_t)((offset - store->log_at) >> store->segment_shift) + 1;
}
static inline uint64_t fb_shard_buckets(const fb_shard *shard) {
    return atomic_load_explicit(&shard->geometry, memory_order_relaxed) & UINT32_MAX;
}
// Linear hashing (Litwin, 1980): `count` places, the first of them split already to twice as many.
static inline uint64_t fb_split_address(uint64_t hash, uint64_t count) {
    uint64_t mask = UINT64_MAX >> __builtin_clzll(count);
    uint64_t place = hash & mask;
    return place < count ? place : place & (mask >> 1);
}
// Time only moves forward, also where threads read the clock in one order and come here in another.
static inline void fb_shard_see(fb_shard *shard, int64_t now_ns) {
    if (now_ns > shard->now_ns) {
        shard->now_ns = now_ns;
    }
}
// `busy` says to whoever finds the region after this process was killed whether the shard was being
// changed. A process is killed between two instructions, so it is the compiler's order that counts.
static inline void fb_shard_enter(fb_shard *shard) {
    atomic_store_explicit(&shard->busy, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}
static inline void fb_shard_lock(fb_shard *shard) {
    int result = pthread_mutex_lock(&shard->lock);
    FB_ASSERT(result == 0);
    fb_shard_enter(shard);
}
static inline bool fb_shard_trylock(fb_shard *shard) {
    if (pthread_mutex_trylock(&shard->lock) != 0) {
        return false;
    }
    fb_shard_enter(shard);
    return true;
}
static inline void fb_shard_unlock(fb_shard *shard) {
    atomic_store_explicit(&shard->busy, 0, memory_order_release);
    int result = pthread_mutex_unlock(&shard->lock);
    FB_ASSERT(result == 0);
}

#endif
