// The store's calls on single keys. Each locks the key's shard, looks the key up in the index
// (store/bucket.h), and works on the log (store/segment.h); room comes from store/evict.h.
//
// A put appends the new record before it touches the old one, so a put that fails has changed
// nothing; the old record's segment is pinned meanwhile, because what an edit wants stored may point
// into it. A record of the same size is written over the old one in place.
//
// Room for a large record may have to come from other shards, whose locks cannot be waited for while
// one is held. Where trying is not enough the call lets go of its own lock, makes room, and starts
// over. That is why an edit's function may be called twice.

#include "store/store.h"

#include "store/bucket.h"
#include "store/budget.h"
#include "store/evict.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/upkeep.h"

#include "base/mem.h"

enum {
    ATTEMPTS = 1000,  // to make room for one record while others take it away
    BATCH = 16,       // keys whose index lines are fetched together
};

int fb_store_new(const fb_store_options *options, fb_store **store) {
    *store = NULL;
    fb_store *made = fb_mem_zero(1, sizeof(*made));
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->alive = options->alive;
    made->alive_arg = options->alive_arg;
    int result = fb_region_map(made, options);
    if (result != FB_OK) {
        fb_mem_free(made);
        return result;
    }
    *store = made;
    return FB_OK;
}

void fb_store_free(fb_store *store) {
    if (store != NULL) {
        fb_region_unmap(store);
        fb_mem_free(store);
    }
}

static uint64_t hash_of(const fb_store *store, fb_str key) {
    return fb_hash64(key, store->seed);
}

// The key's slot, if there is a record that has not expired.
static bool find_live(const fb_store *store, const fb_shard *shard, uint64_t hash, fb_str key,
                      int64_t now_ns, fb_place *place) {
    if (!fb_bucket_find(store, shard, hash, key, place)) {
        return false;
    }
    uint64_t offset = fb_slot_offset(fb_place_word(place));
    return !fb_record_expired(fb_record_at(store, offset), now_ns);
}

static int lend(fb_store *store, uint64_t hash, fb_str key, int64_t now_ns, bool use, fb_item_fn fn,
                void *arg) {
    fb_shard *shard = fb_shard_of(store, hash);
    fb_place place;
    fb_shard_lock(shard);
    bool found = find_live(store, shard, hash, key, now_ns, &place);
    if (found) {
        if (use) {
            fb_bucket_touch(&place);
        }
        fb_item item;
        fb_record_read(fb_record_at(store, fb_slot_offset(fb_place_word(&place))), &item);
        fn(arg, &item);
    }
    fb_shard_unlock(shard);
    return found ? FB_OK : FB_MISS;
}

int fb_store_get(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn, void *arg) {
    return lend(store, hash_of(store, key), key, now_ns, true, fn, arg);
}

int fb_store_peek(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn, void *arg) {
    return lend(store, hash_of(store, key), key, now_ns, false, fn, arg);
}

void fb_store_get_many(fb_store *store, const fb_str *keys, size_t key_count, int64_t now_ns,
                       fb_item_fn fn, void *const *args, int *results) {
    uint64_t hashes[BATCH];
    for (size_t start = 0; start < key_count; start += BATCH) {
        size_t count = key_count - start < BATCH ? key_count - start : BATCH;
        for (size_t i = 0; i < count; i++) {
            hashes[i] = hash_of(store, keys[start + i]);
            fb_shard *shard = fb_shard_of(store, hashes[i]);
            uint64_t number = fb_split_address(hashes[i], fb_shard_buckets(shard));
            __builtin_prefetch(fb_bucket_at(store, shard, number));
        }
        for (size_t i = 0; i < count; i++) {
            results[start + i] =
                lend(store, hashes[i], keys[start + i], now_ns, true, fn, args[start + i]);
        }
    }
}

static bool too_big(const fb_store *store, const fb_item *item) {
    return item->key.len > FB_STORE_KEY_MAX || item->extra.len > FB_STORE_EXTRA_MAX ||
           item->value.len > FB_RECORD_MAX ||
           item->key.len + item->value.len > fb_store_value_max(store);
}

// Where a new record goes, and with how many uses to its name.
typedef struct home {
    fb_queue_id queue;
    unsigned frequency;
} home;

static home choose_home(fb_store *store, fb_shard *shard, uint64_t hash, const fb_place *old) {
    if (old == NULL) {
        return (home){fb_ghost_take(store, shard, hash) ? FB_MAIN : FB_PROBATION, 0};
    }
    uint64_t word = fb_place_word(old);
    uint32_t id = fb_segment_of(store, fb_slot_offset(word));
    fb_queue_id queue = (fb_queue_id)fb_segment_at(store, id)->queue;
    unsigned frequency = fb_slot_frequency(word);
    if (fb_record_expired(fb_record_at(store, fb_slot_offset(word)), shard->now_ns)) {
        return (home){frequency > 0 ? FB_MAIN : queue, 0};
    }
    return (home){queue, frequency < FB_SLOT_FREQUENCY_MAX ? frequency + 1 : frequency};
}

