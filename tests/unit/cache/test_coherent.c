// What memory knows of the shared tier: marks, coherence and what it is worth, flushes of
// partitions, holds, fences, values told first; the same for readers outside, and after a restart.

#include "base/hash.h"
#include "cache/holds.h"
#include "cache/outside.h"
#include "region_rig.h"

enum { PARTITIONS = 4, WIDE = PARTITIONS };

static fb_catalog *degraded_catalog(void) {
    fb_class_options page = rig_page(), item = rig_item(), list = rig_list();
    page.degraded = FB_DEGRADED_CAP_TTL;
    page.degraded_ttl_ns = S(2);
    item.degraded = FB_DEGRADED_BYPASS;
    list.degraded = FB_DEGRADED_CAP_TTL;  // no fallback there
    list.degraded_ttl_ns = S(2);
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, page), rig_class(RIG_ITEM, item),
                           rig_class(RIG_LIST, list)};
    return rig_catalog_of(classes, 4);
}

static fb_cache *make_cache(fb_catalog *catalog) {
    fb_cache_options options = {
        .memory_bytes = 8 << 20, .seed = 7, .catalog = catalog, .partitions = PARTITIONS};
    fb_cache *cache = NULL;
    assert_ok(fb_cache_new(&options, &cache));
    return cache;
}

static fb_cache *make_in_file(int fd, uint32_t partitions, fb_cache_region *keep, int64_t now_ns) {
    fb_error error = {0};
    fb_cache_region region = {.fd = fd, .boot = RIG_BOOT, .keep = keep != NULL, .error = &error};
    fb_cache_options options = {.memory_bytes = 8 << 20,
                                .seed = 7,
                                .catalog = rig_catalog(),
                                .region = &region,
                                .partitions = partitions,
                                .now_ns = now_ns};
    fb_cache *cache = NULL;
    if (fb_cache_new(&options, &cache) != FB_OK) {
        fail_msg("%s", error.text);
    }
    if (keep != NULL) {
        *keep = region;
    }
    return cache;
}

static void set_all_coherent(fb_cache *cache, int64_t until_ns) {
    for (uint32_t log = 0; log <= WIDE; log++) {
        fb_cache_set_coherent(cache, log, until_ns);
    }
}

static uint32_t log_of(const char *key) {
    return fb_partition_of(fb_str_of(key), PARTITIONS);
}

// A key of another partition than `key`.
static const char *stranger(const char *key) {
    static char text[16];
    for (int i = 0;; i++) {
        (void)snprintf(text, sizeof text, "page:%d", i);
        if (log_of(text) != log_of(key)) {
            return text;
        }
    }
}

// ---- marks and coherence

static void test_coherent__without_a_shared_tier_always(void **state) {
    fb_cache *cache = rig_cache();
    assert_int_equal(fb_cache_partitions(cache), 0);
    assert_int_equal(fb_cache_partition_of(cache, FB_STR("a")), 0);
    assert_true(fb_cache_is_coherent(cache, FB_STR("a"), INT64_MAX - 1));
    assert_int_equal(fb_cache_degraded(cache, S(100)), 0);
    assert_true(fb_cache_coherent_until(cache) == INT64_MAX);
    fb_cache_free(cache);
}

static void test_coherent__partitions_follow_from_the_key_alone(void **state) {
    // Every node must find the same: these numbers are for good.
    assert_int_equal(fb_partition_of(FB_STR("user:42"), 256),
                     fb_hash64(FB_STR("user:42"), 0) % 256);
    assert_int_equal(fb_partition_of(FB_STR("user:42"), 1), 0);
    uint32_t seen[16] = {0};
    for (int i = 0; i < 16000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        seen[fb_partition_of(fb_str_of(key), 16)]++;
    }
    for (int i = 0; i < 16; i++) {
        assert_in_range(seen[i], 800, 1200);
    }
}

