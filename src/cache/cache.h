// cache/cache.h -- what all threads share of a cache: entries with their freshness, tags, loads
// under way, figures. The flights (cache/flight.h) stand on it.
//
// Reads answer on the calling thread. Writes and invalidations take effect on the calling thread
// too: they doom the loads under way that they overtake, then change the store. A fill stores only
// a load that is not doomed, under the same lock that dooms; so no order of the two leaves an old
// value behind.
//
// No call counts anything by itself (but early_wasted): fb_cache_count() is for those who know what
// the call was for.
// Time: now_ns, monotonic. Threads: every call may overlap with every other but free().

#ifndef FB_CACHE_CACHE_H
#define FB_CACHE_CACHE_H

#include <forebay/cache.h>
#include <forebay/stats.h>

#include "base/rng.h"
#include "cache/class.h"
#include "cache/coherent.h"
#include "cache/loaded.h"
#include <forebay/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_cache fb_cache;

// The file that the memory tier lies in, and what was found there.
typedef struct fb_cache_region {
    int fd;         // open for reading and writing
    uint64_t boot;  // fb_outside_boot()
    bool keep;      // with the entries that are in it
    fb_error *error;
    // out, with `keep`:
    uint64_t entries;         // that are there still
    uint64_t removed;         // whose class is gone or another now, or whose key has another owner
    uint32_t shards_dropped;  // whose writer was killed in the middle of a change
} fb_cache_region;

typedef struct fb_cache_options {
    uint64_t memory_bytes;  // for the store
    uint32_t tag_slots;     // a power of two; 0: 16,384
    uint64_t seed;
    fb_catalog *catalog;  // taken over (not after an error), freed with the cache
    fb_cache_region *region;  // NULL: private memory
    uint32_t partitions;      // of the shared tier (cache/coherent.h); 0: there is none
    int64_t now_ns;           // with region->keep
} fb_cache_options;

// FB_OK, FB_ENOMEM. With a region: FB_EIO; FB_EINVAL, with region->keep: what the file holds cannot
// be kept, region->error says why, and it is untouched. Then ids of equal names are to be those of
// the region (fb_outside_class_id()): what classes of other ids or prints left is removed.
FB_CHECK_RESULT int fb_cache_new(const fb_cache_options *options, fb_cache **cache);
void fb_cache_free(fb_cache *cache);
const fb_catalog *fb_cache_catalog(const fb_cache *cache);
// Puts another catalogue in force; the old one lives on until the cache is freed, since loads and
// readers may still hold its classes. Ids of equal names are equal (the caller saw to it). Dooms
// the loads under way, and those begun later with a class from before; drops entries whose key now
// belongs to another class, or whose class moved to another namespace, or gives other keys or
// values now (fb_class_print()). FB_ENOMEM: nothing changed.
FB_CHECK_RESULT int fb_cache_swap(fb_cache *cache, fb_catalog *catalog);
fb_store *fb_cache_store(fb_cache *cache);
// Changes with the classes (cache/outside.h).
uint64_t fb_cache_generation(const fb_cache *cache);

// ---- reading

typedef enum fb_find {
    FB_FIND_NOTHING,
    FB_FIND_FRESH,
    FB_FIND_EARLY,        // fresh, and this reader is the one to begin an early refresh
    FB_FIND_STALE,        // may be served while it is refreshed
    FB_FIND_FALLBACK,     // may be served only if the source fails
    FB_FIND_HIT_FOR_MISS  // known not cacheable: load without joining a flight
} fb_find;

// What the read found: all but `bytes`, which only the callback sees.
typedef struct fb_found {
    fb_find find;
    bool negative;
    fb_value value;  // data is lent during the callback and empty after it
    int64_t fresh_until_ns, stale_until_ns, dead_at_ns;  // INT64_MAX: never
    uint32_t cost_us;
    uint16_t class_id;
} fb_found;

