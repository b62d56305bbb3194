// Stamps: what an invalidation of a slot says of those who captured a sequence before and after it.

#include "base/mem.h"
#include "cache/tags.h"
#include "support.h"

static fb_tags *make(uint32_t slots) {
    fb_tags *tags = NULL;
    assert_ok(fb_tags_new(fb_mem_zero(1, fb_outside_bytes(slots)), slots, 1, &tags));
    return tags;
}

static void drop(fb_tags *tags) {
    void *room = tags->table;
    fb_tags_free(tags);
    fb_mem_free(room);
}

static void test_tags__an_invalidation_hits_what_was_captured_before_it(void **state) {
    fb_tags *tags = make(64);
    uint32_t red = fb_tags_slot(tags, FB_STR("red"));
    uint32_t other = (red + 1) % 64;
    uint64_t before = fb_tags_seq(tags);
    assert_false(fb_tags_hard_after(tags, red, before));
    fb_tags_bump(tags, red, false, 5);
    uint64_t after = fb_tags_seq(tags);
    int64_t soft_ns = -1;
    assert_true(fb_tags_hard_after(tags, red, before));
    assert_false(fb_tags_hard_after(tags, red, after));
    assert_false(fb_tags_hard_after(tags, other, before));
    assert_false(fb_tags_soft_after(tags, red, before, &soft_ns));
    drop(tags);
}

static void test_tags__soft_ones_tell_when(void **state) {
    fb_tags *tags = make(64);
    uint64_t before = fb_tags_seq(tags);
    int64_t soft_ns = -1;
    fb_tags_bump(tags, 3, true, 500);
    assert_false(fb_tags_hard_after(tags, 3, before));
    assert_true(fb_tags_soft_after(tags, 3, before, &soft_ns));
    assert_int_equal(soft_ns, 500);
    uint64_t between = fb_tags_seq(tags);
    fb_tags_bump(tags, 3, true, 700);
    assert_true(fb_tags_soft_after(tags, 3, between, &soft_ns));
    assert_int_equal(soft_ns, 700);
    assert_true(fb_tags_soft_after(tags, 3, before, &soft_ns));
    assert_int_equal(soft_ns, INT64_MIN);  // one of several
    assert_false(fb_tags_soft_after(tags, 3, fb_tags_seq(tags), &soft_ns));
    assert_false(fb_tags_soft_after(tags, 4, before, &soft_ns));
    drop(tags);
}

static void test_tags__classes_namespaces_and_clear_share_no_slot(void **state) {
    fb_tags *tags = make(2);
    uint64_t before = fb_tags_seq(tags);
    fb_tags_bump(tags, 0, false, 1);
    fb_tags_bump(tags, 1, false, 1);
    fb_tags_bump(tags, fb_tags_class_slot(tags, 1023), false, 1);
    fb_tags_bump(tags, fb_tags_namespace_slot(tags, 1), false, 1);
    assert_true(fb_tags_hard_after(tags, fb_tags_slot(tags, FB_STR("any")), before));
    assert_false(fb_tags_hard_after(tags, fb_tags_clear_slot(tags), before));
    for (uint16_t id = 0; id < 1024; id++) {
        assert_int_equal(fb_tags_hard_after(tags, fb_tags_class_slot(tags, id), before),
                         id == 1023);
        assert_int_equal(fb_tags_hard_after(tags, fb_tags_namespace_slot(tags, id), before),
                         id == 1);
    }
    fb_tags_bump(tags, fb_tags_clear_slot(tags), false, 1);
    assert_true(fb_tags_hard_after(tags, fb_tags_clear_slot(tags), before));
    drop(tags);
}

static void test_tags__torn_slot_numbers_count_as_invalidated(void **state) {
    fb_tags *tags = make(2);
    uint64_t before = fb_tags_seq(tags);
    int64_t soft_ns;
    fb_tags_bump(tags, 0, false, 1);
    fb_tags_bump(tags, 0, true, 1);
    assert_true(fb_tags_hard_after(tags, 0xffffff, before));
    assert_false(fb_tags_soft_after(tags, 0xffffff, before, &soft_ns));
    drop(tags);
}

static void test_tags__odd_slot_counts_are_refused(void **state) {
    fb_tags *tags = NULL;
    assert_result(fb_tags_new(NULL, 3, 1, &tags), FB_EINVAL);
    assert_result(fb_tags_new(NULL, FB_TAGS_SLOTS_MAX * 2, 1, &tags), FB_EINVAL);
    assert_null(tags);
}

static void test_tags__names_are_remembered_up_to_a_bound(void **state) {
    fb_tags *tags = make(0);
    char text[FB_TAG_LEN_MAX + 1];
    fb_tags_name(tags, 77, text);
    assert_string_equal(text, "#77");
    fb_tags_note_name(tags, 77, FB_STR("org:7"));
    fb_tags_note_name(tags, 77, FB_STR("org:7"));
    fb_tags_name(tags, 77, text);
    assert_string_equal(text, "org:7");
    fb_tags_note_name(tags, 77 + 4096, FB_STR("org:8"));  // takes the place
    fb_tags_name(tags, 77 + 4096, text);
    assert_string_equal(text, "org:8");
    fb_tags_name(tags, 77, text);
    assert_string_equal(text, "#77");
    drop(tags);
}

