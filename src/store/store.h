// store/store.h -- the memory tier: a bounded set of items with lifetimes, evicted by S3-FIFO.
//
// Knows keys, bytes, lifetimes. No I/O, no clock, no threads of its own.
// Time: `now_ns` is the caller's monotonic clock; an item with expires_ns <= now_ns is not there.
// Memory: bounded by limit_bytes, index, headers and ghosts included; nothing is allocated after
// new() but by resize().
// Threads: every call may overlap with every other but free(). Calls on one key are linearizable.
// The inside is one relocatable arena: offsets only, no pointers, so that it can lie in memory
// shared with other processes.
// Eviction: S3-FIFO (Yang et al., SOSP '23) over a log of segments (Segcache, NSDI '21).

#ifndef FB_STORE_STORE_H
#define FB_STORE_STORE_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_store fb_store;

enum {
    FB_STORE_EXTRA_MAX = 255,
    FB_STORE_KEY_MAX = 65535,
};

typedef struct fb_item {
    fb_str key;
    fb_str value;
    fb_str extra;        // up to FB_STORE_EXTRA_MAX bytes of the layer above, kept beside the value
    int64_t expires_ns;  // 0: never
    uint64_t version;    // out: unique among all stores of this key; in: ignored
    uint16_t class_id;   // of the layer above
    uint8_t flags;       // of the layer above
} fb_item;

// Lent bytes, good until it returns. May be called again with a newer item before the call that
// takes it returns (then the last counts). Must not call into the store.
typedef void (*fb_item_fn)(void *arg, const fb_item *item);
// Whether an item is still worth keeping; asked while sweeping and evicting, under the shard's
// lock. One that is not leaves as if it had expired. Must not call into the store.
typedef bool (*fb_item_alive_fn)(void *arg, const fb_item *item);

typedef struct fb_store_options {
    uint64_t limit_bytes;      // at least FB_STORE_LIMIT_MIN
    uint32_t shard_count;      // a power of two; 0: by the limit
    uint64_t limit_max_bytes;  // resize() grows up to this: address space, not memory; 0: 16 × the
                               // limit, or what can be reserved
    uint64_t seed;             // of the hash
    fb_item_alive_fn alive;    // may be NULL
    void *alive_arg;
} fb_store_options;

#define FB_STORE_LIMIT_MIN (UINT64_C(1) << 20)

// FB_OK; FB_ENOMEM; FB_EINVAL (a limit too small, a shard count that is no power of two).
FB_CHECK_RESULT int fb_store_new(const fb_store_options *options, fb_store **store);
void fb_store_free(fb_store *store);

// FB_OK (`fn` was called) or FB_MISS. get() counts as a use of the item, peek() does not.
FB_CHECK_RESULT int fb_store_get(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn,
                                 void *arg);
FB_CHECK_RESULT int fb_store_peek(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn,
                                  void *arg);
// Many at once, results[i] as get() would return; `fn` gets args[i]. Faster than one by one.
void fb_store_get_many(fb_store *store, const fb_str *keys, size_t key_count, int64_t now_ns,
                       fb_item_fn fn, void *const *args, int *results);

// Stores or replaces. FB_OK; FB_ETOOBIG (above fb_store_value_max(), or key or extra too long);
// FB_ENOMEM (room for a large value was taken by others again and again).
// *version may be NULL. A refused or failed put leaves what was there.
FB_CHECK_RESULT int fb_store_put(fb_store *store, const fb_item *item, int64_t now_ns,
                                 uint64_t *version);
// FB_OK: it was there. FB_MISS.
FB_CHECK_RESULT int fb_store_del(fb_store *store, fb_str key, int64_t now_ns);

// One atomic read-modify-write under the shard's lock. `fn` sees the item or NULL and fills *next
// (pre-filled from it; next->key must stay): what it returns (>= 0 the outcome, < 0 an error, which
// changes nothing) is returned, or FB_ETOOBIG or FB_ENOMEM as put() has them; *action says what to
// do. next->version is the one it will have if it is put (META keeps the item's). Where room for a
// large value must come from other shards, `fn` is called again with what is there then: the last
// counts.
typedef enum fb_store_action {
    FB_STORE_KEEP,
    FB_STORE_PUT,     // store *next
    FB_STORE_DELETE,
    FB_STORE_META     // only expires_ns, flags, class_id and extra (same length) change
} fb_store_action;
typedef int (*fb_store_edit_fn)(void *arg, const fb_item *item, fb_item *next,
                                fb_store_action *action);
FB_CHECK_RESULT int fb_store_edit(fb_store *store, fb_str key, int64_t now_ns, fb_store_edit_fn fn,
                                  void *arg);

// Visits live items from `cursor` (0 at first), at least `count` index places or until the end;
// returns the next cursor, 0 at the end. An item there from the first call to the last is seen at
// least once, whatever else happens (Redis's SCAN guarantee). `fn` runs under the shard's lock.
uint64_t fb_store_scan(fb_store *store, uint64_t cursor, uint64_t count, int64_t now_ns,
                       fb_item_fn fn, void *arg);
// Removes every live item for which `fn` says so; returns how many. Guarantee as of one whole scan.
typedef bool (*fb_item_pick_fn)(void *arg, const fb_item *item);
uint64_t fb_store_remove_if(fb_store *store, int64_t now_ns, fb_item_pick_fn fn, void *arg);
// Removes all. Returns how many there were.
uint64_t fb_store_clear(fb_store *store);

// Bounded upkeep: looks at about `item_budget` items (to the end of a segment) for expired and
// not-alive ones and frees what they held. Called now and then by whoever owns the store. Returns
// how many it removed.
uint64_t fb_store_sweep(fb_store *store, int64_t now_ns, uint64_t item_budget);
// Changes the limit at run time; shrinking evicts and gives memory back to the system.
// FB_OK; FB_EINVAL: too little for as many shards and as large segments as the store was made with
// (by default a twentieth of the first limit, or 2 MiB); FB_ENOMEM: above limit_max_bytes. Then the
// old limit holds.
FB_CHECK_RESULT int fb_store_resize(fb_store *store, uint64_t limit_bytes);

// The largest key + value that fits.
uint64_t fb_store_value_max(const fb_store *store);

typedef struct fb_store_stats {
    uint64_t items;        // expired ones not yet swept included
    uint64_t used_bytes;   // of items and their overhead, and of the index
    uint64_t limit_bytes;
    uint64_t evictions;    // live items pushed out for room
    uint64_t expirations;  // items that left by age (or as not alive)
    uint64_t puts, dels;
} fb_store_stats;
void fb_store_stats_read(fb_store *store, fb_store_stats *stats);
// Asserts every invariant; O(size). For tests.
void fb_store_check(fb_store *store);

#ifdef __cplusplus
}
#endif

#endif