// Looks a key up and judges what is there (time, tags, class, clear). `fn` (may be NULL) is called
// with the bytes unless NOTHING or negative, possibly more than once. `rng` decides early refresh;
// NULL: never EARLY. Counts nothing: the callers know what kind of read it was.
fb_find fb_cache_read(fb_cache *cache, fb_str key, int64_t now_ns, fb_rng *rng, fb_value_fn fn,
                      void *arg, fb_found *found);
// Many at once, without early refreshes; `fn` gets args[i].
enum { FB_CACHE_MANY_MAX = 32 };
void fb_cache_read_many(fb_cache *cache, const fb_str *keys, size_t key_count, int64_t now_ns,
                        fb_value_fn fn, void *const *args, fb_found *found);
// The same without counting as a use (EXISTS, TTL, explain).
fb_find fb_cache_peek(fb_cache *cache, fb_str key, int64_t now_ns, fb_found *found);
// Visits keys that a plain read would answer with, as fb_scan(); returns the next cursor. An empty
// `match` matches all. `fn` must not call into the cache.
uint64_t fb_cache_scan(fb_cache *cache, uint64_t cursor, uint64_t count, fb_str match,
                       int64_t now_ns, fb_key_fn fn, void *arg);

// ---- callers' own values (plain SET, DEL, INCR …): each dooms the loads of that key first

// ttl_ns 0: the class's memory TTL (the plain class has none) and stale time, < 0: no TTL. A TTL of
// the caller's own is literal: the key goes then. FB_OK; FB_ETOOBIG; FB_EINVAL (tags); FB_ENOMEM.
FB_CHECK_RESULT int fb_cache_put(fb_cache *cache, fb_str key, fb_str value, int64_t ttl_ns,
                                 const fb_str *tags, size_t tag_count, int64_t now_ns);
// FB_OK: it was there, fresh or stale. FB_MISS: it was not, or negative.
FB_CHECK_RESULT int fb_cache_del(fb_cache *cache, fb_str key, int64_t now_ns);
// As fb_edit_key(); `wall_ms` is the Unix time now, to turn expires_ms into monotonic time and
// back. What is negative, stale or invalidated counts as not there. A key that is not there is
// shown with the expiry that its class would give it; expires_ms left as it was shown changes no
// time.
FB_CHECK_RESULT int fb_cache_edit(fb_cache *cache, fb_str key, int64_t now_ns, int64_t wall_ms,
                                  fb_edit_fn fn, void *arg);

// ---- invalidation. *removed: as fb_invalidate().
FB_CHECK_RESULT int fb_cache_invalidate(fb_cache *cache, const fb_invalidation *what,
                                        int64_t now_ns, int64_t *removed);

// ---- loads under way, for the flights

// One load of one key, from before its source is asked until its fill. Registered first, then the
// stamps are read, then the source is asked: an invalidation either sees it here, or came before
// the source was asked.
typedef struct fb_ticket fb_ticket;
FB_CHECK_RESULT int fb_cache_begin(fb_cache *cache, const fb_class *class_, fb_str key,
                                   int64_t now_ns, fb_ticket **ticket);
// Says that it is an early refresh: the fill after it then counts, in `early_wasted`, if nobody
// read what this one brought.
void fb_ticket_mark_early(fb_ticket *ticket);
// Whether an invalidation of its key, of a pattern, its class or namespace, or of everything, has
// overtaken it; such a load must not be joined any more. (Its tags are known only when it is there:
// fb_cache_answers().)
bool fb_ticket_doomed(const fb_ticket *ticket);
// The tag sequence as it was when the load began, and as it is now (for those who join).
uint64_t fb_ticket_seq(const fb_ticket *ticket);
uint64_t fb_cache_seq(const fb_cache *cache);
// Whether a reader who began at `reader_seq` may be answered with what this load brought: false
// where one of its tags (class and namespace included) was invalidated after the load began and
// before the reader did, as far as can be told (never true by mistake).
bool fb_cache_answers(const fb_cache *cache, const fb_ticket *ticket, const fb_loaded *loaded,
                      uint64_t reader_seq);
