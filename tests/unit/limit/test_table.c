// The table of keys' states: what it answers, what it keeps when it is full, what it takes.

#include <malloc.h>

#include "table_rig.h"

// ---- hashes

// Of the bytes 0, 1, 2, … under a key of zeros, and of nothing under 00 01 … 0f; from the reference
// implementation (github.com/veorq/SipHash), as the suites of OCaml and Rust have them.
static void test_table__hashes_are_siphash_1_3(void **state) {
    static const struct {
        size_t len;
        uint64_t hash;
    } known[] = {{0, UINT64_C(0xd1fba762150c532c)},  {1, UINT64_C(0x68a914128e01e473)},
                 {2, UINT64_C(0x010bac45c41e3669)},  {7, UINT64_C(0x2f098ab0c751325a)},
                 {8, UINT64_C(0xead411e67ebe2eea)},  {9, UINT64_C(0x75927f9d95124362)},
                 {15, UINT64_C(0xf30eb725bb91c9ea)}, {16, UINT64_C(0x8972188433a5c5b7)},
                 {31, UINT64_C(0x169739443111d49b)}, {63, UINT64_C(0x385d3e39e5f37359)}};
    fb_limit_hash_key zeros = {0, 0};
    fb_limit_hash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    char bytes[65];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        // Wherever the bytes lie.
        for (size_t shift = 0; shift < 2; shift++) {
            for (size_t j = 0; j < known[i].len; j++) {
                bytes[shift + j] = (char)j;
            }
            fb_str text = fb_str_make(bytes + shift, known[i].len);
            assert_true(fb_limit_hash(&zeros, text) == known[i].hash);
        }
    }
    assert_true(fb_limit_hash(&key, FB_STR("")) == UINT64_C(0xabac0158050fc4dc));
}

// ---- against a list of states

enum { PLANS = 5, ORACLE_KEYS = 4000 };

typedef struct rig {
    fb_rng rng;
    fb_limit_plan plans[PLANS];
    fb_limit_table *tables[PLANS];
    fb_limit_state states[PLANS][ORACLE_KEYS];
    int64_t now_us;
    uint64_t keys;
} rig;

static rig *make_rig(uint64_t keys) {
    rig *made = calloc(1, sizeof *made);
    assert_non_null(made);
    *made = (rig){.rng = test_rng(), .now_us = START_US, .keys = keys};
    made->plans[0] = plan_of(FB_LIMIT_TOKEN, 7, 20 * SECOND_US);
    made->plans[1] = plan_of(FB_LIMIT_SLIDING, 9, 20 * SECOND_US);
    made->plans[2] = plan_of(FB_LIMIT_SLIDING, 100, 30 * SECOND_US);
    made->plans[3] = plan_of(FB_LIMIT_FIXED, 12, 20 * SECOND_US);
    made->plans[4] = plan_of(FB_LIMIT_SLIDING, 5, 10 * SECOND_US);
    made->plans[4].charge_denied = true;
    for (int i = 0; i < PLANS; i++) {
        made->tables[i] = table_of(ORACLE_KEYS, &made->plans[i]);
    }
    return made;
}

static void free_rig(rig *one) {
    for (int i = 0; i < PLANS; i++) {
        fb_limit_table_free(one->tables[i]);
    }
    free(one);
}

typedef struct question {
    int plan;
    uint64_t key;
} question;

