// A region whose owner means harm: while it is read, another thread writes to it what leads astray.
// Whatever a reader is shown lies within its mapping, and every read comes to an end. (A region
// that is spoiled but stands still is tests/fuzz/store/fuzz_region.c's.)

#include <forebay/store.h>

#include "support.h"

#include "store/bucket.h"
#include "store/record.h"
#include "store/region.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KEYS = 2000, ROUNDS = 3000 };

static const int64_t NOW = 1000;

typedef struct owner {
    const fb_store *layout;  // of the region, for finding one's way in it
    uint8_t *base;
    _Atomic bool stop;
} owner;

typedef struct sight {
    const fb_store *store;
    uint64_t outside, sum;
} sight;

static fb_str key_of(uint64_t number, char *text) {
    int len = snprintf(text, 64, "key:%llu", (unsigned long long)number);
    return fb_str_make(text, (size_t)len);
}

static void write_word(uint8_t *base, uint64_t offset, uint64_t word) {
    __atomic_store_n((uint64_t *)(void *)(base + (offset & ~UINT64_C(7))), word, __ATOMIC_RELAXED);
}

static uint64_t read_word(const uint8_t *base, uint64_t offset) {
    return __atomic_load_n((const uint64_t *)(const void *)(base + offset), __ATOMIC_RELAXED);
}

// Some length, or one that the layout has no room for.
static uint32_t odd_length(fb_rng *rng) {
    uint32_t length = (uint32_t)fb_rng_next(rng) >> fb_rng_below(rng, 32);
    return fb_rng_below(rng, 2) == 0 ? length : length | FB_RECORD_LEN_MASK;
}

// Where a key's shard and slots are while there are few buckets.
typedef struct spot {
    fb_str key;
    uint64_t hash, shard_at, buckets_at, slot_at;
} spot;

static spot choose_spot(const fb_store *at, fb_rng *rng, char *text) {
    fb_str key = key_of(fb_rng_below(rng, KEYS), text);
    uint64_t hash = fb_store_hash(at, key);
    uint64_t shard = (uint64_t)(fb_shard_of(at, hash) - at->shards);
    uint64_t buckets_at = fb_shard_buckets_at(at, shard);
    uint64_t slot = 8 * (1 + fb_rng_below(rng, FB_BUCKET_SLOTS));
    return (spot){.key = key,
                  .hash = hash,
                  .shard_at = (uint64_t)((uint8_t *)&at->shards[shard] - at->base),
                  .buckets_at = buckets_at,
                  .slot_at = buckets_at + fb_split_address(hash, FB_BUCKETS_MIN) * FB_LINE + slot};
}

static void lead_to(const owner *self, const spot *where, uint64_t offset) {
    write_word(self->base, where->slot_at, fb_slot_make(where->hash, 0, offset));
    write_word(self->base, where->shard_at, FB_BUCKETS_MIN);
}

// The key's record at the very end, with a length that there is no room for.
static void write_last(const owner *self, const spot *where, fb_rng *rng) {
    uint64_t offset = self->layout->size - 40 - 8 * fb_rng_below(rng, 4);
    uint64_t words[4] = {odd_length(rng) | (uint64_t)where->key.len << 32, 0, 0, 0};
    memcpy(&words[2], where->key.ptr, where->key.len);
    for (unsigned i = 0; i < 4; i++) {
        write_word(self->base, offset + 8 * i, words[i]);
    }
    lead_to(self, where, offset);
}

static void harm(const owner *self, fb_rng *rng) {
    const fb_store *at = self->layout;
    char text[64];
    spot where = choose_spot(at, rng, text);
    uint64_t place;
    switch (fb_rng_below(rng, 5)) {
        case 0:  // how many buckets
            write_word(self->base, where.shard_at, fb_rng_next(rng) >> fb_rng_below(rng, 33));
            break;
        case 1:  // any word of the index: links, versions, slots
            write_word(self->base, where.buckets_at + fb_rng_below(rng, 1 << 14),
                       fb_rng_next(rng) & ~UINT64_C(1));
            break;
        case 2:  // a slot that leads anywhere
            lead_to(self, &where, fb_rng_next(rng) >> fb_rng_below(rng, 64));
            break;
        case 3:  // a length
            place = at->log_at + (fb_rng_below(rng, 1 << 18) & ~UINT64_C(7));
            write_word(self->base, place,
                       (read_word(self->base, place) & ~(uint64_t)UINT32_MAX) | odd_length(rng));
            break;
        default:
            write_last(self, &where, rng);
            break;
    }
}

static void *be_harmful(void *arg) {
    owner *self = arg;
    fb_rng rng = test_rng();
    while (!self->stop) {
        harm(self, &rng);
    }
    return NULL;
}

static void look_at(sight *self, fb_str bytes) {
    // Under ThreadSanitizer what is shown is a copy.
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    uint64_t offset = (uint64_t)(at - self->store->base);
    if (!FB_RACE_WATCHED &&
        (offset > self->store->size || bytes.len > self->store->size - offset)) {
        self->outside++;
    } else if (bytes.len > 0) {
        self->sum += __atomic_load_n(at, __ATOMIC_RELAXED);
        self->sum += __atomic_load_n(at + bytes.len - 1, __ATOMIC_RELAXED);
    }
}

static void take(void *arg, const fb_item *item) {
    sight *self = arg;
    look_at(self, item->extra);
    look_at(self, item->value);
}

static void read_some(fb_store *store, fb_rng *rng, sight *self) {
    enum { MANY = 16 };
    static char room[4096];
    char texts[MANY][64];
    fb_str keys[MANY];
    void *args[MANY];
    int results[MANY];
    fb_item item;
    for (unsigned i = 0; i < MANY; i++) {
        keys[i] = key_of(fb_rng_below(rng, KEYS), texts[i]);
        args[i] = self;
    }
    fb_store_get_many(store, keys, MANY, NOW, take, args, results);
    int result = fb_store_get_copy(store, keys[0], NOW, room, sizeof(room), &item);
    if (result == FB_OK && item.extra.len + item.value.len > sizeof(room)) {
        self->outside++;
    }
    (void)!fb_store_peek(store, keys[1], NOW, take, self);
    fb_store_use(store, fb_rng_next(rng));
    fb_store_prefetch(store, keys, MANY);
}

static void test_store__a_hostile_owner_leads_no_reader_astray(void **state) {
    (void)state;
    int fd = memfd_create("region", MFD_CLOEXEC);
    fb_store_options options = {.limit_bytes = 2 << 20, .in_file = true, .fd = fd};
    fb_store *writer = NULL;
    fb_store *reader = NULL;
    assert_ok(fb_store_new(&options, &writer));
    for (unsigned i = 0; i < KEYS; i++) {
        char text[64];
        fb_item item = {.key = key_of(i, text), .value = FB_STR("what is there")};
        assert_ok(fb_store_put(writer, &item, NOW, NULL));
    }
    assert_ok(fb_store_attach(fd, 0, 0, &reader, NULL));
    void *mapped = mmap(NULL, writer->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(mapped != MAP_FAILED);
    owner harmful = {.layout = reader, .base = mapped};
    sight seen = {.store = reader};
    fb_rng rng = test_rng();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, be_harmful, &harmful), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        read_some(reader, &rng, &seen);
    }
    harmful.stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(seen.outside, 0);
    munmap(mapped, writer->size);
    fb_store_free(reader);
    fb_store_free(writer);
    (void)close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__a_hostile_owner_leads_no_reader_astray),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
