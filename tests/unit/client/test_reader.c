// Readers over regions that a cache in this process writes: what they answer, whom they refuse, and
// how they go over to another region.

#include <forebay/reader.h>

#include <inttypes.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "cache/hints.h"
#include "reader_rig.h"

static void make_hints(home *h) {
    int fd = open(h->hints, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    uint64_t magic = FB_HINTS_MAGIC;
    assert_int_equal(ftruncate(fd, sizeof(fb_hints)), 0);
    assert_int_equal(pwrite(fd, &magic, sizeof magic, 0), sizeof magic);
    close(fd);
}

static fb_hints *read_hints(const home *h) {
    fb_hints *hints = malloc(sizeof *hints);
    int fd = open(h->hints, O_RDONLY);
    assert_int_equal(read(fd, hints, sizeof *hints), sizeof *hints);
    close(fd);
    return hints;
}

// Patient: what these tests write beats once, and a busy machine may keep them waiting.
static int open_reader(const home *h, fb_reader **reader, fb_error *error) {
    fb_reader_options options = {.file = fb_str_of(h->file), .patience_ms = 600000};
    return fb_reader_open(&options, reader, error);
}

// The value, or "-".
static const char *get(fb_reader *reader, const char *key) {
    static __thread char bytes[4096];
    fb_value value;
    int result = fb_reader_get(reader, fb_str_of(key), bytes, sizeof bytes - 1, &value);
    assert_true(result == FB_OK || result == FB_MISS);
    if (result == FB_MISS) {
        return "-";
    }
    assert_ptr_equal(value.data.ptr, bytes);
    bytes[value.data.len] = '\0';
    return bytes;
}

// ---- what is answered

static void test_reader__answers_what_is_fresh(void **state) {
    home h = open_home();
    fb_reader *reader;
    fb_value value;
    char bytes[64];
    assert_ok(open_reader(&h, &reader, &h.error));
    assert_true(fb_reader_alive(reader));
    put(&h, "plain", "{\"a\":1}", -1);
    put(&h, "page:1", "of a class", 0);
    assert_string_equal(get(reader, "plain"), "{\"a\":1}");
    assert_string_equal(get(reader, "page:1"), "of a class");
    assert_string_equal(get(reader, "other"), "-");
    assert_ok(fb_reader_get(reader, FB_STR("plain"), bytes, sizeof bytes, &value));
    assert_int_equal(value.kind, FB_KIND_JSON);
    assert_int_equal(value.tier, FB_TIER_MEMORY);
    assert_int_equal(value.freshness, FB_FRESH);
    assert_int_equal(value.ttl_ms, -1);
    assert_null(value.owner);
    assert_ok(fb_reader_get(reader, FB_STR("page:1"), bytes, sizeof bytes, &value));
    assert_int_equal(value.kind, FB_KIND_BYTES);
    // By the coarse clock.
    assert_in_range(value.ttl_ms, 1, 10020);
    assert_result(fb_reader_get(reader, FB_STR("page:1"), bytes, 9, &value), FB_ETOOBIG);
    assert_int_equal(value.data.len, 10);
    assert_result(fb_reader_get(reader, FB_STR("plain"), NULL, 0, &value), FB_ETOOBIG);
    fb_reader_close(reader);
    close_home(&h);
}

static void test_reader__sees_every_change_at_once(void **state) {
    home h = open_home();
    fb_reader *reader;
    assert_ok(open_reader(&h, &reader, &h.error));
    put(&h, "k", "1", -1);
    assert_string_equal(get(reader, "k"), "1");
    put(&h, "k", "2", -1);
    assert_string_equal(get(reader, "k"), "2");
    assert_ok(fb_cache_del(h.cache, FB_STR("k"), now()));
    assert_string_equal(get(reader, "k"), "-");
    put(&h, "item:1", "a", 0);
    put(&h, "list:7:p1", "b", 0);
    assert_string_equal(get(reader, "list:7:p1"), "b");
    const fb_invalidation whats[] = {{FB_SCOPE_CLASS, FB_STR("item"), false},
                                     {FB_SCOPE_TAG, FB_STR("user:7"), false}};
    assert_ok(fb_cache_invalidate(h.cache, &whats[0], now(), NULL));
    assert_string_equal(get(reader, "item:1"), "-");
    assert_ok(fb_cache_invalidate(h.cache, &whats[1], now(), NULL));
    assert_string_equal(get(reader, "list:7:p1"), "-");
    fb_reader_close(reader);
    close_home(&h);
}

static void test_reader__expiry_is_exact(void **state) {
    home h = open_home();
    fb_reader *reader;
    char bytes[8];
    fb_value value;
    assert_ok(open_reader(&h, &reader, &h.error));
    for (int i = 0; i < 20; i++) {
        int64_t begun_ns = now();
        assert_ok(fb_cache_put(h.cache, FB_STR("k"), FB_STR("v"), 3000000, NULL, 0, begun_ns));
        int64_t before_ns, after_ns;
        int result;
        do {
            before_ns = now();
            result = fb_reader_get(reader, FB_STR("k"), bytes, sizeof bytes, &value);
            after_ns = now();
            // Never a miss before its time, never a hit after it.
            assert_true(result == FB_OK ? before_ns < begun_ns + 3000000
                                        : after_ns >= begun_ns + 3000000);
        } while (result == FB_OK);
    }
    fb_reader_close(reader);
    close_home(&h);
}

static void test_reader__notes_uses_and_hits(void **state) {
    home h = open_home();
    fb_reader *reader;
    make_hints(&h);
    assert_ok(open_reader(&h, &reader, &h.error));
    put(&h, "page:1", "v", 0);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(get(reader, "page:1"), "v");
    }
    assert_string_equal(get(reader, "page:2"), "-");
    fb_hints *hints = read_hints(&h);
    uint64_t hash = fb_store_hash(fb_cache_store(h.cache), FB_STR("page:1"));
    uint64_t hits = 0;
    for (int i = 0; i < FB_HINTS_STRIPES; i++) {
        hits += hints->hits[i][RIG_PAGE];
    }
    assert_int_equal(hints->keys[hash % FB_HINTS_KEYS], hash);
    assert_int_equal(hits, 5);
    free(hints);
    fb_reader_close(reader);
    close_home(&h);
}