static void test_coherent__marks_are_kept(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    fb_mark set = {7, 8, 9}, got = {1, 1, 1};
    fb_cache_mark(cache, WIDE, &got);
    assert_true(got.epoch == 0 && got.seq == 0 && got.nonce == 0);
    fb_cache_set_mark(cache, WIDE, &set);
    fb_cache_mark(cache, WIDE, &got);
    assert_memory_equal(&set, &got, sizeof set);
    fb_cache_free(cache);
}

static void test_coherent__until_the_proof_is_over(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    assert_true(fb_cache_coherent_until(cache) == INT64_MIN);
    assert_int_equal(fb_cache_degraded(cache, S(100)), PARTITIONS);
    set_all_coherent(cache, S(102));
    assert_int_equal(fb_cache_degraded(cache, S(102) - 1), 0);
    assert_int_equal(fb_cache_degraded(cache, S(102)), PARTITIONS);
    fb_cache_set_coherent(cache, WIDE, S(110));
    for (uint32_t log = 1; log < PARTITIONS; log++) {
        fb_cache_set_coherent(cache, log, S(110));
    }
    assert_true(fb_cache_coherent_until(cache) == S(102));
    assert_int_equal(fb_cache_degraded(cache, S(105)), 1);
    const char *key = log_of("page:1") == 0 ? stranger("page:1") : "page:1";
    assert_true(fb_cache_is_coherent(cache, fb_str_of(key), S(105)));
    fb_cache_set_coherent(cache, WIDE, S(103));
    assert_false(fb_cache_is_coherent(cache, fb_str_of(key), S(105)));
    fb_cache_free(cache);
}

// ---- degraded

static void test_coherent__a_degraded_class_says_what_it_is_worth(void **state) {
    fb_cache *cache = make_cache(degraded_catalog());
    set_all_coherent(cache, S(200));
    rig_put(cache, "plain", "1", 0, S(100));
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "2", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_PAGE, "page:2", NULL, NULL, S(100)));
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "3", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_LIST, "list:7:p1", "4", NULL, S(100)));
    assert_read(cache, "item:1", S(101), "fresh:3");
    assert_read(cache, "page:1", S(103), "fresh:2");
    set_all_coherent(cache, S(100.5));
    assert_read(cache, "plain", S(150), "fresh:1");
    assert_read(cache, "item:1", S(101), "nothing");
    assert_read(cache, "page:1", S(101.9), "fresh:2");
    assert_read(cache, "page:1", S(102), "fallback:2");  // if the source fails
    assert_read(cache, "page:2", S(101.9), "fresh:-");
    assert_read(cache, "page:2", S(102.1), "nothing");
    assert_read(cache, "list:7:p1", S(101), "fresh:4");
    assert_read(cache, "list:7:p1", S(102), "nothing");
    set_all_coherent(cache, S(200));  // nothing of it is lost
    assert_read(cache, "item:1", S(103), "fresh:3");
    assert_read(cache, "page:1", S(103), "fresh:2");
    fb_cache_free(cache);
}

static void test_coherent__peeking_and_many_obey_it_too(void **state) {
    fb_cache *cache = make_cache(degraded_catalog());
    fb_found found[2];
    fb_str keys[] = {FB_STR("item:1"), FB_STR("plain")};
    void *args[2] = {NULL, NULL};
    rig_put(cache, "plain", "1", 0, S(100));
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "3", NULL, S(100)));
    fb_cache_read_many(cache, keys, 2, S(101), NULL, args, found);
    assert_int_equal(found[0].find, FB_FIND_NOTHING);
    assert_int_equal(found[1].find, FB_FIND_FRESH);
    assert_int_equal(fb_cache_peek(cache, keys[0], S(101), found), FB_FIND_NOTHING);
    set_all_coherent(cache, S(200));
    assert_int_equal(fb_cache_peek(cache, keys[0], S(101), found), FB_FIND_FRESH);
    fb_cache_free(cache);
}

// ---- flushes

