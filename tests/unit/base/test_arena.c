// The arena: pieces do not overlap, are aligned, and go together.

#include "support.h"

#include "base/arena.h"

#include <stdalign.h>

enum { PIECES = 400 };

static void test_arena__pieces_are_apart_and_aligned(void **state) {
    fb_rng rng = test_rng();
    fb_arena arena = {0};

    for (int round = 0; round < 20; round++) {
        unsigned char *pieces[PIECES];
        size_t sizes[PIECES];
        for (int i = 0; i < PIECES; i++) {
            size_t most = fb_rng_below(&rng, 20) == 0 ? 20000 : 200;
            sizes[i] = fb_rng_below(&rng, most);
            pieces[i] = fb_arena_new(&arena, sizes[i]);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
            memset(pieces[i], i & 0xff, sizes[i]);
        }
        for (int i = 0; i < PIECES; i++) {
            for (size_t j = 0; j < sizes[i]; j++) {
                assert_int_equal(pieces[i][j], i & 0xff);
            }
        }
        fb_arena_reset(&arena);
    }
    fb_arena_release(&arena);
    fb_arena_release(&arena);
}

static void test_arena__copies(void **state) {
    fb_arena arena = {0};
    char text[] = "abc";
    fb_str copy = fb_arena_copy(&arena, fb_str_of(text));

    text[0] = 'x';
    assert_str(copy, "abc");
    assert_int_equal(fb_arena_copy(&arena, fb_str_make(NULL, 0)).len, 0);
    assert_null(fb_arena_new(&arena, SIZE_MAX));
    assert_null(fb_arena_new(&arena, SIZE_MAX - 20));
    assert_str(copy, "abc");
    fb_arena_release(&arena);
}

static void test_arena__reset_does_not_hoard(void **state) {
    fb_arena arena = {0};
    long live = test_memory_get()->live;

    // Also where the large piece came first.
    assert_non_null(fb_arena_new(&arena, 1 << 20));
    for (int i = 0; i < 100; i++) {
        assert_non_null(fb_arena_new(&arena, 500));
    }
    fb_arena_reset(&arena);
    assert_true(test_memory_get()->live <= live + 1);
    if (arena.blocks != NULL) {
        assert_non_null(fb_arena_new(&arena, 500));
        assert_int_equal(test_memory_get()->live, live + 1);
    }
    fb_arena_release(&arena);
    assert_int_equal(test_memory_get()->live, live);
}

static int fill(void *arg) {
    fb_arena arena = {0};
    int result = FB_OK;

    for (size_t i = 0; i < 60 && result == FB_OK; i++) {
        if (i % 2 == 0) {
            result = fb_arena_new(&arena, i * 50) != NULL ? FB_OK : FB_ENOMEM;
        } else {
            result = fb_arena_copy(&arena, FB_STR("abc")).ptr != NULL ? FB_OK : FB_ENOMEM;
        }
        if (i == 30) {
            fb_arena_reset(&arena);
        }
    }
    fb_arena_release(&arena);
    return result;
}

static void test_arena__survives_any_failed_allocation(void **state) {
    assert_true(test_memory_sweep(fill, NULL) >= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__pieces_are_apart_and_aligned),
        cmocka_unit_test(test_arena__copies),
        cmocka_unit_test(test_arena__reset_does_not_hoard),
        cmocka_unit_test(test_arena__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
