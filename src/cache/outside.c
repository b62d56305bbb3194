// The rules by which the daemon judges (entry.c), for a reader that knows less: it has the stamps,
// of each class its number, its namespace and how eager it is to refresh early, and nothing else.
// That is enough to say FRESH for certain. All that needs more goes to the daemon: what is stale
// (somebody must load), negative (the class says what that means), an early refresh's value that
// nobody has read (the daemon counts that), and whatever the lot says is to be refreshed early.
//
// That lot is drawn twice: by the reader who then asks, and by the daemon whom he asks. So the
// reader draws with four times the class's beta, which leaves the product near what one draw with
// the class's would give.
//
// Where the shared tier is not followed (cache/coherent.h), it depends on the class what its
// entries are worth: that too is the daemon's to say.
//
// Classes change as a whole: the generation is odd while the rows are written. A reader looks at it
// before and after, and judges nothing by rows, or stamps, of two times.

#include "cache/outside.h"

#include "base/hash.h"
#include "base/str.h"
#include "cache/entry.h"
#include "cache/stamps.h"
#include "store/race.h"

static const double BETA_OF_READERS = 4;

_Static_assert(sizeof(fb_stamp) == 32 && sizeof(fb_outside_class) == 32, "no padding");
_Static_assert(sizeof(fb_outside_log) == 64, "a mark lies in one line");
_Static_assert(sizeof(fb_outside_table) == 128 + FB_CLASS_MAX * sizeof(fb_outside_class) +
                                               FB_LOGS_MAX * sizeof(fb_outside_log),
               "what is written often has a line of its own");

static uint64_t get(const _Atomic(uint64_t) *part) {
    return atomic_load_explicit(part, memory_order_acquire);
}

// Here, because readers outside need it too.
uint32_t fb_partition_of(fb_str key, uint32_t partitions) {
    return (uint32_t)(fb_hash64(fb_str_hash_tag(key), 0) % partitions);
}

uint64_t fb_outside_bytes(uint32_t tag_slots) {
    tag_slots = tag_slots == 0 ? (uint32_t)FB_TAGS_SLOTS_DEFAULT : tag_slots;
    return sizeof(fb_outside_table) + ((uint64_t)tag_slots + FB_STAMPS_EXACT) * sizeof(fb_stamp);
}

int fb_outside_view(const void *room, uint64_t bytes, fb_outside *outside) {
    const fb_outside_table *table = room;
    if (room == NULL || (uintptr_t)room % _Alignof(fb_outside_table) != 0 ||
        bytes < sizeof *table || table->magic != FB_OUTSIDE_MAGIC) {
        return FB_EINVAL;
    }
    // Read once: whoever wrote it may be about to write something else.
    uint64_t slots = fb_race_word(&table->tag_slots);
    if (slots == 0 || slots > FB_TAGS_SLOTS_MAX || (slots & (slots - 1)) != 0) {
        return FB_EINVAL;
    }
    uint64_t needed = fb_outside_bytes((uint32_t)slots);
    if (bytes < needed || table->bytes != needed) {
        return FB_EINVAL;
    }
    *outside = (fb_outside){table, (uint32_t)slots};
    return FB_OK;
}

uint64_t fb_outside_generation(const fb_outside *outside) {
    return get(&outside->table->generation);
}

// ---- judging

// A look at one class that is good if the generation is the same at the end. Each part is read with
// acquire and written with release, so that who saw one of a change sees that there was one.
typedef struct row_look {
    uint64_t generation;
    const fb_outside_class *row;
    uint16_t class_id;
} row_look;

static bool begin_look(const fb_outside *outside, uint16_t class_id, row_look *look) {
    look->generation = fb_outside_generation(outside);
    if (look->generation % 2 != 0 || class_id >= FB_CLASS_MAX) {
        return false;
    }
    look->row = &outside->table->classes[class_id];
    look->class_id = class_id;
    return get(&look->row->name_print) != 0;
}

static bool end_look(const fb_outside *outside, const row_look *look) {
    return fb_outside_generation(outside) == look->generation;
}

// Until when it is fresh. Nearly always a glance is enough: then nothing was invalidated since.
static bool is_fresh(const fb_outside *outside, const row_look *look, const fb_item *item,
                     int64_t now_ns, fb_entry *entry, int64_t *until_ns) {
    if (fb_entry_glance(item, fb_stamps_seq(outside), entry)) {
        *until_ns = entry->fresh_until_ns;
        return now_ns < entry->dead_ns && now_ns < *until_ns;
    }
    fb_kin kin = {look->class_id, (uint16_t)(get(&look->row->namespace_id) % FB_CLASS_MAX)};
    fb_miss_reason why;
    return fb_entry_unpack(item, entry) &&
           fb_entry_fresh_until(entry, kin, outside, now_ns, until_ns, &why) && now_ns < *until_ns;
}

static bool is_early(const row_look *look, const fb_entry *entry, int64_t until_ns, int64_t now_ns,
                     fb_rng *rng) {
    double beta = (double)get(&look->row->beta_millionths) / FB_OUTSIDE_BETA_UNIT;
    return fb_entry_is_early(entry, BETA_OF_READERS * beta, until_ns, now_ns, rng);
}

// What a class's entries are worth where they are not is the daemon's to say.
static bool is_coherent(const fb_outside *outside, fb_str key, int64_t now_ns) {
    const fb_outside_table *table = outside->table;
    if (fb_stamps_coherent(outside, now_ns)) {
        return true;
    }
    uint64_t count = get(&table->partitions);
    if (count == 0 || count > FB_PARTITIONS_MAX) {
        return false;
    }
    const fb_outside_log *log = &table->logs[fb_partition_of(key, (uint32_t)count)];
    return now_ns < atomic_load_explicit(&log->coherent_ns, memory_order_relaxed) &&
           now_ns < atomic_load_explicit(&table->logs[count].coherent_ns, memory_order_relaxed);
}

int fb_outside_judge(const fb_outside *outside, const fb_item *item, int64_t now_ns, fb_rng *rng,
                     fb_value *value) {
    enum { ASK = FB_ENTRY_NEGATIVE | FB_ENTRY_UNCACHEABLE | FB_ENTRY_UNREAD };
    row_look look;
    fb_entry entry;
    fb_judged judged = {.find = FB_FIND_FRESH};
    if ((item->flags & ASK) != 0 || !is_coherent(outside, item->key, now_ns) ||
        !begin_look(outside, item->class_id, &look) ||
        !is_fresh(outside, &look, item, now_ns, &entry, &judged.fresh_until_ns) ||
        (entry.cost_us != 0 && is_early(&look, &entry, judged.fresh_until_ns, now_ns, rng)) ||
        !end_look(outside, &look)) {
        return FB_MISS;
    }
    fb_entry_show(item, &entry, &judged, now_ns, value);
    return FB_OK;
}

uint64_t fb_outside_boot(fb_str boot_id) {
    return fb_hash64(fb_str_trim(boot_id), 0);
}