static void test_coherent__a_flush_drops_one_partition(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    set_all_coherent(cache, S(200));
    const char *other = stranger("page:100");
    assert_ok(rig_load(cache, RIG_PAGE, "page:100", "1", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_PAGE, other, "2", NULL, S(100)));
    rig_put(cache, "plain", "3", 0, S(100));
    fb_ticket *mine = rig_begin(cache, RIG_PAGE, "page:100", S(100));
    fb_ticket *others = rig_begin(cache, RIG_PAGE, other, S(100));
    fb_cache_flush(cache, log_of("page:100"), S(101));
    assert_read(cache, "page:100", S(101), "nothing");
    assert_read(cache, other, S(101), "fresh:2");
    assert_true(fb_ticket_doomed(mine));
    assert_false(fb_ticket_doomed(others));
    assert_result(rig_fill(cache, mine, "old", NULL, S(101)), FB_DOOMED);
    assert_ok(rig_fill(cache, others, "4", NULL, S(101)));
    assert_ok(rig_load(cache, RIG_PAGE, "page:100", "new", NULL, S(101)));
    assert_read(cache, "page:100", S(101), "fresh:new");
    fb_cache_flush(cache, log_of("plain"), S(102));
    assert_read(cache, "plain", S(102), "nothing");  // plain keys too
    fb_cache_free(cache);
}

static void test_coherent__the_wide_log_is_everything(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    set_all_coherent(cache, S(200));
    for (int i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        rig_put(cache, key, "1", 0, S(100));
    }
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_cache_flush(cache, WIDE, S(101));
    assert_read(cache, "k7", S(101), "nothing");
    assert_result(rig_fill(cache, ticket, "old", NULL, S(101)), FB_DOOMED);
    fb_cache_free(cache);
}

// ---- holds and fences

static void test_coherent__nothing_is_stored_under_a_held_key(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    set_all_coherent(cache, S(200));
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "1", NULL, S(100)));
    fb_ticket *before = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_cache_hold(cache, FB_STR("page:1"), S(110), S(100));
    assert_read(cache, "page:1", S(100), "nothing");
    assert_result(rig_fill(cache, before, "1", NULL, S(101)), FB_DOOMED);
    assert_result(rig_load(cache, RIG_PAGE, "page:1", "2", NULL, S(102)), FB_DOOMED);
    assert_ok(rig_load(cache, RIG_PAGE, "page:2", "2", NULL, S(102)));
    fb_ticket *under = rig_begin(cache, RIG_PAGE, "page:1", S(109));
    (void)rig_invalidate(cache, FB_SCOPE_KEY, "page:1", false, S(109.5));  // the change is done
    assert_result(rig_fill(cache, under, "2", NULL, S(109.6)), FB_DOOMED);
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "3", NULL, S(109.6)));
    assert_read(cache, "page:1", S(109.7), "fresh:3");
    fb_cache_hold(cache, FB_STR("page:1"), S(120), S(110));
    assert_result(rig_load(cache, RIG_PAGE, "page:1", "4", NULL, S(119)), FB_DOOMED);
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "5", NULL, S(120)));  // nobody came back
    fb_cache_hold(cache, FB_STR("page:1"), S(140), S(130));
    fb_cache_hold(cache, FB_STR("page:1"), 0, S(131));
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "6", NULL, S(131)));
    fb_cache_free(cache);
}

static int fill_version(fb_cache *cache, const char *key, uint64_t version, int64_t now_ns) {
    fb_loaded loaded = rig_loaded("1", NULL);
    fb_value info;
    loaded.source_version = version;
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, key, now_ns);
    int result = fb_cache_fill(cache, ticket, &loaded, 1, 0, now_ns, &info);
    fb_cache_end(cache, ticket);
    fb_loaded_release(&loaded);
    return result;
}

