// A slot is packed, so that a TOKEN key takes 22 bytes of array:
//
//     u64 hash | u16 word | state_max bytes        word: the state's length | fill | DENIED
//
// So but for the bits of the word beside its length there lies an fb_limit_state, and a question by
// itself is decided in it as it lies there. Several at once, and what only looks, are on copies.
//
// Where a table has room for any state, so that its keys may have many plans, the plan of who comes
// says nothing about another's state: there a slot also has until when its state is of use (i64,
// after the word) and, in the word, how much of its quota was in use when it was last charged.
//
// hash 0 is a free slot. The low bits of a hash choose its shard and the high 32 its home in the
// shard's array, by a multiplication (home = high · cap / 2^32): so an array may have any length
// and grow by half. Right after growing it is 8/15 full, and 22 bytes become 41.
//
// Invariant of a shard: from the home of a hash to the slot it is in there is no free slot. A
// removal keeps it by moving later slots of the run back into the gap. At least a fifth of the
// slots is free.
//
// The number of keys is bounded for the whole table, by a counter that only newcomers touch. The
// keys do not fall evenly on the shards, so a shard may grow to four standard deviations above its
// share; fewer keys have fewer shards, for which that would be much.
//
// A newcomer takes, in this order: the slot of an expired one on its way, a free one, that of an
// expired one within 32 keys from its home, that of the least used of these. A shard that would
// grow looks first whether it is only full of expired ones. One shard grows at a time, so that
// there is never more than one old array beside the new ones, which keeps the bound of memory
// sharp.
//
// DENIED says that the last question was denied. It protects a slot until its state expires, beside
// what fb_limit_fill() says: a cost above 1 is denied before the quota is used up.
//
// A clock that lags behind the shard's is brought to it, but for FIXED not into a period that the
// question is not of. Where the key's state is of the period after the question's, that is over:
// else threads on both sides of its end would take the count to and fro, from none each time.
//
// Several items: all shards are locked, in the order of their addresses; then it is tried on copies
// whether all are allowed; then each is decided again, as what became of the whole: charged, or
// looked at. Nothing that was found in the first pass is used in the second but that answer:
// placing one item may move the slots of another.
//
// A state of many offsets lies in several cache lines, and of many keys in none that is near: who
// comes says so as soon as he knows his hash (fb_limit_table_expect()), and reads the clock then.
// That looks at a shard's array without its lock, perhaps at one that has just been replaced: it
// only hints at an address.
//
// The lock is a mutex. A spin lock that yields was tried: the same alone, a fifth faster with as
// many threads as processors, and a fifth slower with twice as many.

#include "limit/table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"
#include "limit/forms.h"
#include "limit/steady.h"

enum {
    SHARDS_MAX = 64,
    SHARD_KEYS_MIN = 512,  // of a table with more than one
    CAP_MIN = 4,           // a table that nobody asks is not to take much
    SLOT_HEAD = 10,
    STATE_MIN = 12,        // TOKEN, FIXED
    NEAR_KEYS = 32,        // looked at for a place
    NEAR_SLOTS = 64,
    LEN_BITS = 9,
    LEN_MASK = (1 << LEN_BITS) - 1,
    FILL_MASK = 0x7fff & ~LEN_MASK,
    DENIED = 0x8000,
    DENIED_FILL = 65536,   // see fb_limit_fill()
    CACHE_LINE = 64
};
_Static_assert((int)FB_LIMIT_STATE_MAX <= (int)LEN_MASK, "a word has room for a length");

typedef struct shard {
    pthread_mutex_t lock;
    _Atomic(unsigned char *) slots;  // these two are changed under the lock
    _Atomic(uint32_t) cap;
    uint32_t count;
    int64_t now_us;  // the last step's
} __attribute__((aligned(CACHE_LINE))) shard;  // no lock shares a line with another's

struct fb_limit_table {
    shard *shards;  // aligned, within `memory`
    void *memory;
    uint32_t shard_mask, keys_max, cap_max;
    uint16_t state_max;
    bool any_plan;  // has room for any state
    uint16_t state_at;
    size_t slot_size;
    uint64_t own_bytes;
    pthread_mutex_t grow_lock;
    _Atomic uint64_t bytes;
    _Atomic uint32_t keys;  // those of all shards, and none more than keys_max
};

