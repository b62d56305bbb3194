// forebay/cache.h -- the cache: plain keys, declared read-through classes, invalidation, warming.
//
// Threads: every call may be made from any thread, also at the same time on one engine.
// Memory: keys, values, index and overhead are bounded by the engine's `memory` limit.
// Promise: a load that was overtaken by an invalidation is stored nowhere, and nobody who asked
// after the invalidation returned is answered with it.
// Ways: stale values while they are refreshed, and where the source fails, as of RFC 5861; early refresh
// by chance and cost (Vattani et al., "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015);
// what leaves a full memory tier: forebay/store.h.

#ifndef FOREBAY_CACHE_H
#define FOREBAY_CACHE_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_engine fb_engine;

// ---------------------------------------------------------------------------------------- values

typedef enum fb_kind { FB_KIND_BYTES, FB_KIND_JSON } fb_kind;
typedef enum fb_tier { FB_TIER_NONE, FB_TIER_MEMORY, FB_TIER_SHARED, FB_TIER_SOURCE } fb_tier;
// FRESH: within its TTL. STALE: past it, served while it is refreshed (or softly invalidated).
// FALLBACK: served because the source failed.
typedef enum fb_freshness { FB_FRESH, FB_STALE, FB_FALLBACK } fb_freshness;

typedef struct fb_value {
    fb_str data;             // the bytes; JSON is valid UTF-8 JSON text
    fb_kind kind;            // what they are; found out by looking
    fb_tier tier;            // where the answer came from
    fb_freshness freshness;  // whether its time is over
    int64_t age_ms;          // since its load (or SET) began
    int64_t ttl_ms;          // until it is no longer fresh (0 once it is not); -1: never
    uint64_t version;        // changes with each store of the key, in this process
    bool collapsed;          // of tier SOURCE: by a load that another request had begun
    void *owner;             // for fb_value_release(); NULL where the bytes are only lent
    fb_str content_type;     // as fb_set() was told; lent like the bytes; empty: none, or a copy's
} fb_value;

// Receives lent bytes: `value` is good until the function returns. Reading takes no lock: while the
// function looks, the bytes may become those of something else. Then it is called again before the
// call that takes it returns (and the last call counts), or that call reports a miss (and what was
// seen is void). So: copy them, or look at them as at any bytes, and begin anew each time;
// data.len always fits. It must not call into the engine, nor block.
typedef void (*fb_value_fn)(void *arg, const fb_value *value);

// Gives back what fb_get_copy(), fb_fetch() or fb_dedupe() handed over. A zeroed value is fine.
FB_API void fb_value_release(fb_value *value);

// ------------------------------------------------------------------------------- the shared tier
//
// With `redis.url` there is a shared tier, and what is not in memory is looked for there. Then every
// call of this header may wait for it: for as long as `redis.hard_timeout` at the most, after which
// memory alone is used. While it is away everything works in memory, and what was changed is told to
// it when it is back. On the engine's own threads (forebay.h) only who runs as a fiber (fb_run()) may
// make calls that wait; others are answered from memory, and their changes are FB_EINVAL.

// How far a change has reached, or is to have reached.
typedef enum fb_reach {
    FB_REACH_DEFAULT,  // SHARED where there is a shared tier; where that is away, LOCAL will do
    FB_REACH_LOCAL,    // in force on this node
    FB_REACH_SHARED,   // in the shared tier too: other nodes follow within `redis.max_lag`
    FB_REACH_NODES     // in force on every node that lives
} fb_reach;

enum { FB_TOKEN_SIZE = 72 };

// What became of a change.
typedef struct fb_receipt {
    fb_reach reached;     // LOCAL, SHARED or NODES
    uint32_t node_count;  // other nodes that have said that it is in force there
    uint32_t nodes_alive; // those that were asked
    char token[FB_TOKEN_SIZE];  // for fb_request.after and fb_get_after(); empty: not needed
} fb_receipt;

// ------------------------------------------------------------------------------------ plain keys

// Looks `key` up. FB_OK: `fn` was called. FB_MISS. FB_NEGATIVE: a class knows that it
// does not exist. (With these two `fn` may have been called too: what it saw is void.) Without a
// shared tier: no I/O. A stale value is refreshed in the background, where its key tells how.
FB_API FB_CHECK_RESULT int fb_get(fb_engine *engine, fb_str key, fb_value_fn fn, void *arg);
// Many keys at once: results[i] is what fb_get() returns for keys[i], and `fn` gets args[i]. Faster
// than one by one: the waits for memory overlap.
FB_API void fb_get_many(fb_engine *engine, const fb_str *keys, size_t key_count, fb_value_fn fn,
                        void *const *args, int *results);