// The same in the plainest way, on the list. What it says is in the verdicts.
static bool decide_list(rig *one, const question *questions, const fb_limit_item *items,
                        size_t count, fb_verdict *verdicts) {
    bool allowed[FB_LIMIT_QUESTIONS_MAX], all = true;
    fb_limit_state before[FB_LIMIT_QUESTIONS_MAX];
    for (size_t i = 0; i < count; i++) {
        before[i] = one->states[questions[i].plan][questions[i].key];
    }
    for (size_t i = 0; i < count; i++) {
        fb_limit_step step = items[i].step;
        step.act = step.act == FB_LIMIT_GIVE ? FB_LIMIT_GIVE : FB_LIMIT_TAKE;
        allowed[i] = fb_limit_decide(items[i].plan, &step,
                                     &one->states[questions[i].plan][questions[i].key]);
        all = all && allowed[i];
    }
    for (size_t i = count; i > 0; i--) {
        one->states[questions[i - 1].plan][questions[i - 1].key] = before[i - 1];
    }
    for (size_t i = 0; i < count; i++) {
        fb_limit_step step = items[i].step;
        fb_limit_state *kept = &one->states[questions[i].plan][questions[i].key];
        fb_limit_state tried = *kept;
        bool charged = all || (!allowed[i] && items[i].plan->charge_denied);
        step.act = charged ? step.act : FB_LIMIT_LOOK;
        (void)fb_limit_decide(items[i].plan, &step, &tried);
        fb_limit_explain(items[i].plan, &items[i].step, &tried, allowed[i], &verdicts[i]);
        if (items[i].step.act != FB_LIMIT_LOOK) {
            *kept = tried;
        }
    }
    return all;
}

// To the byte, but that what has expired may be gone.
static void assert_kept(const fb_limit_item *item, const fb_limit_state *expected) {
    fb_limit_state kept = {0};
    if (!fb_limit_table_read(item->table, item->hash, &kept)) {
        assert_true(fb_limit_until_us(item->plan, expected) <= item->step.now_us);
        return;
    }
    assert_int_equal(kept.len, expected->len);
    assert_memory_equal(kept.bytes, expected->bytes, kept.len);
}

static void one_step(rig *one) {
    question questions[FB_LIMIT_QUESTIONS_MAX];
    fb_limit_item items[FB_LIMIT_QUESTIONS_MAX];
    fb_verdict expected[FB_LIMIT_QUESTIONS_MAX], verdict;
    bool several = fb_rng_below(&one->rng, 3) == 0;
    size_t count = several ? 1 + (size_t)fb_rng_below(&one->rng, FB_LIMIT_QUESTIONS_MAX) : 1;
    one->now_us += (int64_t)fb_rng_below(&one->rng, 3 * (uint64_t)SECOND_US / one->keys + 2);
    fb_limit_act act = fb_rng_below(&one->rng, 8) == 0   ? FB_LIMIT_LOOK
                       : fb_rng_below(&one->rng, 8) == 0 ? FB_LIMIT_GIVE
                                                         : FB_LIMIT_TAKE;
    for (size_t i = 0; i < count; i++) {
        bool again = i > 0 && fb_rng_below(&one->rng, 4) == 0;
        questions[i] = again ? questions[fb_rng_below(&one->rng, i)]
                             : (question){(int)fb_rng_below(&one->rng, PLANS),
                                          fb_rng_below(&one->rng, one->keys)};
        uint32_t cost = (uint32_t)fb_rng_below(&one->rng, fb_rng_below(&one->rng, 9) + 2);
        items[i] = item_of(one->tables[questions[i].plan], &one->plans[questions[i].plan],
                           questions[i].key, act, cost, one->now_us);
    }
    bool all = decide_list(one, questions, items, count, expected);
    assert_int_equal(fb_limit_table_decide(items, count), all);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(items[i].place, FB_LIMIT_DECIDED);
        memset(&verdict, 0, sizeof verdict);
        fb_limit_tell(items[i].plan, &items[i].step, &items[i].view, items[i].allowed, &verdict);
        assert_int_equal(verdict.allowed, expected[i].allowed);
        assert_int_equal(verdict.impossible, expected[i].impossible);
        assert_int_equal(verdict.remaining, expected[i].remaining);
        assert_int_equal(verdict.retry_us, expected[i].retry_us);
        assert_int_equal(verdict.reset_us, expected[i].reset_us);
        assert_kept(&items[i], &one->states[questions[i].plan][questions[i].key]);
    }
    if (fb_rng_below(&one->rng, 50) == 0) {
        fb_limit_table_forget(items[0].table, items[0].hash);
        one->states[questions[0].plan][questions[0].key].len = 0;
    }
}

static void run_program(uint64_t keys, int steps) {
    rig *one = make_rig(keys);
    for (int i = 0; i < steps; i++) {
        one_step(one);
        if (i % 1000 == 0 || steps - i < 10) {
            for (int j = 0; j < PLANS; j++) {
                fb_limit_table_check(one->tables[j]);
            }
        }
    }
    free_rig(one);
}