// Stores what was loaded (result FB_OK or FB_NEGATIVE), unless doomed or one of its tags was
// invalidated since: FB_OK (*value_info: times and version as stored; ttl_ms 0: not kept),
// FB_DOOMED, FB_ETOOBIG, FB_ENOMEM. After the last two what was there is gone, too. Index tags are
// added here. `cost_us` is smoothed with what was there. `jitter_unit` in [0, 1) shortens the
// lifetimes by that part of the class's jitter. Also FB_DOOMED: the key is held, or fenced.
FB_CHECK_RESULT int fb_cache_fill(fb_cache *cache, fb_ticket *ticket, const fb_loaded *loaded,
                                  uint32_t cost_us, double jitter_unit, int64_t now_ns,
                                  fb_value *value_info);
// The load is over, but the ticket is kept to hear of invalidations, from now on also of `tags`: it
// does not count as loading.
void fb_ticket_rest(fb_ticket *ticket, const fb_loaded *tags);
// Stores a caller's own value under a ticket that was begun before the shared tier was told of it
// (SET, ADD), unless that was doomed meanwhile: FB_OK, FB_DOOMED, FB_ETOOBIG, FB_ENOMEM. `fresh_ns`:
// how long it is fresh from now; INT64_MAX: no end; it is gone then. The tags of the key are added.
// Loads of the key that are under way are doomed, whatever the result, and where it is not FB_OK
// nothing is left of the key: they may bring what was there before.
FB_CHECK_RESULT int fb_cache_put_under(fb_cache *cache, fb_ticket *ticket, const fb_loaded *value,
                                       int64_t fresh_ns, int64_t now_ns);
// Ends it (after the fill, or without one).
void fb_cache_end(fb_cache *cache, fb_ticket *ticket);
// Whether any load of `key` is under way (explain).
bool fb_cache_loading(fb_cache *cache, fb_str key);

FB_CHECK_RESULT int fb_cache_explain(fb_cache *cache, fb_str key, int64_t now_ns,
                                     fb_explanation *explanation);
// Why a read of `key` missed: remembered for the last few thousand keys that missed.
typedef enum fb_miss_reason {
    FB_MISS_UNKNOWN,
    FB_MISS_NEVER_LOADED_OR_EVICTED,
    FB_MISS_EXPIRED,
    FB_MISS_INVALIDATED,
    FB_MISS_DELETED,
    FB_MISS_TAG,
    FB_MISS_CLEARED,
    FB_MISS_UNCACHEABLE,
    FB_MISS_TOO_BIG,
    FB_MISS_SOURCE_FAILED
} fb_miss_reason;
void fb_cache_note_miss(fb_cache *cache, fb_str key, fb_miss_reason reason);
// A read of a class's key found nothing to answer with: notes it, and counts why.
void fb_cache_missed(fb_cache *cache, uint16_t class_id, fb_str key);

// ---- the shared tier (cache/coherent.h). Where there is none: partition 0, always coherent.