// The same where keys are read one by one: says which are next, at most a few dozen. Never needed.
FB_API void fb_prefetch(fb_engine *engine, const fb_str *keys, size_t key_count);
// The same as fb_get() into bytes of the caller's own; release them.
FB_API FB_CHECK_RESULT int fb_get_copy(fb_engine *engine, fb_str key, fb_value *value);
// Whether it is there, without counting as a read of it. FB_OK or FB_MISS.
FB_API FB_CHECK_RESULT int fb_exists(fb_engine *engine, fb_str key);

typedef struct fb_set_options {
    int64_t ttl_ms;      // 0: the class's memory TTL where the key belongs to a class, else none
    const fb_str *tags;  // at most FB_TAGS_MAX, each of 1 to FB_TAG_LEN_MAX bytes
    size_t tag_count;
    uint64_t source_version;  // of the data (a row's version, an LSN): never goes backwards; 0: none
    fb_receipt *receipt;      // out; NULL: not wanted
    // A media type, kept beside the value until the next fb_set() (edits leave it); of the tags there
    // may be one less with it. Empty: none.
    fb_str content_type;
} fb_set_options;

enum {
    FB_TAGS_MAX = 16,
    FB_TAG_LEN_MAX = 128,  // the first byte is not 1 or 2: such tags are forebay's own
    FB_KEY_LEN_MAX = 65535,
    FB_CONTENT_TYPE_LEN_MAX = 120
};

// Stores `value` under `key` and overtakes loads of it that are under way. JSON is detected.
// FB_ETOOBIG: larger than one value may be, or the key than FB_KEY_LEN_MAX. FB_EINVAL: a ttl below 0,
// or what `tags` and `content_type` must not be. FB_ENOMEM. FB_REFUSED: source_version is older than
// that of what is there, or than an invalidation allows. `options` may be NULL.
FB_API FB_CHECK_RESULT int fb_set(fb_engine *engine, fb_str key, fb_str value,
                                  const fb_set_options *options);
// FB_OK: it was there and is gone. FB_MISS. Overtakes loads either way.
FB_API FB_CHECK_RESULT int fb_del(fb_engine *engine, fb_str key);

// One atomic read-modify-write of a key; the base of INCR, APPEND, SET NX, GETDEL, EXPIRE …
typedef enum fb_edit_action { FB_EDIT_KEEP, FB_EDIT_PUT, FB_EDIT_DELETE, FB_EDIT_EXPIRE } fb_edit_action;
typedef struct fb_edit {
    bool found;             // in: whether the key is there; then:
    fb_value value;         // in: what it holds, lent
    int64_t expires_ms;     // in and out, Unix time: when it goes; -1: never
    fb_edit_action action;  // out: KEEP (also as it comes in), PUT `data`, DELETE, or set EXPIRE only
    fb_str data;            // out, for PUT: the new bytes, good until fb_edit_key() returns
} fb_edit;
// Decides; called with the key locked, so: short, no calls into the engine. It may be called again with
// what is there then: the last call counts. What it returns is what fb_edit_key() returns; after an
// error (< 0) nothing is changed.
typedef int (*fb_edit_fn)(void *arg, fb_edit *edit);
FB_API FB_CHECK_RESULT int fb_edit_key(fb_engine *engine, fb_str key, fb_edit_fn fn, void *arg);

// Adds `delta` to the integer at `key` (absent: 0), keeping its TTL. FB_ETYPE: it holds no 64-bit
// integer. FB_ERANGE: it would overflow.
FB_API FB_CHECK_RESULT int fb_incr(fb_engine *engine, fb_str key, int64_t delta, int64_t *result);
// The key goes in `ttl_ms` (<= 0: at once; -1 is not "never": see fb_persist). FB_OK or FB_MISS.
FB_API FB_CHECK_RESULT int fb_expire(fb_engine *engine, fb_str key, int64_t ttl_ms);
FB_API FB_CHECK_RESULT int fb_persist(fb_engine *engine, fb_str key);
// FB_OK with the time left (-1: never expires), or FB_MISS.
FB_API FB_CHECK_RESULT int fb_ttl(fb_engine *engine, fb_str key, int64_t *ttl_ms);

// Visits keys from `cursor` (0 at first) on, at least `count` places of the index; returns in
// *next where to go on, 0 at the end. A key that is there from the first call to the last is seen
// at least once. `match` is a glob as in Redis; an empty one matches all.
typedef void (*fb_key_fn)(void *arg, fb_str key);
FB_API FB_CHECK_RESULT int fb_scan(fb_engine *engine, uint64_t cursor, uint64_t count, fb_str match,
                                   fb_key_fn fn, void *arg, uint64_t *next);
