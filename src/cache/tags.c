// One counter, `seq`, numbers all invalidations that do not name a key. Each slot holds the number
// of its last one. An entry carries the number that stood when its load began ("captured"); it is
// valid iff no slot of its own holds a higher one. Two kinds of invalidation, two numbers a slot:
// hard ones end an entry, soft ones make it stale.
//
// Order inside a bump: the counter first, then the slot. A load that captures the new number before
// the slot has it was begun after the invalidation was called, so it asks its source after whatever
// the caller changed there: that its entry counts as valid is right. A load that captured a lower
// number is caught as soon as the slot is written, which is before the call returns. (Slot first
// and counter second would need a number that nobody has yet.)
//
// What lets a reader skip the slots: captured == seq means that nothing at all was invalidated
// since; captured >= newest_hard, or newest_soft, that nothing of that kind was. They are raised
// before bump() returns, so a reader that begins afterwards sees them. newest_flush says the same
// of partitions, so that a key is hashed only where some partition was flushed.
//
// When a slot was softly invalidated is kept for the last time only. An entry is stale from the
// first time on, though, or whoever invalidates every minute would have it stale for ever. So the
// number before the last is kept too: an entry that is older than both has been stale since its
// load began, for all that is known.
//
// The numbers lie in the store's region (cache/stamps.h), where processes beside this one read them
// as the threads here do, and where the next daemon finds them: what was invalidated before a
// restart stays so.
//
// Slots of tags are hashed, and two tags in one slot are invalidated together: a miss too many,
// never a stale hit. Classes and namespaces have slots of their own (ids beyond the table wrap, to
// the same effect). The dictionary of names is for people only: nothing is decided by it.

#include "cache/tags.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

enum { NAMES_MAX = 4096, NAME_LOCKS = 16 };

_Static_assert(FB_TAGS_SLOTS_MAX + FB_STAMPS_EXACT < 1 << 24, "a slot's number fits 3 bytes");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit stamps without a lock");

typedef struct name {
    uint32_t slot;
    uint32_t len;
    char text[];
} name;

struct fb_tag_names {
    pthread_mutex_t locks[NAME_LOCKS];  // of the places of equal remainder
    name *places[NAMES_MAX];
};

static int make_names(fb_tags *tags) {
    tags->names = fb_mem_zero(1, sizeof *tags->names);
    if (tags->names == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < NAME_LOCKS; i++) {
        pthread_mutex_init(&tags->names->locks[i], NULL);
    }
    return FB_OK;
}

static void free_names(fb_tag_names *names) {
    if (names == NULL) {
        return;
    }
    for (size_t i = 0; i < NAMES_MAX; i++) {
        fb_mem_free(names->places[i]);
    }
    for (size_t i = 0; i < NAME_LOCKS; i++) {
        pthread_mutex_destroy(&names->locks[i]);
    }
    fb_mem_free(names);
}

// Returns the lower of the two, which is in the number no more, or never was.
static uint64_t raise_to(_Atomic(uint64_t) *number, uint64_t seq) {
    uint64_t old = atomic_load(number);
    while (old < seq && !atomic_compare_exchange_weak(number, &old, seq)) {
    }
    return old < seq ? old : seq;
}

// The tags on a table that is there, whose sizes are known to be right.
static int make_tags(fb_outside_table *table, fb_tags **tags) {
    fb_tags *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->table = table;
    made->outside = (fb_outside){table, (uint32_t)table->tag_slots};
    made->seed = table->seed;
    if (make_names(made) < 0) {
        fb_tags_free(made);
        return FB_ENOMEM;
    }
    *tags = made;
    return FB_OK;
}

int fb_tags_new(void *room, uint32_t slots, uint64_t seed, fb_tags **tags) {
    *tags = NULL;
    slots = slots == 0 ? FB_TAGS_SLOTS_DEFAULT : slots;
    if ((slots & (slots - 1)) != 0 || slots > FB_TAGS_SLOTS_MAX) {
        return FB_EINVAL;
    }
    fb_outside_table *table = room;
    table->bytes = fb_outside_bytes(slots);
    table->seed = seed;
    table->tag_slots = slots;
    atomic_init(&table->seq, 1);
    // Odd: nobody judges by it before there are classes. From the seed, so that no two daemons have
    // the same.
    atomic_init(&table->generation, (seed >> 2) | 1);
    table->magic = FB_OUTSIDE_MAGIC;
    return make_tags(table, tags);
}

int fb_tags_adopt(void *room, uint64_t bytes, fb_tags **tags) {
    *tags = NULL;
    fb_outside there;
    int result = fb_outside_view(room, bytes, &there);
    return result == FB_OK ? make_tags(room, tags) : result;
}

