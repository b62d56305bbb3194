// forebay/store.h -- the memory tier by itself: a bounded set of items with lifetimes.
//
// Knows keys, bytes, lifetimes. No clock, no threads of its own, no I/O.
// Time: `now_ns` is the caller's monotonic clock; an item with expires_ns <= now_ns is not there.
// Memory: bounded by limit_bytes, index, headers and ghosts included (app_bytes are not); nothing
// is allocated after new() but by resize().
// Threads: every call may overlap with every other but free(). Calls on one key are linearizable.
// Reads take no lock and write nothing shared but an item's frequency of use.
// Processes: the inside is one relocatable arena, offsets only, no pointers. It may lie in a file
// that other processes map read-only (attach), and that is found again after a restart (adopt),
// also after one that came by kill -9 at any instruction. A child that was forked while other
// threads were writing must not write to it: it would wait for locks that nobody has any more.
// Eviction: S3-FIFO (Yang et al., SOSP '23) over a log of segments (Segcache, NSDI '21), found by
// buckets with tags and versions (MemC3, NSDI '13), with a split that follows the ghosts.

#ifndef FOREBAY_STORE_H
#define FOREBAY_STORE_H

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
    uint64_t hash;       // out, of get(), peek(), get_many() and get_copy(): fb_store_hash()
} fb_item;

// Lent bytes, good until it returns. A reader without a lock may be shown bytes that are just being
// overwritten; it is then called again before the call that takes it returns, and the last counts.
// So: copy them, or look at them as at any bytes. The lengths always lie within the memory tier.
// Must not call into the store.
typedef void (*fb_item_fn)(void *arg, const fb_item *item);
// Whether an item is still worth keeping; asked while sweeping and evicting, under the shard's
// lock. One that is not leaves as if it had expired. Must not call into the store.
typedef bool (*fb_item_alive_fn)(void *arg, const fb_item *item);

typedef struct fb_store_options {
    uint64_t limit_bytes;      // at least FB_STORE_LIMIT_MIN
    uint32_t shard_count;      // a power of two; 0: by the limit
    uint64_t limit_max_bytes;  // resize() grows up to this: address space, not memory; 0: 16 x the
                               // limit, or what can be reserved
    uint64_t seed;             // of the hash
    fb_item_alive_fn alive;    // may be NULL
    void *alive_arg;
    // Told of an item's key when it has left by age, or for room; under the shard's lock, so it must
    // not call into the store. Not of what clear() and the caller's own calls remove. May be NULL.
    void (*left)(void *arg, fb_str key);
    void *left_arg;
    // Zeroed room for the layer above, in the region, at fb_store_app(); beside the limit.
    uint64_t app_bytes;
    uint64_t app_format;  // what the layer above keeps in items and there: adopt() and attach()
                          // refuse a region with another
    // Of the machine's present boot, such as a hash of its boot id: adopt() and attach() refuse a
    // region of another, whose times mean nothing now.
    uint64_t boot;
    // The file that the region lies in, open for reading and writing; the store keeps a duplicate.
    // It must be on a file system that can reserve and give back parts of a file (tmpfs, memfd).
    // Only with `in_file`: a zeroed struct means private memory.
    bool in_file;
    int fd;
} fb_store_options;

#define FB_STORE_LIMIT_MIN (UINT64_C(1) << 20)

// FB_OK; FB_ENOMEM; FB_EINVAL (a limit too small, a shard count that is no power of two); FB_EIO:
// the file cannot be sized or mapped, or parts of it cannot be reserved or given back. With
// `in_file` what was in the file is lost; a file that others have attached must not be used again
// (they would touch what is no longer there): a new region is a new file.
FB_API FB_CHECK_RESULT int fb_store_new(const fb_store_options *options, fb_store **store);
FB_API void fb_store_free(fb_store *store);

// ---- regions in files

