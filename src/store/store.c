// The store's writing calls on single keys; those that read are in store/read.c. Each locks the
// key's shard, looks the key up in the index (store/bucket.h), and works on the log
// (store/segment.h); room comes from store/evict.h.
//
// A put appends the new record before it touches the old one, so a put that fails has changed
// nothing; the old record's segment is pinned meanwhile, because what an edit wants stored may
// point into it. A record of the same size is written over the old one in place.
//
// Room for a large record may have to come from other shards, whose locks cannot be waited for
// while one is held. Where trying is not enough the call lets go of its own lock, makes room, and
// starts over. That is why an edit's function may be called twice.

#include <forebay/store.h>

#include "store/bucket.h"
#include "store/budget.h"
#include "store/evict.h"
#include "store/mapping.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/upkeep.h"

#include "base/mem.h"

enum {
    ATTEMPTS = 1000,  // to make room for one record while others take it away
    LINES_AHEAD = 3   // of the log, asked for before they are written to
};

int fb_store_new(const fb_store_options *options, fb_store **store) {
    *store = NULL;
    fb_store *made = fb_mem_zero(1, sizeof(*made));
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->alive = options->alive;
    made->alive_arg = options->alive_arg;
    made->left = options->left;
    made->left_arg = options->left_arg;
    int result = fb_mapping_new(made, options);
    if (result != FB_OK) {
        fb_mem_free(made);
        return result;
    }
    *store = made;
    return FB_OK;
}

void fb_store_free(fb_store *store) {
    if (store != NULL) {
        fb_mapping_free(store);
        fb_mem_free(store);
    }
}

// One call on one key.
typedef struct call {
    fb_store *store;
    fb_shard *shard;
    fb_str key;
    uint64_t hash;
    int64_t now_ns;
} call;

static call ask_for(fb_store *store, fb_str key, int64_t now_ns) {
    uint64_t hash = fb_hash64(key, store->seed);
    return (call){store, fb_shard_of(store, hash), key, hash, now_ns};
}

static fb_record *record_of(const call *ask, const fb_place *place) {
    return fb_record_at(ask->store, fb_slot_offset(fb_place_word(place)));
}

static bool find(const call *ask, fb_place *place) {
    return fb_bucket_find(ask->store, ask->shard, ask->hash, ask->key, place);
}

