// Many threads on one store. Run under ThreadSanitizer too.

#include <forebay/store.h>

#include "base/hash.h"
#include "support.h"

#include <pthread.h>
#include <sched.h>

enum { THREADS = 4, COUNTERS = 50 };

static char bytes[1 << 20];

typedef struct team {
    fb_store *store;
    unsigned steps, key_count;
    uint64_t largest;
    atomic_uint wrong, failed;
    atomic_bool stop;
} team;

typedef struct worker {
    team *crew;
    fb_rng rng;
    uint64_t expected;
    bool right;  // what was seen last; before that it may have been torn
} worker;

// A value proves by itself that it was stored for its key: key number, length and a hash of them.
typedef struct claim {
    uint64_t key, len, seal;
} claim;

static uint64_t seal_of(uint64_t key, uint64_t len) {
    uint64_t both[2] = {key, len};
    return fb_hash64(fb_str_make((const char *)both, sizeof(both)), 99);
}

static void start(worker *workers, team *crew, void *(*work)(void *)) {
    pthread_t threads[THREADS];
    fb_rng rng = test_rng();
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){.crew = crew};
        fb_rng_init(&workers[i].rng, fb_rng_next(&rng));
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static fb_store *make(uint64_t limit_bytes, uint32_t shard_count) {
    fb_store_options options = {.limit_bytes = limit_bytes, .shard_count = shard_count, .seed = 11};
    fb_store *store = NULL;
    assert_ok(fb_store_new(&options, &store));
    return store;
}

static void verify(void *arg, const fb_item *item) {
    worker *w = arg;
    claim proof;
    bool right = item->value.len >= sizeof(proof) && item->key.len == sizeof(uint64_t);
    if (right) {
        uint64_t key;
        memcpy(&proof, item->value.ptr, sizeof(proof));
        memcpy(&key, item->key.ptr, sizeof(key));
        fb_str rest = {item->value.ptr + sizeof(proof), item->value.len - sizeof(proof)};
        right = proof.key == key && (w->expected == UINT64_MAX || key == w->expected) &&
                proof.len == item->value.len && proof.seal == seal_of(key, proof.len) &&
                memcmp(rest.ptr, bytes, rest.len) == 0;
    }
    w->right = right;
}

static void verify_now(void *arg, const fb_item *item) {
    worker *w = arg;
    verify(w, item);
    w->crew->wrong += !w->right;
}

static void put(worker *w, uint64_t key, char *buffer) {
    uint64_t most = fb_rng_below(&w->rng, 50) == 0 ? w->crew->largest : 2000;
    claim proof = {.key = key, .len = sizeof(proof) + fb_rng_below(&w->rng, most)};
    proof.seal = seal_of(key, proof.len);
    memcpy(buffer, &proof, sizeof(proof));
    fb_item item = {.key = {(char *)&key, sizeof(key)}, .value = {buffer, proof.len}};
    item.expires_ns = fb_rng_below(&w->rng, 3) == 0 ? 1000 : 0;
    w->crew->failed += fb_store_put(w->crew->store, &item, 1, NULL) != FB_OK;
}

// Puts back what is there, one byte shorter where it can be, sealed anew.
static int shorten(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    char *buffer = arg;
    *action = FB_STORE_DELETE;
    if (item == NULL) {
        return FB_MISS;
    }
    claim proof;
    memcpy(&proof, item->value.ptr, sizeof(proof));
    if (proof.len > sizeof(proof)) {
        proof.len--;
        proof.seal = seal_of(proof.key, proof.len);
        memcpy(buffer, &proof, sizeof(proof));
        next->value = fb_str_make(buffer, proof.len);
        *action = FB_STORE_PUT;
    }
    return FB_OK;
}

static void rare(worker *w) {
    fb_store *store = w->crew->store;
    uint64_t cursor = 0;
    switch (fb_rng_below(&w->rng, 6)) {
    case 0:
        w->expected = UINT64_MAX;
        do {
            cursor = fb_store_scan(store, cursor, 100, 1, verify_now, w);
        } while (cursor != 0);
        break;
    case 1:
        (void)fb_store_sweep(store, 1000, 500);
        break;
    case 2:
        (void)fb_store_clear(store);
        break;
    case 3:
        fb_store_check(store);
        break;
    default: {
        fb_store_stats stats;
        fb_store_stats_read(store, &stats);
        uint64_t half = (uint64_t)4 << 20;
        int result = fb_store_resize(store, fb_rng_below(&w->rng, 2) == 0 ? half : 2 * half);
        w->crew->failed += result != FB_OK;
        break;
    }
    }
}