// ---- whom it refuses

static void test_reader__refuses_what_it_cannot_trust(void **state) {
    home h = open_home();
    fb_reader *reader;
    char link[128];
    assert_int_equal(chmod(h.file, 0640), 0);
    assert_ok(open_reader(&h, &reader, &h.error));
    fb_reader_close(reader);
    assert_int_equal(chmod(h.file, 0660), 0);
    assert_result(open_reader(&h, &reader, &h.error), FB_EDENIED);
    assert_int_equal(chmod(h.file, 0602), 0);
    assert_result(open_reader(&h, &reader, &h.error), FB_EDENIED);
    assert_non_null(strstr(h.error.text, "may be written to by others"));
    assert_int_equal(chmod(h.file, 0600), 0);
    snprintf(link, sizeof link, "%s/link", h.folder);
    assert_int_equal(symlink(h.file, link), 0);
    fb_reader_options options = {.file = fb_str_of(link)};
    assert_result(fb_reader_open(&options, &reader, &h.error), FB_EIO);
    unlink(link);
    options.file = FB_STR("/dev/shm/forebay-there-is-no-such-file");
    assert_result(fb_reader_open(&options, &reader, &h.error), FB_EIO);
    options.file = FB_STR("");
    assert_result(fb_reader_open(&options, &reader, &h.error), FB_EINVAL);
    // Nothing that a file with something else in it could be taken for.
    snprintf(link, sizeof link, "%s/other", h.folder);
    options.file = fb_str_of(link);
    int fd = open(link, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "forebay", 7), 7);
    assert_result(fb_reader_open(&options, &reader, &h.error), FB_EINVAL);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_result(fb_reader_open(&options, &reader, &h.error), FB_EINVAL);
    close(fd);
    unlink(link);
    assert_int_equal(mkdir(link, 0700), 0);
    assert_result(fb_reader_open(&options, &reader, &h.error), FB_EINVAL);
    rmdir(link);
    close_home(&h);
}

