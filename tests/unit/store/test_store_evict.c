// What eviction learns, and what it must not forget: seen from outside by what is there and what is
// not, and by the ghosts and counts of one shard.

#include <forebay/store.h>

#include "store/ghost.h"
#include "store/tune.h"

#include "support.h"

static const int64_t NOW = 1000;
static char bytes[4096];

static fb_store *make(uint64_t limit_bytes, uint32_t shard_count) {
    fb_store_options options = {.limit_bytes = limit_bytes, .shard_count = shard_count, .seed = 7};
    fb_store *store = NULL;
    assert_ok(fb_store_new(&options, &store));
    return store;
}

static void ignore(void *arg, const fb_item *item) {
    (void)arg;
    (void)item;
}

static fb_str key_of(const char *kind, uint64_t number, char *text) {
    int len = snprintf(text, 64, "%s:%llu", kind, (unsigned long long)number);
    return fb_str_make(text, (size_t)len);
}

static bool get_at(fb_store *store, const char *kind, uint64_t number, int64_t now_ns) {
    char text[64];
    return fb_store_get(store, key_of(kind, number, text), now_ns, ignore, NULL) == FB_OK;
}

static void put_at(fb_store *store, const char *kind, uint64_t number, int64_t expires_ns,
                   int64_t now_ns) {
    char text[64];
    fb_item item = {
        .key = key_of(kind, number, text), .value = {bytes, 100}, .expires_ns = expires_ns};
    assert_ok(fb_store_put(store, &item, now_ns, NULL));
}

static bool ask(fb_store *store, const char *kind, uint64_t number) {
    bool found = get_at(store, kind, number, NOW);
    if (!found) {
        put_at(store, kind, number, 0, NOW);
    }
    return found;
}

static fb_store_stats stats_of(fb_store *store) {
    fb_store_stats stats;
    fb_store_stats_read(store, &stats);
    return stats;
}

// A loop a fifth larger than what fits: LRU and FIFO never hit.
static void test_store_evict__a_loop_larger_than_memory_is_kept_in_part(void **state) {
    (void)state;
    fb_store *store = make(4 << 20, 0);
    unsigned room = 0;
    while (stats_of(store).evictions == 0) {
        put_at(store, "loop", room++, 0, NOW);
    }
    assert_true(fb_store_clear(store) > 0);
    unsigned hits = 0;
    unsigned length = room + room / 5;
    for (unsigned pass = 0; pass < 12; pass++) {
        hits = 0;
        for (unsigned i = 0; i < length; i++) {
            hits += ask(store, "loop", i);
        }
    }
    assert_true(hits > length * 6 / 10);
    fb_store_check(store);
    fb_store_free(store);
}

static void test_store_evict__what_learnt_a_loop_learns_something_else(void **state) {
    (void)state;
    fb_store *store = make(4 << 20, 0);
    for (unsigned i = 0; i < 400000; i++) {
        (void)ask(store, "loop", i % 40000);
    }
    // Now a set that fits, a third of memory: after some rounds all of it is there.
    unsigned hits = 0;
    for (unsigned pass = 0; pass < 16; pass++) {
        hits = 0;
        for (unsigned i = 0; i < 8000; i++) {
            hits += ask(store, "other", i);
        }
    }
    assert_true(hits > 7900);
    fb_store_check(store);
    fb_store_free(store);
}

static void test_store_evict__hot_items_that_expired_are_hot_when_they_return(void **state) {
    (void)state;
    enum { HOT = 5000 };
    fb_store *store = make(8 << 20, 0);
    for (unsigned i = 0; i < HOT; i++) {
        put_at(store, "hot", i, NOW + 10, NOW);
        assert_true(get_at(store, "hot", i, NOW));
    }
    for (unsigned i = 0; i < 60000; i++) {
        put_at(store, "once", i, 0, NOW);
    }
    while (fb_store_sweep(store, NOW + 20, 100000) > 0) {
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < HOT; i++) {
        assert_false(get_at(store, "hot", i, NOW + 20));
        put_at(store, "hot", i, 0, NOW + 20);
    }
    // They lie in main, so that a scan passes them by.
    for (unsigned i = 0; i < 30000; i++) {
        put_at(store, "scan", i, 0, NOW + 20);
    }
    for (unsigned i = 0; i < HOT; i++) {
        kept += get_at(store, "hot", i, NOW + 20);
    }
    assert_true(kept > HOT * 9 / 10);
    fb_store_check(store);
    fb_store_free(store);
}

