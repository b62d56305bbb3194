// Shares of quotas: against a simple oracle, which knows what was taken and until when it is good.

#include "limit/chunks.h"

#include "support.h"

static fb_limit_chunks *new_chunks(uint32_t places) {
    fb_limit_chunks *chunks = NULL;
    assert_ok(fb_limit_chunks_new(places, &chunks));
    return chunks;
}

static void take(fb_limit_chunks *chunks, uint64_t hash, uint32_t left, int64_t until_us,
                 int64_t now_us) {
    fb_limit_share share;
    assert_int_equal(fb_limit_chunks_spend(chunks, hash, UINT32_MAX, now_us, 1000, &share),
                     FB_LIMIT_CHUNK_ASK);
    share.left = left;
    share.remaining = 7;
    share.until_us = until_us;
    share.reset_at_us = until_us;
    fb_limit_chunks_took(chunks, hash, &share, now_us);
}

static void test_limit_chunks__a_share_is_spent_until_its_end(void **state) {
    fb_limit_chunks *chunks = new_chunks(16);
    fb_limit_share share;
    (void)state;
    take(chunks, 1, 5, 100, 0);
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 3, 50, 1000, &share), FB_LIMIT_CHUNK_SPENT);
    assert_int_equal(share.left, 2);
    assert_int_equal(share.remaining, 7);
    assert_int_equal(fb_limit_chunks_left(chunks, 1, 99), 2);
    assert_int_equal(fb_limit_chunks_left(chunks, 1, 100), 0);
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 1, 100, 1000, &share), FB_LIMIT_CHUNK_ASK);
    assert_int_equal(fb_limit_chunks_left(chunks, 2, 50), 0);
    fb_limit_chunks_free(chunks);
}

static void test_limit_chunks__one_asks_at_a_time(void **state) {
    fb_limit_chunks *chunks = new_chunks(16);
    fb_limit_share first, other;
    (void)state;
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 1, 0, 1000, &first), FB_LIMIT_CHUNK_ASK);
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 1, 999, 1000, &other), FB_LIMIT_CHUNK_EXACT);
    // Who does not come back is not waited for.
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 1, 1000, 1000, &other), FB_LIMIT_CHUNK_ASK);
    fb_limit_chunks_failed(chunks, 1, first.serial, 9000);  // comes too late
    fb_limit_chunks_failed(chunks, 1, other.serial, 5000);
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 1, 4999, 1000, &other),
                     FB_LIMIT_CHUNK_EXACT);
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 1, 5000, 1000, &other), FB_LIMIT_CHUNK_ASK);
    fb_limit_chunks_free(chunks);
}

static void test_limit_chunks__what_was_forgotten_does_not_come_back(void **state) {
    fb_limit_chunks *chunks = new_chunks(16);
    fb_limit_share share, spent;
    (void)state;
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 1, 0, 1000, &share), FB_LIMIT_CHUNK_ASK);
    fb_limit_chunks_forget(chunks, 1);
    share.left = 9;
    share.until_us = 100;
    fb_limit_chunks_took(chunks, 1, &share, 1);
    assert_int_equal(fb_limit_chunks_left(chunks, 1, 2), 0);
    take(chunks, 1, 5, 100, 2);
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 2, 3, 1000, &spent), FB_LIMIT_CHUNK_SPENT);
    assert_true(fb_limit_chunks_return(chunks, 1, spent.serial, 2, 4));
    assert_int_equal(fb_limit_chunks_left(chunks, 1, 5), 5);
    assert_false(fb_limit_chunks_return(chunks, 1, spent.serial, 2, 100));
    fb_limit_chunks_forget(chunks, 1);
    assert_false(fb_limit_chunks_return(chunks, 1, spent.serial, 2, 6));
    fb_limit_chunks_free(chunks);
}

// What was spent of a share ends with it, also where another was taken before it came back.
static void test_limit_chunks__nothing_comes_back_to_live_longer(void **state) {
    fb_limit_chunks *chunks = new_chunks(16);
    fb_limit_share next, spent;
    (void)state;
    take(chunks, 1, 5, 100, 0);
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 8, 50, 1000, &next), FB_LIMIT_CHUNK_ASK);
    assert_int_equal(fb_limit_chunks_spend(chunks, 1, 5, 60, 1000, &spent), FB_LIMIT_CHUNK_SPENT);
    next.left = 2;
    next.until_us = 150;
    fb_limit_chunks_took(chunks, 1, &next, 70);
    assert_false(fb_limit_chunks_return(chunks, 1, spent.serial, 5, 80));
    assert_int_equal(fb_limit_chunks_left(chunks, 1, 110), 2);
    // Of the new one it does.
    assert_true(fb_limit_chunks_return(chunks, 1, next.serial, 8, 120));
    assert_int_equal(fb_limit_chunks_left(chunks, 1, 120), 10);
    fb_limit_chunks_free(chunks);
}

// Never more is spent than was taken, and nothing after its end, however keys crowd each other out.
static void test_limit_chunks__no_more_is_spent_than_was_taken(void **state) {
    enum { KEYS = 40, STEPS = 20000 };
    fb_limit_chunks *chunks = new_chunks(8);
    fb_rng rng = test_rng();
    int64_t owned[KEYS] = {0}, end_us[KEYS] = {0}, now_us = 0;
    uint64_t spent = 0;
    (void)state;
    for (int i = 0; i < STEPS; i++) {
        size_t key = fb_rng_below(&rng, KEYS);
        uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);
        uint32_t cost = 1 + (uint32_t)fb_rng_below(&rng, 4);
        fb_limit_share share;
        now_us += (int64_t)fb_rng_below(&rng, 20);
        switch (fb_limit_chunks_spend(chunks, hash, cost, now_us, 10, &share)) {
            case FB_LIMIT_CHUNK_SPENT:
                owned[key] -= cost;
                spent += cost;
                assert_true(owned[key] >= 0 && now_us < end_us[key]);
                break;
            case FB_LIMIT_CHUNK_ASK:
                if (fb_rng_below(&rng, 4) == 0) {
                    fb_limit_chunks_failed(chunks, hash, share.serial, now_us + 30);
                    break;
                }
                share.left = (uint32_t)fb_rng_below(&rng, 30);
                share.until_us = now_us + 1 + (int64_t)fb_rng_below(&rng, 400);
                owned[key] = (now_us < end_us[key] ? owned[key] : 0) + share.left;
                end_us[key] = share.until_us > end_us[key] ? share.until_us : end_us[key];
                fb_limit_chunks_took(chunks, hash, &share, now_us);
                break;
            default:
                break;
        }
    }
    assert_true(spent > 0);
    fb_limit_chunks_free(chunks);
}

static int make(void *arg) {
    fb_limit_chunks *chunks = NULL;
    (void)arg;
    int result = fb_limit_chunks_new(100, &chunks);
    assert_true((result == FB_OK) == (chunks != NULL));
    fb_limit_chunks_free(chunks);
    return result;
}

static void test_limit_chunks__need_memory(void **state) {
    (void)state;
    assert_int_equal(test_memory_sweep(make, NULL), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_chunks__a_share_is_spent_until_its_end),
        cmocka_unit_test(test_limit_chunks__one_asks_at_a_time),
        cmocka_unit_test(test_limit_chunks__what_was_forgotten_does_not_come_back),
        cmocka_unit_test(test_limit_chunks__nothing_comes_back_to_live_longer),
        cmocka_unit_test(test_limit_chunks__no_more_is_spent_than_was_taken),
        cmocka_unit_test(test_limit_chunks__need_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
