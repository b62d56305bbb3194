// A region found again: what is still true stays, with its times and invalidations; what another
// configuration would not load, or not so, goes.

#include "cache/shared.h"
#include "region_rig.h"

// As if the daemon had been killed: the file stays as it is.
static void stop(fb_cache *cache) {
    fb_cache_free(cache);
}

static fb_cache *again(int fd, fb_catalog *catalog, int64_t now_ns) {
    fb_cache_region kept;
    return region_cache(fd, catalog, &kept, now_ns);
}

static void test_adopt__what_was_there_is_there(void **state) {
    int fd = region_file();
    fb_cache *cache = region_cache(fd, rig_catalog(), NULL, 0);
    rig_put(cache, "plain", "1", 0, S(100));
    rig_put(cache, "short", "2", S(5), S(100));
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "3", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_PAGE, "page:2", NULL, NULL, S(100)));
    stop(cache);
    fb_cache_region kept;
    cache = region_cache(fd, rig_catalog(), &kept, S(103));
    assert_int_equal(kept.entries, 4);
    assert_int_equal(kept.removed, 0);
    assert_int_equal(kept.shards_dropped, 0);
    assert_read(cache, "plain", S(103), "fresh:1");
    assert_read(cache, "short", S(103), "fresh:2");
    assert_read(cache, "short", S(105), "nothing");
    assert_read(cache, "page:1", S(103), "fresh:3");
    assert_read(cache, "page:1", S(112), "stale:3");
    assert_read(cache, "page:2", S(102), "fresh:-");
    fb_store_check(fb_cache_store(cache));
    stop(cache);
    (void)close(fd);
}

static void test_adopt__what_was_invalidated_stays_so(void **state) {
    int fd = region_file();
    fb_cache *cache = region_cache(fd, rig_catalog(), NULL, 0);
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "1", "red", S(100)));
    assert_ok(rig_load(cache, RIG_PAGE, "page:2", "2", "blue", S(100)));
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "3", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_LIST, "list:1:p1", "4", NULL, S(100)));
    (void)rig_invalidate(cache, FB_SCOPE_TAG, "red", false, S(101));
    (void)rig_invalidate(cache, FB_SCOPE_TAG, "blue", true, S(101));
    (void)rig_invalidate(cache, FB_SCOPE_CLASS, "item", false, S(101));
    stop(cache);
    cache = again(fd, rig_catalog(), S(102));
    assert_read(cache, "page:1", S(102), "nothing");
    assert_read(cache, "page:2", S(102), "stale:2");
    assert_read(cache, "item:1", S(102), "nothing");
    assert_read(cache, "list:1:p1", S(102), "fresh:4");
    // The numbers go on: what is loaded now is newer, and tags mean the same slots.
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "5", "red", S(102)));
    assert_read(cache, "page:1", S(102), "fresh:5");
    (void)rig_invalidate(cache, FB_SCOPE_TAG, "red", false, S(103));
    (void)rig_invalidate(cache, FB_SCOPE_PATTERN, "list:1:*", false, S(103));
    assert_read(cache, "page:1", S(103), "nothing");
    assert_read(cache, "list:1:p1", S(103), "nothing");
    stop(cache);
    (void)close(fd);
}

static void test_adopt__classes_that_changed_or_went_leave_nothing(void **state) {
    int fd = region_file();
    fb_cache *cache = region_cache(fd, rig_catalog(), NULL, 0);
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "1", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "2", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_LIST, "list:1:p1", "3", NULL, S(100)));
    rig_put(cache, "plain", "4", 0, S(100));
    rig_put(cache, "fresh:1", "5", 0, S(100));
    stop(cache);
    fb_class_options changed = rig_page();
    changed.one = true;
    fb_class_options fresh = {.name = "fresh", .key = "fresh:{id}", .memory_ttl_ns = S(9)};
    // `list` is gone, and its number is given to another; `fresh:1` belongs to a class now.
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, changed), rig_class(RIG_ITEM, rig_item()),
                           rig_class(RIG_LIST, fresh)};
    fb_cache_region kept;
    cache = region_cache(fd, rig_catalog_of(classes, 4), &kept, S(101));
    assert_int_equal(kept.entries, 2);
    assert_int_equal(kept.removed, 3);
    assert_read(cache, "page:1", S(101), "nothing");
    assert_read(cache, "item:1", S(101), "fresh:2");
    assert_read(cache, "list:1:p1", S(101), "nothing");
    assert_read(cache, "plain", S(101), "fresh:4");
    assert_read(cache, "fresh:1", S(101), "nothing");
    fb_store_check(fb_cache_store(cache));
    stop(cache);
    (void)close(fd);
}

static void test_adopt__namespaces_may_be_numbered_anew(void **state) {
    int fd = region_file();
    fb_cache *cache = region_cache(fd, rig_catalog(), NULL, 0);
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "1", NULL, S(100)));
    (void)rig_invalidate(cache, FB_SCOPE_NAMESPACE, "shop", false, S(100));
    assert_ok(rig_load(cache, RIG_ITEM, "item:2", "2", NULL, S(101)));
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "3", NULL, S(101)));
    stop(cache);
    fb_class_options first = {
        .name = "first", .key = "first:{id}", .memory_ttl_ns = S(9), .namespace_name = "before"};
    fb_class *classes[] = {NULL, rig_class(9, first), rig_class(RIG_PAGE, rig_page()),
                           rig_class(RIG_ITEM, rig_item())};
    cache = again(fd, rig_catalog_of(classes, 4), S(102));
    assert_read(cache, "item:1", S(102), "nothing");
    assert_read(cache, "item:2", S(102), "fresh:2");
    (void)rig_invalidate(cache, FB_SCOPE_NAMESPACE, "before", false, S(102));
    assert_read(cache, "item:2", S(102), "fresh:2");
    (void)rig_invalidate(cache, FB_SCOPE_NAMESPACE, "shop", false, S(102));
    assert_read(cache, "item:2", S(102), "nothing");
    assert_read(cache, "page:1", S(102), "fresh:3");
    stop(cache);
    (void)close(fd);
}