// Keys that all belong into one bucket, however often it is split here, until its chain is full.
static void test_store_evict__items_dropped_for_the_index_are_counted(void **state) {
    (void)state;
    fb_store *store = make(1 << 20, 1);
    char text[64];
    unsigned put = 0;
    for (uint64_t number = 0; put < 600; number++) {
        if ((fb_store_hash(store, key_of("k", number, text)) & 1023) == 0) {
            fb_item item = {.key = key_of("k", number, text), .value = {bytes, 8}};
            assert_ok(fb_store_put(store, &item, NOW, NULL));
            put++;
        }
    }
    fb_store_stats stats = stats_of(store);
    assert_true(stats.index_evictions > 0);
    assert_int_equal(stats.index_evictions, stats.evictions);
    assert_int_equal(stats.items + stats.index_evictions, put);
    fb_store_check(store);
    fb_store_free(store);
}

static void test_store_evict__ordinary_keys_are_never_dropped_for_the_index(void **state) {
    (void)state;
    fb_store *store = make(16 << 20, 0);
    for (unsigned i = 0; i < 600000; i++) {
        put_at(store, "key", i, 0, NOW);
    }
    assert_true(stats_of(store).evictions > 0);
    assert_int_equal(stats_of(store).index_evictions, 0);
    fb_store_free(store);
}

// Ghosts

static void test_store_evict__a_shard_remembers_about_as_many_as_it_holds(void **state) {
    (void)state;
    enum { ITEMS = 20000 };
    fb_rng rng = test_rng();
    fb_store *store = make(8 << 20, 1);
    fb_shard *shard = &store->shards[0];
    static uint64_t hashes[3 * ITEMS];
    for (unsigned i = 0; i < ITEMS; i++) {
        put_at(store, "key", i, 0, NOW);
    }
    for (unsigned i = 0; i < 3 * ITEMS; i++) {
        hashes[i] = fb_rng_next(&rng);
        assert_int_equal(fb_ghost_add(store, shard, hashes[i], FB_GHOST_FRESH), FB_GHOST_FRESH);
    }
    unsigned known = 0;
    unsigned soon_known = 0;
    unsigned lost = 0;
    for (unsigned i = 0; i < 3 * ITEMS; i++) {
        fb_ghost_kind kind;
        bool soon;
        bool found = fb_ghost_take(store, shard, hashes[i], &kind, &soon);
        known += found;
        soon_known += found && soon;
        lost += !found && i >= 3 * ITEMS - ITEMS / 4;
    }
    // What left last is known, but where two in a line have one fingerprint.
    assert_true(lost < ITEMS / 4 / 100);
    assert_true(known > ITEMS * 8 / 10 && known < ITEMS * 12 / 10);
    assert_true(soon_known > 0 && soon_known < ITEMS);
    fb_store_free(store);
}

static void test_store_evict__a_denied_ghost_stays_denied(void **state) {
    (void)state;
    fb_store *store = make(1 << 20, 1);
    fb_shard *shard = &store->shards[0];
    fb_ghost_kind kind;
    bool soon;
    uint64_t hash = UINT64_C(0x123456789abcdef0);
    assert_int_equal(fb_ghost_add(store, shard, hash, FB_GHOST_DENIED), FB_GHOST_DENIED);
    assert_int_equal(fb_ghost_add(store, shard, hash, FB_GHOST_FRESH), FB_GHOST_DENIED);
    assert_true(fb_ghost_take(store, shard, hash, &kind, &soon));
    assert_int_equal(kind, FB_GHOST_DENIED);
    assert_true(soon);
    assert_false(fb_ghost_take(store, shard, hash, &kind, &soon));
    assert_int_equal(fb_ghost_add(store, shard, hash, FB_GHOST_FRESH), FB_GHOST_FRESH);
    assert_int_equal(fb_ghost_add(store, shard, hash, FB_GHOST_MAIN), FB_GHOST_MAIN);
    fb_store_free(store);
}