static void overwrite(fb_store *store, fb_shard *shard, const fb_place *place, const fb_item *item,
                      uint64_t version) {
    uint64_t offset = fb_slot_offset(fb_place_word(place));
    fb_record *record = fb_record_at(store, offset);
    shard->expirations += fb_record_expired(record, shard->now_ns);
    fb_bucket_begin(place->head);
    fb_record_write(record, item, version);
    fb_bucket_end(place->head);
    fb_bucket_touch(place);
    fb_segment_due(store, offset, item->expires_ns);
}

// Lets the slot lead to the record at `offset`, and the record before it go.
static void replace(fb_store *store, fb_shard *shard, uint64_t hash, const fb_place *place,
                    unsigned frequency, uint64_t offset) {
    uint64_t old = fb_slot_offset(fb_place_word(place));
    shard->expirations += fb_record_expired(fb_record_at(store, old), shard->now_ns);
    fb_bucket_set(place, fb_slot_make(hash, frequency, offset));
    fb_segment_kill(store, shard, old);
    fb_segment_tidy(store, shard, fb_segment_of(store, old));
}

static void insert(fb_store *store, fb_shard *shard, uint64_t hash, uint64_t word) {
    while (!fb_bucket_insert(store, shard, hash, word)) {
        // The chain is full and may not grow: its least used item makes place.
        fb_place least;
        bool found = fb_bucket_least(store, shard, hash, &least);
        FB_ASSERT(found);
        uint64_t offset = fb_slot_offset(fb_place_word(&least));
        uint64_t least_hash = fb_record_hash(store, fb_record_at(store, offset));
        fb_evict_drop(store, shard, &least, least_hash, false);
        fb_segment_tidy(store, shard, fb_segment_of(store, offset));
    }
}

// An overflow bucket at hand, so that inserting need not evict for one.
static void prepare_index(fb_store *store, fb_shard *shard) {
    uint64_t bytes = fb_bucket_overflow_bytes(shard);
    if (bytes > shard->overflow.committed) {
        (void)fb_evict_grow(store, shard, &shard->overflow, bytes);
    }
}

// Stores under the shard's lock. FB_OK; FB_REFUSED: no room without other shards' locks.
static int keep(fb_store *store, fb_shard *shard, uint64_t hash, const fb_item *item,
                uint64_t version) {
    fb_place place;
    bool found = fb_bucket_find(store, shard, hash, item->key, &place);
    if (found) {
        uint64_t old = fb_slot_offset(fb_place_word(&place));
        if (fb_record_fits(fb_record_at(store, old), item)) {
            overwrite(store, shard, &place, item, version);
            return FB_OK;
        }
        shard->pinned = fb_segment_of(store, old);
    }
    home to = choose_home(store, shard, hash, found ? &place : NULL);
    prepare_index(store, shard);
    uint64_t offset = fb_evict_reserve(store, shard, to.queue, fb_record_size_for(item));
    shard->pinned = 0;
    if (offset == 0) {
        return FB_REFUSED;
    }
    fb_record_write(fb_record_at(store, offset), item, version);
    fb_segment_settle(store, shard, offset);
    // Making room changes chains, so the slot is looked up again.
    if (found) {
        found = fb_bucket_find(store, shard, hash, item->key, &place);
        FB_ASSERT(found);
        replace(store, shard, hash, &place, to.frequency, offset);
    } else {
        insert(store, shard, hash, fb_slot_make(hash, to.frequency, offset));
    }
    fb_upkeep_index(store, shard, 1);
    return FB_OK;
}

static void relieve(fb_store *store, const fb_item *item, int64_t now_ns) {
    uint64_t bytes = fb_record_size_for(item) + store->region->page_size;
    fb_evict_relieve(store, bytes + 2 * (uint64_t)store->segment_size, now_ns);
}

int fb_store_put(fb_store *store, const fb_item *item, int64_t now_ns, uint64_t *version) {
    if (too_big(store, item)) {
        return FB_ETOOBIG;
    }
    uint64_t hash = hash_of(store, item->key);
    fb_shard *shard = fb_shard_of(store, hash);
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        fb_shard_lock(shard);
        fb_shard_see(shard, now_ns);
        int result = keep(store, shard, hash, item, shard->version + 1);
        if (result == FB_OK) {
            shard->version++;
            shard->puts++;
            if (version != NULL) {
                *version = shard->version;
            }
        }
        fb_shard_unlock(shard);
        if (result == FB_OK) {
            return FB_OK;
        }
        relieve(store, item, now_ns);
    }
    return FB_ENOMEM;
}

