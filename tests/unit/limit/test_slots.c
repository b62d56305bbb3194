// Leases: against a plain list, full, with a clock that steps, and without memory.

#include "limit/slots.h"
#include "table_rig.h"

static fb_limit_slots *make(uint32_t keys_max) {
    fb_limit_slots *slots = NULL;
    assert_ok(fb_limit_slots_new(keys_max, &slots));
    return slots;
}

static uint64_t keys_of(fb_limit_slots *slots) {
    fb_limit_table_figures figures;
    fb_limit_slots_figures_read(slots, &figures);
    assert_true(figures.keys <= figures.keys_max);
    return figures.keys;
}

static void test_slots__as_many_as_the_limit_live(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLOTS, 2, 60 * SECOND_US);
    fb_limit_slots *slots = make(10);
    fb_limit_slots_answer answer;
    fb_verdict verdict = {0};
    assert_ok(fb_limit_slots_acquire(slots, 1, &plan, 11, 30 * SECOND_US, START_US, &answer));
    assert_ok(fb_limit_slots_acquire(slots, 1, &plan, 12, 10 * SECOND_US, START_US, &answer));
    assert_int_equal(answer.used, 2);
    assert_int_equal(answer.next_us, 10 * SECOND_US);
    assert_int_equal(answer.last_us, 30 * SECOND_US);
    fb_limit_slots_explain(&plan, &answer, true, &verdict);
    assert_true(verdict.allowed && !verdict.denied);
    assert_int_equal(verdict.remaining, 0);
    assert_int_equal(verdict.retry_us, 0);
    assert_result(fb_limit_slots_acquire(slots, 1, &plan, 13, SECOND_US, START_US + SECOND_US,
                                         &answer), FB_LIMITED);
    fb_limit_slots_explain(&plan, &answer, false, &verdict);
    assert_true(!verdict.allowed && verdict.denied && !verdict.impossible);
    assert_int_equal(verdict.limit, 2);
    assert_int_equal(verdict.retry_us, 9 * SECOND_US);
    assert_int_equal(verdict.reset_us, 29 * SECOND_US);
    // Another key has its own.
    assert_ok(fb_limit_slots_acquire(slots, 2, &plan, 13, SECOND_US, START_US, &answer));
    // One that is given back, or ends, is free.
    assert_ok(fb_limit_slots_release(slots, 1, 11, START_US + SECOND_US));
    assert_result(fb_limit_slots_release(slots, 1, 11, START_US + SECOND_US), FB_MISS);
    assert_ok(fb_limit_slots_acquire(slots, 1, &plan, 14, SECOND_US, START_US + SECOND_US,
                                     &answer));
    assert_int_equal(answer.next_us, SECOND_US);
    fb_limit_slots_look(slots, 1, &plan, START_US + 2 * SECOND_US, &answer);
    assert_int_equal(answer.used, 1);
    fb_limit_slots_look(slots, 1, &plan, START_US + 10 * SECOND_US, &answer);
    assert_int_equal(answer.used, 0);
    assert_int_equal(answer.last_us, 0);
    fb_limit_slots_free(slots);
}

static void test_slots__a_renewed_lease_lives_on(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLOTS, 1, 60 * SECOND_US);
    fb_limit_slots *slots = make(10);
    fb_limit_slots_answer answer;
    assert_result(fb_limit_slots_renew(slots, 1, &plan, 11, SECOND_US, START_US), FB_MISS);
    assert_ok(fb_limit_slots_acquire(slots, 1, &plan, 11, 2 * SECOND_US, START_US, &answer));
    assert_ok(fb_limit_slots_renew(slots, 1, &plan, 11, 5 * SECOND_US, START_US + SECOND_US));
    assert_result(fb_limit_slots_acquire(slots, 1, &plan, 12, SECOND_US,
                                         START_US + 6 * SECOND_US - 1, &answer), FB_LIMITED);
    assert_int_equal(answer.next_us, 1);
    assert_result(fb_limit_slots_renew(slots, 1, &plan, 11, SECOND_US, START_US + 6 * SECOND_US),
                  FB_MISS);
    // The same token again is the same lease.
    assert_ok(fb_limit_slots_acquire(slots, 1, &plan, 12, SECOND_US, START_US + 6 * SECOND_US,
                                     &answer));
    assert_ok(fb_limit_slots_acquire(slots, 1, &plan, 12, 2 * SECOND_US,
                                     START_US + 6 * SECOND_US, &answer));
    assert_int_equal(answer.used, 1);
    assert_int_equal(answer.next_us, 2 * SECOND_US);
    fb_limit_slots_forget(slots, 1);
    assert_int_equal(keys_of(slots), 0);
    fb_limit_slots_free(slots);
}

