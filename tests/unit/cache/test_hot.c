// The most-read keys: found among many, in bounded memory, with counts that are at most too high.

#include "base/mem.h"
#include "cache/hot.h"
#include "support.h"

typedef struct top {
    char keys[64][24];
    uint64_t reads[64];
    size_t count;
} top;

static void take(void *arg, fb_str key, uint64_t reads) {
    top *list = arg;
    assert_true(list->count < 64);
    (void)snprintf(list->keys[list->count], sizeof list->keys[0], "%.*s", FB_STR_ARG(key));
    list->reads[list->count++] = reads;
}

static top read_top(fb_hot *hot, uint32_t count) {
    top list = {.count = 0};
    fb_hot_top(hot, count, take, &list);
    return list;
}

static void note(fb_hot *hot, const char *key, int times) {
    for (int i = 0; i < times; i++) {
        fb_hot_note(hot, fb_str_of(key));
    }
}

static void test_hot__few_keys_are_counted_exactly(void **state) {
    fb_hot *hot = NULL;
    assert_ok(fb_hot_new(8, 1, &hot));
    assert_int_equal(read_top(hot, 0).count, 0);
    note(hot, "b", 3);
    note(hot, "a", 5);
    note(hot, "c", 3);
    note(hot, "", 9);  // not watched
    top list = read_top(hot, 0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.keys[0], "a");
    assert_string_equal(list.keys[1], "b");
    assert_string_equal(list.keys[2], "c");
    assert_int_equal(list.reads[0], 5);
    assert_int_equal(read_top(hot, 2).count, 2);
    fb_hot_free(hot);
}

static void test_hot__keys_too_long_are_not_watched(void **state) {
    fb_hot *hot = NULL;
    char key[FB_HOT_KEY_MAX + 1];
    memset(key, 'k', sizeof key);
    assert_ok(fb_hot_new(2, 1, &hot));
    fb_hot_note(hot, fb_str_make(key, sizeof key));
    assert_int_equal(read_top(hot, 0).count, 0);
    fb_hot_note(hot, fb_str_make(key, sizeof key - 1));
    assert_int_equal(read_top(hot, 0).count, 1);
    fb_hot_free(hot);
}

static void test_hot__the_heavy_ones_are_found_among_many(void **state) {
    fb_rng rng = test_rng();
    fb_hot *hot = NULL;
    assert_ok(fb_hot_new(64, 1, &hot));
    for (int i = 0; i < 200000; i++) {
        // Half of all reads go to five keys, the rest to a hundred thousand.
        bool heavy = fb_rng_below(&rng, 2) == 0;
        char key[24];
        (void)snprintf(key, sizeof key, heavy ? "heavy%llu" : "light%llu-with-a-longer-name",
                       (unsigned long long)fb_rng_below(&rng, heavy ? 5 : 100000));
        fb_hot_note(hot, fb_str_of(key));
    }
    top list = read_top(hot, 5);
    assert_int_equal(list.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_memory_equal(list.keys[i], "heavy", 5);
    }
    fb_hot_free(hot);
}

static void test_hot__old_favourites_make_room(void **state) {
    fb_hot *hot = NULL;
    assert_ok(fb_hot_new(8, 1, &hot));
    note(hot, "yesterday", 100000);
    note(hot, "today", 2000);
    assert_string_equal(read_top(hot, 1).keys[0], "today");
    fb_hot_free(hot);
}

static int scenario(void *arg) {
    fb_hot *hot = NULL;
    int result = fb_hot_new(2, 1, &hot);
    if (result < 0) {
        return result;
    }
    note(hot, "a", 2);
    note(hot, "b", 2);
    note(hot, "c and longer", 2);
    note(hot, "d", 40);
    top list = read_top(hot, 0);
    fb_hot_free(hot);
    return list.count == 2 ? FB_OK : FB_ENOMEM;
}

static void test_hot__failing_allocations_lose_a_note_at_most(void **state) {
    test_memory *memory = test_memory_get();
    for (size_t n = 1;; n++) {
        long live = memory->live;
        test_memory_fail(n);
        (void)scenario(NULL);
        bool failed = memory->failed;
        test_memory_fail(0);
        assert_int_equal(memory->live, live);
        if (!failed) {
            assert_true(n > 5);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hot__few_keys_are_counted_exactly),
        cmocka_unit_test(test_hot__keys_too_long_are_not_watched),
        cmocka_unit_test(test_hot__the_heavy_ones_are_found_among_many),
        cmocka_unit_test(test_hot__old_favourites_make_room),
        cmocka_unit_test(test_hot__failing_allocations_lose_a_note_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