static void test_tags__those_of_another_process_go_on_where_it_stood(void **state) {
    fb_tags *first = make(16);
    uint64_t before = fb_tags_seq(first);
    uint32_t red = fb_tags_slot(first, FB_STR("red"));
    fb_tags_bump(first, red, false, 1);
    fb_tags *next = NULL;
    assert_ok(fb_tags_adopt(first->table, fb_outside_bytes(16), &next));
    assert_int_equal(fb_tags_seq(next), before + 1);
    assert_int_equal(fb_tags_slot(next, FB_STR("red")), red);
    assert_true(fb_tags_hard_after(next, red, before));
    fb_tags_free(next);
    assert_result(fb_tags_adopt(first->table, fb_outside_bytes(16) - 1, &next), FB_EINVAL);
    first->table->magic++;
    assert_result(fb_tags_adopt(first->table, fb_outside_bytes(16), &next), FB_EINVAL);
    assert_null(next);
    drop(first);
}

static void test_tags__a_class_inherits_what_its_namespace_had(void **state) {
    fb_tags *tags = make(16);
    uint64_t before = fb_tags_seq(tags);
    int64_t soft_ns = 0;
    fb_tags_bump(tags, fb_tags_namespace_slot(tags, 4), false, 1);
    fb_tags_bump(tags, fb_tags_class_slot(tags, 9), true, 20);
    uint64_t between = fb_tags_seq(tags);
    fb_tags_bump(tags, fb_tags_namespace_slot(tags, 4), true, 30);
    fb_tags_inherit(tags, 9, 4);
    fb_tags_forget_namespaces(tags);
    uint32_t slot = fb_tags_class_slot(tags, 9);
    assert_true(fb_tags_hard_after(tags, slot, before));
    assert_false(fb_tags_hard_after(tags, slot, between));
    assert_true(fb_tags_soft_after(tags, slot, before, &soft_ns));
    assert_int_equal(soft_ns, INT64_MIN);  // two of them: the first is not known any more
    assert_true(fb_tags_soft_after(tags, slot, between, &soft_ns));
    assert_int_equal(soft_ns, 30);
    assert_false(fb_tags_hard_after(tags, fb_tags_namespace_slot(tags, 4), before));
    assert_false(fb_tags_soft_after(tags, fb_tags_namespace_slot(tags, 4), before, &soft_ns));
    drop(tags);
}

// A table of slots with the last invalidation of each, as plain numbers.
static void test_tags__random_programs_agree_with_a_list(void **state) {
    enum { SLOTS = 8, STEPS = 20000 };
    fb_rng rng = test_rng();
    fb_tags *tags = make(SLOTS);
    uint64_t hard[SLOTS] = {0};
    uint64_t soft[SLOTS] = {0};
    uint64_t captured[16];
    for (size_t i = 0; i < 16; i++) {
        captured[i] = fb_tags_seq(tags);
    }
    for (int i = 0; i < STEPS; i++) {
        uint32_t slot = (uint32_t)fb_rng_below(&rng, SLOTS);
        uint64_t seq = captured[fb_rng_below(&rng, 16)];
        int64_t soft_ns;
        switch (fb_rng_below(&rng, 8)) {
            case 0: {
                bool is_soft = fb_rng_below(&rng, 2) == 0;
                fb_tags_bump(tags, slot, is_soft, i);
                (is_soft ? soft : hard)[slot] = fb_tags_seq(tags);
                break;
            }
            case 1:
                captured[fb_rng_below(&rng, 16)] = fb_tags_seq(tags);
                break;
            default:
                assert_int_equal(fb_tags_hard_after(tags, slot, seq), hard[slot] > seq);
                assert_int_equal(fb_tags_soft_after(tags, slot, seq, &soft_ns), soft[slot] > seq);
                break;
        }
    }
    drop(tags);
}

static int scenario(void *arg) {
    fb_tags *tags = NULL;
    int result = fb_tags_new(arg, 16, 1, &tags);
    if (result == FB_OK) {
        char text[FB_TAG_LEN_MAX + 1];
        fb_tags_note_name(tags, 1, FB_STR("a"));
        fb_tags_note_name(tags, 1, FB_STR("longer"));
        fb_tags_name(tags, 1, text);
        fb_tags_free(tags);
    }
    return result;
}

static void test_tags__failing_allocations(void **state) {
    void *room = fb_mem_zero(1, fb_outside_bytes(16));
    assert_true(test_memory_sweep(scenario, room) >= 4);
    fb_mem_free(room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags__an_invalidation_hits_what_was_captured_before_it),
        cmocka_unit_test(test_tags__soft_ones_tell_when),
        cmocka_unit_test(test_tags__classes_namespaces_and_clear_share_no_slot),
        cmocka_unit_test(test_tags__torn_slot_numbers_count_as_invalidated),
        cmocka_unit_test(test_tags__odd_slot_counts_are_refused),
        cmocka_unit_test(test_tags__names_are_remembered_up_to_a_bound),
        cmocka_unit_test(test_tags__those_of_another_process_go_on_where_it_stood),
        cmocka_unit_test(test_tags__a_class_inherits_what_its_namespace_had),
        cmocka_unit_test(test_tags__random_programs_agree_with_a_list),
        cmocka_unit_test(test_tags__failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
