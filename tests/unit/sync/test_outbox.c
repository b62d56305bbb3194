// The outbox: the newest word on each name; what does not fit is known of its log.

#include "support.h"
#include "sync/outbox.h"

enum { LOGS = 4, WIDE = LOGS - 1 };

static fb_outbox *new_outbox(size_t entries_max) {
    fb_outbox *outbox = NULL;
    assert_ok(fb_outbox_new(entries_max, LOGS, &outbox));
    return outbox;
}

static fb_owed word(fb_owed_kind kind, const char *key, int64_t delta) {
    fb_owed owed = {.kind = kind, .log = 1, .delta = delta};
    owed.record = (fb_record){.kind = FB_RECORD_KEY, .name = fb_str_of(key)};
    return owed;
}

static void owe(fb_outbox *outbox, fb_owed_kind kind, const char *key, int64_t delta) {
    fb_owed owed = word(kind, key, delta);
    fb_outbox_owe(outbox, &owed, 5);
    fb_outbox_check(outbox);
}

static void owe_wide(fb_outbox *outbox, const char *tag, bool soft) {
    fb_owed owed = {.kind = FB_OWED_DROP, .log = WIDE};
    owed.record = (fb_record){.kind = FB_RECORD_TAG, .name = fb_str_of(tag), .soft = soft};
    fb_outbox_owe(outbox, &owed, 5);
    fb_outbox_check(outbox);
}

static const fb_owed *find(const fb_outbox *outbox, const char *key) {
    return fb_outbox_find(outbox, FB_RECORD_KEY, fb_str_of(key));
}