static void test_table__answers_as_a_list_of_all_states_would(void **state) {
    run_program(40, 30000);
    run_program(ORACLE_KEYS, 40000);
}

static void test_table__clocks_that_differ_are_one_clock(void **state) {
    // One shard each, so that there is one clock: that of all questions of a table.
    fb_rng rng = test_rng();
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 9, 20 * SECOND_US);
    fb_limit_table *table = table_of(100, &plan);
    fb_limit_state kept[50] = {0};
    int64_t now_us = START_US, latest_us = 0;
    for (int i = 0; i < 30000; i++) {
        now_us += (int64_t)fb_rng_below(&rng, (uint64_t)SECOND_US / 20);
        int64_t mine_us = now_us - (int64_t)fb_rng_below(&rng, (uint64_t)SECOND_US);
        latest_us = mine_us > latest_us ? mine_us : latest_us;
        uint64_t key = fb_rng_below(&rng, 50);
        fb_limit_item item = item_of(table, &plan, key, FB_LIMIT_TAKE, 1, mine_us);
        (void)fb_limit_table_decide(&item, 1);
        assert_int_equal(item.step.now_us, latest_us);
        assert_int_equal(item.allowed, fb_limit_decide(&plan, &item.step, &kept[key]));
        assert_kept(&item, &kept[key]);
    }
    fb_limit_table_free(table);
}

static void test_table__a_period_that_is_over_for_one_thread_is_for_all(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_FIXED, 10, 10 * SECOND_US);
    fb_limit_table *table = table_of(100, &plan);
    int64_t end_us = START_US / plan.window_us * plan.window_us + plan.window_us;
    int passed = 0;
    for (int i = 0; i < 100; i++) {
        passed += ask(table, &plan, 1, end_us + i);
        passed += ask(table, &plan, 1, end_us - 1000 + i);
    }
    assert_int_equal(passed, 10);
    fb_limit_table_free(table);
}

// Also where another rule's periods, in the same table, end somewhere else.
static void test_table__each_rule_has_its_own_periods(void **state) {
    fb_limit_plan tens = plan_of(FB_LIMIT_FIXED, 10, 10 * SECOND_US);
    fb_limit_plan threes = plan_of(FB_LIMIT_FIXED, 5, 3 * SECOND_US);
    fb_limit_table *table = NULL;
    fb_rng rng = test_rng();
    int64_t start_us = START_US / (30 * SECOND_US) * 30 * SECOND_US, now_us = start_us;
    int tens_passed[30] = {0}, threes_passed[100] = {0};
    assert_ok(fb_limit_table_new(100, FB_LIMIT_STATE_MAX, &table));
    while (now_us < start_us + 290 * SECOND_US) {
        now_us += (int64_t)fb_rng_below(&rng, (uint64_t)SECOND_US / 20);
        int64_t lag_us = (int64_t)fb_rng_below(&rng, (uint64_t)SECOND_US / 2);
        lag_us = lag_us < now_us - start_us ? lag_us : 0;
        bool ten = fb_rng_below(&rng, 2) == 0;
        const fb_limit_plan *plan = ten ? &tens : &threes;
        fb_limit_item item = item_of(table, plan, ten ? 1 : 2, FB_LIMIT_TAKE, 1, now_us - lag_us);
        if (fb_limit_table_decide(&item, 1)) {
            assert_in_range(item.step.now_us, item.step.start_us, item.step.end_us - 1);
            int *passed = ten ? tens_passed : threes_passed;
            passed[(item.step.start_us - start_us) / plan->window_us]++;
        }
    }
    for (int i = 0; i < 29; i++) {
        assert_int_equal(tens_passed[i], 10);
    }
    for (int i = 0; i < 96; i++) {
        assert_int_equal(threes_passed[i], 5);
    }
    fb_limit_table_free(table);
}