// Any bytes may be found after a crash.
static void test_store_evict__any_bytes_are_coped_with(void **state) {
    (void)state;
    fb_rng rng = test_rng();
    fb_store *store = make(1 << 20, 1);
    fb_shard *shard = &store->shards[0];
    for (unsigned round = 0; round < 200; round++) {
        uint8_t *tuning = (uint8_t *)&shard->tuning;
        for (size_t i = 0; i < sizeof(shard->tuning); i++) {
            tuning[i] = (uint8_t)(fb_rng_below(&rng, 4) == 0 ? 255 : fb_rng_next(&rng));
        }
        uint8_t *ghosts = store->base + shard->ghosts.offset;
        for (size_t i = 0; i < shard->ghosts.committed; i++) {
            ghosts[i] = (uint8_t)fb_rng_next(&rng);
        }
        for (unsigned i = 0; i < 500; i++) {
            (void)ask(store, "key", fb_rng_below(&rng, 20000));
        }
        fb_store_check(store);
    }
    fb_store_free(store);
}

// What is learnt

static void test_store_evict__probation_grows_where_its_victims_soon_return(void **state) {
    (void)state;
    fb_tuning tuning;
    fb_tune_reset(&tuning);
    assert_true(fb_tune_probation_full(&tuning, 100, 999));
    assert_false(fb_tune_probation_full(&tuning, 99, 1001));
    for (unsigned i = 0; i < 100000; i++) {
        fb_tune_left(&tuning, FB_GHOST_FRESH);
        fb_tune_left(&tuning, FB_GHOST_MAIN);
        if (i % 4 == 0) {
            fb_tune_back(&tuning, FB_GHOST_FRESH, true);
        }
        if (i % 8 == 0) {
            fb_tune_back(&tuning, FB_GHOST_MAIN, true);
        }
        fb_tune_step(&tuning, 10000, 10000, 1);
    }
    assert_false(fb_tune_probation_full(&tuning, 240, 1000));
    for (unsigned i = 0; i < 100000; i++) {
        fb_tune_left(&tuning, FB_GHOST_FRESH);
        fb_tune_left(&tuning, FB_GHOST_MAIN);
        if (i % 8 == 0) {
            fb_tune_back(&tuning, FB_GHOST_MAIN, true);
        }
        fb_tune_step(&tuning, 10000, 10000, 1);
    }
    assert_true(fb_tune_probation_full(&tuning, 35, 1000));
}

static void test_store_evict__main_is_slow_where_what_it_lets_go_returns(void **state) {
    (void)state;
    fb_tuning tuning;
    fb_tune_reset(&tuning);
    fb_tune_ask(&tuning, 100, 16384);
    assert_true(fb_tune_spend(&tuning, 1600));
    assert_false(fb_tune_spend(&tuning, 1));
    for (unsigned i = 0; i < 100000; i++) {
        fb_tune_left(&tuning, FB_GHOST_DENIED);
        fb_tune_left(&tuning, FB_GHOST_MAIN);
        fb_tune_back(&tuning, FB_GHOST_DENIED, false);
        fb_tune_back(&tuning, FB_GHOST_MAIN, false);
        fb_tune_step(&tuning, 10000, 10000, 1);
    }
    fb_tune_ask(&tuning, 100, 16384);
    assert_true(fb_tune_spend(&tuning, 100));
    assert_false(fb_tune_spend(&tuning, 1));
    assert_false(fb_tune_take(&tuning, 1));
    fb_tune_freed(&tuning, 300, 16384);
    assert_true(fb_tune_take(&tuning, 200));
    assert_false(fb_tune_take(&tuning, 200));
}

// Half of those that came back are in use when main's hand comes by; of those that came for one
// use, as many as said.
static void follow(fb_tuning *tuning, fb_rng *rng, unsigned used_percent) {
    for (unsigned i = 0; i < 3000; i++) {
        fb_way way = i % 2 == 0 ? FB_WAY_ONCE : FB_WAY_BACK;
        uint64_t hash = fb_rng_next(rng);
        fb_tune_enter(tuning, 100, hash, way);
        fb_tune_pass(tuning, 100, hash, i / 2 % 100 < (way == FB_WAY_ONCE ? used_percent : 50));
        fb_tune_step(tuning, 100, 10000, 1);
    }
}

