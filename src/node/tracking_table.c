// A chained hash table that doubles. A key's bytes lie behind its node; its readers in an array, as most
// keys have one or two.
//
// What is given up for want of room goes by a hand that turns over the places: neither the oldest nor
// the least used, as neither is known without a price for each read. Redis takes any, too.

#include "node/tracking_table.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

enum { PLACES_MIN = 256, READERS_MIN = 2 };

void fb_tracked_key_free(fb_tracked_key *tracked) {
    if (tracked != NULL) {
        fb_mem_free(tracked->readers);
        fb_mem_free(tracked);
    }
}

void fb_tracking_table_clear(fb_tracking_table *table) {
    for (size_t i = 0; i < table->place_count; i++) {
        fb_tracked_key *tracked = table->places[i];
        while (tracked != NULL) {
            fb_tracked_key *next = tracked->next;
            fb_tracked_key_free(tracked);
            tracked = next;
        }
    }
    fb_mem_free(table->places);
    *table = (fb_tracking_table){.seed = table->seed};
}

uint64_t fb_tracking_table_hash(const fb_tracking_table *table, fb_str key) {
    return fb_hash64(key, table->seed);
}

static fb_tracked_key **place_of(const fb_tracking_table *table, uint64_t hash) {
    return &table->places[hash & (table->place_count - 1)];
}

static fb_tracked_key *look_up(const fb_tracking_table *table, fb_str key, uint64_t hash) {
    if (table->place_count == 0) {
        return NULL;
    }
    fb_tracked_key *tracked = *place_of(table, hash);
    while (tracked != NULL && (tracked->hash != hash || !fb_str_equal(tracked->key, key))) {
        tracked = tracked->next;
    }
    return tracked;
}

fb_tracked_key *fb_tracking_table_find(const fb_tracking_table *table, fb_str key) {
    return look_up(table, key, fb_tracking_table_hash(table, key));
}

// Twice as many places; without the memory for that chains get longer.
static int grow(fb_tracking_table *table) {
    size_t count = table->place_count == 0 ? PLACES_MIN : 2 * table->place_count;
    fb_tracked_key **places = fb_mem_zero(count, sizeof(fb_tracked_key *));
    if (places == NULL) {
        return table->place_count == 0 ? FB_ENOMEM : FB_OK;
    }
    for (size_t i = 0; i < table->place_count; i++) {
        fb_tracked_key *tracked = table->places[i];
        while (tracked != NULL) {
            fb_tracked_key *next = tracked->next;
            fb_tracked_key **place = &places[tracked->hash & (count - 1)];
            tracked->next = *place;
            *place = tracked;
            tracked = next;
        }
    }
    fb_mem_free(table->places);
    table->places = places;
    table->place_count = count;
    table->hand = 0;
    return FB_OK;
}

static fb_tracked_key *add_key(fb_tracking_table *table, fb_str key, uint64_t hash) {
    if (table->keys >= table->place_count && grow(table) < 0) {
        return NULL;
    }
    fb_tracked_key *tracked = fb_mem_new(sizeof *tracked + key.len);
    if (tracked == NULL) {
        return NULL;
    }
    char *bytes = (char *)(tracked + 1);
    if (key.len > 0) {
        memcpy(bytes, key.ptr, key.len);
    }
    fb_tracked_key **place = place_of(table, hash);
    *tracked = (fb_tracked_key){.next = *place, .hash = hash, .key = {bytes, key.len}};
    *place = tracked;
    table->keys++;
    return tracked;
}

static fb_key_reader *find_reader(const fb_tracked_key *tracked, uint64_t id) {
    for (uint32_t i = 0; i < tracked->reader_count; i++) {
        if (tracked->readers[i].id == id) {
            return &tracked->readers[i];
        }
    }
    return NULL;
}

