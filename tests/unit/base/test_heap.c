// The heap of timers, against a search through all of them.

#include "support.h"

#include "base/heap.h"

enum { NODES = 300 };

static void test_heap__gives_the_earliest_first(void **state) {
    fb_heap heap = {0};
    fb_heap_node nodes[5] = {0};
    const int64_t keys[5] = {30, -10, INT64_MAX, 20, INT64_MIN};
    const int64_t order[5] = {INT64_MIN, -10, 20, 30, INT64_MAX};

    assert_null(fb_heap_first(&heap));
    for (int i = 0; i < 5; i++) {
        assert_ok(fb_heap_put(&heap, &nodes[i], keys[i]));
    }
    for (int i = 0; i < 5; i++) {
        fb_heap_node *first = fb_heap_first(&heap);
        assert_int_equal(first->key, order[i]);
        fb_heap_remove(&heap, first);
        assert_int_equal(first->place, 0);
        fb_heap_remove(&heap, first);
    }
    assert_null(fb_heap_first(&heap));
    fb_heap_release(&heap);
}

static void test_heap__release_lets_the_nodes_go(void **state) {
    fb_heap heap = {0};
    fb_heap_node node = {0};

    assert_ok(fb_heap_put(&heap, &node, 1));
    fb_heap_release(&heap);
    assert_int_equal(node.place, 0);
    assert_ok(fb_heap_put(&heap, &node, 2));
    assert_ptr_equal(fb_heap_first(&heap), &node);
    fb_heap_release(&heap);
}

static void test_heap__does_what_a_search_does(void **state) {
    static fb_heap_node nodes[NODES];
    fb_rng rng = test_rng();
    fb_heap heap = {0};

    for (int step = 0; step < 30000; step++) {
        fb_heap_node *node = &nodes[fb_rng_below(&rng, NODES)];
        if (fb_rng_below(&rng, 100) < (step / 3000 % 2 == 0 ? 70U : 30U)) {
            // Few keys, so that many are equal.
            assert_ok(fb_heap_put(&heap, node, (int64_t)fb_rng_below(&rng, 100) - 50));
        } else {
            fb_heap_remove(&heap, node);
        }
        int64_t least = INT64_MAX;
        size_t count = 0;
        for (int i = 0; i < NODES; i++) {
            if (nodes[i].place != 0) {
                assert_ptr_equal(heap.nodes[nodes[i].place - 1], &nodes[i]);
                least = nodes[i].key < least ? nodes[i].key : least;
                count++;
            }
        }
        assert_int_equal(heap.count, count);
        if (count > 0) {
            assert_int_equal(fb_heap_first(&heap)->key, least);
        }
    }
    fb_heap_release(&heap);
}

static int fill(void *arg) {
    fb_heap_node nodes[100] = {0};
    fb_heap heap = {0};
    int result = FB_OK;

    for (int i = 0; i < 100 && result == FB_OK; i++) {
        result = fb_heap_put(&heap, &nodes[i], 100 - i);
        if (result != FB_OK) {
            assert_int_equal(nodes[i].place, 0);
            assert_int_equal(heap.count, i);
        }
    }
    if (heap.count > 0) {
        // Moving a node that is in the heap takes no memory.
        test_memory_fail(1);
        assert_ok(fb_heap_put(&heap, &nodes[0], -5));
        assert_ptr_equal(fb_heap_first(&heap), &nodes[0]);
        test_memory_fail(0);
    }
    fb_heap_release(&heap);
    return result;
}

// Counts by hand: `fill` moves the failure itself.
static void test_heap__survives_any_failed_allocation(void **state) {
    size_t failures = 0;

    for (size_t n = 1;; n++) {
        test_memory_fail(n);
        if (fill(NULL) == FB_OK) {
            break;
        }
        failures++;
    }
    assert_true(failures >= 3);
    test_memory_fail(0);
    assert_int_equal(test_memory_get()->live, 0);
}

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap__gives_the_earliest_first),
        cmocka_unit_test(test_heap__release_lets_the_nodes_go),
        cmocka_unit_test(test_heap__does_what_a_search_does),
        cmocka_unit_test(test_heap__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
