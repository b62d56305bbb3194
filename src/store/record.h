// store/record.h -- how one item lies in a segment: a header of 16 bytes, its expiry if it has one,
// key, extra, value; rounded up to 8 bytes.

#ifndef FB_STORE_RECORD_H
#define FB_STORE_RECORD_H

#include "store/region.h"

#include "base/hash.h"

#include <string.h>

typedef struct fb_record {
    uint32_t value_word;  // length of the value, FB_RECORD_DEAD, FB_RECORD_EXPIRES
    uint16_t key_len;
    uint16_t class_id;
    uint32_t version_low;
    uint16_t version_high;
    uint8_t extra_len;
    uint8_t flags;
} fb_record;
_Static_assert(sizeof(fb_record) == 16, "an item's header is 16 bytes");

#define FB_RECORD_DEAD (UINT32_C(1) << 31)     // no slot leads to it any more
#define FB_RECORD_EXPIRES (UINT32_C(1) << 30)  // 8 bytes of expires_ns follow the header
#define FB_RECORD_LEN_MASK (FB_RECORD_EXPIRES - 1)
// The largest key + value; the rest of 2^30 is more than header, extra and rounding.
#define FB_RECORD_MAX ((UINT64_C(1) << 30) - 65536)

static inline fb_record *fb_record_at(const fb_store *store, uint64_t offset) {
    return (fb_record *)(void *)(store->base + offset);
}
static inline uint64_t fb_slot_offset(uint64_t slot) {
    return (slot & FB_SLOT_OFFSET_MASK) << 3;
}
static inline unsigned fb_slot_frequency(uint64_t slot) {
    return (unsigned)(slot >> FB_SLOT_FREQUENCY_SHIFT) & FB_SLOT_FREQUENCY_MAX;
}
static inline uint64_t fb_slot_make(uint64_t hash, unsigned frequency, uint64_t offset) {
    return (hash >> 32) << FB_SLOT_TAG_SHIFT | (uint64_t)frequency << FB_SLOT_FREQUENCY_SHIFT |
           offset >> 3;
}
static inline bool fb_record_dead(const fb_record *record) {
    return (record->value_word & FB_RECORD_DEAD) != 0;
}
static inline uint32_t fb_record_head(const fb_record *record) {
    return (record->value_word & FB_RECORD_EXPIRES) != 0 ? 24 : 16;
}
static inline uint32_t fb_record_value_len(const fb_record *record) {
    return record->value_word & FB_RECORD_LEN_MASK;
}
static inline const char *fb_record_bytes(const fb_record *record) {
    return (const char *)record + fb_record_head(record);
}
static inline fb_str fb_record_key(const fb_record *record) {
    return (fb_str){fb_record_bytes(record), record->key_len};
}
static inline uint64_t fb_record_version(const fb_record *record) {
    return (uint64_t)record->version_high << 32 | record->version_low;
}
// Bytes it takes in a segment.
static inline uint32_t fb_record_size(const fb_record *record) {
    uint32_t size = fb_record_head(record) + record->key_len + record->extra_len +
                    fb_record_value_len(record);
    return (uint32_t)fb_round_up(size, 8);
}
static inline uint32_t fb_record_size_for(const fb_item *item) {
    uint64_t size = (item->expires_ns != 0 ? 24U : 16U) + item->key.len + item->extra.len +
                    item->value.len;
    return (uint32_t)fb_round_up(size, 8);
}
static inline int64_t fb_record_expires(const fb_record *record) {
    int64_t expires_ns = 0;
    if ((record->value_word & FB_RECORD_EXPIRES) != 0) {
        memcpy(&expires_ns, record + 1, sizeof(expires_ns));
    }
    return expires_ns;
}
static inline bool fb_record_expired(const fb_record *record, int64_t now_ns) {
    int64_t expires_ns = fb_record_expires(record);
    return expires_ns != 0 && expires_ns <= now_ns;
}
static inline uint64_t fb_record_hash(const fb_store *store, const fb_record *record) {
    return fb_hash64(fb_record_key(record), store->seed);
}

void fb_record_read(const fb_record *record, fb_item *item);
// What `item` points at may lie in the record itself, but only exactly where it is going to be.
void fb_record_write(fb_record *record, const fb_item *item, uint64_t version);
// Only expiry (which must have its place), class, flags and extra of the same length.
void fb_record_change(fb_record *record, const fb_item *item);
// The record to a place that no slot leads to.
void fb_record_copy(fb_record *to, const fb_record *from);
// No slot leads to it any more.
void fb_record_kill(fb_record *record);
// Whether `item` can be written over the record that is there.
bool fb_record_fits(const fb_record *record, const fb_item *item);
// Whether the layer above, too, still wants it at now_ns.
bool fb_record_wanted(const fb_store *store, const fb_record *record, int64_t now_ns);

#endif
