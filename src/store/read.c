// Reading without a lock.
//
// A reader of a key reads its shard's geometry (how many buckets there are, and a count of the
// changes of that) and the version of the key's chain, searches the chain, uses the record it
// finds, and then reads version and geometry again. Are both as before, and was the version even,
// then nothing it looked at changed meanwhile, and what it found is what was there at one moment.
// If not, it starts over; after some tries it takes the shard's lock, so that a storm of writers
// cannot starve it. A reader of somebody else's region has no lock, and reports a miss, which is
// always allowed.
//
// Why this holds on any machine (Boehm, "Can seqlocks get along with programming language memory
// models?", MSPC 2012, whose second form this is):
//
//   writer  W1 version = odd              reader  R1 g = geometry (acquire)
//           W2 fence (release)                    R2 v = version (acquire); even
//           W3 slots, bytes (relaxed)             R3 slots, bytes (relaxed)
//           W4 version = even (release)           R4 fence (acquire)
//                                                 R5 version == v and geometry == g
//
// (a) R3 sees nothing newer than R5 does. If R3 reads anything that a writer stored at W3, the
//     fence W2 is before that store and R4 after that load, so W1 happened before R5, and R5 reads
//     another version. Bytes of a record are written again only after the slot that led to it was
//     changed, with a version of its own: at once, when they are marked dead, or after segments
//     went through the pool to another thread, whose lock orders W1 before it, and which fences
//     before it writes (store/record.c). So it does not matter who writes them, or what.
// (b) R3 sees nothing older than v. R2 reads what W4 released, so all before W4 happened before R3.
// (c) The chain is the right one. A split or merge makes the versions of both chains odd, then
//     changes the geometry (release), then moves slots. Who read the new geometry at R1 finds an
//     odd version, or the end of the move; who read the old one, and after that a version from the
//     end of the move, reads the new geometry at R5, for R2 acquired it. A page of the index is
//     given back to the system (and reads as zeroes, version included) only after the geometry no
//     longer covers it; a version may come round to the same number there, but the geometry's count
//     does not. A reset says "no buckets" before it touches anything else.
//
// Versions and counts of changes have 31 and 32 bits: a reader would have to sleep through 2^31
// changes of one chain, to the number, to be misled.
//
// Every call is then linearizable: what R5 confirms held at the moment of R2 (all later changes
// would show), which lies within the call. Also "not there" and "expired" are believed only when
// they are confirmed.
//
// Until then what is read may be anything. So the layout comes from struct fb_store and not from
// the region, places and lengths are checked before they are used, what is checked is read once (by
// loads that no compiler repeats), and a chain is followed for so many links only. That makes the
// same code safe for a region that somebody hostile has written. A page given back reads as zeroes;
// a reader that comes too late may make it resident again: that is rare, a page, and no error.
//
// A use of an item is a compare-and-swap of its slot, which does not change the version: it fails
// if the slot is no longer what was read, and the bits it changes are nobody's business but the
// eviction's.
//
// A hit touches the shard's line (in the processor's nearest cache, for it rarely changes), one
// index line and the record's lines, of which all are asked for before the first is looked at.
//
// What is lent is checked before, too, so that what a function is shown was there: only while it
// looks can the bytes become those of something else. (The second check alone would be enough for
// the result; but a function may take room for the length it is told.)

#include <forebay/store.h>

#include "store/bucket.h"
#include "store/look.h"
#include "store/race.h"
#include "store/record.h"

#include "base/hash_inline.h"
#include "base/mem.h"