static void test_table__a_clock_that_went_back_locks_nobody_out_for_long(void **state) {
    fb_limit_plan plans[] = {plan_of(FB_LIMIT_SLIDING, 10, 60 * SECOND_US),
                             plan_of(FB_LIMIT_TOKEN, 10, 60 * SECOND_US),
                             plan_of(FB_LIMIT_FIXED, 10, 60 * SECOND_US)};
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        fb_limit_table *table = table_of(100, &plans[i]);
        int64_t back_us = START_US - 3600 * SECOND_US;
        while (ask(table, &plans[i], 1, START_US)) {
        }
        assert_false(ask(table, &plans[i], 1, back_us));
        assert_true(ask(table, &plans[i], 1, back_us + plans[i].window_us + 10));
        fb_limit_table_free(table);
    }
}

static void test_table__peeks_leave_nothing_behind(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 3, SECOND_US);
    fb_limit_table *table = table_of(100, &plan);
    for (uint64_t key = 0; key < 200; key++) {
        assert_int_equal(remaining(table, &plan, key, START_US), 3);
    }
    // Nor does what can never pass.
    fb_limit_item item = item_of(table, &plan, 1, FB_LIMIT_TAKE, 4, START_US);
    assert_false(fb_limit_table_decide(&item, 1));
    assert_int_equal(figures_of(table).keys, 0);
    // What is given back altogether goes, too.
    assert_true(ask(table, &plan, 1, START_US));
    assert_int_equal(figures_of(table).keys, 1);
    item = item_of(table, &plan, 1, FB_LIMIT_GIVE, 1, START_US);
    assert_true(fb_limit_table_decide(&item, 1));
    assert_int_equal(figures_of(table).keys, 0);
    fb_limit_table_free(table);
}

// ---- full

static void test_table__the_least_used_makes_room(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_TOKEN, 10, 60 * SECOND_US);
    fb_limit_table *table = table_of(20, &plan);
    for (uint64_t key = 0; key < 20; key++) {
        for (int i = 0; i < (key == 13 ? 1 : 5); i++) {
            assert_true(ask(table, &plan, key, START_US));
        }
    }
    for (int i = 0; i < 5; i++) {
        assert_true(ask(table, &plan, 100, START_US));
    }
    assert_int_equal(remaining(table, &plan, 13, START_US), 10);
    assert_int_equal(remaining(table, &plan, 100, START_US), 5);
    for (uint64_t key = 0; key < 20; key++) {
        assert_int_equal(remaining(table, &plan, key, START_US), key == 13 ? 10 : 5);
    }
    assert_int_equal(figures_of(table).keys, 20);
    fb_limit_table_check(table);
    fb_limit_table_free(table);
}

static void test_table__what_has_expired_makes_room_first(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 10, 60 * SECOND_US);
    fb_limit_table *table = table_of(20, &plan);
    for (uint64_t key = 0; key < 20; key++) {
        // The first five are used most, and long ago.
        int uses = key < 5 ? 8 : 2;
        for (int i = 0; i < uses; i++) {
            assert_true(ask(table, &plan, key, START_US + (key < 5 ? 0 : 50 * SECOND_US)));
        }
    }
    int64_t later_us = START_US + 70 * SECOND_US;
    for (uint64_t key = 20; key < 25; key++) {
        assert_true(ask(table, &plan, key, later_us));
    }
    for (uint64_t key = 5; key < 20; key++) {
        assert_int_equal(remaining(table, &plan, key, later_us), 8);
    }
    fb_limit_table_check(table);
    fb_limit_table_free(table);
}