FB_API uint64_t fb_count(fb_engine *engine);
// The most bytes that a key and its value may have together: what is larger is FB_ETOOBIG.
FB_API uint64_t fb_value_max(fb_engine *engine);

// --------------------------------------------------------------------------------------- fetching

typedef struct fb_param {
    fb_str name;
    fb_str value;
} fb_param;

// What a loader is asked for, and what it answers. Loaders run on the engine's worker threads,
// several at once; they may block until `deadline_ns` (monotonic), after which nobody waits and what
// they bring is not kept: 30 s or three times the class's hard time-out, whichever is longer, or
// more where a caller waits longer. A caller whose time is over does not end the load.
typedef struct fb_load {
    fb_str class_name;
    fb_str key;
    const fb_param *params;
    size_t param_count;
    int64_t deadline_ns;
} fb_load;

typedef struct fb_loaded fb_loaded;
// Each copies its bytes. fb_loaded_value() at most once; fb_loaded_tag() up to FB_TAGS_MAX times.
// FB_EINVAL: a second value; a tag that is empty, too long, one too many (those of the class count)
// or begins with byte 1, which is forebay's own.
FB_API FB_CHECK_RESULT int fb_loaded_value(fb_loaded *loaded, fb_str data);
FB_API FB_CHECK_RESULT int fb_loaded_tag(fb_loaded *loaded, fb_str tag);
FB_API void fb_loaded_ttl(fb_loaded *loaded, int64_t ttl_ms);  // instead of the class's
FB_API void fb_loaded_uncacheable(fb_loaded *loaded);          // hit-for-miss
FB_API void fb_loaded_version(fb_loaded *loaded, uint64_t source_version);
FB_API void fb_loaded_error(fb_loaded *loaded, fb_str text);   // detail for a result < 0

// FB_OK after fb_loaded_value(); FB_NEGATIVE: there is no such thing; < 0: it failed.
typedef int (*fb_load_fn)(void *arg, const fb_load *load, fb_loaded *loaded);

typedef struct fb_request {
    fb_str class_name;
    const fb_param *params;
    size_t param_count;
    int64_t timeout_ms;   // how long this caller waits; 0: the class's hard time-out
    bool refresh;         // do not answer from the cache: load, store, answer
    fb_load_fn loader;    // instead of the class's source; NULL: the class's source
    // A loader may run after its caller has been answered: he ran out of time, or took something
    // stale that it refreshes. So the argument must stay good until `loader_free` is called with it,
    // which happens once, on any thread, whatever comes of the request and whether the loader ran
    // or not; where that is NULL, until the engine is closed.
    void *loader_arg;
    void (*loader_free)(void *arg);
    // The token of a receipt: the answer is not older than that change. Empty: no such wish.
    fb_str after;
} fb_request;

// Answers from memory, or joins or starts the one load of that key, and waits for it.
// FB_OK: release *value. FB_NEGATIVE. FB_ENOCLASS, FB_EINVAL (a parameter is missing, unknown or
// given twice), FB_ETIMEDOUT, FB_EOVERLOAD, FB_ESOURCE, FB_EDENIED, FB_ECLOSED, and what a loader
// returned (< 0); `error` (may be NULL) says more. Must not be called on an engine's own threads.
FB_API FB_CHECK_RESULT int fb_fetch(fb_engine *engine, const fb_request *request, fb_value *value,
                                    fb_error *error);

// The same without waiting. FB_OK or FB_NEGATIVE or an error at once (`done` was called), or
// FB_PENDING: `done` is called once, on the calling thread's loop where that is one of the engine's
// (forebay.h), else on any thread of the engine; perhaps before this returns. What is not answered
// when the engine closes is answered on the thread that closes it.
// `value` is lent, and NULL unless `result` is FB_OK. `error` is NULL unless result < 0. `done` may
// call into the engine, but not block.
typedef void (*fb_fetch_fn)(void *arg, int result, const fb_value *value, const fb_error *error);
FB_API FB_CHECK_RESULT int fb_fetch_start(fb_engine *engine, const fb_request *request,
                                          fb_fetch_fn done, void *arg);

// Many at once, each as fb_fetch_start() with args[i]: memory is asked for all of them together, and
// what has to be loaded gathers in the batches that its class has. One's failure is not another's.
FB_API void fb_fetch_start_many(fb_engine *engine, const fb_request *requests, size_t count,
                                fb_fetch_fn done, void *const *args);