static void test_coherent__what_is_behind_a_fence_is_not_stored(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    set_all_coherent(cache, S(10000));
    fb_cache_fence(cache, FB_STR("page:1"), 10, S(100));
    fb_cache_fence(cache, FB_STR("page:1"), 7, S(100));  // never backwards
    assert_result(fill_version(cache, "page:1", 9, S(101)), FB_DOOMED);
    assert_ok(fill_version(cache, "page:1", 10, S(101)));
    assert_ok(fill_version(cache, "page:1", 0, S(101)));  // it reports none
    assert_ok(fill_version(cache, "page:2", 9, S(101)));
    (void)rig_invalidate(cache, FB_SCOPE_KEY, "page:1", false, S(102));
    assert_result(fill_version(cache, "page:1", 9, S(102)), FB_DOOMED);
    assert_ok(fill_version(cache, "page:1", 9, S(100) + FB_FENCE_NS));
    fb_cache_free(cache);
}

static void test_coherent__too_many_holds_hold_partitions(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    set_all_coherent(cache, S(10000));
    char key[16];
    for (int i = 0; i < FB_HOLDS_MAX + 64; i++) {
        (void)snprintf(key, sizeof key, "h%d", i);
        fb_cache_hold(cache, fb_str_of(key), S(200), S(100));
    }
    (void)snprintf(key, sizeof key, "h%d", FB_HOLDS_MAX + 63);
    fb_ticket *ticket = rig_begin(cache, 0, key, S(101));
    assert_result(rig_fill(cache, ticket, "old", NULL, S(101)), FB_DOOMED);
    assert_result(fill_version(cache, "page:1", 0, S(101)), FB_DOOMED);
    assert_true(fb_cache_held(cache, FB_STR("h0"), S(101)));
    assert_false(fb_cache_held(cache, FB_STR("page:1"), S(101)));  // its partition is
    assert_false(fb_cache_held(cache, FB_STR("h0"), S(200)));
    assert_ok(fill_version(cache, "page:1", 0, S(200)));  // all of them are over
    fb_cache_hold(cache, FB_STR("page:1"), S(300), S(201));
    assert_result(fill_version(cache, "page:1", 0, S(202)), FB_DOOMED);
    assert_ok(fill_version(cache, "page:2", 0, S(202)));
    fb_cache_free(cache);
}

// ---- a value that the shared tier was told first

static int put_under(fb_cache *cache, fb_ticket *ticket, const char *value, const char *tag,
                     int64_t fresh_ns, int64_t now_ns) {
    fb_loaded loaded = rig_loaded(value, tag);
    int result = fb_cache_put_under(cache, ticket, &loaded, fresh_ns, now_ns);
    fb_loaded_release(&loaded);
    fb_cache_end(cache, ticket);
    return result;
}

static void test_coherent__an_own_value_is_kept_as_it_was_told(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    set_all_coherent(cache, S(10000));
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    assert_ok(put_under(cache, ticket, "{\"n\":1}", "t", S(5), S(101)));
    assert_read(cache, "page:1", S(102), "fresh:{\"n\":1}");
    rig_copy copy;
    fb_found found;
    (void)fb_cache_read(cache, FB_STR("page:1"), S(102), NULL, rig_take, &copy, &found);
    assert_int_equal(copy.value.kind, FB_KIND_JSON);
    assert_int_equal(copy.value.ttl_ms, 4000);
    assert_int_equal(copy.value.age_ms, 1000);
    assert_read(cache, "page:1", S(106), "nothing");
    ticket = rig_begin(cache, RIG_LIST, "list:7:p1", S(100));
    assert_ok(put_under(cache, ticket, "2", "t", INT64_MAX, S(101)));
    assert_read(cache, "list:7:p1", S(9000), "fresh:2");
    (void)rig_invalidate(cache, FB_SCOPE_TAG, "user:7", false, S(9000));  // the class's own tag
    assert_read(cache, "list:7:p1", S(9000), "nothing");
    fb_cache_free(cache);
}