static int add_reader(fb_tracking_table *table, fb_tracked_key *tracked, fb_key_reader who) {
    if (tracked->reader_count == tracked->reader_cap) {
        uint32_t cap = tracked->reader_cap == 0 ? READERS_MIN : 2 * tracked->reader_cap;
        fb_key_reader *readers = fb_mem_resize(tracked->readers, cap * sizeof *readers);
        if (readers == NULL) {
            return FB_ENOMEM;
        }
        tracked->readers = readers;
        tracked->reader_cap = cap;
    }
    tracked->readers[tracked->reader_count++] = who;
    table->readers++;
    return FB_OK;
}

int fb_tracking_table_add(fb_tracking_table *table, fb_str key, fb_key_reader who) {
    uint64_t hash = fb_tracking_table_hash(table, key);
    fb_tracked_key *tracked = look_up(table, key, hash);
    if (tracked == NULL) {
        tracked = add_key(table, key, hash);
        if (tracked == NULL) {
            return FB_ENOMEM;
        }
    }
    fb_key_reader *there = find_reader(tracked, who.id);
    if (there != NULL) {
        *there = who;
        return FB_OK;
    }
    int result = add_reader(table, tracked, who);
    if (tracked->reader_count == 0) {
        fb_tracking_table_take(table, tracked);
        fb_tracked_key_free(tracked);
    }
    return result;
}

fb_tracked_key *fb_tracking_table_settle(fb_tracking_table *table, uint64_t hash,
                                         const fb_key_reader *who, bool *stale) {
    fb_tracked_key *found = NULL;
    fb_tracked_key *tracked = table->place_count > 0 ? *place_of(table, hash) : NULL;
    *stale = false;
    for (; tracked != NULL; tracked = tracked->next) {
        fb_key_reader *reader = tracked->hash == hash ? find_reader(tracked, who->id) : NULL;
        if (reader != NULL) {
            *stale = reader->loaded != 0 && reader->loaded != who->loaded;
            reader->reading = false;
            reader->loaded = 0;
            found = tracked;
        }
    }
    return found;
}

void fb_tracking_table_take(fb_tracking_table *table, fb_tracked_key *tracked) {
    fb_tracked_key **place = place_of(table, tracked->hash);
    while (*place != tracked) {
        FB_ASSERT(*place != NULL);
        place = &(*place)->next;
    }
    *place = tracked->next;
    table->keys--;
    table->readers -= tracked->reader_count;
}

// Leaves the first `kept` of its readers.
static void keep_readers(fb_tracking_table *table, fb_tracked_key *tracked, uint32_t kept) {
    table->readers -= tracked->reader_count - kept;
    tracked->reader_count = kept;
    if (kept == 0) {
        fb_tracking_table_take(table, tracked);
        fb_tracked_key_free(tracked);
    }
}

void fb_tracking_table_hit(fb_tracking_table *table, fb_tracked_key *tracked, fb_key_reader_fn fn,
                           void *arg) {
    for (uint32_t i = 0; i < tracked->reader_count; i++) {
        fn(arg, tracked->key, tracked->readers[i].id);
    }
    keep_readers(table, tracked, 0);
}

void fb_tracking_table_load(fb_tracking_table *table, fb_tracked_key *tracked, uint64_t version,
                            fb_key_reader_fn fn, void *arg) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < tracked->reader_count; i++) {
        fb_key_reader reader = tracked->readers[i];
        if (!reader.reading) {
            fn(arg, tracked->key, reader.id);
            continue;
        }
        reader.loaded = version != 0 ? version : reader.loaded;
        tracked->readers[kept++] = reader;
    }
    keep_readers(table, tracked, kept);
}

fb_tracked_key *fb_tracking_table_walk(const fb_tracking_table *table, fb_tracking_walk *walk) {
    while (walk->next == NULL && walk->place < table->place_count) {
        walk->next = table->places[walk->place++];
    }
    fb_tracked_key *tracked = walk->next;
    walk->next = tracked != NULL ? tracked->next : NULL;
    return tracked;
}

fb_tracked_key *fb_tracking_table_any(fb_tracking_table *table) {
    if (table->keys == 0) {
        return NULL;
    }
    while (table->places[table->hand] == NULL) {
        table->hand = (table->hand + 1) & (table->place_count - 1);
    }
    return table->places[table->hand];
}