void fb_tags_free(fb_tags *tags) {
    if (tags == NULL) {
        return;
    }
    free_names(tags->names);
    fb_mem_free(tags);
}

uint32_t fb_tags_slot(const fb_tags *tags, fb_str tag) {
    return (uint32_t)(fb_hash64(tag, tags->seed) & (tags->outside.tag_slots - 1));
}

static uint64_t next_seq(fb_outside_table *table) {
    return atomic_fetch_add(&table->seq, 1) + 1;
}

static void bump_hard(fb_outside_table *table, uint32_t slot, uint64_t seq) {
    (void)raise_to(&table->stamps[slot].hard, seq);
    (void)raise_to(&table->newest_hard, seq);
}

static void bump_soft(fb_outside_table *table, uint32_t slot, uint64_t seq, int64_t now_ns) {
    fb_stamp *stamp = &table->stamps[slot];
    // The time first: whoever sees the number finds a time that is not older than it.
    atomic_store(&stamp->soft_ns, now_ns);
    uint64_t before = raise_to(&stamp->soft, seq);
    (void)raise_to(&stamp->soft_before, before);
    (void)raise_to(&table->newest_soft, seq);
}

void fb_tags_bump(fb_tags *tags, uint32_t slot, bool soft, int64_t now_ns) {
    FB_ASSERT(slot < fb_stamps_count(&tags->outside));
    uint64_t seq = next_seq(tags->table);
    if (soft) {
        bump_soft(tags->table, slot, seq, now_ns);
    } else {
        bump_hard(tags->table, slot, seq);
    }
}

void fb_tags_flush(fb_tags *tags, uint32_t partition) {
    uint64_t seq = next_seq(tags->table);
    bump_hard(tags->table, fb_tags_partition_slot(tags, partition), seq);
    (void)raise_to(&tags->table->newest_flush, seq);
}

// The later of two last soft invalidations is the last, and the next of all four the one before.
void fb_tags_inherit(fb_tags *tags, uint16_t class_id, uint16_t namespace_id) {
    fb_stamp *to = &tags->table->stamps[fb_tags_class_slot(tags, class_id)];
    fb_stamp *from = &tags->table->stamps[fb_tags_namespace_slot(tags, namespace_id)];
    (void)raise_to(&to->hard, atomic_load(&from->hard));
    uint64_t soft = atomic_load(&from->soft);
    if (soft > atomic_load(&to->soft)) {
        atomic_store(&to->soft_ns, atomic_load(&from->soft_ns));
    }
    (void)raise_to(&to->soft_before, raise_to(&to->soft, soft));
    (void)raise_to(&to->soft_before, atomic_load(&from->soft_before));
}

void fb_tags_forget_namespaces(fb_tags *tags) {
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        fb_stamp *stamp = &tags->table->stamps[fb_tags_namespace_slot(tags, id)];
        atomic_store(&stamp->hard, 0);
        atomic_store(&stamp->soft, 0);
        atomic_store(&stamp->soft_before, 0);
        atomic_store(&stamp->soft_ns, 0);
    }
}

// ---- names

void fb_tags_note_name(fb_tags *tags, uint32_t slot, fb_str tag) {
    fb_tag_names *names = tags->names;
    name **place = &names->places[slot % NAMES_MAX];
    pthread_mutex_t *lock = &names->locks[slot % NAME_LOCKS];
    pthread_mutex_lock(lock);
    name *old = *place;
    if (old == NULL || old->slot != slot || !fb_str_equal(fb_str_make(old->text, old->len), tag)) {
        name *made = fb_mem_new(sizeof *made + tag.len);
        if (made != NULL) {  // without memory the old name stays: this is for people only
            made->slot = slot;
            made->len = (uint32_t)tag.len;
            memcpy(made->text, tag.ptr, tag.len);
            *place = made;
            fb_mem_free(old);
        }
    }
    pthread_mutex_unlock(lock);
}

void fb_tags_name(fb_tags *tags, uint32_t slot, char text[FB_TAG_LEN_MAX + 1]) {
    fb_tag_names *names = tags->names;
    pthread_mutex_t *lock = &names->locks[slot % NAME_LOCKS];
    pthread_mutex_lock(lock);
    const name *known = names->places[slot % NAMES_MAX];
    if (known != NULL && known->slot == slot && known->len <= FB_TAG_LEN_MAX) {
        memcpy(text, known->text, known->len);
        text[known->len] = '\0';
    } else {
        (void)snprintf(text, FB_TAG_LEN_MAX + 1, "#%u", slot);
    }
    pthread_mutex_unlock(lock);
}