static void test_slots__keys_are_bounded_and_those_that_ended_leave(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLOTS, 3, 60 * SECOND_US);
    fb_limit_slots *slots = make(100);
    fb_limit_slots_answer answer;
    for (uint64_t key = 0; key < 100; key++) {
        int64_t ttl_us = (1 + (int64_t)key % 10) * SECOND_US;
        assert_ok(fb_limit_slots_acquire(slots, key, &plan, 1, ttl_us, START_US, &answer));
    }
    assert_result(fb_limit_slots_acquire(slots, 500, &plan, 1, SECOND_US, START_US, &answer),
                  FB_EOVERLOAD);
    assert_int_equal(answer.used, 0);
    assert_ok(fb_limit_slots_acquire(slots, 5, &plan, 2, SECOND_US, START_US, &answer));
    // After two seconds ten keys' leases ended at one, and as many at two; one of them lives on.
    assert_ok(fb_limit_slots_renew(slots, 0, &plan, 1, 9 * SECOND_US, START_US));
    for (uint64_t key = 500; key < 519; key++) {
        assert_ok(fb_limit_slots_acquire(slots, key, &plan, 1, 50 * SECOND_US,
                                         START_US + 2 * SECOND_US, &answer));
    }
    assert_result(fb_limit_slots_acquire(slots, 519, &plan, 1, SECOND_US,
                                         START_US + 2 * SECOND_US, &answer), FB_EOVERLOAD);
    fb_limit_slots_look(slots, 0, &plan, START_US + 2 * SECOND_US, &answer);
    assert_int_equal(answer.used, 1);
    // Nobody asks for the others any more, and yet they leave.
    for (uint64_t key = 600; key < 640; key++) {
        assert_ok(fb_limit_slots_acquire(slots, key, &plan, 1, 50 * SECOND_US,
                                         START_US + 20 * SECOND_US, &answer));
    }
    assert_int_equal(keys_of(slots), 19 + 40);
    fb_limit_slots_free(slots);
}

static void test_slots__a_clock_that_went_back_keeps_no_lease_beyond_the_window(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLOTS, 1, 10 * SECOND_US);
    fb_limit_slots *slots = make(2);
    fb_limit_slots_answer answer;
    int64_t back_us = START_US - 3600 * SECOND_US;
    assert_ok(fb_limit_slots_acquire(slots, 1, &plan, 1, 9 * SECOND_US, START_US, &answer));
    assert_ok(fb_limit_slots_acquire(slots, 2, &plan, 1, 2 * SECOND_US, START_US, &answer));
    // A little back is nothing.
    fb_limit_slots_look(slots, 1, &plan, START_US - SECOND_US / 2, &answer);
    assert_int_equal(answer.last_us, 9 * SECOND_US);
    fb_limit_slots_look(slots, 1, &plan, back_us, &answer);
    assert_int_equal(answer.last_us, 10 * SECOND_US);
    assert_result(fb_limit_slots_acquire(slots, 3, &plan, 1, SECOND_US, back_us, &answer),
                  FB_EOVERLOAD);
    // Of both, also the one that nobody asked for.
    assert_ok(fb_limit_slots_acquire(slots, 3, &plan, 1, SECOND_US, back_us + 10 * SECOND_US,
                                     &answer));
    assert_int_equal(keys_of(slots), 1);
    fb_limit_slots_free(slots);
}

// ---- against a list

enum { KEYS = 12, TOKENS = 400 };

typedef struct list {
    struct {
        uint64_t key, token;
        int64_t until_us;
    } leases[TOKENS];
    size_t count;
    int64_t now_us;
} list;

static fb_limit_slots_answer count_list(list *all, uint64_t key, int64_t now_us) {
    fb_limit_slots_answer answer = {0};
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (all->leases[i].until_us <= now_us) {
            continue;
        }
        int64_t left_us = all->leases[i].until_us - now_us;
        if (all->leases[i].key == key) {
            answer.next_us =
                answer.used == 0 || left_us < answer.next_us ? left_us : answer.next_us;
            answer.last_us = left_us > answer.last_us ? left_us : answer.last_us;
            answer.used++;
        }
        all->leases[kept++] = all->leases[i];
    }
    all->count = kept;
    return answer;
}