static void test_coherent__a_later_change_keeps_an_own_value_out(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    set_all_coherent(cache, S(10000));
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    (void)rig_invalidate(cache, FB_SCOPE_KEY, "page:1", false, S(100));
    assert_result(put_under(cache, ticket, "1", NULL, S(5), S(101)), FB_DOOMED);
    ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    (void)rig_invalidate(cache, FB_SCOPE_TAG, "t", false, S(100));
    assert_result(put_under(cache, ticket, "1", "t", S(5), S(101)), FB_DOOMED);
    ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_cache_flush(cache, log_of("page:1"), S(100));
    assert_result(put_under(cache, ticket, "1", NULL, S(5), S(101)), FB_DOOMED);
    ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_cache_hold(cache, FB_STR("page:1"), S(200), S(100));
    assert_result(put_under(cache, ticket, "1", NULL, S(5), S(101)), FB_DOOMED);
    ticket = rig_begin(cache, RIG_PAGE, "page:1", S(101));
    assert_result(put_under(cache, ticket, "1", NULL, S(5), S(101)), FB_DOOMED);  // held still
    ticket = rig_begin(cache, RIG_PAGE, "page:2", S(100));
    assert_ok(fb_cache_swap(cache, rig_catalog()));
    assert_result(put_under(cache, ticket, "1", NULL, S(5), S(101)), FB_DOOMED);
    fb_cache_free(cache);
}

static void test_coherent__an_own_value_overtakes_loads(void **state) {
    fb_cache *cache = make_cache(rig_catalog());
    set_all_coherent(cache, S(10000));
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_ticket *load = rig_begin(cache, RIG_PAGE, "page:1", S(100));  // saw what was there before
    assert_ok(put_under(cache, ticket, "new", NULL, S(5), S(101)));
    assert_result(rig_fill(cache, load, "old", NULL, S(101)), FB_DOOMED);
    assert_read(cache, "page:1", S(102), "fresh:new");
    ticket = rig_begin(cache, RIG_PAGE, "page:1", S(102));
    load = rig_begin(cache, RIG_PAGE, "page:1", S(102));
    (void)rig_invalidate(cache, FB_SCOPE_TAG, "t", false, S(102));
    assert_result(put_under(cache, ticket, "newer", "t", S(5), S(103)), FB_DOOMED);
    assert_read(cache, "page:1", S(103), "nothing");  // what was there is older than both
    assert_result(rig_fill(cache, load, "old", NULL, S(103)), FB_DOOMED);
    fb_cache_free(cache);
}

// ---- after a restart, and outside

static void test_coherent__a_restart_finds_marks_and_entries(void **state) {
    int fd = region_file();
    fb_cache *cache = make_in_file(fd, PARTITIONS, NULL, S(100));
    fb_mark set = {7, 8, 9}, got;
    set_all_coherent(cache, S(200));
    fb_cache_set_mark(cache, 2, &set);
    rig_put(cache, "plain", "1", 0, S(100));
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "2", NULL, S(100)));
    fb_cache_flush(cache, log_of("plain"), S(100));
    fb_cache_free(cache);
    fb_cache_region region;
    cache = make_in_file(fd, PARTITIONS, &region, S(101));
    fb_cache_mark(cache, 2, &got);
    assert_memory_equal(&set, &got, sizeof set);
    assert_true(fb_cache_coherent_until(cache) == INT64_MIN);
    assert_int_equal(fb_cache_degraded(cache, S(101)), PARTITIONS);
    assert_read(cache, "plain", S(101), "nothing");
    assert_read(cache, "page:1", S(101),
                log_of("plain") == log_of("page:1") ? "nothing" : "fresh:2");
    fb_cache_free(cache);
    (void)close(fd);
}

static void test_coherent__other_partitions_keep_nothing(void **state) {
    static const uint32_t others[] = {8, 0};
    for (size_t i = 0; i < 2; i++) {
        int fd = region_file();
        fb_cache *cache = make_in_file(fd, PARTITIONS, NULL, S(100));
        fb_mark set = {7, 8, 9}, got;
        fb_cache_set_mark(cache, 2, &set);
        rig_put(cache, "plain", "1", 0, S(100));
        fb_cache_free(cache);
        fb_cache_region region;
        cache = make_in_file(fd, others[i], &region, S(101));
        assert_int_equal(region.removed, 1);
        assert_int_equal(region.entries, 0);
        assert_read(cache, "plain", S(101), "nothing");
        if (others[i] > 0) {
            fb_cache_mark(cache, 2, &got);
            assert_int_equal(got.epoch, 0);
        } else {
            assert_true(fb_cache_is_coherent(cache, FB_STR("plain"), S(101)));
        }
        fb_cache_free(cache);
        (void)close(fd);
    }
}