// The key's slot, if there is a record that has not expired.
static bool find_live(const call *ask, fb_place *place) {
    return find(ask, place) && !fb_record_expired(record_of(ask, place), ask->now_ns);
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

static home choose_home(const call *ask, const fb_place *old, uint32_t size) {
    if (old == NULL) {
        return (home){fb_evict_admit(ask->store, ask->shard, ask->hash, size), 0};
    }
    uint64_t word = fb_place_word(old);
    uint32_t id = fb_segment_of(ask->store, fb_slot_offset(word));
    fb_queue_id queue = (fb_queue_id)fb_segment_at(ask->store, id)->queue;
    unsigned frequency = fb_slot_frequency(word);
    if (fb_record_expired(record_of(ask, old), ask->now_ns)) {
        return (home){frequency > 0 ? FB_MAIN : queue, 0};
    }
    return (home){queue, frequency < FB_SLOT_FREQUENCY_MAX ? frequency + 1 : frequency};
}

static void overwrite(const call *ask, const fb_place *place, const fb_item *item,
                      uint64_t version) {
    fb_record *record = record_of(ask, place);
    ask->shard->expirations += fb_record_expired(record, ask->now_ns);
    fb_bucket_begin(place->head);
    fb_record_write(record, item, version);
    fb_bucket_end(place->head);
    fb_bucket_touch(place);
    fb_segment_due(ask->store, fb_slot_offset(fb_place_word(place)), item->expires_ns);
}

// Lets the slot lead to the record at `offset`, and the record before it go.
static void replace(const call *ask, const fb_place *place, unsigned frequency, uint64_t offset) {
    uint64_t old = fb_slot_offset(fb_place_word(place));
    ask->shard->expirations += fb_record_expired(fb_record_at(ask->store, old), ask->now_ns);
    fb_bucket_set(place, fb_slot_make(ask->hash, frequency, offset));
    fb_segment_kill(ask->store, ask->shard, old);
    fb_segment_tidy(ask->store, ask->shard, fb_segment_of(ask->store, old));
}

static void insert(const call *ask, uint64_t word) {
    fb_store *store = ask->store;
    fb_shard *shard = ask->shard;
    while (!fb_bucket_insert(store, shard, ask->hash, word)) {
        // The chain is full and may not grow: its least used item makes place.
        fb_place least;
        bool found = fb_bucket_least(store, shard, ask->hash, &least);
        FB_ASSERT(found);
        uint64_t offset = fb_slot_offset(fb_place_word(&least));
        uint64_t least_hash = fb_record_hash(store, fb_record_at(store, offset));
        fb_evict_drop(store, shard, &least, least_hash, false);
        shard->index_evictions++;
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

// The lines that the next record of the queue will be written to.
static void fetch_next(const fb_store *store, uint64_t offset) {
    const char *next = (const char *)store->base + offset;
    for (unsigned line = 0; line < LINES_AHEAD; line++) {
        __builtin_prefetch(next + line * FB_LINE, 1);
    }
}

// Stores under the shard's lock. FB_OK; FB_ENOMEM: no room without other shards' locks.
static int keep(const call *ask, const fb_item *item, uint64_t version) {
    fb_store *store = ask->store;
    fb_shard *shard = ask->shard;
    fb_place place;
    bool found = find(ask, &place);
    if (found) {
        if (fb_record_fits(record_of(ask, &place), item)) {
            overwrite(ask, &place, item, version);
            return FB_OK;
        }
        shard->pinned = fb_segment_of(store, fb_slot_offset(fb_place_word(&place)));
    }
    uint32_t before = found ? fb_bucket_version(place.head) : 0;
    uint32_t size = fb_record_size_for(item);
    home to = choose_home(ask, found ? &place : NULL, size);
    prepare_index(store, shard);
    uint64_t offset = fb_evict_reserve(store, shard, to.queue, size);
    shard->pinned = 0;
    if (offset == 0) {
        return FB_ENOMEM;
    }
    fb_record_write(fb_record_at(store, offset), item, version);
    fb_segment_settle(store, shard, offset);
    fetch_next(store, offset + size);
    if (found) {
        // Making room may have changed the chain: then the slot is looked up again.
        found = fb_bucket_version(place.head) == before || find(ask, &place);
        FB_ASSERT(found);
        replace(ask, &place, to.frequency, offset);
    } else {
        insert(ask, fb_slot_make(ask->hash, to.frequency, offset));
    }
    fb_upkeep_index(store, shard, 1);
    return FB_OK;
}

// As keep(), with the next version.
static int keep_new(const call *ask, const fb_item *item) {
    int result = keep(ask, item, ask->shard->version + 1);
    if (result == FB_OK) {
        ask->shard->version++;
        ask->shard->puts++;
    }
    return result;
}

static void relieve(const call *ask, const fb_item *item) {
    fb_store *store = ask->store;
    uint64_t bytes = fb_record_size_for(item) + store->region->page_size;
    fb_evict_relieve(store, bytes + 2 * (uint64_t)store->segment_size, ask->now_ns);
}

// What must hold for an item to be stored.
typedef struct terms {
    fb_store_if condition;
    uint64_t version;
} terms;

static bool condition_holds(const call *ask, const terms *if_) {
    fb_place place;
    bool there = find_live(ask, &place);
    switch (if_->condition) {
    case FB_STORE_IF_ABSENT:
        return !there;
    case FB_STORE_IF_PRESENT:
        return there;
    case FB_STORE_IF_VERSION:
        return there && fb_record_version(record_of(ask, &place)) == if_->version;
    }
    return false;
}

// Under the lock.
static int put_locked(const call *ask, const fb_item *item, const terms *if_) {
    fb_shard_see(ask->shard, ask->now_ns);
    if (if_ != NULL && !condition_holds(ask, if_)) {
        return FB_REFUSED;
    }
    return keep_new(ask, item);
}

static int put(fb_store *store, const fb_item *item, const terms *if_, int64_t now_ns,
               uint64_t *version) {
    if (too_big(store, item)) {
        return FB_ETOOBIG;
    }
    call ask = ask_for(store, item->key, now_ns);
    fb_bucket_approach(store, ask.shard, ask.hash);
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        fb_shard_lock(ask.shard);
        int result = put_locked(&ask, item, if_);
        if (result == FB_OK && version != NULL) {
            *version = ask.shard->version;
        }
        fb_shard_unlock(ask.shard);
        if (result != FB_ENOMEM) {
            return result;
        }
        relieve(&ask, item);
    }
    return FB_ENOMEM;
}

int fb_store_put(fb_store *store, const fb_item *item, int64_t now_ns, uint64_t *version) {
    return put(store, item, NULL, now_ns, version);
}

int fb_store_put_if(fb_store *store, const fb_item *item, fb_store_if condition,
                    uint64_t expected_version, int64_t now_ns, uint64_t *version) {
    terms if_ = {condition, expected_version};
    return put(store, item, &if_, now_ns, version);
}

// Takes the item away; FB_MISS: it had expired.
static int discard(const call *ask, const fb_place *place) {
    fb_store *store = ask->store;
    fb_shard *shard = ask->shard;
    uint64_t offset = fb_slot_offset(fb_place_word(place));
    bool expired = fb_record_expired(fb_record_at(store, offset), ask->now_ns);
    if (expired) {
        fb_evict_drop(store, shard, place, ask->hash, true);
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
    call ask = ask_for(store, key, now_ns);
    fb_place place;
    int result = FB_MISS;
    fb_shard_lock(ask.shard);
    fb_shard_see(ask.shard, now_ns);
    if (find(&ask, &place)) {
        result = discard(&ask, &place);
    }
    fb_shard_unlock(ask.shard);
    return result;
}

// Changes what can change in place; a record that has no room for an expiry is stored anew.
static int change_meta(const call *ask, const fb_place *place, const fb_item *next) {
    fb_record *record = record_of(ask, place);
    fb_item item;
    fb_record_read(record, &item);
    FB_ASSERT(next->extra.len == item.extra.len);
    if ((record->value_word & FB_RECORD_EXPIRES) == 0 && next->expires_ns != 0) {
        fb_item anew = *next;
        anew.value = item.value;
        return keep(ask, &anew, item.version);
    }
    fb_bucket_begin(place->head);
    fb_record_change(record, next);
    fb_bucket_end(place->head);
    fb_segment_due(ask->store, fb_slot_offset(fb_place_word(place)), next->expires_ns);
    return FB_OK;
}

static int carry_out(const call *ask, const fb_place *place, const fb_item *next,
                     fb_store_action action) {
    switch (action) {
    case FB_STORE_PUT:
        return too_big(ask->store, next) ? FB_ETOOBIG : keep_new(ask, next);
    case FB_STORE_DELETE:
        return place != NULL ? discard(ask, place) : FB_OK;
    case FB_STORE_META:
        FB_ASSERT(place != NULL);
        return change_meta(ask, place, next);
    case FB_STORE_KEEP:
        break;
    }
    return FB_OK;
}

// One attempt, under the lock. *again: what *next says could not be stored for lack of room.
static int edit_locked(const call *ask, fb_item *next, fb_store_edit_fn fn, void *arg,
                       bool *again) {
    fb_place place;
    fb_item item;
    bool found = find_live(ask, &place);
    *next = (fb_item){.key = ask->key};
    if (found) {
        fb_record_read(record_of(ask, &place), &item);
        *next = item;
    }
    next->version = ask->shard->version + 1;
    fb_store_action action = FB_STORE_KEEP;
    int outcome = fn(arg, found ? &item : NULL, next, &action);
    next->key = ask->key;
    if (outcome < 0) {
        return outcome;
    }
    int result = carry_out(ask, found ? &place : NULL, next, action);
    *again = result == FB_ENOMEM;
    return result < 0 ? result : outcome;
}

int fb_store_edit(fb_store *store, fb_str key, int64_t now_ns, fb_store_edit_fn fn, void *arg) {
    if (key.len > FB_STORE_KEY_MAX) {
        return FB_ETOOBIG;
    }
    call ask = ask_for(store, key, now_ns);
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        fb_item next;
        bool again = false;
        fb_shard_lock(ask.shard);
        fb_shard_see(ask.shard, now_ns);
        int result = edit_locked(&ask, &next, fn, arg, &again);
        fb_shard_unlock(ask.shard);
        if (!again) {
            return result;
        }
        relieve(&ask, &next);
    }
    return FB_ENOMEM;
}

static int set_expires(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    const int64_t *expires_ns = arg;
    if (item == NULL) {
        return FB_MISS;
    }
    next->expires_ns = *expires_ns;
    *action = FB_STORE_META;
    return FB_OK;
}

int fb_store_touch(fb_store *store, fb_str key, int64_t expires_ns, int64_t now_ns) {
    int result = fb_store_edit(store, key, now_ns, set_expires, &expires_ns);
    return result == FB_ETOOBIG ? FB_MISS : result;
}

uint64_t fb_store_value_max(const fb_store *store) {
    uint64_t share = atomic_load_explicit(&store->region->limit, memory_order_relaxed) / 8;
    return share < FB_RECORD_MAX ? share : FB_RECORD_MAX;
}