uint32_t fb_cache_partitions(const fb_cache *cache);
uint32_t fb_cache_partition_of(const fb_cache *cache, fb_str key);
// How far log `log` (a partition, or the wide one: fb_cache_partitions()) is applied here.
void fb_cache_mark(const fb_cache *cache, uint32_t log, fb_mark *mark);
// The follower's alone:
void fb_cache_set_mark(fb_cache *cache, uint32_t log, const fb_mark *mark);
// The log was applied to its end at `until_ns` - max_lag: believed until `until_ns`.
void fb_cache_set_coherent(fb_cache *cache, uint32_t log, int64_t until_ns);
// Own changes of a log that memory has before the log, or whose record is passed over before memory
// has them: so many more, or less (any thread). Whoever goes on with the memory when this process is
// gone, or has lost them, forgets the marks of these logs first: their partitions are flushed then.
void fb_cache_unsure(fb_cache *cache, uint32_t log, int delta);
void fb_cache_forget_unsure(fb_cache *cache);
// Whether what is in memory of `key` is coherent now: its partition's log and the wide one.
bool fb_cache_is_coherent(const fb_cache *cache, fb_str key, int64_t now_ns);
// How many partitions are not (all of them, where the wide log is not).
uint32_t fb_cache_degraded(const fb_cache *cache, int64_t now_ns);
// Until when all of them are: the smallest of what set_coherent() was told. INT64_MIN: of some log
// there has been no proof yet.
int64_t fb_cache_coherent_until(const fb_cache *cache);
// Drops everything of a partition and dooms its loads, whatever its size at the same price; of the
// wide log: everything there is.
void fb_cache_flush(fb_cache *cache, uint32_t log, int64_t now_ns);
// Until `until_ns`, or the next invalidation of `key` by its name, put() or del(), fills of it are
// FB_DOOMED; what is there goes. until_ns 0: ends a hold. Bounded: beyond some thousand holds, those of a
// partition hold all its keys.
void fb_cache_hold(fb_cache *cache, fb_str key, int64_t until_ns, int64_t now_ns);
// Ends a hold; what is there stays.
void fb_cache_lift(fb_cache *cache, fb_str key);
// Source versions older than `fence` are not stored under `key` for the next hour (FB_DOOMED); values
// without one are. What is there stays: fence, then invalidate. Bounded the same way.
void fb_cache_fence(fb_cache *cache, fb_str key, uint64_t fence, int64_t now_ns);
// Whether a value of that source version (0: none) may be stored: neither held nor fenced.
bool fb_cache_admits(fb_cache *cache, fb_str key, uint64_t source_version, int64_t now_ns);
// Whether `key` itself is held, not its partition: then no other tier is to be asked for it either.
bool fb_cache_held(fb_cache *cache, fb_str key, int64_t now_ns);

// ---- notices of changes (cache/watchers.h)

FB_CHECK_RESULT int fb_cache_watch(fb_cache *cache, fb_change_fn fn, void *arg);
void fb_cache_unwatch(fb_cache *cache, fb_change_fn fn, void *arg);
// That the shared tier cannot be followed at present.
void fb_cache_tell_unsure(fb_cache *cache);
void fb_cache_key_state(fb_cache *cache, fb_str key, int64_t now_ns, fb_key_state *state);

// ---- figures

typedef enum fb_counter {
#define FB_COUNTER_ENUM(field, help) FB_COUNTER_##field,
    FB_CACHE_COUNTERS(FB_COUNTER_ENUM)
#undef FB_COUNTER_ENUM
    FB_COUNTER_COUNT
} fb_counter;
typedef enum fb_timing {
    FB_TIMING_HIT,
    FB_TIMING_MISS,
    FB_TIMING_LOAD,
    FB_TIMING_SHARED,
    FB_TIMING_COUNT
} fb_timing;

void fb_cache_count(fb_cache *cache, uint16_t class_id, fb_counter counter, uint64_t amount);
void fb_cache_time(fb_cache *cache, uint16_t class_id, fb_timing timing, int64_t ns);
// Fills counters, latencies, names, TTLs, entries and memory; the rest is the engine's.
FB_CHECK_RESULT int fb_cache_stats(fb_cache *cache, fb_stats *stats);
// The same over a window that ends now.
FB_CHECK_RESULT int fb_cache_stats_over(fb_cache *cache, fb_window window, int64_t now_ns,
                                        fb_stats *stats);
// To be called at least every 5 s for windows to be what they say; there is nothing to do for it in
// between.
void fb_cache_stats_tick(fb_cache *cache, int64_t now_ns);
void fb_cache_stats_reset(fb_cache *cache);

// ---- the most-read keys of a class: a bounded sketch (Space-Saving, Metwally et al. 2005), fed
// with a sample of the reads. fb_cache_read() feeds nothing; the callers do, one read in so many.
void fb_cache_note_read(fb_cache *cache, const fb_class *class_, fb_str key);
typedef void (*fb_hot_fn)(void *arg, fb_str key, uint64_t reads);
// The most read first.
void fb_cache_hot(fb_cache *cache, uint16_t class_id, uint32_t count, fb_hot_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
