// The keys that are denied most: what a sketch of 64 counters promises.

#include <pthread.h>

#include "limit/top.h"
#include "support.h"

static fb_limit_figures figures;

static fb_limit_top *make(void) {
    fb_limit_top *top = NULL;
    assert_ok(fb_limit_top_new(&top));
    return top;
}

static void add(fb_limit_top *top, uint64_t key) {
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)key);
    fb_limit_top_add(top, key * UINT64_C(0x9e3779b97f4a7c15), fb_str_of(text));
}

static void assert_descending(void) {
    for (uint32_t i = 1; i < figures.top_count; i++) {
        assert_true(figures.top[i - 1].count >= figures.top[i].count);
    }
}

static void test_top__few_keys_are_counted_exactly(void **state) {
    fb_limit_top *top = make();
    fb_limit_top_read(top, &figures);
    assert_int_equal(figures.top_count, 0);
    for (uint64_t key = 1; key <= FB_LIMIT_TOP_ROOM; key++) {
        for (uint64_t i = 0; i < key; i++) {
            add(top, key);
        }
    }
    fb_limit_top_read(top, &figures);
    assert_int_equal(figures.top_count, FB_LIMIT_TOP);
    for (uint32_t i = 0; i < FB_LIMIT_TOP; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%u", FB_LIMIT_TOP_ROOM - i);
        assert_string_equal(figures.top[i].key, text);
        assert_int_equal(figures.top[i].count, FB_LIMIT_TOP_ROOM - i);
        assert_int_equal(figures.top[i].error, 0);
    }
    fb_limit_top_reset(top);
    fb_limit_top_read(top, &figures);
    assert_int_equal(figures.top_count, 0);
    add(top, 5);
    fb_limit_top_read(top, &figures);
    assert_int_equal(figures.top_count, 1);
    assert_string_equal(figures.top[0].key, "5");
    assert_int_equal(figures.top[0].count, 1);
    fb_limit_top_free(top);
}

// Against exact counts: too high by `error` at most, and whoever has more than a 64th is in it.
static void test_top__random_streams_keep_the_sketchs_promises(void **state) {
    enum { KEYS = 3000, STEPS = 200000 };
    static uint64_t exact[KEYS];
    fb_rng rng = test_rng();
    fb_limit_top *top = make();
    for (int i = 1; i <= STEPS; i++) {
        // The lower its number, the more often it comes.
        uint64_t key = fb_rng_below(&rng, fb_rng_below(&rng, KEYS) + 1);
        key = fb_rng_below(&rng, 3) == 0 ? fb_rng_below(&rng, 5) : key;
        exact[key]++;
        add(top, key);
        if (i % 20000 != 0) {
            continue;
        }
        bool seen[5] = {false};
        fb_limit_top_read(top, &figures);
        assert_descending();
        for (uint32_t j = 0; j < figures.top_count; j++) {
            uint64_t number = strtoull(figures.top[j].key, NULL, 10);
            assert_true(number < KEYS);
            assert_true(figures.top[j].count >= exact[number]);
            assert_true(figures.top[j].count - figures.top[j].error <= exact[number]);
            assert_true(figures.top[j].error <= (uint64_t)i / FB_LIMIT_TOP_ROOM);
            if (number < 5) {
                seen[number] = true;
            }
        }
        for (int j = 0; j < 5; j++) {
            assert_true(exact[j] > (uint64_t)i / FB_LIMIT_TOP_ROOM && seen[j]);
        }
    }
    fb_limit_top_free(top);
}

static void test_top__a_long_key_is_cut_between_letters(void **state) {
    fb_limit_top *top = make();
    char key[200];
    memset(key, 'x', sizeof key);
    // The last byte that fits is half of a letter.
    memcpy(key + FB_LIMIT_TOP_KEY_SIZE - 2, "\xc3\xa9", 2);
    fb_limit_top_add(top, 1, fb_str_make(key, sizeof key));
    fb_limit_top_add(top, 2, fb_str_make(key, FB_LIMIT_TOP_KEY_SIZE - 2));
    fb_limit_top_add(top, 3, FB_STR(""));
    fb_limit_top_read(top, &figures);
    assert_int_equal(figures.top_count, 3);
    for (int i = 0; i < 3; i++) {
        size_t len = strlen(figures.top[i].key);
        assert_true(len == FB_LIMIT_TOP_KEY_SIZE - 2 || len == 16);
    }
    fb_limit_top_free(top);
}