// ---- the hash

static inline uint64_t rotate(uint64_t word, int bits) {
    return word << bits | word >> (64 - bits);
}

// Little-endian on any machine; compilers make one load of it.
static inline uint64_t whole_word(const unsigned char *bytes) {
    return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
           (uint64_t)bytes[3] << 24 | (uint64_t)bytes[4] << 32 | (uint64_t)bytes[5] << 40 |
           (uint64_t)bytes[6] << 48 | (uint64_t)bytes[7] << 56;
}

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t fb_limit_hash(const fb_limit_hash_key *key, fb_str bytes) {
    // "somepseudorandomlygeneratedbytes", as the paper has it.
    uint64_t v[4] = {
        key->k0 ^ UINT64_C(0x736f6d6570736575), key->k1 ^ UINT64_C(0x646f72616e646f6d),
        key->k0 ^ UINT64_C(0x6c7967656e657261), key->k1 ^ UINT64_C(0x7465646279746573)};
    const unsigned char *next = (const unsigned char *)bytes.ptr;
    size_t left = bytes.len;
    for (; left >= 8; left -= 8, next += 8) {
        sip_word(v, whole_word(next));
    }
    uint64_t last = (uint64_t)bytes.len << 56;
    if (left > 0 && bytes.len >= 8) {
        last |= whole_word(next + left - 8) >> (8 * (8 - left));  // without a loop
    } else {
        for (size_t i = 0; i < left; i++) {
            last |= (uint64_t)next[i] << (8 * i);
        }
    }
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

// ---- slots

static inline uint32_t cap_of(const shard *one) {
    return atomic_load_explicit(&one->cap, memory_order_relaxed);
}

static inline unsigned char *slot_at(const fb_limit_table *table, const shard *one,
                                     uint32_t index) {
    unsigned char *slots = atomic_load_explicit(&one->slots, memory_order_relaxed);
    return slots + (size_t)index * table->slot_size;
}

static inline uint64_t hash_at(const fb_limit_table *table, const shard *one, uint32_t index) {
    uint64_t hash;
    memcpy(&hash, slot_at(table, one, index), sizeof hash);
    return hash;
}

static inline uint32_t home_of(const shard *one, uint64_t hash) {
    return (uint32_t)((hash >> 32) * cap_of(one) >> 32);
}

static inline uint32_t after(const shard *one, uint32_t index) {
    return index + 1 < cap_of(one) ? index + 1 : 0;
}

// How many slots `to` lies behind `from`.
static inline uint32_t distance(const shard *one, uint32_t from, uint32_t to) {
    return to >= from ? to - from : to + cap_of(one) - from;
}

// The slot of `hash`, or else the free one where the search ended.
static inline bool find(const fb_limit_table *table, const shard *one, uint64_t hash,
                        uint32_t *index) {
    uint32_t at = home_of(one, hash);
    uint64_t there;
    while ((there = hash_at(table, one, at)) != hash && there != 0) {
        at = after(one, at);
    }
    *index = at;
    return there == hash;
}

static inline uint16_t word_at(const fb_limit_table *table, const shard *one, uint32_t index) {
    uint16_t word;
    memcpy(&word, slot_at(table, one, index) + sizeof(uint64_t), sizeof word);
    return word;
}

// The shortest states, which are those of most keys, without a call.
static inline void copy_state(unsigned char *to, const unsigned char *from, uint16_t len) {
    if (len == STATE_MIN) {
        memcpy(to, from, STATE_MIN);
    } else {
        memcpy(to, from, len);
    }
}

static inline void load(const fb_limit_table *table, const shard *one, uint32_t index,
                        fb_limit_state *state) {
    state->len = word_at(table, one, index) & LEN_MASK;
    copy_state(state->bytes, slot_at(table, one, index) + table->state_at, state->len);
}

// What is asked of a state later by others, who have other plans.
static uint16_t note_plan(const fb_limit_item *item, unsigned char *slot) {
    int64_t until_us = fb_limit_until_us(item->plan, &item->state);
    uint32_t fill = fb_limit_fill(item->plan, &item->step, &item->state);
    memcpy(slot + SLOT_HEAD, &until_us, sizeof until_us);
    return fill < DENIED_FILL ? fill >> 1 & FILL_MASK : DENIED;
}

static inline bool is_denied(const fb_limit_item *item) {
    return item->step.act == FB_LIMIT_TAKE && !item->allowed &&
           item->step.cost <= item->plan->limit;
}

static inline void save(const fb_limit_item *item, const shard *one, uint32_t index) {
    const fb_limit_table *table = item->table;
    unsigned char *slot = slot_at(table, one, index);
    uint16_t word = item->state.len | (is_denied(item) ? DENIED : 0);
    if (table->any_plan) {
        word |= note_plan(item, slot);
    }
    memcpy(slot + sizeof(uint64_t), &word, sizeof word);
    copy_state(slot + table->state_at, item->state.bytes, item->state.len);
}

static void set_hash(const fb_limit_table *table, const shard *one, uint32_t index, uint64_t hash) {
    memcpy(slot_at(table, one, index), &hash, sizeof hash);
}

// Empties a slot, and moves what follows in its run.
static void vacate(const fb_limit_table *table, const shard *one, uint32_t gap) {
    uint64_t hash;
    uint32_t at = after(one, gap);
    for (; (hash = hash_at(table, one, at)) != 0; at = after(one, at)) {
        if (distance(one, home_of(one, hash), at) >= distance(one, gap, at)) {
            memcpy(slot_at(table, one, gap), slot_at(table, one, at), table->slot_size);
            gap = at;
        }
    }
    set_hash(table, one, gap, 0);
}

static void drop(fb_limit_table *table, shard *one, uint32_t index) {
    vacate(table, one, index);
    FB_ASSERT(one->count > 0);
    one->count--;
    atomic_fetch_sub_explicit(&table->keys, 1, memory_order_relaxed);
}

static bool expired(const fb_limit_table *table, const shard *one, uint32_t index,
                    const fb_limit_item *item) {
    fb_limit_state state;
    int64_t until_us;
    if (table->any_plan) {
        memcpy(&until_us, slot_at(table, one, index) + SLOT_HEAD, sizeof until_us);
    } else {
        load(table, one, index, &state);
        until_us = fb_limit_until_us(item->plan, &state);
    }
    return until_us <= item->step.now_us;
}

// How much of its quota is in use; DENIED_FILL: it is being denied.
static uint32_t fill_of(const fb_limit_table *table, const shard *one, uint32_t index,
                        const fb_limit_item *item) {
    fb_limit_state state;
    uint16_t word = word_at(table, one, index);
    if (FB_RULE(table_denied_stay) && (word & DENIED) != 0) {
        return DENIED_FILL;
    }
    if (table->any_plan) {
        return (uint32_t)(word & FILL_MASK) << 1;
    }
    load(table, one, index, &state);
    return fb_limit_fill(item->plan, &item->step, &state);
}

// ---- room for a newcomer

static inline uint32_t most(uint32_t cap) {
    return (uint32_t)((uint64_t)cap * 4 / 5);
}

// Drops what has expired. What a removal moves is looked at again, or was already.
static void purge(fb_limit_table *table, shard *one, const fb_limit_item *item) {
    for (uint32_t at = 0; at < cap_of(one);) {
        if (hash_at(table, one, at) != 0 && expired(table, one, at, item)) {
            drop(table, one, at);
        } else {
            at++;
        }
    }
}

// A longer array with the same keys, where there is memory for it.
static void lengthen(fb_limit_table *table, shard *one, uint32_t cap) {
    uint64_t bytes = (uint64_t)cap * table->slot_size, hash;
    pthread_mutex_lock(&table->grow_lock);
    unsigned char *slots = fb_mem_zero(cap, table->slot_size);
    if (slots != NULL) {
        const shard next = {.cap = cap, .slots = slots};
        atomic_fetch_add_explicit(&table->bytes, bytes, memory_order_relaxed);
        for (uint32_t i = 0; i < cap_of(one); i++) {
            uint32_t index;
            if ((hash = hash_at(table, one, i)) != 0) {
                FB_ASSERT(!find(table, &next, hash, &index));
                memcpy(slot_at(table, &next, index), slot_at(table, one, i), table->slot_size);
            }
        }
        fb_mem_free(one->slots);
        bytes = (uint64_t)cap_of(one) * table->slot_size;
        atomic_fetch_sub_explicit(&table->bytes, bytes, memory_order_relaxed);
        atomic_store_explicit(&one->slots, slots, memory_order_relaxed);
        atomic_store_explicit(&one->cap, cap, memory_order_relaxed);
    }
    pthread_mutex_unlock(&table->grow_lock);
}

// Makes room in the array for one more; false: it cannot have more.
static bool extend(fb_limit_table *table, shard *one, const fb_limit_item *item) {
    uint32_t cap = cap_of(one);
    if (one->count < most(cap)) {
        return true;
    }
    if (cap == table->cap_max) {
        return false;
    }
    purge(table, one, item);
    if (one->count < most(cap) - most(cap) / 4) {
        return true;
    }
    cap = cap / 2 < table->cap_max - cap ? cap + cap / 2 : table->cap_max;
    lengthen(table, one, cap);
    return one->count < most(cap_of(one));
}

// One of keys_max.
static bool claim(fb_limit_table *table) {
    uint32_t keys = atomic_load_explicit(&table->keys, memory_order_relaxed);
    while (keys < table->keys_max) {
        if (atomic_compare_exchange_weak_explicit(&table->keys, &keys, keys + 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

// The slot near the newcomer's home whose key has to go; false: none has.
static bool choose_victim(const fb_limit_table *table, const shard *one, const fb_limit_item *item,
                          uint32_t *victim) {
    uint32_t least = DENIED_FILL, at = home_of(one, item->hash), keys = 0;
    for (uint32_t i = 0; i < cap_of(one) && i < NEAR_SLOTS && keys < NEAR_KEYS;
         i++, at = after(one, at)) {
        if (hash_at(table, one, at) == 0) {
            continue;
        }
        keys++;
        if (expired(table, one, at, item)) {
            *victim = at;
            return true;
        }
        uint32_t fill = fill_of(table, one, at, item);
        if (fill < least) {
            least = fill;
            *victim = at;
        }
    }
    return least < DENIED_FILL;
}

// A slot for a newcomer, with its hash in it; `free_index` is where the search for it ended.
static bool take_slot(fb_limit_table *table, shard *one, const fb_limit_item *item,
                      uint32_t free_index, uint32_t *index) {
    for (*index = home_of(one, item->hash); *index != free_index; *index = after(one, *index)) {
        if (expired(table, one, *index, item)) {
            set_hash(table, one, *index, item->hash);
            return true;
        }
    }
    bool full = atomic_load_explicit(&table->keys, memory_order_relaxed) >= table->keys_max;
    if (!full && extend(table, one, item) && claim(table)) {
        one->count++;
    } else if (choose_victim(table, one, item, index)) {
        vacate(table, one, *index);
    } else {
        return false;
    }
    FB_ASSERT(!find(table, one, item->hash, index));
    set_hash(table, one, *index, item->hash);
    return true;
}

// ---- the table

// Rounded up.
static uint64_t square_root(uint64_t number) {
    uint64_t root = 0;
    while (root * root < number) {
        root++;
    }
    return root;
}

static void measure(fb_limit_table *table, uint32_t keys_max, uint16_t state_max) {
    uint32_t shards = 1;
    while (shards < SHARDS_MAX && keys_max / (2 * shards) >= SHARD_KEYS_MIN) {
        shards *= 2;
    }
    uint64_t share = ((uint64_t)keys_max + shards - 1) / shards;
    if (shards > 1) {
        share += 4 * square_root(share);
    }
    table->keys_max = keys_max;
    table->shard_mask = shards - 1;
    table->cap_max = (uint32_t)((share * 5 + 3) / 4);
    table->state_max = state_max;
    table->any_plan = state_max == FB_LIMIT_STATE_MAX;
    table->state_at = SLOT_HEAD + (table->any_plan ? sizeof(int64_t) : 0);
    table->slot_size = ((size_t)table->state_at + state_max + 1) / 2 * 2;
    table->own_bytes = sizeof(*table) + CACHE_LINE + shards * sizeof(shard);
    table->bytes = table->own_bytes;
}

static bool make_shards(fb_limit_table *table) {
    uint32_t cap = table->cap_max < CAP_MIN ? table->cap_max : CAP_MIN;
    table->memory = fb_mem_zero(1, CACHE_LINE + (table->shard_mask + 1) * sizeof(shard));
    if (table->memory == NULL) {
        return false;
    }
    uintptr_t start = ((uintptr_t)table->memory + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    table->shards = (shard *)start;
    for (uint32_t i = 0; i <= table->shard_mask; i++) {
        pthread_mutex_init(&table->shards[i].lock, NULL);
    }
    for (uint32_t i = 0; i <= table->shard_mask; i++) {
        table->shards[i].slots = fb_mem_zero(cap, table->slot_size);
        if (table->shards[i].slots == NULL) {
            return false;
        }
        table->shards[i].cap = cap;
        table->bytes += cap * table->slot_size;
    }
    return true;
}

int fb_limit_table_new(uint32_t keys_max, uint16_t state_max, fb_limit_table **table) {
    FB_ASSERT(keys_max > 0 && state_max >= STATE_MIN && state_max <= FB_LIMIT_STATE_MAX);
    *table = fb_mem_zero(1, sizeof **table);
    if (*table == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_init(&(*table)->grow_lock, NULL);
    measure(*table, keys_max, state_max);
    if (!make_shards(*table)) {
        fb_limit_table_free(*table);
        *table = NULL;
        return FB_ENOMEM;
    }
    return FB_OK;
}

void fb_limit_table_free(fb_limit_table *table) {
    if (table == NULL) {
        return;
    }
    for (uint32_t i = 0; table->memory != NULL && i <= table->shard_mask; i++) {
        fb_mem_free(table->shards[i].slots);
        pthread_mutex_destroy(&table->shards[i].lock);
    }
    pthread_mutex_destroy(&table->grow_lock);
    fb_mem_free(table->memory);
    fb_mem_free(table);
}

uint16_t fb_limit_table_room(const fb_limit_plan *plan) {
    uint32_t units = 8;
    switch (plan->form) {
    case FB_LIMIT_FORM_RING:
        while (units < plan->limit && units < FB_LIMIT_RING_MAX) {
            units *= 2;
        }
        return (uint16_t)(8 + 4 * (units - 1));
    case FB_LIMIT_FORM_PARTS:
        return (uint16_t)(8 + 4 * (plan->parts + 1));
    default:
        return STATE_MIN;
    }
}

// ---- deciding

static inline shard *shard_of(const fb_limit_table *table, uint64_t hash) {
    return &table->shards[hash & table->shard_mask];
}

// Keeps the shard's time from going back a little.
static inline void steady(shard *one, fb_limit_item *item) {
    fb_limit_step *step = &item->step;
    if (!FB_RULE(table_steady) || !fb_limit_lags(step->now_us, one->now_us)) {
        one->now_us = step->now_us;
    } else if (item->plan->form != FB_LIMIT_FORM_FIXED || one->now_us < step->end_us) {
        step->now_us = one->now_us;
    }
}

// The key's state is of a period that begins within the time that a clock may lag: so that one it
// is.
static inline void enter_period(fb_limit_item *item, const fb_limit_state *state) {
    fb_limit_step *step = &item->step;
    if (item->plan->form != FB_LIMIT_FORM_FIXED || state->len != STATE_MIN) {
        return;
    }
    int64_t start_us = (int64_t)fb_limit_get64(state->bytes);
    if (FB_RULE(table_period) && start_us > step->start_us &&
        fb_limit_lags(step->now_us, start_us)) {
        step->end_us += start_us - step->start_us;
        step->start_us = step->now_us = start_us;
    }
}

// Finds the key's state; whether it has a slot.
static inline bool look_up(fb_limit_item *item, const shard *one, uint32_t *index) {
    bool found = find(item->table, one, item->hash, index);
    item->state.len = 0;
    if (found) {
        load(item->table, one, *index, &item->state);
        enter_period(item, &item->state);
    }
    return found;
}

// Puts the item's state into its slot (found: it has one), or a new one, or gives the slot up;
// false: there is no place for it.
static inline bool keep(const fb_limit_item *item, shard *one, bool found, uint32_t index) {
    fb_limit_table *table = item->table;
    if (item->state.len == 0) {
        if (found) {
            drop(table, one, index);
        }
        return true;
    }
    if (item->state.len > table->state_max ||
        (!found && !take_slot(table, one, item, index, &index))) {
        return false;
    }
    save(item, one, index);
    return true;
}

// Decides `act` for the item, and keeps what comes of it, but for a question that only looks. Of a
// rehearsed one it is known whether it is allowed.
static void settle(fb_limit_item *item, shard *one, fb_limit_act act, bool rehearsed) {
    uint32_t index;
    bool found = look_up(item, one, &index);
    fb_limit_step step = item->step;
    step.act = act;
    bool allowed = fb_limit_decide_view(item->plan, &step, &item->state, &item->view);
    item->allowed = rehearsed ? item->allowed : allowed;
    bool kept = item->step.act == FB_LIMIT_LOOK || keep(item, one, found, index);
    item->place = kept ? FB_LIMIT_DECIDED : FB_LIMIT_TABLE_FULL;
}

// Whether its state fits into a slot whatever becomes of it.
static inline bool has_room(const fb_limit_item *item) {
    const fb_limit_plan *plan = item->plan;
    uint16_t room = item->table->state_max;
    switch (plan->form) {
    case FB_LIMIT_FORM_RING:
        return 8 + 4 * (plan->limit - 1) <= room;
    case FB_LIMIT_FORM_PARTS:
        return 8 + 4 * (plan->parts + 1) <= room;
    default:
        return true;
    }
}

// The same as settle() for a key that has a slot, in it.
static void settle_there(fb_limit_item *item, shard *one, uint32_t index) {
    unsigned char *slot = slot_at(item->table, one, index);
    fb_limit_state *state = (fb_limit_state *)(void *)(slot + sizeof(uint64_t));
    state->len &= LEN_MASK;
    enter_period(item, state);
    item->allowed = fb_limit_decide_view(item->plan, &item->step, state, &item->view);
    item->place = FB_LIMIT_DECIDED;
    if (state->len == 0) {
        drop(item->table, one, index);
    } else if (is_denied(item)) {
        state->len |= DENIED;
    }
}

static bool decide_one(fb_limit_item *item) {
    shard *one = shard_of(item->table, item->hash);
    bool there = !item->table->any_plan && item->step.act != FB_LIMIT_LOOK && has_room(item);
    uint32_t index;
    pthread_mutex_lock(&one->lock);
    steady(one, item);
    if (there && find(item->table, one, item->hash, &index)) {
        settle_there(item, one, index);
    } else {
        settle(item, one, item->step.act, false);
    }
    pthread_mutex_unlock(&one->lock);
    return item->allowed || item->place == FB_LIMIT_TABLE_FULL;
}

// Locks the items' shards, each once, in the order of their addresses. Returns how many.
static size_t lock_all(const fb_limit_item *items, size_t count, shard **locked) {
    size_t locked_count = 0;
    for (size_t i = 0; i < count; i++) {
        shard *one = shard_of(items[i].table, items[i].hash);
        size_t place = locked_count;
        while (place > 0 && (uintptr_t)locked[place - 1] > (uintptr_t)one) {
            place--;
        }
        if (place == 0 || locked[place - 1] != one) {
            memmove(locked + place + 1, locked + place, (locked_count - place) * sizeof(*locked));
            locked[place] = one;
            locked_count++;
        }
    }
    for (size_t i = 0; i < locked_count; i++) {
        pthread_mutex_lock(&locked[i]->lock);
    }
    return locked_count;
}

// Whether all would be allowed, one after the other. Only the items are changed.
static bool rehearse(fb_limit_item *items, size_t count) {
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        fb_limit_item *item = &items[i];
        shard *one = shard_of(item->table, item->hash);
        uint32_t index;
        steady(one, item);
        (void)look_up(item, one, &index);
        for (size_t j = i; FB_RULE(table_sum) && j > 0; j--) {
            if (items[j - 1].table == item->table && items[j - 1].hash == item->hash) {
                item->state = items[j - 1].state;
                break;
            }
        }
        fb_limit_step step = item->step;
        step.act = step.act == FB_LIMIT_GIVE ? FB_LIMIT_GIVE : FB_LIMIT_TAKE;
        item->allowed = fb_limit_decide(item->plan, &step, &item->state);
        all = all && item->allowed;
    }
    return all;
}

static bool decide_all(fb_limit_item *items, size_t count) {
    shard *locked[FB_LIMIT_QUESTIONS_MAX];
    size_t locked_count = lock_all(items, count, locked);
    bool all = rehearse(items, count), passed = true;
    for (size_t i = 0; i < count; i++) {
        fb_limit_item *item = &items[i];
        shard *one = shard_of(item->table, item->hash);
        bool charge = all || !FB_RULE(table_all_or_none) ||
                      (!item->allowed && item->plan->charge_denied);
        settle(item, one, charge ? item->step.act : FB_LIMIT_LOOK, true);
        passed = passed && (item->allowed || item->place == FB_LIMIT_TABLE_FULL);
    }
    while (locked_count > 0) {
        pthread_mutex_unlock(&locked[--locked_count]->lock);
    }
    return passed;
}

bool fb_limit_table_decide(fb_limit_item *items, size_t count) {
    FB_ASSERT(count <= FB_LIMIT_QUESTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        items[i].hash += items[i].hash == 0;
    }
    return count == 1 ? decide_one(items) : decide_all(items, count);
}

void fb_limit_table_expect(const fb_limit_table *table, uint64_t hash) {
    const shard *one = shard_of(table, hash);
    const unsigned char *slot = slot_at(table, one, home_of(one, hash));
    for (size_t at = 0; at < table->slot_size; at += CACHE_LINE) {
        __builtin_prefetch(slot + at, 1);
    }
}

bool fb_limit_table_read(fb_limit_table *table, uint64_t hash, fb_limit_state *state) {
    hash += hash == 0;
    shard *one = shard_of(table, hash);
    uint32_t index;
    pthread_mutex_lock(&one->lock);
    bool found = find(table, one, hash, &index);
    if (found) {
        load(table, one, index, state);
    }
    pthread_mutex_unlock(&one->lock);
    return found;
}

void fb_limit_table_forget(fb_limit_table *table, uint64_t hash) {
    hash += hash == 0;
    shard *one = shard_of(table, hash);
    uint32_t index;
    pthread_mutex_lock(&one->lock);
    if (find(table, one, hash, &index)) {
        drop(table, one, index);
    }
    pthread_mutex_unlock(&one->lock);
}

void fb_limit_table_figures_read(const fb_limit_table *table, fb_limit_table_figures *figures) {
    figures->keys = atomic_load_explicit(&table->keys, memory_order_relaxed);
    figures->keys_max = table->keys_max;
    figures->bytes = atomic_load_explicit(&table->bytes, memory_order_relaxed);
}

// All shards as long as they get, and the old array of one that is growing.
uint64_t fb_limit_table_bytes_max(const fb_limit_table *table) {
    return table->own_bytes +
           ((uint64_t)table->shard_mask + 2) * table->cap_max * table->slot_size;
}

static void check_shard(const fb_limit_table *table, const shard *one, uint32_t number) {
    uint32_t count = 0, index;
    for (uint32_t i = 0; i < cap_of(one); i++) {
        uint64_t hash = hash_at(table, one, i);
        if (hash != 0) {
            fb_limit_state state;
            load(table, one, i, &state);
            FB_ASSERT((hash & table->shard_mask) == number);
            FB_ASSERT(find(table, one, hash, &index) && index == i);
            FB_ASSERT(state.len > 0 && state.len <= table->state_max);
            count++;
        }
    }
    FB_ASSERT(count == one->count && count <= most(cap_of(one)) && cap_of(one) <= table->cap_max);
}

void fb_limit_table_check(fb_limit_table *table) {
    uint64_t keys = 0, bytes = table->own_bytes;
    for (uint32_t i = 0; i <= table->shard_mask; i++) {
        pthread_mutex_lock(&table->shards[i].lock);
        check_shard(table, &table->shards[i], i);
        keys += table->shards[i].count;
        bytes += cap_of(&table->shards[i]) * table->slot_size;
    }
    // With all shards locked nobody can change these.
    FB_ASSERT(keys == atomic_load_explicit(&table->keys, memory_order_relaxed));
    FB_ASSERT(keys <= table->keys_max);
    FB_ASSERT(bytes == atomic_load_explicit(&table->bytes, memory_order_relaxed));
    FB_ASSERT(bytes <= fb_limit_table_bytes_max(table));
    for (uint32_t i = 0; i <= table->shard_mask; i++) {
        pthread_mutex_unlock(&table->shards[i].lock);
    }
}