static void test_outbox__newest_word_on_a_key_counts(void **state) {
    const struct {
        fb_owed_kind before, after, kind;
        int64_t delta;
    } cases[] = {{FB_OWED_SET, FB_OWED_DROP, FB_OWED_DROP, 0},
                 {FB_OWED_DROP, FB_OWED_SET, FB_OWED_SET, 0},
                 {FB_OWED_ADD, FB_OWED_SET, FB_OWED_SET, 0},
                 {FB_OWED_ADD, FB_OWED_DROP, FB_OWED_DROP, 0},
                 {FB_OWED_ADD, FB_OWED_ADD, FB_OWED_ADD, 5},
                 {FB_OWED_SET, FB_OWED_ADD, FB_OWED_SET, 0},
                 {FB_OWED_DROP, FB_OWED_ADD, FB_OWED_SET, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_outbox *outbox = new_outbox(10);
        owe(outbox, cases[i].before, "k", 2);
        owe(outbox, cases[i].after, "k", 3);
        assert_int_equal(fb_outbox_count(outbox), 1);
        assert_int_equal(find(outbox, "k")->kind, cases[i].kind);
        if (cases[i].delta != 0) {
            assert_int_equal(find(outbox, "k")->delta, cases[i].delta);
        }
        fb_outbox_free(outbox);
    }
}

static void test_outbox__value_keeps_its_tags_through_an_addition(void **state) {
    fb_outbox *outbox = new_outbox(10);
    fb_owed owed = word(FB_OWED_SET, "k", 0);
    owed.tags = FB_STR("\x01" "a");
    fb_outbox_owe(outbox, &owed, 5);
    owe(outbox, FB_OWED_ADD, "k", 3);
    assert_bytes(find(outbox, "k")->tags, FB_STR("\x01" "a"));
    fb_outbox_free(outbox);
}

// What was changed hard stays so, and so does the least source version that may be stored.
static void test_outbox__hard_word_on_a_key_outweighs_a_soft_one(void **state) {
    fb_outbox *outbox = new_outbox(10);
    fb_owed soft = word(FB_OWED_DROP, "k", 0), hard = word(FB_OWED_DROP, "k", 0);
    soft.record.soft = true;
    hard.record.fence = 7;
    fb_outbox_owe(outbox, &soft, 5);
    assert_true(find(outbox, "k")->record.soft);
    fb_outbox_owe(outbox, &hard, 5);
    fb_outbox_owe(outbox, &soft, 5);
    assert_false(find(outbox, "k")->record.soft);
    assert_int_equal(find(outbox, "k")->record.fence, 7);
    owe(outbox, FB_OWED_SET, "s", 0);
    soft = word(FB_OWED_DROP, "s", 0);
    soft.record.soft = true;
    fb_outbox_owe(outbox, &soft, 5);
    assert_false(find(outbox, "s")->record.soft);  // elsewhere the value before it is older
    fb_outbox_free(outbox);
}

static void test_outbox__hard_wide_one_outweighs_a_soft_one(void **state) {
    fb_outbox *outbox = new_outbox(10);
    owe_wide(outbox, "a", true);
    assert_true(fb_outbox_next(outbox)->record.soft);
    owe_wide(outbox, "a", false);
    owe_wide(outbox, "a", true);
    assert_int_equal(fb_outbox_count(outbox), 1);
    assert_false(fb_outbox_next(outbox)->record.soft);
    assert_true(fb_outbox_owes_wide(outbox));
    fb_outbox_free(outbox);
}

static void test_outbox__is_told_in_order_and_nothing_overtakes_a_wide_one(void **state) {
    fb_outbox *outbox = new_outbox(10);
    owe(outbox, FB_OWED_SET, "a", 0);
    owe_wide(outbox, "t", false);
    owe(outbox, FB_OWED_SET, "b", 0);
    assert_str(fb_outbox_next(outbox)->record.name, "a");
    uint64_t a = fb_outbox_tell(outbox, fb_outbox_next(outbox));
    assert_str(fb_outbox_next(outbox)->record.name, "t");
    uint64_t t = fb_outbox_tell(outbox, fb_outbox_next(outbox));
    assert_null(fb_outbox_next(outbox));
    fb_outbox_done(outbox, FB_RECORD_TAG, FB_STR("t"), t);
    assert_str(fb_outbox_next(outbox)->record.name, "b");
    fb_outbox_again(outbox, FB_RECORD_KEY, FB_STR("a"), 0);
    assert_str(fb_outbox_next(outbox)->record.name, "a");
    a = fb_outbox_tell(outbox, fb_outbox_next(outbox));
    fb_outbox_done(outbox, FB_RECORD_KEY, FB_STR("a"), a);
    assert_int_equal(fb_outbox_count(outbox), 1);
    fb_outbox_free(outbox);
}

static void test_outbox__word_that_came_while_the_older_was_told_is_told_after_it(void **state) {
    fb_outbox *outbox = new_outbox(10);
    owe(outbox, FB_OWED_SET, "k", 0);
    uint64_t generation = fb_outbox_tell(outbox, fb_outbox_next(outbox));
    owe(outbox, FB_OWED_DROP, "k", 0);
    assert_null(fb_outbox_next(outbox));  // not two at a time
    fb_outbox_done(outbox, FB_RECORD_KEY, FB_STR("k"), generation);
    assert_int_equal(fb_outbox_next(outbox)->kind, FB_OWED_DROP);
    fb_outbox_free(outbox);
}

static void test_outbox__what_is_told_of_a_sum_is_not_told_again(void **state) {
    fb_outbox *outbox = new_outbox(10);
    owe(outbox, FB_OWED_ADD, "k", 5);
    uint64_t generation = fb_outbox_tell(outbox, fb_outbox_next(outbox));
    owe(outbox, FB_OWED_ADD, "k", 3);
    assert_int_equal(find(outbox, "k")->delta, 8);
    fb_outbox_done(outbox, FB_RECORD_KEY, FB_STR("k"), generation);
    assert_int_equal(find(outbox, "k")->delta, 3);
    generation = fb_outbox_tell(outbox, fb_outbox_next(outbox));
    owe(outbox, FB_OWED_ADD, "k", 1);
    fb_outbox_again(outbox, FB_RECORD_KEY, FB_STR("k"), 0);  // nothing of it was
    assert_int_equal(find(outbox, "k")->delta, 4);
    fb_outbox_free(outbox);
}

static void test_outbox__value_that_is_refused_for_long_becomes_a_drop(void **state) {
    fb_outbox *outbox = new_outbox(10);
    owe(outbox, FB_OWED_SET, "k", 0);
    owe(outbox, FB_OWED_ADD, "n", 1);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(find(outbox, "k")->kind, FB_OWED_SET);
        (void)fb_outbox_tell(outbox, find(outbox, "k"));
        fb_outbox_again(outbox, FB_RECORD_KEY, FB_STR("k"), 1);
        (void)fb_outbox_tell(outbox, find(outbox, "n"));
        fb_outbox_again(outbox, FB_RECORD_KEY, FB_STR("n"), 1);
    }
    assert_int_equal(find(outbox, "k")->kind, FB_OWED_DROP);
    assert_int_equal(find(outbox, "n")->kind, FB_OWED_ADD);
    fb_outbox_free(outbox);
}