static void *stress(void *arg) {
    worker *w = arg;
    char *buffer = malloc(sizeof(claim) + w->crew->largest);
    memcpy(buffer + sizeof(claim), bytes, w->crew->largest);
    for (unsigned i = 0; i < w->crew->steps; i++) {
        uint64_t key = fb_rng_below(&w->rng, w->crew->key_count);
        fb_str text = {(char *)&key, sizeof(key)};
        unsigned what = (unsigned)fb_rng_below(&w->rng, 1000);
        if (what == 0) {
            rare(w);
        } else if (what < 500) {
            w->expected = key;
            int result = fb_store_get(w->crew->store, text, 1, verify, w);
            w->crew->failed += result < 0;
            w->crew->wrong += result == FB_OK && !w->right;
        } else if (what < 600) {
            w->crew->failed += fb_store_edit(w->crew->store, text, 1, shorten, buffer) < 0;
        } else if (what < 650) {
            w->crew->failed += fb_store_del(w->crew->store, text, 1) < 0;
        } else {
            put(w, key, buffer);
        }
    }
    free(buffer);
    return NULL;
}

static void stress_with(uint64_t limit_bytes, uint32_t shard_count, unsigned steps,
                        uint64_t largest) {
    worker workers[THREADS];
    team crew = {.store = make(limit_bytes, shard_count), .steps = steps, .key_count = 5000};
    crew.largest = largest;
    start(workers, &crew, stress);
    assert_int_equal(crew.wrong, 0);
    assert_int_equal(crew.failed, 0);
    fb_store_check(crew.store);
    fb_store_free(crew.store);
}

static void test_store__a_value_is_always_one_stored_for_its_key(void **state) {
    (void)state;
    stress_with(8 << 20, 0, 40000, 100000);
    stress_with(8 << 20, 2, 20000, 100000);
}

static void test_store__large_values_from_many_threads_find_room(void **state) {
    (void)state;
    // Nearly every edit and put needs room from shards that other threads hold.
    stress_with(8 << 20, 16, 6000, 500000);
}

static int add_one(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    uint64_t *number = arg;
    *number = 0;
    if (item != NULL) {
        memcpy(number, item->value.ptr, sizeof(*number));
    }
    ++*number;
    next->value = fb_str_make((const char *)number, sizeof(*number));
    *action = FB_STORE_PUT;
    return FB_OK;
}

static void *count(void *arg) {
    worker *w = arg;
    uint64_t last[COUNTERS] = {0};
    for (unsigned i = 0; i < w->crew->steps; i++) {
        uint64_t key = fb_rng_below(&w->rng, COUNTERS);
        uint64_t number = 0;
        fb_str text = {(char *)&key, sizeof(key)};
        w->crew->failed += fb_store_edit(w->crew->store, text, 1, add_one, &number) != FB_OK;
        // A counter never goes back for one who watches it.
        w->crew->wrong += number <= last[key];
        last[key] = number;
    }
    return NULL;
}

static void sum_up(void *arg, const fb_item *item) {
    uint64_t number;
    memcpy(&number, item->value.ptr, sizeof(number));
    *(uint64_t *)arg += number;
}

static void test_store__edits_by_many_threads_lose_no_step(void **state) {
    (void)state;
    worker workers[THREADS];
    team crew = {.store = make(8 << 20, 0), .steps = 20000};
    start(workers, &crew, count);
    uint64_t sum = 0;
    assert_int_equal(fb_store_scan(crew.store, 0, UINT64_MAX, 1, sum_up, &sum), 0);
    assert_int_equal(sum, THREADS * crew.steps);
    assert_int_equal(crew.wrong, 0);
    assert_int_equal(crew.failed, 0);
    fb_store_free(crew.store);
}

static void mark(void *arg, const fb_item *item) {
    bool *seen = arg;
    uint64_t key;
    memcpy(&key, item->key.ptr, sizeof(key));
    if (key < 1000) {
        seen[key] = true;
    }
}

