// What all threads of a node share about the shared tier: stamps, own records, figures.

#include "cache_rig.h"
#include "sync/sync.h"

typedef struct node {
    fb_cache *cache;
    fb_sync *sync;
} node;

static node make_node(void) {
    node made = {NULL, NULL};
    fb_cache_options options = {
        .memory_bytes = 8 << 20, .seed = 7, .catalog = rig_catalog(), .partitions = 4};
    assert_ok(fb_cache_new(&options, &made.cache));
    fb_sync_options how = {.cache = made.cache, .partitions = 4, .node = 1, .max_lag_ns = S(2)};
    assert_ok(fb_sync_new(&how, &made.sync));
    return made;
}

static void free_node(node *one) {
    fb_sync_free(one->sync);
    fb_cache_free(one->cache);
}

static const fb_mark WIDE = {.epoch = 77, .seq = 10, .nonce = 5};

static fb_verdict_wide judge(const node *one, uint64_t seq, const char *key, uint16_t class_id,
                             const char *tag) {
    fb_mark stored = {.epoch = WIDE.epoch, .seq = seq};
    fb_loaded loaded = rig_loaded("1", tag);
    const fb_class *class_ = class_id != 0 ? rig_of(one->cache, class_id) : NULL;
    fb_verdict_wide verdict = fb_sync_judge(one->sync, &stored, fb_str_of(key), class_, &loaded);
    fb_loaded_release(&loaded);
    return verdict;
}

static void raise(const node *one, fb_record_kind kind, const char *name, bool soft, uint64_t seq) {
    fb_record record = {
        .seq = seq, .nonce = seq, .kind = kind, .soft = soft, .name = fb_str_of(name)};
    fb_mark wide = {WIDE.epoch, seq, seq};
    fb_sync_stamps_raise(one->sync, &record, &wide);
}

static void test_sync__nothing_is_taken_before_the_stamps_are_known(void **state) {
    node one = make_node();
    assert_int_equal(judge(&one, 10, "k", 0, NULL), FB_WIDE_GONE);
    fb_sync_stamps_reset(one.sync, &WIDE, NULL, 0);
    assert_int_equal(judge(&one, 10, "k", 0, NULL), FB_WIDE_VALID);
    fb_mark other = {.epoch = 78, .seq = 10}, none = {0};
    fb_loaded loaded = rig_loaded("1", NULL);
    assert_int_equal(fb_sync_judge(one.sync, &other, FB_STR("k"), NULL, &loaded), FB_WIDE_GONE);
    assert_int_equal(fb_sync_judge(one.sync, &none, FB_STR("k"), NULL, &loaded), FB_WIDE_GONE);
    fb_loaded_release(&loaded);
    fb_sync_stamps_reset(one.sync, &none, NULL, 0);
    assert_int_equal(judge(&one, 10, "k", 0, NULL), FB_WIDE_GONE);
    free_node(&one);
}

static void test_sync__what_came_after_the_store_counts(void **state) {
    node one = make_node();
    fb_sync_stamp stamps[] = {{fb_sync_slot(FB_RECORD_TAG, FB_STR("t")), 9, 0},
                              {fb_sync_slot(FB_RECORD_CLASS, FB_STR("page")), 0, 8}};
    fb_sync_stamps_reset(one.sync, &WIDE, stamps, 2);
    assert_int_equal(judge(&one, 8, "k", 0, "t"), FB_WIDE_GONE);
    assert_int_equal(judge(&one, 9, "k", 0, "t"), FB_WIDE_VALID);
    assert_int_equal(judge(&one, 8, "k", 0, "other"), FB_WIDE_VALID);
    assert_int_equal(judge(&one, 7, "page:1", RIG_PAGE, NULL), FB_WIDE_SOFT);
    assert_int_equal(judge(&one, 8, "page:1", RIG_PAGE, NULL), FB_WIDE_VALID);
    raise(&one, FB_RECORD_NAMESPACE, "shop", false, 11);
    assert_int_equal(judge(&one, 10, "item:1", RIG_ITEM, NULL), FB_WIDE_GONE);
    assert_int_equal(judge(&one, 10, "page:1", RIG_PAGE, NULL), FB_WIDE_VALID);
    raise(&one, FB_RECORD_ALL, "", true, 12);
    assert_int_equal(judge(&one, 11, "k", 0, NULL), FB_WIDE_SOFT);
    raise(&one, FB_RECORD_ALL, "", false, 13);
    assert_int_equal(judge(&one, 12, "k", 0, NULL), FB_WIDE_GONE);
    free_node(&one);
}

static void test_sync__index_tags_follow_from_the_key(void **state) {
    node one = make_node();
    fb_buf tag = {0};
    fb_sync_stamps_reset(one.sync, &WIDE, NULL, 0);
    assert_ok(fb_catalog_index_tag(fb_cache_catalog(one.cache), FB_STR("list:7:*"), &tag));
    fb_record record = {.seq = 11, .nonce = 1, .kind = FB_RECORD_TAG, .name = fb_buf_str(&tag)};
    fb_mark wide = {WIDE.epoch, 11, 1};
    fb_sync_stamps_raise(one.sync, &record, &wide);
    assert_int_equal(judge(&one, 10, "list:7:p1", RIG_LIST, NULL), FB_WIDE_GONE);
    assert_int_equal(judge(&one, 10, "list:8:p1", RIG_LIST, NULL), FB_WIDE_VALID);
    fb_buf_release(&tag);
    free_node(&one);
}