static void test_table__full_of_denied_keys_it_takes_nobody(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 1, 60 * SECOND_US);
    for (uint32_t keys_max = 1; keys_max < 40; keys_max++) {
        fb_limit_table *table = table_of(keys_max, &plan);
        for (uint64_t key = 0; key < keys_max; key++) {
            assert_true(ask(table, &plan, key, START_US));
        }
        for (uint64_t key = 1000; key < 1010; key++) {
            fb_limit_item item = item_of(table, &plan, key, FB_LIMIT_TAKE, 1, START_US);
            assert_true(fb_limit_table_decide(&item, 1));
            assert_int_equal(item.place, FB_LIMIT_TABLE_FULL);
            // What never passes needs no place.
            item = item_of(table, &plan, key, FB_LIMIT_TAKE, 2, START_US);
            assert_false(fb_limit_table_decide(&item, 1));
            assert_int_equal(item.place, FB_LIMIT_DECIDED);
        }
        for (uint64_t key = 0; key < keys_max; key++) {
            assert_false(ask(table, &plan, key, START_US));
        }
        fb_limit_item item =
            item_of(table, &plan, 1000, FB_LIMIT_TAKE, 1, START_US + 61 * SECOND_US);
        assert_true(fb_limit_table_decide(&item, 1));
        assert_int_equal(item.place, FB_LIMIT_DECIDED);
        assert_true(figures_of(table).keys <= keys_max);
        fb_limit_table_check(table);
        fb_limit_table_free(table);
    }
}

// Denied though its quota by the rule's own plan is not used up: by an override, or by its cost.
static void test_table__denied_is_who_was_denied(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 10, 60 * SECOND_US);
    fb_limit_plan override = plan_of(FB_LIMIT_SLIDING, 2, 60 * SECOND_US);
    fb_limit_table *table = table_of(50, &plan);
    while (ask(table, &override, 1, START_US)) {
    }
    fb_limit_item item = item_of(table, &plan, 2, FB_LIMIT_TAKE, 4, START_US);
    while (fb_limit_table_decide(&item, 1)) {
    }
    for (uint64_t key = 100; key < 1000; key++) {
        assert_true(ask(table, &plan, key, START_US));
        assert_true(ask(table, &plan, key, START_US));
        assert_true(ask(table, &plan, key, START_US));
    }
    assert_false(ask(table, &override, 1, START_US));
    assert_false(fb_limit_table_decide(&item, 1));
    assert_int_equal(remaining(table, &plan, 2, START_US), 2);
    fb_limit_table_free(table);
}

// Whoever comes with a short window, or a large limit, does not see others as expired or hardly used.
static void test_table__plans_of_one_table_may_differ(void **state) {
    fb_limit_plan plans[] = {plan_of(FB_LIMIT_SLIDING, 3, 3600 * SECOND_US),
                             plan_of(FB_LIMIT_SLIDING, 90, 3600 * SECOND_US),
                             plan_of(FB_LIMIT_TOKEN, 3, 3600 * SECOND_US)};
    fb_limit_plan shorter[] = {plan_of(FB_LIMIT_SLIDING, 60, SECOND_US / 10),
                               plan_of(FB_LIMIT_SLIDING, 1000, SECOND_US),
                               plan_of(FB_LIMIT_TOKEN, 1000, SECOND_US)};
    fb_limit_table *table = NULL;
    assert_ok(fb_limit_table_new(300, FB_LIMIT_STATE_MAX, &table));
    for (uint64_t key = 0; key < 60; key++) {
        for (uint32_t i = 0; i < plans[key % 3].limit; i++) {
            assert_true(ask(table, &plans[key % 3], key, START_US));
        }
    }
    for (uint64_t key = 1000; key < 4000; key++) {
        int64_t now_us = START_US + 2 * SECOND_US + (int64_t)key;
        assert_true(ask(table, &shorter[key % 3], key, now_us));
        assert_true(ask(table, &shorter[key % 3], key, now_us));
    }
    for (uint64_t key = 0; key < 60; key++) {
        assert_false(ask(table, &plans[key % 3], key, START_US + 3 * SECOND_US));
    }
    assert_int_equal(figures_of(table).keys, 300);
    fb_limit_table_check(table);
    fb_limit_table_free(table);
}

// ---- a flood, and memory

static size_t memory_now, memory_peak;

static void *counted_resize(void *arg, void *ptr, size_t size) {
    memory_now -= ptr != NULL ? malloc_usable_size(ptr) : 0;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    void *resized = realloc(ptr, size);
    memory_now += resized != NULL ? malloc_usable_size(resized) : 0;
    memory_peak = memory_now > memory_peak ? memory_now : memory_peak;
    return resized;
}

static void assert_live_denied(fb_limit_table *table, const fb_limit_plan *plan, uint64_t live,
                               int64_t now_us) {
    for (uint64_t key = 0; key < live; key++) {
        if (ask(table, plan, key, now_us)) {
            fail_msg("key %llu is let through", (unsigned long long)key);
        }
    }
}