// Items 0 … 999 stay; the rest comes and goes.
static void *come_and_go(void *arg) {
    worker *w = arg;
    uint64_t first = 1000 + fb_rng_below(&w->rng, 1000) * 100000;
    while (!w->crew->stop) {
        for (uint64_t i = 0; i < 20000; i++) {
            uint64_t key = first + i;
            fb_item item = {.key = {(char *)&key, sizeof(key)}, .value = FB_STR("v")};
            w->crew->failed += fb_store_put(w->crew->store, &item, 1, NULL) != FB_OK;
        }
        for (uint64_t i = 0; i < 20000; i++) {
            uint64_t key = first + i;
            fb_str text = {(char *)&key, sizeof(key)};
            w->crew->failed += fb_store_del(w->crew->store, text, 1) < 0;
        }
    }
    return NULL;
}

static void test_store__a_scan_among_writers_sees_all_that_stays(void **state) {
    (void)state;
    team crew = {.store = make(UINT64_C(64) << 20, 0)};
    worker workers[2];
    pthread_t threads[2];
    for (uint64_t key = 0; key < 1000; key++) {
        fb_item item = {.key = {(char *)&key, sizeof(key)}, .value = FB_STR("v")};
        assert_ok(fb_store_put(crew.store, &item, 1, NULL));
    }
    for (unsigned i = 0; i < 2; i++) {
        workers[i] = (worker){.crew = &crew};
        fb_rng_init(&workers[i].rng, test_seed() + i);
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &workers[i]), 0);
    }
    unsigned missed = 0;
    for (unsigned round = 0; round < 20; round++) {
        bool seen[1000] = {false};
        uint64_t cursor = 0;
        do {
            cursor = fb_store_scan(crew.store, cursor, 50, 1, mark, seen);
        } while (cursor != 0);
        for (unsigned i = 0; i < 1000; i++) {
            missed += !seen[i];
        }
    }
    crew.stop = true;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(missed, 0);
    assert_int_equal(crew.failed, 0);
    fb_store_check(crew.store);
    fb_store_free(crew.store);
}

// Two threads, two shards, of which one holds nearly all memory and is busy while the other needs
// it.
typedef struct meeting {
    fb_store *store;
    atomic_bool holding, asked;
    unsigned calls;
} meeting;

static unsigned shard_of(uint64_t key) {
    return (unsigned)(fb_hash64(fb_str_make((const char *)&key, sizeof(key)), 11) >> 63);
}

static int hold(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    meeting *both = arg;
    both->holding = true;
    while (!both->asked) {
        sched_yield();
    }
    // Time for the other to find our lock taken; it must come through either way.
    for (unsigned i = 0; i < 10000; i++) {
        sched_yield();
    }
    return FB_OK;
}

static void *hold_shard(void *arg) {
    meeting *both = arg;
    uint64_t key = 0;
    while (shard_of(key) != 1) {
        key++;
    }
    fb_str text = {(char *)&key, sizeof(key)};
    assert_ok(fb_store_edit(both->store, text, 1, hold, both));
    return NULL;
}

static int store_large(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    meeting *both = arg;
    both->asked = true;
    both->calls++;
    next->value = fb_str_make(bytes, fb_store_value_max(both->store) - 8);
    *action = FB_STORE_PUT;
    return 3;
}

static void compare_large(void *arg, const fb_item *item) {
    *(bool *)arg = memcmp(item->value.ptr, bytes, item->value.len) == 0;
}

static void test_store__room_comes_from_a_shard_that_is_busy(void **state) {
    (void)state;
    meeting both = {.store = make(1 << 20, 2)};
    uint64_t mine = 0;
    for (uint64_t key = 0; key < 20000; key++) {
        fb_item item = {.key = {(char *)&key, sizeof(key)}, .value = {bytes, 200}};
        if (shard_of(key) == 1) {
            assert_ok(fb_store_put(both.store, &item, 1, NULL));
        } else {
            mine = key;
        }
    }
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hold_shard, &both), 0);
    while (!both.holding) {
        sched_yield();
    }
    fb_str text = {(char *)&mine, sizeof(mine)};
    assert_int_equal(fb_store_edit(both.store, text, 1, store_large, &both), 3);
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("the edit's function was called %u times\n", both.calls);
    bool same = false;
    assert_ok(fb_store_get(both.store, text, 1, compare_large, &same));
    assert_true(same);
    fb_store_check(both.store);
    fb_store_free(both.store);
}

int main(void) {
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 2654435761U >> 11);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__a_value_is_always_one_stored_for_its_key),
        cmocka_unit_test(test_store__large_values_from_many_threads_find_room),
        cmocka_unit_test(test_store__room_comes_from_a_shard_that_is_busy),
        cmocka_unit_test(test_store__edits_by_many_threads_lose_no_step),
        cmocka_unit_test(test_store__a_scan_among_writers_sees_all_that_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
