// Shared bytes, the list, and the two generators of numbers: hash and rng.

#include "support.h"

#include "base/blob.h"
#include "base/hash.h"
#include "base/list.h"

#include <pthread.h>

static void test_blob__keeps_a_copy(void **state) {
    char text[] = "abc";
    fb_blob *blob = fb_blob_new(fb_str_of(text));
    fb_blob *empty = fb_blob_new(fb_str_make(NULL, 0));

    text[0] = 'x';
    assert_str(fb_blob_str(blob), "abc");
    assert_int_equal(fb_blob_str(empty).len, 0);
    assert_null(fb_blob_new(fb_str_make("", SIZE_MAX)));
    fb_blob_drop(blob);
    fb_blob_drop(empty);
    fb_blob_drop(NULL);
}

static void test_blob__lives_until_the_last_drop(void **state) {
    long live = test_memory_get()->live;
    fb_blob *blob = fb_blob_new(FB_STR("abc"));

    assert_ptr_equal(fb_blob_take(blob), blob);
    fb_blob_drop(blob);
    assert_str(fb_blob_str(blob), "abc");
    assert_int_equal(test_memory_get()->live, live + 1);
    fb_blob_drop(blob);
    assert_int_equal(test_memory_get()->live, live);
    test_memory_fail(1);
    assert_null(fb_blob_new(FB_STR("abc")));
    test_memory_fail(0);
}

static void *use(void *arg) {
    fb_blob *blob = arg;

    for (int i = 0; i < 10000; i++) {
        fb_blob *mine = fb_blob_take(blob);
        if (!fb_str_equal(fb_blob_str(mine), FB_STR("shared"))) {
            abort();
        }
        fb_blob_drop(mine);
    }
    fb_blob_drop(blob);
    return NULL;
}

static void test_blob__is_shared_by_threads(void **state) {
    pthread_t threads[4];
    long live = test_memory_get()->live;
    fb_blob *blob = fb_blob_new(FB_STR("shared"));

    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use, fb_blob_take(blob)), 0);
    }
    fb_blob_drop(blob);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(test_memory_get()->live, live);
}

typedef struct member {
    int value;
    fb_list node;
} member;

static void test_list__keeps_order(void **state) {
    member members[4];
    fb_list head;
    int sum = 0, place = 0;

    fb_list_init(&head);
    assert_true(fb_list_empty(&head));
    for (int i = 0; i < 4; i++) {
        members[i].value = i;
        fb_list_init(&members[i].node);
        fb_list_insert(&head, &members[i].node);
    }
    FB_LIST_EACH(node, &head) {
        assert_int_equal(FB_LIST_OF(node, member, node)->value, place++);
    }
    fb_list_remove(&members[3].node);
    fb_list_remove(&members[3].node);
    fb_list_insert(&members[1].node, &members[3].node);
    FB_LIST_EACH_SAFE(node, after, &head) {
        sum = sum * 10 + FB_LIST_OF(node, member, node)->value;
        fb_list_remove(node);
    }
    assert_int_equal(sum, 312);  // 0, 3, 1, 2
    assert_true(fb_list_empty(&head));
}

// Known values for the empty input; a change here would orphan what is stored.
static void test_hash__is_xxh3(void **state) {
    static const uint8_t empty[16] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                      0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    uint8_t out[16];

    assert_true(fb_hash64(fb_str_make(NULL, 0), 0) == UINT64_C(0x2d06800538d394c2));
    fb_hash128(fb_str_make(NULL, 0), out);
    assert_memory_equal(out, empty, 16);
    assert_true(fb_hash64(FB_STR("abc"), 1) == fb_hash64(FB_STR("abc"), 1));
    assert_true(fb_hash64(FB_STR("abc"), 1) != fb_hash64(FB_STR("abc"), 2));
}

// State {1, 2, 3, 4} and its first outputs, which can be worked out by hand.
static void test_rng__is_xoshiro256starstar(void **state) {
    fb_rng rng = {{1, 2, 3, 4}};

    assert_true(fb_rng_next(&rng) == 11520);
    assert_true(fb_rng_next(&rng) == 0);
    assert_true(fb_rng_next(&rng) == 1509978240);
    assert_true(fb_rng_next(&rng) == UINT64_C(1215971899390074240));
    fb_rng_init(&rng, 1234567);
    assert_true(rng.state[0] == UINT64_C(6457827717110365317));
    assert_true(rng.state[1] == UINT64_C(3203168211198807973));
}

static void test_rng__is_even(void **state) {
    fb_rng rng = test_rng();
    int counts[7] = {0};
    double sum = 0;

    for (int i = 0; i < 70000; i++) {
        counts[fb_rng_below(&rng, 7)]++;
        double unit = fb_rng_unit(&rng);
        assert_true(unit > 0 && unit <= 1);
        sum += unit;
        assert_int_equal(fb_rng_below(&rng, 1), 0);
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9400, 10600);  // more than six standard deviations
    }
    assert_true(sum > 34000 && sum < 36000);
    // Nearly half of all draws have to be repeated for this bound.
    const uint64_t bound = (UINT64_C(1) << 63) + 1;
    for (int i = 0; i < 1000; i++) {
        assert_true(fb_rng_below(&rng, bound) < bound);
    }
}

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blob__keeps_a_copy),
        cmocka_unit_test(test_blob__lives_until_the_last_drop),
        cmocka_unit_test(test_blob__is_shared_by_threads),
        cmocka_unit_test(test_list__keeps_order),
        cmocka_unit_test(test_hash__is_xxh3),
        cmocka_unit_test(test_rng__is_xoshiro256starstar),
        cmocka_unit_test(test_rng__is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