static void test_top__without_a_text_the_hash_is_shown(void **state) {
    fb_limit_top *top = make();
    fb_limit_top_add(top, UINT64_C(0x0123456789abcdef), FB_STR(""));
    fb_limit_top_add(top, 1, FB_STR(""));
    fb_limit_top_add(top, 1, FB_STR(""));
    fb_limit_top_read(top, &figures);
    assert_int_equal(figures.top_count, 2);
    assert_string_equal(figures.top[0].key, "0000000000000001");
    assert_string_equal(figures.top[1].key, "0123456789abcdef");
    fb_limit_top_free(top);
}

// ---- threads

enum { THREADS = 6, OFTEN = 10, STREAM_KEYS = 2000, STREAM = 40000 };

typedef struct stream {
    fb_limit_top *top;
    uint64_t seed;
    uint64_t exact[STREAM_KEYS];
} stream;

// Ten keys get half of it, and every thread its own share of others.
static void *add_stream(void *arg) {
    stream *self = arg;
    fb_rng rng;
    fb_rng_init(&rng, self->seed);
    for (int i = 0; i < STREAM; i++) {
        uint64_t key = fb_rng_below(&rng, 2) == 0 ? fb_rng_below(&rng, OFTEN)
                                                  : fb_rng_below(&rng, STREAM_KEYS);
        self->exact[key]++;
        add(self->top, key);
    }
    return NULL;
}

// Counted in several sketches, they add up to what one of them promises.
static void test_top__threads_are_counted_as_one_would_be(void **state) {
    static stream streams[THREADS];
    static uint64_t exact[STREAM_KEYS];
    pthread_t threads[THREADS];
    fb_rng rng = test_rng();
    fb_limit_top *top = make();
    memset(exact, 0, sizeof exact);
    for (int i = 0; i < THREADS; i++) {
        streams[i] = (stream){.top = top, .seed = fb_rng_next(&rng)};
        assert_int_equal(pthread_create(&threads[i], NULL, add_stream, &streams[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        fb_limit_top_read(top, &figures);
        assert_descending();
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (int key = 0; key < STREAM_KEYS; key++) {
            exact[key] += streams[i].exact[key];
        }
    }
    fb_limit_top_read(top, &figures);
    assert_descending();
    assert_int_equal(figures.top_count, FB_LIMIT_TOP);
    bool seen[STREAM_KEYS] = {false};
    for (uint32_t i = 0; i < figures.top_count; i++) {
        uint64_t number = strtoull(figures.top[i].key, NULL, 10);
        assert_true(number < STREAM_KEYS && !seen[number]);
        seen[number] = true;
        assert_true(figures.top[i].count >= exact[number]);
        assert_true(figures.top[i].count - figures.top[i].error <= exact[number]);
        assert_true(figures.top[i].error <= (uint64_t)THREADS * STREAM / FB_LIMIT_TOP_ROOM);
    }
    for (int key = 0; key < OFTEN; key++) {
        assert_true(seen[key]);  // each has a twentieth
    }
    fb_limit_top_free(top);
}

static int sweep(void *arg) {
    fb_limit_top *top = NULL;
    int result = fb_limit_top_new(&top);
    assert_int_equal(result == FB_OK, top != NULL);
    fb_limit_top_free(top);
    return result;
}

static void test_top__without_memory_there_is_none(void **state) {
    assert_int_equal(test_memory_sweep(sweep, NULL), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top__few_keys_are_counted_exactly),
        cmocka_unit_test(test_top__random_streams_keep_the_sketchs_promises),
        cmocka_unit_test(test_top__a_long_key_is_cut_between_letters),
        cmocka_unit_test(test_top__without_a_text_the_hash_is_shown),
        cmocka_unit_test(test_top__threads_are_counted_as_one_would_be),
        cmocka_unit_test(test_top__without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
