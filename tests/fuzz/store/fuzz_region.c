// Regions that somebody spoiled. The input is a byte of flags and then changes of a good region,
// eight bytes each: where (a part of the region, and a word in it), and what is there instead. The
// region is attached and read: whatever it holds, nothing outside of the mapping is touched (it has
// guards on either side), and everything ends. Or it is adopted, and then it is sound, and can be
// written to.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "store/region.h"

enum {
    ITEMS = 2000,
    CHANGE = 8,  // bytes
    ADOPT = 1,   // flags
    CUT = 2,
    USED = 3 << 20  // bytes of the region that hold anything
};
#define LIMIT (UINT64_C(1) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct part {
    uint64_t at, len;
} part;

static struct {
    int fd;
    uint8_t *bytes;  // the file
    uint8_t *good;   // as it was made
    uint64_t size;
    part parts[8];
} region;

static fb_store_options options(void) {
    return (fb_store_options){
        .limit_bytes = LIMIT, .limit_max_bytes = LIMIT, .in_file = true, .fd = region.fd};
}

static fb_str key_of(unsigned number, char *text) {
    uint64_t word = number * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(text, &word, sizeof(word));
    return (fb_str){text, 5 + number % 4};
}

static void fill(fb_store *store, unsigned count) {
    static char value[50000];
    char text[8];
    for (unsigned i = 0; i < count; i++) {
        fb_item item = {.key = key_of(i, text),
                        .value = {value, i % 500 == 7 ? sizeof(value) : i % 100},
                        .extra = {value, i % 3 == 0 ? 4 : 0},
                        .expires_ns = i % 5 == 0 ? 1000 : 0};
        FB_ASSERT(fb_store_put(store, &item, 10, NULL) == FB_OK);
    }
}

static void prepare(void) {
    region.fd = memfd_create("region", MFD_CLOEXEC);
    fb_store_options how = options();
    fb_store *store = NULL;
    FB_ASSERT(region.fd >= 0 && fb_store_new(&how, &store) == FB_OK);
    fill(store, ITEMS);
    region.size = store->size;
    part parts[] = {
        {0, 256},
        {0, sizeof(fb_region)},
        {(uint64_t)((uint8_t *)store->shards - store->base), sizeof(fb_shard)},
        {store->region->segments.offset, 80 * sizeof(fb_segment)},
        {fb_shard_buckets_at(store, 0), fb_shard_buckets(store->shards) * FB_LINE},
        {fb_shard_overflow_at(store, 0), 1024},
        {store->log_at, 4096},
        {store->log_at, LIMIT},
    };
    memcpy(region.parts, parts, sizeof(parts));
    FB_ASSERT(store->log_at + LIMIT <= USED && USED <= store->size);
    fb_store_free(store);
    region.bytes = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
    region.good = malloc(USED);
    FB_ASSERT(region.bytes != MAP_FAILED && region.good != NULL);
    memcpy(region.good, region.bytes, USED);
}

static void spoil(const uint8_t *data, size_t size) {
    for (; size >= CHANGE; data += CHANGE, size -= CHANGE) {
        const part *where = &region.parts[data[0] % 8];
        uint64_t word = (uint64_t)data[1] << 16 | (uint64_t)data[2] << 8 | data[3];
        memcpy(region.bytes + where->at + word % (where->len / 4) * 4, data + 4, 4);
    }
}

static void look(void *arg, const fb_item *item) {
    uint64_t *sum = arg;
    for (size_t i = 0; i < item->value.len; i++) {
        *sum += (uint8_t)item->value.ptr[i];
    }
    for (size_t i = 0; i < item->extra.len; i++) {
        *sum += (uint8_t)item->extra.ptr[i];
    }
}

static void read_some(fb_store *store) {
    enum { MANY = 32 };
    static char room[4096];
    static uint64_t sums[MANY];
    char texts[MANY][8];
    fb_str keys[MANY];
    void *args[MANY];
    int results[MANY];
    for (unsigned i = 0; i < ITEMS; i += ITEMS / MANY) {
        unsigned place = i / (ITEMS / MANY) % MANY;
        fb_item item;
        keys[place] = key_of(i, texts[place]);
        args[place] = &sums[place];
        FB_ASSERT(fb_store_get(store, keys[place], 10, look, args[place]) >= 0);
        FB_ASSERT(fb_store_peek(store, keys[place], 10, look, args[place]) >= 0);
        (void)!fb_store_get_copy(store, keys[place], 10, room, sizeof(room), &item);
    }
    fb_store_get_many(store, keys, MANY, 10, look, args, results);
    fb_store_stats stats;
    fb_store_stats_read(store, &stats);
    (void)fb_store_alive_at(store, 10, 10);
    uint64_t app_bytes;
    (void)fb_store_app(store, &app_bytes);
    (void)fb_store_value_max(store);
}

static void read_region(void) {
    fb_store *store = NULL;
    fb_error error = {.text = ""};
    int result = fb_store_attach(region.fd, 0, 0, &store, &error);
    if (result == FB_OK) {
        read_some(store);
        fb_store_free(store);
    } else {
        FB_ASSERT(result == FB_EINVAL && error.text[0] != '\0');
    }
}

static void adopt_region(void) {
    fb_store_options how = options();
    fb_store *store = NULL;
    fb_store_adopted adopted;
    fb_error error = {.text = ""};
    int result = fb_store_adopt(&how, &store, &adopted, &error);
    if (result == FB_OK) {
        fb_store_check(store);
        read_some(store);
        fill(store, ITEMS / 4);
        (void)fb_store_sweep(store, 2000, 1000);
        fb_store_check(store);
        fb_store_free(store);
    } else {
        FB_ASSERT(result == FB_EINVAL && error.text[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (region.bytes == NULL) {
        prepare();
    }
    if (size == 0) {
        return 0;
    }
    spoil(data + 1, size - 1);
    if ((data[0] & CUT) != 0) {
        FB_ASSERT(ftruncate(region.fd, data[0] / 4 * 65536) == 0);
    }
    if ((data[0] & ADOPT) != 0) {
        adopt_region();
    } else {
        read_region();
    }
    // Holes for what is beyond, in case it was written to.
    FB_ASSERT(ftruncate(region.fd, (off_t)USED) == 0);
    FB_ASSERT(ftruncate(region.fd, (off_t)region.size) == 0);
    memcpy(region.bytes, region.good, USED);
    return 0;
}