typedef struct fb_store_adopted {
    uint64_t items;
    uint32_t shards_dropped;  // whose writer was killed in the middle of a change
} fb_store_adopted;

// As new(), with the items that are in the file already; also after fb_store_retire(), which is
// taken back. The file must be of the present boot (items' times are of its monotonic clock), of
// this format, app_format and app_bytes, and made with the same shard count (0: any) and a
// limit_max_bytes that this limit is within; nobody else may be writing to it, which is the
// caller's to see to. Its seed and limit_max_bytes stay as they were made. Those attached may go on
// reading meanwhile. O(items): some 50 ns each. FB_EINVAL: refused, and `error` says why (then the
// file is untouched: make a new one); FB_ENOMEM; FB_EIO.
FB_API FB_CHECK_RESULT int fb_store_adopt(const fb_store_options *options, fb_store **store,
                                          fb_store_adopted *adopted, fb_error *error);
// Another process's region, for reading alone: get(), peek(), get_copy(), get_many(), hash(),
// app(), alive_at(), stats of the limit, free(). Uses are not counted there. A reader that finds no
// consistent state within a few tries reports a miss. A region that is no region, of another
// version or cut short is FB_EINVAL with the reason in `error`, and nothing outside of it is ever
// read, whatever it holds. FB_ENOMEM, FB_EIO. `fd`, open for reading, is needed only during the
// call. The store never makes a file shorter; whoever else can write to it could, and then reading
// is a SIGBUS: whether its owner is to be trusted is the caller's to see to.
FB_API FB_CHECK_RESULT int fb_store_attach(int fd, uint64_t app_format, uint64_t boot,
                                           fb_store **store, fb_error *error);
// The writer's sign of life, for those attached, at least every few hundred milliseconds.
FB_API void fb_store_beat(fb_store *store, int64_t now_ns);
// Says that nobody writes here any more, until it is adopted: readers turn away at once.
FB_API void fb_store_retire(fb_store *store);
// Whether the region has a writer: not retired, and it beat within patience_ns before now_ns.
FB_API bool fb_store_alive_at(const fb_store *store, int64_t now_ns, int64_t patience_ns);
// The layer above's room; NULL without app_bytes. Read-only where attached.
FB_API void *fb_store_app(const fb_store *store, uint64_t *bytes);

// ---- reading

// FB_OK (`fn` was called) or FB_MISS. get() counts as a use of the item, peek() does not.
FB_API FB_CHECK_RESULT int fb_store_get(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn,
                                        void *arg);
FB_API FB_CHECK_RESULT int fb_store_peek(fb_store *store, fb_str key, int64_t now_ns,
                                         fb_item_fn fn, void *arg);
// Copies extra and value into `bytes`, where item->extra and item->value then point (item->key is
// `key`); never torn. FB_OK; FB_MISS; FB_ETOOBIG: their lengths in `item` say how much room it
// takes, their pointers are NULL.
FB_API FB_CHECK_RESULT int fb_store_get_copy(fb_store *store, fb_str key, int64_t now_ns,
                                             void *bytes, size_t room, fb_item *item);
// Many at once, results[i] as get() would return; `fn` gets args[i]. Faster than one by one: the
// waits for memory overlap.
FB_API void fb_store_get_many(fb_store *store, const fb_str *keys, size_t key_count,
                              int64_t now_ns, fb_item_fn fn, void *const *args, int *results);
// Says that these keys are about to be read one by one, soon: the waits for memory overlap.
FB_API void fb_store_prefetch(const fb_store *store, const fb_str *keys, size_t key_count);
// The hash of a key in this store; and a use of whatever has that hash (a reader elsewhere used it).
FB_API uint64_t fb_store_hash(const fb_store *store, fb_str key);
FB_API void fb_store_use(fb_store *store, uint64_t hash);
// How often it was read lately, as far as that is counted: from 0 to 3. 0 also where it is not there.
FB_API uint32_t fb_store_frequency(const fb_store *store, fb_str key);