// Takes the item away; FB_MISS: it had expired.
static int discard(fb_store *store, fb_shard *shard, const fb_place *place, uint64_t hash) {
    uint64_t offset = fb_slot_offset(fb_place_word(place));
    bool expired = fb_record_expired(fb_record_at(store, offset), shard->now_ns);
    if (expired) {
        fb_evict_drop(store, shard, place, hash, true);
    } else {
        fb_bucket_remove(store, shard, place);
        fb_segment_kill(store, shard, offset);
        shard->dels++;
    }
    fb_segment_tidy(store, shard, fb_segment_of(store, offset));
    fb_upkeep_index(store, shard, 1);
    return expired ? FB_MISS : FB_OK;
}

int fb_store_del(fb_store *store, fb_str key, int64_t now_ns) {
    uint64_t hash = hash_of(store, key);
    fb_shard *shard = fb_shard_of(store, hash);
    fb_place place;
    int result = FB_MISS;
    fb_shard_lock(shard);
    fb_shard_see(shard, now_ns);
    if (fb_bucket_find(store, shard, hash, key, &place)) {
        result = discard(store, shard, &place, hash);
    }
    fb_shard_unlock(shard);
    return result;
}

// Changes what can change in place; a record that has no room for an expiry is stored anew.
static int change_meta(fb_store *store, fb_shard *shard, uint64_t hash, const fb_place *place,
                       const fb_item *next) {
    uint64_t offset = fb_slot_offset(fb_place_word(place));
    fb_record *record = fb_record_at(store, offset);
    fb_item item;
    fb_record_read(record, &item);
    FB_ASSERT(next->extra.len == item.extra.len);
    if ((record->value_word & FB_RECORD_EXPIRES) == 0 && next->expires_ns != 0) {
        fb_item anew = *next;
        anew.value = item.value;
        return keep(store, shard, hash, &anew, item.version);
    }
    fb_bucket_begin(place->head);
    if ((record->value_word & FB_RECORD_EXPIRES) != 0) {
        memcpy(record + 1, &next->expires_ns, sizeof(next->expires_ns));
    }
    record->class_id = next->class_id;
    record->flags = next->flags;
    if (next->extra.len > 0) {
        memmove((char *)record + fb_record_head(record) + record->key_len, next->extra.ptr,
                next->extra.len);
    }
    fb_bucket_end(place->head);
    fb_segment_due(store, offset, next->expires_ns);
    return FB_OK;
}

static int carry_out(fb_store *store, fb_shard *shard, uint64_t hash, const fb_place *place,
                     const fb_item *next, fb_store_action action) {
    if (action == FB_STORE_PUT) {
        if (too_big(store, next)) {
            return FB_ETOOBIG;
        }
        int result = keep(store, shard, hash, next, shard->version + 1);
        shard->version += result == FB_OK;
        shard->puts += result == FB_OK;
        return result;
    }
    if (action == FB_STORE_DELETE && place != NULL) {
        return discard(store, shard, place, hash);
    }
    if (action == FB_STORE_META) {
        FB_ASSERT(place != NULL);
        return change_meta(store, shard, hash, place, next);
    }
    return FB_OK;
}

// One attempt, under the lock. *wanted is what could not be stored for lack of room.
static int edit_locked(fb_store *store, fb_shard *shard, uint64_t hash, fb_item *next,
                       fb_store_edit_fn fn, void *arg, bool *again) {
    fb_str key = next->key;
    fb_place place;
    fb_item item;
    bool found = find_live(store, shard, hash, key, shard->now_ns, &place);
    if (found) {
        fb_record_read(fb_record_at(store, fb_slot_offset(fb_place_word(&place))), &item);
        *next = item;
    } else {
        *next = (fb_item){.key = key};
    }
    next->version = shard->version + 1;
    fb_store_action action = FB_STORE_KEEP;
    int outcome = fn(arg, found ? &item : NULL, next, &action);
    next->key = key;
    if (outcome < 0) {
        return outcome;
    }
    int result = carry_out(store, shard, hash, found ? &place : NULL, next, action);
    *again = result == FB_REFUSED;
    return result < 0 ? result : outcome;
}

int fb_store_edit(fb_store *store, fb_str key, int64_t now_ns, fb_store_edit_fn fn, void *arg) {
    uint64_t hash = hash_of(store, key);
    fb_shard *shard = fb_shard_of(store, hash);
    if (key.len > FB_STORE_KEY_MAX) {
        return FB_ETOOBIG;
    }
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        fb_item next = {.key = key};
        bool again = false;
        fb_shard_lock(shard);
        fb_shard_see(shard, now_ns);
        int result = edit_locked(store, shard, hash, &next, fn, arg, &again);
        fb_shard_unlock(shard);
        if (!again) {
            return result;
        }
        relieve(store, &next, now_ns);
    }
    return FB_ENOMEM;
}

uint64_t fb_store_value_max(const fb_store *store) {
    uint64_t share = atomic_load_explicit(&store->region->limit, memory_order_relaxed) / 8;
    return share < FB_RECORD_MAX ? share : FB_RECORD_MAX;
}