static void test_outbox__without_room_the_log_is_known_to_need_an_epoch(void **state) {
    fb_outbox *outbox = new_outbox(2);
    owe(outbox, FB_OWED_SET, "a", 0);
    owe_wide(outbox, "t", false);
    assert_int_equal(fb_outbox_overflowed(outbox), UINT32_MAX);
    owe(outbox, FB_OWED_SET, "b", 0);
    assert_int_equal(fb_outbox_overflowed(outbox), 1);
    assert_int_equal(fb_outbox_count(outbox), 1);  // "a" is not needed any more
    owe(outbox, FB_OWED_SET, "c", 0);
    assert_int_equal(fb_outbox_count(outbox), 1);
    assert_true(fb_outbox_owes(outbox, 1) && fb_outbox_owes(outbox, WIDE));
    // What is owed while it is renewed may come after the epoch began.
    fb_outbox_renew(outbox, 1);
    assert_int_equal(fb_outbox_overflowed(outbox), UINT32_MAX);
    owe(outbox, FB_OWED_SET, "d", 0);
    assert_non_null(find(outbox, "d"));
    fb_outbox_renewed(outbox, 1, true);
    assert_non_null(find(outbox, "d"));
    fb_outbox_done(outbox, FB_RECORD_KEY, FB_STR("d"), find(outbox, "d")->generation);
    assert_false(fb_outbox_owes(outbox, 1));
    fb_outbox_give_up(outbox);
    assert_int_equal(fb_outbox_overflowed(outbox), WIDE);
    fb_outbox_renew(outbox, WIDE);
    fb_outbox_renewed(outbox, WIDE, false);  // it did not come to it
    assert_int_equal(fb_outbox_overflowed(outbox), WIDE);
    fb_outbox_renew(outbox, WIDE);
    assert_false(fb_outbox_empty(outbox));
    fb_outbox_renewed(outbox, WIDE, true);
    assert_true(fb_outbox_empty(outbox));
    fb_outbox_free(outbox);
}

// ---- against arrays

enum { NAMES = 6 };

typedef struct model {
    int kind[NAMES];  // -1: nothing is owed
    int64_t delta[NAMES], told_delta[NAMES];
    bool busy[NAMES], newer[NAMES];
    uint64_t generation[NAMES];
    bool lost;
} model;

static void name_of(int i, char name[8]) {
    (void)snprintf(name, 8, "k%d", i);
}

static void model_owe(model *at, int i, fb_owed_kind kind, int64_t delta) {
    if (at->kind[i] == FB_OWED_ADD && kind == FB_OWED_ADD) {
        at->delta[i] += delta;
    } else if (at->kind[i] >= 0 && kind == FB_OWED_ADD) {
        at->kind[i] = FB_OWED_SET;
    } else {
        at->kind[i] = (int)kind;
        at->delta[i] = delta;
    }
    at->newer[i] = at->busy[i];
}

static void step(fb_outbox *outbox, model *at, fb_rng *rng) {
    int i = (int)fb_rng_below(rng, NAMES);
    char name[8];
    name_of(i, name);
    fb_str text = fb_str_of(name);
    if (at->busy[i] && fb_rng_below(rng, 2) == 0) {
        if (fb_rng_below(rng, 2) == 0) {
            fb_outbox_done(outbox, FB_RECORD_KEY, text, at->generation[i]);
            at->kind[i] = at->newer[i] ? at->kind[i] : -1;
            at->delta[i] -= at->newer[i] && at->kind[i] == FB_OWED_ADD ? at->told_delta[i] : 0;
        } else {
            fb_outbox_again(outbox, FB_RECORD_KEY, text, 0);
        }
        at->busy[i] = at->newer[i] = false;
    } else if (!at->busy[i] && at->kind[i] >= 0 && fb_rng_below(rng, 2) == 0) {
        at->generation[i] = fb_outbox_tell(outbox, find(outbox, name));
        at->busy[i] = true;
        at->told_delta[i] = at->kind[i] == FB_OWED_ADD ? at->delta[i] : 0;
    } else {
        fb_owed_kind kind = (fb_owed_kind)fb_rng_below(rng, 3);
        int64_t delta = kind == FB_OWED_ADD ? 1 + (int64_t)fb_rng_below(rng, 9) : 0;
        // A sum of which a part is being told, and then something else, and then a sum again: what
        // was told is nobody's business any more.
        if (at->busy[i] && !(at->kind[i] == FB_OWED_ADD && kind == FB_OWED_ADD)) {
            return;
        }
        owe(outbox, kind, name, delta);
        model_owe(at, i, kind, delta);
    }
}