// ---- writing

// Stores or replaces. FB_OK; FB_ETOOBIG (above fb_store_value_max(), or key or extra too long);
// FB_ENOMEM (room for a large value was taken by others again and again).
// *version may be NULL. A refused or failed put leaves what was there.
FB_API FB_CHECK_RESULT int fb_store_put(fb_store *store, const fb_item *item, int64_t now_ns,
                                        uint64_t *version);
// The same on a condition: add, replace, compare-and-set. FB_REFUSED: it does not hold.
typedef enum fb_store_if { FB_STORE_IF_ABSENT, FB_STORE_IF_PRESENT, FB_STORE_IF_VERSION } fb_store_if;
FB_API FB_CHECK_RESULT int fb_store_put_if(fb_store *store, const fb_item *item,
                                           fb_store_if condition, uint64_t expected_version,
                                           int64_t now_ns, uint64_t *version);
// FB_OK: it was there. FB_MISS.
FB_API FB_CHECK_RESULT int fb_store_del(fb_store *store, fb_str key, int64_t now_ns);
// Another time to expire (0: never). FB_OK, FB_MISS, FB_ENOMEM as put().
FB_API FB_CHECK_RESULT int fb_store_touch(fb_store *store, fb_str key, int64_t expires_ns,
                                          int64_t now_ns);

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
FB_API FB_CHECK_RESULT int fb_store_edit(fb_store *store, fb_str key, int64_t now_ns,
                                         fb_store_edit_fn fn, void *arg);

// ---- the whole

// Visits live items from `cursor` (0 at first), at least `count` index places or until the end;
// returns the next cursor, 0 at the end. An item there from the first call to the last is seen at
// least once, whatever else happens (Redis's SCAN guarantee). `fn` runs under the shard's lock.
FB_API uint64_t fb_store_scan(fb_store *store, uint64_t cursor, uint64_t count, int64_t now_ns,
                              fb_item_fn fn, void *arg);
// Removes every live item for which `fn` says so; returns how many. Guarantee as of one whole scan.
typedef bool (*fb_item_pick_fn)(void *arg, const fb_item *item);
FB_API uint64_t fb_store_remove_if(fb_store *store, int64_t now_ns, fb_item_pick_fn fn, void *arg);
// Removes all, however many, in a time that does not depend on how many there are. Returns how many
// there were.
FB_API uint64_t fb_store_clear(fb_store *store);

// Bounded upkeep: looks at about `item_budget` items (to the end of a segment) for expired and
// not-alive ones and frees what they held. Called now and then by whoever owns the store. Returns
// how many it removed.
FB_API uint64_t fb_store_sweep(fb_store *store, int64_t now_ns, uint64_t item_budget);
// Changes the limit at run time; shrinking evicts and gives memory back to the system.
// FB_OK; FB_EINVAL: too little for as many shards and as large segments as the store was made with
// (by default a twentieth of the first limit, or 2 MiB); FB_ENOMEM: above limit_max_bytes. Then the
// old limit holds.
FB_API FB_CHECK_RESULT int fb_store_resize(fb_store *store, uint64_t limit_bytes);

// The largest key + value that fits.
FB_API uint64_t fb_store_value_max(const fb_store *store);

typedef struct fb_store_stats {
    uint64_t items;        // expired ones not yet swept included
    uint64_t used_bytes;   // of items and their overhead, and of the index
    uint64_t limit_bytes;
    uint64_t evictions;    // live items pushed out for room
    uint64_t expirations;  // items that left by age (or as not alive)
    uint64_t puts, dels;
    uint64_t index_evictions;  // of the evictions, those for want of room in the index
} fb_store_stats;
FB_API void fb_store_stats_read(fb_store *store, fb_store_stats *stats);
// Asserts every invariant; O(size). For tests.
FB_API void fb_store_check(fb_store *store);

#ifdef __cplusplus
}
#endif

#endif