static void flood(uint32_t keys_max, fb_limit_plan plan) {
    fb_limit_table *table = NULL;
    memory_peak = memory_now = 0;
    assert_ok(fb_limit_table_new(keys_max, fb_limit_table_room(&plan), &table));
    uint64_t live = keys_max / 10;
    for (uint64_t key = 0; key < live; key++) {
        while (ask(table, &plan, key, START_US)) {
        }
    }
    for (uint64_t i = 0; i < 10 * (uint64_t)keys_max; i++) {
        int64_t now_us = START_US + (int64_t)i;
        if (!ask(table, &plan, 1000000 + i, now_us)) {
            fail_msg("flood key %llu is denied", (unsigned long long)i);
        }
        if (i % keys_max == 0) {
            assert_live_denied(table, &plan, live, now_us);
        }
    }
    assert_live_denied(table, &plan, live, START_US + 10 * (int64_t)keys_max);
    fb_limit_table_figures figures = figures_of(table);
    assert_int_equal(figures.keys, keys_max);
    assert_int_equal(figures.keys_max, keys_max);
    assert_true(figures.bytes <= fb_limit_table_bytes_max(table));
    // What the allocator adds is little, because there are few pieces.
    assert_true(memory_peak <= fb_limit_table_bytes_max(table) * 101 / 100 + 8192);
    fb_limit_table_check(table);
    fb_limit_table_free(table);
    assert_int_equal(memory_now, 0);
}

static void test_table__a_flood_of_keys_frees_nobody_and_takes_no_more_memory(void **state) {
    fb_hooks hooks = {.resize = counted_resize};
    fb_hooks_set(&hooks);
    // One shard, and several.
    static const uint32_t sizes[] = {100, 3000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        flood(sizes[i], plan_of(FB_LIMIT_TOKEN, 5, 3600 * SECOND_US));
        flood(sizes[i], plan_of(FB_LIMIT_SLIDING, 10, 3600 * SECOND_US));
    }
    flood(1100, plan_of(FB_LIMIT_SLIDING, 100, 3600 * SECOND_US));
    flood(1100, plan_of(FB_LIMIT_FIXED, 10, 3600 * SECOND_US));
    fb_hooks_set(NULL);
}

// A daemon has such tables for limits that nobody asks about.
static void test_table__an_empty_one_takes_little(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_TOKEN, 100, 3600 * SECOND_US);
    fb_limit_table *table = table_of(1000000, &plan);
    fb_limit_table_figures figures = figures_of(table);
    assert_int_equal(figures.keys, 0);
    assert_in_range(figures.bytes, 1, 20 << 10);
    fb_limit_table_free(table);
}

// All the way, not only where it is convenient: a shard that has just grown is seen, too.
static void test_table__a_token_key_takes_48_bytes_at_most(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_TOKEN, 100, 3600 * SECOND_US);
    static const uint32_t sizes[] = {10000, 100000, 1000000};
#ifdef __SANITIZE_THREAD__
    enum { SIZES = 2 };  // one thread alone has nothing to show it, and is slow
#else
    enum { SIZES = 3 };
#endif
    for (size_t i = 0; i < SIZES; i++) {
        fb_limit_table *table = table_of(sizes[i], &plan);
        double most = 0;
        for (uint64_t key = 1; key <= sizes[i]; key++) {
            assert_true(ask(table, &plan, key, START_US));
            if (key >= 10000 && key % 50 == 0) {
                fb_limit_table_figures figures = figures_of(table);
                double each = (double)figures.bytes / (double)figures.keys;
                most = each > most ? each : most;
            }
        }
        fb_limit_table_figures figures = figures_of(table);
        assert_int_equal(figures.keys, sizes[i]);
        printf("keys_max %u: %.1f bytes a key, %.1f at most\n", sizes[i],
               (double)figures.bytes / (double)figures.keys, most);
        assert_true(most <= 48);
        // Each is still there.
        for (uint64_t key = 1; key <= sizes[i]; key += 997) {
            assert_int_equal(remaining(table, &plan, key, START_US), 99);
        }
        fb_limit_table_check(table);
        fb_limit_table_free(table);
    }
}

