// Replaying traces: the engine's miss ratio beside exact policies with as many objects. Bounds are
// in points of the miss ratio, on traces from fixed seeds: no clock and no machine is in them.

#include "cli/policy.h"
#include "cli/replay.h"

#include "support.h"
#include "traces.h"

enum { REQUESTS = 100000 };

// Misses in hundredths of a percent.
typedef struct ratios {
    int ours, lru, s3fifo;
    double residents;
    uint32_t room;
} ratios;

static int ratio(const trace *made, uint64_t misses) {
    return (int)(misses * 10000 / made->count);
}

static trace make(const char *name, size_t count) {
    for (unsigned i = 0; i < TRACE_KIND_COUNT; i++) {
        if (strcmp(TRACE_KINDS[i].name, name) == 0) {
            return trace_make(&TRACE_KINDS[i], count, 7);
        }
    }
    fail_msg("there is no trace %s", name);
    return (trace){0};
}

static ratios measure(const char *name, double share) {
    trace made = make(name, REQUESTS);
    ratios found = {.room = (uint32_t)(made.distinct * share)};
    fb_trace replayed = {.keys = made.keys, .count = made.count, .distinct = made.distinct};
    fb_replay replay = {.room = found.room};
    uint64_t lru, s3fifo;
    assert_ok(fb_replay_run(&replayed, &replay));
    assert_ok(fb_policy_lru(made.keys, made.count, made.distinct, found.room, &lru));
    assert_ok(fb_policy_s3fifo(made.keys, made.count, made.distinct, found.room, &s3fifo));
    found.ours = ratio(&made, replay.misses);
    found.lru = ratio(&made, lru);
    found.s3fifo = ratio(&made, s3fifo);
    found.residents = replay.residents;
    print_message("%s, %u objects (%.1f): %d, LRU %d, S3-FIFO %d\n", name, found.room,
                  replay.residents, found.ours, found.lru, found.s3fifo);
    free(made.keys);
    return found;
}

static void test_replay__misses_at_most_as_often_as_exact_s3_fifo(void **state) {
    (void)state;
    static const char *const names[] = {"zipf 0.6", "zipf 0.99",  "zipf 1.2",   "zipf, scans",
                                        "shifting", "two phases", "zipf, loop", "recent"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (unsigned size = 0; size < 2; size++) {
            ratios found = measure(names[i], size == 0 ? 0.01 : 0.1);
            // A third of a point is left to the log's half-filled segments.
            assert_true(found.ours <= found.s3fifo + 35);
            assert_true(found.ours < found.lru + 10);
        }
    }
}

static void test_replay__keeps_a_part_of_a_loop_larger_than_memory(void **state) {
    (void)state;
    ratios found = measure("loop 0.12", 0.1);
    assert_true(found.ours < found.s3fifo - 500);
    found = measure("loop 0.15", 0.1);
    assert_true(found.ours < found.s3fifo - 500);
    found = measure("loop 10x", 0.1);
    assert_true(found.ours < 9200);
}

static void test_replay__as_many_objects_are_resident_as_asked(void **state) {
    (void)state;
    static const double shares[] = {0.002, 0.02, 0.2};
    for (unsigned i = 0; i < 3; i++) {
        ratios found = measure("zipf 0.8", shares[i]);
        double off = found.residents - found.room;
        assert_true(off < 1.5 + found.room * 0.01 && off > -1.5 - found.room * 0.01);
    }
}

static void test_replay__knows_the_sizes_of_the_trace(void **state) {
    (void)state;
    uint32_t keys[4000], sizes[4000];
    for (uint32_t i = 0; i < 4000; i++) {
        keys[i] = i % 1000;
        sizes[i] = i % 1000 == 7 ? 500000 : 1000;
    }
    fb_trace sized = {keys, sizes, 4000, 1000, 1499000};
    fb_replay large = {.limit_bytes = 2 << 20};
    assert_ok(fb_replay_run(&sized, &large));
    // The large object is above an eighth of the limit: refused each time. The others fit.
    assert_int_equal(large.refused, 4);
    assert_int_equal(large.misses, 1003);
    fb_replay small = {.limit_bytes = 1 << 20};
    assert_ok(fb_replay_run(&sized, &small));
    assert_true(small.misses > 1003);
    fb_replay none = {.limit_bytes = 1000};
    assert_result(fb_replay_run(&sized, &none), FB_EINVAL);
}

static void test_replay__policies_are_exact_on_small_traces(void **state) {
    (void)state;
    // With room for two: LRU keeps a and c, then a and b.
    static const uint32_t keys[] = {0, 1, 0, 2, 0, 1, 2};
    uint64_t misses;
    assert_ok(fb_policy_lru(keys, 7, 3, 2, &misses));
    assert_int_equal(misses, 5);
    // S3-FIFO with room for ten, one of them small: 0 … 9 fill it, and stay while new ones pass.
    uint32_t scan[40];
    for (uint32_t i = 0; i < 40; i++) {
        scan[i] = i < 20 ? i : i - 20;
    }
    assert_ok(fb_policy_s3fifo(scan, 40, 20, 10, &misses));
    assert_int_equal(misses, 31);
}

static int scenario(void *arg) {
    (void)arg;
    static const uint32_t some[] = {0, 1, 2, 0};
    fb_trace small = {.keys = (uint32_t *)(uintptr_t)some, .count = 4, .distinct = 3};
    fb_replay replay = {.limit_bytes = 1 << 20};
    uint64_t misses;
    int result = fb_replay_run(&small, &replay);
    result = result == FB_OK ? fb_policy_lru(some, 4, 3, 2, &misses) : result;
    return result == FB_OK ? fb_policy_s3fifo(some, 4, 3, 2, &misses) : result;
}

static void test_replay__survives_every_failing_allocation(void **state) {
    (void)state;
    assert_true(test_memory_sweep(scenario, NULL) >= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay__misses_at_most_as_often_as_exact_s3_fifo),
        cmocka_unit_test(test_replay__keeps_a_part_of_a_loop_larger_than_memory),
        cmocka_unit_test(test_replay__as_many_objects_are_resident_as_asked),
        cmocka_unit_test(test_replay__knows_the_sizes_of_the_trace),
        cmocka_unit_test(test_replay__policies_are_exact_on_small_traces),
        cmocka_unit_test(test_replay__survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