enum {
    TRIES = 12,       // before the lock, or before a reader of another process gives up
    PAUSES_MAX = 64,  // between two tries
    HOPS_MAX = 64,    // links of a chain; none is nearly so long
    LATER = -1000,    // no result: what was read may be torn
    BATCH = 16        // keys whose waits for memory overlap
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

// A key, and how far its search has come.
typedef struct search {
    const fb_store *store;
    fb_str key;
    uint64_t hash;
    fb_shard *shard;
    uint64_t geometry;
    fb_bucket *head;
    uint32_t version;
    uint32_t match;  // the head's slots with the key's tag
    bool locked;     // nothing can change: everything is believed
} search;

// A record as it was found; everything that was checked is here, and not read again.
typedef struct finding {
    _Atomic uint64_t *slot;
    uint64_t word;
    const char *rest;  // extra, then value, in the region
    int64_t expires_ns;
    fb_record header;
} finding;

ALWAYS_INLINE uint64_t hash_of(const fb_store *store, fb_str key) {
    return fb_hash64_inline(key, store->seed);
}

ALWAYS_INLINE uint64_t shard_number(const search *ask) {
    return (uint64_t)(ask->shard - ask->store->shards);
}

// R1. False: the shard is being reset (or the region is no honest one).
ALWAYS_INLINE bool aim(search *ask) {
    const fb_store *store = ask->store;
    ask->geometry = atomic_load_explicit(&ask->shard->geometry, memory_order_acquire);
    uint64_t count = ask->geometry & UINT32_MAX;
    if (count - 1 >= store->buckets_size / FB_LINE) {
        return false;
    }
    fb_bucket *buckets =
        (fb_bucket *)(void *)(store->base + fb_shard_buckets_at(store, shard_number(ask)));
    ask->head = buckets + fb_split_address(ask->hash, count);
    return true;
}

// R2, and the first look at the head.
ALWAYS_INLINE bool begin(search *ask) {
    ask->version = atomic_load_explicit(&ask->head->version, memory_order_acquire);
    ask->match = fb_bucket_match(ask->head, fb_slot_make(ask->hash, 0, 0));
    return ask->version % 2 == 0;
}

// R4 and R5.
ALWAYS_INLINE bool believed(const search *ask) {
    if (ask->locked) {
        return true;
    }
    fb_race_after_reads();
    return atomic_load_explicit(&ask->head->version, memory_order_relaxed) == ask->version &&
           atomic_load_explicit(&ask->shard->geometry, memory_order_relaxed) == ask->geometry;
}

ALWAYS_INLINE void fetch_record(const char *record) {
    __builtin_prefetch(record + FB_LINE);
    __builtin_prefetch(record + 2 * FB_LINE);
}

// Whether the slot leads to the key's record. Nothing outside of the mapping is read.
ALWAYS_INLINE bool matches(const search *ask, _Atomic uint64_t *slot, finding *found) {
    const fb_store *store = ask->store;
    uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
    uint64_t offset = fb_slot_offset(word);
    if (offset < store->log_at || offset > store->size - sizeof(fb_record)) {
        return false;
    }
    const char *record = (const char *)store->base + offset;
    fetch_record(record);
    fb_record *header = &found->header;
    uint64_t words[] = {fb_race_word(record), fb_race_word(record + sizeof(uint64_t))};
    memcpy(header, words, sizeof(*header));
    uint64_t head = fb_record_head(header);
    uint64_t size = head + header->key_len + header->extra_len + fb_record_value_len(header);
    if (header->key_len != ask->key.len || size > store->size - offset ||
        !fb_race_equal(record + head, ask->key.ptr, ask->key.len)) {
        return false;
    }
    found->expires_ns =
        head > sizeof(*header) ? (int64_t)fb_race_word(record + sizeof(*header)) : 0;
    found->slot = slot;
    found->word = word;
    found->rest = record + head + ask->key.len;
    return true;
}

// R3, as far as the search goes. FB_OK, FB_MISS, LATER.
ALWAYS_INLINE int seek(const search *ask, finding *found) {
    const fb_store *store = ask->store;
    fb_bucket *bucket = ask->head;
    uint32_t match = ask->match;
    for (unsigned hops = 0;; hops++) {
        for (; match != 0; match &= match - 1) {
            if (matches(ask, &bucket->slots[fb_bucket_slot(match)], found)) {
                return FB_OK;
            }
        }
        uint32_t next = atomic_load_explicit(&bucket->next, memory_order_relaxed);
        if (__builtin_expect(next == 0, 1)) {
            return FB_MISS;
        }
        if (next > store->overflow_size / FB_LINE || (hops == HOPS_MAX && !ask->locked)) {
            return LATER;
        }
        uint64_t overflow = fb_shard_overflow_at(store, shard_number(ask));
        bucket = (fb_bucket *)(void *)(store->base + overflow) + (next - 1);
        match = fb_bucket_match(bucket, fb_slot_make(ask->hash, 0, 0));
    }
}

ALWAYS_INLINE search search_for(const fb_store *store, fb_str key) {
    uint64_t hash = hash_of(store, key);
    return (search){.store = store, .key = key, .hash = hash, .shard = fb_shard_of(store, hash)};
}

// ---- what is done with a record that was found

// Where the bytes go.
typedef struct want {
    int64_t now_ns;
    bool use;
    bool at_once;   // where that takes the lock: FB_MISS
    fb_item_fn fn;  // or, without it, a copy:
    void *arg;
    void *bytes;
    size_t room;
    fb_item *item;
} want;

ALWAYS_INLINE void describe(const search *ask, const finding *found, const char *rest,
                            fb_item *item) {
    const fb_record *header = &found->header;
    *item = (fb_item){
        .key = ask->key,
        .extra = {rest, header->extra_len},
        .value = {rest != NULL ? rest + header->extra_len : NULL, fb_record_value_len(header)},
        .expires_ns = found->expires_ns,
        .version = fb_record_version(header),
        .class_id = header->class_id,
        .flags = header->flags,
        .hash = ask->hash,
    };
}

ALWAYS_INLINE uint64_t rest_len(const finding *found) {
    return found->header.extra_len + (uint64_t)fb_record_value_len(&found->header);
}

#if FB_RACE_WATCHED
// What is lent cannot be watched while the function looks at it: it is shown a copy that was
// confirmed, or the bytes themselves under the lock.
static int lend(const search *ask, const want *to, const finding *found) {
    fb_item item;
    char some[4096];
    uint64_t len = rest_len(found);
    char *copy = ask->locked ? NULL : len <= sizeof some ? some : fb_mem_new(len);
    bool ready = ask->locked;
    if (copy != NULL) {
        fb_race_load(copy, found->rest, len);
        ready = believed(ask);
    }
    if (ready) {
        describe(ask, found, ask->locked ? found->rest : copy, &item);
        to->fn(to->arg, &item);
    }
    fb_mem_free(copy != some ? copy : NULL);
    return ready ? FB_OK : LATER;
}
#else
ALWAYS_INLINE int lend(const search *ask, const want *to, const finding *found) {
    fb_item item;
    if (!believed(ask)) {
        return LATER;
    }
    describe(ask, found, found->rest, &item);
    to->fn(to->arg, &item);
    return believed(ask) ? FB_OK : LATER;
}
#endif

ALWAYS_INLINE int copy_out(const search *ask, const want *to, const finding *found) {
    uint64_t len = rest_len(found);
    bool fits = len <= to->room;
    if (fits) {
        fb_race_load(to->bytes, found->rest, len);
    }
    if (!believed(ask)) {
        return LATER;
    }
    describe(ask, found, fits ? to->bytes : NULL, to->item);
    return fits ? FB_OK : FB_ETOOBIG;
}

// From R3 on. FB_OK, FB_MISS, FB_ETOOBIG, LATER.
ALWAYS_INLINE int answer(const search *ask, const want *to) {
    finding found;
    int result = seek(ask, &found);
    if (result == FB_OK && found.expires_ns != 0 && found.expires_ns <= to->now_ns) {
        result = FB_MISS;
    }
    if (result != FB_OK) {
        return result == FB_MISS && believed(ask) ? FB_MISS : LATER;
    }
    result = to->fn != NULL ? lend(ask, to, &found) : copy_out(ask, to, &found);
    if (result == FB_OK && to->use && !ask->store->read_only) {
        fb_bucket_use(found.slot, found.word);
    }
    return result;
}

// Again, more patiently each time, and then with the lock. (By value, so that on the quick path
// nothing of this needs an address.)
static __attribute__((noinline, cold)) int insist(search ask, want to) {
    int result = LATER;
    for (unsigned try = 1; try < TRIES && result == LATER; try++) {
        for (unsigned i = 0; i < 1U << try && i < PAUSES_MAX; i++) {
            fb_race_pause();
        }
        result = aim(&ask) && begin(&ask) ? answer(&ask, &to) : LATER;
    }
    if (result != LATER) {
        return result;
    }
    if (ask.store->read_only || to.at_once) {
        return FB_MISS;
    }
    ask.locked = true;
    fb_shard_lock(ask.shard);
    bool sound = aim(&ask) && begin(&ask);
    FB_ASSERT(sound);
    result = answer(&ask, &to);
    fb_shard_unlock(ask.shard);
    FB_ASSERT(result != LATER);
    return result;
}

ALWAYS_INLINE int read_one(const fb_store *store, fb_str key, const want *to) {
    search ask = search_for(store, key);
    int result = aim(&ask) && begin(&ask) ? answer(&ask, to) : LATER;
    return __builtin_expect(result != LATER, 1) ? result : insist(ask, *to);
}

int fb_store_get(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn, void *arg) {
    want to = {.now_ns = now_ns, .use = true, .fn = fn, .arg = arg};
    return read_one(store, key, &to);
}

int fb_store_peek(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn, void *arg) {
    want to = {.now_ns = now_ns, .fn = fn, .arg = arg};
    return read_one(store, key, &to);
}

int fb_store_look(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn, void *arg) {
    want to = {.now_ns = now_ns, .at_once = true, .fn = fn, .arg = arg};
    return read_one(store, key, &to);
}

int fb_store_get_copy(fb_store *store, fb_str key, int64_t now_ns, void *bytes, size_t room,
                      fb_item *item) {
    want to = {.now_ns = now_ns, .use = true, .bytes = bytes, .room = room, .item = item};
    return read_one(store, key, &to);
}

// ---- many at once

// The misses of processor caches that one lookup suffers one after the other are, for a batch,
// suffered at the same time: first the index lines of all, then the records they lead to.
ALWAYS_INLINE void approach(const fb_store *store, const fb_str *keys, size_t count,
                            search batch[BATCH], bool begun[BATCH]) {
    for (size_t i = 0; i < count; i++) {
        batch[i] = search_for(store, keys[i]);
        begun[i] = aim(&batch[i]);
        if (begun[i]) {
            __builtin_prefetch(batch[i].head);
        }
    }
    for (size_t i = 0; i < count; i++) {
        search *ask = &batch[i];
        begun[i] = begun[i] && begin(ask);
        for (uint32_t match = begun[i] ? ask->match : 0; match != 0; match &= match - 1) {
            uint64_t word = atomic_load_explicit(&ask->head->slots[fb_bucket_slot(match)],
                                                 memory_order_relaxed);
            const char *record = (const char *)store->base + fb_slot_offset(word);
            __builtin_prefetch(record);
            fetch_record(record);
        }
    }
}

static void read_batch(const fb_store *store, const fb_str *keys, size_t count, want *to,
                       void *const *args, int *results) {
    search batch[BATCH];
    bool begun[BATCH];
    approach(store, keys, count, batch, begun);
    for (size_t i = 0; i < count; i++) {
        to->arg = args[i];
        int result = begun[i] ? answer(&batch[i], to) : LATER;
        results[i] = result != LATER ? result : insist(batch[i], *to);
    }
}

void fb_store_get_many(fb_store *store, const fb_str *keys, size_t key_count, int64_t now_ns,
                       fb_item_fn fn, void *const *args, int *results) {
    want to = {.now_ns = now_ns, .use = true, .fn = fn};
    for (size_t done = 0; done < key_count; done += BATCH) {
        size_t count = key_count - done < BATCH ? key_count - done : BATCH;
        if (count == 1) {
            to.arg = args[done];
            results[done] = read_one(store, keys[done], &to);
        } else {
            read_batch(store, keys + done, count, &to, args + done, results + done);
        }
    }
}

void fb_store_prefetch(const fb_store *store, const fb_str *keys, size_t key_count) {
    search batch[BATCH];
    bool begun[BATCH];
    for (size_t done = 0; done < key_count; done += BATCH) {
        size_t count = key_count - done < BATCH ? key_count - done : BATCH;
        approach(store, keys + done, count, batch, begun);
    }
}

uint64_t fb_store_hash(const fb_store *store, fb_str key) {
    return hash_of(store, key);
}

// Without R4 and R5: it is a figure for people, of a moment that is over.
uint32_t fb_store_frequency(const fb_store *store, fb_str key) {
    search ask = search_for(store, key);
    finding found;
    bool there = aim(&ask) && begin(&ask) && seek(&ask, &found) == FB_OK;
    return there ? fb_slot_frequency(found.word) : 0;
}

void fb_store_use(fb_store *store, uint64_t hash) {
    search ask = {.store = store, .hash = hash, .shard = fb_shard_of(store, hash)};
    if (store->read_only || !aim(&ask) || !begin(&ask)) {
        return;
    }
    // Without the key, the tag must do; without a check, one slot that is no longer the item's may
    // be counted. Neither is worth more.
    fb_bucket *bucket = ask.head;
    for (unsigned hops = 0; hops < HOPS_MAX; hops++) {
        uint32_t match = fb_bucket_match(bucket, fb_slot_make(hash, 0, 0));
        for (; match != 0; match &= match - 1) {
            _Atomic uint64_t *slot = &bucket->slots[fb_bucket_slot(match)];
            uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
            if (word != 0) {
                fb_bucket_use(slot, word);
                return;
            }
        }
        uint32_t next = atomic_load_explicit(&bucket->next, memory_order_relaxed);
        if (next == 0 || next > store->overflow_size / FB_LINE) {
            return;
        }
        uint64_t overflow = fb_shard_overflow_at(store, shard_number(&ask));
        bucket = (fb_bucket *)(void *)(store->base + overflow) + (next - 1);
    }
}