static void test_coherent__readers_outside_ask_where_it_is_not(void **state) {
    int fd = region_file();
    fb_cache *cache = make_in_file(fd, PARTITIONS, NULL, S(100));
    outsider one = outsider_open(fd);
    rig_put(cache, "plain", "1", 0, S(100));
    assert_outside(&one, "plain", S(100), "ask");
    set_all_coherent(cache, S(102));
    assert_outside(&one, "plain", S(101), "fresh:1");
    assert_outside(&one, "plain", S(102), "ask");
    for (uint32_t log = 0; log <= WIDE; log++) {
        if (log != log_of("plain")) {
            fb_cache_set_coherent(cache, log, S(110));
        }
    }
    assert_outside(&one, "plain", S(105), "ask");
    fb_cache_set_coherent(cache, log_of("plain"), S(110));
    fb_cache_set_coherent(cache, (log_of("plain") + 1) % PARTITIONS, S(103));
    assert_outside(&one, "plain", S(105), "fresh:1");  // another one's trouble
    fb_cache_flush(cache, log_of("plain"), S(105));
    assert_outside(&one, "plain", S(105), "ask");
    fb_store_free(one.store);
    fb_cache_free(cache);
    (void)close(fd);
}

static int hold_and_fence(void *arg) {
    fb_holds *holds;
    int result = fb_holds_new(7, PARTITIONS, &holds);
    if (result == FB_OK) {  // without memory for a key its partition is held
        fb_holds_hold(holds, FB_STR("a"), S(200), S(100));
        fb_holds_fence(holds, FB_STR("b"), 9, S(100));
        assert_false(fb_holds_admit(holds, FB_STR("a"), 0, S(101)));
        assert_false(fb_holds_admit(holds, FB_STR("b"), 8, S(101)));
    }
    fb_holds_free(holds);
    return result;
}

static void test_coherent__without_memory_nothing_old_gets_in(void **state) {
    assert_true(test_memory_sweep(hold_and_fence, NULL) > 2);
}

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coherent__without_a_shared_tier_always),
        cmocka_unit_test(test_coherent__partitions_follow_from_the_key_alone),
        cmocka_unit_test(test_coherent__marks_are_kept),
        cmocka_unit_test(test_coherent__until_the_proof_is_over),
        cmocka_unit_test(test_coherent__a_degraded_class_says_what_it_is_worth),
        cmocka_unit_test(test_coherent__peeking_and_many_obey_it_too),
        cmocka_unit_test(test_coherent__a_flush_drops_one_partition),
        cmocka_unit_test(test_coherent__the_wide_log_is_everything),
        cmocka_unit_test(test_coherent__nothing_is_stored_under_a_held_key),
        cmocka_unit_test(test_coherent__what_is_behind_a_fence_is_not_stored),
        cmocka_unit_test(test_coherent__too_many_holds_hold_partitions),
        cmocka_unit_test(test_coherent__an_own_value_is_kept_as_it_was_told),
        cmocka_unit_test(test_coherent__a_later_change_keeps_an_own_value_out),
        cmocka_unit_test(test_coherent__an_own_value_overtakes_loads),
        cmocka_unit_test(test_coherent__a_restart_finds_marks_and_entries),
        cmocka_unit_test(test_coherent__other_partitions_keep_nothing),
        cmocka_unit_test(test_coherent__readers_outside_ask_where_it_is_not),
        cmocka_unit_test(test_coherent__without_memory_nothing_old_gets_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
