// The hash map, against an array indexed by what the key says.

#include "support.h"

#include "base/map.h"

enum { KEYS = 600 };

typedef struct item {
    char key[16];
    int value;
} item;

static fb_str key_of(const item *it) {
    return fb_str_of(it->key);
}

static void make_items(item *items) {
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(items[i].key, sizeof(items[i].key), "key:%d", i);
        items[i].value = i;
    }
}

static void test_map__gets_what_was_put(void **state) {
    fb_map map = {.seed = 7};
    int one = 1, two = 2;

    assert_null(fb_map_get(&map, FB_STR("a")));
    assert_null(fb_map_remove(&map, FB_STR("a")));
    assert_ok(fb_map_put(&map, FB_STR("a"), &one));
    assert_ok(fb_map_put(&map, fb_str_make(NULL, 0), &two));
    assert_ok(fb_map_put(&map, FB_STR("a\0b"), &two));
    assert_ptr_equal(fb_map_get(&map, FB_STR("a")), &one);
    assert_ptr_equal(fb_map_get(&map, FB_STR("")), &two);
    assert_null(fb_map_get(&map, FB_STR("A")));
    assert_int_equal(map.count, 3);
    assert_ptr_equal(fb_map_remove(&map, FB_STR("a")), &one);
    assert_null(fb_map_remove(&map, FB_STR("a")));
    assert_ptr_equal(fb_map_get(&map, FB_STR("a\0b")), &two);
    fb_map_release(&map);
    assert_null(fb_map_get(&map, FB_STR("")));
    assert_int_equal(map.seed, 7);
    fb_map_release(&map);
}

static void test_map__replacing_lets_go_of_the_old_key(void **state) {
    fb_map map = {0};
    item first = {"same", 1}, second = {"same", 2};

    assert_ok(fb_map_put(&map, key_of(&first), &first));
    assert_ok(fb_map_put(&map, key_of(&second), &second));
    memset(first.key, 'x', sizeof(first.key));
    assert_int_equal(map.count, 1);
    assert_ptr_equal(fb_map_get(&map, FB_STR("same")), &second);
    fb_map_release(&map);
}

static void check_all(const fb_map *map, const item *items, const bool *in, size_t count) {
    bool seen[KEYS] = {false};
    size_t place = 0, found = 0;

    assert_int_equal(map->count, count);
    for (item *it = fb_map_next(map, &place); it != NULL; it = fb_map_next(map, &place)) {
        assert_true(in[it->value]);
        assert_false(seen[it->value]);
        seen[it->value] = true;
        found++;
    }
    assert_int_equal(found, count);
    for (int i = 0; i < KEYS; i++) {
        assert_ptr_equal(fb_map_get(map, key_of(&items[i])), in[i] ? &items[i] : NULL);
    }
}

static void test_map__does_what_an_array_does(void **state) {
    static item items[KEYS];
    fb_rng rng = test_rng();

    make_items(items);
    for (int round = 0; round < 5; round++) {
        fb_map map = {.seed = fb_rng_next(&rng)};
        bool in[KEYS] = {false};
        size_t count = 0;
        for (int step = 0; step < 20000; step++) {
            // Phases of growing and of shrinking, so that long runs come and go.
            bool put = fb_rng_below(&rng, 10) < (step / 2000 % 2 == 0 ? 7U : 3U);
            size_t i = fb_rng_below(&rng, KEYS);
            if (put) {
                assert_ok(fb_map_put(&map, key_of(&items[i]), &items[i]));
            } else {
                assert_ptr_equal(fb_map_remove(&map, key_of(&items[i])), in[i] ? &items[i] : NULL);
            }
            count = count + (put && !in[i]) - (!put && in[i]);
            in[i] = put;
            if (step % 500 == 0) {
                check_all(&map, items, in, count);
            }
        }
        check_all(&map, items, in, count);
        fb_map_release(&map);
    }
}

static int fill(void *arg) {
    item *items = arg;
    fb_map map = {0};
    int result = FB_OK;
    int i = 0;

    for (; i < KEYS && result == FB_OK; i++) {
        result = fb_map_put(&map, key_of(&items[i]), &items[i]);
    }
    // A failed put changes nothing.
    int held = result == FB_OK ? KEYS : i - 1;
    assert_int_equal(map.count, held);
    for (i = 0; i < KEYS; i++) {
        assert_ptr_equal(fb_map_get(&map, key_of(&items[i])), i < held ? &items[i] : NULL);
    }
    fb_map_release(&map);
    return result;
}

static void test_map__survives_any_failed_allocation(void **state) {
    static item items[KEYS];

    make_items(items);
    assert_true(test_memory_sweep(fill, items) >= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map__gets_what_was_put),
        cmocka_unit_test(test_map__replacing_lets_go_of_the_old_key),
        cmocka_unit_test(test_map__does_what_an_array_does),
        cmocka_unit_test(test_map__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