static unsigned promoted(fb_tuning *tuning, fb_rng *rng, unsigned uses) {
    unsigned count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        count += fb_tune_promotes(tuning, 10000, fb_rng_next(rng), uses);
    }
    return count;
}

static void test_store_evict__one_use_is_enough_while_it_tells_something(void **state) {
    (void)state;
    fb_tuning tuning;
    fb_rng rng = test_rng();
    fb_tune_reset(&tuning);
    assert_int_equal(promoted(&tuning, &rng, 1), 1000);
    follow(&tuning, &rng, 10);
    // Some still come in, so that it shows when one use tells more again.
    assert_in_range(promoted(&tuning, &rng, 1), 0, 20);
    assert_int_equal(promoted(&tuning, &rng, 2), 1000);
    assert_int_equal(promoted(&tuning, &rng, 0), 0);
    follow(&tuning, &rng, 60);
    assert_int_equal(promoted(&tuning, &rng, 1), 1000);
}

// How many of 640 that come back are denied for something to be learnt.
static unsigned denied(fb_tuning *tuning) {
    unsigned count = 0;
    for (unsigned i = 0; i < 640; i++) {
        fb_tune_back(tuning, FB_GHOST_FRESH, false);
        count += fb_tune_denies(tuning, 1000);
    }
    return count;
}

static void test_store_evict__what_is_not_known_is_tried(void **state) {
    (void)state;
    fb_tuning tuning;
    fb_tune_reset(&tuning);
    assert_int_equal(denied(&tuning), 80);
    // The denied come back, what main let go does not: the fast hand is right, and rarely doubted.
    for (unsigned i = 0; i < 200; i++) {
        fb_tune_left(&tuning, FB_GHOST_DENIED);
        fb_tune_left(&tuning, FB_GHOST_MAIN);
    }
    for (unsigned i = 0; i < 64; i++) {
        fb_tune_back(&tuning, FB_GHOST_DENIED, false);
    }
    assert_int_equal(denied(&tuning), 10);
}

// Any numbers may be found after a crash, and must not last.
static void test_store_evict__odd_numbers_fade(void **state) {
    (void)state;
    fb_tuning tuning;
    memset(&tuning, 0x7f, sizeof(tuning));
    for (unsigned i = 0; i < 100; i++) {
        fb_tune_step(&tuning, 1000, 100000, 1000);
    }
    fb_tune_ask(&tuning, 100, 16384);
    assert_false(fb_tune_spend(&tuning, 100000));
    assert_false(fb_tune_take(&tuning, 100001));
    for (unsigned kind = 0; kind < FB_GHOST_COUNTED; kind++) {
        assert_in_range(tuning.left[kind], 0, 4096);
    }
    for (unsigned way = 0; way < FB_WAYS; way++) {
        assert_in_range(tuning.seen[way], 0, 512);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_evict__a_loop_larger_than_memory_is_kept_in_part),
        cmocka_unit_test(test_store_evict__what_learnt_a_loop_learns_something_else),
        cmocka_unit_test(test_store_evict__hot_items_that_expired_are_hot_when_they_return),
        cmocka_unit_test(test_store_evict__items_dropped_for_the_index_are_counted),
        cmocka_unit_test(test_store_evict__ordinary_keys_are_never_dropped_for_the_index),
        cmocka_unit_test(test_store_evict__a_shard_remembers_about_as_many_as_it_holds),
        cmocka_unit_test(test_store_evict__a_denied_ghost_stays_denied),
        cmocka_unit_test(test_store_evict__any_bytes_are_coped_with),
        cmocka_unit_test(test_store_evict__probation_grows_where_its_victims_soon_return),
        cmocka_unit_test(test_store_evict__main_is_slow_where_what_it_lets_go_returns),
        cmocka_unit_test(test_store_evict__one_use_is_enough_while_it_tells_something),
        cmocka_unit_test(test_store_evict__what_is_not_known_is_tried),
        cmocka_unit_test(test_store_evict__odd_numbers_fade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