// The key that a request's parameters make: `fn` is called with it. FB_OK, FB_ENOCLASS, FB_EINVAL,
// FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_fetch_key(fb_engine *engine, const fb_request *request, fb_key_fn fn,
                                        void *arg, fb_error *error);

// A caller's own work, to be done once for all who ask for the same at the same time.
typedef struct fb_once {
    fb_str key;
    int64_t window_ms;    // for how long after it the outcome is shared; 0: not at all
    int64_t timeout_ms;   // how long this caller waits; 0: 30 s
    fb_load_fn loader;    // the work; as in fb_request:
    void *loader_arg;
    void (*loader_free)(void *arg);
} fb_once;

// Runs the loader once for all who ask for the key while it runs, and shares the outcome with those
// who ask within the window. Results as fb_fetch(). The loader's load->key, and the key to
// invalidate, is "dedupe:" and the key.
FB_API FB_CHECK_RESULT int fb_dedupe(fb_engine *engine, const fb_once *once, fb_value *value,
                                     fb_error *error);

// ----------------------------------------------------------------------------------- invalidation

typedef enum fb_scope {
    FB_SCOPE_KEY,
    FB_SCOPE_PATTERN,    // a glob as in Redis: * ? [a-z] [^a] and backslash
    FB_SCOPE_TAG,
    FB_SCOPE_CLASS,
    FB_SCOPE_NAMESPACE,  // every class of that namespace
    FB_SCOPE_ALL
} fb_scope;

typedef struct fb_invalidation {
    fb_scope scope;
    fb_str name;  // the key, pattern, tag, class or namespace; empty for ALL
    bool soft;    // make it stale instead of gone (nothing, where the class allows no stale answer)
} fb_invalidation;

// When it returns, no read that begins afterwards is answered with what was there before.
// *removed (may be NULL): entries that left, or -1 where that takes effect without visiting them
// (tag, class, namespace). FB_ENOCLASS: no such class or namespace.
FB_API FB_CHECK_RESULT int fb_invalidate(fb_engine *engine, const fb_invalidation *what,
                                         int64_t *removed);

typedef struct fb_invalidate_options {
    fb_reach reach;
    int64_t timeout_ms;       // for FB_REACH_NODES; 0: 2 s
    uint64_t source_version;  // KEY: loads that report an older one are not stored; 0: none
    int64_t hold_ms;          // KEY: nothing is stored under it so long, or until it is invalidated
                              // without: for a transaction that is about to change it
} fb_invalidate_options;

// The same, and how far it is to reach (without a shared tier this node is all there is: then
// every reach is LOCAL, and FB_OK). FB_REFUSED: it did not reach that far (*receipt: how far); it
// is in force on this node, and told to the others when they are reached. FB_EINVAL: a time below 0,
// or what is of KEY alone with another scope. FB_ETOOBIG: the name. `options`, `removed` and `receipt`
// may be NULL.
FB_API FB_CHECK_RESULT int fb_invalidate_to(fb_engine *engine, const fb_invalidation *what,
                                            const fb_invalidate_options *options, int64_t *removed,
                                            fb_receipt *receipt);

// As fb_get_copy(), but not older than the change that `token` is from. FB_EINVAL: it is no token.
FB_API FB_CHECK_RESULT int fb_get_after(fb_engine *engine, fb_str key, fb_str token,
                                        fb_value *value);

// ---------------------------------------------------------------------------------- notices of changes
//
// For who keeps copies of what he read, and wants to hear when one is no longer what this node's
// memory tier would answer. Be registered for a key before it is read: what changes after that is told.

typedef enum fb_change_kind {
    FB_CHANGE_SET,       // somebody stored, edited, deleted or invalidated it, here or elsewhere
    FB_CHANGE_FILLED,    // a load, or the shared tier, brought a value where there was none
    FB_CHANGE_REPLACED,  // the same, where there was one
    FB_CHANGE_LEFT,      // it left memory by age, or for want of room
    FB_CHANGE_MATCHING,  // what matches the pattern `name` was invalidated
    FB_CHANGE_SOME,      // some keys were invalidated without being visited (by tag, class …):
                         // fb_key_state_read() tells which of those that matter
    FB_CHANGE_ALL,       // everything was invalidated
    FB_CHANGE_UNSURE     // the shared tier cannot be followed just now: any key may have changed
                         // there; told again and again while that is so
} fb_change_kind;

typedef struct fb_change {
    fb_change_kind kind;
    fb_str name;  // the key or the pattern, lent; empty for SOME, ALL and UNSURE
    uint64_t version;  // of FILLED and REPLACED: as fb_value.version of what is there now; else 0
} fb_change;

