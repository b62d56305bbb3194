// Regions in files: who else may read them, what is refused, and what is there after a restart.

#include <forebay/store.h>

#include "support.h"

#include "store/region.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static const int64_t NOW = 1000;
static const uint64_t BOOT = 77;
static const uint64_t APP_FORMAT = 5;
static char bytes[1 << 20];

// The n-th call that asks the system for memory fails, if n is not 0. The symbols of the C library
// are replaced for this program, so that the store itself needs no hook.
static unsigned fail_at, fail_errno;
static unsigned asked;

static bool fails(void) {
    return fail_at != 0 && ++asked == fail_at;
}

// The n-th call into the C library that adopting makes is its last, if n is not 0.
static unsigned die_at;

static void may_die(void) {
    if (die_at != 0 && --die_at == 0) {
        _exit(1);
    }
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    (void)attributes;
    may_die();
    *mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    return 0;
}

int fallocate(int fd, int mode, off_t offset, off_t len) {
    may_die();
    if (mode == 0 && fails()) {
        errno = (int)fail_errno;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

// How large the file system is that the file alone lies in; 0: it has no size.
static uint64_t system_bytes;

int fstatfs(int fd, struct statfs *about) {
    struct stat file;
    int result = (int)syscall(SYS_fstatfs, fd, about);
    if (result == 0 && system_bytes != 0 && fstat(fd, &file) == 0) {
        uint64_t used = (uint64_t)file.st_blocks * 512;
        about->f_blocks = system_bytes / 4096;
        about->f_bavail = used < system_bytes ? (system_bytes - used) / 4096 : 0;
    }
    return result;
}

int ftruncate(int fd, off_t len) {
    if (fails()) {
        errno = (int)fail_errno;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, len);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *mmap(void *at, size_t len, int access, int flags, int fd, off_t offset) {
    if (fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, len, access, flags, fd, offset);
}
#endif

static int make_file(void) {
    int fd = memfd_create("region", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static fb_store_options options_for(int fd, uint64_t limit_bytes) {
    return (fb_store_options){.limit_bytes = limit_bytes,
                              .limit_max_bytes = 4 * limit_bytes,
                              .seed = 7,
                              .app_bytes = 5000,
                              .app_format = APP_FORMAT,
                              .boot = BOOT,
                              .in_file = true,
                              .fd = fd};
}

static fb_store *make(int fd, uint64_t limit_bytes) {
    fb_store_options options = options_for(fd, limit_bytes);
    fb_store *store = NULL;
    assert_ok(fb_store_new(&options, &store));
    return store;
}

static fb_store *attach(int fd) {
    fb_store *store = NULL;
    assert_ok(fb_store_attach(fd, APP_FORMAT, BOOT, &store, NULL));
    return store;
}

static fb_store *adopt(int fd, uint64_t limit_bytes, fb_store_adopted *adopted) {
    fb_store_options options = options_for(fd, limit_bytes);
    fb_store *store = NULL;
    fb_error error = {0};
    int result = fb_store_adopt(&options, &store, adopted, &error);
    if (result != FB_OK) {
        fail_msg("not adopted: %s", error.text);
    }
    fb_store_check(store);
    return store;
}

static fb_str key_of(uint64_t number, char *text) {
    int len = snprintf(text, 64, "key:%llu", (unsigned long long)number);
    return fb_str_make(text, (size_t)len);
}

// What is kept under a number: its key, again and again.
static fb_str value_of(uint64_t number, size_t len, char *room) {
    char text[64];
    fb_str key = key_of(number, text);
    for (size_t i = 0; i < len; i++) {
        room[i] = key.ptr[i % key.len];
    }
    return fb_str_make(room, len);
}

static void put(fb_store *store, uint64_t number, size_t value_len) {
    char text[64];
    fb_item item = {.key = key_of(number, text), .value = value_of(number, value_len, bytes)};
    assert_ok(fb_store_put(store, &item, NOW, NULL));
}

// Whether it is there; what is there must be right.
static bool get(fb_store *store, uint64_t number) {
    static char room[sizeof(bytes)];
    static char expected[sizeof(bytes)];
    char text[64];
    fb_item item;
    int result = fb_store_get_copy(store, key_of(number, text), NOW, room, sizeof(room), &item);
    assert_true(result == FB_OK || result == FB_MISS);
    if (result == FB_OK) {
        assert_bytes(item.value, value_of(number, item.value.len, expected));
    }
    return result == FB_OK;
}

static unsigned count_there(fb_store *store, unsigned count) {
    unsigned there = 0;
    for (unsigned i = 0; i < count; i++) {
        there += get(store, i);
    }
    return there;
}

static uint64_t file_bytes(int fd) {
    struct stat about;
    assert_int_equal(fstat(fd, &about), 0);
    return (uint64_t)about.st_blocks * 512;
}

static uint64_t committed(const fb_store *store) {
    return store->region->committed;
}

static uint64_t items_of(fb_store *store) {
    fb_store_stats stats;
    fb_store_stats_read(store, &stats);
    return stats.items;
}

// Reading from elsewhere

static void test_store__a_reader_of_the_file_sees_what_is_written(void **state) {
    (void)state;
    int fd = make_file();
    fb_store *store = make(fd, 4 << 20);
    fb_store *reader = attach(fd);
    put(store, 1, 100);
    put(store, 2, 400000);
    assert_true(get(reader, 1));
    assert_true(get(reader, 2));
    assert_false(get(reader, 3));
    put(store, 3, 0);
    assert_true(get(reader, 3));
    char text[64];
    assert_ok(fb_store_del(store, key_of(1, text), NOW));
    assert_false(get(reader, 1));
    assert_int_equal(fb_store_clear(store), 2);
    assert_int_equal(count_there(reader, 4), 0);
    put(store, 2, 10);
    assert_true(get(reader, 2));
    fb_store_stats stats;
    fb_store_stats_read(reader, &stats);
    assert_int_equal(stats.limit_bytes, 4 << 20);
    fb_store_free(reader);
    fb_store_free(store);
    (void)close(fd);
}

static void test_store__a_region_says_whether_somebody_writes(void **state) {
    (void)state;
    int fd = make_file();
    fb_store *store = make(fd, 1 << 20);
    fb_store *reader = attach(fd);
    assert_false(fb_store_alive_at(reader, NOW, 100));
    fb_store_beat(store, NOW);
    assert_true(fb_store_alive_at(reader, NOW, 100));
    assert_true(fb_store_alive_at(reader, NOW + 99, 100));
    assert_true(fb_store_alive_at(reader, NOW - 1, 100));
    assert_false(fb_store_alive_at(reader, NOW + 100, 100));
    assert_false(fb_store_alive_at(reader, NOW - 100, 100));
    assert_false(fb_store_alive_at(reader, INT64_MIN, 100));
    fb_store_retire(store);
    assert_false(fb_store_alive_at(reader, NOW, 100));
    fb_store_free(store);
    fb_store_adopted adopted;
    store = adopt(fd, 1 << 20, &adopted);
    assert_true(fb_store_alive_at(reader, NOW, 100));
    fb_store_free(reader);
    fb_store_free(store);
    (void)close(fd);
}

static void test_store__the_layer_above_has_room_of_its_own(void **state) {
    (void)state;
    int fd = make_file();
    fb_store *store = make(fd, 1 << 20);
    uint64_t room = 0;
    char *app = fb_store_app(store, &room);
    assert_int_equal(room, 5000);
    for (unsigned i = 0; i < room; i++) {
        assert_int_equal(app[i], 0);
    }
    memset(app, 'x', room);
    for (unsigned i = 0; i < 20000; i++) {
        put(store, i, 100);
    }
    fb_store *reader = attach(fd);
    const char *seen = fb_store_app(reader, &room);
    assert_int_equal(room, 5000);
    assert_memory_equal(seen, app, room);
    fb_store_free(reader);
    fb_store_free(store);
    fb_store_adopted adopted;
    store = adopt(fd, 1 << 20, &adopted);
    app = fb_store_app(store, NULL);
    assert_int_equal(app[4999], 'x');
    fb_store_free(store);
    (void)close(fd);
    fb_store_options options = {.limit_bytes = 1 << 20};
    assert_ok(fb_store_new(&options, &store));
    assert_null(fb_store_app(store, &room));
    assert_int_equal(room, 0);
    fb_store_free(store);
}

// What is refused

static void refuse(int fd, uint64_t app_format, uint64_t boot) {
    fb_store *store = NULL;
    fb_error error = {0};
    fb_store_adopted adopted;
    assert_result(fb_store_attach(fd, app_format, boot, &store, &error), FB_EINVAL);
    assert_null(store);
    assert_true(error.text[0] != '\0');
    fb_store_options options = options_for(fd, 1 << 20);
    options.app_format = app_format;
    options.boot = boot;
    assert_result(fb_store_adopt(&options, &store, &adopted, &error), FB_EINVAL);
    assert_null(store);
}

static void test_store__a_region_of_others_is_refused(void **state) {
    (void)state;
    int fd = make_file();
    refuse(fd, APP_FORMAT, BOOT);
    fb_store_free(make(fd, 1 << 20));
    refuse(fd, APP_FORMAT + 1, BOOT);
    refuse(fd, APP_FORMAT, BOOT + 1);
    struct stat about;
    assert_int_equal(fstat(fd, &about), 0);
    assert_int_equal(ftruncate(fd, about.st_size - 1), 0);
    refuse(fd, APP_FORMAT, BOOT);
    assert_int_equal(ftruncate(fd, about.st_size + 4096), 0);
    refuse(fd, APP_FORMAT, BOOT);
    assert_int_equal(ftruncate(fd, about.st_size), 0);
    fb_store_free(attach(fd));
    static const size_t FIELDS[] = {
        offsetof(fb_region, magic),         offsetof(fb_region, format),
        offsetof(fb_region, page_size),     offsetof(fb_region, size),
        offsetof(fb_region, limit_max),     offsetof(fb_region, shard_count),
        offsetof(fb_region, shard_bits),    offsetof(fb_region, segment_shift),
        offsetof(fb_region, segment_count), offsetof(fb_region, shards_at),
        offsetof(fb_region, log_at),        offsetof(fb_region, app_at),
    };
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++) {
        // Of the largest limit less than a segment does not matter.
        unsigned low = FIELDS[i] == offsetof(fb_region, limit_max) ? 16 : 0;
        for (unsigned bit = low; bit < 32; bit++) {
            uint32_t word = 0;
            uint32_t other;
            assert_int_equal(pread(fd, &word, sizeof(word), (off_t)FIELDS[i]), sizeof(word));
            other = word ^ UINT32_C(1) << bit;
            assert_int_equal(pwrite(fd, &other, sizeof(word), (off_t)FIELDS[i]), sizeof(word));
            refuse(fd, APP_FORMAT, BOOT);
            assert_int_equal(pwrite(fd, &word, sizeof(word), (off_t)FIELDS[i]), sizeof(word));
        }
    }
    fb_store_free(attach(fd));
    (void)close(fd);
}

static void test_store__only_a_region_that_fits_the_options_is_adopted(void **state) {
    (void)state;
    int fd = make_file();
    fb_store_free(make(fd, 4 << 20));
    fb_store *store = NULL;
    fb_store_adopted adopted;
    fb_store_options options = options_for(fd, 16 << 20);
    options.limit_bytes++;
    assert_result(fb_store_adopt(&options, &store, &adopted, NULL), FB_EINVAL);
    options.limit_bytes = FB_STORE_LIMIT_MIN - 1;
    assert_result(fb_store_adopt(&options, &store, &adopted, NULL), FB_EINVAL);
    options = options_for(fd, 4 << 20);
    options.shard_count = 64;
    assert_result(fb_store_adopt(&options, &store, &adopted, NULL), FB_EINVAL);
    options = options_for(fd, 4 << 20);
    options.app_bytes = 0;
    assert_result(fb_store_adopt(&options, &store, &adopted, NULL), FB_EINVAL);
    options = options_for(fd, 4 << 20);
    options.in_file = false;
    assert_result(fb_store_adopt(&options, &store, &adopted, NULL), FB_EINVAL);
    fb_store_free(adopt(fd, 16 << 20, &adopted));
    (void)close(fd);
}

static void test_store__a_file_that_cannot_hold_a_region_is_an_error(void **state) {
    (void)state;
    int fds[2];
    fb_store *store = NULL;
    assert_int_equal(pipe(fds), 0);
    fb_store_options options = options_for(fds[0], 1 << 20);
    assert_result(fb_store_new(&options, &store), FB_EIO);
    assert_result(fb_store_attach(fds[0], APP_FORMAT, BOOT, &store, NULL), FB_EINVAL);
    options.fd = -1;
    assert_result(fb_store_new(&options, &store), FB_EIO);
    assert_result(fb_store_attach(-1, APP_FORMAT, BOOT, &store, NULL), FB_EIO);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

// After a restart

static void test_store__what_was_there_is_adopted(void **state) {
    (void)state;
    int fd = make_file();
    fb_store *store = make(fd, 4 << 20);
    for (unsigned i = 0; i < 8000; i++) {
        put(store, i, i % 200);
    }
    put(store, 8000, 300000);
    uint64_t version = 0;
    char text[64];
    fb_item item = {.key = key_of(1, text), .value = value_of(1, 9, bytes)};
    assert_ok(fb_store_put(store, &item, NOW, &version));
    unsigned there = count_there(store, 8001);
    assert_true(there > 7900);
    uint64_t items = items_of(store);
    fb_store_free(store);
    fb_store_adopted adopted = {0};
    store = adopt(fd, 4 << 20, &adopted);
    assert_int_equal(adopted.shards_dropped, 0);
    assert_int_equal(adopted.items, items);
    assert_int_equal(items_of(store), items);
    assert_int_equal(count_there(store, 8001), there);
    uint64_t next = 0;
    assert_ok(fb_store_put(store, &item, NOW, &next));
    assert_true(next > version);
    for (unsigned i = 0; i < 60000; i++) {
        put(store, 10000 + i, i % 300);
    }
    fb_store_check(store);
    assert_true(file_bytes(fd) <= committed(store) + 2 * 4096 + 5000 + 4096);
    fb_store_free(store);
    (void)close(fd);
}

static void test_store__another_limit_is_taken_on(void **state) {
    (void)state;
    int fd = make_file();
    fb_store *store = make(fd, 8 << 20);
    for (unsigned i = 0; i < 40000; i++) {
        put(store, i, 200);
    }
    fb_store_free(store);
    fb_store_adopted adopted;
    store = adopt(fd, 3 << 20, &adopted);
    assert_true(committed(store) <= 3 << 20);
    assert_true(file_bytes(fd) <= (3 << 20) + 16384);
    assert_true(count_there(store, 40000) > 5000);
    fb_store_free(store);
    store = adopt(fd, 32 << 20, &adopted);
    for (unsigned i = 0; i < 60000; i++) {
        put(store, i, 200);
    }
    assert_true(count_there(store, 60000) > 59000);
    fb_store_free(store);
    (void)close(fd);
}

static void test_store__a_region_of_an_odd_size_is_adopted(void **state) {
    (void)state;
    // The log ends within an extent.
    int fd = make_file();
    fb_store_adopted adopted;
    fb_store *store = make(fd, 20000000);
    put(store, 1, 100);
    fb_store_free(store);
    store = adopt(fd, 20000000, &adopted);
    assert_true(get(store, 1));
    fb_store_free(store);
    (void)close(fd);
}

static void test_store__a_torn_shard_is_dropped_alone(void **state) {
    (void)state;
    int fd = make_file();
    fb_store *store = make(fd, 16 << 20);
    uint32_t shards = store->region->shard_count;
    assert_true(shards > 1);
    for (unsigned i = 0; i < 20000; i++) {
        put(store, i, 100);
    }
    uint64_t torn = store->shards[1].items;
    uint64_t items = items_of(store);
    fb_store *reader = attach(fd);
    store->shards[1].busy = 1;
    fb_store_free(store);
    fb_store_adopted adopted;
    store = adopt(fd, 16 << 20, &adopted);
    assert_int_equal(adopted.shards_dropped, 1);
    assert_int_equal(adopted.items, items - torn);
    assert_int_equal(count_there(store, 20000), items - torn);
    assert_int_equal(count_there(reader, 20000), items - torn);
    for (unsigned i = 0; i < 20000; i++) {
        put(store, i, 100);
    }
    assert_int_equal(count_there(reader, 20000), 20000);
    fb_store_check(store);
    fb_store_free(reader);
    fb_store_free(store);
    (void)close(fd);
}

// In another process; whether it came to the end.
static bool adopt_until(int fd, unsigned call) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fb_store_options options = options_for(fd, 1 << 20);
        fb_store *store = NULL;
        fb_store_adopted adopted;
        die_at = call;
        _exit(fb_store_adopt(&options, &store, &adopted, NULL) == FB_OK ? 0 : 2);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

static void test_store__who_adopts_may_be_killed_too(void **state) {
    (void)state;
    int fd = make_file();
    fb_store_options options = options_for(fd, 1 << 20);
    options.shard_count = 4;
    fb_store *store = NULL;
    assert_ok(fb_store_new(&options, &store));
    for (unsigned i = 0; i < 3000; i++) {
        put(store, i, i % 100);
    }
    uint64_t items = items_of(store) - store->shards[1].items;
    uint64_t version = store->shards[1].version;
    unsigned call = 0;
    do {
        fb_store_adopted adopted;
        store->shards[1].busy = 1;
        fb_store_free(store);
        bool done = adopt_until(fd, ++call);
        store = adopt(fd, 1 << 20, &adopted);
        assert_int_equal(adopted.items, items);
        // No version is given out twice.
        assert_true(store->shards[1].version > version);
        version = store->shards[1].version;
        call = done ? 0 : call;
    } while (call != 0);
    fb_store_free(store);
    (void)close(fd);
}

// Any word of what a shard is made of, spoiled: the region is adopted, sound, without that shard or
// with it.
static void test_store__a_damaged_region_is_adopted_as_far_as_it_is_sound(void **state) {
    (void)state;
    fb_rng rng;
    fb_rng_init(&rng, test_seed());
    int good = make_file();
    fb_store *store = make(good, 1 << 20);
    for (unsigned i = 0; i < 3000; i++) {
        put(store, i, i % 100);
    }
    put(store, 3000, 50000);
    uint64_t size = store->size;
    uint64_t log_at = store->log_at;
    uint64_t shards_at = (uint64_t)((uint8_t *)store->shards - store->base);
    uint64_t segments_at = store->region->segments.offset;
    uint64_t zones_at = store->zones_at;
    fb_store_free(store);
    uint8_t *from = mmap(NULL, size, PROT_READ, MAP_SHARED, good, 0);
    assert_true(from != MAP_FAILED);
    uint64_t head = log_at + (1 << 20);
    struct {
        uint64_t at, len;
    } places[] = {{shards_at, sizeof(fb_shard)},
                  {segments_at, 50 * sizeof(fb_segment)},
                  {zones_at, 64 * 64},
                  {log_at, 1 << 20}};
    unsigned dropped = 0;
    for (unsigned round = 0; round < 300; round++) {
        int fd = make_file();
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        assert_int_equal(pwrite(fd, from, head, 0), (ssize_t)head);
        unsigned place = (unsigned)fb_rng_below(&rng, 4);
        uint64_t at = places[place].at + fb_rng_below(&rng, places[place].len / 4) * 4;
        uint32_t word = fb_rng_below(&rng, 2) == 0 ? (uint32_t)fb_rng_next(&rng)
                                                   : (uint32_t)fb_rng_below(&rng, 100);
        assert_int_equal(pwrite(fd, &word, sizeof(word), (off_t)at), sizeof(word));
        fb_store_options options = options_for(fd, 1 << 20);
        fb_store_adopted adopted;
        assert_ok(fb_store_adopt(&options, &store, &adopted, NULL));
        fb_store_check(store);
        dropped += adopted.shards_dropped;
        for (unsigned i = 0; i < 300; i++) {
            put(store, 5000 + i, i);
        }
        fb_store_check(store);
        fb_store_free(store);
        (void)close(fd);
    }
    print_message("%u of 300 dropped\n", dropped);
    assert_true(dropped > 30);
    munmap(from, size);
    (void)close(good);
}

// Where memory ends

static void test_store__a_full_file_system_is_a_limit(void **state) {
    (void)state;
    int fd = make_file();
    fb_store *store = make(fd, 8 << 20);
    for (unsigned i = 0; i < 10000; i++) {
        put(store, i, 100);
    }
    uint64_t most = 2 << 20;
    system_bytes = most;
    assert_true(committed(store) < most);
    for (unsigned i = 0; i < 30000; i++) {
        put(store, i, 100 + i % 7 * 300);
        if (i % 1000 == 0) {
            put(store, 50000, 200000);
            assert_true(get(store, 50000));
            fb_store_check(store);
            (void)fb_store_sweep(store, NOW, 100);
        }
    }
    fb_store_check(store);
    assert_true(file_bytes(fd) < most && committed(store) < most);
    system_bytes = 0;
    for (unsigned i = 0; i < 40000; i++) {
        put(store, i, 250);
    }
    assert_true(committed(store) > 7 << 20);
    fb_store_free(store);
    (void)close(fd);
}

// Every call that asks for memory fails once: what comes is an error, or no change that shows.
static void test_store__each_call_for_memory_may_fail(void **state) {
    (void)state;
    fail_errno = ENOSPC;
    bool passed = false;
    for (unsigned n = 1; !passed; n++) {
        int fd = make_file();
        fb_store *store = NULL;
        fb_store *reader = NULL;
        fb_store_adopted adopted;
        fb_store_options options = options_for(fd, 1 << 20);
        fail_at = n;
        asked = 0;
        int result = fb_store_new(&options, &store);
        assert_true(result == FB_OK || result == FB_ENOMEM || result == FB_EIO);
        if (result == FB_OK) {
            fb_item item = {.key = FB_STR("large"), .value = {bytes, 100000}};
            result = fb_store_put(store, &item, NOW, NULL);
            assert_true(result == FB_OK || result == FB_ENOMEM);
            result = fb_store_attach(fd, APP_FORMAT, BOOT, &reader, NULL);
            assert_true(result == FB_OK || result == FB_ENOMEM);
            fb_store_free(reader);
            assert_ok(fb_store_resize(store, 2 << 20));
            put(store, 1, 100);
            fb_store_check(store);
            fb_store_free(store);
            result = fb_store_adopt(&options, &store, &adopted, NULL);
            assert_true(result == FB_OK || result == FB_ENOMEM || result == FB_EIO);
            if (result != FB_OK) {
                assert_ok(fb_store_adopt(&options, &store, &adopted, NULL));
            }
            fb_store_check(store);
            fb_store_free(store);
        }
        passed = asked < n;
        fail_at = 0;
        (void)close(fd);
    }
}

static int take_on(void *arg) {
    int fd = *(int *)arg;
    fb_store *stores[3] = {NULL, NULL, NULL};
    fb_store_adopted adopted;
    fb_store_options options = options_for(fd, 64 << 20);
    fb_store_options private = {.limit_bytes = 128 << 20};
    int results[] = {fb_store_attach(fd, APP_FORMAT, BOOT, &stores[0], NULL),
                     fb_store_adopt(&options, &stores[1], &adopted, NULL),
                     fb_store_new(&private, &stores[2])};
    int result = FB_OK;
    for (unsigned i = 0; i < 3; i++) {
        result = results[i] != FB_OK ? results[i] : result;
        fb_store_free(stores[i]);
    }
    return result;
}

static void test_store__each_allocation_may_fail(void **state) {
    (void)state;
    int fd = make_file();
    fb_store_free(make(fd, 64 << 20));
    assert_true(test_memory_sweep(take_on, &fd) >= 5);
    (void)close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__a_reader_of_the_file_sees_what_is_written),
        cmocka_unit_test(test_store__a_region_says_whether_somebody_writes),
        cmocka_unit_test(test_store__the_layer_above_has_room_of_its_own),
        cmocka_unit_test(test_store__a_region_of_others_is_refused),
        cmocka_unit_test(test_store__only_a_region_that_fits_the_options_is_adopted),
        cmocka_unit_test(test_store__a_file_that_cannot_hold_a_region_is_an_error),
        cmocka_unit_test(test_store__what_was_there_is_adopted),
        cmocka_unit_test(test_store__another_limit_is_taken_on),
        cmocka_unit_test(test_store__a_region_of_an_odd_size_is_adopted),
        cmocka_unit_test(test_store__a_torn_shard_is_dropped_alone),
        cmocka_unit_test(test_store__who_adopts_may_be_killed_too),
        cmocka_unit_test(test_store__a_damaged_region_is_adopted_as_far_as_it_is_sound),
        cmocka_unit_test(test_store__a_full_file_system_is_a_limit),
        cmocka_unit_test(test_store__each_call_for_memory_may_fail),
        cmocka_unit_test(test_store__each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
