// cache/stamps.h -- how the table of invalidations and classes lies in memory, and reading its
// stamps. It lies in the room that the store keeps for the layer above (cache/outside.h), so it may
// be another process's, and any bytes: what is read here leads nowhere but to "invalidated".
//
// Threads: any, in any process; one process writes (cache/tags.h, cache/coherent.h).

#ifndef FB_CACHE_STAMPS_H
#define FB_CACHE_STAMPS_H

#include <stdatomic.h>

#include "cache/class.h"
#include "cache/coherent.h"
#include "cache/outside.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_TAGS_SLOTS_DEFAULT = 16384,
    FB_TAGS_SLOTS_MAX = 1 << 20,  // a slot's number fits 3 bytes, exact slots included
    // Behind the slots of tags, which are hashed: everything, each class, namespace, partition.
    FB_STAMPS_EXACT = 2 * FB_CLASS_MAX + 1 + FB_PARTITIONS_MAX,
};
#define FB_OUTSIDE_MAGIC UINT64_C(0x32454449535554fb)

// The last invalidations of one slot.
typedef struct fb_stamp {
    _Atomic(uint64_t) hard;  // the sequence of the last one; 0: none
    _Atomic(uint64_t) soft;
    _Atomic(uint64_t) soft_before;  // the soft one before that
    _Atomic(int64_t) soft_ns;       // when the last soft one was
} fb_stamp;

// What a process beside the daemon knows of a class.
#define FB_OUTSIDE_BETA_UNIT 1e6
typedef struct fb_outside_class {
    _Atomic(uint64_t) name_print;   // 0: there is no such class
    _Atomic(uint64_t) value_print;  // of all that its values follow from (fb_class_print())
    _Atomic(uint64_t) namespace_id;
    _Atomic(uint64_t) beta_millionths;  // of early refreshes
} fb_outside_class;

// How far a log of the shared tier is followed (cache/coherent.h).
typedef struct fb_outside_log {
    _Atomic(uint64_t) turn;  // odd while the mark is written
    _Atomic(uint64_t) epoch, seq, nonce;
    _Atomic(int64_t) coherent_ns;  // until when; INT64_MIN: not known
    _Atomic(uint64_t) unsure;      // own changes that are not known to be in the log
    uint64_t reserved[2];
} fb_outside_log;

struct fb_outside_table {
    uint64_t magic;
    uint64_t bytes;      // of all of it
    uint64_t seed;       // of tags' slots
    uint64_t tag_slots;  // a power of two
    // Odd while classes change; else changed whenever they did. What is judged while it is odd, or
    // across a change, is not judged.
    _Atomic(uint64_t) generation;
    _Atomic(uint64_t) partitions;  // of the shared tier; 0: there is none
    uint64_t reserved[2];
    _Atomic(uint64_t) seq;          // raised by every invalidation of any slot
    _Atomic(uint64_t) newest_hard;  // the highest of all slots' `hard`
    _Atomic(uint64_t) newest_soft;
    _Atomic(uint64_t) newest_flush;  // the highest of all partitions' `hard`
    _Atomic(int64_t) coherent_ns;    // the smallest of all logs'; INT64_MAX: no shared tier
    uint64_t reserved_too[3];
    fb_outside_class classes[FB_CLASS_MAX];
    fb_outside_log logs[FB_LOGS_MAX];
    fb_stamp stamps[];  // tag_slots + FB_STAMPS_EXACT
};

// Where a class's, a namespace's, everything's last invalidation is noted.
static inline uint32_t fb_stamps_clear_slot(const fb_outside *at) {
    return at->tag_slots;
}
static inline uint32_t fb_stamps_class_slot(const fb_outside *at, uint16_t class_id) {
    return at->tag_slots + 1 + class_id % FB_CLASS_MAX;
}
static inline uint32_t fb_stamps_namespace_slot(const fb_outside *at, uint16_t namespace_id) {
    return at->tag_slots + 1 + FB_CLASS_MAX + namespace_id % FB_CLASS_MAX;
}
static inline uint32_t fb_stamps_partition_slot(const fb_outside *at, uint32_t partition) {
    return at->tag_slots + 1 + 2 * FB_CLASS_MAX + partition % FB_PARTITIONS_MAX;
}
static inline uint32_t fb_stamps_count(const fb_outside *at) {
    return at->tag_slots + FB_STAMPS_EXACT;
}

// The sequence now. What is loaded afterwards was asked for after every invalidation up to it.
static inline uint64_t fb_stamps_seq(const fb_outside *at) {
    return atomic_load_explicit(&at->table->seq, memory_order_seq_cst);
}

// Whether a slot was invalidated after `seq`. Any number will do as a slot: one beyond the table
// (torn bytes) counts as invalidated.
static inline bool fb_stamps_hard_after(const fb_outside *at, uint32_t slot, uint64_t seq) {
    if (seq >= atomic_load_explicit(&at->table->newest_hard, memory_order_acquire)) {
        return false;
    }
    return slot >= fb_stamps_count(at) ||
           atomic_load_explicit(&at->table->stamps[slot].hard, memory_order_acquire) > seq;
}

// Whether the partition of `key` was flushed after `seq`. The key is hashed only where some
// partition was.
static inline bool fb_stamps_flushed_after(const fb_outside *at, fb_str key, uint64_t seq) {
    if (seq >= atomic_load_explicit(&at->table->newest_flush, memory_order_acquire)) {
        return false;
    }
    uint64_t count = atomic_load_explicit(&at->table->partitions, memory_order_acquire);
    if (count == 0 || count > FB_PARTITIONS_MAX) {
        return count != 0;
    }
    uint32_t partition = fb_partition_of(key, (uint32_t)count);
    return fb_stamps_hard_after(at, fb_stamps_partition_slot(at, partition), seq);
}

// Whether everything here is in step with the shared tier, or there is none.
static inline bool fb_stamps_coherent(const fb_outside *at, int64_t now_ns) {
    return now_ns < atomic_load_explicit(&at->table->coherent_ns, memory_order_relaxed);
}

// The same for soft ones; *soft_ns is when it was, INT64_MIN where there were several (which of
// them was the first is not known any more).
static inline bool fb_stamps_soft_after(const fb_outside *at, uint32_t slot, uint64_t seq,
                                        int64_t *soft_ns) {
    if (seq >= atomic_load_explicit(&at->table->newest_soft, memory_order_acquire) ||
        slot >= fb_stamps_count(at)) {
        return false;
    }
    const fb_stamp *stamp = &at->table->stamps[slot];
    if (atomic_load_explicit(&stamp->soft, memory_order_acquire) <= seq) {
        return false;
    }
    bool several = atomic_load_explicit(&stamp->soft_before, memory_order_acquire) > seq;
    *soft_ns = several ? INT64_MIN : atomic_load_explicit(&stamp->soft_ns, memory_order_acquire);
    return true;
}

#ifdef __cplusplus
}
#endif

#endif