// A glob that stands for an index tag must find what was there before the index.
static void test_adopt__what_lacks_an_index_goes(void **state) {
    int fd = region_file();
    fb_class_options wide = {.name = "wide", .key = "list:{user}:all:{id}", .memory_ttl_ns = S(9)};
    fb_class *before[] = {NULL, rig_class(RIG_PAGE, wide)};
    fb_cache *cache = region_cache(fd, rig_catalog_of(before, 2), NULL, 0);
    assert_ok(rig_load(cache, RIG_PAGE, "list:7:all:1", "1", NULL, S(100)));
    rig_put(cache, "list:7", "2", 0, S(100));
    stop(cache);
    fb_class *after[] = {NULL, rig_class(RIG_PAGE, wide), rig_class(RIG_LIST, rig_list())};
    cache = again(fd, rig_catalog_of(after, 3), S(101));
    assert_read(cache, "list:7:all:1", S(101), "nothing");
    assert_read(cache, "list:7", S(101), "fresh:2");  // not of the index's shape
    stop(cache);
    (void)close(fd);
}

static void test_adopt__killed_while_classes_changed_only_plain_keys_stay(void **state) {
    int fd = region_file();
    fb_cache *cache = region_cache(fd, rig_catalog(), NULL, 0);
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "1", NULL, S(100)));
    rig_put(cache, "plain", "2", 0, S(100));
    fb_outside_close(cache->tags->table);
    stop(cache);
    cache = again(fd, rig_catalog(), S(101));
    assert_read(cache, "page:1", S(101), "nothing");
    assert_read(cache, "plain", S(101), "fresh:2");
    outsider one = outsider_open(fd);
    assert_outside(&one, "plain", S(101), "fresh:2");
    fb_store_free(one.store);
    stop(cache);
    (void)close(fd);
}

static void test_adopt__a_damaged_table_is_refused_and_untouched(void **state) {
    int fd = region_file();
    fb_cache *cache = region_cache(fd, rig_catalog(), NULL, 0);
    rig_put(cache, "plain", "2", 0, S(100));
    cache->tags->table->magic++;
    stop(cache);
    fb_error error = {0};
    fb_cache_region region = {.fd = fd, .boot = RIG_BOOT, .keep = true, .error = &error};
    fb_catalog *catalog = rig_catalog();
    fb_cache_options options = {
        .memory_bytes = 8 << 20, .seed = 7, .catalog = catalog, .region = &region};
    cache = NULL;
    assert_result(fb_cache_new(&options, &cache), FB_EINVAL);
    assert_non_null(strstr(error.text, "damaged"));
    assert_null(cache);
    region.boot++;
    assert_result(fb_cache_new(&options, &cache), FB_EINVAL);
    assert_non_null(strstr(error.text, "boot"));
    fb_catalog_free(catalog);
    (void)close(fd);
}

static int scenario(void *arg) {
    int fd = *(int *)arg;
    fb_error error = {0};
    fb_class *plain = NULL;
    fb_catalog *catalog = NULL;
    fb_cache *cache = NULL;
    fb_cache_region region = {.fd = fd, .boot = RIG_BOOT, .keep = true, .error = &error};
    int result = fb_class_new_plain(&plain);
    if (result == FB_OK) {
        result = fb_catalog_new(&plain, 1, &catalog, &error);
    }
    fb_cache_options options = {
        .memory_bytes = 8 << 20, .seed = 7, .catalog = catalog, .region = &region};
    if (result == FB_OK) {
        result = fb_cache_new(&options, &cache);
    }
    if (result == FB_OK) {
        assert_read(cache, "plain", S(101), "fresh:2");
        fb_cache_free(cache);
    } else {
        fb_catalog_free(catalog);
    }
    return result;
}

static void test_adopt__failing_allocations(void **state) {
    int fd = region_file();
    fb_cache *cache = region_cache(fd, rig_catalog(), NULL, 0);
    rig_put(cache, "plain", "2", 0, S(100));
    assert_read(cache, "plain", S(100), "fresh:2");
    stop(cache);
    assert_true(test_memory_sweep(scenario, &fd) > 10);
    (void)close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adopt__what_was_there_is_there),
        cmocka_unit_test(test_adopt__what_was_invalidated_stays_so),
        cmocka_unit_test(test_adopt__classes_that_changed_or_went_leave_nothing),
        cmocka_unit_test(test_adopt__namespaces_may_be_numbered_anew),
        cmocka_unit_test(test_adopt__what_lacks_an_index_goes),
        cmocka_unit_test(test_adopt__killed_while_classes_changed_only_plain_keys_stay),
        cmocka_unit_test(test_adopt__a_damaged_table_is_refused_and_untouched),
        cmocka_unit_test(test_adopt__failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