static void test_table__expired_keys_do_not_make_it_grow(void **state) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 10, SECOND_US);
    fb_limit_table *table = table_of(100000, &plan);
    for (uint64_t key = 0; key < 200000; key++) {
        // A thousand live at a time.
        assert_true(ask(table, &plan, key, START_US + (int64_t)key * SECOND_US / 1000));
    }
    assert_true(figures_of(table).keys < 5000);
    fb_limit_table_check(table);
    fb_limit_table_free(table);
}

static void test_table__a_state_without_room_is_not_kept(void **state) {
    fb_limit_plan small = plan_of(FB_LIMIT_SLIDING, 8, SECOND_US);
    fb_limit_plan large = plan_of(FB_LIMIT_SLIDING, 64, SECOND_US);
    fb_limit_table *table = table_of(100, &small);
    fb_limit_item item;
    for (int i = 0; i < 8; i++) {
        item = item_of(table, &large, 1, FB_LIMIT_TAKE, 1, START_US);
        assert_true(fb_limit_table_decide(&item, 1));
        assert_int_equal(item.place, FB_LIMIT_DECIDED);
    }
    assert_true(fb_limit_table_decide(&item, 1));
    assert_int_equal(item.place, FB_LIMIT_TABLE_FULL);
    assert_false(ask(table, &small, 1, START_US));
    fb_limit_table_check(table);
    fb_limit_table_free(table);
    assert_int_equal(fb_limit_table_room(&small), 8 + 4 * 7);
    assert_int_equal(fb_limit_table_room(&large), 8 + 4 * 63);
}

static int sweep(void *arg) {
    fb_limit_plan plan = plan_of(FB_LIMIT_TOKEN, 3, 3600 * SECOND_US);
    fb_limit_table *table = NULL;
    int result = fb_limit_table_new(1500, fb_limit_table_room(&plan), &table);
    if (result != FB_OK) {
        assert_null(table);
        return result;
    }
    for (uint64_t key = 0; key < 1500; key++) {
        assert_true(ask(table, &plan, key, START_US));
        if (key % 100 == 0) {
            while (ask(table, &plan, key, START_US)) {
            }
        }
    }
    for (uint64_t key = 0; key < 1500; key += 100) {
        assert_false(ask(table, &plan, key, START_US));
    }
    fb_limit_table_check(table);
    fb_limit_table_free(table);
    return FB_OK;
}

static void test_table__without_memory_it_goes_on_as_if_it_were_full(void **state) {
    assert_true(test_memory_sweep(sweep, NULL) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__hashes_are_siphash_1_3),
        cmocka_unit_test(test_table__answers_as_a_list_of_all_states_would),
        cmocka_unit_test(test_table__clocks_that_differ_are_one_clock),
        cmocka_unit_test(test_table__a_period_that_is_over_for_one_thread_is_for_all),
        cmocka_unit_test(test_table__each_rule_has_its_own_periods),
        cmocka_unit_test(test_table__a_clock_that_went_back_locks_nobody_out_for_long),
        cmocka_unit_test(test_table__peeks_leave_nothing_behind),
        cmocka_unit_test(test_table__the_least_used_makes_room),
        cmocka_unit_test(test_table__what_has_expired_makes_room_first),
        cmocka_unit_test(test_table__full_of_denied_keys_it_takes_nobody),
        cmocka_unit_test(test_table__denied_is_who_was_denied),
        cmocka_unit_test(test_table__plans_of_one_table_may_differ),
        cmocka_unit_test(test_table__a_flood_of_keys_frees_nobody_and_takes_no_more_memory),
        cmocka_unit_test(test_table__an_empty_one_takes_little),
        cmocka_unit_test(test_table__a_token_key_takes_48_bytes_at_most),
        cmocka_unit_test(test_table__expired_keys_do_not_make_it_grow),
        cmocka_unit_test(test_table__a_state_without_room_is_not_kept),
        cmocka_unit_test(test_table__without_memory_it_goes_on_as_if_it_were_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