// A region without classes: a store's, not a cache's.
static void test_reader__refuses_regions_without_classes(void **state) {
    home h = open_home();
    fb_reader *reader;
    fb_store *store;
    int fd = open(h.file, O_RDONLY);
    close(fd);
    unlink(h.file);
    fb_store_options options = {.limit_bytes = 4 << 20,
                                .app_bytes = 4096,
                                .app_format = FB_OUTSIDE_FORMAT,
                                .boot = boot(),
                                .in_file = true,
                                .fd = open(h.file, O_RDWR | O_CREAT, 0600)};
    assert_ok(fb_store_new(&options, &store));
    close(options.fd);
    assert_result(open_reader(&h, &reader, &h.error), FB_EINVAL);
    assert_non_null(strstr(h.error.text, "no classes"));
    fb_store_free(store);
    close_home(&h);
}

// ---- regions come and go

// Of a daemon that has just beaten; again where this program was kept waiting since.
static const char *get_after_beat(const home *h, fb_reader *reader, const char *key) {
    int64_t begun_ns;
    const char *text;
    do {
        begun_ns = now();
        fb_store_beat(fb_cache_store(h->cache), begun_ns);
        text = get(reader, key);
    } while (now() - begun_ns > S(1) / 2);
    return text;
}

static void test_reader__a_daemon_that_is_silent_is_a_miss(void **state) {
    home h = open_home();
    fb_reader *reader;
    fb_reader_options options = {.file = fb_str_of(h.file)};
    assert_ok(fb_reader_open(&options, &reader, &h.error));
    put(&h, "k", "v", -1);
    assert_string_equal(get_after_beat(&h, reader, "k"), "v");
    fb_store_beat(fb_cache_store(h.cache), now() - S(2));
    assert_string_equal(get(reader, "k"), "-");
    assert_false(fb_reader_alive(reader));
    // The same daemon, or one that kept the region.
    assert_string_equal(get_after_beat(&h, reader, "k"), "v");
    fb_store_retire(fb_cache_store(h.cache));
    assert_string_equal(get(reader, "k"), "-");
    fb_reader_close(reader);
    close_home(&h);
}

static void replace(home *h, uint64_t seed) {
    fb_store_retire(fb_cache_store(h->cache));
    fb_cache_free(h->cache);
    make_region(h, seed, 0600);
}

static void await_alive(fb_reader *reader) {
    for (int i = 0; i < 10000 && !fb_reader_alive(reader); i++) {
        (void)usleep(1000);
    }
    assert_true(fb_reader_alive(reader));
}

static void test_reader__takes_up_a_new_region(void **state) {
    home h = open_home();
    fb_reader *reader;
    assert_ok(open_reader(&h, &reader, &h.error));
    put(&h, "k", "old", -1);
    assert_string_equal(get(reader, "k"), "old");
    for (uint64_t i = 2; i < 6; i++) {
        uint64_t generation = fb_reader_generation(reader);
        replace(&h, i);
        assert_string_equal(get(reader, "k"), "-");
        put(&h, "k", "new", -1);
        await_alive(reader);
        assert_string_equal(get(reader, "k"), "new");
        assert_int_not_equal(fb_reader_generation(reader), generation);
    }
    fb_reader_close(reader);
    close_home(&h);
}

static void test_reader__does_not_take_up_what_it_cannot_trust(void **state) {
    home h = open_home();
    fb_reader *reader;
    assert_ok(open_reader(&h, &reader, &h.error));
    fb_store_retire(fb_cache_store(h.cache));
    fb_cache_free(h.cache);
    make_region(&h, 2, 0660);
    put(&h, "k", "v", -1);
    for (int i = 0; i < 250; i++) {
        assert_string_equal(get(reader, "k"), "-");
        (void)usleep(1000);
    }
    assert_int_equal(chmod(h.file, 0600), 0);
    await_alive(reader);
    fb_reader_close(reader);
    close_home(&h);
}

// Values tell their key and where they came from.
static void write_value(char text[64], int key, uint64_t seed, int round) {
    snprintf(text, 64, "%d:%" PRIu64 ":%d:%d", key, seed, round, key * 31 + round);
}