static void test_outbox__random_words_are_merged_as_an_array_does(void **state) {
    fb_rng rng = test_rng();
    for (int round = 0; round < 300; round++) {
        fb_outbox *outbox = new_outbox(NAMES);
        model at = {.lost = false};
        for (int i = 0; i < NAMES; i++) {
            at.kind[i] = -1;
        }
        for (int n = 0; n < 200; n++) {
            step(outbox, &at, &rng);
            for (int i = 0; i < NAMES; i++) {
                char name[8];
                name_of(i, name);
                const fb_owed *owed = find(outbox, name);
                assert_int_equal(owed != NULL, at.kind[i] >= 0);
                if (owed != NULL) {
                    assert_int_equal(owed->kind, at.kind[i]);
                    assert_int_equal(owed->busy, at.busy[i]);
                    if (owed->kind == FB_OWED_ADD) {
                        assert_int_equal(owed->delta, at.delta[i]);
                    }
                }
            }
        }
        fb_outbox_check(outbox);
        fb_outbox_free(outbox);
    }
}

// Whatever allocation fails: the key is owed, or its log is known to be.
static int owe_twice(void *arg) {
    fb_outbox *outbox = NULL;
    int result = fb_outbox_new(4, LOGS, &outbox);
    if (result < 0) {
        return result;
    }
    owe(outbox, FB_OWED_SET, "a", 0);
    owe(outbox, FB_OWED_ADD, "a", 1);
    owe(outbox, FB_OWED_DROP, "b", 0);
    assert_true(fb_outbox_overflowed(outbox) == 1 ||
                (find(outbox, "a") != NULL && find(outbox, "b") != NULL));
    fb_outbox_free(outbox);
    return FB_OK;
}

static void test_outbox__what_is_parked_keeps_no_other_waiting(void **state) {
    fb_outbox *outbox = new_outbox(10);
    owe(outbox, FB_OWED_DROP, "a", 0);
    owe(outbox, FB_OWED_DROP, "b", 0);
    for (int i = 0; i < 2; i++) {
        (void)fb_outbox_tell(outbox, find(outbox, "a"));
        fb_outbox_park(outbox, FB_RECORD_KEY, FB_STR("a"));
        fb_outbox_check(outbox);
        assert_true(fb_outbox_has_parked(outbox) && fb_outbox_owes(outbox, 1));
        assert_ptr_equal(fb_outbox_next(outbox), find(outbox, "b"));
        fb_outbox_resume(outbox);
        fb_outbox_check(outbox);
        assert_false(fb_outbox_has_parked(outbox));
        assert_ptr_equal(fb_outbox_next(outbox), find(outbox, "a"));  // it was the older
    }
    (void)fb_outbox_tell(outbox, find(outbox, "a"));
    fb_outbox_park(outbox, FB_RECORD_KEY, FB_STR("a"));
    owe(outbox, FB_OWED_SET, "a", 0);  // a newer word is tried for itself
    assert_false(fb_outbox_has_parked(outbox));
    (void)fb_outbox_tell(outbox, find(outbox, "a"));
    fb_outbox_park(outbox, FB_RECORD_KEY, FB_STR("a"));
    fb_outbox_give_up(outbox);
    fb_outbox_check(outbox);
    assert_int_equal(fb_outbox_overflowed(outbox), 1);
    fb_outbox_park_log(outbox, 1);
    assert_true(fb_outbox_has_parked(outbox) && fb_outbox_owes(outbox, 1));
    assert_true(fb_outbox_overflowed(outbox) == UINT32_MAX);
    fb_outbox_resume(outbox);
    fb_outbox_check(outbox);
    assert_int_equal(fb_outbox_overflowed(outbox), 1);
    fb_outbox_free(outbox);
}

static void test_outbox__lack_of_memory_loses_nothing(void **state) {
    assert_true(test_memory_sweep(owe_twice, NULL) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outbox__newest_word_on_a_key_counts),
        cmocka_unit_test(test_outbox__value_keeps_its_tags_through_an_addition),
        cmocka_unit_test(test_outbox__hard_word_on_a_key_outweighs_a_soft_one),
        cmocka_unit_test(test_outbox__hard_wide_one_outweighs_a_soft_one),
        cmocka_unit_test(test_outbox__is_told_in_order_and_nothing_overtakes_a_wide_one),
        cmocka_unit_test(test_outbox__word_that_came_while_the_older_was_told_is_told_after_it),
        cmocka_unit_test(test_outbox__what_is_told_of_a_sum_is_not_told_again),
        cmocka_unit_test(test_outbox__value_that_is_refused_for_long_becomes_a_drop),
        cmocka_unit_test(test_outbox__without_room_the_log_is_known_to_need_an_epoch),
        cmocka_unit_test(test_outbox__random_words_are_merged_as_an_array_does),
        cmocka_unit_test(test_outbox__what_is_parked_keeps_no_other_waiting),
        cmocka_unit_test(test_outbox__lack_of_memory_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