static void test_sync__the_mark_moves_by_the_next_record_alone(void **state) {
    node one = make_node();
    fb_mark now;
    fb_sync_stamps_reset(one.sync, &WIDE, NULL, 0);
    raise(&one, FB_RECORD_TAG, "t", false, 12);  // somebody's own, ahead of what is applied
    fb_sync_wide(one.sync, &now);
    assert_int_equal(now.seq, 10);
    assert_int_equal(judge(&one, 11, "k", 0, "t"), FB_WIDE_GONE);
    fb_record next = {.seq = 11, .nonce = 4, .kind = FB_RECORD_TAG, .name = FB_STR("u")};
    fb_mark wide = {WIDE.epoch, 11, 4};
    fb_sync_stamps_warn(one.sync, &next, &wide);
    fb_sync_wide(one.sync, &now);
    assert_int_equal(now.seq, 10);
    assert_int_equal(judge(&one, 10, "k", 0, "u"), FB_WIDE_GONE);
    fb_sync_stamps_raise(one.sync, &next, &wide);
    fb_sync_wide(one.sync, &now);
    assert_true(now.seq == 11 && now.nonce == 4 && now.epoch == WIDE.epoch);
    wide.epoch = 3;
    wide.seq = next.seq = 12;
    next.kind = FB_RECORD_ALL;
    fb_sync_stamps_raise(one.sync, &next, &wide);  // of another epoch: nothing
    assert_int_equal(judge(&one, 11, "k", 0, "x"), FB_WIDE_VALID);
    free_node(&one);
}

static void test_sync__disowned_records_are_known_once(void **state) {
    node one = make_node();
    assert_false(fb_sync_disowned(one.sync, 5));
    fb_sync_disown(one.sync, 5);
    fb_sync_disown(one.sync, 6);
    assert_false(fb_sync_disowned(one.sync, 7));
    assert_true(fb_sync_disowned(one.sync, 5));
    assert_false(fb_sync_disowned(one.sync, 5));
    assert_true(fb_sync_disowned(one.sync, 6));
    for (uint64_t i = 0; i < 10000; i++) {
        fb_sync_disown(one.sync, 100 + i);
    }
    assert_true(fb_sync_disowned(one.sync, 3));  // more than can be told apart
    free_node(&one);
}

static void test_sync__figures_are_the_worst_of_all(void **state) {
    node one = make_node();
    fb_sync_figures figures;
    fb_sync_figures_read(one.sync, S(100), &figures);
    assert_int_equal(figures.state, FB_SYNC_UNUSED);
    assert_int_equal(figures.partitions, 4);
    assert_int_equal(figures.degraded, 4);
    assert_int_equal(figures.lag_ns, -1);
    fb_sync_say(one.sync, 0, FB_SYNC_CONNECTED, "");
    fb_sync_figures_read(one.sync, S(100), &figures);
    assert_int_equal(figures.state, FB_SYNC_CATCHING_UP);
    assert_string_equal(figures.why, "4 of 4 partitions are not known to be up to date");
    for (uint32_t i = 0; i <= 4; i++) {
        fb_cache_set_coherent(one.cache, i, S(102));
    }
    fb_sync_figures_read(one.sync, S(100.5), &figures);
    assert_int_equal(figures.state, FB_SYNC_CONNECTED);
    assert_string_equal(figures.why, "");
    assert_int_equal(figures.lag_ns, S(0.5));
    fb_sync_say(one.sync, 3, FB_SYNC_AWAY, "refused");
    fb_sync_say(one.sync, UINT32_MAX, FB_SYNC_CATCHING_UP, "reading");
    fb_sync_count(one.sync, FB_SYNC_COUNT_gets, 3);
    fb_sync_owed_now(one.sync, 2);
    fb_sync_figures_read(one.sync, S(100.5), &figures);
    assert_int_equal(figures.state, FB_SYNC_AWAY);
    assert_string_equal(figures.why, "refused");
    assert_int_equal(figures.counters[FB_SYNC_COUNT_gets], 3);
    assert_int_equal(figures.owed_now, 2);
    fb_sync_say(one.sync, 3, FB_SYNC_CONNECTED, NULL);
    fb_sync_figures_read(one.sync, S(100.5), &figures);
    assert_string_equal(figures.why, "reading");
    assert_false(fb_sync_owes_wide(one.sync));
    fb_sync_owe_wide(one.sync, 1);
    assert_true(fb_sync_owes_wide(one.sync));
    fb_sync_owe_wide(one.sync, -1);
    assert_false(fb_sync_owes_wide(one.sync));
    free_node(&one);
}

static int make_one(void *arg) {
    fb_sync_options how = {.cache = arg, .partitions = 4, .node = 1, .max_lag_ns = S(2)};
    fb_sync *sync;
    int result = fb_sync_new(&how, &sync);
    fb_sync_free(sync);
    return result;
}

static void test_sync__without_memory_nothing_is_made(void **state) {
    node one = make_node();
    assert_true(test_memory_sweep(make_one, one.cache) > 0);
    free_node(&one);
}

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync__nothing_is_taken_before_the_stamps_are_known),
        cmocka_unit_test(test_sync__what_came_after_the_store_counts),
        cmocka_unit_test(test_sync__index_tags_follow_from_the_key),
        cmocka_unit_test(test_sync__the_mark_moves_by_the_next_record_alone),
        cmocka_unit_test(test_sync__disowned_records_are_known_once),
        cmocka_unit_test(test_sync__figures_are_the_worst_of_all),
        cmocka_unit_test(test_sync__without_memory_nothing_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