typedef struct crowd {
    fb_reader *reader;
    atomic_bool stop;
    atomic_ullong hits;
    atomic_ullong seed;  // no older region's values after it was written
} crowd;

static void *read_on(void *arg) {
    crowd *with = arg;
    fb_rng rng;
    fb_rng_init(&rng, (uintptr_t)&rng);
    while (!atomic_load(&with->stop)) {
        int key = (int)fb_rng_below(&rng, 50);
        char name[16], bytes[64];
        fb_value value;
        snprintf(name, sizeof name, "k%d", key);
        uint64_t least = atomic_load(&with->seed);
        if (fb_reader_get(with->reader, fb_str_of(name), bytes, sizeof bytes - 1, &value) ==
            FB_OK) {
            int key_is, round, check;
            unsigned long long seed;
            bytes[value.data.len] = '\0';
            FB_ASSERT(sscanf(bytes, "%d:%llu:%d:%d", &key_is, &seed, &round, &check) == 4);
            FB_ASSERT(key_is == key && check == key * 31 + round && seed >= least);
            atomic_fetch_add(&with->hits, 1);
        }
    }
    return NULL;
}

// Regions are replaced under readers that never pause.
static void test_reader__threads_read_while_regions_change(void **state) {
    enum { THREADS = 3, REGIONS = 12 };
    home h = open_home();
    crowd with = {.reader = NULL};
    pthread_t threads[THREADS];
    make_hints(&h);
    assert_ok(open_reader(&h, &with.reader, &h.error));
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &with), 0);
    }
    for (uint64_t seed = 1; seed <= REGIONS; seed++) {
        uint64_t before = atomic_load(&with.hits);
        for (int round = 0; round < 100000 && atomic_load(&with.hits) < before + 200; round++) {
            char name[16], text[64];
            int key = round % 50;
            snprintf(name, sizeof name, "k%d", key);
            write_value(text, key, seed, round);
            put(&h, name, text, -1);
            fb_store_beat(fb_cache_store(h.cache), now());
            if (round > 2000) {
                (void)usleep(100);
            }
        }
        assert_true(atomic_load(&with.hits) >= before + 200);
        replace(&h, seed + 1);
        // The old one is retired: none of its values from here on.
        atomic_store(&with.seed, seed + 1);
    }
    atomic_store(&with.stop, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    fb_reader_close(with.reader);
    close_home(&h);
}

static void test_reader__stays_good_after_fork(void **state) {
    home h = open_home();
    fb_reader *reader;
    assert_ok(open_reader(&h, &reader, &h.error));
    put(&h, "k", "v", -1);
    assert_string_equal(get(reader, "k"), "v");
    pid_t child = fork();
    if (child == 0) {
        bool fine = strcmp(get(reader, "k"), "v") == 0;
        _exit(fine && fb_reader_alive(reader) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fb_reader_close(reader);
    close_home(&h);
}

static int open_and_read(void *arg) {
    home *h = arg;
    fb_reader *reader = NULL;
    int result = open_reader(h, &reader, &h->error);
    if (result == FB_OK) {
        assert_string_equal(get(reader, "k"), "v");
    }
    fb_reader_close(reader);
    return result;
}

static void test_reader__lack_of_memory_is_told(void **state) {
    home h = open_home();
    put(&h, "k", "v", -1);
    (void)test_memory_sweep(open_and_read, &h);
    close_home(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader__answers_what_is_fresh),
        cmocka_unit_test(test_reader__sees_every_change_at_once),
        cmocka_unit_test(test_reader__expiry_is_exact),
        cmocka_unit_test(test_reader__notes_uses_and_hits),
        cmocka_unit_test(test_reader__refuses_what_it_cannot_trust),
        cmocka_unit_test(test_reader__refuses_regions_without_classes),
        cmocka_unit_test(test_reader__a_daemon_that_is_silent_is_a_miss),
        cmocka_unit_test(test_reader__takes_up_a_new_region),
        cmocka_unit_test(test_reader__does_not_take_up_what_it_cannot_trust),
        cmocka_unit_test(test_reader__threads_read_while_regions_change),
        cmocka_unit_test(test_reader__stays_good_after_fork),
        cmocka_unit_test(test_reader__lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
