// Records: reading and writing them. A field that few items need (the expiry) is there only where
// it is set, and a flag tells; everything a lookup compares lies in the first bytes.

#include "store/record.h"

#include "store/race.h"

void fb_record_read(const fb_record *record, fb_item *item) {
    const char *bytes = fb_record_bytes(record);
    item->key = (fb_str){bytes, record->key_len};
    item->extra = (fb_str){bytes + record->key_len, record->extra_len};
    item->value = (fb_str){item->extra.ptr + record->extra_len, fb_record_value_len(record)};
    item->expires_ns = fb_record_expires(record);
    item->version = fb_record_version(record);
    item->class_id = record->class_id;
    item->flags = record->flags;
}

static char *place(char *to, fb_str bytes) {
    if (bytes.len > 0 && bytes.ptr != to) {
        fb_race_store(to, bytes.ptr, bytes.len);
    }
    return to + bytes.len;
}

void fb_record_write(fb_record *record, const fb_item *item, uint64_t version) {
    fb_record made = {
        .value_word = (uint32_t)item->value.len | (item->expires_ns != 0 ? FB_RECORD_EXPIRES : 0),
        .key_len = (uint16_t)item->key.len,
        .class_id = item->class_id,
        .version_low = (uint32_t)version,
        .version_high = (uint16_t)(version >> 32),
        .extra_len = (uint8_t)item->extra.len,
        .flags = item->flags,
    };
    // A reader that is late may still look at what was here when these bytes were another record.
    fb_race_before_writes();
    fb_race_store(record, &made, sizeof(made));
    if (item->expires_ns != 0) {
        fb_race_store(record + 1, &item->expires_ns, sizeof(item->expires_ns));
    }
    char *to = (char *)record + fb_record_head(&made);
    place(place(place(to, item->key), item->extra), item->value);
}

void fb_record_change(fb_record *record, const fb_item *item) {
    fb_record made = *record;
    made.class_id = item->class_id;
    made.flags = item->flags;
    if ((made.value_word & FB_RECORD_EXPIRES) != 0) {
        fb_race_store(record + 1, &item->expires_ns, sizeof(item->expires_ns));
    }
    fb_race_store(record, &made, sizeof(made));
    if (item->extra.len > 0) {
        // It may point at what it is written over.
        char extra[FB_STORE_EXTRA_MAX];
        memcpy(extra, item->extra.ptr, item->extra.len);
        fb_race_store((char *)record + fb_record_head(&made) + made.key_len, extra,
                      item->extra.len);
    }
}

void fb_record_copy(fb_record *to, const fb_record *from) {
    fb_race_before_writes();
    fb_race_store(to, from, fb_record_size(from));
}

void fb_record_kill(fb_record *record) {
    uint32_t word = record->value_word | FB_RECORD_DEAD;
    fb_race_store(&record->value_word, &word, sizeof(word));
}

// Whether `bytes` are not in what is written over, or exactly where they are going to be.
static bool lies_well(const char *start, const char *end, fb_str bytes, const char *to) {
    return bytes.len == 0 || bytes.ptr >= end || bytes.ptr + bytes.len <= start || bytes.ptr == to;
}

bool fb_record_fits(const fb_record *record, const fb_item *item) {
    uint32_t size = fb_record_size(record);
    if (size != fb_record_size_for(item)) {
        return false;
    }
    const char *start = (const char *)record;
    const char *end = start + size;
    const char *to = start + (item->expires_ns != 0 ? 24 : 16);
    return lies_well(start, end, item->key, to) &&
           lies_well(start, end, item->extra, to + item->key.len) &&
           lies_well(start, end, item->value, to + item->key.len + item->extra.len);
}

bool fb_record_wanted(const fb_store *store, const fb_record *record, int64_t now_ns) {
    if (fb_record_expired(record, now_ns)) {
        return false;
    }
    if (store->alive == NULL) {
        return true;
    }
    fb_item item;
    fb_record_read(record, &item);
    return store->alive(store->alive_arg, &item);
}