// Called after the change is in force, on the thread that made it, perhaps within a lock of the memory
// tier: so it is to be short, and must call nothing of the engine but fb_loop_post() and, for MATCHING,
// SOME, ALL and UNSURE, fb_key_state_read(). Several threads may call at the same time. A change may be
// told more than once, and one that changed nothing may be told.
typedef void (*fb_change_fn)(void *arg, const fb_change *change);
enum { FB_CHANGE_WATCHERS_MAX = 8 };
// From its return on `fn` hears of every change. FB_EFULL: FB_CHANGE_WATCHERS_MAX are there. While
// nobody watches, a change costs one load of a flag.
FB_API FB_CHECK_RESULT int fb_changes_watch(fb_engine *engine, fb_change_fn fn, void *arg);
// From its return on `fn` is not called with `arg` any more. Not from within such a call.
FB_API void fb_changes_unwatch(fb_engine *engine, fb_change_fn fn, void *arg);

// What tells two states of one key apart, in the memory tier alone: no I/O, no use of it is counted.
// Within a notice of a change it does not wait for who writes there, and a key may look as if it were gone.
typedef struct fb_key_state {
    bool found;        // fb_get() would answer with it; then:
    uint64_t version;  // as fb_value.version
    int64_t until_ns;  // monotonic; when it goes; INT64_MAX: never
    bool fresh;        // within its TTL, or known not to exist and within the TTL of that
} fb_key_state;
FB_API void fb_key_state_read(fb_engine *engine, fb_str key, fb_key_state *state);

// ---------------------------------------------------------------------- leases, for cache-aside use
//
// For callers that load values themselves and keep them under keys of their own: of all who miss, one
// gets a lease; a fill without it is refused; an invalidation takes it away. (Nishtala et al.,
// "Scaling Memcache at Facebook", NSDI 2013, 3.2.1.)

// FB_OK: *value. FB_NEGATIVE. FB_MISS: *token is your lease for `lease_ms` (0: 10 s): load, then
// fb_lease_fill(). FB_PENDING: somebody else has it: wait, and ask again.
FB_API FB_CHECK_RESULT int fb_lease_get(fb_engine *engine, fb_str key, int64_t lease_ms,
                                        fb_value *value, uint64_t *token);
// FB_OK. FB_REFUSED: the lease is gone; the value is not stored. As fb_set() otherwise.
FB_API FB_CHECK_RESULT int fb_lease_fill(fb_engine *engine, fb_str key, uint64_t token,
                                         fb_str value, const fb_set_options *options);

// ---------------------------------------------------------------------------------------- warming

// Loads in the background, behind all that callers wait for, and no faster than the source takes it.
// With params: that one. Without: what the class declares under `warm`. *started (may be NULL): how
// many loads were lined up by now; those of a `warm.query`, which runs in the background too, are
// not among them.
FB_API FB_CHECK_RESULT int fb_warm(fb_engine *engine, fb_str class_name, const fb_param *params,
                                   size_t param_count, uint64_t *started, fb_error *error);
// Lines up to `count` of the most-read keys of a class that are not fresh (0: all known).
FB_API FB_CHECK_RESULT int fb_warm_top(fb_engine *engine, fb_str class_name, uint32_t count,
                                       uint64_t *started);

// -------------------------------------------------------------------------------------- explaining

typedef struct fb_explanation {
    fb_tier tier;             // FB_TIER_NONE: not there
    bool negative;            // "known not to exist"
    bool hit_for_miss;        // "known not cacheable"
    fb_freshness freshness;   // of what is there, as is the rest
    fb_kind kind;
    char class_name[64];      // whose it is, or would be; empty: a plain key
    int64_t age_ms;           // since its load (or SET) began
    int64_t fresh_for_ms;     // -1: for ever
    int64_t gone_in_ms;       // -1: never; until then it may serve as stale or fallback
    int64_t load_cost_us;     // smoothed time of its loads; 0: not loaded
    uint64_t value_bytes;
    uint32_t frequency;       // of reads lately, from 0 to 3: what stays in memory goes by it
    bool loading;             // a load of it is under way
    char last_miss[64];       // why the last read of it missed, as far as remembered; else empty
    size_t tag_count;
    char tags[FB_TAGS_MAX][FB_TAG_LEN_MAX + 1];
} fb_explanation;
// What is known about `key` in this process's memory; it does not count as a read of it. FB_OK, also
// where there is nothing (tier FB_TIER_NONE); FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_explain(fb_engine *engine, fb_str key, fb_explanation *explanation);

#ifdef __cplusplus
}
#endif

#endif