static size_t place_in(const list *all, uint64_t key, uint64_t token) {
    size_t i = 0;
    while (i < all->count && (all->leases[i].key != key || all->leases[i].token != token)) {
        i++;
    }
    return i;
}

static void assert_answer(const fb_limit_slots_answer *is, const fb_limit_slots_answer *expected) {
    assert_int_equal(is->used, expected->used);
    assert_int_equal(is->next_us, expected->next_us);
    assert_int_equal(is->last_us, expected->last_us);
}

static void one_step(fb_limit_slots *slots, list *all, fb_rng *rng, const fb_limit_plan *plan) {
    fb_limit_slots_answer answer, expected;
    uint64_t key = fb_rng_below(rng, KEYS), token = 1 + fb_rng_below(rng, 8);
    int64_t ttl_us = 1 + (int64_t)fb_rng_below(rng, (uint64_t)plan->window_us);
    all->now_us += (int64_t)fb_rng_below(rng, (uint64_t)SECOND_US);
    expected = count_list(all, key, all->now_us);
    size_t place = place_in(all, key, token);
    bool there = place < all->count;
    switch (fb_rng_below(rng, 5)) {
    case 0:
    case 1: {
        bool fits = there || expected.used < plan->limit;
        int result = fb_limit_slots_acquire(slots, hash_of(key), plan, token, ttl_us, all->now_us,
                                            &answer);
        assert_result(result, fits ? FB_OK : FB_LIMITED);
        if (fits) {
            all->leases[place].key = key;
            all->leases[place].token = token;
            all->leases[place].until_us = all->now_us + ttl_us;
            all->count += !there;
            expected = count_list(all, key, all->now_us);
        }
        assert_answer(&answer, &expected);
        break;
    }
    case 2:
        assert_result(fb_limit_slots_renew(slots, hash_of(key), plan, token, ttl_us, all->now_us),
                      there ? FB_OK : FB_MISS);
        if (there) {
            all->leases[place].until_us = all->now_us + ttl_us;
        }
        break;
    case 3:
        assert_result(fb_limit_slots_release(slots, hash_of(key), token, all->now_us),
                      there ? FB_OK : FB_MISS);
        if (there) {
            all->leases[place] = all->leases[--all->count];
        }
        break;
    default:
        fb_limit_slots_look(slots, hash_of(key), plan, all->now_us, &answer);
        assert_answer(&answer, &expected);
        break;
    }
}

static void test_slots__answers_as_a_list_of_all_leases_would(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLOTS, 5, 20 * SECOND_US);
    fb_rng rng = test_rng();
    fb_limit_slots *slots = make(KEYS);
    static list all;
    all = (list){.now_us = START_US};
    for (int i = 0; i < 100000; i++) {
        one_step(slots, &all, &rng, &plan);
    }
    fb_limit_slots_free(slots);
}

static int sweep(void *arg) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLOTS, 9, 60 * SECOND_US);
    fb_limit_slots *slots = NULL;
    fb_limit_slots_answer answer;
    int result = fb_limit_slots_new(40, &slots);
    if (result != FB_OK) {
        assert_null(slots);
        return result;
    }
    for (uint64_t i = 0; i < 120; i++) {
        uint32_t used_before = 0;
        fb_limit_slots_look(slots, i % 30, &plan, START_US, &answer);
        used_before = answer.used;
        int got = fb_limit_slots_acquire(slots, i % 30, &plan, i + 1, SECOND_US, START_US, &answer);
        result = got != FB_OK ? got : result;
        assert_int_equal(answer.used, used_before + (got == FB_OK));
    }
    fb_limit_slots_free(slots);
    return result;
}

static void test_slots__without_memory_nothing_is_changed(void **state) {
    assert_true(test_memory_sweep(sweep, NULL) > 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots__as_many_as_the_limit_live),
        cmocka_unit_test(test_slots__a_renewed_lease_lives_on),
        cmocka_unit_test(test_slots__keys_are_bounded_and_those_that_ended_leave),
        cmocka_unit_test(test_slots__a_clock_that_went_back_keeps_no_lease_beyond_the_window),
        cmocka_unit_test(test_slots__answers_as_a_list_of_all_leases_would),
        cmocka_unit_test(test_slots__without_memory_nothing_is_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
